//! History in `flyball local`: what nodes say is kept and can be asked for in every way, and is there after a crash.

#![allow(clippy::disallowed_methods, reason = "starts the program")]

use std::process::Command;
use std::time::Duration;

use flyball_e2e::manifests::burn_deployment;
use flyball_e2e::{
    Finished, Local, MINUTE, SHORT, Signal, eventually, flyball_binary, has_kubectl, has_program, run,
    skipped,
};
use serde_json::{Value, json};

/// A sample is stored every 15 s; the machine may be busy.
const STORED: Duration = Duration::from_secs(180);

const CPU: &str = "container_cpu_usage_seconds_total";

fn flyball(local: &Local, arguments: &[&str]) -> Finished {
    let mut command = Command::new(flyball_binary());
    command.args(arguments).env("KUBECONFIG", local.kubectl().kubeconfig()).env_remove("FLYBALL_LOG");
    run(command, "", MINUTE)
}

/// Runs `flyball query`, which has to succeed.
fn query(local: &Local, arguments: &[&str]) -> String {
    let finished = flyball(local, &[&["query"], arguments].concat());
    assert!(finished.success(), "{finished}");
    finished.stdout
}

/// The number that a query has as its only result, or what came instead.
fn number(local: &Local, text: &str) -> Result<f64, String> {
    let finished = flyball(local, &["query", text, "-o", "csv", "--no-headers"]);
    let number = finished.stdout.trim().rsplit(',').next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| finished.to_string())
}

/// Asks what each panel of the dashboard of usage asks, as Grafana fills in its variables. Rates need two samples.
fn every_panel_has_data(local: &Local) {
    let dashboard: Value =
        serde_json::from_str(include_str!("../../deploy/dashboards/usage.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let asked = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    for target in asked {
        let text = target["expr"].as_str().expect("an expression");
        let text = text.replace("$__rate_interval", "1m").replace("$namespace", ".*").replace("$pod", ".*");
        assert!(query(local, &[&text]).lines().count() > 1, "nothing comes of {text}");
    }
}

fn asked_raw(local: &Local, path: &str) -> Value {
    let text = local.kubectl().ok(&["get", "--raw", &format!("/apis/history.flyball.io/v1/{path}")]);
    serde_json::from_str(&text).expect("JSON")
}

/// Serves one counter, as an application with a library for metrics does.
const APPLICATION: &str = r##"
import http.server, os
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b'# TYPE shop_orders_total counter\nshop_orders_total{kind="paid"} 7\n')
http.server.HTTPServer((os.environ["POD_IP"], 9100), Page).serve_forever()
"##;

#[test]
fn applications_with_annotations_are_scraped_into_it() {
    if !has_kubectl() {
        return;
    }
    if !has_program("python3") {
        skipped("no python3 for an application that exposes metrics");
        return;
    }
    let mut local = Local::start();
    let kubectl = local.kubectl().clone();
    let annotations = json!({"prometheus.io/scrape": "true", "prometheus.io/port": "9100"});
    let address = json!([{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]);
    kubectl.apply(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "shop", "labels": {"app": "shop"}, "annotations": annotations},
        "spec": {"containers": [{
            "name": "shop", "image": "flyball.io/host", "command": ["python3", "-c", APPLICATION],
            "env": address, "ports": [{"containerPort": 9100}],
        }]},
    }));
    let orders = r#"sum(shop_orders_total{namespace="default",pod="shop",app="shop",job="kubernetes-pods"})"#;
    eventually(
        STORED,
        "the application's counter is stored",
        || kubectl.state(),
        || match number(&local, orders) {
            Ok(7.0) => Ok(()),
            other => Err(format!("{other:?}")),
        },
    );
    let targets = asked_raw(&local, "targets?scrapePool=kubernetes-pods");
    assert_eq!(targets["data"]["activeTargets"][0]["health"], "up", "{targets}");
    let metadata = asked_raw(&local, "metadata?metric=shop_orders_total");
    assert_eq!(metadata["data"]["shop_orders_total"][0]["type"], "counter", "{metadata}");
    kubectl.ok(&["delete", "pod", "shop", "--grace-period=1"]);
    eventually(
        STORED,
        "its series end",
        || kubectl.state(),
        || match number(&local, &format!("{orders} or vector(0)")) {
            Ok(0.0) => Ok(()),
            other => Err(format!("{other:?}")),
        },
    );
    local.ends_clean(Signal::TERM);
}

