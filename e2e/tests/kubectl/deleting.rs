//! delete, with its ways of propagation, and wait --for=delete.

use flyball_e2e::manifests::{IDLE, script_deployment, script_pod};
use flyball_e2e::{MINUTE, SHORT};

use crate::{CLUSTER, holds};

/// Names of everything of these kinds.
const ALL: &[&str] = &["get", "deployments,replicasets,pods", "--ignore-not-found", "-o", "name"];

#[test]
fn delete_takes_what_is_owned() {
    let Some(kubectl) = CLUSTER.namespace("cascade") else { return };
    for cascade in ["background", "foreground"] {
        kubectl.apply(&script_deployment("web", 2, IDLE));
        kubectl.eventually_available(MINUTE, "web", 2);
        kubectl.ok(&["delete", "deployment", "web", &format!("--cascade={cascade}")]);
        kubectl.eventually(SHORT, &format!("nothing is left with {cascade}"), || {
            let left = kubectl.ok(ALL);
            if left.is_empty() { Ok(()) } else { Err(left) }
        });
    }
}

#[test]
fn delete_may_leave_what_is_owned() {
    let Some(kubectl) = CLUSTER.namespace("orphan") else { return };
    kubectl.apply(&script_deployment("web", 1, IDLE));
    kubectl.eventually_available(MINUTE, "web", 1);
    let before = kubectl.ok(&["get", "replicasets,pods", "-o", "name"]);
    kubectl.ok(&["delete", "deployment", "web", "--cascade=orphan"]);
    holds(&kubectl.fails(&["get", "deployment", "web"]), &["NotFound"]);
    assert_eq!(kubectl.ok(ALL), before);
    // A new Deployment of the same selector adopts them.
    kubectl.apply(&script_deployment("web", 1, IDLE));
    kubectl.eventually_available(MINUTE, "web", 1);
    assert_eq!(kubectl.ok(&["get", "replicasets,pods", "-o", "name"]), before);
}

#[test]
fn a_deleted_pod_is_gone_and_replaced() {
    let Some(kubectl) = CLUSTER.namespace("replace-pod") else { return };
    kubectl.apply(&script_deployment("web", 1, IDLE));
    kubectl.eventually_available(MINUTE, "web", 1);
    let pod = kubectl.ok(&["get", "pods", "-o", "jsonpath={.items[0].metadata.name}"]);
    kubectl.ok(&["delete", "pod", &pod, "--wait"]);
    holds(&kubectl.fails(&["get", "pod", &pod]), &["NotFound"]);
    kubectl.eventually_available(MINUTE, "web", 1);
}

#[test]
fn delete_in_other_forms() {
    let Some(kubectl) = CLUSTER.namespace("delete") else { return };
    // The first does not care for SIGTERM: it is killed after its grace period.
    let stubborn = script_pod("stubborn", "trap '' TERM; while :; do sleep 1; done");
    for pod in [&stubborn, &script_pod("one", IDLE), &script_pod("two", IDLE), &script_pod("three", IDLE)] {
        kubectl.apply(pod);
    }
    kubectl.ok(&["wait", "--for", "condition=Ready", "pod", "--all", "--timeout", "60s"]);
    kubectl.ok(&["delete", "pod", "stubborn", "--wait=false"]);
    kubectl.ok(&["wait", "--for", "delete", "pod/stubborn", "--timeout", "30s"]);
    kubectl.ok(&["delete", "pod", "one", "--grace-period", "0", "--force"]);
    kubectl.ok(&["delete", "pods", "-l", "app=two"]);
    kubectl.ok_with_input(&["delete", "-f", "-"], &script_pod("three", IDLE).to_string());
    kubectl.eventually(SHORT, "no pod is left", || {
        let left = kubectl.ok(ALL);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    holds(&kubectl.fails(&["delete", "pod", "one"]), &["NotFound"]);
    kubectl.ok(&["delete", "pod", "one", "--ignore-not-found"]);
    kubectl.ok(&["create", "configmap", "a"]);
    kubectl.ok(&["delete", "configmaps", "--all"]);
}

#[test]
fn a_deleted_namespace_takes_its_objects() {
    let Some(kubectl) = CLUSTER.namespace("doomed") else { return };
    kubectl.apply(&script_deployment("web", 1, IDLE));
    kubectl.eventually_available(MINUTE, "web", 1);
    kubectl.ok(&["delete", "namespace", "doomed", "--timeout", "60s"]);
    holds(&kubectl.fails(&["get", "namespace", "doomed"]), &["NotFound"]);
    let left = kubectl.ok(&["get", "deployments,replicasets,pods", "-A"]);
    assert!(!left.contains("doomed"), "{left}");
}
