//! Autoscalers on a Pods, an Object and an External metric each scale a workload, under Kubernetes' own loop and under ours,
//! with the adapter as shipped in front of a real Prometheus and no configuration; and `kubectl get --raw` of each path.

use std::net::SocketAddr;
use std::time::Duration;

use flyball_benches::kubelets::{Config, Simulation};
use flyball_e2e::plane::{Needs, Plane};
use flyball_e2e::{Kubectl, Program};
use serde_json::{Value, json};

use super::prometheus::Prometheus;
use super::prometheus_program;
use super::serving::Target;
use crate::swaps::metrics::{By, install};
use crate::swaps::stage::start_loop;

/// Account and Service of the adapter as shipped.
const SYSTEM: &str = "flyball-system";
const NAME: &str = "flyball-adapter";
const PORT: u16 = 4443;
const NODE: &str = "scaled-0";
/// A new series has to be scraped, found and asked for, and pods to become ready.
const PATIENCE: Duration = Duration::from_secs(180);
const CUSTOM: &str = "/apis/custom.metrics.k8s.io";
const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1";
/// All that is asked for is three times what one pod is to bear.
const WORKLOADS: [&str; 3] = ["by-pods", "by-object", "by-external"];
const REPLICAS: i64 = 3;

#[test]
fn autoscalers_of_both_loops_scale_by_each_kind_of_metric() {
    let Some(prometheus) = prometheus_program() else { return };
    let Some(plane) = Plane::alone(Needs::light().hpa_loop().own_control_plane()) else { return };
    let _ = rustls::crypto::ring::default_provider().install_default();
    install(&plane, "adapter");
    let _simulation = node(&plane);
    let target = Target::start((plane.address(), 80).into(), Box::new(|_| String::new()));
    let prometheus = Prometheus::start(&plane, &prometheus, &target);
    let adapter = adapter(&plane, &prometheus);
    start_loop(&plane, By::Upstream);
    scale(&plane, &target, "scaled-upstream", &adapter);
    plane.set_hpa_loop(false);
    let _hpa = start_loop(&plane, By::Ours);
    let kubectl = scale(&plane, &target, "scaled-ours", &adapter);
    every_path(&plane, &kubectl);
}

fn node(plane: &Plane) -> Simulation {
    let mut config = Config::new("scaled", [SocketAddr::from((plane.address(), 10250))]);
    config.kubeconfig = Some(plane.admin_kubeconfig().to_owned());
    Simulation::start(config).expect("the simulation starts")
}

/// The adapter behind its Service, with the rights of its account.
fn adapter(plane: &Plane, prometheus: &Prometheus) -> Program {
    let address = plane.address();
    let flags = [
        "adapter".to_owned(),
        format!("--bind-address={address}"),
        format!("--secure-port={PORT}"),
        format!("--prometheus-url={}", prometheus.url()),
        "--prometheus-scrape-interval=1s".to_owned(),
        "--metrics-relist-interval=1m".to_owned(),
        format!("--cert-dir={}", plane.folder().join("adapter").display()),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let program = plane.run_as(SYSTEM, NAME, &flags);
    plane.serve_group(SYSTEM, NAME, 443, SocketAddr::from((address, PORT)));
    for service in ["v1beta1.custom", "v1beta2.custom", "v1beta1.external"] {
        let service = format!("apiservice/{service}.metrics.k8s.io");
        plane.admin().ok(&["wait", &service, "--for=condition=Available", "--timeout=120s"]);
    }
    program
}

/// Makes three workloads with an autoscaler each, and waits until all are scaled.
fn scale(plane: &Plane, target: &Target, namespace: &str, adapter: &Program) -> Kubectl {
    let kubectl = plane.namespace(namespace);
    let mut items = vec![json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"},
        "spec": {"ports": [{"port": 80}]}})];
    for workload in WORKLOADS {
        items.extend([deployment(workload), hpa(workload)]);
    }
    kubectl.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}));
    kubectl.eventually(PATIENCE, "all three workloads are scaled", || {
        let text = exposition(&kubectl, namespace);
        let said = text.clone();
        target.say(Box::new(move |_| said.clone()));
        for workload in WORKLOADS {
            let hpa = kubectl.json(&["get", "hpa", workload]);
            let deployment = kubectl.json(&["get", "deployment", workload]);
            let metric = &hpa["status"]["currentMetrics"][0]["type"];
            if deployment["spec"]["replicas"] != REPLICAS || !metric.is_string() {
                return Err(format!(
                    "{workload}: {} replicas, {}\n{}",
                    deployment["spec"]["replicas"],
                    hpa["status"],
                    adapter.state()
                ));
            }
        }
        // The last pods may be younger than what the target says.
        match text.matches("requests_waiting{").count() as i64 {
            REPLICAS => Ok(()),
            pods => Err(format!("values of {pods} pods")),
        }
    });
    kubectl
}

fn deployment(name: &str) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": "any"}]}}},
    })
}

