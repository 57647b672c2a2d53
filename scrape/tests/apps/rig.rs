//! A store in memory, a web server whose answers change, and an API server that knows pods.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use flyball_model::labels::Labels;
use flyball_scrape::apps::{
    self, AppSink, Appended, Config, Job, Metrics, Refused, STALE_NAN_BITS, Settings, TargetsView,
};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long a test waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(60);

/// Points of series by their labels, as text.
#[derive(Default)]
pub(crate) struct Store {
    names: Vec<String>,
    points: Vec<Vec<(i64, f64)>>,
    limit: Option<usize>,
}

impl Store {
    fn points(&self, wanted: impl Fn(&str) -> bool) -> Option<&(i64, f64)> {
        let at = self.names.iter().position(|name| wanted(name))?;
        self.points[at].iter().max_by_key(|(ms, _)| *ms)
    }
    /// The newest value of a series.
    pub(crate) fn last(&self, series: &str) -> Option<f64> {
        self.points(|name| name == series).map(|(_, value)| *value)
    }
    /// How often a series ended.
    pub(crate) fn stale_count(&self, series: &str) -> usize {
        let at = self.names.iter().position(|name| name == series);
        let points = at.map_or(&[][..], |at| &self.points[at]);
        points.iter().filter(|(_, value)| value.to_bits() == STALE_NAN_BITS).count()
    }
    pub(crate) fn is_stale(&self, series: &str) -> bool {
        self.last(series).is_some_and(|value| value.to_bits() == STALE_NAN_BITS)
    }
    /// The newest value of the first series whose labels begin so.
    pub(crate) fn any(&self, start: &str) -> Option<f64> {
        self.points(|name| name.starts_with(start)).map(|(_, value)| *value)
    }
    pub(crate) fn stale(&self, start: &str) -> bool {
        self.any(start).is_some_and(|value| value.to_bits() == STALE_NAN_BITS)
    }
}

#[derive(Default)]
pub(crate) struct Sink(Mutex<Store>);

impl AppSink for Sink {
    type Series = usize;
    type Sample = (usize, i64, f64);

    fn resolve(&self, labels: &Labels, source: &str) -> Result<usize, Refused> {
        let mut store = self.0.lock().unwrap();
        let name = labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        if let Some(at) = store.names.iter().position(|have| *have == name) {
            return Ok(at);
        }
        if store.limit.is_some_and(|limit| store.names.len() >= limit) {
            return Err(Refused(format!("{source} has too many series")));
        }
        store.names.push(name);
        store.points.push(Vec::new());
        Ok(store.names.len() - 1)
    }

    fn sample(series: usize, timestamp_ms: i64, value: f64) -> (usize, i64, f64) {
        (series, timestamp_ms, value)
    }

    fn append(&self, _: i64, samples: &[(usize, i64, f64)]) -> Result<Appended, String> {
        let mut store = self.0.lock().unwrap();
        for (series, ms, value) in samples {
            store.points[*series].push((*ms, *value));
        }
        Ok(Appended::default())
    }
}

