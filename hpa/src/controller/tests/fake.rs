//! A fake API server: a table of objects by path, scripted failures, and a record of every call.

use super::super::Shared;
use crate::config::Config;
use crate::watch::{Change, Key};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::Body;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

pub(super) const NOW: i64 = 1_700_000_000_000;
pub(super) const SCALE: &str = "/apis/apps/v1/namespaces/ns/deployments/web/scale";
pub(super) const PODS: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/ns/pods";

/// Discovery, and the lists that watches of targets begin with: they are not what tests are about.
const QUIET: [&str; 5] = [
    "/apis/apps",
    "/apis/apps/v1",
    "/apis/metrics.k8s.io",
    "/apis/metrics.k8s.io/v1beta1",
    "/apis/apps/v1/deployments",
];

type Answered = UnsyncBoxBody<Bytes, Infallible>;

#[derive(Default)]
struct World {
    objects: HashMap<String, Value>,
    /// Answers that come before the table, by method and path.
    scripted: HashMap<(Method, String), VecDeque<(u16, Value)>>,
    calls: Vec<(Method, String, Value)>,
    kill: Option<Kill>,
    /// A path that is never answered.
    silent: Option<String>,
    /// What the next watches of a path tell; the others tell nothing.
    feeds: HashMap<String, VecDeque<UnboundedReceiver<String>>>,
}

/// The process is killed at one of its next requests: it never sees the answer, nor any later one.
#[derive(Clone, Copy)]
struct Kill {
    /// Requests before that.
    left: usize,
    /// Whether the server still does what the last request says.
    arrives: bool,
}

#[derive(Clone, Default)]
pub(super) struct Fake(Arc<Mutex<World>>);

impl Fake {
    /// What a GET of a path gives now.
    pub(super) fn object(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    pub(super) fn put(&self, path: &str, object: Value) {
        self.0.lock().unwrap().objects.insert(path.to_owned(), object);
    }

    /// The process that asks is killed at its request after `left` more; `arrives`: the server still gets that one.
    pub(super) fn kill_after(&self, left: usize, arrives: bool) {
        self.0.lock().unwrap().kill = Some(Kill { left, arrives });
    }

    /// Requests for a path are not answered any more, or are again.
    pub(super) fn silence(&self, path: Option<&str>) {
        self.0.lock().unwrap().silent = path.map(str::to_owned);
    }

    /// Feeds the next watch of a path; it ends when the feed is dropped.
    pub(super) fn feed(&self, path: &str) -> UnboundedSender<String> {
        let (feed, events) = unbounded_channel();
        self.0.lock().unwrap().feeds.entry(path.to_owned()).or_default().push_back(events);
        feed
    }

    fn revive(&self) {
        self.0.lock().unwrap().kill = None;
    }

    pub(super) fn script(&self, method: Method, path: &str, code: u16, message: &str) {
        let answer = (code, status(code, message));
        self.0.lock().unwrap().scripted.entry((method, path.to_owned())).or_default().push_back(answer);
    }

    /// Calls since the last time, without discovery: `METHOD path`.
    pub(super) fn calls(&self) -> Vec<String> {
        self.take().into_iter().map(|(method, path, _)| format!("{method} {path}")).collect()
    }

    /// Calls with their bodies since the last time, without discovery.
    pub(super) fn take(&self) -> Vec<(Method, String, Value)> {
        let calls = std::mem::take(&mut self.0.lock().unwrap().calls);
        calls.into_iter().filter(|(_, path, _)| !QUIET.contains(&path.as_str())).collect()
    }

    pub(super) fn client(&self) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move { Ok::<_, Infallible>(fake.answer(request).await) }
        });
        Client::new(service, "flyball")
    }

    async fn answer(&self, request: Request<Body>) -> Response<Answered> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let path = parts.uri.path().to_owned();
        if parts.uri.query().is_some_and(|query| query.contains("watch=")) {
            return self.watched(&path).await;
        }
        if self.0.lock().unwrap().silent.as_ref() == Some(&path) {
            return std::future::pending().await;
        }
        let (killed, arrives) = self.killed();
        if !arrives {
            return std::future::pending().await;
        }
        let answer = self.serve(&parts.method, path, body);
        if killed {
            return std::future::pending().await;
        }
        answer
    }

    async fn watched(&self, path: &str) -> Response<Answered> {
        let feed = self.0.lock().unwrap().feeds.get_mut(path).and_then(VecDeque::pop_front);
        // Nothing ever happens.
        let Some(feed) = feed else { return std::future::pending().await };
        self.0.lock().unwrap().calls.push((Method::GET, format!("{path} (watch)"), Value::Null));
        let lines = futures_util::stream::unfold(feed, async |mut feed| {
            let line: String = feed.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(line + "\n"))), feed))
        });
        Response::new(StreamBody::new(lines).boxed_unsync())
    }

    /// Whether the asking process dies at this request, and whether the server gets it.
    fn killed(&self) -> (bool, bool) {
        match &mut self.0.lock().unwrap().kill {
            None => (false, true),
            Some(Kill { left: 0, arrives }) => (true, std::mem::take(arrives)),
            Some(kill) => {
                kill.left -= 1;
                (false, true)
            }
        }
    }

    fn serve(&self, method: &Method, path: String, body: Value) -> Response<Answered> {
        let mut world = self.0.lock().unwrap();
        world.calls.push((method.clone(), path.clone(), body.clone()));
        let scripted = world.scripted.get_mut(&(method.clone(), path.clone())).and_then(VecDeque::pop_front);
        let (code, answer) = match (scripted, method) {
            (Some(answer), _) => answer,
            (None, &Method::GET) => match world.objects.get(&path) {
                Some(object) => (200, object.clone()),
                None => (404, status(404, "not found")),
            },
            (None, &Method::DELETE) => match world.objects.remove(&path) {
                Some(object) => (200, object),
                None => (404, status(404, "not found")),
            },
            (None, &Method::PUT) => {
                world.objects.insert(path, body.clone());
                (200, body)
            }
            (None, &Method::PATCH) if path.ends_with("/status") => {
                let time = flyball_model::time::rfc3339_seconds(NOW - 3_000);
                let entry = json!({ "manager": "flyball-hpa", "subresource": "status", "time": time });
                (200, json!({ "metadata": { "resourceVersion": "900", "managedFields": [entry] } }))
            }
            (None, &Method::PATCH) => match world.objects.get_mut(&path) {
                Some(object) => {
                    merge(object, &body);
                    (200, object.clone())
                }
                None => (404, status(404, "not found")),
            },
            (None, _) => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default();
                world.objects.insert(format!("{path}/{name}"), body.clone());
                (201, body)
            }
        };
        let body = Full::new(Bytes::from(answer.to_string())).boxed_unsync();
        Response::builder().status(code).body(body).unwrap()
    }
}

