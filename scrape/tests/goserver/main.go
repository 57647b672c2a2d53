// A TLS server as a kubelet is one: net/http of Go, for scrape/tests/go.rs. It says where it listens and which
// requests and connections it saw, one line each, on standard output.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// One certificate that is its own authority, kept in a file so that a restarted server shows the same.
func certificate(path, kind string) tls.Certificate {
	if pair, err := tls.LoadX509KeyPair(path, path); err == nil {
		return pair
	}
	var public, private any
	if kind == "rsa" {
		key := must(rsa.GenerateKey(rand.Reader, 2048))
		public, private = &key.PublicKey, key
	} else {
		key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		public, private = &key.PublicKey, key
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "go server"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:     []string{"n1"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, public, private))
	key := must(x509.MarshalPKCS8PrivateKey(private))
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	out = append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	if err := os.WriteFile(path, out, 0o600); err != nil {
		log.Fatal(err)
	}
	return must(tls.LoadX509KeyPair(path, path))
}

func exposition(containers int) string {
	now := time.Now().UnixMilli()
	var text strings.Builder
	fmt.Fprintf(&text, "# HELP node_cpu_usage_seconds_total [STABLE] Cumulative cpu time\n"+
		"# TYPE node_cpu_usage_seconds_total counter\nnode_cpu_usage_seconds_total 12.5 %d\n"+
		"# TYPE node_memory_working_set_bytes gauge\nnode_memory_working_set_bytes 1.024e+09 %d\n", now, now)
	for i := range containers {
		labels := fmt.Sprintf("{container=\"c%d\",namespace=\"default\",pod=\"pod-%d\"}", i, i)
		fmt.Fprintf(&text, "container_cpu_usage_seconds_total%s 1.5 %d\n", labels, now)
		fmt.Fprintf(&text, "container_memory_working_set_bytes%s 2048 %d\n", labels, now)
	}
	return text.String()
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where")
	file := flag.String("certificate", "", "file of the certificate")
	kind := flag.String("key", "ecdsa", "ecdsa or rsa")
	version := flag.String("tls", "", "1.2: no later version; 1.3: no earlier one")
	client := flag.String("client", "", "requested or required client certificates")
	authority := flag.String("client-authority", "", "file of who issues them")
	answer := flag.String("answer", "length", "length, chunked or gzip")
	containers := flag.Int("containers", 2, "how many containers")
	idle := flag.Duration("idle", 0, "closes connections that are idle so long")
	flag.Parse()

	config := &tls.Config{Certificates: []tls.Certificate{certificate(*file, *kind)}}
	switch *version {
	case "1.2":
		config.MaxVersion = tls.VersionTLS12
	case "1.3":
		config.MinVersion = tls.VersionTLS13
	}
	switch *client {
	case "requested":
		config.ClientAuth = tls.RequestClientCert
	case "required":
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM(must(os.ReadFile(*authority)))
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		shown := "none"
		if len(r.TLS.PeerCertificates) > 0 {
			shown = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		fmt.Printf("request %s %s %s alpn=%q client=%q %s\n", r.RemoteAddr, r.Proto,
			tls.VersionName(r.TLS.Version), r.TLS.NegotiatedProtocol, shown, r.URL.Path)
		body := []byte(exposition(*containers))
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores")
		switch {
		case *answer == "chunked":
			for len(body) > 0 {
				count := min(len(body), 5000)
				w.Write(body[:count])
				w.(http.Flusher).Flush()
				body = body[count:]
			}
			return
		case *answer == "gzip" && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip"):
			var packed bytes.Buffer
			writer := gzip.NewWriter(&packed)
			writer.Write(body)
			writer.Close()
			body = packed.Bytes()
			w.Header().Set("Content-Encoding", "gzip")
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	}
	server := &http.Server{
		Handler:     http.HandlerFunc(handler),
		TLSConfig:   config,
		IdleTimeout: *idle,
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateNew || state == http.StateClosed {
				fmt.Printf("%s %s\n", state, c.RemoteAddr())
			}
		},
	}
	listener := must(net.Listen("tcp", *listen))
	fmt.Printf("listening %s\n", listener.Addr())
	log.Fatal(server.ServeTLS(listener, "", ""))
}
