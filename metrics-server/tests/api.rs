//! `metrics.k8s.io` from the request to the body.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use flyball_apiserver::own_metrics::OwnMetrics;
use flyball_apiserver::{Handler, LimitedBody, Request, User};
use flyball_metrics_server::{Config, MetricsServer, NodeChange, PodChange};
use flyball_model::batch::{Batch, Outcome, Sink as _};
use flyball_model::labels::Labels;
use flyball_model::sample::Sample;
use flyball_model::selector::LabelSelector;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

/// 2026-11-22T11:05:41Z.
const NOW_MS: i64 = 1_795_345_541_000;
/// 2026-11-22T11:05:36.9Z: the fraction is dropped in answers.
const SAMPLED_MS: i64 = 1_795_345_536_900;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

struct Api {
    server: Arc<MetricsServer>,
    handler: Arc<dyn Handler>,
}

struct Reply {
    code: u16,
    body: String,
    bytes: Vec<u8>,
    content_type: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn names(&self) -> Vec<String> {
        let items = self.json()["items"].as_array().unwrap().clone();
        let name = |item: &Value| {
            let metadata = &item["metadata"];
            let namespace = metadata["namespace"].as_str().map(|namespace| format!("{namespace}/"));
            format!("{}{}", namespace.unwrap_or_default(), metadata["name"].as_str().unwrap())
        };
        items.iter().map(name).collect()
    }
}

impl Api {
    fn empty() -> Api {
        let server = MetricsServer::with_clock(Config::default(), OwnMetrics::new(), Arc::new(|| NOW_MS));
        Api { handler: server.handler(":4443"), server }
    }

    fn synced() -> Api {
        let api = Api::empty();
        api.server.cluster().node(NodeChange::All(BTreeMap::new()));
        api.server.cluster().pod(PodChange::All(BTreeMap::new()));
        api
    }

    /// Two nodes, pods in two namespaces, all measured twice.
    fn full() -> Api {
        let api = Api::synced();
        api.node("n1", &[("kubernetes.io/os", "linux")]);
        api.node("n2", &[("kubernetes.io/os", "linux"), ("zone", "b")]);
        for (namespace, name, labels) in [
            ("ns", "p", vec![("app", "x")]),
            ("ns", "p-b", vec![("app", "y"), ("tier", "1")]),
            ("a", "z", vec![]),
            ("ns", "unmeasured", vec![("app", "x")]),
        ] {
            api.pod(namespace, name, &labels);
        }
        for (at_ms, round) in [(SAMPLED_MS - 10_020, 0.0), (SAMPLED_MS, 1.0)] {
            let pods = [
                ("ns", "p", "c0"),
                ("ns", "p-b", "c1"),
                ("ns", "p-b", "c0"),
                ("a", "z", "c"),
                ("ns", "stopped", "c"),
            ];
            api.measure("n1", at_ms, round, &pods);
            api.measure("n2", at_ms, round, &[]);
        }
        api
    }

    fn node(&self, name: &str, labels: &[(&str, &str)]) {
        self.server.cluster().node(NodeChange::Set(name.to_owned(), Arc::new(map(labels))));
    }

    fn pod(&self, namespace: &str, name: &str, labels: &[(&str, &str)]) {
        let change = PodChange::Set(namespace.to_owned(), name.to_owned(), Arc::new(map(labels)));
        self.server.cluster().pod(change);
    }

    /// Counters that give 8300499n for each container over 10.02 s, and 3210192312n for a node.
    fn measure(&self, node: &str, at_ms: i64, round: f64, containers: &[(&str, &str, &str)]) {
        let mut samples = Vec::new();
        let mut add = |name: &str, labels: &[(&str, &str)], value: f64| {
            let labels = Labels::from_pairs(labels.iter().copied()).unwrap();
            samples.push(Sample { name: name.to_owned(), labels, value, timestamp_ms: Some(at_ms) });
        };
        add("node_cpu_usage_seconds_total", &[], 1000.0 + round * 32.16612696705);
        add("node_memory_working_set_bytes", &[], 8_589_934_592.0);
        for (namespace, pod, container) in containers {
            let labels = [("namespace", *namespace), ("pod", *pod), ("container", *container)];
            add("container_cpu_usage_seconds_total", &labels, 1.0 + round * 0.083171);
            add("container_memory_working_set_bytes", &labels, 20_606_976.0);
        }
        let outcome = Outcome::Scraped { samples: samples.into(), sweep_interval_ms: None };
        let batch =
            Batch { node: node.to_owned(), started_ms: NOW_MS - 100, finished_ms: NOW_MS - 50, outcome };
        self.server.store().accept(&batch);
    }

