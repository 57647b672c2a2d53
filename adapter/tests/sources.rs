//! Many clients on one rule, several sources behind one API, and what happens when one of them fails.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests with servers and files of their own"
)]

mod common;

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{CONFIG, SERIES, Simulated, adapter, failure, file, get, prometheus, source, unlooked};
use flyball_adapter::backends::{HttpSettings, Token};
use flyball_adapter::sources::{Group, Names, ProxiedSettings, SourceKind};
use flyball_adapter::{OwnSeries, ScrapeInterval, Settings};
use flyball_model::labels::Labels;
use flyball_model::selector::LabelSelector;
use flyball_tsdb::series::Point;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const CUSTOM: &str = "/apis/custom.metrics.k8s.io/v1beta2";
const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1";

/// Between two samples of the own store.
fn scrapes() -> ScrapeInterval {
    Arc::new(|| Duration::from_secs(15))
}

#[tokio::test]
async fn many_autoscalers_on_one_rule_cost_one_query_per_interval() {
    let simulated = Simulated::of(SERIES).await;
    let (_folder, path) = file(CONFIG);
    let mut http = Box::new(HttpSettings::new(&simulated.url).unwrap());
    // One interval, and nobody late, however busy the machine is.
    (http.scrape_interval, http.timeout) = (Duration::from_secs(600), Duration::from_secs(120));
    let sources = vec![source("prom", SourceKind::Prometheus { http, automatic: None })];
    let adapter = adapter(Settings { sources, config: Some(path), ..Settings::default() }).await;
    let targets = [
        format!("{CUSTOM}/namespaces/shop/pods/*/http_requests?labelSelector=app%3Dcart"),
        format!("{CUSTOM}/namespaces/shop/pods/*/http_requests?labelSelector=app%3Dweb"),
        format!("{CUSTOM}/namespaces/other/pods/*/http_requests"),
        format!("{CUSTOM}/namespaces/shop/pods/cart-2/http_requests"),
    ];
    // Until it is seen that there are several, each has its own query; from the second one on they share. A namespace that
    // was not asked for before has its own once more.
    for target in &targets {
        assert_eq!(get(&adapter, target).await.0, 200, "{target}");
    }
    assert_eq!(simulated.count("query"), 3);
    let all =
        futures_util::future::join_all((0..1000).map(|number| get(&adapter, &targets[number % 4]))).await;
    assert!(all.iter().all(|(code, _)| *code == 200));
    assert_eq!(simulated.count("query"), 3, "the answers are kept");
    let (_, body) = get(&adapter, &targets[2]).await;
    assert_eq!(body["items"][0]["value"], "100", "each namespace has its own: {body}");
}

#[tokio::test]
async fn a_query_for_all_that_takes_too_long_does_not_stand_in_the_way_of_each_one() {
    let simulated = Simulated::of(SERIES).await;
    let (_folder, path) = file(CONFIG);
    let mut http = Box::new(HttpSettings::new(&simulated.url).unwrap());
    http.timeout = Duration::from_millis(300);
    let sources = vec![source("prom", SourceKind::Prometheus { http, automatic: None })];
    let adapter = adapter(Settings { sources, config: Some(path), ..Settings::default() }).await;
    // The query for all has no namespace of its own.
    *simulated.answers_only.lock().unwrap() = Some("namespace=\"shop\"");
    let target = |pod: &str| format!("{CUSTOM}/namespaces/shop/pods/{pod}/http_requests");
    assert_eq!(get(&adapter, &target("cart-1")).await.0, 200, "alone");
    let message = failure(&adapter, &target("cart-2"), 500).await;
    assert!(message.contains("did not answer within 0.3 s"), "{message}");
    for pod in ["cart-2", "cart-1"] {
        assert_eq!(get(&adapter, &target(pod)).await.0, 200, "{pod}");
    }
}

