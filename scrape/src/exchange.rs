//! One attempt: request, answer, samples.

use std::time::Duration;

use bytes::Bytes;
use flyball_model::batch::SWEEP_INTERVAL_HEADER;
use flyball_model::sample::Sample;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::SendRequest;

use crate::answer::{self, AnswerError, BODY_LIMIT_BYTES};
use crate::config::{Endpoint, Token, Transport};
use crate::connection::{Connection, Progress};
use crate::failure::{ScrapeError, Stage};
use crate::file::RenewedFile;
use crate::target::Target;
use crate::tls::Connector;

/// What a good answer holds.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) samples: Vec<Sample>,
    pub(crate) sweep_interval_ms: Option<u64>,
}

/// How targets of one kind are spoken to, with files opened.
#[derive(Debug)]
pub(crate) struct Access {
    tls: Option<Connector>,
    token: TokenSource,
    user_agent: String,
}

#[derive(Debug)]
enum TokenSource {
    None,
    Fixed(String),
    File(RenewedFile),
}

impl Access {
    pub(crate) fn new(endpoint: &Endpoint, user_agent: &str) -> Access {
        let tls = match &endpoint.transport {
            Transport::Plain => None,
            Transport::Tls(settings) => Some(Connector::new(settings)),
        };
        let token = match &endpoint.token {
            _ if tls.is_none() => TokenSource::None,
            Token::None => TokenSource::None,
            Token::Fixed(text) => TokenSource::Fixed(text.clone()),
            Token::File(path) => TokenSource::File(RenewedFile::new(path)),
        };
        Access { tls, token, user_agent: user_agent.to_owned() }
    }

    fn bearer(&self) -> Result<Option<String>, ScrapeError> {
        let text = match &self.token {
            TokenSource::None => return Ok(None),
            TokenSource::Fixed(text) => text.clone(),
            TokenSource::File(file) => {
                let content = file.content().map_err(ScrapeError::Credentials)?;
                String::from_utf8_lossy(&content).trim().to_owned()
            }
        };
        Ok(Some(format!("Bearer {text}")))
    }

    /// No Accept header: upstream sends none, and kubelets answer in the plain text format then.
    fn request(&self, target: &Target) -> Result<Request<Empty<Bytes>>, ScrapeError> {
        let mut request = Request::get(target.path.as_str())
            .header(header::HOST, target.authority())
            .header(header::USER_AGENT, &self.user_agent)
            .header(header::ACCEPT_ENCODING, "gzip");
        if let Some(bearer) = self.bearer()? {
            let mut value = http::HeaderValue::try_from(bearer).map_err(|_| {
                ScrapeError::Credentials("the token holds characters a header cannot carry".to_owned())
            })?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        request
            .body(Empty::new())
            .map_err(|error| ScrapeError::NoEndpoint(format!("bad path {:?}: {error}", target.path)))
    }
}

/// Asks once, over the kept connection if it still serves. `kept` holds the connection for next time after a good
/// exchange and nothing after a failed one.
pub(crate) async fn ask(
    target: &Target,
    access: &Access,
    kept: &mut Option<Connection>,
    limit: Duration,
) -> Result<Answer, ScrapeError> {
    let progress = Progress::default();
    match tokio::time::timeout(limit, attempt(target, access, kept, &progress)).await {
        Ok(result) => result,
        Err(_) => Err(ScrapeError::Timeout {
            address: target.authority(),
            seconds: limit.as_secs_f64(),
            stage: progress.stage(),
        }),
    }
}

async fn attempt(
    target: &Target,
    access: &Access,
    kept: &mut Option<Connection>,
    progress: &Progress,
) -> Result<Answer, ScrapeError> {
    // A server may close an idle connection at any time; that shows only at the next request, and is no failure.
    if let Some(connection) = kept.take()
        && let Some(result) = over(connection, target, access, kept, progress, true).await?
    {
        return Ok(result);
    }
    let connection = Connection::open(target, access.tls.as_ref(), progress).await?;
    over(connection, target, access, kept, progress, false)
        .await?
        .ok_or_else(|| broken(target, "it closed at once"))
}

/// `None`: a reused connection was already closed by the other side.
async fn over(
    connection: Connection,
    target: &Target,
    access: &Access,
    kept: &mut Option<Connection>,
    progress: &Progress,
    reused: bool,
) -> Result<Option<Answer>, ScrapeError> {
    let request = access.request(target)?;
    let (mut sender, mut driving) = connection.split();
    let exchange = async {
        let Some(response) = send(&mut sender, request, target, progress, reused).await? else {
            return Ok(None);
        };
        let (parts, body) = response.into_parts();
        if parts.status != StatusCode::OK {
            return Err(ScrapeError::Status { address: target.authority(), code: parts.status.as_u16() });
        }
        progress.set(Stage::Body);
        let body = collect(body, target).await?;
        read(&parts.headers, body, target).map(Some)
    };
    let result = Connection::drive(&mut driving, exchange).await;
    if let Ok(Some(_)) = &result {
        *kept = Connection::join(sender, driving);
    }
    result
}

async fn send(
    sender: &mut SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
    target: &Target,
    progress: &Progress,
    reused: bool,
) -> Result<Option<http::Response<Incoming>>, ScrapeError> {
    progress.set(Stage::Answer);
    if let Err(error) = sender.ready().await {
        return if reused { Ok(None) } else { Err(broken(target, error)) };
    }
    match sender.send_request(request).await {
        Ok(response) => Ok(Some(response)),
        Err(error)
            if reused && (error.is_canceled() || error.is_closed() || error.is_incomplete_message()) =>
        {
            Ok(None)
        }
        // A reset of an idle connection shows as an I/O error.
        Err(error) if reused && !error.is_parse() => Ok(None),
        Err(error) => Err(broken(target, error)),
    }
}

async fn collect(mut body: Incoming, target: &Target) -> Result<Vec<u8>, ScrapeError> {
    let too_large = || ScrapeError::TooLarge { address: target.authority(), limit_bytes: BODY_LIMIT_BYTES };
    let announced = body.size_hint().lower();
    if announced > BODY_LIMIT_BYTES as u64 {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(announced as usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(target, format!("the answer was cut off ({error})")))?;
        if let Ok(chunk) = frame.into_data() {
            if bytes.len() + chunk.len() > BODY_LIMIT_BYTES {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
    }
    Ok(bytes)
}

fn read(headers: &HeaderMap, body: Vec<u8>, target: &Target) -> Result<Answer, ScrapeError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let address = || target.authority();
    let samples = answer::decode(body, text(header::CONTENT_ENCODING.as_str()))
        .and_then(|body| answer::parse(&body, text(header::CONTENT_TYPE.as_str())))
        .map_err(|error| match error {
            AnswerError::TooLarge => {
                ScrapeError::TooLarge { address: address(), limit_bytes: BODY_LIMIT_BYTES }
            }
            AnswerError::Unreadable(reason) => ScrapeError::Unreadable { address: address(), reason },
        })?;
    let sweep_interval_ms = text(SWEEP_INTERVAL_HEADER).and_then(|value| value.trim().parse().ok());
    Ok(Answer { samples, sweep_interval_ms })
}

fn broken(target: &Target, reason: impl std::fmt::Display) -> ScrapeError {
    ScrapeError::Broken { address: target.authority(), reason: reason.to_string() }
}
