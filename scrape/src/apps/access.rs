//! How the targets of a job are spoken to: headers, credentials, TLS.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use super::job::{Authorization, Job, Protocol, Secret, Tls};
use super::url::Url;
use crate::failure::ScrapeError;
use crate::file::{Content, RenewedFile};
use crate::tls::{Connector, NameCheck, Trust};

/// How the targets of a job are spoken to, with files opened.
pub(super) struct Access {
    /// Headers that are always the same.
    fixed: String,
    authorization: Credentials,
    headers: Vec<(String, Content)>,
    tls: Tls,
    connector: OnceLock<Arc<Connector>>,
    pub(super) follow_redirects: bool,
    pub(super) limit_bytes: usize,
    pub(super) fallback: Option<Protocol>,
}

enum Credentials {
    None,
    Basic { username: Content, password: Content },
    Scheme { scheme: String, credentials: Content },
}

fn content(secret: &Secret) -> Content {
    match secret {
        Secret::Text(text) => Content::Fixed(text.clone().into_bytes()),
        Secret::File(path) => Content::File(RenewedFile::new(path)),
    }
}

impl Access {
    pub(super) fn new(job: &Job, user_agent: &str) -> Access {
        let encoding = if job.compression { "gzip" } else { "identity" };
        let authorization = match &job.access.authorization {
            Authorization::None => Credentials::None,
            Authorization::Basic { username, password } => {
                Credentials::Basic { username: content(username), password: content(password) }
            }
            Authorization::Scheme { scheme, credentials } => {
                Credentials::Scheme { scheme: scheme.clone(), credentials: content(credentials) }
            }
        };
        let headers = job.access.headers.iter().map(|(name, value)| (name.clone(), content(value))).collect();
        Access {
            fixed: format!(
                "user-agent: {user_agent}\r\naccept: {}\r\naccept-encoding: {encoding}\r\n",
                accept(job)
            ),
            authorization,
            headers,
            tls: job.access.tls.clone(),
            connector: OnceLock::new(),
            follow_redirects: job.access.follow_redirects,
            limit_bytes: job.limits.body_bytes,
            fallback: job.fallback,
        }
    }

    /// TLS, made when it is needed first.
    pub(super) fn connector(&self) -> Arc<Connector> {
        let made = self.connector.get_or_init(|| {
            let name = self.tls.server_name.clone().map_or(NameCheck::Address, NameCheck::Fixed);
            let identity = self.tls.identity.as_ref().map(|(one, key)| (content(one), content(key)));
            let authority = self.tls.authority.as_ref().map(content);
            let trust = match (self.tls.insecure, &authority) {
                (true, _) => Trust::Insecure,
                (false, Some(_)) => Trust::Roots(Vec::new()),
                (false, None) => Trust::Roots(rustls_native_certs::load_native_certs().certs),
            };
            Arc::new(Connector::of_parts(trust, name, authority, identity).speaking(self.tls.versions))
        });
        made.clone()
    }

    /// The request of a URL; with credentials only if it is the target's own host.
    pub(super) fn request(
        &self,
        url: &Url,
        timeout: Duration,
        is_own_host: bool,
    ) -> Result<Vec<u8>, ScrapeError> {
        let mut request = format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\n{}x-prometheus-scrape-timeout-seconds: {}\r\n",
            url.path,
            url.authority,
            self.fixed,
            timeout.as_secs_f64()
        )
        .into_bytes();
        if is_own_host {
            self.add_credentials(&mut request)?;
            for (name, value) in &self.headers {
                add(&mut request, name, &trimmed(value)?)?;
            }
        }
        request.extend_from_slice(b"\r\n");
        Ok(request)
    }

    fn add_credentials(&self, request: &mut Vec<u8>) -> Result<(), ScrapeError> {
        let value = match &self.authorization {
            Credentials::None => return Ok(()),
            Credentials::Basic { username, password } => {
                let both = [trimmed(username)?.as_slice(), b":", &trimmed(password)?].concat();
                format!("Basic {}", STANDARD.encode(both)).into_bytes()
            }
            Credentials::Scheme { scheme, credentials } => {
                [scheme.as_bytes(), b" ", &trimmed(credentials)?].concat()
            }
        };
        add(request, "authorization", &value)
    }
}

/// What is offered: the best first, and anything else last.
fn accept(job: &Job) -> String {
    const BEST: usize = 6;
    let mut offers = Vec::new();
    for (index, protocol) in job.protocols.iter().enumerate() {
        let kind =
            Protocol::ALL.into_iter().find(|(known, ..)| known == protocol).map_or("", |(.., kind)| kind);
        let names_escaping = matches!(protocol, Protocol::OpenMetrics1 | Protocol::Text1);
        let escaping = if names_escaping { format!(";escaping={}", job.escaping) } else { String::new() };
        offers.push(format!("{kind}{escaping};q=0.{}", BEST - index));
    }
    offers.push(format!("*/*;q=0.{}", BEST - job.protocols.len()));
    offers.join(",")
}

fn trimmed(content: &Content) -> Result<Vec<u8>, ScrapeError> {
    let bytes = content.bytes().map_err(ScrapeError::Credentials)?;
    Ok(match content {
        Content::Fixed(_) => bytes,
        Content::File(_) => bytes.trim_ascii().to_vec(),
    })
}

fn add(request: &mut Vec<u8>, name: &str, value: &[u8]) -> Result<(), ScrapeError> {
    if HeaderValue::from_bytes(value).is_err() {
        let reason = format!("what {name} should say holds characters that a header cannot carry");
        return Err(ScrapeError::Credentials(reason));
    }
    request.extend_from_slice(name.as_bytes());
    request.extend_from_slice(b": ");
    request.extend_from_slice(value);
    request.extend_from_slice(b"\r\n");
    Ok(())
}
