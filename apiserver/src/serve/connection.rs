//! One connection: handshake, protocol by ALPN, requests, and its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::pipeline::{Connection, answer};
use super::tracked::Activity;
use super::{Limits, Shared};
use crate::authentication::{PeerCertificates, ends_seconds};

/// How long a connection is silent before the peer is asked for a sign of life.
const KEEP_ALIVE: Duration = Duration::from_secs(180);
/// Headers of an HTTP/1.1 request at most. Upstream limits only their bytes; a proxy states each group in a header.
const HEADERS_LIMIT: usize = 2000;
/// How often an HTTP/2 peer is asked for a sign of life, and how long it may take.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// Serves one connection to its end.
pub(super) async fn run(shared: Arc<Shared>, acceptor: TlsAcceptor, socket: TcpStream, peer: SocketAddr) {
    let _ = socket.set_nodelay(true);
    // A peer that went away without a word is noticed, watches or not.
    let _ = set_socket_keepalive(&socket, true).and_then(|()| set_tcp_keepidle(&socket, KEEP_ALIVE));
    let limits = shared.server.limits;
    let handshake = tokio::time::timeout(limits.handshake, acceptor.accept(socket));
    let stream = tokio::select! {
        () = shared.shutdown.cancelled() => return,
        done = handshake => match done {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return handshake_failed(&shared, peer, &error),
            Err(_) => return handshake_failed(&shared, peer, &"it took too long"),
        },
    };
    http(shared, limits, stream, peer).await;
}

fn handshake_failed(shared: &Shared, peer: SocketAddr, error: &dyn std::fmt::Display) {
    shared.server.metrics.tls_handshake_failed();
    tracing::debug!(%peer, %error, "TLS handshake failed");
}

async fn http(shared: Arc<Shared>, limits: Limits, stream: TlsStream<TcpStream>, peer: SocketAddr) {
    let session = stream.get_ref().1;
    let http2 = session.alpn_protocol() == Some(b"h2");
    let certificates = session.peer_certificates().unwrap_or_default();
    let connection = Arc::new(Connection {
        peer,
        certificate_ends_seconds: certificates.first().and_then(|own| ends_seconds(own)),
        certificates: PeerCertificates(certificates.iter().map(|der| der.clone().into_owned()).collect()),
        http2,
        activity: Activity::new(),
    });
    let activity = connection.activity.clone();
    let service = {
        let shared = shared.clone();
        service_fn(move |request: http::Request<Incoming>| {
            let (shared, connection) = (shared.clone(), connection.clone());
            async move { Ok::<_, Infallible>(answer(shared, connection, request).await) }
        })
    };
    let builder = builder(&limits, http2);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut ending = false;
    loop {
        tokio::select! {
            result = serving.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                return;
            }
            () = shared.abort.cancelled() => return,
            stuck = activity.overdue() => {
                if stuck || !http2 {
                    tracing::debug!(%peer, "connection broken off: the client does not take its answer");
                    return;
                }
                continue;
            }
            () = shared.shutdown.cancelled(), if !ending => {}
            () = activity.close.cancelled(), if !ending => {}
            () = activity.idle_for(limits.idle), if !ending => {}
        }
        ending = true;
        serving.as_mut().graceful_shutdown();
    }
}

fn builder(limits: &Limits, http2: bool) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_buf_size(limits.header_bytes)
        .max_headers(HEADERS_LIMIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_per_connection)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    if http2 { builder.http2_only() } else { builder.http1_only() }
}
