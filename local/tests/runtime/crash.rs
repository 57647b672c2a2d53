//! `kill -9` of the whole process: nothing stays, and the next start runs the pods again.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flyball_local::registry::kinds::PODS;
use serde_json::{Value, json};

use crate::cluster::{
    Cluster, container, group_name, group_tops, groups_or_skip, is_alive, is_true, pids_below, sessions_of,
};

/// Not a test: a cluster in a process of its own, to be killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run as a process of its own by the tests of crashes"]
async fn run_a_cluster_for_a_test() {
    let Ok(dir) = std::env::var("CLUSTER_DIR") else { return };
    let root = std::env::var("CLUSTER_ROOT").ok();
    let cluster = Cluster::start(&PathBuf::from(dir), root);
    let container = json!({"command": ["sh", "-c", "sleep 1000 & sleep 1000; true"]});
    cluster.create_pod("phoenix", container, json!({"terminationGracePeriodSeconds": 1}));
    cluster.until("ready", &PODS, "phoenix", |pod| is_true(pod, "Ready")).await;
    let all = || sessions_of(&cluster.pids().into_iter().collect::<Vec<_>>()).len() >= 3;
    cluster.until_true("the shell and its children", all).await;
    cluster.registry.durable().await.unwrap();
    println!("ready for it");
    std::future::pending::<()>().await;
}

fn is_gone(tops: &[PathBuf]) -> bool {
    tops.iter().all(|top| !top.exists())
}

async fn kill_and_start_again(dir: &std::path::Path, root: Option<String>) {
    let tops = root.as_deref().map_or_else(|| vec![dir.join("processes")], group_tops);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "crash::run_a_cluster_for_a_test"]);
    command.env("CLUSTER_DIR", dir).stdout(Stdio::piped());
    if let Some(root) = &root {
        command.env("CLUSTER_ROOT", root);
    }
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("ready for it")));
    let roots: Vec<i32> = tops.iter().flat_map(|top| pids_below(top)).collect();
    let pids = sessions_of(&roots);
    assert!(pids.len() >= 3, "the shell and its children: {pids:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    let start = Instant::now();
    while pids.iter().any(|pid| is_alive(*pid)) || !is_gone(&tops) {
        assert!(start.elapsed() < Duration::from_secs(20), "processes or groups are left: {tops:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let cluster = Cluster::start(dir, root);
    let again = |pod: &Value| is_true(pod, "Ready") && container(pod)["restartCount"] == 1;
    let pod = cluster.until("runs again", &PODS, "phoenix", again).await;
    assert_eq!(container(&pod)["lastState"]["terminated"]["exitCode"], 255);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_cluster_leaves_nothing_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = groups_or_skip(dir.path(), "killed_cluster_leaves_nothing_and_comes_back") else {
        return;
    };
    assert!(root.ends_with(&group_name(dir.path())));
    kill_and_start_again(dir.path(), Some(root)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_cluster_without_groups_leaves_nothing_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    kill_and_start_again(dir.path(), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_runtime_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = groups_or_skip(dir.path(), "dropped_runtime_leaves_nothing") else { return };
    let tops = group_tops(&root);
    let cluster = Cluster::start(dir.path(), Some(root));
    cluster.create_pod("p", json!({"command": ["sh", "-c", "sleep 1000 & sleep 1000"]}), json!({}));
    cluster.until("ready", &PODS, "p", |pod| is_true(pod, "Ready")).await;
    let pids = cluster.pids();
    drop(cluster);
    assert!(is_gone(&tops) && pids.iter().all(|pid| !is_alive(*pid)));
}
