//! The APIs' answers over a simulated Prometheus: every path, both versions, selectors, failures.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests with servers and files of their own"
)]

mod common;

use std::sync::Arc;

use common::{CONFIG, NOW_MS, SERIES, Simulated, adapter, ask, failure, file, get, prometheus};
use flyball_adapter::{Adapter, Settings};
use serde_json::{Value, json};

const CUSTOM: &str = "/apis/custom.metrics.k8s.io/v1beta1";
const CUSTOM2: &str = "/apis/custom.metrics.k8s.io/v1beta2";
const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1";

async fn served(config: &str, samples: &[common::Sample]) -> (Arc<Adapter>, Simulated) {
    let simulated = Simulated::of(samples).await;
    let (folder, path) = file(config);
    let sources = vec![prometheus("prom", &simulated.url)];
    let settings = Settings { sources, config: Some(path), ..Settings::default() };
    let adapter = adapter(settings).await;
    drop(folder);
    (adapter, simulated)
}

/// Names and values of a list.
fn values(body: &Value) -> Vec<(String, String)> {
    let items = body["items"].as_array().unwrap_or_else(|| panic!("no list: {body}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    items.iter().map(|item| (text(&item["describedObject"]["name"]), text(&item["value"]))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn whole_bodies() {
    let (adapter, _simulated) = served(CONFIG, SERIES).await;
    let (code, body) = get(&adapter, &format!("{CUSTOM}/namespaces/shop/pods/cart-1/http_requests")).await;
    assert_eq!(code, 200, "{body}");
    let time = flyball_model::time::rfc3339_seconds(NOW_MS);
    let described = json!({"kind": "Pod", "namespace": "shop", "name": "cart-1", "apiVersion": "/v1"});
    let item = json!({"describedObject": described, "metricName": "http_requests", "timestamp": time, "value": "11500m", "selector": null});
    let list = json!({"kind": "MetricValueList", "apiVersion": "custom.metrics.k8s.io/v1beta1", "metadata": {}, "items": [item]});
    assert_eq!(body, list);
    let target = format!(
        "{CUSTOM2}/namespaces/shop/pods/*/http_requests?labelSelector=app%3Dcart&metricLabelSelector=path%3D%2Fa"
    );
    // A label's value in a selector cannot hold a slash.
    assert_eq!(get(&adapter, &target).await.0, 400);
    let target = format!(
        "{CUSTOM2}/namespaces/shop/pods/%2A/http_requests?labelSelector=app%3Dcart&metricLabelSelector=path"
    );
    let (code, body) = get(&adapter, &target).await;
    assert_eq!(code, 200, "{body}");
    let metric = json!({"name": "http_requests", "selector": {"matchExpressions": [{"key": "path", "operator": "Exists"}]}});
    assert_eq!(body["apiVersion"], "custom.metrics.k8s.io/v1beta2");
    assert_eq!(body["items"][0]["metric"], metric);
    assert_eq!(values(&body), pairs(&[("cart-1", "11500m"), ("cart-2", "3")]));
    let (code, body) = get(&adapter, &format!("{EXTERNAL}/namespaces/shop/jobs_waiting")).await;
    assert_eq!(code, 200, "{body}");
    let item = |queue: &str, value: &str| json!({"metricName": "jobs_waiting", "metricLabels": {"queue": queue}, "timestamp": time, "value": value});
    let list = json!({"kind": "ExternalMetricValueList", "apiVersion": "external.metrics.k8s.io/v1beta1", "metadata": {}, "items": [item("mail", "7"), item("print", "250m")]});
    assert_eq!(body, list);
}

#[tokio::test]
async fn every_path() {
    let (adapter, _simulated) = served(CONFIG, SERIES).await;
    for (path, expected) in [
        ("namespaces/shop/pods/*/http_requests", pairs(&[("cart-1", "11500m"), ("cart-2", "3")])),
        ("namespaces/shop/pods/*/http_requests?labelSelector=app%3Dweb", pairs(&[])),
        ("namespaces/other/pods/cart-1/http_requests", pairs(&[("cart-1", "100")])),
        ("namespaces/shop/services/cart/queue_depth", pairs(&[("cart", "1500")])),
        ("nodes/n1/queue_depth", pairs(&[("n1", "1500")])),
        ("namespaces/shop/metrics/http_requests", pairs(&[("shop", "14500m")])),
        // With one name the selector of objects is ignored; the name may stand among the fields again.
        ("namespaces/shop/pods/cart-1/http_requests?labelSelector=app%3Dweb", pairs(&[("cart-1", "11500m")])),
        (
            "namespaces/shop/pods/cart-1/http_requests?fieldSelector=metadata.name%3Dcart-1",
            pairs(&[("cart-1", "11500m")]),
        ),
    ] {
        let (code, body) = get(&adapter, &format!("{CUSTOM}/{path}")).await;
        assert_eq!((code, values(&body)), (200, expected), "{path}: {body}");
    }
    let (_, body) = get(&adapter, &format!("{CUSTOM}/nodes/n1/queue_depth")).await;
    assert_eq!(
        body["items"][0]["describedObject"],
        json!({"kind": "Node", "name": "n1", "apiVersion": "/v1"})
    );
    let (_, body) =
        get(&adapter, &format!("{EXTERNAL}/namespaces/shop/jobs_waiting?labelSelector=queue%3Dmail")).await;
    assert_eq!(body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn failures_are_upstreams_and_say_why() {
    let (adapter, _simulated) = served(CONFIG, SERIES).await;
    for (path, code, begins, holds) in [
        (
            format!("{CUSTOM}/namespaces/shop/pods/*/http_request"),
            404,
            "the server could not find the metric http_request for pods",
            "http_requests",
        ),
        (
            format!("{CUSTOM}/namespaces/shop/pods/gone/http_requests"),
            404,
            "the server could not find the metric http_requests for pods gone",
            "no sample",
        ),
        (
            format!("{CUSTOM}/namespaces/shop/pods/*/http_requests?labelSelector=app%3Dnone"),
            404,
            "the server could not find the metric http_requests for pods",
            "with labels app=none",
        ),
        (
            format!("{CUSTOM}/namespaces/shop/unicorns/x/http_requests"),
            404,
            "the server could not find the metric http_requests for unicorns",
            "no resource unicorns",
        ),
        (
            format!("{CUSTOM}/namespaces/shop/pods/*/http_requests?labelSelector=%3D"),
            400,
            "found '=', expected: !, identifier, or 'end of string'",
            "(labelSelector)",
        ),
        (format!("{CUSTOM}/namespaces/shop/pods/*/http_requests?metricLabelSelector=a%3E1"), 400, "", "a>1"),
        (
            format!("{CUSTOM}/namespaces/shop/pods/cart-1/http_requests?fieldSelector=spec.nodeName%3Dn"),
            400,
            "\"spec.nodeName\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
            "",
        ),
        (
            format!("{EXTERNAL}/namespaces/shop/jobs_waiting?fieldSelector=spec.nodeName%3Dn"),
            400,
            "\"spec.nodeName\" is not a known field selector",
            "",
        ),
        (
            format!("{CUSTOM}/namespaces/shop/pods/cart-1/http_requests?fieldSelector=metadata.name%3Dother"),
            400,
            "fieldSelector metadata.name doesn't match requested name",
            "",
        ),
        (
            format!("{EXTERNAL}/namespaces/shop/jobs_waitin"),
            404,
            "the server could not find the metric jobs_waitin for ",
            "jobs_waiting",
        ),
        (format!("{CUSTOM}/pods"), 404, "the server could not find the requested resource", ""),
        (format!("{EXTERNAL}/jobs_waiting"), 404, "the server could not find the requested resource", ""),
        ("/apis/metrics.k8s.io/v1beta1/pods".to_owned(), 404, "the server could not find", ""),
        (
            format!("{CUSTOM}/namespaces/shop/pods/*/http_requests?watch=true"),
            405,
            "watch is not supported on resources of kind",
            "",
        ),
    ] {
        let message = failure(&adapter, &path, code).await;
        assert!(message.starts_with(begins) && message.contains(holds), "{path}: {message}");
    }
    for method in [http::Method::POST, http::Method::DELETE, http::Method::HEAD, http::Method::OPTIONS] {
        let target = format!("{CUSTOM}/namespaces/shop/pods/cart-1/http_requests");
        assert_eq!(ask(&adapter, method.clone(), &target).await.0, 405, "{method}");
    }
}

#[tokio::test]
async fn values_that_are_no_numbers_are_left_out_and_explained() {
    let bad: &[common::Sample] = &[
        ("queue_depth", &[("namespace", "shop"), ("pod", "cart-1")], f64::NAN),
        ("queue_depth", &[("namespace", "shop"), ("pod", "cart-2")], f64::INFINITY),
        ("queue_depth", &[("namespace", "shop"), ("pod", "web-1")], -2.5),
    ];
    let (adapter, _simulated) = served(CONFIG, bad).await;
    let (_, body) = get(&adapter, &format!("{CUSTOM}/namespaces/shop/pods/*/queue_depth")).await;
    assert_eq!(values(&body), pairs(&[("web-1", "-2500m")]));
    for (pod, why) in [("cart-1", "NaN"), ("cart-2", "infinite")] {
        let message =
            failure(&adapter, &format!("{CUSTOM}/namespaces/shop/pods/{pod}/queue_depth"), 404).await;
        assert!(message.contains(why), "{message}");
    }
}

#[tokio::test]
async fn values_that_are_no_numbers_are_zero_by_switch() {
    let bad: &[common::Sample] = &[
        ("queue_depth", &[("namespace", "shop"), ("pod", "cart-1")], f64::NAN),
        ("queue_depth", &[("namespace", "shop"), ("pod", "cart-2")], f64::NEG_INFINITY),
        ("jobs_waiting", &[("namespace", "shop"), ("queue", "mail")], f64::INFINITY),
    ];
    let simulated = Simulated::of(bad).await;
    let (_folder, path) = file(CONFIG);
    let sources = vec![prometheus("prom", &simulated.url)];
    let non_finite = flyball_adapter::rules::NonFinite::Zero;
    let adapter = adapter(Settings { sources, config: Some(path), non_finite, ..Settings::default() }).await;
    let (_, body) = get(&adapter, &format!("{CUSTOM}/namespaces/shop/pods/*/queue_depth")).await;
    assert_eq!(values(&body), pairs(&[("cart-1", "0"), ("cart-2", "0")]));
    let (_, body) = get(&adapter, &format!("{EXTERNAL}/namespaces/shop/jobs_waiting")).await;
    assert_eq!(body["items"][0]["value"], "0", "{body}");
}

#[tokio::test]
async fn two_series_for_one_object_name_it() {
    let config = CONFIG
        .replace("sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)", "<<.Series>>{<<.LabelMatchers>>}");
    let (adapter, _simulated) = served(&config, SERIES).await;
    let message = failure(&adapter, &format!("{CUSTOM}/namespaces/shop/pods/*/http_requests"), 500).await;
    assert!(
        message.starts_with("Internal error occurred: unable to fetch metrics: ")
            && message.contains("cart-1"),
        "{message}"
    );
}

#[tokio::test]
async fn a_query_that_the_backend_refuses_or_that_is_a_number() {
    let config = CONFIG.replace(
        "sum(<<.Series>>{<<.LabelMatchers>>}) by (queue)",
        "scalar(sum(<<.Series>>{<<.LabelMatchers>>}))",
    );
    let (adapter, _simulated) = served(&config, SERIES).await;
    let (code, body) = get(&adapter, &format!("{EXTERNAL}/namespaces/shop/jobs_waiting")).await;
    assert_eq!((code, &body["items"][0]["value"]), (200, &json!("7250m")), "{body}");
    assert_eq!(body["items"][0]["metricLabels"], Value::Null);
    let config = CONFIG.replace(
        "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
        "scalar(sum(<<.Series>>{<<.LabelMatchers>>}))",
    );
    let (adapter, _simulated) = served(&config, SERIES).await;
    let message =
        failure(&adapter, &format!("{CUSTOM}/namespaces/shop/pods/cart-1/http_requests"), 500).await;
    assert!(message.contains("line 3") && message.contains("scalar"), "{message}");
}

#[tokio::test]
async fn discovery_lists_what_exists_now() {
    let (adapter, _simulated) = served(CONFIG, SERIES).await;
    let groups = adapter.groups().borrow().clone();
    let resources = |group: &str| -> Vec<(String, bool)> {
        let group = groups.iter().find(|one| one.name == group).unwrap();
        group.versions[0].resources.iter().map(|one| (one.name.clone(), one.namespaced)).collect()
    };
    let custom = resources("custom.metrics.k8s.io");
    for expected in [
        ("pods/http_requests", true),
        ("namespaces/http_requests", false),
        ("services/queue_depth", true),
        ("nodes/queue_depth", false),
    ] {
        assert!(custom.contains(&(expected.0.to_owned(), expected.1)), "{expected:?} in {custom:?}");
    }
    assert_eq!(resources("external.metrics.k8s.io"), [("jobs_waiting".to_owned(), true)]);
    assert_eq!(groups.len(), 2, "no resource metrics without rules for them");
}

const USAGE: &str = r#"
resourceRules:
  cpu:
    containerQuery: 'sum(cpu{<<.LabelMatchers>>,container!=""}) by (<<.GroupBy>>)'
    nodeQuery: 'sum(cpu{<<.LabelMatchers>>}) by (<<.GroupBy>>)'
    resources: &resources
      overrides: {namespace: {resource: namespace}, pod: {resource: pod}, node: {resource: node}}
    containerLabel: container
  memory:
    containerQuery: 'sum(memory{<<.LabelMatchers>>,container!=""}) by (<<.GroupBy>>)'
    nodeQuery: 'sum(memory{<<.LabelMatchers>>}) by (<<.GroupBy>>)'
    resources: *resources
    containerLabel: container
  window: 5m
"#;

const USED: &[common::Sample] = &[
    ("cpu", &[("namespace", "shop"), ("pod", "cart-1"), ("container", "main"), ("node", "n1")], 0.25),
    ("memory", &[("namespace", "shop"), ("pod", "cart-1"), ("container", "main"), ("node", "n1")], 1048576.0),
    ("cpu", &[("namespace", "shop"), ("pod", "cart-2"), ("container", "main"), ("node", "n1")], 0.5),
    ("cpu", &[("namespace", "shop"), ("pod", "done"), ("container", "main"), ("node", "n1")], 0.25),
    ("memory", &[("namespace", "shop"), ("pod", "done"), ("container", "main"), ("node", "n1")], 1024.0),
    ("cpu", &[("namespace", "bank"), ("pod", "web-1"), ("container", "main"), ("node", "n1")], 0.125),
    ("memory", &[("namespace", "bank"), ("pod", "web-1"), ("container", "main"), ("node", "n1")], 2.5),
];

const OBJECTS: &[common::Object] = &[
    ("pods", "shop", "cart-1", "cart", "Running"),
    ("pods", "shop", "cart-2", "cart", "Running"),
    ("pods", "shop", "done", "cart", "Succeeded"),
    ("pods", "bank", "web-1", "web", "Running"),
    ("nodes", "", "n1", "node", ""),
    ("nodes", "", "n2", "node", ""),
];

#[tokio::test]
async fn usage_from_resource_rules() {
    let (adapter, _simulated) = served(USAGE, USED).await;
    adapter.cluster().ask_with(common::api_server(OBJECTS).await);
    let root = "/apis/metrics.k8s.io/v1beta1";
    let (code, body) = get(&adapter, &format!("{root}/namespaces/shop/pods")).await;
    assert_eq!(code, 200, "{body}");
    let item = &body["items"][0];
    assert_eq!(body["items"].as_array().unwrap().len(), 1, "without memory there is no usage: {body}");
    assert_eq!(item["containers"], json!([{"name": "main", "usage": {"cpu": "250m", "memory": "1Mi"}}]));
    assert_eq!((&item["window"], &item["metadata"]["name"]), (&json!("5m0s"), &json!("cart-1")));
    assert_eq!(item["metadata"]["labels"], json!({"app": "cart"}));
    let named = |body: &Value| -> Vec<String> {
        let items = body["items"].as_array().unwrap_or_else(|| panic!("no list: {body}"));
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    for (path, expected) in [
        ("pods", &["web-1", "cart-1"][..]),
        ("pods?labelSelector=app%3Dcart", &["cart-1"]),
        ("pods?fieldSelector=metadata.namespace%3Dbank", &["web-1"]),
        ("pods?fieldSelector=metadata.name!%3Dcart-1", &["web-1"]),
        ("nodes", &["n1"]),
        ("nodes?labelSelector=app%3Dother", &[]),
    ] {
        let (code, body) = get(&adapter, &format!("{root}/{path}")).await;
        assert_eq!(
            (code, named(&body)),
            (200, expected.iter().map(|name| (*name).to_owned()).collect()),
            "{path}"
        );
    }
    let (_, body) = get(&adapter, &format!("{root}/namespaces/bank/pods/web-1")).await;
    assert_eq!(
        (&body["kind"], &body["containers"][0]["usage"]["memory"]),
        (&json!("PodMetrics"), &json!("2500m"))
    );
    let (code, body) = get(&adapter, &format!("{root}/nodes/n1")).await;
    assert_eq!(
        (code, &body["usage"]["cpu"], &body["kind"]),
        (200, &json!("1125m"), &json!("NodeMetrics")),
        "{body}"
    );
    for (path, code, begins, holds) in [
        ("namespaces/shop/pods/cart-2", 404, "podmetrics.metrics.k8s.io \"shop/cart-2\" not found", "memory"),
        ("namespaces/shop/pods/done", 404, "pods \"done\" not found", "runs"),
        ("namespaces/shop/pods/gone", 404, "pods \"gone\" not found", ""),
        ("nodes/n2", 404, "nodemetrics.metrics.k8s.io \"n2\" not found", "CPU"),
        ("nodes/n3", 404, "node \"n3\" not found", ""),
        (
            "pods?fieldSelector=status.phase%3DRunning",
            400,
            "\"status.phase\" is not a known field selector",
            "",
        ),
    ] {
        let message = failure(&adapter, &format!("{root}/{path}"), code).await;
        assert!(message.starts_with(begins) && message.contains(holds), "{path}: {message}");
    }
    assert_eq!(adapter.groups().borrow().len(), 3);
}

#[tokio::test]
async fn a_check_tries_usage_and_schedules_too() {
    let config = USAGE.replace("nodeQuery: 'sum(memory", "nodeQuery: 'sum((memory");
    let schedules = "schedules:\n- {name: floor, namespaces: [shop], windows: [{from: \"00:00\", to: \"24:00\", value: 3}]}\n";
    let (adapter, _simulated) = served(&format!("{config}{schedules}"), USED).await;
    let usage: Vec<String> = adapter.check_usage().await.iter().map(ToString::to_string).collect();
    assert_eq!(
        usage[0],
        "line 4: resourceRules.cpu.containerQuery\n  sum(cpu{namespace=~\".+\",pod=~\".+\",container!=\"\"}) by (pod,container)\n  4 series of 4 objects\n"
    );
    assert!(usage[1].ends_with("\n  1 series of 1 objects\n"), "{}", usage[1]);
    assert!(
        usage[3].starts_with("line 10: resourceRules.memory.nodeQuery\n  not a query: sum((memory"),
        "{}",
        usage[3]
    );
    let schedules: Vec<String> = adapter.check_schedules().iter().map(ToString::to_string).collect();
    assert_eq!(schedules, ["line 16: floor is 3 now, for shop"]);
}

#[tokio::test]
async fn metrics_without_a_configuration() {
    let simulated = Simulated::of(SERIES).await;
    let settings = Settings { sources: vec![prometheus("prom", &simulated.url)], ..Settings::default() };
    let adapter = adapter(settings).await;
    let (code, body) = get(&adapter, &format!("{CUSTOM2}/namespaces/shop/services/cart/queue_depth")).await;
    assert_eq!((code, values(&body)), (200, pairs(&[("cart", "1500")])), "{body}");
    assert_eq!(body["items"][0].get("windowSeconds"), None, "a gauge has no window");
}
