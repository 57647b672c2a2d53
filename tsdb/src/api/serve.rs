//! The edge of the API: reads a request, runs it on a thread that may block, keeps its time, compresses the answer.

#![allow(
    clippy::disallowed_methods,
    reason = "this module knows the time and runs queries on threads of their own"
)]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flyball_apiserver::encode::gzip;
use flyball_apiserver::pieces::{Pieces as _, streamed};
use flyball_apiserver::{Handler, Request, Response, full};
use futures_util::future::BoxFuture;
use http::{HeaderValue, StatusCode, header};
use tokio::sync::Semaphore;

use super::error::{ApiError, ErrorType};
use super::facts::Facts;
use super::{Answer, Api, Clock, Deadline, Params, json};
use crate::promql::engine::Options;
use crate::restricted::Restricted;
use crate::series::SeriesSource;
use crate::threads::QueryThreads;

/// Where the API begins.
pub const PREFIX: &str = "/api/v1";

/// Bodies above this size are compressed for clients that take gzip.
const GZIP_THRESHOLD_BYTES: usize = 1024;

/// Limits of the API; the defaults are Prometheus'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests that read series at once; further ones wait.
    pub concurrent: usize,
    /// Longest time of a request, waiting included.
    pub timeout: Duration,
    /// Largest form.
    pub form_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { concurrent: 20, timeout: Duration::from_secs(120), form_bytes: 10 << 20 }
    }
}

/// Serves the API.
pub struct QueryServer {
    source: Arc<dyn SeriesSource>,
    facts: Arc<dyn Facts>,
    options: Options,
    limits: Limits,
    slots: Arc<Semaphore>,
    threads: QueryThreads,
}

/// Threads for requests that wait for no slot.
const SPARE_THREADS: usize = 2;

impl QueryServer {
    /// Serves what a source holds.
    ///
    /// # Errors
    /// The threads that queries run on cannot be had.
    pub fn new(
        source: Arc<dyn SeriesSource>,
        facts: Arc<dyn Facts>,
        options: Options,
        limits: Limits,
    ) -> std::io::Result<QueryServer> {
        let slots = Arc::new(Semaphore::new(limits.concurrent));
        let threads = QueryThreads::new(limits.concurrent.saturating_add(SPARE_THREADS))?;
        Ok(QueryServer { source, facts, options, limits, slots, threads })
    }

    /// Answers a request whose path behind the API's own prefix is given, decoded, so that the same can stand elsewhere too. With a
    /// namespace, nothing but the series of that namespace exists.
    pub async fn answer(&self, request: Request, path: &str, namespace: Option<&str>) -> Response {
        let takes_gzip = takes_gzip(&request);
        let url = request.parts.uri.query().unwrap_or_default().to_owned();
        let method = request.method().as_str().to_owned();
        let responder = request.respond();
        let form = if method == "POST" && is_form(&request) {
            match request.body.collect(self.limits.form_bytes).await {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(status) => return responder.status(&status),
            }
        } else {
            String::new()
        };
        let path = path.to_owned();
        let source: Arc<dyn SeriesSource> = match namespace {
            Some(namespace) => Arc::new(Restricted::to_namespace(self.source.clone(), namespace)),
            None => self.source.clone(),
        };
        let answer = self.run(source, method, path, Params::new(&form, &url)).await;
        written(answer, takes_gzip)
    }

    /// Runs a request on a thread that may block. When the client goes away, the query stops.
    async fn run(
        &self,
        source: Arc<dyn SeriesSource>,
        method: String,
        path: String,
        params: Params,
    ) -> Answer {
        let asked =
            if params.first("timeout").is_empty() { None } else { params.duration_ms("timeout").ok() };
        let timeout = asked.map_or(self.limits.timeout, |millis| {
            // What is over before it begins is over.
            self.limits.timeout.min(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
        });
        let mut clock = Clock::starts();
        let (deadline, _waits) = Deadline::after(timeout);
        // The status pages must not wait for queries.
        let permit = if path.starts_with("/status/") && path != "/status/tsdb" {
            None
        } else {
            match tokio::time::timeout(timeout, Arc::clone(&self.slots).acquire_owned()).await {
                Ok(permit) => permit.ok(),
                Err(_) => return failed(ErrorType::Timeout, "query timed out in query queue"),
            }
        };
        let (facts, options) = (Arc::clone(&self.facts), self.options);
        let job = self.threads.spawn(move || {
            clock.waits_no_more();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
            let api = Api { source: &*source, facts: &*facts, options, now_ms, watch: &*deadline, clock };
            let mut answer = api.answer(&super::Request { method: &method, path: &path, params });
            drop(permit);
            // Short answers are sent whole, the others while they are written.
            answer.rest = answer.rest.and_then(|mut rest| rest.next(&mut answer.body).then_some(rest));
            answer
        });
        let Some(job) = job else { return failed(ErrorType::Unavailable, "the server is being stopped") };
        match job.await {
            Ok(answer) => answer,
            Err(_) => failed(ErrorType::Internal, "the query failed unexpectedly"),
        }
    }
}

impl Handler for QueryServer {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let Some(path) = flyball_apiserver::query::decode(request.path(), false) else {
                return refused(ErrorType::BadData, "the path is not percent-encoded");
            };
            match path.strip_prefix(PREFIX) {
                Some(rest) => self.answer(request, rest, None).await,
                None => written(Answer::text(404, "404 page not found\n"), false),
            }
        })
    }
}