/// A JSON merge patch.
fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else { return object.clone_from(patch) };
    if !object.is_object() {
        *object = json!({});
    }
    let Some(object) = object.as_object_mut() else { return };
    for (name, value) in patch {
        match value {
            Value::Null => drop(object.remove(name)),
            value => merge(object.entry(name).or_insert(Value::Null), value),
        }
    }
}

fn status(code: u16, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message })
}

/// A cluster with the Deployment `web` of three pods at a CPU usage of the given percentage of their requests.
pub(super) struct Cluster {
    pub(super) fake: Fake,
    pub(super) shared: Arc<Shared>,
    pub(super) now: Arc<AtomicI64>,
    pub(super) steady: Arc<AtomicI64>,
}

fn reading(clock: &Arc<AtomicI64>) -> crate::config::Clock {
    let clock = clock.clone();
    Arc::new(move || clock.load(Ordering::Relaxed))
}

pub(super) fn cluster(percent: u32) -> Cluster {
    cluster_with(percent, Config::default())
}

pub(super) fn cluster_with(percent: u32, config: Config) -> Cluster {
    let fake = Fake::default();
    let (now, steady) = (Arc::new(AtomicI64::new(NOW)), Arc::new(AtomicI64::new(0)));
    let version = |v: &str| json!({ "version": v });
    fake.put("/apis/apps", json!({ "versions": [version("v1")], "preferredVersion": version("v1") }));
    fake.put("/apis/apps/v1", json!({ "resources": [
        { "name": "deployments/scale", "kind": "Scale" }, { "name": "deployments", "kind": "Deployment" } ] }));
    fake.put("/apis/metrics.k8s.io", json!({ "versions": [version("v1beta1")] }));
    let config = Config { clock: reading(&now), steady: reading(&steady), ..config };
    let shared = process(&fake, config);
    let cluster = Cluster { fake, shared, now, steady };
    cluster.scale(3, "app=web");
    cluster.usage(percent);
    cluster
}

/// A process on the cluster that holds the lease and has seen the pods.
fn process(fake: &Fake, config: Config) -> Arc<Shared> {
    let (_, term) = tokio::sync::watch::channel(crate::elector::Term { leads: true, ..Default::default() });
    let shared = Arc::new(Shared::new(fake.client(), config.check().unwrap(), term));
    shared.ownership(|ownership| ownership.begin(false, shared.uptime()));
    shared.pods.apply(Event::Init);
    for index in 0..3 {
        shared.pods.apply(Event::InitApply(serde_json::from_value(pod(index)).unwrap()));
    }
    shared.pods.apply(Event::InitDone);
    shared
}

