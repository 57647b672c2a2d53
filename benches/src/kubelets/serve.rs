//! The kubelets' servers: one listener a node, TLS, HTTP/1.1 with keep-alive.

#![allow(clippy::disallowed_methods, reason = "edge: opens the kubelets' listeners")]

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use flyball_model::batch::SWEEP_INTERVAL_HEADER;

use super::body::{CONTENT_TYPE, resource_metrics};
use super::clock::now_ms;
use super::config::Credentials;
use super::fault::Answer;
use super::shared::Shared;

/// Time for a TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Pause after the system refused to accept a connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Time for the first half of a truncated answer to leave.
const TIME_TO_SEND: Duration = Duration::from_millis(50);
/// One piece of an answer without end.
const ENDLESS: &[u8] = b"container_cpu_usage_seconds_total{container=\"x\",namespace=\"x\",pod=\"x\"} 1 1\n";
/// The encoding that Go's clients ask for, and kubelets answer in.
const GZIP: &str = "gzip";

/// Header of every kubelet's metrics: when it was started, Unix seconds.
const PROCESS_START: HeaderName = HeaderName::from_static("process-start-time-unix");

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Opens a listener.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves the kubelet `index` until `stop`; its connections end with it.
pub async fn run(
    shared: Arc<Shared>,
    index: usize,
    listener: TcpListener,
    acceptor: TlsAcceptor,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((socket, _)) => {
                let connection = connection(shared.clone(), index, socket, acceptor.clone());
                let stop = stop.clone();
                tasks.spawn(async move { stop.run_until_cancelled(connection).await });
            }
            Err(error) => {
                tracing::warn!(%error, node = shared.config.nodes[index].0, "connection not accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn connection(shared: Arc<Shared>, index: usize, socket: TcpStream, acceptor: TlsAcceptor) {
    let _ = socket.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(socket)).await else { return };
    let certified = stream.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty());
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(&shared, index, certified, &request).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    // A client that hangs up, or an answer that is to break off, ends the connection with an error.
    let _ = builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    shared: &Shared,
    index: usize,
    certified: bool,
    request: &Request<Incoming>,
) -> Response<Body> {
    let demanded = matches!(shared.config.credentials, Credentials::Demanded { .. });
    let shown =
        certified || request.headers().get(header::AUTHORIZATION).is_some_and(|value| !value.is_empty());
    if demanded && !shown {
        return text(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => text(StatusCode::OK, "ok"),
        (&Method::GET, "/metrics/resource") => metrics(shared, index, request.headers()).await,
        (&Method::GET, _) => text(StatusCode::NOT_FOUND, "404 page not found\n"),
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed"),
    }
}

async fn metrics(shared: &Shared, index: usize, headers: &HeaderMap) -> Response<Body> {
    shared.requests[index].fetch_add(1, Ordering::Relaxed);
    let fault = shared.fault(index).clone();
    if !fault.delay.is_zero() {
        tokio::time::sleep(fault.delay).await;
    }
    let good = || {
        let moment = shared.config.sampling.moment(now_ms(), index, shared.addresses.len());
        resource_metrics(shared.population().node(index), moment, fault.skew_ms)
    };
    match fault.answer {
        Answer::Metrics => {
            let compressed = shared.config.gzip && accepts_gzip(headers);
            let mut response = respond(CONTENT_TYPE, good().into(), compressed);
            response.headers_mut().insert(PROCESS_START, (shared.started_ms / 1000).into());
            if let Some(interval) = shared.config.sweep_interval {
                let ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
                response.headers_mut().insert(SWEEP_INTERVAL_HEADER, ms.into());
            }
            shared.sent_bytes.fetch_add(response.body().size_hint().lower(), Ordering::Relaxed);
            response
        }
        Answer::Status(code) => {
            text(StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "simulated failure")
        }
        Answer::Body { content_type, body } => respond(&content_type, body, false),
        Answer::Garbage => {
            respond(CONTENT_TYPE, Bytes::from_static(&[0xff, 0x00, 0xfe, 0x7b, 0x22, 0x0a]), false)
        }
        Answer::Truncated => truncated(good()),
        Answer::Endless => endless(),
        Answer::Never => std::future::pending().await,
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    offers
        .flat_map(|value| value.split(','))
        .any(|offer| offer.split(';').next().unwrap_or("").trim() == GZIP)
}

fn respond(content_type: &str, body: Bytes, compressed: bool) -> Response<Body> {
    let response = Response::builder().header(header::CONTENT_TYPE, content_type);
    let packed = if compressed { gzip(&body).ok() } else { None };
    let built = match packed {
        Some(packed) => response.header(header::CONTENT_ENCODING, GZIP).body(full(packed.into())),
        None => response.body(full(body)),
    };
    // Only a content type that is no header value makes this fail.
    built.unwrap_or_else(|error| text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))
}

fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

fn text(status: StatusCode, body: &str) -> Response<Body> {
    let mut response = Response::new(full(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = status;
    response
}

/// Says how long the body is, sends half of it, and breaks the connection.
fn truncated(body: String) -> Response<Body> {
    let length = body.len();
    let mut half = Bytes::from(body);
    half.truncate(length / 2);
    let sent = stream::once(async { Ok(Frame::data(half)) });
    // What is not sent yet when the error comes would never be.
    let broken = stream::once(async {
        tokio::time::sleep(TIME_TO_SEND).await;
        Err(io::Error::other("simulated break"))
    });
    let mut response = Response::new(StreamBody::new(sent.chain(broken)).boxed_unsync());
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}

fn endless() -> Response<Body> {
    let piece = Bytes::from(ENDLESS.repeat(64 * 1024 / ENDLESS.len()));
    let pieces = stream::repeat_with(move || Ok(Frame::data(piece.clone())));
    Response::new(StreamBody::new(pieces).boxed_unsync())
}

fn full(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}
