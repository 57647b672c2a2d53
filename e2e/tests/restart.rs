//! After `kill -9` and a restart, objects are there, pods run again and the HPA goes on without a jump.

use std::time::Duration;

use flyball_e2e::manifests::{burn_deployment, cpu_average_value, hpa, service};
use flyball_e2e::{Local, MINUTE, SHORT, Signal, eventually, full, has_kubectl, steady};
use serde_json::Value;

/// What must be the same objects afterwards.
const KINDS: &str = "deployments,replicasets,services,configmaps,secrets,hpa";

/// Kind, name and UID of every object of [`KINDS`], sorted.
fn identities(local: &Local) -> Vec<String> {
    let list = local.kubectl().json(&["get", KINDS]);
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<_> = items
        .iter()
        .map(|item| format!("{} {} {}", item["kind"], item["metadata"]["name"], item["metadata"]["uid"]))
        .collect();
    names.sort();
    names
}

fn replicas(local: &Local) -> i64 {
    local.kubectl().json(&["get", "deployment", "burn"])["spec"]["replicas"].as_i64().unwrap_or(-1)
}

fn active(hpa: &Value) -> bool {
    let conditions = hpa["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "ScalingActive" && condition["status"] == "True")
}

#[test]
fn everything_goes_on_after_a_crash() {
    if !has_kubectl() {
        return;
    }
    let mut local = Local::start();
    let kubectl = local.kubectl().clone();
    kubectl.ok(&["create", "secret", "generic", "password", "--from-literal", "word=abc"]);
    kubectl.apply(&service("burn"));
    kubectl.apply(&burn_deployment("burn", 1, 1));
    // One full pod is above 80m by a quarter, two are, three are the most allowed.
    kubectl.apply(&hpa("burn", "burn", 1, 3, &cpu_average_value("80m")));
    kubectl.eventually_available(Duration::from_secs(150), "burn", 3);
    let before = identities(&local);
    // Accepted the moment before the crash.
    kubectl.ok(&["create", "configmap", "last", "--from-literal", "written=just-now"]);
    let first_run = local.kill9();
    assert!(first_run.process_count() > 3, "the pods are seen as processes: {first_run:?}");

    local.restart();
    let kubectl = local.kubectl().clone();
    assert_eq!(kubectl.ok(&["get", "configmap", "last", "-o", "jsonpath={.data.written}"]), "just-now");
    let after: Vec<_> = identities(&local).into_iter().filter(|name| !name.contains("\"last\"")).collect();
    assert_eq!(before, after);
    eventually(
        SHORT,
        "the processes of the first run are gone",
        || kubectl.state(),
        || {
            let left = first_run.same_processes_left();
            if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
        },
    );

    // While the pods start anew there are no metrics: the count must not move, nor when they come back.
    let holds = |local: &Local| {
        let count = replicas(local);
        if count == 3 { Ok(()) } else { Err(format!("{count} replicas")) }
    };
    kubectl.eventually(MINUTE, "three pods run again", || {
        holds(&local)?;
        let ready = kubectl.ok(&["get", "deployment", "burn", "-o", "jsonpath={.status.readyReplicas}"]);
        if ready == "3" { Ok(()) } else { Err(format!("{ready} ready")) }
    });
    let watch = Duration::from_secs(if full() { 90 } else { 20 });
    steady(watch, "three replicas after the crash", || kubectl.state(), || holds(&local));
    kubectl.eventually(MINUTE, "the HPA decides from metrics again", || {
        holds(&local)?;
        let hpa = kubectl.json(&["get", "hpa", "burn"]);
        if active(&hpa) { Ok(()) } else { Err(hpa["status"].to_string()) }
    });
    local.ends_clean(Signal::TERM);
    let left = first_run.left();
    assert!(left.is_ok(), "of the first run: {left:?}");
}

#[test]
fn a_clean_end_keeps_the_objects_too() {
    if !has_kubectl() {
        return;
    }
    let mut local = Local::start();
    local.kubectl().ok(&["create", "configmap", "settings", "--from-literal", "a=1"]);
    let version =
        local.kubectl().ok(&["get", "configmap", "settings", "-o", "jsonpath={.metadata.resourceVersion}"]);
    local.ends_clean(Signal::INT);
    local.restart();
    let kubectl = local.kubectl();
    assert_eq!(kubectl.ok(&["get", "configmap", "settings", "-o", "jsonpath={.data.a}"]), "1");
    let again = kubectl.ok(&["get", "configmap", "settings", "-o", "jsonpath={.metadata.resourceVersion}"]);
    assert_eq!(version, again);
    // Versions go on from there: a watcher that remembers one is never fooled.
    kubectl.ok(&["create", "configmap", "later"]);
    let later = kubectl.ok(&["get", "configmap", "later", "-o", "jsonpath={.metadata.resourceVersion}"]);
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert!(number(&later) > number(&version), "{later} after {version}");
}