    async fn request(&self, method: &str, target: &str, accept: Option<&str>) -> Reply {
        let mut builder = http::Request::builder().method(method).uri(target);
        if let Some(accept) = accept {
            builder = builder.header("accept", accept);
        }
        let (parts, ()) = builder.body(()).unwrap().into_parts();
        let user = User::new("bob", ["system:authenticated"]);
        let request = Request::new(parts, user, LimitedBody::from_bytes(Vec::new()));
        let response = self.handler.handle(request).await;
        let code = response.status().as_u16();
        let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        let bytes = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        Reply { code, body: String::from_utf8_lossy(&bytes).into_owned(), bytes, content_type }
    }

    async fn get(&self, path: &str) -> Reply {
        self.request("GET", &format!("/apis/metrics.k8s.io/{path}"), None).await
    }

    async fn view(&self, path: &str, accept: &str) -> Reply {
        self.request("GET", &format!("/apis/metrics.k8s.io/{path}"), Some(accept)).await
    }
}

fn map(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_node_byte_for_byte() {
    let reply = Api::full().get("v1beta1/nodes/n1").await;
    let expected = concat!(
        r#"{"kind":"NodeMetrics","apiVersion":"metrics.k8s.io/v1beta1","#,
        r#""metadata":{"name":"n1","creationTimestamp":"2026-11-22T11:05:41Z","labels":{"kubernetes.io/os":"linux"}},"#,
        r#""timestamp":"2026-11-22T11:05:36Z","window":"10.02s","usage":{"cpu":"3210192312n","memory":"8Gi"}}"#,
        "\n"
    );
    assert_eq!((reply.code, reply.body.as_str()), (200, expected));
}

#[tokio::test]
async fn a_pod_byte_for_byte_in_both_versions() {
    let api = Api::full();
    for version in ["v1", "v1beta1"] {
        let reply = api.get(&format!("{version}/namespaces/ns/pods/p")).await;
        let expected = format!(
            "{{\"kind\":\"PodMetrics\",\"apiVersion\":\"metrics.k8s.io/{version}\",{}\n",
            concat!(
                r#""metadata":{"name":"p","namespace":"ns","creationTimestamp":"2026-11-22T11:05:41Z","labels":{"app":"x"}},"#,
                r#""timestamp":"2026-11-22T11:05:36Z","window":"10.02s","#,
                r#""containers":[{"name":"c0","usage":{"cpu":"8300499n","memory":"20124Ki"}}]}"#,
            )
        );
        assert_eq!((reply.code, reply.body), (200, expected));
    }
}

#[tokio::test]
async fn lists_are_sorted_and_bare() {
    let api = Api::full();
    let pods = api.get("v1beta1/pods").await;
    assert_eq!(pods.names(), ["a/z", "ns/p", "ns/p-b"]);
    let head = r#"{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":[{"metadata":{"name":"z","namespace":"a","creationTimestamp":"2026-11-22T11:05:41Z"},"timestamp":"#;
    assert!(pods.body.starts_with(head), "no labels, no kind: {}", pods.body);
    let containers = pods.json()["items"][2]["containers"].clone();
    assert_eq!((containers[0]["name"].clone(), containers[1]["name"].clone()), (json!("c0"), json!("c1")));
    assert_eq!(api.get("v1/nodes/").await.names(), ["n1", "n2"]);
    assert_eq!(api.get("v1/namespaces/nowhere/pods").await.names(), Vec::<String>::new());
    let empty = Api::synced().get("v1beta1/pods").await.body;
    assert_eq!(
        empty,
        "{\"kind\":\"PodMetricsList\",\"apiVersion\":\"metrics.k8s.io/v1beta1\",\"metadata\":{},\"items\":[]}\n"
    );
}

#[tokio::test]
async fn selectors() {
    let api = Api::full();
    for (query, expected) in [
        ("labelSelector=app%3Dx", &["ns/p"][..]),
        ("labelSelector=app%20in%20(x,y)", &["ns/p", "ns/p-b"]),
        ("labelSelector=!app", &["a/z"]),
        ("labelSelector=app,tier!%3D1", &["ns/p"]),
        ("labelSelector=", &["a/z", "ns/p", "ns/p-b"]),
        ("fieldSelector=metadata.name%3Dp", &["ns/p"]),
        ("fieldSelector=metadata.name!%3Dp,metadata.namespace%3D%3Dns", &["ns/p-b"]),
        ("fieldSelector=metadata.namespace%3Da&labelSelector=app", &[]),
        ("limit=-1&resourceVersion=any&timeoutSeconds=5", &["a/z", "ns/p", "ns/p-b"]),
    ] {
        assert_eq!(api.get(&format!("v1/pods?{query}")).await.names(), expected, "{query}");
    }
    for (query, expected) in
        [("labelSelector=zone", &["n2"][..]), ("fieldSelector=metadata.namespace%3D", &["n1", "n2"])]
    {
        assert_eq!(api.get(&format!("v1/nodes?{query}")).await.names(), expected, "{query}");
    }
}

#[tokio::test]
async fn errors() {
    let api = Api::full();
    let not_found = "the server could not find the requested resource";
    let method = "the server does not allow this method on the requested resource";
    let field =
        "\"spec.nodeName\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
    let unmeasured =
        "podmetrics.metrics.k8s.io \"ns/unmeasured\" not found: no node has reported the pod yet";
    for (verb, path, code, reason, message) in [
        ("GET", "v1/nodes/x", 404, "NotFound", "node \"x\" not found"),
        ("GET", "v1/namespaces/ns/pods/x", 404, "NotFound", "pods \"x\" not found"),
        ("GET", "v1/namespaces/ns/pods/stopped", 404, "NotFound", "pods \"stopped\" not found"),
        ("GET", "v1/namespaces/ns/pods/unmeasured", 404, "NotFound", unmeasured),
        ("GET", "v1/other", 404, "NotFound", not_found),
        ("GET", "v2/nodes", 404, "NotFound", not_found),
        ("GET", "v1/nodes/n1/status", 404, "NotFound", not_found),
        ("GET", "v1/watch/nodes", 404, "NotFound", not_found),
        ("POST", "v1/nodes", 405, "MethodNotAllowed", method),
        ("DELETE", "v1/namespaces/ns/pods/p", 405, "MethodNotAllowed", method),
        ("HEAD", "v1/nodes", 405, "MethodNotAllowed", method),
        ("OPTIONS", "v1/nodes", 405, "MethodNotAllowed", method),
        ("GET", "v1/pods?fieldSelector=spec.nodeName%3Dn1", 400, "BadRequest", field),
        (
            "GET",
            "v1/pods?timeoutSeconds=x",
            400,
            "BadRequest",
            "strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            "GET",
            "v1/nodes?limit=1&continue=garbage",
            400,
            "BadRequest",
            "continue key is not valid: it is none that this API hands out",
        ),
    ] {
        let reply = api.request(verb, &format!("/apis/metrics.k8s.io/{path}"), None).await;
        let status = reply.json();
        assert_eq!((reply.code, status["reason"].as_str().unwrap()), (code, reason), "{verb} {path}");
        assert_eq!(status["message"].as_str().unwrap(), message, "{verb} {path}");
    }
    assert_eq!(api.get("v1/pods?labelSelector=a%3D%3D%3D").await.code, 400);
    assert_eq!(api.get("v1/pods?resourceVersionMatch=Exact").await.code, 422);
    assert_eq!(api.get("v1/pods?watch=true&sendInitialEvents=true").await.code, 422);
    assert_eq!(api.get("v1/nodes/n1?export=true").await.code, 400);
    assert_eq!(api.get("v1/nodes/x").await.json()["details"], json!({"name": "x", "kind": "node"}));
    let details = json!({"name": "ns/unmeasured", "group": "metrics.k8s.io", "kind": "podmetrics"});
    assert_eq!(api.get("v1/namespaces/ns/pods/unmeasured").await.json()["details"], details);
}

#[tokio::test]
async fn each_version_says_its_own_name_in_every_form() {
    let api = Api::full();
    for (version, other) in [("v1", "metrics.k8s.io/v1beta1"), ("v1beta1", "metrics.k8s.io/v1\"")] {
        let own = format!("metrics.k8s.io/{version}");
        for (path, accept) in [
            ("nodes", "application/json"),
            ("namespaces/ns/pods/p", "application/json"),
            ("nodes/n1", "application/yaml"),
            ("pods", "application/yaml"),
            ("pods", "application/vnd.kubernetes.protobuf"),
            ("nodes/n1", "application/vnd.kubernetes.protobuf"),
            ("nodes?includeObject=Object", TABLE),
        ] {
            let body = api.view(&format!("{version}/{path}"), accept).await.body;
            assert!(body.contains(&own) && !body.contains(other), "{version} {path} {accept}: {body}");
        }
        let events = api.watch(&format!("{version}/nodes?watch=1"), "application/json").await;
        assert_eq!(events.ok().unwrap().next("/apiVersion").await[0].1, own);
        let list = api.request("GET", &format!("/apis/{own}"), None).await.json();
        assert_eq!(list["groupVersion"], own.as_str());
        let document = api.request("GET", &format!("/openapi/v3/apis/{own}"), None).await.body;
        assert!(document.contains(&format!("io.k8s.metrics.pkg.apis.metrics.{version}.NodeMetrics\"")));
    }
}

#[tokio::test]
async fn a_node_that_the_selector_leaves_out_says_so() {
    let node_selector = LabelSelector::parse("zone=b").unwrap();
    let config = Config { node_selector, ..Config::default() };
    let server = MetricsServer::with_clock(config, OwnMetrics::new(), Arc::new(|| NOW_MS));
    let api = Api { handler: server.handler(":4443"), server };
    api.server.cluster().node(NodeChange::All(BTreeMap::new()));
    api.server.cluster().pod(PodChange::All(BTreeMap::new()));
    api.node("n1", &[]);
    api.node("n2", &[("zone", "b")]);
    for (at_ms, round) in [(SAMPLED_MS - 10_000, 0.0), (SAMPLED_MS, 1.0)] {
        api.measure("n2", at_ms, round, &[]);
    }
    assert_eq!(api.get("v1/nodes").await.names(), ["n2"]);
    let message = api.get("v1/nodes/n1").await.json()["message"].clone();
    let expected = "nodemetrics.metrics.k8s.io \"n1\" not found: node n1 is not scraped: it does not match --node-selector";
    assert_eq!(message, expected);
}

#[tokio::test]
async fn a_list_in_pieces() {
    let api = Api::full();
    let first = api.get("v1/pods?limit=2").await;
    assert_eq!(first.names(), ["a/z", "ns/p"]);
    let metadata = first.json()["metadata"].clone();
    assert_eq!(metadata["remainingItemCount"], 2, "one of them has no metrics");
    let version = metadata["resourceVersion"].as_str().unwrap().to_owned();
    let token = metadata["continue"].as_str().unwrap().to_owned();
    let rest = api.get(&format!("v1/pods?limit=2&continue={token}")).await;
    assert_eq!(rest.names(), ["ns/p-b"]);
    assert_eq!(rest.json()["metadata"], json!({"resourceVersion": version}), "the last piece");
    let unlimited = api.get(&format!("v1beta1/pods?continue={token}")).await;
    assert_eq!(unlimited.names(), ["ns/p-b"]);
    let selected =
        api.get("v1/namespaces/ns/pods?limit=1&labelSelector=app").await.json()["metadata"].clone();
    assert!(selected["continue"].is_string() && selected["remainingItemCount"].is_null(), "{selected}");
    let table = api.view("v1/nodes?limit=1", TABLE).await.json();
    assert_eq!(table["rows"].as_array().unwrap().len(), 1);
    assert!(table["metadata"]["continue"].is_string(), "{table}");
    let all = api.view("v1/nodes?limit=500", TABLE).await.json();
    assert!(all["metadata"]["continue"].is_null() && all["metadata"]["resourceVersion"].is_string(), "{all}");
    let yaml = api.view("v1/nodes?limit=1", "application/yaml").await.body;
    assert!(yaml.contains("continue: "), "{yaml}");
    let protobuf = api.view("v1/nodes?limit=1", "application/vnd.kubernetes.protobuf").await;
    assert!(protobuf.body.contains("n1") && !protobuf.body.contains("n2"));
}

/// A watch that is open.
struct Events {
    body: flyball_apiserver::Body,
    content_type: String,
}

impl Events {
    async fn chunk(&mut self) -> Vec<u8> {
        let frame = tokio::time::timeout(std::time::Duration::from_secs(60), self.body.frame());
        frame.await.unwrap().unwrap().unwrap().into_data().unwrap().to_vec()
    }

    /// The next events, as type and the path below the object.
    async fn next(&mut self, path: &str) -> Vec<(String, String)> {
        let text = String::from_utf8(self.chunk().await).unwrap();
        let show = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap();
            let shown =
                event["object"].pointer(path).map_or_else(String::new, |value| match value.as_str() {
                    Some(text) => text.to_owned(),
                    None => value.to_string(),
                });
            (event["type"].as_str().unwrap().to_owned(), shown)
        };
        text.lines().map(show).collect()
    }
}

