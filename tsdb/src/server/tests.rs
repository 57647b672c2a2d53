//! History as a process runs it: batches in, answers out, and what goes wrong on the way.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

use flyball_apiserver::{LimitedBody, User};
use flyball_model::batch::{Batch, Outcome, Sink as _};
use flyball_model::exposition::Format;
use flyball_model::samples::Samples;
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::*;
use crate::api::facts::{BookVisitor, Dropped, Metadata, Target};
use crate::store::FLUSH_INTERVAL;

struct NoTargets;

impl Scraped for NoTargets {
    fn targets(&self) -> Vec<Target> {
        Vec::new()
    }

    fn dropped(&self) -> Dropped {
        Dropped::default()
    }

    fn metadata(&self) -> BTreeMap<String, Vec<Metadata>> {
        let up =
            Metadata { kind: "gauge".into(), help: "Whether the scrape worked".into(), unit: String::new() };
        BTreeMap::from([("up".to_owned(), vec![up])])
    }

    fn each_book(&self, _: &mut BookVisitor<'_>) {}

    fn reload(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Err("p.yml:1: there is no such field".to_owned())))
    }

    fn configuration(&self) -> Configuration {
        Configuration { text: "scrape_configs: []".into(), is_current: false, loaded_ms: 1000 }
    }
}

fn start(dir: &Path, store: Settings) -> (History, Advice) {
    start_with(dir, store, |_| {})
}

fn start_with(dir: &Path, store: Settings, change: impl FnOnce(&mut Setup)) -> (History, Advice) {
    let advice = Advice::new();
    let mut setup = Setup {
        dir: dir.to_owned(),
        store,
        flush_interval: FLUSH_INTERVAL,
        scrape_interval: Duration::from_secs(15),
        options: Options::default(),
        limits: Limits::default(),
        advice: advice.clone(),
    };
    change(&mut setup);
    let about = |_: &Arc<NodeSink>| About {
        scraped: Arc::new(NoTargets),
        flags: BTreeMap::new(),
        retention: "15d".into(),
    };
    (History::start(setup, about, &OwnMetrics::new()).unwrap(), advice)
}

fn batch(node: &str, at_ms: i64, text: &str) -> Batch {
    let samples = Samples::read(text.to_owned(), Format::Text004).unwrap();
    let outcome = Outcome::Scraped { samples, sweep_interval_ms: Some(1000) };
    Batch { node: node.into(), started_ms: at_ms, finished_ms: at_ms + 10, outcome }
}

const PODS: &str = "container_cpu_usage_seconds_total{container=\"c\",namespace=\"shop\",pod=\"a\"} 1.5\n\
    container_cpu_usage_seconds_total{container=\"c\",namespace=\"bank\",pod=\"b\"} 2.5\n";

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

