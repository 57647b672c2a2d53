//! A Prometheus server on loopback: our own query API over series in memory, so that queries mean what they mean; what is
//! asked is counted. And an adapter over it.
#![allow(dead_code, reason = "every test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "servers of tests")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use flyball_adapter::backends::HttpSettings;
use flyball_adapter::cluster::Cluster;
use flyball_adapter::sources::{Names, SourceKind, SourceSettings};
use flyball_adapter::{Adapter, AdapterError, Settings};
use flyball_apiserver::own_metrics::OwnMetrics;
use flyball_apiserver::{Handler as _, LimitedBody, Request, User};
use flyball_model::labels::Labels;
use flyball_model::selector::{FieldSelector, LabelSelector};
use flyball_tsdb::api::facts::NoFacts;
use flyball_tsdb::api::serve::{Limits, QueryServer};
use flyball_tsdb::memory::MemorySource;
use flyball_tsdb::promql::engine::Options;
use flyball_tsdb::series::Point;
use http_body_util::BodyExt as _;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// The time of all tests, Unix milliseconds.
pub const NOW_MS: i64 = 1_700_000_000_000;

/// The configuration that most tests use.
pub const CONFIG: &str = r#"
rules:
- seriesQuery: '{__name__=~"^http_requests_total$|^queue_depth$",namespace!=""}'
  resources:
    overrides:
      namespace: {resource: namespace}
      pod: {resource: pod}
      service: {resource: service}
      node: {resource: node}
  name: {matches: "^(.*)_total$|^(.*)$", as: "$1$2"}
  metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'
externalRules:
- seriesQuery: '{__name__="jobs_waiting"}'
  resources: {overrides: {namespace: {resource: namespace}}}
  metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (queue)'
"#;

/// Series: name, labels, value at the time of the tests.
pub type Sample = (&'static str, &'static [(&'static str, &'static str)], f64);

/// What the tests ask about.
pub const SERIES: &[Sample] = &[
    ("http_requests_total", &[("namespace", "shop"), ("pod", "cart-1"), ("path", "/a")], 10.5),
    ("http_requests_total", &[("namespace", "shop"), ("pod", "cart-1"), ("path", "/b")], 1.0),
    ("http_requests_total", &[("namespace", "shop"), ("pod", "cart-2"), ("path", "/a")], 3.0),
    ("http_requests_total", &[("namespace", "other"), ("pod", "cart-1")], 100.0),
    ("queue_depth", &[("namespace", "shop"), ("service", "cart"), ("node", "n1")], 1500.0),
    ("jobs_waiting", &[("namespace", "shop"), ("queue", "mail")], 7.0),
    ("jobs_waiting", &[("namespace", "shop"), ("queue", "print")], 0.25),
    ("jobs_waiting", &[("namespace", "other"), ("queue", "mail")], 9.0),
];

/// One question that the server was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// Behind `/api/v1/`.
    pub path: String,
    pub headers: http::HeaderMap,
}

/// The server.
pub struct Simulated {
    pub url: String,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    /// Queries without this text in them get no answer.
    pub answers_only: Arc<Mutex<Option<&'static str>>>,
}

impl Simulated {
    /// Serves these series.
    pub async fn of(samples: &[Sample]) -> Simulated {
        Simulated::of_source(memory(samples)).await
    }

    /// Serves what is in memory.
    pub async fn of_source(source: MemorySource) -> Simulated {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let server =
            QueryServer::new(Arc::new(source), Arc::new(NoFacts), Options::default(), Limits::default())
                .unwrap();
        let (server, listener) = (Arc::new(server), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let url = format!("http://{}", listener.local_addr().unwrap());
        let noted = asked.clone();
        let answers_only: Arc<Mutex<Option<&'static str>>> = Arc::default();
        let only = answers_only.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, noted, only) = (server.clone(), noted.clone(), only.clone());
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let (server, noted, only) = (server.clone(), noted.clone(), only.clone());
                    async move {
                        let (parts, body) = request.into_parts();
                        let query = flyball_apiserver::Query::parse(parts.uri.query().unwrap_or(""));
                        let only = *only.lock().unwrap();
                        if only.is_some_and(|only| query.first("query").is_some_and(|q| !q.contains(only))) {
                            std::future::pending::<()>().await;
                        }
                        let path = parts.uri.path().split("/api/v1/").nth(1).unwrap_or("").to_owned();
                        let (method, headers) = (parts.method.to_string(), parts.headers.clone());
                        noted.lock().unwrap().push(Asked { method, path: path.clone(), headers });
                        let request = Request::new(parts, User::default(), LimitedBody::new(body, 1 << 20));
                        Ok::<_, Infallible>(server.answer(request, &format!("/{path}"), None).await)
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Simulated { url, asked, answers_only }
    }

    /// How often a path was asked for.
    pub fn count(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.path == path).count()
    }
}