impl Api {
    async fn watch(&self, target: &str, accept: &str) -> Result<Events, Reply> {
        let target = format!("/apis/metrics.k8s.io/{target}");
        let builder = http::Request::builder().uri(&target).header("accept", accept);
        let (parts, ()) = builder.body(()).unwrap().into_parts();
        let request = Request::new(parts, User::new("bob", ["g"]), LimitedBody::from_bytes(Vec::new()));
        let response = self.handler.handle(request).await;
        if response.status() != 200 {
            return Err(self.request("GET", &target, Some(accept)).await);
        }
        let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        Ok(Events { body: response.into_body(), content_type })
    }
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(kind, name)| ((*kind).to_owned(), (*name).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_what_changes() {
    let api = Api::full();
    let mut events = api.watch("v1/namespaces/ns/pods?watch=true", "application/json").await.ok().unwrap();
    assert_eq!(events.content_type, "application/json");
    assert_eq!(events.next("/metadata/name").await, pairs(&[("ADDED", "p"), ("ADDED", "p-b")]));
    let pods = [("ns", "p", "c0"), ("ns", "unmeasured", "c")];
    api.measure("n1", SAMPLED_MS + 10_000, 2.0, &pods);
    let changed = pairs(&[("MODIFIED", "p"), ("DELETED", "p-b")]);
    assert_eq!(events.next("/metadata/name").await, changed, "a first sample is no change");
    api.measure("n1", SAMPLED_MS + 20_000, 3.0, &pods);
    let timestamp = "2026-11-22T11:05:56Z";
    let both = pairs(&[("MODIFIED", timestamp), ("ADDED", timestamp)]);
    assert_eq!(events.next("/timestamp").await, both);
    api.server.cluster().pod(PodChange::Gone("ns".to_owned(), "p".to_owned()));
    assert_eq!(events.next("").await.len(), 1);
    api.pod("ns", "unmeasured", &[("app", "z")]);
    assert_eq!(events.next("/metadata/labels/app").await, pairs(&[("MODIFIED", "z")]));
}

#[tokio::test(start_paused = true)]
async fn new_samples_are_told_at_once_and_not_too_often() {
    let api = Api::full();
    let mut events = api.watch("v1/nodes?watch=true", "application/json").await.ok().unwrap();
    events.next("").await;
    let millis = std::time::Duration::from_millis;
    for round in 1..4 {
        // Somewhere between two rounds that the clock alone would bring.
        let measured = async {
            tokio::time::sleep(millis(1370)).await;
            api.measure("n1", SAMPLED_MS + 10_000 * round, 1.0 + round as f64, &[]);
            tokio::time::Instant::now()
        };
        let (told, came) = tokio::join!(events.next("/metadata/name"), measured);
        assert_eq!(told.len(), 1);
        assert!(came.elapsed() < millis(20), "{:?}", came.elapsed());
    }
    api.measure("n1", SAMPLED_MS + 50_000, 9.0, &[]);
    let came = tokio::time::Instant::now();
    assert_eq!(events.next("/metadata/name").await.len(), 1);
    assert!((millis(150)..millis(400)).contains(&came.elapsed()), "{:?}", came.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_where_a_list_ended() {
    let api = Api::full();
    let first = api.get("v1/pods?limit=1&labelSelector=app").await.json()["metadata"].clone();
    let token = first["continue"].as_str().unwrap();
    api.get(&format!("v1/pods?limit=1&labelSelector=app&continue={token}")).await;
    let version = first["resourceVersion"].as_str().unwrap();
    let target = format!("v1beta1/pods?watch=1&labelSelector=app&resourceVersion={version}&timeoutSeconds=5");
    let mut events = api.watch(&target, "application/json").await.ok().unwrap();
    api.server.cluster().pod(PodChange::Gone("ns".to_owned(), "p".to_owned()));
    assert_eq!(events.next("/apiVersion").await, pairs(&[("DELETED", "metrics.k8s.io/v1beta1")]));
    assert!(events.body.frame().await.is_none(), "the client's time is over");
    for (query, why) in [
        (format!("resourceVersion={version}"), "of other objects"),
        ("resourceVersion=7".to_owned(), "of another server"),
        ("resourceVersion=x".to_owned(), "no version"),
    ] {
        let refused = api.watch(&format!("v1/pods?watch=1&{query}"), "application/json").await.err().unwrap();
        assert_eq!((refused.code, refused.json()["reason"].clone()), (410, json!("Expired")), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_may_be_resumed_with_the_version_of_its_last_event() {
    let api = Api::full();
    let mut events =
        api.watch("v1/nodes?watch=true&timeoutSeconds=3", "application/json").await.ok().unwrap();
    let seen = events.next("/metadata/resourceVersion").await;
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[0].1, seen[1].1, "only the last of a round names the new state");
    assert!(events.body.frame().await.is_none());
    let target = format!("v1/nodes?watch=true&resourceVersion={}", seen[1].1);
    let mut again = api.watch(&target, "application/json").await.ok().unwrap();
    api.server.cluster().node(NodeChange::Gone("n2".to_owned()));
    assert_eq!(again.next("/metadata/name").await, pairs(&[("DELETED", "n2")]));
}

#[tokio::test(start_paused = true)]
async fn watches_in_other_forms() {
    let api = Api::full();
    let mut table = api.watch("v1/nodes?watch=true", TABLE).await.ok().unwrap();
    let text = String::from_utf8(table.chunk().await).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["object"]["columnDefinitions"][1]["name"], "cpu");
    assert_eq!(lines[1]["object"]["columnDefinitions"], Value::Null, "once is enough");
    assert_eq!(lines[1]["object"]["rows"][0]["cells"][0], "n2");
    let partial = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let mut partial = api.watch("v1/nodes?watch=true", partial).await.ok().unwrap();
    assert_eq!(partial.next("/kind").await[0].1, "PartialObjectMetadata");
    let mut protobuf =
        api.watch("v1/nodes?watch=true", "application/vnd.kubernetes.protobuf").await.ok().unwrap();
    assert_eq!(protobuf.content_type, "application/vnd.kubernetes.protobuf;stream=watch");
    let bytes = protobuf.chunk().await;
    let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    assert_eq!(&bytes[4..11], b"\x0a\x05ADDED");
    assert_eq!(&bytes[4 + length + 4..4 + length + 11], b"\x0a\x05ADDED", "the next frame");
    assert!(bytes[..4 + length].windows(4).any(|four| four == b"k8s\0"));
    let refused = api.watch("v1/nodes?watch=true", "application/yaml").await.err().unwrap();
    assert_eq!(refused.code, 406);
}

#[tokio::test]
async fn too_many_watches_are_refused() {
    let api = Api::full();
    let mut open = Vec::new();
    let refused = loop {
        match api.watch("v1/nodes?watch=true", "application/json").await {
            Ok(events) => open.push(events),
            Err(refused) => break refused,
        }
    };
    assert_eq!((refused.code, open.len()), (429, 200));
    drop(open);
    assert!(api.watch("v1/nodes?watch=true", "application/json").await.is_ok());
    let before_data = Api::empty().watch("v1/nodes?watch=true", "application/json").await.err().unwrap();
    assert_eq!(before_data.code, 503);
}

#[tokio::test]
async fn tables() {
    let api = Api::full();
    let table = api.view("v1beta1/namespaces/ns/pods", TABLE).await.json();
    let columns: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(columns, ["Name", "cpu", "memory", "Window"]);
    let cells = table["rows"][1]["cells"].clone();
    assert_eq!(cells[0], "p-b");
    assert_eq!(cells[1], "16600998n", "the sum of both containers");
    assert_eq!((cells[2].clone(), cells[3].clone()), (json!("40248Ki"), json!("10.02s")));
    assert_eq!(table["rows"][1]["object"]["kind"], "PartialObjectMetadata");
    let full = api.view("v1beta1/nodes?includeObject=Object", TABLE).await.json();
    assert_eq!(full["rows"][0]["object"]["apiVersion"], "metrics.k8s.io/v1beta1");
    assert_eq!(
        api.view("v1beta1/nodes?includeObject=None", TABLE).await.json()["rows"][0]["object"],
        Value::Null
    );
    assert_eq!(api.view("v1beta1/nodes?includeObject=All", TABLE).await.code, 400);
    let empty = api.view("v1/namespaces/nowhere/pods", TABLE).await;
    assert_eq!(
        empty.body,
        "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{},\"columnDefinitions\":null,\"rows\":null}\n"
    );
    assert_eq!(api.view("v1/nodes/n1", TABLE).await.json()["rows"][0]["cells"][0], "n1");
}

#[tokio::test]
async fn metadata_views_and_yaml() {
    let api = Api::full();
    let view = |kind: &str| format!("application/json;as={kind};v=v1;g=meta.k8s.io");
    let one = api.view("v1/nodes/n1", &view("PartialObjectMetadata")).await.json();
    assert_eq!(
        (one["kind"].clone(), one["metadata"]["name"].clone()),
        (json!("PartialObjectMetadata"), json!("n1"))
    );
    assert_eq!(api.view("v1/nodes", &view("PartialObjectMetadata")).await.code, 406);
    let list = api.view("v1/nodes", &view("PartialObjectMetadataList")).await.json();
    assert_eq!(
        (list["kind"].clone(), list["items"][1]["kind"].clone()),
        (json!("PartialObjectMetadataList"), json!("PartialObjectMetadata"))
    );
    let yaml = api.view("v1/nodes/n1", "application/yaml").await.body;
    assert!(yaml.contains("kind: NodeMetrics\n"), "{yaml}");
}

/// What kubectl top and kube-controller-manager ask for.
#[tokio::test]
async fn protobuf_for_those_who_prefer_it() {
    const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
    let api = Api::full();
    let is = |reply: &Reply, version: &str, kind: &str| {
        assert_eq!(reply.content_type, PROTOBUF);
        // Magic, envelope, type: apiVersion and kind stand at the beginning.
        let start = String::from_utf8_lossy(&reply.bytes[..80.min(reply.bytes.len())]).into_owned();
        assert!(start.starts_with("k8s\0") && start.contains(version) && start.contains(kind), "{start:?}");
    };
    for (path, version, kind) in [
        ("v1/nodes", "metrics.k8s.io/v1", "NodeMetricsList"),
        ("v1beta1/nodes/n1", "metrics.k8s.io/v1beta1", "NodeMetrics"),
        ("v1beta1/pods", "metrics.k8s.io/v1beta1", "PodMetricsList"),
        ("v1/namespaces/ns/pods/p", "metrics.k8s.io/v1", "PodMetrics"),
    ] {
        is(&api.view(path, &format!("{PROTOBUF}, */*")).await, version, kind);
    }
    let view = |kind: &str| format!("{PROTOBUF};as={kind};v=v1;g=meta.k8s.io");
    is(
        &api.view("v1/nodes/n1", &view("PartialObjectMetadata")).await,
        "meta.k8s.io/v1",
        "PartialObjectMetadata",
    );
    let list = api.view("v1/nodes", &view("PartialObjectMetadataList")).await;
    is(&list, "meta.k8s.io/v1", "PartialObjectMetadataList");
    let missing = api.view("v1/nodes/nope", PROTOBUF).await;
    assert_eq!(missing.code, 404);
    is(&missing, "v1", "Status");
    assert_eq!(api.view("v1/nodes", &view("Table")).await.code, 406);
    let table = api.view("v1/nodes", &format!("{},application/json", view("Table"))).await;
    assert_eq!(table.json()["kind"], "NodeMetricsList");
}

#[tokio::test]
async fn before_data_the_reason_is_told_and_discovery_answers() {
    let api = Api::empty();
    let message = |reply: &Reply| reply.json()["message"].as_str().unwrap().to_owned();
    let waiting = api.get("v1/nodes").await;
    assert_eq!(waiting.code, 503);
    assert_eq!(
        message(&waiting),
        "metrics are not available yet: waiting for the list of nodes from the API server"
    );

    api.server.cluster().node(NodeChange::All(BTreeMap::new()));
    assert_eq!(
        message(&api.get("v1/pods").await),
        "metrics are not available yet: waiting for the list of pods from the API server"
    );
    api.server.cluster().pod(PodChange::All(BTreeMap::new()));
    assert_eq!(
        api.get("v1/nodes").await.names(),
        Vec::<String>::new(),
        "an empty cluster has nothing to wait for"
    );
    assert_eq!(api.request("GET", "/readyz", None).await.code, 200);

    api.node("n1", &[]);
    assert_eq!(
        message(&api.get("v1/nodes/n1").await),
        "metrics are not available: no node has been scraped yet"
    );
    let outcome =
        Outcome::Failed { reason: "time-out after 10 s while connecting (10.0.0.1:10250)".to_owned() };
    api.server.store().accept(&Batch {
        node: "n1".to_owned(),
        started_ms: NOW_MS,
        finished_ms: NOW_MS,
        outcome,
    });
    let failed = message(&api.get("v1/pods").await);
    assert!(failed.ends_with("node n1: time-out after 10 s while connecting (10.0.0.1:10250)"), "{failed}");
    api.measure("n1", SAMPLED_MS, 0.0, &[]);
    assert!(
        message(&api.get("v1/nodes").await)
            .ends_with("usage needs two samples of a node, and there is one so far")
    );
    let not_ready = api.request("GET", "/readyz", None).await;
    assert!(
        not_ready.code == 500 && not_ready.body.contains("[-]metric-storage-ready failed"),
        "{}",
        not_ready.body
    );

    for path in [
        "/apis",
        "/apis/metrics.k8s.io",
        "/apis/metrics.k8s.io/v1",
        "/apis/metrics.k8s.io/v1beta1",
        "/openapi/v3",
        "/livez",
        "/healthz",
    ] {
        assert_eq!(api.request("GET", path, None).await.code, 200, "{path}");
    }
}

#[tokio::test]
async fn discovery() {
    let api = Api::synced();
    let list = api.request("GET", "/apis/metrics.k8s.io/v1beta1", None).await.json();
    let expected = json!([
        {"name": "nodes", "singularName": "", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get", "list", "watch"]},
        {"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": ["get", "list", "watch"]},
    ]);
    assert_eq!(
        (list["groupVersion"].clone(), list["resources"].clone()),
        (json!("metrics.k8s.io/v1beta1"), expected)
    );
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let groups = api.request("GET", "/apis", Some(aggregated)).await.json();
    let versions = groups["items"][0]["versions"].clone();
    assert_eq!(
        (versions[0]["version"].clone(), versions[1]["version"].clone()),
        (json!("v1"), json!("v1beta1"))
    );
    let resource = versions[0]["resources"][1].clone();
    assert_eq!(versions[0]["freshness"], "Current");
    assert_eq!(
        resource["responseKind"],
        json!({"group": "metrics.k8s.io", "version": "v1", "kind": "PodMetrics"})
    );
    let document = api.request("GET", "/openapi/v3/apis/metrics.k8s.io/v1", None).await.json();
    assert!(
        document["paths"]["/apis/metrics.k8s.io/v1/namespaces/{namespace}/pods"]["get"]["operationId"]
            .is_string()
    );
}

#[tokio::test]
async fn probes_and_own_metrics() {
    let api = Api::full();
    let ready = api.request("GET", "/readyz?verbose", None).await;
    let names: Vec<&str> =
        ready.body.lines().filter_map(|line| line.strip_prefix("[+]")?.strip_suffix(" ok")).collect();
    let expected = [
        "ping",
        "log",
        "poststarthook/max-in-flight-filter",
        "poststarthook/storage-object-count-tracker-hook",
        "metric-storage-ready",
        "metric-informer-sync",
        "metadata-informer-sync",
        "shutdown",
    ];
    assert_eq!(names, expected, "{}", ready.body);
    let live = api.request("GET", "/livez?verbose", None).await;
    assert!(
        live.body.contains("[+]metric-collection-timely ok\n[+]metadata-informer-sync ok\n"),
        "{}",
        live.body
    );
    api.get("v1/pods").await;
    let page = api.request("GET", "/metrics", None).await.body;
    for line in [
        "metrics_server_storage_points{type=\"container\"} 5",
        "metrics_server_storage_points{type=\"node\"} 2",
        "metrics_server_api_metric_freshness_seconds_count 3",
    ] {
        assert!(page.contains(line), "{line} in\n{page}");
    }
}

#[tokio::test]
async fn pods_that_stop_and_nodes_that_go_disappear() {
    let api = Api::full();
    api.server.cluster().pod(PodChange::Gone("ns".to_owned(), "p".to_owned()));
    assert_eq!(api.get("v1/pods").await.names(), ["a/z", "ns/p-b"]);
    assert_eq!(api.get("v1/namespaces/ns/pods/p").await.code, 404);
    api.server.cluster().node(NodeChange::Gone("n2".to_owned()));
    assert_eq!(api.get("v1/nodes").await.names(), ["n1"]);
}
