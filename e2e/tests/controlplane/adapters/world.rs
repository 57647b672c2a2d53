//! A cluster and the series that tell of it: what the configurations of `adapter/testdata/configs` ask about.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use flyball_e2e::plane::Plane;
use serde_json::{Value, json};

/// Kinds and label names of all series that the configurations are tried on.
const REQUESTS: &str = include_str!("../../../../adapter/testdata/requests.json");

/// Namespaces with objects and series; a third has neither.
pub const NAMESPACES: [&str; 3] = ["shop", "other", "empty"];

/// Makes the objects.
pub fn make(plane: &Plane) {
    for namespace in NAMESPACES {
        let kubectl = plane.namespace(namespace);
        if namespace != "empty" {
            let items: Vec<Value> = in_namespace();
            kubectl.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}));
            // There is no kubelet to say so; usage is of pods that run, and this leaves web-2 out.
            for pod in ["web-1", "web.3", "idle"] {
                let patch = r#"{"status":{"phase":"Running"}}"#;
                kubectl.ok(&["patch", "pod", pod, "--subresource=status", "--type=merge", "--patch", patch]);
            }
        }
    }
    let kubectl = plane.admin();
    kubectl.apply(&json!({"apiVersion": "v1", "kind": "List", "items": of_cluster()}));
    kubectl.ok(&["wait", "crd/brands.cheese.io", "--for=condition=Established", "--timeout=60s"]);
    for namespace in ["shop", "other"] {
        for name in ["web", "db"] {
            let brand = json!({"apiVersion": "cheese.io/v1", "kind": "Brand",
                "metadata": {"name": name, "labels": {"app": name}}});
            kubectl.in_namespace(namespace).apply(&brand);
        }
    }
}

fn in_namespace() -> Vec<Value> {
    let container = json!({"name": "main", "image": "any"});
    let pod = |name: &str, app: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": app}},
            "spec": {"containers": [container]}})
    };
    let mut items = vec![pod("web-1", "web"), pod("web-2", "web"), pod("web.3", "db"), pod("idle", "web")];
    for name in ["web", "db"] {
        let labels = json!({"app": name});
        let metadata = json!({"name": name, "labels": labels});
        let template = |restart: &str| json!({"metadata": {"labels": labels}, "spec": {"containers": [container], "restartPolicy": restart}});
        let selector = json!({"matchLabels": labels});
        items.extend([
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
                "spec": {"replicas": 0, "selector": selector, "template": template("Always")}}),
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata,
                "spec": {"replicas": 0, "serviceName": name, "selector": selector, "template": template("Always")}}),
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata,
                "spec": {"suspend": true, "template": template("Never")}}),
            json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata,
                "spec": {"suspend": true, "schedule": "0 0 1 1 *",
                    "jobTemplate": {"spec": {"template": template("Never")}}}}),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
                "spec": {"selector": labels, "ports": [{"port": 80}]}}),
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata,
                "spec": {"defaultBackend": {"service": {"name": name, "port": {"number": 80}}}}}),
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata,
                "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none",
                    "resources": {"requests": {"storage": "1Mi"}}}}),
        ]);
    }
    items
}

fn of_cluster() -> Vec<Value> {
    let node = |name: &str| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"app": name}}});
    let volume = |name: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "other",
                "hostPath": {"path": "/nowhere"}}})
    };
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let brand = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "brands.cheese.io"},
        "spec": {"group": "cheese.io", "scope": "Namespaced",
            "names": {"plural": "brands", "singular": "brand", "kind": "Brand"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]}});
    vec![node("n1"), node("n2"), volume("pv1"), volume("pv2"), brand]
}

/// Different series of one name.
const VARIANTS: usize = 6;