fn hpa(name: &str) -> Value {
    let average = json!({"type": "AverageValue", "averageValue": "10"});
    let metric = match name {
        "by-pods" => {
            json!({"type": "Pods", "pods": {"metric": {"name": "requests_waiting"}, "target": average}})
        }
        "by-object" => json!({"type": "Object", "object": {"metric": {"name": "orders_open"},
            "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "shop"}, "target": average}}),
        _ => json!({"type": "External", "external": {"target": average, "metric": {
            "name": "mails_waiting", "selector": {"matchLabels": {"queue": "mail"}}}}}),
    };
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 1, "maxReplicas": REPLICAS, "metrics": [metric]},
    })
}

/// What the target says: a value of each pod that there is, of the Service, of two queues, of the node.
fn exposition(kubectl: &Kubectl, namespace: &str) -> String {
    let pods = kubectl.json(&["get", "pods", "--selector=app=by-pods"]);
    let mut text = "# TYPE requests_waiting gauge\n".to_owned();
    for pod in pods["items"].as_array().into_iter().flatten() {
        let pod = pod["metadata"]["name"].as_str().expect("a name");
        text += &format!("requests_waiting{{namespace=\"{namespace}\",pod=\"{pod}\"}} 30\n");
    }
    text +=
        &format!("# TYPE orders_open gauge\norders_open{{namespace=\"{namespace}\",service=\"shop\"}} 30\n");
    text += &format!(
        "# TYPE mails_waiting gauge\nmails_waiting{{namespace=\"{namespace}\",queue=\"mail\"}} 30\n"
    );
    text += &format!("mails_waiting{{namespace=\"{namespace}\",queue=\"spam\"}} 5000\n");
    text + &format!("# TYPE heat_celsius gauge\nheat_celsius{{node=\"{NODE}\"}} 41.5\n")
}

fn every_path(plane: &Plane, kubectl: &Kubectl) {
    let namespace = kubectl.namespace().to_owned();
    let pods = kubectl.json(&["get", "pods", "--selector=app=by-pods"]);
    let pod = pods["items"][0]["metadata"]["name"].as_str().expect("a pod").to_owned();
    let viewer = plane.viewer().in_namespace(&namespace);
    let items = |path: &str, count: usize| -> Vec<Value> {
        viewer.eventually(PATIENCE, &format!("{path} has {count} values"), || {
            let list = viewer.raw(path)?;
            match list["items"].as_array() {
                Some(items) if items.len() == count => Ok(items.clone()),
                _ => Err(list.to_string()),
            }
        })
    };
    for version in ["v1beta1", "v1beta2"] {
        let root = format!("{CUSTOM}/{version}");
        let place = format!("{root}/namespaces/{namespace}");
        for (path, kind, count, value) in [
            (format!("{place}/pods/*/requests_waiting"), "Pod", 3, "30"),
            (format!("{place}/pods/%2A/requests_waiting?labelSelector=app%3Dby-pods"), "Pod", 3, "30"),
            (format!("{place}/pods/{pod}/requests_waiting"), "Pod", 1, "30"),
            (format!("{place}/services/shop/orders_open"), "Service", 1, "30"),
            (format!("{place}/services/*/orders_open"), "Service", 1, "30"),
            (format!("{place}/metrics/mails_waiting"), "Namespace", 1, "5030"),
            (format!("{place}/metrics/mails_waiting?metricLabelSelector=queue%3Dmail"), "Namespace", 1, "30"),
        ] {
            for item in &items(&path, count) {
                assert_eq!(item["describedObject"]["kind"], kind, "{path}: {item}");
                assert_eq!(item["value"], value, "{path}: {item}");
            }
        }
        // Nodes are for those who may see the cluster's.
        let path = format!("{root}/nodes/{NODE}/heat_celsius");
        let node = kubectl.raw(&path).expect("a value");
        assert_eq!(node["items"][0]["value"], "41500m", "{path}: {node}");
        let names = listed(kubectl, &root);
        for name in [
            "pods/requests_waiting",
            "services/orders_open",
            "namespaces/mails_waiting",
            "nodes/heat_celsius",
        ] {
            assert!(names.iter().any(|listed| listed == name), "{name} in {names:?}");
        }
    }
    let external =
        items(&format!("{EXTERNAL}/namespaces/{namespace}/mails_waiting?labelSelector=queue%3Dmail"), 1);
    assert_eq!(external[0]["value"], "30");
    assert!(listed(kubectl, EXTERNAL).contains(&"mails_waiting".to_owned()));
    let path = format!("{CUSTOM}/v1beta1/namespaces/{namespace}/pods/*/requests_waitin");
    let unknown = viewer.fails(&["get", "--raw", &path]);
    assert!(unknown.contains("requests_waiting"), "{unknown}");
    let refused = plane.nobody().fails(&["get", "--raw", &path]);
    assert!(refused.contains("Forbidden"), "{refused}");
}

fn listed(kubectl: &Kubectl, path: &str) -> Vec<String> {
    let list = kubectl.raw(path).expect("discovery answers");
    let resources = list["resources"].as_array().into_iter().flatten();
    resources.filter_map(|one| one["name"].as_str().map(str::to_owned)).collect()
}
