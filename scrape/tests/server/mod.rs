//! A TLS server that reads requests and writes prepared bytes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What every request gets.
#[derive(Clone)]
pub(crate) struct Answer {
    status: String,
    headers: Vec<String>,
    body: Vec<u8>,
    length: Option<u64>,
    kind: Kind,
    close: bool,
}

#[derive(Clone, PartialEq)]
enum Kind {
    Http,
    Raw,
    Silent,
    Endless,
}

impl Answer {
    pub(crate) fn bytes(body: Vec<u8>) -> Answer {
        Answer {
            status: "200 OK".to_owned(),
            headers: vec![],
            body,
            length: None,
            kind: Kind::Http,
            close: false,
        }
    }
    pub(crate) fn text(body: &str) -> Answer {
        Answer::bytes(body.as_bytes().to_vec())
    }
    pub(crate) fn raw(bytes: &[u8]) -> Answer {
        Answer { kind: Kind::Raw, close: true, ..Answer::bytes(bytes.to_vec()) }
    }
    pub(crate) fn silent() -> Answer {
        Answer { kind: Kind::Silent, ..Answer::text("") }
    }
    pub(crate) fn endless(line: &str) -> Answer {
        Answer { kind: Kind::Endless, ..Answer::text(line) }
    }
    pub(crate) fn status(self, status: &str) -> Answer {
        Answer { status: status.to_owned(), ..self }
    }
    pub(crate) fn header(mut self, line: &str) -> Answer {
        self.headers.push(line.to_owned());
        self
    }
    pub(crate) fn announcing(self, length: u64) -> Answer {
        Answer { length: Some(length), ..self }
    }
    pub(crate) fn then_close(self) -> Answer {
        Answer { close: true, ..self }
    }

    fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {}\r\n", self.status);
        for header in &self.headers {
            head += &format!("{header}\r\n");
        }
        match self.kind {
            Kind::Endless => head += "transfer-encoding: chunked\r\n",
            _ => head += &format!("content-length: {}\r\n", self.length.unwrap_or(self.body.len() as u64)),
        }
        head + "\r\n"
    }
}

/// A client's certificate and key, as PEM, of an authority that the server believes.
pub(crate) struct ClientPem {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) authority: CertificateDer<'static>,
    pub(crate) authority_pem: String,
    shared: Arc<Shared>,
}

struct Shared {
    answer: Answer,
    acceptor: Mutex<TlsAcceptor>,
    connections: AtomicUsize,
    last_head: Mutex<String>,
}

impl Server {
    pub(crate) async fn start(answer: Answer, names: &[&str]) -> Server {
        let issued = issue(names, &format!("authority of {names:?}"), false);
        Server::serving(answer, issued).await
    }

    /// The same for clients that show a certificate, and one that will do.
    pub(crate) async fn demanding(answer: Answer, names: &[&str]) -> (Server, ClientPem) {
        let mut issued = issue(names, &format!("authority of {names:?}"), true);
        let client = ClientPem {
            certificate: std::mem::take(&mut issued.client.certificate),
            key: std::mem::take(&mut issued.client.key),
        };
        (Server::serving(answer, issued).await, client)
    }

    async fn serving(answer: Answer, issued: Issued) -> Server {
        let Issued { acceptor, authority, authority_pem, .. } = issued;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = Mutex::new(acceptor);
        let connections = AtomicUsize::new(0);
        let shared = Arc::new(Shared { answer, acceptor, connections, last_head: Mutex::default() });
        let serving = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                let acceptor = serving.acceptor.lock().unwrap().clone();
                tokio::spawn(serve(acceptor, stream, serving.clone()));
            }
        });
        Server { port, authority, authority_pem, shared }
    }

    /// A certificate of a new authority, to be served from [`Server::serve_next`] on.
    pub(crate) fn next_certificate(&self, names: &[&str]) -> (TlsAcceptor, CertificateDer<'static>) {
        let issued = issue(names, "the next authority", false);
        (issued.acceptor, issued.authority)
    }

    pub(crate) fn serve_next(&self, acceptor: TlsAcceptor) {
        *self.shared.acceptor.lock().unwrap() = acceptor;
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn last_head(&self) -> String {
        self.shared.last_head.lock().unwrap().clone()
    }
}

struct Issued {
    acceptor: TlsAcceptor,
    authority: CertificateDer<'static>,
    authority_pem: String,
    client: ClientPem,
}

/// A server's side of TLS with a certificate for these names, its authority, and a client's certificate of the same one,
/// which may be demanded.
fn issue(names: &[&str], authority_name: &str, demands: bool) -> Issued {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(rcgen::DnType::CommonName, authority_name);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::from_params(&authority, &authority_key);
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let client_key = KeyPair::generate().unwrap();
    let mut client = CertificateParams::new(vec!["client".to_owned()]).unwrap();
    client.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ClientAuth);
    let client = client.signed_by(&client_key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = if demands {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority_certificate.der().clone()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let config = builder
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    Issued {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        authority: authority_certificate.der().clone(),
        authority_pem: authority_certificate.pem(),
        client: ClientPem { certificate: client.pem(), key: client_key.serialize_pem() },
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, shared: Arc<Shared>) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        *shared.last_head.lock().unwrap() = String::from_utf8(head).unwrap();
        let answer = &shared.answer;
        let written = match answer.kind {
            Kind::Silent => std::future::pending().await,
            Kind::Raw => stream.write_all(&answer.body).await,
            Kind::Http => stream.write_all(&[answer.head().as_bytes(), &answer.body].concat()).await,
            Kind::Endless => {
                stream.write_all(answer.head().as_bytes()).await.unwrap();
                let chunk = answer.body.repeat(16384);
                let chunk = [format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n"].concat();
                while stream.write_all(&chunk).await.is_ok() {}
                return;
            }
        };
        if written.is_err() || stream.flush().await.is_err() {
            return;
        }
        if answer.close {
            stream.shutdown().await.ok();
            return;
        }
    }
}