/// An answer of a success, for those who answer beside the API; the data are JSON.
pub(crate) fn succeeded(json: &str) -> Response {
    let data = super::Data::of(json);
    written(Answer::json(200, json::success(&data)), false)
}

/// An answer of a failure, for those who answer beside the API.
pub(crate) fn refused(kind: ErrorType, message: &str) -> Response {
    written(failed(kind, message), false)
}

fn failed(kind: ErrorType, message: &str) -> Answer {
    let error = ApiError { kind, message: message.into() };
    Answer::json(error.code(), json::failure(&error))
}

fn is_form(request: &Request) -> bool {
    let kind = request.parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

fn takes_gzip(request: &Request) -> bool {
    let values = request.parts.headers.get_all(header::ACCEPT_ENCODING).iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|token| {
        let mut parts = token.split(';').map(str::trim);
        parts.next() == Some("gzip") && parts.all(|part| part.replace(' ', "") != "q=0")
    })
}

/// An answer as HTTP writes it.
pub(crate) fn written(answer: Answer, takes_gzip: bool) -> Response {
    let compress = takes_gzip && answer.body.len() > GZIP_THRESHOLD_BYTES;
    let body = match answer.rest {
        Some(rest) => streamed(answer.body, rest, compress),
        None if compress => full(gzip(&answer.body)),
        None => full(answer.body),
    };
    let mut response = http::Response::new(body);
    *response.status_mut() = StatusCode::from_u16(answer.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if answer.is_json { "application/json" } else { "text/plain; charset=utf-8" };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if compress {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flyball_apiserver::{LimitedBody, User};
    use flyball_model::labels::Labels;
    use http_body_util::BodyExt as _;

    use super::super::facts::NoFacts;
    use super::*;
    use crate::memory::MemorySource;
    use crate::series::Point;

    fn server(limits: Limits) -> QueryServer {
        server_of(100, limits)
    }

    fn server_of(series: usize, limits: Limits) -> QueryServer {
        let mut source = MemorySource::default();
        for index in 0..series {
            let labels = Labels::from_pairs([("__name__", "x"), ("i", &index.to_string())]).unwrap();
            source.add(&Arc::new(labels), Point { timestamp_ms: 0, value: 1.0 });
        }
        QueryServer::new(Arc::new(source), Arc::new(NoFacts), Options::default(), limits).unwrap()
    }

    fn request(method: &str, uri: &str, body: &str) -> Request {
        let (parts, ()) = http::Request::builder()
            .method(method)
            .uri(uri)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept-encoding", "deflate, gzip;q=1.0")
            .body(())
            .unwrap()
            .into_parts();
        Request::new(parts, User::default(), LimitedBody::from_bytes(body.to_owned()))
    }

    async fn body(response: Response) -> Vec<u8> {
        response.into_body().collect().await.unwrap().to_bytes().to_vec()
    }

    #[tokio::test]
    async fn very_long_answers_are_sent_while_they_are_written() {
        let server = server_of(3000, Limits::default());
        let series = |text: &[u8]| {
            let answer: serde_json::Value = serde_json::from_slice(text).unwrap();
            answer["data"]["result"].as_array().unwrap().len()
        };
        let packed = server.handle(request("GET", "/api/v1/query?time=0&query=x", "")).await;
        assert_eq!(packed.headers()["content-encoding"], "gzip");
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&body(packed).await[..]).read_to_end(&mut text).unwrap();
        assert_eq!(series(&text), 3000);
        let mut plain = request("GET", "/api/v1/query?time=0&query=x", "");
        plain.parts.headers.clear();
        let (mut sent, mut text) = (server.handle(plain).await.into_body(), Vec::new());
        let mut frames = 0;
        while let Some(frame) = sent.frame().await {
            text.extend_from_slice(&frame.unwrap().into_data().unwrap());
            frames += 1;
        }
        assert!(frames > 2, "{frames}");
        assert_eq!(series(&text), 3000);
    }

    #[tokio::test]
    async fn forms_are_read_and_long_answers_compressed() {
        let server = server(Limits::default());
        let response = server.handle(request("POST", "/api/v1/query?time=0", "query=count%28x%29")).await;
        assert_eq!(response.status(), 200);
        let expected = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[0,"100"]}]}}"#;
        assert_eq!(String::from_utf8(body(response).await).unwrap(), expected);
        let response = server.handle(request("GET", "/api/v1/query?time=0&query=x", "")).await;
        assert_eq!(response.headers()["content-encoding"], "gzip");
        let bytes = body(response).await;
        let mut text = String::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        assert!(text.starts_with(r#"{"status":"success","data":{"resultType":"vector""#));
    }

    #[tokio::test]
    async fn time_and_size_are_kept() {
        let short = server(Limits { timeout: Duration::ZERO, ..Limits::default() });
        let response = short.handle(request("GET", "/api/v1/query?query=x", "")).await;
        assert_eq!(response.status(), 503);
        let text = String::from_utf8(body(response).await).unwrap();
        assert!(text.contains(r#""errorType":"timeout""#), "{text}");
        let small = server(Limits { form_bytes: 4, ..Limits::default() });
        let response = small.handle(request("POST", "/api/v1/query", "query=xxxx")).await;
        assert_eq!(response.status(), 413);
        assert_eq!(small.handle(request("GET", "/other", "")).await.status(), 404);
    }
}
