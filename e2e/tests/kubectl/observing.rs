//! logs, events, top, get --raw.

use flyball_e2e::manifests::{BUSY, IDLE, deployment, script_deployment, script_pod};
use flyball_e2e::{Kubectl, MINUTE, SHORT};
use serde_json::{Value, json};

use crate::{CLUSTER, holds};

#[test]
fn logs_of_what_was_printed() {
    let Some(kubectl) = CLUSTER.namespace("logs") else { return };
    kubectl.apply(&script_deployment("web", 1, &format!("echo one; echo two; echo three >&2; {IDLE}")));
    kubectl.eventually_prints(MINUTE, &["logs", "deployment/web"], "three");
    let text = kubectl.ok(&["logs", "deployment/web", "-c", "app"]);
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "three", "two"]);
    assert_eq!(kubectl.ok(&["logs", "-l", "app=web", "--tail", "1"]).lines().count(), 1);
    let pod = kubectl.ok(&["get", "pods", "-o", "jsonpath={.items[0].metadata.name}"]);
    holds(&kubectl.ok(&["logs", &pod, "--timestamps"]), &["T", "Z one"]);
    kubectl.fails(&["logs", &pod, "-c", "another"]);
    kubectl.fails(&["logs", "nothing"]);
}

#[test]
fn logs_follow() {
    let Some(kubectl) = CLUSTER.namespace("follow") else { return };
    kubectl.apply(&script_pod("ticking", "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.2; done"));
    kubectl.apply(&script_pod("ending", "echo begin; sleep 2; echo end"));
    kubectl.ok(&["wait", "--for", "condition=Ready", "pod/ticking", "--timeout", "60s"]);
    let mut ticking = kubectl.start(&["logs", "--follow", "ticking"]);
    for wanted in ["tick 1", "tick 5"] {
        let seen = ticking.wait_line(SHORT, |line| (line == wanted).then_some(()));
        seen.unwrap_or_else(|error| panic!("no line {wanted:?}: {error}\n{}", kubectl.state()));
    }
    let seen = ticking.seen();
    assert_eq!(seen[..5], ["tick 1", "tick 2", "tick 3", "tick 4", "tick 5"]);
    // Following ends with the container.
    assert_eq!(kubectl.ok(&["logs", "--follow", "ending"]), "begin\nend\n");
}

#[test]
fn events_tell_what_happened() {
    let Some(kubectl) = CLUSTER.namespace("events") else { return };
    kubectl.apply(&script_deployment("web", 1, IDLE));
    kubectl.eventually_available(MINUTE, "web", 1);
    kubectl.eventually_prints(SHORT, &["events"], "Started");
    holds(
        &kubectl.ok(&["events"]),
        &["LAST SEEN", "REASON", "OBJECT", "ScalingReplicaSet", "Deployment/web"],
    );
    holds(&kubectl.ok(&["get", "events"]), &["SuccessfulCreate", "replicaset/web-", "pod/web-"]);
    let of_deployment = kubectl.ok(&["events", "--for", "deployment/web"]);
    assert!(!of_deployment.contains("Pod/"), "{of_deployment}");
}

/// A deployment `busy` at 100m CPU and a deployment `idle`, measured.
fn measured(kubectl: &Kubectl) {
    let container = |text: &str| json!({"image": "flyball.io/host", "command": ["sh", "-c", text], "resources": {"limits": {"cpu": "100m"}}});
    kubectl.apply(&deployment("busy", 1, &container(BUSY)));
    kubectl.apply(&deployment("idle", 1, &container(IDLE)));
    kubectl.eventually(MINUTE, "both pods are measured, the busy one at some CPU", || {
        let finished = kubectl.run(&["top", "pods", "--no-headers"]);
        let rows: Vec<Vec<_>> =
            finished.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
        let cpu = |name: &str| {
            rows.iter()
                .find(|row| row[0].starts_with(name))
                .and_then(|row| row.get(1)?.strip_suffix('m')?.parse().ok())
        };
        let measured = cpu("busy-").is_some_and(|millicores: u64| millicores > 50) && cpu("idle-").is_some();
        if measured { Ok(()) } else { Err(finished.to_string()) }
    });
}