#[test]
fn what_is_measured_can_be_asked_for_later() {
    if !has_kubectl() {
        return;
    }
    let mut local = Local::start();
    let kubectl = local.kubectl().clone();
    kubectl.apply(&burn_deployment("burn", 1, 1));
    let of_pods = format!(r#"{CPU}{{namespace="default"}}"#);
    let state = || kubectl.state();
    eventually(STORED, "the pod's CPU is stored twice", state, || {
        match number(&local, &format!("count_over_time({of_pods}[10m])")) {
            Ok(samples) if samples >= 2.0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });

    every_panel_has_data(&local);

    let table = query(&local, &[CPU]);
    assert!(table.starts_with("SERIES") && table.contains("pod=\"burn-"), "{table}");
    let by_label = query(&local, &[&of_pods, "-o", "csv"]);
    let header = "__name__,container,instance,job,metrics_path,namespace,node,pod,timestamp,value\n";
    assert!(by_label.starts_with(header), "{by_label}");
    let json: Value =
        serde_json::from_str(&query(&local, &[CPU, "--since", "10m", "-o", "json"])).expect("JSON");
    assert_eq!(json["data"]["resultType"], "matrix");
    let chart = query(&local, &[CPU, "--since", "10m", "-o", "chart"]);
    assert!(chart.contains("a container_cpu_usage_seconds_total{"), "{chart}");
    assert!(
        query(&local, &["--complete", "sum(container_cpu"])
            .contains("sum(container_cpu_usage_seconds_total\n")
    );

    // In a namespace there is nothing but its own series.
    assert!(query(&local, &["-n", "default", CPU]).contains("burn-"));
    assert_eq!(query(&local, &["-n", "kube-system", CPU]), "");
    assert_eq!(query(&local, &["-n", "default", "up"]), "", "a node is in no namespace");
    let finished = flyball(&local, &["query", "sum("]);
    assert!(!finished.success() && finished.stderr.contains("parse error"), "{finished}");

    // kubectl asks the same.
    let answer = asked_raw(&local, &format!("query?query={CPU}"));
    assert_eq!(answer["status"], "success");
    let series = answer["data"]["result"].as_array().expect("a vector");
    assert!(series.iter().any(|series| series["metric"]["namespace"] == "default"), "{answer}");
    assert_eq!(asked_raw(&local, "status/buildinfo")["data"]["version"], "3.5.0");
    let target = &asked_raw(&local, "targets")["data"]["activeTargets"][0];
    assert_eq!((&target["health"], &target["labels"]["job"]), (&"up".into(), &"kubelet".into()));

    let copy = flyball(&local, &["tsdb", "snapshot"]);
    assert!(copy.success() && copy.stdout.starts_with("snapshots/"), "{copy}");

    // What was stored more than a flush before the crash is there after it.
    let started = number(&local, "time()").expect("a number");
    eventually(SHORT, "a flush interval passes", state, || match number(&local, "time()") {
        Ok(now) if now > started + 3.0 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let stored = format!("count_over_time(up[{}s] @ {started})", 600);
    let before = number(&local, &stored).expect("samples");
    local.kill9();
    local.restart();
    eventually(
        STORED,
        "the history is there again",
        || kubectl.state(),
        || match number(&local, &stored) {
            Ok(after) if after >= before => Ok(()),
            other => Err(format!("{before} samples before; {other:?}")),
        },
    );
    let folder = local.folder().join("history");
    local.ends_clean(Signal::TERM);
    let mut check = Command::new(flyball_binary());
    check.args(["tsdb", "check"]).arg(&folder);
    let checked = run(check, "", MINUTE);
    assert!(checked.success() && checked.stdout.contains("values of the log"), "{checked}");
}
