//! TLS connections to the servers behind us, with the front-proxy certificate. HTTP/2 where the server speaks it, so that
//! one connection serves all requests; else one HTTP/1.1 connection per request.
#![allow(
    clippy::disallowed_methods,
    reason = "edge: opens connections to aggregated servers and drives them"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use flyball_apiserver::body::Body;
use flyball_apiserver::certs::{Issued, Unvouched};
use flyball_apiserver::error::ApiserverError;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Time for TCP and TLS to be set up; upstream's client gives up as early.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Which server certificates are accepted.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// Any (`insecureSkipTLSVerify`).
    Anyone,
    /// Those signed by this PEM bundle, for the Service's name.
    Bundle(String),
}

/// Opens connections.
pub(super) struct Connector {
    certificate: Arc<SingleCertAndKey>,
    provider: Arc<CryptoProvider>,
}

/// An open connection.
#[derive(Clone)]
pub(super) enum Connection {
    /// Carries many requests at a time.
    Shared(http2::SendRequest<Body>),
    /// Carries one.
    Single(Arc<tokio::sync::Mutex<http1::SendRequest<Body>>>),
}

impl Connection {
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Shared(sender) => !sender.is_closed(),
            Self::Single(_) => false,
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }

    pub(super) async fn send(
        &self,
        request: http::Request<Body>,
    ) -> Result<http::Response<Incoming>, hyper::Error> {
        match self {
            Self::Shared(sender) => sender.clone().send_request(request).await,
            Self::Single(sender) => sender.lock().await.send_request(request).await,
        }
    }
}

impl Connector {
    pub(super) fn new(certificate: &Issued) -> Result<Self, ApiserverError> {
        Ok(Self {
            certificate: Arc::new(SingleCertAndKey::from(certificate.certified_key()?)),
            provider: Arc::new(rustls::crypto::ring::default_provider()),
        })
    }

    /// Connects; the error is one sentence for people.
    pub(super) async fn open(
        &self,
        address: SocketAddr,
        name: &str,
        trust: &Trust,
    ) -> Result<Connection, String> {
        let opening = self.open_unbounded(address, name, trust);
        match tokio::time::timeout(CONNECT_TIMEOUT, opening).await {
            Ok(opened) => opened.map_err(|why| format!("cannot connect to {address}: {why}")),
            Err(_) => {
                Err(format!("cannot connect to {address}: no answer within {} s", CONNECT_TIMEOUT.as_secs()))
            }
        }
    }

    async fn open_unbounded(
        &self,
        address: SocketAddr,
        name: &str,
        trust: &Trust,
    ) -> Result<Connection, String> {
        let config = self.config(trust)?;
        let server_name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
        let tcp = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        let tls = TlsConnector::from(Arc::new(config)).connect(server_name, tcp).await;
        let tls = tls.map_err(|error| error.to_string())?;
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = TokioIo::new(tls);
        if http2 {
            let handshake = http2::handshake(TokioExecutor::new(), io).await;
            let (sender, connection) = handshake.map_err(|error| error.to_string())?;
            tokio::spawn(log_end(connection, address));
            return Ok(Connection::Shared(sender));
        }
        let (sender, connection) = http1::handshake(io).await.map_err(|error| error.to_string())?;
        tokio::spawn(log_end(connection, address));
        Ok(Connection::Single(Arc::new(tokio::sync::Mutex::new(sender))))
    }

    fn config(&self, trust: &Trust) -> Result<ClientConfig, String> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match trust {
            Trust::Anyone => {
                let any = Unvouched::any(self.provider.clone());
                builder.dangerous().with_custom_certificate_verifier(any)
            }
            Trust::Bundle(pem) => builder.with_root_certificates(roots(pem)?),
        };
        let mut config = builder.with_client_cert_resolver(self.certificate.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Connections end by themselves when their last user is gone; only the log hears of it.
async fn log_end(connection: impl Future<Output = Result<(), hyper::Error>>, address: SocketAddr) {
    if let Err(error) = connection.await {
        tracing::debug!(%address, %error, "connection to aggregated server ended");
    }
}

fn roots(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("spec.caBundle: {error}"))?;
        roots.add(certificate).map_err(|error| format!("spec.caBundle: {error}"))?;
    }
    if roots.is_empty() { Err("spec.caBundle holds no certificate".to_owned()) } else { Ok(roots) }
}
