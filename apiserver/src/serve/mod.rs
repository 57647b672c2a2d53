//! The server: accepts connections, speaks TLS and HTTP, and drains when told to stop.

#![allow(clippy::disallowed_methods, reason = "this module owns the connections' tasks")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authentication::LiveAuthenticators;
use crate::authorization::Authorizer;
use crate::body::BODY_LIMIT_BYTES;
use crate::own_metrics::ServerMetrics;
use crate::request::Handler;

mod connection;
mod pipeline;
mod tls;
mod tls_choice;
mod tracked;
mod unread;

pub use tls::ServingTls;
pub use tls_choice::TlsChoice;

/// Limits of a server. Each has upstream's value unless its comment says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections; further ones wait in the listener's queue. Upstream has no limit.
    pub connections: usize,
    /// Requests being answered that only read, watches and streams aside.
    pub reads_in_flight: usize,
    /// Requests being answered that may change something.
    pub writes_in_flight: usize,
    /// Concurrent HTTP/2 streams of one connection.
    pub streams_per_connection: u32,
    /// Size of a request's headers.
    pub header_bytes: usize,
    /// Size of a request's body.
    pub body_bytes: usize,
    /// Time for the TLS handshake.
    pub handshake: Duration,
    /// Time for a client to send the head of its next HTTP/1.1 request.
    pub header_read: Duration,
    /// Time to answer a request, watches and streams aside; then 504.
    pub request: Duration,
    /// Time for a client to take its answer, watches and streams aside. Then its place in flight goes to others, and a
    /// connection on which nothing else goes on is broken off. Upstream ends the request at its time.
    pub send: Duration,
    /// A connection without requests is closed after this time.
    pub idle: Duration,
    /// Time for open requests to end after the order to stop; what remains is broken off. Watches end at once.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            reads_in_flight: 400,
            writes_in_flight: 200,
            streams_per_connection: 100,
            header_bytes: 1024 * 1024,
            body_bytes: BODY_LIMIT_BYTES,
            handshake: Duration::from_secs(10),
            header_read: Duration::from_secs(32),
            request: Duration::from_secs(60),
            send: Duration::from_secs(60),
            idle: Duration::from_secs(90),
            drain: Duration::from_secs(20),
        }
    }
}

/// What [`serve`] needs to know. The settings in `authenticators` may be replaced at any time.
pub struct Server {
    /// Certificate and protocol settings.
    pub tls: ServingTls,
    /// Who may be who.
    pub authenticators: Arc<LiveAuthenticators>,
    /// Who may do what.
    pub authorizer: Arc<dyn Authorizer>,
    /// What is answered.
    pub handler: Arc<dyn Handler>,
    /// Limits.
    pub limits: Limits,
    /// Where requests are counted.
    pub metrics: ServerMetrics,
}

/// What the connections of one [`serve`] call share.
struct Shared {
    server: Arc<Server>,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    /// The order to stop: no new requests, watches end.
    shutdown: CancellationToken,
    /// The drain time is over.
    abort: CancellationToken,
}

/// Pause after the system refused to accept a connection (for example: no file descriptors left).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then drains: the listener closes, watches end, requests in progress get
/// [`Limits::drain`] to finish.
///
/// # Errors
/// TLS settings that do not fit together. A failing connection is not an error of the server.
pub async fn serve(
    listener: TcpListener,
    server: Arc<Server>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let limits = server.limits;
    let permits = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    let mut acceptors = tls::Acceptors::new(&server)?;
    let reads = Arc::new(Semaphore::new(limits.reads_in_flight));
    let writes = Arc::new(Semaphore::new(limits.writes_in_flight));
    server.metrics.serves((&reads, limits.reads_in_flight), (&writes, limits.writes_in_flight));
    let shared = Arc::new(Shared {
        server,
        reads,
        writes,
        shutdown: shutdown.clone(),
        abort: CancellationToken::new(),
    });
    while let Some(next) = shutdown.run_until_cancelled(accept(&listener, &permits)).await {
        match next {
            Ok((socket, peer, permit)) => {
                let acceptor = acceptors.current(&shared.server);
                let connection = connection::run(shared.clone(), acceptor, socket, peer);
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.drain, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "drain time over, connections are broken off");
        shared.abort.cancel();
        connections.wait().await;
    }
    Ok(())
}

type Accepted = (tokio::net::TcpStream, std::net::SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> io::Result<Accepted> {
    let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (socket, peer) = listener.accept().await?;
    Ok((socket, peer, permit))
}
