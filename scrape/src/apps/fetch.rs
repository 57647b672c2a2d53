//! One answer of one target over HTTP: request, redirects, body.
//!
//! Credentials go to the target's own host only: Prometheus sends them wherever it is redirected.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flyball_model::exposition::Format;
use http::{HeaderValue, StatusCode, Uri};

use super::job::{Authorization, Job, Protocol, Secret, Tls};
use super::target::{Target, Url, split_address};
use crate::answer::{self, AnswerError};
use crate::connection::{Connection, Failed, Peer, Progress, Received};
use crate::failure::ScrapeError;
use crate::file::{Content, RenewedFile};
use crate::http1::Head;
use crate::session::Buffers;
use crate::tls::{Connector, NameCheck, Presented, Trust};

/// Most redirects that are followed, as Go's client.
const REDIRECTS_MAX: usize = 10;
/// How much of a Content-Type an error shows, characters.
const SHOWN_CHARS: usize = 100;

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Fetched {
    body: Vec<u8>,
    encoding: Option<String>,
    format: Format,
    limit_bytes: usize,
}

/// An answer that was unpacked.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) body: String,
    pub(super) format: Format,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Connection(#[from] ScrapeError),
    #[error("server returned HTTP status {0}")]
    Status(StatusText),
    #[error("body_size_limit exceeded: the answer has more than {0} bytes")]
    TooLarge(usize),
    /// It was not even asked.
    #[error("{0}")]
    Forced(String),
    #[error("{0}")]
    Redirect(String),
    #[error("{0}")]
    Unreadable(String),
}

/// `404 Not Found`
#[derive(Debug)]
pub(super) struct StatusText(u16);

impl std::fmt::Display for StatusText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reason = StatusCode::from_u16(self.0).ok().and_then(|code| code.canonical_reason());
        write!(f, "{} {}", self.0, reason.unwrap_or(""))
    }
}

/// A connection that was kept, and whom it leads to.
pub(super) struct Kept {
    connection: Connection,
    https: bool,
    authority: String,
}

/// How the targets of a job are spoken to, with files opened.
pub(super) struct Access {
    /// Headers that are always the same.
    fixed: String,
    authorization: Credentials,
    headers: Vec<(String, Content)>,
    tls: Tls,
    connector: OnceLock<Arc<Connector>>,
    follow_redirects: bool,
    limit_bytes: usize,
    fallback: Option<Protocol>,
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

    fn connector(&self) -> Arc<Connector> {
        let made = self.connector.get_or_init(|| {
            let name = self.tls.server_name.clone().map_or(NameCheck::Address, NameCheck::Fixed);
            let identity = self.tls.identity.as_ref().map(|(one, key)| (content(one), content(key)));
            let authority = self.tls.authority.as_ref().map(content);
            let trust = match (self.tls.insecure, &authority) {
                (true, _) => Trust::Insecure,
                (false, Some(_)) => Trust::Roots(Vec::new()),
                (false, None) => Trust::Roots(rustls_native_certs::load_native_certs().certs),
            };
            Arc::new(Connector::of_parts(trust, name, authority, identity))
        });
        made.clone()
    }