#[tokio::test]
async fn a_dead_source_and_a_bad_rule_affect_only_themselves() {
    let simulated = Simulated::of(SERIES).await;
    let config = format!(
        "{CONFIG}\n- seriesQuery: 'up'\n  source: dead\n  metricsQuery: 'up'\n- seriesQuery: '{{__name__=~\"jobs.*\"}}'\n  name: {{as: broken}}\n  resources: {{namespaced: false}}\n  metricsQuery: 'sum(('\n"
    );
    let (_folder, path) = file(&config);
    let mut dead = prometheus("dead", "http://127.0.0.1:1");
    if let SourceKind::Prometheus { http, .. } = &mut dead.kind {
        http.timeout = Duration::from_millis(500);
    }
    let sources = vec![prometheus("prom", &simulated.url), dead];
    let adapter = adapter(Settings { sources, config: Some(path), ..Settings::default() }).await;
    assert_eq!(get(&adapter, &format!("{CUSTOM}/namespaces/shop/pods/cart-1/http_requests")).await.0, 200);
    assert_eq!(get(&adapter, &format!("{EXTERNAL}/namespaces/shop/jobs_waiting")).await.0, 200);
    let message = failure(&adapter, &format!("{EXTERNAL}/namespaces/shop/broken"), 500).await;
    assert!(message.contains("prom refuses (400 bad_data)"), "{message}");
    // Nobody can say that the dead one has no such metric.
    for path in [format!("{CUSTOM}/namespaces/shop/pods/cart-1/up"), format!("{EXTERNAL}/namespaces/shop/up")]
    {
        let message = failure(&adapter, &path, 500).await;
        assert!(
            message.contains("unable to fetch metrics: the rule of line") && message.contains("dead"),
            "{message}"
        );
    }
    let failures = adapter.failures();
    assert_eq!(failures.len(), 1);
    assert!(failures[0].source == "dead" && failures[0].what.contains("cannot be reached"), "{failures:?}");
}

#[tokio::test]
async fn the_first_source_that_knows_a_metric_answers() {
    let first = Simulated::of(&[("queue_depth", &[("namespace", "shop"), ("service", "cart")], 1.0)]).await;
    let second = Simulated::of(SERIES).await;
    let mut limited = prometheus("second", &second.url);
    limited.metrics = Names::new(&["queue_.*".to_owned()]).unwrap();
    let own = Arc::new(common::memory(&[("own_depth", &[("namespace", "shop"), ("service", "cart")], 3.0)]));
    let settings = Settings {
        sources: vec![
            prometheus("first", &first.url),
            limited,
            source("own", SourceKind::Store { automatic: None }),
        ],
        own: Some(OwnSeries { series: own, types: Arc::new(Default::default), scrape_interval: scrapes() }),
        ..Settings::default()
    };
    let adapter = adapter(settings).await;
    for (path, value) in [
        ("namespaces/shop/services/cart/queue_depth", "1"),
        ("nodes/n1/queue_depth", "1500"),
        ("namespaces/shop/services/cart/own_depth", "3"),
    ] {
        let (code, body) = get(&adapter, &format!("{CUSTOM}/{path}")).await;
        assert_eq!((code, &body["items"][0]["value"]), (200, &json!(value)), "{path}: {body}");
    }
    let sampled = flyball_model::time::rfc3339_seconds(common::NOW_MS - 5_000);
    let (_, body) = get(&adapter, &format!("{CUSTOM}/namespaces/shop/services/cart/own_depth")).await;
    assert_eq!(body["items"][0]["timestamp"], json!(sampled), "the own store tells when it was sampled");
    // The second one has it, but may not be asked for it.
    failure(&adapter, &format!("{CUSTOM}/namespaces/shop/pods/cart-1/http_requests"), 404).await;
}

