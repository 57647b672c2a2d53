//! A small cluster of certificates, a server that tells what it saw, and a client.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use flyball_apiserver::own_metrics::ServerMetrics;
use flyball_apiserver::{
    Authenticators, Authorizer, CaBundle, CertificateAuthority, ClientCa, FrontProxy, Handler, Issued,
    Limits, LiveAuthenticators, Request, Response, Server, ServingTls, full, serve,
};
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// The authorities of a test: who signs serving certificates, clients and proxies.
pub struct Authorities {
    pub serving: CertificateAuthority,
    pub clients: CertificateAuthority,
    pub proxies: CertificateAuthority,
}

pub fn authorities() -> Authorities {
    let authority = |name: &str| CertificateAuthority::new(name).unwrap();
    Authorities {
        serving: authority("serving"),
        clients: authority("clients"),
        proxies: authority("proxies"),
    }
}

pub fn bundle(authority: &CertificateAuthority) -> CaBundle {
    CaBundle::from_pem(&authority.certificate_pem(), "test").unwrap()
}

impl Authorities {
    /// The settings of an ordinary cluster: one allowed proxy name, two group headers, no UID header.
    pub fn authenticators(&self) -> Authenticators {
        let mut proxy = FrontProxy::standard(bundle(&self.proxies));
        proxy.allowed_names = vec!["front-proxy-client".into()];
        proxy.group_headers.push("x-more-groups".into());
        Authenticators {
            front_proxy: Some(proxy),
            client_ca: Some(ClientCa { bundle: bundle(&self.clients) }),
            tokens: None,
            anonymous: true,
        }
    }
}

/// Answers with what it was given; some paths behave badly on purpose.
pub struct Echo;

impl Handler for Echo {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            match request.path() {
                "/panic" => panic!("on purpose"),
                "/forever" => std::future::pending().await,
                _ => {}
            }
            let respond = request.respond();
            let names: Vec<String> = request.parts.headers.keys().map(ToString::to_string).collect();
            let user = request.user;
            let body = match request.body.collect(usize::MAX).await {
                Ok(body) => body,
                Err(status) => return respond.status(&status),
            };
            let saw = json!({
                "user": user.name, "groups": user.groups, "uid": user.uid, "extra": user.extra,
                "headers": names, "body_bytes": body.len(),
            });
            respond.object(http::StatusCode::OK, &saw)
        })
    }
}

/// A running server.
pub struct Running {
    pub address: SocketAddr,
    pub live: Arc<LiveAuthenticators>,
    pub shutdown: CancellationToken,
    pub serving_ca: String,
    pub task: tokio::task::JoinHandle<std::io::Result<()>>,
}

pub async fn start(
    authorities: &Authorities,
    authenticators: Authenticators,
    authorizer: impl Authorizer,
    handler: impl Handler,
    limits: Limits,
) -> Running {
    start_live(authorities, LiveAuthenticators::new(authenticators), authorizer, handler, limits).await
}

pub async fn start_live(
    authorities: &Authorities,
    live: Arc<LiveAuthenticators>,
    authorizer: impl Authorizer,
    handler: impl Handler,
    limits: Limits,
) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let issued = authorities.serving.issue_server(&["localhost"], &[address.ip()]).unwrap();
    let server = Arc::new(Server {
        tls: ServingTls::new(issued.resolver().unwrap()),
        authenticators: live.clone(),
        authorizer: Arc::new(authorizer),
        handler: Arc::new(handler),
        limits,
        metrics: ServerMetrics::default(),
    });
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(serve(listener, server, shutdown.clone()));
    Running { address, live, shutdown, serving_ca: authorities.serving.certificate_pem(), task }
}

/// What a client sends.
#[derive(Clone, Default)]
pub struct Ask<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub identity: Option<&'a Issued>,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: Bytes,
    pub http2: bool,
}

impl<'a> Ask<'a> {
    pub fn get(path: &'a str) -> Self {
        Self { method: "GET", path, ..Self::default() }
    }

    pub fn identity(mut self, identity: &'a Issued) -> Self {
        self.identity = Some(identity);
        self
    }

    pub fn headers(mut self, headers: &'a [(&'a str, &'a str)]) -> Self {
        self.headers = headers;
        self
    }

    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: http::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }
}

impl Running {
    /// Sends one request on its own connection and reads the whole answer.
    pub async fn ask(&self, ask: Ask<'_>) -> Answer {
        let (parts, body) = self.send(ask).await.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { code: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// Sends one request and returns as soon as the answer begins.
    pub async fn send(&self, ask: Ask<'_>) -> http::Response<Incoming> {
        self.try_send(ask).await.unwrap()
    }

    /// The same; an error when the server breaks the connection off before it answers.
    pub async fn try_send(&self, ask: Ask<'_>) -> hyper::Result<http::Response<Incoming>> {
        let uri = format!("https://localhost{}", ask.path);
        let mut request =
            http::Request::builder().method(ask.method).uri(if ask.http2 { &uri } else { ask.path });
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        let request = request.header("host", "localhost").body(Full::new(ask.body.clone())).unwrap();
        let io = TokioIo::new(self.connect(&ask).await);
        if ask.http2 {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await
        }
    }

    async fn connect(&self, ask: &Ask<'_>) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.serving_ca.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match ask.identity {
            Some(issued) => {
                let chain = vec![CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
                // A resolver that ignores the server's hints: these tests decide which certificate is sent.
                let provider = rustls::crypto::ring::default_provider();
                let key = rustls::sign::CertifiedKey::from_der(chain, key, &provider).unwrap();
                builder.with_client_cert_resolver(Arc::new(Always(Arc::new(key))))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![if ask.http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let socket = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
    }
}

#[derive(Debug)]
struct Always(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Always {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A JSON answer, for fake API servers.
pub fn json_response(code: u16, value: &Value) -> Response {
    let mut response = http::Response::new(full(value.to_string()));
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}
