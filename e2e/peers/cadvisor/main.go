// Program cadvisor is upstream's cAdvisor library as published in its Go module, driven as a kubelet drives it: its
// manager, its raw driver and the kinds of metrics that a kubelet asks for, without a runtime to look names up in. The
// peer beside which the collector's cost is measured.
//
// It serves /metrics as text on -listen. The library's own flags say how often it collects: with
// -housekeeping_interval=1s -jitter_factor=0 -initial_splay_factor=1 -allow_dynamic_housekeeping=false each group is
// collected once a second, as the collector does.
package main

import (
	"flag"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/google/cadvisor/lib/cache/memory"
	"github.com/google/cadvisor/lib/container"
	"github.com/google/cadvisor/lib/container/raw"
	"github.com/google/cadvisor/lib/manager"
	"github.com/google/cadvisor/lib/metrics"
	info "github.com/google/cadvisor/lib/model"
	"github.com/google/cadvisor/lib/utils/sysfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/utils/clock"
)

// What a kubelet keeps of the past.
const keptStats = 2 * time.Minute

// The kinds that a kubelet includes, disk use among them as with local storage isolation.
var kubelet = container.MetricSet{
	container.CpuUsageMetrics:     {},
	container.MemoryUsageMetrics:  {},
	container.CpuLoadMetrics:      {},
	container.DiskIOMetrics:       {},
	container.NetworkUsageMetrics: {},
	container.AppMetrics:          {},
	container.ProcessMetrics:      {},
	container.OOMMetrics:          {},
	container.PressureMetrics:     {},
	container.DiskUsageMetrics:    {},
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address of /metrics")
	prefixes := flag.String("prefixes", "/", "comma-separated beginnings of the paths of the groups to collect")
	without := flag.String("without", "", "comma-separated kinds of the kubelet's to leave out")
	flag.Parse()
	for _, kind := range strings.Split(*without, ",") {
		delete(kubelet, container.MetricKind(kind))
	}
	*raw.DockerOnly = *prefixes != "/"
	interval := 15 * time.Second
	dynamic := false
	collector, err := manager.New(memory.New(keptStats, nil), sysfs.NewRealSysFs(),
		manager.HousekeepingConfig{Interval: &interval, AllowDynamic: &dynamic},
		kubelet, strings.Split(*prefixes, ","), nil, "", 0)
	if err != nil {
		log.Fatalf("cannot make the manager: %v", err)
	}
	if err := collector.Start(); err != nil {
		log.Fatalf("cannot start the manager: %v", err)
	}
	registry := prometheus.NewRegistry()
	options := info.RequestOptions{IdType: info.TypeName, Count: 1, Recursive: true}
	registry.MustRegister(
		metrics.NewPrometheusCollector(collector, metrics.DefaultContainerLabels, kubelet, clock.RealClock{}, options),
		metrics.NewPrometheusMachineCollector(collector, kubelet),
	)
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	log.Fatal(http.ListenAndServe(*listen, nil))
}