/// Two rules, each of a source of its own, over one store.
const APART: &str = r#"
rules:
- {seriesQuery: queue_depth, source: first, resources: {template: <<.Resource>>}, metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'}
- {seriesQuery: http_requests_total, source: second, resources: {template: <<.Resource>>}, metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'}
externalRules:
- {seriesQuery: jobs_waiting, source: second, resources: {template: <<.Resource>>}, metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>})'}
"#;

#[tokio::test(start_paused = true)]
async fn a_metric_of_the_second_source_waits_for_no_look_at_the_first() {
    let (_folder, path) = file(APART);
    let store = |name: &str| source(name, SourceKind::Store { automatic: None });
    let settings = Settings {
        sources: vec![store("first"), store("second")],
        own: Some(OwnSeries {
            series: Arc::new(common::memory(SERIES)),
            types: Arc::new(Default::default),
            scrape_interval: scrapes(),
        }),
        config: Some(path),
        ..Settings::default()
    };
    let adapter = adapter(settings).await;
    let stop = CancellationToken::new();
    let working = tokio::spawn(adapter.clone().work(nobody(), stop.clone()));
    for target in [
        format!("{CUSTOM}/namespaces/shop/pods/*/http_requests_total"),
        format!("{EXTERNAL}/namespaces/shop/jobs_waiting"),
    ] {
        for _ in 0..10 {
            let began = tokio::time::Instant::now();
            assert_eq!(get(&adapter, &target).await.0, 200, "{target}");
            assert!(began.elapsed() < Duration::from_millis(500), "{target}: {:?}", began.elapsed());
        }
    }
    stop.cancel();
    working.await.unwrap();
}

#[tokio::test]
async fn a_dead_server_in_front_stands_in_nobodys_way() {
    let simulated = Simulated::of(SERIES).await;
    let (_folder, path) = file(CONFIG);
    let server = ProxiedSettings {
        http: HttpSettings::new("http://127.0.0.1:1").unwrap(),
        front_proxy: false,
        groups: vec![Group::Custom, Group::External],
    };
    let sources =
        vec![source("keda", SourceKind::Server(Box::new(server))), prometheus("prom", &simulated.url)];
    let adapter = adapter(Settings { sources, config: Some(path), ..Settings::default() }).await;
    for target in [
        format!("{CUSTOM}/namespaces/shop/pods/*/http_requests"),
        format!("{EXTERNAL}/namespaces/shop/jobs_waiting"),
    ] {
        assert_eq!(get(&adapter, &target).await.0, 200, "{target}");
    }
    let message = failure(&adapter, &format!("{EXTERNAL}/namespaces/shop/s0-queue"), 500).await;
    assert!(message.contains("keda cannot be reached"), "{message}");
}

#[tokio::test]
async fn a_server_that_lists_a_metric_is_not_passed_over() {
    let simulated = Simulated::of(&[("s2_broken", &[("namespace", "shop")], 1.0)]).await;
    let (url, _) = keda().await;
    let mut listing = HttpSettings::new(&url).unwrap();
    listing.timeout = Duration::from_secs(5);
    let server = ProxiedSettings { http: listing, front_proxy: false, groups: vec![Group::External] };
    let sources =
        vec![source("keda", SourceKind::Server(Box::new(server))), prometheus("prom", &simulated.url)];
    let adapter = adapter(Settings { sources, ..Settings::default() }).await;
    // It lists this name, and lets nobody have it.
    let message = failure(&adapter, &format!("{EXTERNAL}/namespaces/shop/externalmetrics"), 500).await;
    assert!(message.contains("keda refuses (403 Forbidden)"), "{message}");
    assert_eq!(get(&adapter, &format!("{EXTERNAL}/namespaces/shop/s2_broken")).await.0, 200);
}

#[tokio::test]
async fn metrics_from_elsewhere_are_explained() {
    let simulated = Simulated::of(SERIES).await;
    let (url, _) = keda().await;
    let schedules = "\nschedules:\n- {name: floor, namespaces: [shop], labels: {team: a}, windows: [{from: \"00:00\", to: \"24:00\", value: 3}]}\n";
    let (_folder, path) = file(&format!("{CONFIG}{schedules}"));
    let server = ProxiedSettings {
        http: HttpSettings::new(&url).unwrap(),
        front_proxy: false,
        groups: vec![Group::External],
    };
    let sources =
        vec![prometheus("prom", &simulated.url), source("keda", SourceKind::Server(Box::new(server)))];
    let adapter = adapter(Settings { sources, config: Some(path), ..Settings::default() }).await;
    let explain = async |metric: &str, namespace: &str, selector: &str| {
        let explained = flyball_adapter::Explained {
            metric: metric.to_owned(),
            resource: adapter.resource_of(metric).filter(|_| metric != "s0-queue" && metric != "s3-none"),
            namespace: namespace.to_owned(),
            name: None,
            selector: LabelSelector::everything(),
            metric_selector: LabelSelector::parse(selector).unwrap(),
        };
        let said = adapter.explain(&explained).await.unwrap();
        said.into_iter().map(|said| (said.source, said.what.to_string())).collect::<Vec<_>>()
    };
    let told = explain("floor", "shop", "team=a").await;
    assert_eq!(told[0].0, "schedules");
    assert!(told[0].1.contains("floor is 3 now, for shop, with team=a"), "{}", told[0].1);
    assert!(
        told[0].1.ends_with("ok   what the autoscaler sees\n       the sum of 1 values: 3\n"),
        "{}",
        told[0].1
    );
    let told = explain("floor", "bank", "").await;
    assert!(told[0].1.contains("FAIL the namespace may ask"), "{}", told[0].1);
    let told = explain("floor", "shop", "team=b").await;
    assert!(told[0].1.contains("FAIL the selector picks one"), "{}", told[0].1);
    let told = explain("s0-queue", "shop", "scaledobject.keda.sh/name=x").await;
    let (name, text) = told.last().unwrap();
    assert_eq!(name, "keda");
    assert!(
        text.contains("/namespaces/shop/s0-queue") && text.ends_with("what the autoscaler sees\n       5\n"),
        "{text}"
    );
    let told = explain("s3-none", "shop", "").await;
    assert!(told.last().unwrap().1.contains("it has no such metric"), "{told:?}");
}

#[tokio::test]
async fn a_rule_names_its_source_and_an_unknown_one_is_refused() {
    let simulated = Simulated::of(SERIES).await;
    let (_folder, path) =
        file(&CONFIG.replace("externalRules:\n- ", "externalRules:\n- source: nowhere\n  "));
    let sources = vec![prometheus("prom", &simulated.url)];
    let error =
        unlooked(Settings { sources, config: Some(path), ..Settings::default() }).unwrap_err().to_string();
    assert!(error.contains("line 13") && error.contains("\"nowhere\"") && error.contains("prom"), "{error}");
    let settings = Settings {
        sources: vec![source("own", SourceKind::Store { automatic: None })],
        ..Settings::default()
    };
    assert!(unlooked(settings).unwrap_err().to_string().contains("no store of its own"));
}

/// Requests that another metrics server got: path with query, and headers.
type Got = Arc<Mutex<Vec<(String, http::HeaderMap)>>>;

/// A server as KEDA's: it lists one placeholder, and knows one metric.
async fn keda() -> (String, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let got: Got = Arc::default();
    let noted = got.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let noted = noted.clone();
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let target = request.uri().path_and_query().unwrap().to_string();
                noted.lock().unwrap().push((target.clone(), request.headers().clone()));
                let (code, body) = match target.split('?').next().unwrap() {
                    "/apis/external.metrics.k8s.io/v1beta1" => (
                        200,
                        json!({"kind": "APIResourceList", "resources": [{"name": "externalmetrics", "namespaced": true}]}),
                    ),
                    path if path.ends_with("/s0-queue") => (
                        200,
                        json!({"kind": "ExternalMetricValueList", "items": [{"metricName": "s0-queue", "value": "5"}]}),
                    ),
                    path if path.ends_with("/s1-forbidden") || path.ends_with("/externalmetrics") => {
                        (403, json!({"kind": "Status", "message": "no"}))
                    }
                    path if path.ends_with("/s2-broken") => {
                        (500, json!({"kind": "Status", "message": "broken"}))
                    }
                    _ => (404, json!({"kind": "Status"})),
                };
                let response = http::Response::builder()
                    .status(code)
                    .header("content-type", "application/json")
                    .body(Full::new(bytes::Bytes::from(body.to_string())));
                std::future::ready(Ok::<_, Infallible>(response.unwrap()))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    (url, got)
}

#[tokio::test]
async fn another_metrics_server_stands_behind_the_same_api() {
    let simulated = Simulated::of(SERIES).await;
    let (url, got) = keda().await;
    let (_folder, path) = file(CONFIG);
    let mut http = HttpSettings::new(&url).unwrap();
    http.token = Token::Fixed("ours".into());
    let server = ProxiedSettings { http, front_proxy: false, groups: vec![Group::External] };
    let mut as_proxy = server.clone();
    as_proxy.front_proxy = true;
    let sources =
        vec![prometheus("prom", &simulated.url), source("keda", SourceKind::Server(Box::new(server)))];
    let adapter = adapter(Settings { sources, config: Some(path.clone()), ..Settings::default() }).await;
    let groups = adapter.groups().borrow().clone();
    let external: Vec<_> = groups[1].versions[0].resources.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(external, ["externalmetrics", "jobs_waiting"]);
    // Ours first; what we do not know is asked of the other one, though it lists it not.
    assert_eq!(get(&adapter, &format!("{EXTERNAL}/namespaces/shop/jobs_waiting")).await.0, 200);
    let target = format!("{EXTERNAL}/namespaces/shop/s0-queue?labelSelector=scaledobject.keda.sh%2Fname%3Dx");
    let (code, body) = get(&adapter, &target).await;
    assert_eq!((code, &body["items"][0]["value"]), (200, &json!("5")));
    let last = got.lock().unwrap().last().cloned().unwrap();
    assert_eq!(last.0, target);
    assert_eq!(last.1["authorization"], "Bearer ours");
    assert!(!last.1.contains_key("x-remote-user"), "it would not believe us");
    let message = failure(&adapter, &format!("{EXTERNAL}/namespaces/shop/s1-forbidden"), 500).await;
    assert!(message.contains("keda refuses (403 Forbidden)"), "{message}");
    let (code, body) = get(&adapter, &format!("{EXTERNAL}/namespaces/shop/s2-broken")).await;
    assert_eq!((code, &body["message"]), (500, &json!("broken")), "its failures are its own");
    failure(&adapter, &format!("{EXTERNAL}/namespaces/shop/unknown"), 404).await;
    // As a front proxy the user is stated, as kube-apiserver states it.
    let sources = vec![source("keda", SourceKind::Server(Box::new(as_proxy)))];
    let adapter = common::adapter(Settings { sources, ..Settings::default() }).await;
    assert_eq!(get(&adapter, &target).await.0, 200);
    let last = got.lock().unwrap().last().cloned().unwrap();
    assert_eq!(last.1["x-remote-user"], "jane");
    let groups: Vec<_> = last.1.get_all("x-remote-group").iter().collect();
    assert_eq!(groups, ["system:authenticated", "team"]);
}

/// A client of an API server that is not there.
fn nobody() -> kube::Client {
    let mut config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
    config.default_retry = false;
    kube::Client::try_from(config).unwrap()
}

#[tokio::test]
async fn a_changed_configuration_is_taken_and_a_bad_one_is_not() {
    let simulated = Simulated::of(SERIES).await;
    let (_folder, path) = file(CONFIG);
    let advice = flyball_apiserver::Advice::new();
    let sources = vec![prometheus("prom", &simulated.url)];
    let settings =
        Settings { sources, config: Some(path.clone()), advice: advice.clone(), ..Settings::default() };
    let adapter = adapter(settings).await;
    let stop = CancellationToken::new();
    let working = tokio::spawn(adapter.clone().work(nobody(), stop.clone()));
    let story = async {
        std::fs::write(&path, CONFIG.replace("metricsQuery", "metricQuery")).unwrap();
        until(|| {
            advice.of("configuration").is_some_and(|text| text.contains("line ") && text.contains("stays"))
        })
        .await;
        assert_eq!(get(&adapter, &format!("{EXTERNAL}/namespaces/shop/jobs_waiting")).await.0, 200);
        let renamed = CONFIG
            .replace("{__name__=\"jobs_waiting\"}'", "{__name__=\"jobs_waiting\"}'\n  name: {as: renamed}");
        std::fs::write(&path, renamed).unwrap();
        let mut groups = adapter.groups();
        while get(&adapter, &format!("{EXTERNAL}/namespaces/shop/renamed")).await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(advice.of("configuration"), None);
        // Discovery follows.
        while groups.borrow_and_update()[1].versions[0].resources[0].name != "renamed" {
            groups.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), story).await.expect("the story ends");
    stop.cancel();
    working.await.unwrap();
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_metric_that_appears_is_there_at_the_next_request() {
    // A store that can be filled while it is asked.
    struct Filling(Mutex<flyball_tsdb::memory::MemorySource>);
    use flyball_tsdb::series::{Matcher, ReadError, ReadLimits, Series, SeriesSource};
    impl SeriesSource for Filling {
        fn select(&self, m: &[Matcher], a: i64, b: i64, l: ReadLimits) -> Result<Vec<Series>, ReadError> {
            self.0.lock().unwrap().select(m, a, b, l)
        }
        fn label_names(&self, m: &[Matcher], a: i64, b: i64) -> Result<Vec<String>, ReadError> {
            self.0.lock().unwrap().label_names(m, a, b)
        }
        fn label_values(&self, n: &str, m: &[Matcher], a: i64, b: i64) -> Result<Vec<String>, ReadError> {
            self.0.lock().unwrap().label_values(n, m, a, b)
        }
        fn series(&self, m: &[Matcher], a: i64, b: i64) -> Result<Vec<Arc<Labels>>, ReadError> {
            self.0.lock().unwrap().series(m, a, b)
        }
    }
    let store = Arc::new(Filling(Mutex::default()));
    let settings = Settings {
        sources: vec![source("own", SourceKind::Store { automatic: None })],
        own: Some(OwnSeries {
            series: store.clone(),
            types: Arc::new(Default::default),
            scrape_interval: scrapes(),
        }),
        ..Settings::default()
    };
    let adapter = adapter(settings).await;
    let stop = CancellationToken::new();
    let working = tokio::spawn(adapter.clone().work(nobody(), stop.clone()));
    let target = format!("{CUSTOM}/namespaces/shop/services/cart/queue_depth");
    assert_eq!(get(&adapter, &target).await.0, 404);
    *store.0.lock().unwrap() = common::memory(SERIES);
    assert_eq!(get(&adapter, &target).await.0, 200, "found by the request itself");
    stop.cancel();
    working.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rates_follow_the_time_between_scrapes() {
    let mut store = common::memory(&[]);
    let labels = [("__name__", "orders_total"), ("namespace", "shop"), ("pod", "cart-1")];
    let labels = Arc::new(Labels::from_pairs(labels).unwrap());
    for (seconds_ago, value) in [(50, 1.0), (35, 2.0), (20, 3.0), (5, 4.0)] {
        store.add(&labels, Point { timestamp_ms: common::NOW_MS - seconds_ago * 1000, value });
    }
    let seconds = Arc::new(AtomicU64::new(15));
    let now = seconds.clone();
    let settings = Settings {
        sources: vec![source("own", SourceKind::Store { automatic: None })],
        own: Some(OwnSeries {
            series: Arc::new(store),
            types: Arc::new(Default::default),
            scrape_interval: Arc::new(move || Duration::from_secs(now.load(Ordering::SeqCst))),
        }),
        ..Settings::default()
    };
    let adapter = adapter(settings).await;
    let stop = CancellationToken::new();
    let working = tokio::spawn(adapter.clone().work(nobody(), stop.clone()));
    let target = format!("{CUSTOM}/namespaces/shop/pods/cart-1/orders_per_second");
    // Four times the interval.
    for (interval, window) in [(15, 60), (60, 240), (20, 80)] {
        seconds.store(interval, Ordering::SeqCst);
        let has_it = async {
            while get(&adapter, &target).await.1["items"][0]["windowSeconds"] != json!(window) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), has_it).await.unwrap_or_else(|_| panic!("{window} s"));
    }
    stop.cancel();
    working.await.unwrap();
}
