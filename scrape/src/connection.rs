//! One kept HTTP/1.1 connection to one target.
#![allow(clippy::disallowed_methods, reason = "an edge: dials the nodes")]

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::failure::{ScrapeError, Stage};
use crate::target::Target;
use crate::tls::{Connector, Refused, explain};

/// Most bytes of status line and headers.
const HEADER_LIMIT_BYTES: usize = 64 * 1024;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

type Driver = http1::Connection<TokioIo<Box<dyn Stream>>, Empty<Bytes>>;

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

/// The connection. Its driver runs only inside [`Connection::drive`], so that a scrape is one future: dropping it at a
/// time-out stops everything, and its CPU time is all of the scrape's.
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<Empty<Bytes>>,
    driver: Option<Pin<Box<Driver>>>,
}

impl Connection {
    /// Dials; over TLS if there is a connector.
    pub(crate) async fn open(
        target: &Target,
        tls: Option<&Connector>,
        progress: &Progress,
    ) -> Result<Connection, ScrapeError> {
        let host = target.host.as_ref().map_err(|reason| ScrapeError::NoEndpoint(reason.clone()))?;
        let address = target.authority();
        progress.set(Stage::Connect);
        let tcp = TcpStream::connect((host.as_str(), target.port))
            .await
            .map_err(|source| ScrapeError::Connect { address: address.clone(), source })?;
        // Requests are one small write each; waiting for more to send would only add delay.
        tcp.set_nodelay(true).ok();
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(tcp),
            Some(tls) => {
                progress.set(Stage::Handshake);
                let refused = Arc::new(Refused::default());
                let (config, name) =
                    tls.prepare(host, &target.node, &refused).map_err(ScrapeError::Credentials)?;
                let handshake = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
                let why = |error: &rustls::CertificateError| {
                    explain(target.kind, tls.trust(), host, error, &refused.take())
                };
                Box::new(handshake.map_err(|error| ScrapeError::of_handshake(address.clone(), &error, why))?)
            }
        };
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEADER_LIMIT_BYTES);
        let (sender, driver) = builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| ScrapeError::Broken { address, reason: error.to_string() })?;
        Ok(Connection { sender, driver: Some(Box::pin(driver)) })
    }

    /// Runs `exchange` while the connection reads and writes for it.
    pub(crate) async fn drive<T>(driver: &mut Driving, exchange: impl Future<Output = T>) -> T {
        let mut exchange = pin!(exchange);
        poll_fn(|context| {
            if let Some(connection) = driver.0.as_mut()
                && connection.as_mut().poll(context).is_ready()
            {
                // The end of the connection, with or without an error, is reported to the exchange by hyper.
                driver.0 = None;
            }
            match exchange.as_mut().poll(context) {
                Poll::Ready(output) => Poll::Ready(output),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Splits into the two halves that [`Connection::drive`] needs at once.
    pub(crate) fn split(self) -> (SendRequest<Empty<Bytes>>, Driving) {
        (self.sender, Driving(self.driver))
    }

    /// The connection again, unless it has ended.
    pub(crate) fn join(sender: SendRequest<Empty<Bytes>>, driving: Driving) -> Option<Connection> {
        let alive = driving.0.is_some() && !sender.is_closed();
        alive.then_some(Connection { sender, driver: driving.0 })
    }
}

/// The half of a connection that moves the bytes.
pub(crate) struct Driving(Option<Pin<Box<Driver>>>);