/// Scraping that runs.
pub(crate) struct Rig {
    sink: Arc<Sink>,
    pub(crate) view: TargetsView,
    jobs: watch::Sender<Vec<Job>>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Rig {
    pub(crate) fn start(file: &str) -> Rig {
        Rig::run(Config::parse(file, Path::new("t.yml")).unwrap(), None)
    }

    /// With a store that takes so many series.
    pub(crate) fn limited(file: &str, limit: usize) -> Rig {
        let store = Store { limit: Some(limit), ..Store::default() };
        Rig::over(Sink(Mutex::new(store)), Config::parse(file, Path::new("t.yml")).unwrap(), None)
    }

    pub(crate) fn run(config: Config, client: Option<kube::Client>) -> Rig {
        Rig::over(Sink::default(), config, client)
    }

    fn over(sink: Sink, config: Config, client: Option<kube::Client>) -> Rig {
        let (sink, view) = (Arc::new(sink), TargetsView::default());
        let shutdown = CancellationToken::new();
        let (jobs, receiver) = watch::channel(config.jobs);
        let settings = Settings { jobs: receiver, user_agent: "test".to_owned() };
        let metrics = Arc::new(Metrics::default());
        let running = apps::run(settings, client, sink.clone(), view.clone(), metrics, shutdown.clone());
        Rig { sink, view, jobs, shutdown, task: tokio::spawn(running) }
    }

    /// Another file holds from now on.
    pub(crate) fn configure(&self, file: &str) {
        self.jobs.send_replace(Config::parse(file, Path::new("t.yml")).unwrap().jobs);
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.sink.0.lock().unwrap()
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, is_so: impl Fn(&Store) -> bool) {
        let waiting = async {
            while !is_so(&self.store()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!(
                "not within {PATIENCE:?}; targets: {:#?}; series: {:#?}",
                self.view.active(),
                self.store().names
            );
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it ends").unwrap();
    }
}

/// A web server without TLS.
pub(crate) struct Web {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<BTreeMap<String, Vec<u8>>>,
    last_head: Mutex<String>,
    requests: AtomicUsize,
    connections: AtomicUsize,
}

impl Web {
    pub(crate) async fn start() -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let serving = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, serving.clone()));
            }
        });
        Web { port, shared }
    }

    /// What a path is answered with from now on.
    pub(crate) fn answer(&self, path: &str, status: u16, headers: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 {status} X\r\n{headers}\r\ncontent-length: {}\r\n\r\n", body.len());
        let answer = [head.as_bytes(), body].concat();
        self.shared.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    pub(crate) fn last_head(&self) -> String {
        self.shared.last_head.lock().unwrap().clone()
    }

    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        *shared.last_head.lock().unwrap() = head;
        shared.requests.fetch_add(1, Ordering::SeqCst);
        let answer = shared.answers.lock().unwrap().get(&path).cloned();
        let answer = answer.unwrap_or_else(|| b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n".to_vec());
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// An API server that has pods: lists and watches of them, and nothing else.
#[derive(Clone)]
pub(crate) struct Pods(watch::Sender<(BTreeMap<String, Value>, Vec<Value>)>);

impl Default for Pods {
    fn default() -> Pods {
        Pods(watch::channel((BTreeMap::new(), Vec::new())).0)
    }
}

impl Pods {
    pub(crate) fn add(&self, name: &str, port: &str) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": "ns", "resourceVersion": "1", "labels": {"app": "web"},
                "annotations": {
                    "prometheus.io/scrape": "true", "prometheus.io/port": port, "prometheus.io/path": "/custom"
                }
            },
            "spec": {"containers": [{"name": "c"}]},
            "status": {"podIP": "127.0.0.1", "phase": "Running"}
        });
        self.0.send_modify(|(pods, _)| drop(pods.insert(name.to_owned(), pod)));
    }

    pub(crate) fn remove(&self, name: &str) {
        self.0.send_modify(|(pods, events)| {
            let mut pod = pods.remove(name).unwrap();
            pod["metadata"]["resourceVersion"] = json!("2");
            events.push(json!({"type": "DELETED", "object": pod}));
        });
    }

    pub(crate) fn client(&self) -> kube::Client {
        let pods = self.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let pods = pods.clone();
            async move {
                let query = request.uri().query().unwrap_or_default().to_owned();
                assert_eq!(request.uri().path(), "/api/v1/pods");
                let body = if query.contains("watch=true") { pods.event().await } else { pods.list() };
                Ok::<_, std::convert::Infallible>(http::Response::new(Body::from(body)))
            }
        });
        kube::Client::new(service, "ns")
    }

    fn list(&self) -> Vec<u8> {
        let items: Vec<Value> = self.0.borrow().0.values().cloned().collect();
        json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": items})
            .to_string()
            .into_bytes()
    }

    /// The watch ends after the first event.
    async fn event(&self) -> Vec<u8> {
        let mut changes = self.0.subscribe();
        let there = changes.wait_for(|(_, events)| !events.is_empty()).await.unwrap();
        let event = there.1[0].to_string();
        drop(there);
        self.0.send_modify(|(_, events)| drop(events.remove(0)));
        format!("{event}\n").into_bytes()
    }
}