async fn send(history: &History, method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = http::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let request = Request::new(parts, User::default(), LimitedBody::from_bytes(body.to_owned()));
    let (parts, body) = history.part().handler.handle(request).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

async fn get(history: &History, uri: &str) -> Value {
    send(history, "GET", uri, &[], "").await.json()
}

/// Asks until the answer is as wanted, for a machine that is busy.
async fn eventually(history: &History, uri: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let answer = get(history, uri).await;
        if wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{uri}: {answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn results(answer: &Value) -> usize {
    answer["data"]["result"].as_array().map_or(0, Vec::len)
}

const ALL: &str = "/api/v1/query?query=container_cpu_usage_seconds_total";

#[tokio::test]
async fn what_nodes_say_can_be_asked_for_at_both_doors() {
    let dir = tempfile::tempdir().unwrap();
    let (history, _) = start(dir.path(), Settings::default());
    history.sink().accept(&batch("n1", now_ms(), PODS));
    let answer = eventually(&history, ALL, |answer| results(answer) == 2).await;
    let metric = &answer["data"]["result"][0]["metric"];
    let text = metric.to_string();
    assert_eq!(
        text,
        r#"{"__name__":"container_cpu_usage_seconds_total","container":"c","instance":"n1","job":"kubelet","metrics_path":"/metrics/resource","namespace":"bank","node":"n1","pod":"b"}"#
    );
    let group = "/apis/history.flyball.io/v1";
    let query = "query?query=container_cpu_usage_seconds_total";
    assert_eq!(results(&get(&history, &format!("{group}/{query}")).await), 2);
    let of_shop = get(&history, &format!("{group}/namespaces/shop/{query}")).await;
    assert_eq!(results(&of_shop), 1);
    assert_eq!(of_shop["data"]["result"][0]["metric"]["pod"], "a");
    let pods = get(&history, &format!("{group}/namespaces/shop/label/pod/values")).await;
    assert_eq!(pods["data"], serde_json::json!(["a"]));
    let targets = send(&history, "GET", &format!("{group}/namespaces/shop/targets"), &[], "").await;
    assert_eq!((targets.status, targets.json()["kind"].clone()), (404, "Status".into()));
    assert_eq!(results(&get(&history, "/api/v1/query?query=up==1").await), 1);
}

#[tokio::test]
async fn whether_it_is_there_and_reading_its_file_again() {
    let dir = tempfile::tempdir().unwrap();
    let (history, _) = start(dir.path(), Settings::default());
    let text = async |method: &str, path: &str| {
        let answer = send(&history, method, path, &[], "").await;
        (answer.status, String::from_utf8(answer.body).unwrap())
    };
    assert_eq!(text("GET", "/-/healthy").await, (200, "history is healthy\n".to_owned()));
    eventually(&history, ALL, |answer| answer["status"] == "success").await;
    assert_eq!(text("GET", "/-/ready").await, (200, "history is ready\n".to_owned()));
    assert_eq!(text("POST", "/-/ready").await.0, 405);
    assert_eq!(text("GET", "/-/reload").await, (405, "Only POST or PUT requests allowed\n".to_owned()));
    let wrong = "failed to reload config: p.yml:1: there is no such field\n";
    assert_eq!(text("POST", "/-/reload").await, (500, wrong.to_owned()));
    // Another store on the same folder is there, and not ready.
    let (second, _) = start(dir.path(), Settings::default());
    let asked = send(&second, "GET", "/-/ready", &[], "").await;
    assert!(asked.status == 503 && asked.body.starts_with(b"history is not available: "));
    assert_eq!(send(&second, "GET", "/-/healthy", &[], "").await.status, 200);
    // These paths are asked for as they stand.
    assert!(history.part().paths.iter().all(|path| path.starts_with("/-/")));
}

#[tokio::test]
async fn a_node_that_is_gone_ends_and_what_was_flushed_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (history, _) = start(dir.path(), Settings::default());
    history.sink().accept(&batch("n1", now_ms() - 1000, PODS));
    history.sink().accept(&batch("n2", now_ms() - 1000, "x 1\n"));
    eventually(&history, "/api/v1/query?query=up", |answer| results(answer) == 2).await;
    assert!(history.sink().retain(&["n2".to_owned()].into()));
    eventually(&history, "/api/v1/query?query=up", |answer| results(answer) == 1).await;
    assert_eq!(results(&get(&history, ALL).await), 0);
    drop(history);
    let (history, advice) = start(dir.path(), Settings::default());
    eventually(&history, "/api/v1/query?query=x", |answer| results(answer) == 1).await;
    assert_eq!(advice.all(), []);
}

#[test]
fn who_may_wait_finds_the_store_open_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (history, advice) = start(dir.path(), Settings::default());
    let appender = history.appender();
    assert!(appender.store().is_ok(), "{:?}", appender.store().err());
    assert_eq!(advice.all(), []);
    // Nobody waits for long where it cannot be opened.
    let (second, _) = start(dir.path(), Settings::default());
    let reason = second.appender().store().err().unwrap();
    assert!(reason.contains("in use by another process"), "{reason}");
}

#[tokio::test]
async fn a_folder_in_use_is_told_and_taken_when_it_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = start(dir.path(), Settings::default());
    eventually(&first, ALL, |answer| answer["status"] == "success").await;
    let (second, advice) = start(dir.path(), Settings::default());
    let told = eventually(&second, ALL, |answer| answer.to_string().contains("in use")).await;
    assert_eq!(told["errorType"], "unavailable");
    assert!(advice.of("history").unwrap().contains("in use by another process"));
    // Batches wait meanwhile.
    second.sink().accept(&batch("n1", now_ms(), PODS));
    drop(first);
    eventually(&second, ALL, |answer| results(answer) == 2).await;
    assert_eq!(advice.of("history"), None);
}

