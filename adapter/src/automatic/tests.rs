use std::sync::Arc;

use flyball_model::selector::LabelSelector;

use super::*;
use crate::rules::CustomRequest;

const MINUTES_2: Options = Options { rate_window_ms: 120_000 };

fn kinds() -> Arc<Kinds> {
    Arc::new(Kinds::builtin())
}

fn typed(name: &str, kind: Option<MetricType>, labels: &[&str]) -> TypedShape {
    TypedShape { shape: SeriesShape::new(name, labels.iter().copied()), kind }
}

fn catalogue(shapes: &[TypedShape]) -> Catalogue {
    let mut catalogue = Catalogue::empty(&kinds());
    add(&mut catalogue, shapes, MINUTES_2, &kinds());
    catalogue
}

/// Names of metrics of pods.
fn of_pods(shapes: &[TypedShape]) -> Vec<String> {
    let catalogue = catalogue(shapes);
    let pods = GroupResource::new("", "pods");
    catalogue.custom_metrics().filter(|have| have.resource == pods).map(|have| have.metric.clone()).collect()
}

fn query(catalogue: &Catalogue, resource: &str, metric: &str, selector: &str) -> Result<String, String> {
    let resource = GroupResource::parse(resource);
    let root = catalogue.kinds().of(&resource).is_some_and(|kind| !kind.namespaced);
    let request = CustomRequest {
        metric,
        resource: &resource,
        namespace: (!root).then_some("shop"),
        names: &["a".to_owned()],
        metric_selector: &LabelSelector::parse(selector).unwrap(),
    };
    catalogue.plan_custom(&request).map(|plan| plan.promql).map_err(|error| error.to_string())
}

const POD: [&str; 2] = ["namespace", "pod"];

#[test]
fn names_follow_the_type() {
    use MetricType::{Counter, Gauge, Histogram, Summary};
    for (shape, names) in [
        (
            typed("http_requests_total", Some(Counter), &POD),
            &["http_requests", "http_requests_per_second"][..],
        ),
        (typed("http_requests_total", None, &POD), &["http_requests", "http_requests_per_second"]),
        (typed("process_cpu_seconds_total", None, &POD), &["process_cpu", "process_cpu_seconds_per_second"]),
        (typed("hits", Some(Counter), &POD), &["hits_per_second"]),
        (typed("queue_length", Some(Gauge), &POD), &["queue_length"]),
        (typed("jobs_total", Some(Gauge), &POD), &["jobs_total"]),
        (typed("namespace:hits:rate5m", None, &POD), &["namespace:hits:rate5m"]),
        (typed("latency_count", Some(Histogram), &POD), &["latency_count_per_second"]),
        (typed("latency_sum", Some(Summary), &POD), &["latency_sum_per_second"]),
        (typed("latency", Some(Summary), &["namespace", "pod", "quantile"]), &[]),
        (typed("latency", None, &["namespace", "pod", "quantile"]), &[]),
        (typed("hits_created", Some(Counter), &POD), &[]),
        (typed("kube_pod_created", Some(Gauge), &POD), &["kube_pod_created"]),
        (typed("user_count", None, &POD), &["user_count"]),
        (
            typed("latency_seconds_bucket", None, &["namespace", "pod", "le"]),
            &[
                "latency_seconds",
                "latency_seconds_p50",
                "latency_seconds_p90",
                "latency_seconds_p95",
                "latency_seconds_p99",
            ],
        ),
        (typed("depth_bucket", Some(MetricType::GaugeHistogram), &["namespace", "pod", "le"]), &[]),
        (
            typed("container_cpu_usage_seconds_total", Some(Counter), &POD),
            &["container_cpu_usage_seconds_per_second", "cpu_usage"],
        ),
        (typed("container_memory_rss", Some(Gauge), &POD), &["container_memory_rss", "memory_rss"]),
    ] {
        assert_eq!(of_pods(std::slice::from_ref(&shape)), names, "{}", shape.shape.name);
    }
    let parts = [
        typed("x_seconds_bucket", None, &["namespace", "pod", "le"]),
        typed("x_seconds_count", None, &POD),
        typed("x_seconds_sum", None, &POD),
    ];
    assert!(of_pods(&parts).contains(&"x_seconds_count_per_second".to_owned()));
}