/// Series in memory, sampled shortly before [`NOW_MS`].
pub fn memory(samples: &[Sample]) -> MemorySource {
    let mut source = MemorySource::default();
    for (name, labels, value) in samples {
        let pairs = [("__name__", *name)].into_iter().chain(labels.iter().copied());
        let labels = Arc::new(Labels::from_pairs(pairs).unwrap());
        source.add(&labels, Point { timestamp_ms: NOW_MS - 5_000, value: *value });
    }
    source
}

/// A source that asks a Prometheus.
pub fn prometheus(name: &str, url: &str) -> SourceSettings {
    let http = Box::new(HttpSettings::new(url).unwrap());
    source(name, SourceKind::Prometheus { http, automatic: None })
}

/// A source.
pub fn source(name: &str, kind: SourceKind) -> SourceSettings {
    SourceSettings { name: name.to_owned(), kind, metrics: Names::default() }
}

/// A file with this text, in a folder that lives as long as it is held.
pub fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// The pods of the tests.
pub fn cluster() -> Arc<Cluster> {
    let cluster = Arc::new(Cluster::default());
    for (namespace, name, app) in [
        ("shop", "cart-1", "cart"),
        ("shop", "cart-2", "cart"),
        ("shop", "web-1", "web"),
        ("other", "cart-1", "cart"),
    ] {
        cluster.set_pod(namespace, name, BTreeMap::from([("app".to_owned(), app.to_owned())]));
    }
    cluster
}

/// An adapter at the time of the tests; it has looked once.
pub async fn adapter(settings: Settings) -> Arc<Adapter> {
    let adapter = unlooked(settings).unwrap();
    adapter.look_once().await;
    adapter
}

/// The same before it has looked.
pub fn unlooked(settings: Settings) -> Result<Arc<Adapter>, AdapterError> {
    Adapter::with_clock(settings, cluster(), OwnMetrics::new(), Arc::new(|| NOW_MS))
}

/// What a path answers: code and body.
pub async fn get(adapter: &Arc<Adapter>, target: &str) -> (u16, Value) {
    ask(adapter, http::Method::GET, target).await
}

/// What a request answers.
pub async fn ask(adapter: &Arc<Adapter>, method: http::Method, target: &str) -> (u16, Value) {
    let (parts, ()) = http::Request::builder().method(method).uri(target).body(()).unwrap().into_parts();
    let user = User::new("jane", ["system:authenticated", "team"]);
    let request = Request::new(parts, user, LimitedBody::from_bytes(""));
    let response = adapter.handler().handle(request).await;
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into()))
}

/// The message of a failure with this code.
pub async fn failure(adapter: &Arc<Adapter>, target: &str, code: u16) -> String {
    let (got, body) = get(adapter, target).await;
    assert_eq!(got, code, "{target}: {body}");
    assert_eq!(body["kind"], "Status", "{target}: {body}");
    body["message"].as_str().unwrap_or_default().to_owned()
}

/// One object of [`api_server`]: plural, namespace, name, value of the label `app`, phase.
pub type Object = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// A client of an API server that lists these objects, by labels and by the fields name and phase.
pub async fn api_server(objects: &'static [Object]) -> kube::Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let body = listed(objects, request.uri()).to_string();
                let response = http::Response::builder().header("content-type", "application/json");
                let response = response.body(http_body_util::Full::new(bytes::Bytes::from(body)));
                std::future::ready(Ok::<_, Infallible>(response.unwrap()))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    let mut config = kube::Config::new(url.parse().unwrap());
    config.default_retry = false;
    kube::Client::try_from(config).unwrap()
}

fn listed(objects: &[Object], uri: &http::Uri) -> Value {
    let query = flyball_apiserver::Query::parse(uri.query().unwrap_or(""));
    let labels = LabelSelector::parse(query.first("labelSelector").unwrap_or("")).unwrap();
    let FieldSelector(fields) = FieldSelector::parse(query.first("fieldSelector").unwrap_or("")).unwrap();
    let mut path = uri.path().rsplit('/');
    let wanted = path.next().unwrap();
    let place = uri.path().strip_prefix("/api/v1/namespaces/").and_then(|rest| rest.split('/').next());
    let items = objects.iter().filter(|(plural, namespace, name, app, phase)| {
        let field = |path: &str| match path {
            "metadata.name" => *name,
            "status.phase" => *phase,
            other => panic!("no such field: {other}"),
        };
        *plural == wanted
            && place.is_none_or(|place| place == *namespace)
            && labels.matches(|key| (key == "app").then_some(*app))
            && fields.iter().all(|term| (term.value == field(&term.path)) != term.negated)
    });
    let items = items.map(|(_, namespace, name, app, _)| {
        serde_json::json!({"metadata": {"namespace": namespace, "name": name, "labels": {"app": app}}})
    });
    serde_json::json!({"kind": "PartialObjectMetadataList", "metadata": {}, "items": items.collect::<Vec<_>>()})
}