#[tokio::test]
async fn a_full_disk_stops_storing_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    // More than any disk has free.
    let (history, _) = start(dir.path(), Settings { reserve_bytes: u64::MAX, ..Settings::default() });
    history.sink().accept(&batch("n1", now_ms() - 2000, PODS));
    eventually(&history, ALL, |answer| results(answer) == 2).await;
    let store = history.appender();
    let deadline = Instant::now() + Duration::from_secs(120);
    while store.store().unwrap().report().unwrap().stopped.is_none() {
        assert!(Instant::now() < deadline, "the flush does not fail");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    history.sink().accept(&batch("n2", now_ms(), PODS));
    while !history.sink().counts().all_dropped().contains_key("stopped") {
        assert!(Instant::now() < deadline, "{:?}", history.sink().counts());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(results(&get(&history, ALL).await), 2, "queries go on");
    let report = store.store().unwrap().report().unwrap();
    assert!(report.stopped.unwrap().contains("is full"));
}

#[tokio::test]
async fn a_damaged_store_opens_with_what_is_good_and_says_what_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (history, _) = start(dir.path(), Settings::default());
    history.sink().accept(&batch("n1", now_ms(), PODS));
    eventually(&history, ALL, |answer| results(answer) == 2).await;
    drop(history);
    std::fs::write(dir.path().join("hot").join("snap.7FFFFFFFFFFFFF00"), "no such thing").unwrap();
    let (history, advice) = start(dir.path(), Settings::default());
    let info =
        eventually(&history, "/api/v1/status/runtimeinfo", |answer| answer["status"] == "success").await;
    assert_eq!(info["data"]["corruptionCount"], 1);
    assert!(advice.of("history-damage").unwrap().contains("moved to"), "{:?}", advice.all());
    assert_eq!(results(&get(&history, ALL).await), 0);
    history.sink().accept(&batch("n1", now_ms(), PODS));
    eventually(&history, ALL, |answer| results(answer) == 2).await;
}

#[tokio::test]
async fn a_snapshot_is_a_store_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (history, _) = start(dir.path(), Settings::default());
    history.sink().accept(&batch("n1", now_ms(), PODS));
    eventually(&history, ALL, |answer| results(answer) == 2).await;
    let path = "/api/v1/admin/tsdb/snapshot";
    assert_eq!(send(&history, "GET", path, &[], "").await.status, 405);
    let made = send(&history, "POST", path, &[], "").await.json();
    let copy = dir.path().join(SNAPSHOTS_FOLDER).join(made["data"]["name"].as_str().unwrap());
    let (copied, _) = start(&copy, Settings::default());
    eventually(&copied, ALL, |answer| results(answer) == 2).await;
}

/// What Grafana's Prometheus data source sends, as its server sends it.
const GRAFANA: [(&str, &str, &str); 12] = [
    ("POST", "/api/v1/query", "query=1%2B1&time=4"),
    ("GET", "/api/v1/status/buildinfo", ""),
    ("GET", "/api/v1/rules", ""),
    ("GET", "/api/v1/query_exemplars?query=test&start=1700000000.000&end=1700000060.000", ""),
    ("GET", "/api/v1/metadata", ""),
    ("POST", "/api/v1/labels", "start=1&end=9999999999&match%5B%5D=up"),
    ("GET", "/api/v1/labels?start=1&end=9999999999", ""),
    ("GET", "/api/v1/label/__name__/values?start=1&end=9999999999", ""),
    (
        "GET",
        "/api/v1/label/pod/values?start=1&end=9999999999&match%5B%5D=container_cpu_usage_seconds_total",
        "",
    ),
    ("POST", "/api/v1/series", "start=1&end=9999999999&match%5B%5D=up"),
    ("POST", "/api/v1/query_range", "query=RANGE&start=START&end=END&step=15"),
    ("POST", "/api/v1/query", "query=sum+by+%28pod%29+%28container_cpu_usage_seconds_total%29"),
];