#[test]
fn a_name_of_its_own_wins_over_a_borrowed_one() {
    let shapes = [
        typed("http_requests_total", Some(MetricType::Counter), &POD),
        typed("http_requests", Some(MetricType::Gauge), &POD),
    ];
    let catalogue = catalogue(&shapes);
    assert_eq!(
        query(&catalogue, "pods", "http_requests", "").unwrap(),
        "sum(http_requests{namespace=\"shop\",pod=\"a\"}) by (pod)"
    );
}

#[test]
fn configured_rules_stay() {
    let text = "rules:\n- {seriesQuery: http_requests_total, resources: {template: <<.Resource>>}, metricsQuery: mine, name: {as: http_requests_per_second}}\n";
    let rules = crate::rules::RuleSet::compile(&crate::config::parse(text).unwrap(), &kinds()).unwrap();
    let shape = typed("http_requests_total", None, &POD);
    let mut catalogue = Catalogue::of(&[(rules.custom[0].clone(), vec![shape.shape.clone()])], &[], &kinds());
    add(&mut catalogue, &[shape], MINUTES_2, &kinds());
    assert_eq!(query(&catalogue, "pods", "http_requests_per_second", "").unwrap(), "mine");
    assert!(query(&catalogue, "pods", "http_requests", "").unwrap().starts_with("sum(rate("));
}

#[test]
fn queries_follow_the_type() {
    let shapes = [
        typed("hits_total", None, &["namespace", "pod", "service", "node"]),
        typed("x_seconds_bucket", None, &["namespace", "pod", "le"]),
        typed("container_memory_rss", None, &["namespace", "pod", "container", "id"]),
        typed("container_network_receive_bytes_total", None, &["namespace", "pod", "container", "interface"]),
    ];
    let catalogue = catalogue(&shapes);
    for (resource, metric, selector, expected) in [
        ("pods", "hits_per_second", "", "sum(rate(hits_total{namespace=\"shop\",pod=\"a\"}[2m])) by (pod)"),
        (
            "services",
            "hits_per_second",
            "code=500",
            "sum(rate(hits_total{code=\"500\",namespace=\"shop\",service=\"a\"}[2m])) by (service)",
        ),
        ("nodes", "hits_per_second", "", "sum(rate(hits_total{node=\"a\"}[2m])) by (node)"),
        ("namespaces", "hits", "", "sum(rate(hits_total{namespace=\"a\"}[2m])) by (namespace)"),
        (
            "pods",
            "x_seconds_p99",
            "",
            "histogram_quantile(0.99, sum(rate(x_seconds_bucket{namespace=\"shop\",pod=\"a\"}[2m])) by (le,pod))",
        ),
        (
            "pods",
            "x_seconds_p999",
            "",
            "histogram_quantile(0.999, sum(rate(x_seconds_bucket{namespace=\"shop\",pod=\"a\"}[2m])) by (le,pod))",
        ),
        (
            "pods",
            "x_seconds",
            "quantile=0.5,code=200",
            "histogram_quantile(0.5, sum(rate(x_seconds_bucket{code=\"200\",namespace=\"shop\",pod=\"a\"}[2m])) by (le,pod))",
        ),
        (
            "pods",
            "memory_rss",
            "",
            "sum(container_memory_rss{namespace=\"shop\",pod=\"a\",container!=\"\",container!=\"POD\"}) by (pod)",
        ),
        (
            "pods",
            "network_receive_bytes",
            "",
            "sum(rate(container_network_receive_bytes_total{namespace=\"shop\",pod=\"a\"}[2m])) by (pod)",
        ),
    ] {
        assert_eq!(query(&catalogue, resource, metric, selector).unwrap(), expected);
    }
    let error = |selector: &str| query(&catalogue, "pods", "x_seconds", selector).unwrap_err();
    assert!(
        error("").contains(
            "choose a quantile by the name (x_seconds_p99) or by the metric selector (quantile=0.99)"
        )
    );
    for selector in ["quantile=2", "quantile=high", "quantile in (0.1,0.2)", "quantile!=0.5", "quantile"] {
        assert!(error(selector).contains("a quantile is one number from 0 to 1"), "{selector}");
    }
    assert!(query(&catalogue, "pods", "hits_per_second_p99", "").is_err());
}

