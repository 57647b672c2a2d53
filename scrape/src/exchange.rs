//! One attempt: request, answer, samples.

use std::time::Duration;

use flyball_model::batch::SWEEP_INTERVAL_HEADER;
use flyball_model::samples::Samples;
use http::uri::PathAndQuery;

use crate::answer::{self, AnswerError, BODY_LIMIT_BYTES};
use crate::config::{Endpoint, Token, Transport};
use crate::connection::{Connection, Failed, Peer, Progress, Received};
use crate::failure::ScrapeError;
use crate::file::RenewedFile;
use crate::http1::Head;
use crate::session::Buffers;
use crate::target::Target;
use crate::tls::{Connector, Presented, explain};

/// What a good answer holds.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) samples: Samples,
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

    /// The request as it is sent. No Accept header: upstream sends none, and kubelets answer in the plain text format then.
    fn request(&self, target: &Target) -> Result<Vec<u8>, ScrapeError> {
        let path = PathAndQuery::try_from(target.path.as_str())
            .map_err(|error| ScrapeError::NoEndpoint(format!("bad path {:?}: {error}", target.path)))?;
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: {}\r\naccept-encoding: gzip\r\n",
            target.authority(),
            self.user_agent
        );
        if let Some(bearer) = self.bearer()? {
            if http::HeaderValue::try_from(&bearer).is_err() {
                let reason = "the token holds characters a header cannot carry";
                return Err(ScrapeError::Credentials(reason.to_owned()));
            }
            request.push_str("authorization: ");
            request.push_str(&bearer);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        Ok(request.into_bytes())
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
    let request = access.request(target)?;
    // A server may close an idle connection at any time; that shows only at the next request, and is no failure.
    let mut buffers = Buffers::default();
    let over_kept = match kept.take() {
        Some(connection) => {
            match connection.exchange(&request, BODY_LIMIT_BYTES, progress, &mut buffers).await {
                Err(Failed::Closed(_)) => None,
                other => Some(other),
            }
        }
        None => None,
    };
    let received = match over_kept {
        Some(received) => received,
        None => {
            buffers = Buffers::default();
            let connection = open(target, access.tls.as_ref(), progress, &mut buffers).await?;
            connection.exchange(&request, BODY_LIMIT_BYTES, progress, &mut buffers).await
        }
    };
    let Received { head, body, connection } = received.map_err(|failed| of_exchange(target, failed))?;
    if head.status != 200 {
        return Err(ScrapeError::Status { address: target.authority(), code: head.status });
    }
    let answer = read(&head, body, target)?;
    *kept = connection;
    Ok(answer)
}

async fn open(
    target: &Target,
    tls: Option<&Connector>,
    progress: &Progress,
    buffers: &mut Buffers,
) -> Result<Connection, ScrapeError> {
    let host = target.host.as_ref().map_err(|reason| ScrapeError::NoEndpoint(reason.clone()))?;
    let authority = target.authority();
    let peer = Peer { host, port: target.port, also: &target.node, authority: &authority };
    let why = |tls: &Connector, error: &rustls::CertificateError, shown: &Presented| {
        explain(target.kind, tls.trust(), host, error, shown)
    };
    Connection::open(peer, tls, &why, progress, buffers).await
}

fn of_exchange(target: &Target, failed: Failed) -> ScrapeError {
    let address = target.authority();
    match failed {
        Failed::Closed(reason) | Failed::Broken(reason) => ScrapeError::Broken { address, reason },
        Failed::TooLarge => ScrapeError::TooLarge { address, limit_bytes: BODY_LIMIT_BYTES },
    }
}

fn read(head: &Head, body: Vec<u8>, target: &Target) -> Result<Answer, ScrapeError> {
    let address = || target.authority();
    let samples = answer::decode(body, head.header("content-encoding"))
        .and_then(|body| answer::parse(body, head.header("content-type"), head.body))
        .map_err(|error| match error {
            AnswerError::TooLarge => {
                ScrapeError::TooLarge { address: address(), limit_bytes: BODY_LIMIT_BYTES }
            }
            AnswerError::Unreadable(reason) => ScrapeError::Unreadable { address: address(), reason },
        })?;
    let sweep_interval_ms = head.header(SWEEP_INTERVAL_HEADER).and_then(|value| value.parse().ok());
    Ok(Answer { samples, sweep_interval_ms })
}
