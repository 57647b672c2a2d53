//! One kept HTTP/1.1 connection to one target.
//!
//! Between two scrapes it holds the socket and the TLS session, and no buffers: those live as long as one exchange. A
//! connection that the other side closes meanwhile shows at the next request.
#![allow(clippy::disallowed_methods, reason = "an edge: dials the nodes")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::failure::{ScrapeError, Stage};
use crate::http1::{Body, Head, Http1Error};
use crate::session::{Buffers, Session, read_when_ready};
use crate::spare;
use crate::tls::{Connector, Presented, Refused};

/// Bytes asked of a plain socket at once.
const READ_BYTES: usize = 32 * 1024;

/// How far the present attempt is, for the text of a time-out.
#[derive(Debug, Default)]
pub(crate) struct Progress(AtomicU8);

impl Progress {
    pub(crate) fn set(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }

    pub(crate) fn stage(&self) -> Stage {
        let stages = [Stage::Connect, Stage::Handshake, Stage::Answer, Stage::Body];
        stages
            .into_iter()
            .find(|stage| *stage as u8 == self.0.load(Ordering::Relaxed))
            .unwrap_or(Stage::Connect)
    }
}

/// Whom to dial.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer<'a> {
    /// Name or address, without brackets.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    /// Another name that its certificate may be for.
    pub(crate) also: &'a str,
    /// What texts call it.
    pub(crate) authority: &'a str,
}

/// Finds words for a certificate that was refused.
pub(crate) type Why<'a> = &'a (dyn Fn(&Connector, &rustls::CertificateError, &Presented) -> String + Sync);

/// The connection. It is driven by the exchange alone, so that a scrape is one future: dropping it at a time-out stops
/// everything, and its CPU time is all of the scrape's.
pub(crate) struct Connection {
    link: Link,
}

enum Link {
    Plain(TcpStream),
    Tls(Session),
}

impl Link {
    async fn send(&mut self, data: &[u8], buffers: &mut Buffers) -> io::Result<()> {
        match self {
            Link::Plain(tcp) => tcp.write_all(data).await,
            Link::Tls(session) => session.send(data, buffers).await,
        }
    }

    /// Appends what comes next; 0 at the end.
    async fn receive(&mut self, out: &mut Vec<u8>, buffers: &mut Buffers) -> io::Result<usize> {
        match self {
            Link::Plain(tcp) => read_when_ready(tcp, out, READ_BYTES).await,
            Link::Tls(session) => session.receive(out, buffers).await,
        }
    }
}

/// An answer that was received to its end.
pub(crate) struct Received {
    pub(crate) head: Head,
    /// Empty unless the status is 200.
    pub(crate) body: Vec<u8>,
    /// The connection, if it serves another request.
    pub(crate) connection: Option<Connection>,
}

/// Why an exchange failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Nothing came: the other side had closed the connection.
    Closed(String),
    /// Something came that is no answer, or not all of it.
    Broken(String),
    /// The body is over the limit.
    TooLarge,
}

impl From<Http1Error> for Failed {
    fn from(error: Http1Error) -> Failed {
        match error {
            Http1Error::TooLarge => Failed::TooLarge,
            Http1Error::Malformed(reason) => Failed::Broken(reason),
        }
    }
}

impl Connection {
    /// Dials; over TLS if there is a connector. The first exchange goes on with the same buffers, which may hold the
    /// beginning of what comes next.
    pub(crate) async fn open(
        peer: Peer<'_>,
        tls: Option<&Connector>,
        why: Why<'_>,
        progress: &Progress,
        buffers: &mut Buffers,
    ) -> Result<Connection, ScrapeError> {
        let address = peer.authority.to_owned();
        progress.set(Stage::Connect);
        let tcp = TcpStream::connect((peer.host, peer.port))
            .await
            .map_err(|source| ScrapeError::Connect { address: address.clone(), source })?;
        // Requests are one small write each; waiting for more to send would only add delay.
        tcp.set_nodelay(true).ok();
        let link = match tls {
            None => Link::Plain(tcp),
            Some(tls) => {
                progress.set(Stage::Handshake);
                let refused = Arc::new(Refused::default());
                let (config, name) =
                    tls.prepare(peer.host, peer.also, &refused).map_err(ScrapeError::Credentials)?;
                let handshake = Session::open(tcp, config, name, buffers).await;
                let why = |error: &rustls::CertificateError| why(tls, error, &refused.take());
                Link::Tls(handshake.map_err(|error| ScrapeError::of_handshake(address, &error, why))?)
            }
        };
        Ok(Connection { link })
    }

    /// Sends a request and receives its answer. The body of an answer that is no success is not waited for.
    pub(crate) async fn exchange(
        mut self,
        request: &[u8],
        limit_bytes: usize,
        progress: &Progress,
        buffers: &mut Buffers,
    ) -> Result<Received, Failed> {
        progress.set(Stage::Answer);
        let sent = self.link.send(request, buffers).await;
        sent.map_err(|error| Failed::Closed(error.to_string()))?;
        let mut seen = spare::take();
        let (head, length) = self.head(&mut seen, buffers).await?;
        if head.status != 200 {
            return Ok(Received { head, body: Vec::new(), connection: None });
        }
        progress.set(Stage::Body);
        let mut body = Body::limited(head.body, limit_bytes)?;
        let mut taken = length + body.take(&seen[length..])?;
        while !body.is_done() {
            seen.clear();
            match self.link.receive(&mut seen, buffers).await {
                Ok(0) => {
                    let bytes = body.at_close().ok_or_else(|| cut_off("the connection ended"))?;
                    return Ok(Received { head, body: bytes, connection: None });
                }
                Ok(_) => taken = body.take(&seen)?,
                Err(error) => return Err(cut_off(error)),
            }
        }
        // More than the answer is nothing that was asked for; such a connection is out of step.
        let stays = head.stays && taken == seen.len() && buffers.are_empty();
        spare::give(seen);
        let body = body.at_close().unwrap_or_default();
        Ok(Received { head, body, connection: stays.then_some(self) })
    }

    /// The head, and how many bytes of `seen` it takes. Interim answers (1xx) are passed over.
    async fn head(&mut self, seen: &mut Vec<u8>, buffers: &mut Buffers) -> Result<(Head, usize), Failed> {
        let mut begun = false;
        loop {
            if let Some((head, length)) = Head::read(seen)? {
                if !(100..200).contains(&head.status) {
                    return Ok((head, length));
                }
                seen.drain(..length);
                continue;
            }
            let read = self.link.receive(seen, buffers).await;
            begun |= !seen.is_empty();
            let reason = match read {
                Ok(0) => "it closed before an answer".to_owned(),
                Ok(_) => continue,
                Err(error) => error.to_string(),
            };
            return Err(if begun { Failed::Broken(reason) } else { Failed::Closed(reason) });
        }
    }
}

fn cut_off(reason: impl std::fmt::Display) -> Failed {
    Failed::Broken(format!("the answer was cut off ({reason})"))
}
