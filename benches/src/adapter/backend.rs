//! The simulated backend.

#![allow(clippy::disallowed_methods, reason = "a server of a benchmark")]

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flyball_apiserver::Query;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::{METRICS, NAMESPACES, PODS};

/// A server.
pub(super) struct Backend {
    url: String,
    state: Arc<State>,
}

struct State {
    latency: Duration,
    queries: AtomicU64,
    narrow: AtomicU64,
    answer_bytes: AtomicUsize,
}

impl Backend {
    pub(super) async fn start(latency: Duration) -> anyhow::Result<Backend> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(State {
            latency,
            queries: AtomicU64::new(0),
            narrow: AtomicU64::new(0),
            answer_bytes: AtomicUsize::new(0),
        });
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = shared.clone();
                let service = service_fn(move |request| answer(state.clone(), request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Ok(Backend { url, state })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What was asked until now does not count.
    pub(super) fn forget(&self) {
        self.state.queries.store(0, Ordering::Relaxed);
        self.state.narrow.store(0, Ordering::Relaxed);
    }

    pub(super) fn queries(&self) -> u64 {
        self.state.queries.load(Ordering::Relaxed)
    }

    /// Those that name one namespace.
    pub(super) fn narrow_queries(&self) -> u64 {
        self.state.narrow.load(Ordering::Relaxed)
    }

    /// The largest answer.
    pub(super) fn answer_mb(&self) -> f64 {
        self.state.answer_bytes.load(Ordering::Relaxed) as f64 / 1e6
    }
}

async fn answer(
    state: Arc<State>,
    request: http::Request<hyper::body::Incoming>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let form = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let form = String::from_utf8_lossy(&form).into_owned();
    let text = if form.is_empty() { parts.uri.query().unwrap_or("").to_owned() } else { form };
    let query = Query::parse(&text);
    let data = match parts.uri.path() {
        "/api/v1/query" => {
            tokio::time::sleep(state.latency).await;
            state.queries.fetch_add(1, Ordering::Relaxed);
            vector(&state, query.first("query").unwrap_or(""))
        }
        "/api/v1/series" => {
            // As many as were asked for, cut off: there are more.
            let one = r#"{"__name__":"m0","namespace":"n","pod":"p"}"#;
            let all = vec![one; query.first("limit").and_then(|limit| limit.parse().ok()).unwrap_or(1)];
            return Ok(http::Response::new(Full::from(format!(
                r#"{{"status":"success","data":[{}],"warnings":["results truncated due to limit"]}}"#,
                all.join(",")
            ))));
        }
        "/api/v1/label/__name__/values" => {
            let names: Vec<String> = (0..METRICS).map(|number| format!("\"m{number}_total\"")).collect();
            format!("[{}]", names.join(","))
        }
        "/api/v1/labels" => r#"["__name__","namespace","pod"]"#.to_owned(),
        _ => "{}".to_owned(),
    };
    Ok(http::Response::new(Full::from(format!(r#"{{"status":"success","data":{data}}}"#))))
}

/// The answer to a query of one namespace, of several, or of all.
fn vector(state: &State, query: &str) -> String {
    let of = |operator: &str| query.split(operator).nth(1).and_then(|rest| rest.split('"').next());
    let mut text = String::from(r#"{"resultType":"vector","result":["#);
    match (of("namespace=\""), of("namespace=~\"")) {
        (Some(namespace), _) => {
            state.narrow.fetch_add(1, Ordering::Relaxed);
            series(&mut text, namespace);
        }
        (None, None | Some(".+")) => {
            (0..NAMESPACES).for_each(|number| series(&mut text, &format!("ns-{number}")));
        }
        (None, Some(several)) => several.split('|').for_each(|namespace| series(&mut text, namespace)),
    }
    text.truncate(text.trim_end_matches(',').len());
    text.push_str("]}");
    state.answer_bytes.fetch_max(text.len(), Ordering::Relaxed);
    text
}

fn series(text: &mut String, namespace: &str) {
    for pod in 0..PODS {
        // Writing into memory cannot fail.
        let _ = write!(
            text,
            r#"{{"metric":{{"namespace":"{namespace}","pod":"app-7d4f9c6b5d-{pod:05}"}},"value":[1700000000,"{pod}.5"]}},"#
        );
    }
}