#[tokio::test]
async fn grafanas_requests_are_answered_as_it_wants_them() {
    let dir = tempfile::tempdir().unwrap();
    let (history, _) = start(dir.path(), Settings::default());
    let now = now_ms();
    history.sink().accept(&batch("n1", now - 15_000, PODS));
    history.sink().accept(&batch("n1", now, PODS));
    eventually(&history, "/api/v1/query?query=count_over_time(up[1m])==2", |answer| results(answer) == 1)
        .await;
    let headers = [
        ("user-agent", "Grafana/12.1.0"),
        ("accept-encoding", "gzip"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-datasource-uid", "P1809F7CD0C75ACF3"),
        ("x-grafana-org-id", "1"),
    ];
    let mut data = Vec::new();
    for (method, uri, form) in GRAFANA {
        let form = form
            .replace("RANGE", "container_cpu_usage_seconds_total")
            .replace("START", &format!("{}", (now - 60_000) as f64 / 1e3))
            .replace("END", &format!("{}", now as f64 / 1e3));
        let answer = send(&history, method, uri, &headers, &form).await;
        assert_eq!(answer.status, 200, "{method} {uri}: {}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.headers["content-type"], "application/json", "{uri}");
        let body = match answer.headers.get("content-encoding") {
            Some(_) => {
                let mut text = Vec::new();
                flate2::read::GzDecoder::new(answer.body.as_slice()).read_to_end(&mut text).unwrap();
                text
            }
            None => answer.body,
        };
        let json: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["status"], "success", "{uri}");
        data.push(json["data"].clone());
    }
    assert_eq!(data[0], serde_json::json!({"resultType": "scalar", "result": [4, "2"]}), "the health check");
    assert_eq!(data[1]["version"], "3.5.0");
    assert_eq!(data[2], serde_json::json!({"groups": []}));
    assert_eq!(data[3], serde_json::json!([]));
    assert_eq!(data[4]["up"][0]["type"], "gauge");
    assert_eq!(data[5], serde_json::json!(["__name__", "instance", "job", "metrics_path", "node"]));
    assert!(data[6].as_array().unwrap().contains(&"pod".into()));
    assert!(data[7].as_array().unwrap().contains(&"scrape_samples_scraped".into()));
    assert_eq!(data[8], serde_json::json!(["a", "b"]));
    assert_eq!(data[9][0]["node"], "n1");
    assert_eq!(
        (&data[10]["resultType"], data[10]["result"].as_array().unwrap().len()),
        (&"matrix".into(), 2)
    );
    assert_eq!(data[11]["result"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn queries_that_want_too_much_are_refused_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (history, _) = start_with(dir.path(), Settings::default(), |setup| {
        setup.options.max_samples = 100;
        setup.limits.timeout = Duration::from_millis(1);
    });
    history.sink().accept(&batch("n1", now_ms(), PODS));
    // Without a query the time is enough.
    eventually(&history, "/api/v1/status/buildinfo", |answer| answer["status"] == "success").await;
    for query in ["count_over_time(vector(1)[1d:1s])", "sum(sum_over_time(vector(1)[300d:1m]))"] {
        let answer = send(&history, "GET", &format!("/api/v1/query?query={query}"), &[], "").await;
        let kind = answer.json()["errorType"].clone();
        assert!(
            [422, 503].contains(&answer.status) && (kind == "execution" || kind == "timeout"),
            "{query}: {kind}"
        );
    }
    eventually(&history, "/api/v1/status/runtimeinfo", |answer| answer["status"] == "success").await;
}

#[tokio::test]
async fn errors_are_prometheus_errors() {
    let dir = tempfile::tempdir().unwrap();
    let (history, _) = start(dir.path(), Settings::default());
    eventually(&history, ALL, |answer| answer["status"] == "success").await;
    for (uri, status, kind) in [
        ("/api/v1/query?query=(", 400, "bad_data"),
        ("/api/v1/query_range?query=up&start=2&end=1&step=1", 400, "bad_data"),
        ("/api/v1/series", 400, "bad_data"),
        ("/api/v1/query?query=count_over_time(vector(1)[10000d:1ms])", 422, "execution"),
    ] {
        let answer = send(&history, "GET", uri, &[], "").await;
        let json = answer.json();
        assert_eq!((answer.status, &json["errorType"]), (status, &kind.into()), "{uri}: {json}");
    }
}
