//! A Deployment from its first pod to its last trace.

use std::collections::BTreeSet;

use flyball_local::registry::kinds::{DEPLOYMENTS, PODS, REPLICASETS};
use serde_json::{Value, json};

use crate::cluster::{Cluster, groups_or_skip, is_alive, is_true};

fn deployment(strategy: Value) -> Value {
    json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "strategy": strategy,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [
                    {"name": "c", "image": "flyball.io/host", "command": ["sleep", "1000"]}]},
            },
        },
    })
}

fn is_complete(deployment: &Value, replicas: i64) -> bool {
    let status = &deployment["status"];
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && status["replicas"] == replicas
        && status["updatedReplicas"] == replicas
        && status["availableReplicas"] == replicas
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployment_lives_through_scaling_rollout_and_deletion() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = groups_or_skip(dir.path(), "deployment_lives_through_scaling_rollout_and_deletion")
    else {
        return;
    };
    let cluster = Cluster::start(dir.path(), Some(root));
    cluster.create(&DEPLOYMENTS, deployment(json!({"type": "RollingUpdate"})));
    let web = cluster.until("available", &DEPLOYMENTS, "web", |web| is_complete(web, 2)).await;
    assert!(is_true(&web, "Available") && is_true(&web, "Progressing"));
    let web = cluster
        .until("settled", &DEPLOYMENTS, "web", |web| {
            web["status"]["conditions"]
                .as_array()
                .is_some_and(|all| all.iter().any(|c| c["reason"] == "NewReplicaSetAvailable"))
        })
        .await;
    assert_eq!(web["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    assert_eq!(cluster.pids().len(), 2);

    cluster.change(&DEPLOYMENTS, "web", |web| web["spec"]["replicas"] = json!(4));
    cluster.until("scaled out", &DEPLOYMENTS, "web", |web| is_complete(web, 4)).await;
    cluster.change(&DEPLOYMENTS, "web", |web| web["spec"]["replicas"] = json!(3));
    cluster.until("scaled in", &DEPLOYMENTS, "web", |web| is_complete(web, 3)).await;
    cluster.until_true("three processes", || cluster.pids().len() == 3).await;

    let before: BTreeSet<i32> = cluster.pids();
    cluster.change(&DEPLOYMENTS, "web", |web| {
        web["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["sleep", "2000"]);
    });
    let web = cluster.until("rolled", &DEPLOYMENTS, "web", |web| is_complete(web, 3)).await;
    assert_eq!(web["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");
    cluster.until_true("old processes ended", || before.iter().all(|pid| !is_alive(*pid))).await;
    let sets = cluster.registry.list(&REPLICASETS, Some("default")).items;
    let sizes: BTreeSet<(i64, &str)> = sets
        .iter()
        .map(|set| {
            let revision = &set["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
            (set["spec"]["replicas"].as_i64().unwrap(), revision.as_str().unwrap())
        })
        .collect();
    assert_eq!(sizes, BTreeSet::from([(0, "1"), (3, "2")]));
    let said = cluster.events();
    for wanted in [
        "Scaled up replica set",
        "Created pod: web-",
        "Successfully assigned default/web-",
        "Started container c",
    ] {
        assert!(said.iter().any(|(_, message)| message.starts_with(wanted)), "{wanted}: {said:#?}");
    }

    cluster.delete(&DEPLOYMENTS, "web");
    cluster.until_no_pods().await;
    assert!(cluster.registry.list(&REPLICASETS, Some("default")).items.is_empty());
    cluster.until_true("no process is left", || cluster.pids().is_empty()).await;
    cluster.until_true("no container group is left", || cluster.container_folders().is_empty()).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recreate_never_runs_old_and_new_together() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = groups_or_skip(dir.path(), "recreate_never_runs_old_and_new_together") else { return };
    let cluster = Cluster::start(dir.path(), Some(root));
    cluster.create(&DEPLOYMENTS, deployment(json!({"type": "Recreate"})));
    cluster.until("available", &DEPLOYMENTS, "web", |web| is_complete(web, 2)).await;
    let old = cluster.pids();
    cluster.change(&DEPLOYMENTS, "web", |web| {
        web["spec"]["template"]["metadata"]["annotations"] = json!({"restarted": "now"});
    });
    cluster
        .until_true("a new process", || {
            let now = cluster.pids();
            let new = now.iter().any(|pid| !old.contains(pid));
            assert!(!new || old.iter().all(|pid| !is_alive(*pid)), "old and new together");
            new
        })
        .await;
    cluster.until("complete", &DEPLOYMENTS, "web", |web| is_complete(web, 2)).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_large_a_pod_is_told_why_and_runs_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = groups_or_skip(dir.path(), "too_large_a_pod_is_told_why_and_runs_once_there_is_room")
    else {
        return;
    };
    let cluster = Cluster::start(dir.path(), Some(root));
    let cores = std::thread::available_parallelism().unwrap().get();
    let all = json!({"command": ["sleep", "1000"], "resources": {"requests": {"cpu": cores.to_string()}}});
    let spec = json!({"terminationGracePeriodSeconds": 1});
    cluster.create_pod("first", all.clone(), spec.clone());
    cluster.until("first runs", &PODS, "first", |pod| is_true(pod, "Ready")).await;
    cluster.create_pod("second", all, spec);
    let refused = cluster
        .until("second refused", &PODS, "second", |pod| {
            pod["status"]["conditions"][0]["reason"] == "Unschedulable"
        })
        .await;
    let message = refused["status"]["conditions"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("0/1 nodes are available: 1 Insufficient cpu."), "{message}");
    cluster.delete(&PODS, "first");
    cluster.until("second runs", &PODS, "second", |pod| is_true(pod, "Ready")).await;
    cluster.shutdown().await;
}
