//! Requests straight to a server's port, by callers of any kind.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use flyball_apiserver::certs::{Issued, Unvouched};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// Longest time of one request.
const LIMIT: Duration = Duration::from_secs(15);

/// Who calls: by default someone without any credentials.
#[derive(Debug, Default)]
pub struct Caller {
    certificate: Option<Issued>,
    headers: String,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// The certificate that the server showed, DER.
    pub certificate: Vec<u8>,
}

impl Caller {
    /// Shows this certificate as well.
    pub fn certificate(self, issued: &Issued) -> Self {
        Self { certificate: Some(issued.clone()), ..self }
    }

    /// Sends this header as well.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self { headers: format!("{}{name}: {value}\r\n", self.headers), ..self }
    }

    /// Sends this bearer token as well.
    pub fn token(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Claims, as the API server's aggregator does, to ask for a user who may do everything.
    pub fn for_a_master(self) -> Self {
        self.header("X-Remote-User", "forged").header("X-Remote-Group", "system:masters")
    }

    /// `GET` of a path; whoever answers is believed.
    ///
    /// # Errors
    /// No connection, or no HTTP answer.
    pub fn get(&self, server: SocketAddr, path: &str) -> Result<Answer, String> {
        let failed = |what: &str, error: &dyn std::fmt::Display| format!("{server}{path}: {what}: {error}");
        let socket = TcpStream::connect_timeout(&server, LIMIT).map_err(|error| failed("connect", &error))?;
        socket.set_read_timeout(Some(LIMIT)).map_err(|error| failed("time-out", &error))?;
        let name = ServerName::from(server.ip());
        let connection = ClientConnection::new(self.tls(), name).map_err(|error| failed("TLS", &error))?;
        let mut stream = StreamOwned::new(connection, socket);
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n{}\r\n", self.headers);
        stream.write_all(request.as_bytes()).map_err(|error| failed("write", &error))?;
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            return Err(failed("read", &format!("{read:?} after {text:?}")));
        };
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let shown = stream.conn.peer_certificates().and_then(<[_]>::first);
        Ok(Answer {
            status: status.ok_or_else(|| failed("status", &head))?,
            body: body.to_owned(),
            certificate: shown.map(|der| der.to_vec()).unwrap_or_default(),
        })
    }

    fn tls(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS")
            .dangerous()
            // What a server is good for is seen in its answer.
            .with_custom_certificate_verifier(Unvouched::any(provider));
        Arc::new(match &self.certificate {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain(&issued.certificate_pem), key).expect("a pair")
            }
        })
    }
}

/// The certificates of a PEM text.
pub fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().expect("certificates")
}