/// What a label says in one of them.
fn label_value(label: &str, variant: usize) -> String {
    let pick = |values: [&str; VARIANTS]| values[variant].to_owned();
    let is = |word: &str| label.contains(word);
    match () {
        () if is("namespace") => pick(["shop", "shop", "shop", "shop", "other", "other"]),
        () if is("pod") => pick(["web-1", "web-1", "web-2", "web-2", "web-1", "web.3"]),
        () if is("node") => pick(["n1", "n1", "n2", "n2", "n1", "n2"]),
        () if label == "persistentvolume" => pick(["pv1", "pv1", "pv2", "pv2", "pv1", "pv2"]),
        () if label == "code" || label == "status" => pick(["200", "500", "200", "500", "200", "500"]),
        () if label == "method" => pick(["GET", "GET", "POST", "GET", "GET", "GET"]),
        () if label == "quantile" => pick(["0.5", "0.99", "0.5", "0.99", "0.5", "0.99"]),
        () if ["deployment", "service", "ingress", "set", "claim", "brand", "job", "cron", "name"]
            .iter()
            .any(|word| is(word)) =>
        {
            pick(["web", "web", "db", "db", "web", "db"])
        }
        () => format!("{label}-{}", variant % 2),
    }
}

/// What a series says at a scrape: counters grow, by another amount each; a few say what is odd.
fn value(name: &str, number: usize, scrape: u64) -> f64 {
    let own = 1.5 + number as f64 * 0.75;
    let is_counter = ["_total", "_bucket", "_count", "_sum"].iter().any(|ending| name.ends_with(ending));
    match name {
        "temperature" => -own,
        "queue_depth" => 1_234_567.0 + own,
        "app_odd" => 0.0004 * own,
        "redis_connected_clients" if number % 2 == 1 => f64::NAN,
        _ if is_counter => own * scrape as f64,
        _ => own,
    }
}

/// Series beside those, for usage: names and labels.
const OF_USAGE: [(&str, &[&str]); 6] = [
    ("node_cpu_usage_seconds_total", &["node"]),
    ("node_memory_working_set_bytes", &["node"]),
    ("a", &["namespace", "pod", "container"]),
    ("b", &["node"]),
    ("c", &["namespace", "pod", "container"]),
    ("d", &["node"]),
];

/// Everything that is exposed at a scrape.
pub fn exposition(scrape: u64) -> String {
    let requests: Value = serde_json::from_str(REQUESTS).expect("JSON");
    let mut text = String::new();
    let mut written = BTreeSet::new();
    let asked_about = requests["series"].as_array().into_iter().flatten().map(|series| {
        let labels = series["labels"].as_object().into_iter().flatten();
        (series["name"].as_str().expect("a name"), labels.map(|(label, _)| label.as_str()).collect())
    });
    let of_usage = OF_USAGE.iter().map(|(name, labels)| (*name, labels.to_vec()));
    let all: Vec<(&str, Vec<&str>)> = asked_about.chain(of_usage).collect();
    for (number, (name, labels)) in all.iter().enumerate() {
        for variant in 0..VARIANTS {
            let buckets: &[&str] = if labels.contains(&"le") { &["0.1", "1", "+Inf"] } else { &[""] };
            for (bucket, le) in buckets.iter().enumerate() {
                let pairs: Vec<String> = labels
                    .iter()
                    .map(|label| match *label {
                        "le" => format!("le=\"{le}\""),
                        label => format!("{label}=\"{}\"", label_value(label, variant)),
                    })
                    .collect();
                let id = format!("{name}{{{}}}", pairs.join(","));
                if written.insert(id.clone()) {
                    let value = value(name, number + variant, scrape) * (bucket + 1) as f64;
                    writeln!(text, "{id} {value}").expect("memory");
                }
            }
        }
    }
    text
}

#[test]
fn the_exposition_has_each_series_once_and_grows() {
    let (one, two) = (exposition(1), exposition(2));
    assert!(one.lines().count() > 150, "{one}");
    assert!(one.contains("\nhttp_requests_total{") && one.contains("le=\"+Inf\"") && one != two);
}
