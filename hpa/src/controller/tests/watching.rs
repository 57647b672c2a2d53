//! Samples by watch.

use super::fake::{Cluster, NOW, PODS, SCALE, cluster};
use crate::config::Config;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The metrics API offers watches, as its discovery and its lists say.
fn offer_watches(cluster: &Cluster) {
    let pods = json!({ "name": "pods", "kind": "PodMetrics", "verbs": ["get", "list", "watch"] });
    cluster.fake.put("/apis/metrics.k8s.io/v1beta1", json!({ "resources": [pods] }));
    let mut list = cluster.fake.object(PODS).unwrap();
    list["metadata"]["resourceVersion"] = "7".into();
    cluster.fake.put(PODS, list);
}

fn event(kind: &str, pod: u32, percent: u32, second: i64) -> String {
    json!({ "type": kind, "object": {
        "metadata": { "name": format!("web-{pod}"), "namespace": "ns" },
        "timestamp": flyball_model::time::rfc3339_seconds(NOW + second * 1_000), "window": "15s",
        "containers": [{ "name": "c", "usage": { "cpu": format!("{percent}m"), "memory": "1Mi" } }],
    } })
    .to_string()
}

pub(super) fn running(cluster: &Cluster) -> (JoinSet<()>, CancellationToken) {
    let started = Instant::now();
    let config = Config {
        namespace: Some("flyball".into()),
        clock: Arc::new(move || NOW + i64::try_from(started.elapsed().as_millis()).unwrap()),
        ..Config::default()
    };
    let (client, stop) = (cluster.fake.client(), CancellationToken::new());
    let (mut running, stopping) = (JoinSet::new(), stop.clone());
    running.spawn(async move { crate::run(client, config, None, stopping).await.unwrap() });
    (running, stop)
}

/// Waits until the fake has seen a call; gives those about metrics and the scale until then.
pub(super) async fn until(cluster: &Cluster, wanted: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for _ in 0..6_000 {
        seen.extend(
            cluster.fake.calls().into_iter().filter(|call| call.contains(PODS) || call.contains(SCALE)),
        );
        if seen.iter().any(|call| call == wanted) {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no {wanted}: {seen:?}");
}

pub(super) fn replicas(cluster: &Cluster) -> Value {
    cluster.fake.object(SCALE).unwrap()["spec"]["replicas"].clone()
}

#[tokio::test(start_paused = true)]
async fn samples_are_watched_where_that_is_offered() {
    let cluster = cluster(50);
    cluster.lists();
    offer_watches(&cluster);
    let feed = cluster.fake.feed(PODS);
    let (mut running, stop) = running(&cluster);
    until(&cluster, &format!("GET {PODS} (watch)")).await;
    for (pod, percent) in [(0, 90), (1, 90), (2, 90)] {
        feed.send(event("MODIFIED", pod, percent, 5)).unwrap();
    }
    let seen = until(&cluster, &format!("PUT {SCALE}")).await;
    assert_eq!(replicas(&cluster), 6);
    assert!(!seen.contains(&format!("GET {PODS}")), "nothing is asked for: {seen:?}");
    // Half a minute later all of it is still as of now, though nothing was told.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let seen = cluster.fake.calls();
    assert!(!seen.iter().any(|call| call.contains(PODS)), "{seen:?}");
    // The watch ends, or is silent for long: a list tells what there is, and the next watch goes on from there.
    let next = cluster.fake.feed(PODS);
    drop(feed);
    let seen = until(&cluster, &format!("GET {PODS} (watch)")).await;
    assert!(seen.contains(&format!("GET {PODS}")), "{seen:?}");
    let third = cluster.fake.feed(PODS);
    let seen = until(&cluster, &format!("GET {PODS} (watch)")).await;
    assert!(seen.contains(&format!("GET {PODS}")), "after silence: {seen:?}");
    drop((next, third));
    stop.cancel();
    running.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_samples_end_is_missing() {
    let cluster = cluster(50);
    cluster.lists();
    offer_watches(&cluster);
    let feed = cluster.fake.feed(PODS);
    let (mut running, stop) = running(&cluster);
    until(&cluster, &format!("GET {PODS} (watch)")).await;
    // Two of three pods are left: the missing one counts as nothing, so that 3 pods at 60 % stay within the tolerance.
    for pod in [0, 1] {
        feed.send(event("MODIFIED", pod, 80, 5)).unwrap();
    }
    feed.send(event("DELETED", 2, 0, 5)).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(replicas(&cluster), 3);
    feed.send(event("ADDED", 2, 80, 6)).unwrap();
    until(&cluster, &format!("PUT {SCALE}")).await;
    assert_eq!(replicas(&cluster), 5);
    stop.cancel();
    running.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn where_no_watch_works_samples_are_asked_for() {
    let gone = json!({ "type": "ERROR", "object": { "kind": "Status", "code": 410, "message": "too old" } });
    for refusal in [r#"{"type":"ADDED","object":7}"#.to_owned(), gone.to_string(), "no JSON".to_owned()] {
        let cluster = cluster(50);
        cluster.lists();
        offer_watches(&cluster);
        let feed = cluster.fake.feed(PODS);
        let (mut running, stop) = running(&cluster);
        until(&cluster, &format!("GET {PODS} (watch)")).await;
        feed.send(refusal).unwrap();
        cluster.usage(90);
        until(&cluster, &format!("PUT {SCALE}")).await;
        assert_eq!(replicas(&cluster), 6);
        stop.cancel();
        running.join_next().await.unwrap().unwrap();
    }
}
