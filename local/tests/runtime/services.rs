//! Services: balancing over the pods that are ready, refusing without any.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use flyball_local::registry::kinds::{DEPLOYMENTS, SERVICES};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cluster::{Cluster, groups_or_skip};

/// Not a test: what the image `helper` runs. It answers each connection with its pod's name.
#[test]
#[ignore = "run as a container by the tests of services"]
fn serve_for_a_test() {
    let (Ok(address), Ok(name)) = (std::env::var("POD_IP"), std::env::var("POD_NAME")) else { return };
    let listener = TcpListener::bind(format!("{address}:8080")).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut request = Vec::new();
        if stream.read_to_end(&mut request).is_ok() {
            let _ = stream.write_all(name.as_bytes());
        }
    }
}

/// Longest wait for one answer, and for the balancer to follow its endpoints.
const PATIENCE: Duration = Duration::from_secs(20);

async fn ask(address: SocketAddr) -> std::io::Result<String> {
    tokio::time::timeout(PATIENCE, exchange(address)).await.expect("an answer or a refusal")
}

async fn exchange(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"hello").await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_reaches_ready_pods_in_turn() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = groups_or_skip(dir.path(), "service_reaches_ready_pods_in_turn") else { return };
    let cluster = Cluster::start(dir.path(), Some(root));
    let field =
        |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    cluster.create(
        &SERVICES,
        json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"},
        "ports": [{"port": 8000, "targetPort": "http"}]}}),
    );
    let service =
        cluster.until("address", &SERVICES, "web", |web| web["spec"]["clusterIP"].is_string()).await;
    let address: SocketAddr =
        format!("{}:8000", service["spec"]["clusterIP"].as_str().unwrap()).parse().unwrap();
    assert!(ask(address).await.is_err(), "nobody is behind it yet");
    cluster.create(
        &DEPLOYMENTS,
        json!({"metadata": {"name": "web"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"terminationGracePeriodSeconds": 1,
                "containers": [{"name": "c", "image": "helper", "ports": [{"name": "http", "containerPort": 8080}],
                    "env": [field("POD_IP", "status.podIP"), field("POD_NAME", "metadata.name")],
                    "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1}}]}}}}),
    );
    cluster.until("available", &DEPLOYMENTS, "web", |web| web["status"]["availableReplicas"] == 2).await;
    let mut names: Vec<String> =
        cluster.pods().iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    // The balancer follows the endpoints a moment later.
    let mut answers = Vec::new();
    let start = Instant::now();
    while answers != names {
        assert!(start.elapsed() < PATIENCE, "{answers:?} instead of {names:?}: {:#?}", cluster.slices());
        answers = vec![ask(address).await.unwrap_or_default(), ask(address).await.unwrap_or_default()];
        answers.sort();
    }
    cluster.change(&DEPLOYMENTS, "web", |web| web["spec"]["replicas"] = json!(0));
    cluster.until_no_pods().await;
    let start = Instant::now();
    while ask(address).await.is_ok() {
        assert!(start.elapsed() < PATIENCE, "still answered: {:#?}", cluster.slices());
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(address).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_server_has_a_service() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), None);
    let service = cluster.until("kubernetes", &SERVICES, "kubernetes", |_| true).await;
    assert_eq!(service["spec"]["ports"][0]["port"], 443);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_kubernetes_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), None);
    let there = |service: &serde_json::Value| service["spec"]["clusterIP"].is_string();
    // The first time it may be the start that makes it; the second time it is not.
    for _ in 0..2 {
        let first = cluster.until("there", &SERVICES, "kubernetes", there).await;
        cluster.delete(&SERVICES, "kubernetes");
        let other = |service: &serde_json::Value| service["metadata"]["uid"] != first["metadata"]["uid"];
        cluster.until("made again", &SERVICES, "kubernetes", other).await;
    }
    cluster.shutdown().await;
}