#[test]
fn top_in_every_form() {
    let Some(kubectl) = CLUSTER.namespace("top") else { return };
    measured(&kubectl);
    holds(&kubectl.ok(&["top", "nodes"]), &["NAME", "CPU(cores)", "MEMORY(bytes)", "%"]);
    holds(&kubectl.ok(&["top", "node", "--sort-by", "memory"]), &["CPU(cores)"]);
    holds(&kubectl.ok(&["top", "pods"]), &["NAME", "CPU(cores)", "MEMORY(bytes)", "busy-", "idle-", "Mi"]);
    let by_cpu = kubectl.ok(&["top", "pods", "--sort-by", "cpu", "--no-headers"]);
    assert!(by_cpu.starts_with("busy-"), "{by_cpu}");
    holds(&kubectl.ok(&["top", "pods", "--sort-by", "memory"]), &["busy-", "idle-"]);
    let containers = kubectl.ok(&["top", "pods", "--containers"]);
    holds(&containers, &["POD", "NAME", "CPU(cores)", " app "]);
    let selected = kubectl.ok(&["top", "pods", "-l", "app=idle", "--no-headers"]);
    assert!(selected.starts_with("idle-") && selected.lines().count() == 1, "{selected}");
    holds(&kubectl.ok(&["top", "pods", "-A"]), &["NAMESPACE", "top ", "busy-"]);
    let pod = kubectl.ok(&["get", "pods", "-l", "app=idle", "-o", "jsonpath={.items[0].metadata.name}"]);
    holds(&kubectl.ok(&["top", "pod", &pod]), &[pod.as_str()]);
}

#[test]
fn raw_metrics() {
    let Some(kubectl) = CLUSTER.namespace("raw") else { return };
    measured(&kubectl);
    for version in ["v1beta1", "v1"] {
        let group = format!("/apis/metrics.k8s.io/{version}");
        let get =
            |path: &str| kubectl.raw(&format!("{group}{path}")).unwrap_or_else(|error| panic!("{error}"));
        let all = get("/pods");
        assert_eq!(all["kind"], "PodMetricsList");
        assert_eq!(all["apiVersion"], format!("metrics.k8s.io/{version}"));
        let ours = get("/namespaces/raw/pods?labelSelector=app%3Dbusy");
        let items = ours["items"].as_array().cloned().unwrap_or_default();
        let [pod] = items.as_slice() else { panic!("one pod expected: {ours}") };
        assert_eq!(pod["metadata"]["namespace"], "raw");
        assert!(pod["timestamp"].is_string() && pod["window"].is_string(), "{pod}");
        let container = &pod["containers"][0];
        assert_eq!(container["name"], "app");
        assert!(
            container["usage"]["cpu"].is_string() && container["usage"]["memory"].is_string(),
            "{container}"
        );
        let nodes = get("/nodes");
        assert_eq!(nodes["kind"], "NodeMetricsList");
        let usage = |node: &Value| node["usage"]["cpu"].is_string() && node["usage"]["memory"].is_string();
        assert!(
            nodes["items"].as_array().is_some_and(|items| items.len() == 1 && items.iter().all(usage)),
            "{nodes}"
        );
    }
    holds(&kubectl.ok(&["get", "--raw", "/readyz"]), &["ok"]);
    holds(&kubectl.ok(&["get", "pods.metrics.k8s.io"]), &["busy-"]);
    holds(
        &kubectl.fails(&["get", "--raw", "/apis/metrics.k8s.io/v1beta1/namespaces/raw/pods/nothing"]),
        &["NotFound"],
    );
}
