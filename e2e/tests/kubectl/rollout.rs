//! scale, autoscale, rollout status and restart, set image, wait.

use flyball_e2e::manifests::{IDLE, deployment, script_deployment, script_pod};
use flyball_e2e::{Kubectl, MINUTE, SHORT};
use serde_json::json;

use crate::{CLUSTER, holds};

/// Sorted UIDs of the pods that are not being deleted.
fn pod_uids(kubectl: &Kubectl) -> Vec<String> {
    let pods = kubectl.json(&["get", "pods"]);
    let items = pods["items"].as_array().cloned().unwrap_or_default();
    let alive = items.iter().filter(|pod| pod["metadata"].get("deletionTimestamp").is_none());
    let mut uids: Vec<_> = alive.map(|pod| pod["metadata"]["uid"].to_string()).collect();
    uids.sort();
    uids
}

#[test]
fn scale_out_and_in() {
    let Some(kubectl) = CLUSTER.namespace("scale") else { return };
    kubectl.apply(&script_deployment("web", 1, IDLE));
    kubectl.ok(&["scale", "deployment/web", "--replicas", "3"]);
    kubectl.eventually_available(MINUTE, "web", 3);
    kubectl.fails(&["scale", "deployment/web", "--replicas", "5", "--current-replicas", "99"]);
    kubectl.ok(&["scale", "deployment/web", "--replicas", "0"]);
    kubectl.eventually_available(MINUTE, "web", 0);
    let scale = kubectl.ok(&["get", "deployment", "web", "--subresource", "scale", "-o", "json"]);
    holds(&scale, &["\"kind\": \"Scale\"", "app=web"]);
}

#[test]
fn autoscale_makes_an_hpa() {
    let Some(kubectl) = CLUSTER.namespace("autoscale") else { return };
    kubectl.apply(&script_deployment("web", 0, IDLE));
    kubectl.ok(&["autoscale", "deployment", "web", "--min", "1", "--max", "3", "--cpu-percent", "50"]);
    holds(
        &kubectl.ok(&["get", "hpa"]),
        &["REFERENCE", "TARGETS", "MINPODS", "MAXPODS", "Deployment/web", "50%"],
    );
    for version in ["v1", "v2"] {
        let hpa = kubectl.json(&["get", &format!("horizontalpodautoscalers.{version}.autoscaling"), "web"]);
        assert_eq!(hpa["apiVersion"], format!("autoscaling/{version}"));
        assert_eq!((&hpa["spec"]["minReplicas"], &hpa["spec"]["maxReplicas"]), (&json!(1), &json!(3)));
    }
}

#[test]
fn restart_replaces_the_pods() {
    let Some(kubectl) = CLUSTER.namespace("restart") else { return };
    kubectl.apply(&script_deployment("web", 2, IDLE));
    holds(
        &kubectl.ok(&["rollout", "status", "deployment/web", "--timeout", "60s"]),
        &["successfully rolled out"],
    );
    let before = pod_uids(&kubectl);
    kubectl.ok(&["rollout", "restart", "deployment/web"]);
    holds(
        &kubectl.ok(&["rollout", "status", "deployment/web", "--timeout", "60s"]),
        &["successfully rolled out"],
    );
    let after = pod_uids(&kubectl);
    assert_eq!((before.len(), after.len()), (2, 2));
    assert!(before.iter().all(|uid| !after.contains(uid)), "before {before:?}, after {after:?}");
}

#[test]
fn set_image_rolls_and_a_bad_one_keeps_the_old_pods() {
    let Some(kubectl) = CLUSTER.namespace("set-image") else { return };
    kubectl.apply(&deployment("web", 2, &json!({"image": "example.com/sleeper:1"})));
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout", "60s"]);
    kubectl.ok(&["set", "image", "deployment/web", "app=example.com/sleeper:2"]);
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout", "60s"]);
    kubectl.eventually(SHORT, "only pods of the new image are left", || {
        let images = kubectl.ok(&["get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}"]);
        if images == "example.com/sleeper:2 example.com/sleeper:2" { Ok(()) } else { Err(images) }
    });
    let sizes = kubectl.ok(&["get", "replicasets", "-o", "jsonpath={.items[*].spec.replicas}"]);
    let mut sizes: Vec<_> = sizes.split(' ').collect();
    sizes.sort_unstable();
    assert_eq!(sizes, ["0", "2"]);

    kubectl.ok(&["set", "image", "deployment/web", "app=example.com/unheard-of:1"]);
    kubectl.fails(&["rollout", "status", "deployment/web", "--timeout", "4s"]);
    let available = kubectl.ok(&["get", "deployment", "web", "-o", "jsonpath={.status.availableReplicas}"]);
    assert_eq!(available, "2", "{}", kubectl.state());
    kubectl.ok(&["set", "image", "deployment/web", "app=example.com/sleeper:1"]);
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout", "60s"]);
}

#[test]
fn wait_for_conditions() {
    let Some(kubectl) = CLUSTER.namespace("wait") else { return };
    kubectl.apply(&script_deployment("web", 1, IDLE));
    kubectl.ok(&["wait", "--for", "condition=Available", "deployment/web", "--timeout", "60s"]);
    kubectl.ok(&["wait", "--for", "condition=Ready", "pod", "-l", "app=web", "--timeout", "60s"]);
    kubectl.ok(&[
        "wait",
        "--for",
        "jsonpath={.status.phase}=Running",
        "pod",
        "-l",
        "app=web",
        "--timeout",
        "60s",
    ]);
    kubectl.ok(&["wait", "--for", "condition=Ready", "nodes", "--all", "--timeout", "30s"]);
    let error = kubectl.fails(&["wait", "--for", "condition=Unheard", "deployment/web", "--timeout", "1s"]);
    holds(&error, &["timed out"]);
}

#[test]
fn pods_end_with_their_exit_code() {
    let Some(kubectl) = CLUSTER.namespace("exit-code") else { return };
    kubectl.apply(&script_pod("good", "exit 0"));
    kubectl.apply(&script_pod("bad", "exit 3"));
    kubectl.ok(&["wait", "--for", "jsonpath={.status.phase}=Succeeded", "pod/good", "--timeout", "60s"]);
    kubectl.ok(&["wait", "--for", "jsonpath={.status.phase}=Failed", "pod/bad", "--timeout", "60s"]);
    let code = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}";
    assert_eq!(kubectl.ok(&["get", "pod", "bad", "-o", code]), "3");
    holds(&kubectl.ok(&["get", "pods"]), &["Completed", "Error"]);
}