pub(super) fn pod(index: u32) -> Value {
    json!({
        "metadata": { "name": format!("web-{index}"), "namespace": "ns", "labels": { "app": "web" } },
        "spec": { "containers": [{ "name": "c", "resources": { "requests": { "cpu": "100m" } } }] },
        "status": { "phase": "Running", "startTime": "2020-01-01T00:00:00Z",
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:10Z" }] },
    })
}

fn hpa_object(name: &str, status: Value) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": name, "namespace": "ns", "uid": format!("uid-{name}"), "resourceVersion": "500", "generation": 1 },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            "minReplicas": 1, "maxReplicas": 10,
            "metrics": [{ "type": "Resource", "resource": { "name": "cpu",
                "target": { "type": "Utilization", "averageUtilization": 50 } } }],
        },
        "status": status,
    })
}

impl Cluster {
    pub(super) fn scale(&self, replicas: i32, selector: &str) {
        self.fake.put(SCALE, json!({
            "kind": "Scale", "apiVersion": "autoscaling/v1",
            "metadata": { "name": "web", "namespace": "ns", "resourceVersion": "41", "labels": { "kept": "yes" } },
            "spec": { "replicas": replicas }, "status": { "replicas": replicas, "selector": selector },
        }));
    }

    pub(super) fn usage(&self, percent: u32) {
        let item = |index: u32| {
            json!({
                "metadata": { "name": format!("web-{index}"), "namespace": "ns" },
                "timestamp": flyball_model::time::rfc3339_seconds(self.shared.now_ms()), "window": "15s",
                "containers": [{ "name": "c", "usage": { "cpu": format!("{percent}m"), "memory": "1Mi" } }],
            })
        };
        self.fake.put(PODS, json!({ "metadata": {}, "items": [item(0), item(1), item(2)] }));
    }

    /// The objects a list of all HPAs and all pods gives.
    pub(super) fn lists(&self) {
        let list = |items: Vec<Value>| json!({ "metadata": { "resourceVersion": "1" }, "items": items });
        self.fake.put("/api/v1/pods", list((0..3).map(pod).collect()));
        let hpas = "/apis/autoscaling/v2/horizontalpodautoscalers";
        self.fake.put(hpas, list(vec![hpa_object("web", json!({}))]));
    }

    pub(super) fn advance(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
        self.steady.fetch_add(ms, Ordering::Relaxed);
    }

    /// Someone sets the wall clock.
    pub(super) fn set_clock(&self, by_ms: i64) {
        self.now.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// Makes an HPA known whose status was written by these managers at these seconds; gives what the store makes of it.
    pub(super) fn hpa_with_marks(&self, name: &str, version: u32, marks: &[(&str, i64)]) -> Vec<Change> {
        let mut object = hpa_object(name, json!({}));
        let entry = |(manager, second): &(&str, i64)| {
            json!({ "manager": manager, "operation": "Update", "subresource": "status",
                "time": flyball_model::time::rfc3339_seconds(NOW + second * 1000) })
        };
        object["metadata"]["managedFields"] = marks.iter().map(entry).collect();
        object["metadata"]["resourceVersion"] = version.to_string().into();
        self.shared.hpas.apply(Event::Apply(serde_json::from_value(object).unwrap()))
    }

    /// Makes an HPA known: CPU at 50 percent, 1 to 10 replicas.
    pub(super) fn hpa(&self, name: &str, status: Value) -> Key {
        let object = hpa_object(name, status);
        let key = ("ns".to_owned(), name.to_owned());
        self.shared.hpas.apply(Event::Apply(serde_json::from_value(object).unwrap()));
        self.shared.selectors.register(&key);
        key
    }

    /// The same, as seen by a replica that does not lead.
    pub(super) fn follower(mut self) -> Self {
        let (_, term) = tokio::sync::watch::channel(crate::elector::Term::default());
        self.shared = Arc::new(Shared::new(self.fake.client(), self.shared.config.clone(), term));
        self
    }

    /// Another process takes the place of the one that was killed, with the histories that the cluster holds.
    pub(super) async fn restart(&mut self) {
        self.fake.revive();
        self.shared = process(&self.fake, self.shared.config.clone());
        let entries = self.shared.checkpoints.load().await.unwrap();
        self.shared.states.restore(entries);
    }

    /// Makes a changed form of an HPA known.
    pub(super) fn edit_hpa(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut object = hpa_object(name, json!({}));
        edit(&mut object);
        self.shared.hpas.apply(Event::Apply(serde_json::from_value(object).unwrap()));
    }

    pub(super) async fn reconcile(&self, key: &Key) {
        let entry = self.shared.hpas.get(key).unwrap();
        super::super::reconcile::reconcile(&self.shared, &entry).await;
    }
}
