//! Questions about decisions, passed on to the replica that leads.
//!
//! The leader says on its Lease where it serves and by which certificate it is known; only this program's own account may
//! write that. A follower asks there in its own name (it has checked the asker already), accepts that one certificate and
//! no other, and passes the answer on as it is. A question is passed on once.

#![allow(clippy::disallowed_methods, reason = "an edge: opens a connection to the leader and drives it")]

use crate::controller::Shared;
use flyball_apiserver::body::full;
use flyball_apiserver::certs::Unvouched;
use flyball_apiserver::{Request, Response, Status};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, VARY};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Annotation of the Lease: `host:port` at which the holder serves.
pub(crate) const ADDRESS: &str = "hpa.flyball.io/address";
/// Annotation of the Lease: SHA-256 of the holder's serving certificate, hexadecimal.
pub(crate) const CERTIFICATE: &str = "hpa.flyball.io/certificate-sha256";

/// Marks a question that was passed on.
const PASSED_ON: HeaderName = HeaderName::from_static("x-flyball-passed-on");
/// The leader has this long to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer passed on, bytes.
const MAX_BODY: usize = 256 * 1024 * 1024;

/// How replicas reach one another.
#[derive(Clone)]
pub struct Peer {
    /// `host:port` at which this replica can be reached by the others.
    pub address: String,
    /// This replica's serving certificate, DER, read anew each time; `None` where it cannot be read. Not asked where the
    /// certificate is one that this program made itself.
    pub certificate: Arc<dyn Fn() -> Option<Vec<u8>> + Send + Sync>,
    /// The bearer token that this replica authenticates with, read anew each time.
    pub token: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What the Lease says about its holder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Leader {
    pub(crate) holder: String,
    pub(crate) address: String,
    pub(crate) certificate_sha256: String,
}

impl Leader {
    pub(crate) fn of(lease: &Value) -> Self {
        let annotation =
            |name| lease["metadata"]["annotations"][name].as_str().unwrap_or_default().to_owned();
        Leader {
            holder: lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned(),
            address: annotation(ADDRESS),
            certificate_sha256: annotation(CERTIFICATE),
        }
    }
}

/// Says on a Lease where and by which certificate its writer serves, or that it does not say.
pub(crate) fn annotations(lease: &mut Value, reached: Option<(String, String)>) {
    let Some(metadata) = lease["metadata"].as_object_mut() else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| serde_json::json!({}));
    let Some(annotations) = annotations.as_object_mut() else { return };
    match reached {
        Some((address, certificate)) => {
            annotations.insert(ADDRESS.into(), address.into());
            annotations.insert(CERTIFICATE.into(), certificate.into());
        }
        None => {
            annotations.remove(ADDRESS);
            annotations.remove(CERTIFICATE);
        }
    }
}

/// A question as it is passed on.
pub(super) struct Question {
    target: String,
    accept: Vec<HeaderValue>,
    was_passed_on: bool,
}

impl Question {
    pub(super) fn of(request: &Request) -> Self {
        Question {
            target: request.parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            accept: request.parts.headers.get_all(ACCEPT).iter().cloned().collect(),
            was_passed_on: request.parts.headers.contains_key(PASSED_ON),
        }
    }
}

/// Asks the leader what we were asked.
///
/// # Errors
/// 503 with the reason.
pub(super) async fn ask(shared: &Shared, question: Question) -> Result<Response, Status> {
    let unavailable =
        |why: String| Status::service_unavailable(format!("decisions are with the leader, and {why}"));
    if question.was_passed_on {
        return Err(unavailable("leadership is just changing hands".into()));
    }
    let leader = shared.lease.leader();
    if leader.holder.is_empty() {
        return Err(unavailable("nobody leads yet".into()));
    }
    let token = shared.config.peer.as_ref().and_then(|peer| (peer.token)());
    let (Some(token), false) = (token, leader.address.is_empty() || leader.certificate_sha256.is_empty())
    else {
        return Err(unavailable(format!("it is not known how to reach {}", leader.holder)));
    };
    let answer = tokio::time::timeout(TIMEOUT, send(&leader, &token, question)).await;
    let answer = answer.unwrap_or_else(|_| Err(format!("it did not answer within {} s", TIMEOUT.as_secs())));
    answer.map_err(|why| unavailable(format!("{} at {}: {why}", leader.holder, leader.address)))
}

async fn send(leader: &Leader, token: &str, question: Question) -> Result<Response, String> {
    let text = |error: &dyn fmt::Display| error.to_string();
    let tcp = TcpStream::connect(&leader.address).await.map_err(|error| text(&error))?;
    let name = ServerName::try_from("flyball-hpa").map_err(|error| text(&error))?;
    let config = pinned(&leader.certificate_sha256)?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(|error| text(&error))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await;
    let (mut sender, connection) = handshake.map_err(|error| text(&error))?;
    let driver = tokio::spawn(connection);
    let mut passed = http::Request::get(question.target)
        .header(HOST, &leader.address)
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .header(PASSED_ON, "true");
    for accept in question.accept {
        passed = passed.header(ACCEPT, accept);
    }
    let passed = passed.body(Empty::<bytes::Bytes>::new()).map_err(|error| text(&error))?;
    let answer = sender.send_request(passed).await.map_err(|error| text(&error));
    let received = match answer {
        Ok(answer) => {
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| error.to_string());
            body.map(|body| (parts, body.to_bytes()))
        }
        Err(error) => Err(error),
    };
    driver.abort();
    let (parts, body) = received?;
    // The leader does not know us, or forbids: that is our fault and not the asker's.
    if matches!(parts.status.as_u16(), 401 | 403) {
        return Err(format!("it refused this replica ({})", parts.status));
    }
    let mut response = http::Response::new(full(body));
    *response.status_mut() = parts.status;
    for header in [CONTENT_TYPE, VARY] {
        if let Some(value) = parts.headers.get(&header) {
            response.headers_mut().insert(header, value.clone());
        }
    }
    Ok(response)
}

/// TLS that accepts the one certificate with this fingerprint.
fn pinned(sha256: &str) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let sha256 = sha256.to_owned();
    let verifier = Unvouched::only(provider, move |certificate| match fingerprint(certificate) == sha256 {
        true => Ok(()),
        false => Err(rustls::Error::General("its certificate is not the one its Lease names".into())),
    });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// SHA-256, lower-case hexadecimal.
pub(crate) fn fingerprint(der: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect()
}
