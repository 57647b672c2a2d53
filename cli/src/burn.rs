//! `flyball burn`: the example workload. A small HTTP server that burns a known amount of CPU per request.
//!
//! `GET /` (and any other path but `/healthz`) burns `cpu_ms_per_request` milliseconds of the serving thread's own
//! CPU time, measured with the thread's CPU clock, so that throttling by a control group lengthens the request but
//! does not change its cost. `GET /healthz` costs nothing and answers 200.
//!
//! Limits: [`MAX_CONNECTIONS`] open connections, [`BURNERS`] requests burning at once (the rest queue on the
//! connection they came by), one request per connection is not required.

#![allow(clippy::disallowed_methods, reason = "a server program: it binds a socket and starts tasks")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections served at once; a further one waits in the kernel's accept queue.
const MAX_CONNECTIONS: usize = 512;
/// Requests that burn CPU at once.
const BURNERS: usize = 4;
/// Chunk of arithmetic between two looks at the CPU clock, in iterations.
const SPIN_ITERATIONS: u64 = 20_000;

/// Settings of the example server.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct BurnArgs {
    /// Address and port to serve on.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// CPU time each request costs, in milliseconds.
    #[arg(long, default_value_t = 10, value_name = "MS")]
    pub cpu_ms_per_request: u64,
    /// Also keep this many threads busy without any request (0 to 64), to load a pod by itself.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=64), value_name = "N")]
    pub busy_threads: u8,
}

/// Serves until `shutdown`; requests under way are finished.
pub async fn run(args: BurnArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    for _ in 0..args.busy_threads {
        std::thread::spawn(|| burn_cpu_ns(u64::MAX));
    }
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let burners = Arc::new(Semaphore::new(BURNERS));
    let cost_ns = args.cpu_ms_per_request.saturating_mul(1_000_000);
    loop {
        let slot = Arc::clone(&connections).acquire_owned().await?;
        let stream = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // A connection reset before it was accepted says nothing about the listener.
                Err(_) => continue,
            },
        };
        let burners = Arc::clone(&burners);
        let stop = shutdown.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&burners), cost_ns));
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            tokio::select! {
                // A client that hangs up early is its own affair.
                _ = &mut connection => {}
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
            drop(slot);
        });
    }
    // All slots free again means that every connection has ended.
    let _ = connections.acquire_many(u32::try_from(MAX_CONNECTIONS)?).await?;
    Ok(())
}

async fn answer(
    request: Request<hyper::body::Incoming>,
    burners: Arc<Semaphore>,
    cost_ns: u64,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/healthz" {
        return Ok(Response::new(Full::from("ok\n")));
    }
    let Ok(_permit) = burners.acquire().await else {
        return Ok(failure("shutting down"));
    };
    Ok(match tokio::task::spawn_blocking(move || burn_cpu_ns(cost_ns)).await {
        Ok(()) => Response::new(Full::from(format!("burned {} ms of CPU\n", cost_ns / 1_000_000))),
        Err(_) => failure("the burning thread ended early"),
    })
}

fn failure(reason: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(reason));
    *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// Spends `cost_ns` nanoseconds of this thread's CPU time.
fn burn_cpu_ns(cost_ns: u64) {
    let started_ns = thread_cpu_ns();
    while thread_cpu_ns() - started_ns < cost_ns {
        let mut value = 0_u64;
        for i in 0..SPIN_ITERATIONS {
            value = std::hint::black_box(value.wrapping_mul(31).wrapping_add(i));
        }
    }
}

fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burning_costs_at_least_the_stated_cpu_time() {
        let before_ns = thread_cpu_ns();
        burn_cpu_ns(3_000_000);
        assert!(thread_cpu_ns() - before_ns >= 3_000_000);
    }
}