    /// The request of a URL; with credentials only if it is the target's own host.
    fn request(&self, url: &Url, timeout: Duration, is_own_host: bool) -> Result<Vec<u8>, FetchError> {
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

    fn add_credentials(&self, request: &mut Vec<u8>) -> Result<(), FetchError> {
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

fn trimmed(content: &Content) -> Result<Vec<u8>, FetchError> {
    let bytes = content.bytes().map_err(ScrapeError::Credentials)?;
    Ok(match content {
        Content::Fixed(_) => bytes,
        Content::File(_) => bytes.trim_ascii().to_vec(),
    })
}

fn add(request: &mut Vec<u8>, name: &str, value: &[u8]) -> Result<(), FetchError> {
    if HeaderValue::from_bytes(value).is_err() {
        let reason = format!("what {name} should say holds characters that a header cannot carry");
        return Err(ScrapeError::Credentials(reason).into());
    }
    request.extend_from_slice(name.as_bytes());
    request.extend_from_slice(b": ");
    request.extend_from_slice(value);
    request.extend_from_slice(b"\r\n");
    Ok(())
}

/// Fetches a target within its time-out. `kept` holds the connection for next time after a good exchange.
pub(super) async fn fetch(
    access: &Access,
    target: &Target,
    kept: &mut Option<Kept>,
) -> Result<Fetched, FetchError> {
    let progress = Progress::default();
    match tokio::time::timeout(target.timeout, attempt(access, target, kept, &progress)).await {
        Ok(result) => result,
        Err(_) => Err(FetchError::Connection(ScrapeError::Timeout {
            address: target.url.authority.clone(),
            seconds: target.timeout.as_secs_f64(),
            stage: progress.stage(),
        })),
    }
}

async fn attempt(
    access: &Access,
    target: &Target,
    kept: &mut Option<Kept>,
    progress: &Progress,
) -> Result<Fetched, FetchError> {
    let mut url = target.url.clone();
    for _ in 0..=REDIRECTS_MAX {
        let is_own_host = url.host == target.url.host && (url.https || !target.url.https);
        let request = access.request(&url, target.timeout, is_own_host)?;
        let Received { head, body, connection } = exchange(access, &url, &request, kept, progress).await?;
        if is_redirect(head.status) && access.follow_redirects {
            url = redirected(&url, &head)?;
            continue;
        }
        if head.status != 200 {
            return Err(FetchError::Status(StatusText(head.status)));
        }
        let fetched = Fetched {
            body,
            encoding: head.header("content-encoding").map(str::to_owned),
            format: format_of(head.header("content-type").unwrap_or_default(), access.fallback)?,
            limit_bytes: access.limit_bytes,
        };
        *kept = connection.map(|connection| Kept { connection, https: url.https, authority: url.authority });
        return Ok(fetched);
    }
    Err(FetchError::Redirect(format!("stopped after {REDIRECTS_MAX} redirects")))
}

/// Over the kept connection if it leads there and still serves, else over a new one.
async fn exchange(
    access: &Access,
    url: &Url,
    request: &[u8],
    kept: &mut Option<Kept>,
    progress: &Progress,
) -> Result<Received, FetchError> {
    let failed = |failed| match failed {
        Failed::Closed(reason) | Failed::Broken(reason) => {
            FetchError::Connection(ScrapeError::Broken { address: url.authority.clone(), reason })
        }
        Failed::TooLarge => FetchError::TooLarge(access.limit_bytes),
    };
    let mut buffers = Buffers::default();
    let usable = kept.take().filter(|kept| kept.https == url.https && kept.authority == url.authority);
    if let Some(Kept { connection, .. }) = usable {
        match connection.exchange(request, access.limit_bytes, progress, &mut buffers).await {
            // A server may close an idle connection at any time; that shows only now, and is no failure.
            Err(Failed::Closed(_)) => buffers = Buffers::default(),
            other => return other.map_err(failed),
        }
    }
    let connector = url.https.then(|| access.connector());
    let authority = format!("{}:{}", url.authority_host(), url.port);
    let peer = Peer { host: &url.host, port: url.port, also: "", authority: &authority };
    let connection = Connection::open(peer, connector.as_deref(), &why, progress, &mut buffers).await?;
    connection.exchange(request, access.limit_bytes, progress, &mut buffers).await.map_err(failed)
}

/// Words for a certificate that was refused.
fn why(_: &Connector, error: &rustls::CertificateError, shown: &Presented) -> String {
    let names = if shown.names.is_empty() { "no name".to_owned() } else { shown.names.join(", ") };
    format!(
        "{error} (it is issued by {:?} for {names}); see ca_file, server_name and insecure_skip_verify of tls_config",
        shown.issuer
    )
}

fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads.
fn redirected(from: &Url, head: &Head) -> Result<Url, FetchError> {
    let location = head.header("location").filter(|location| !location.is_empty());
    let location = location.ok_or_else(|| {
        FetchError::Redirect(format!("redirect {} without a Location", StatusText(head.status)))
    })?;
    resolve(from, location)
        .ok_or_else(|| FetchError::Redirect(format!("redirect to {location:?}, which is no address")))
}

fn resolve(from: &Url, location: &str) -> Option<Url> {
    let location = location.split('#').next().unwrap_or_default();
    if location.starts_with("//") {
        let scheme = if from.https { "https:" } else { "http:" };
        return absolute(&format!("{scheme}{location}"));
    }
    if location.contains("://") {
        return absolute(location);
    }
    let path = if location.starts_with('/') {
        location.to_owned()
    } else {
        let before = from.path.split('?').next().unwrap_or("/");
        let folder = before.rsplit_once('/').map_or("", |(folder, _)| folder);
        if location.starts_with('?') { format!("{before}{location}") } else { format!("{folder}/{location}") }
    };
    // The same check that an absolute one goes through.
    path.parse::<Uri>().ok()?;
    Some(Url { path, ..from.clone() })
}

fn absolute(text: &str) -> Option<Url> {
    let uri: Uri = text.parse().ok()?;
    let https = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let authority = uri.authority()?.as_str();
    let (host, port) = split_address(authority)?;
    Some(Url {
        https,
        host: host.to_owned(),
        port: port.unwrap_or(if https { 443 } else { 80 }),
        authority: authority.to_owned(),
        path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
    })
}

impl Fetched {
    /// Undoes the encoding.
    pub(super) fn unpack(self) -> Result<Text, FetchError> {
        let Fetched { body, encoding, format, limit_bytes } = self;
        let body = answer::decode_limited(body, encoding.as_deref(), limit_bytes);
        let body = body.map_err(|error| match error {
            AnswerError::TooLarge => FetchError::TooLarge(limit_bytes),
            AnswerError::Unreadable(reason) => FetchError::Unreadable(reason),
        })?;
        let body = String::from_utf8(body).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            FetchError::Unreadable(format!("byte {at} of the answer is not UTF-8"))
        })?;
        Ok(Text { body, format })
    }
}

/// The format that the answer names, else the job's fallback.
fn format_of(content_type: &str, fallback: Option<Protocol>) -> Result<Format, FetchError> {
    Format::from_content_type(content_type).or_else(|| fallback.map(Protocol::format)).ok_or_else(|| {
        let shown: String = content_type.chars().take(SHOWN_CHARS).collect();
        FetchError::Unreadable(if shown.is_empty() {
            "the answer has no Content-Type, and the job no fallback_scrape_protocol".to_owned()
        } else {
            format!("the answer has the Content-Type {shown:?}, which is none of metrics, and the job no fallback_scrape_protocol")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        absolute(text).unwrap()
    }

    #[test]
    fn redirects_lead_where_a_browser_would_go() {
        for (from, location, expected) in [
            ("http://h:80/metrics", "/other?x=1", Some("http://h:80/other?x=1")),
            ("http://h:80/a/b?q", "c", Some("http://h:80/a/c")),
            ("http://h/a/b?q", "?r=1", Some("http://h/a/b?r=1")),
            ("http://h/a", "https://i/b#c", Some("https://i/b")),
            ("https://h/a", "//i:8/b", Some("https://i:8/b")),
            ("http://h/a", "http://[fd00::1]:9/x", Some("http://[fd00::1]:9/x")),
            ("http://h/a", "ftp://i/b", None),
            ("http://h/a", "http:///b", None),
            ("http://h/a", "http://h:x/b", None),
            ("http://h/a", "/b c", None),
        ] {
            let resolved = resolve(&url(from), location).map(|url| url.to_string());
            assert_eq!(resolved.as_deref(), expected, "{from} {location}");
        }
    }

    #[test]
    fn the_answer_names_its_format() {
        for (content_type, fallback, expected) in [
            ("text/plain; version=0.0.4", None, Some(Format::Text004)),
            ("text/plain", None, Some(Format::Text004)),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", None, Some(Format::OpenMetrics10)),
            ("application/openmetrics-text", Some(Protocol::Text0), Some(Format::OpenMetrics10)),
            ("text/html", None, None),
            ("", None, None),
            ("text/html", Some(Protocol::Text1), Some(Format::Text004)),
            ("", Some(Protocol::OpenMetrics0), Some(Format::OpenMetrics10)),
        ] {
            assert_eq!(format_of(content_type, fallback).ok(), expected, "{content_type}");
        }
    }
}