#[test]
fn every_automatic_query_is_promql_and_shared() {
    let shapes = [
        typed("hits_total", None, &["namespace", "pod", "service", "node", "deployment"]),
        typed("x_seconds_bucket", None, &["namespace", "pod", "le"]),
        typed("container_memory_rss", None, &["namespace", "pod", "container"]),
        typed("http.server.requests", None, &["k8s_namespace_name", "k8s_pod_name"]),
    ];
    let catalogue = catalogue(&shapes);
    let (everything, half) = (LabelSelector::everything(), LabelSelector::parse("quantile=0.5").unwrap());
    for (metric, source) in catalogue.custom_sources() {
        let asked = matches!(source.quantile, Some(Quantile::Asked));
        let request = CustomRequest {
            metric: &metric.metric,
            resource: &metric.resource,
            namespace: metric.namespaced.then_some("shop"),
            names: &["a".to_owned()],
            metric_selector: if asked { &half } else { &everything },
        };
        let plan = catalogue.plan_custom(&request).unwrap();
        flyball_tsdb::promql::parse(&plan.promql).unwrap();
        let shared = plan.shared.unwrap_or_else(|| panic!("{metric:?} has no shared query"));
        assert_eq!(shared.namespace_label.is_some(), metric.namespaced, "{metric:?}");
    }
    assert!(catalogue.custom_metrics().count() > 20);
}

#[test]
fn labels_name_objects() {
    let found = |labels: &[&str]| {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        labels::objects(&labels)
            .into_iter()
            .map(|(label, resource)| format!("{label}: {resource}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        found(&["kubernetes_namespace", "kubernetes_pod_name", "app"]),
        ["kubernetes_pod_name: pods", "kubernetes_namespace: namespaces"]
    );
    assert_eq!(found(&["namespace", "pod", "pod_name"]), ["pod: pods", "namespace: namespaces"]);
    // kube-state-metrics, with and without its scraper's labels in the way.
    assert_eq!(
        found(&["namespace", "deployment"]),
        ["namespace: namespaces", "deployment: deployments.apps"]
    );
    assert_eq!(
        found(&["namespace", "pod", "service", "job", "exported_namespace", "exported_pod", "job_name"]),
        ["exported_pod: pods", "exported_namespace: namespaces", "job_name: jobs.batch"]
    );
    assert_eq!(
        found(&["namespace", "pod", "exported_service"]),
        ["pod: pods", "namespace: namespaces", "exported_service: services"]
    );
    assert_eq!(found(&["job", "instance"]), Vec::<String>::new());
}

#[test]
fn series_without_objects_are_told() {
    let catalogue = catalogue(&[
        typed("up", None, &["job", "instance"]),
        typed("x", Some(MetricType::Summary), &["namespace", "pod", "quantile"]),
        typed("only_pod", None, &["pod"]),
    ]);
    assert_eq!(catalogue.custom_metrics().count(), 0, "a pod without a namespace cannot be asked for");
    let told: Vec<&str> = catalogue.skipped().iter().map(|skipped| skipped.series.as_str()).collect();
    assert_eq!(told, ["only_pod", "up", "x"]);
    let missing = |metric: &str| {
        crate::explain::missing_custom(&catalogue, &GroupResource::parse("pods"), true, metric)
    };
    assert_eq!(
        missing("only_pod"),
        "the series only_pod gives no metric: its labels name objects, but none names their namespace"
    );
    assert_eq!(
        missing("x_p99"),
        "the series x gives no metric: quantiles of a summary cannot be added up over series; its _count and _sum are served"
    );
}

#[test]
fn quantiles_in_names() {
    for (name, expected) in [
        ("x_p99", Some(("x", 0.99))),
        ("x_p5", Some(("x", 0.05))),
        ("x_p50", Some(("x", 0.5))),
        ("x_p999", Some(("x", 0.999))),
        ("x_p100", Some(("x", 1.0))),
        ("x_p0", Some(("x", 0.0))),
        ("x_y_p095", Some(("x_y", 0.095))),
        ("x_p", None),
        ("_p99", None),
        ("x_p9a", None),
        ("x_p1234567890", None),
        ("xp99", None),
    ] {
        assert_eq!(split_quantile(name), expected, "{name}");
    }
}
