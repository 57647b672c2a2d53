//! One answer of one target over HTTP: request, redirects, body.
//!
//! Credentials go to the target's own host only: Prometheus sends them wherever it is redirected.

use flyball_model::exposition::Format;
use http::StatusCode;

use super::access::Access;
use super::job::Protocol;
use super::target::Target;
use super::url::{Url, resolve};
use crate::answer::{self, AnswerError};
use crate::connection::{Connection, Failed, Peer, Progress, Received};
use crate::failure::ScrapeError;
use crate::http1::Head;
use crate::session::Buffers;
use crate::tls::{Connector, Presented};

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
