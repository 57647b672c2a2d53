//! Custom and external metrics: asked for at their resolution, and never mistaken for one another.

use super::decisions::{ONE, get};
use super::fake::{Cluster, NOW, SCALE, cluster, pod};
use super::watching::{replicas, running, until};
use crate::watch::Key;
use http::Method;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const QUEUE: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/queue";
const CUSTOM: &str = "/apis/custom.metrics.k8s.io";

fn external(name: &str) -> Value {
    json!([{ "type": "External", "external": { "metric": { "name": name },
        "target": { "type": "AverageValue", "averageValue": "10" } } }])
}

/// The external metric at a path has a value.
fn set(cluster: &Cluster, path: &str, value: &str) {
    let time = flyball_model::time::rfc3339_seconds(cluster.shared.now_ms());
    cluster.fake.put(path, json!({ "items": [{ "metricName": "m", "timestamp": time, "value": value }] }));
}

/// The HPA `web` with other metrics and annotations.
fn hpa(cluster: &Cluster, metrics: Value, annotations: Value) -> Key {
    let key = cluster.hpa("web", json!({}));
    cluster.edit_hpa("web", |object| {
        object["spec"]["metrics"] = metrics;
        object["metadata"]["annotations"] = annotations;
    });
    key
}

fn asked(cluster: &Cluster, path: &str) -> usize {
    cluster.fake.calls().iter().filter(|call| **call == format!("GET {path}")).count()
}

#[tokio::test(start_paused = true)]
async fn a_custom_metric_alone_is_followed() {
    let cluster = cluster(50);
    cluster.lists();
    let hpas = "/apis/autoscaling/v2/horizontalpodautoscalers";
    let mut list = cluster.fake.object(hpas).unwrap();
    list["items"][0]["spec"]["metrics"] = external("queue");
    cluster.fake.put(hpas, list);
    set(&cluster, QUEUE, "30");
    let (mut running, stop) = running(&cluster);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(replicas(&cluster), 3, "at rest");
    assert!(asked(&cluster, QUEUE) >= 15, "about every second");
    let changed = Instant::now();
    set(&cluster, QUEUE, "60");
    until(&cluster, &format!("PUT {SCALE}")).await;
    assert!(changed.elapsed() <= Duration::from_secs(2), "{:?}", changed.elapsed());
    assert_eq!(replicas(&cluster), 6);
    stop.cancel();
    running.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_changed_spec_asks_for_its_own_metric() {
    let cluster = cluster(50);
    set(&cluster, QUEUE, "30");
    set(&cluster, &QUEUE.replace("queue", "other"), "60");
    let key = hpa(&cluster, external("queue"), json!({}));
    cluster.reconcile(&key).await;
    cluster.fake.take();
    hpa(&cluster, external("other"), json!({}));
    cluster.advance(1_000);
    cluster.reconcile(&key).await;
    let scaled =
        cluster.fake.take().into_iter().find(|(method, path, _)| *method == Method::PUT && path == SCALE);
    assert_eq!(scaled.unwrap().2["spec"]["replicas"], 6, "the value of the other metric");
}

#[tokio::test(start_paused = true)]
async fn values_belong_to_pods_by_name() {
    let cluster = cluster(50);
    let version = json!({ "version": "v1beta2" });
    cluster.fake.put(CUSTOM, json!({ "versions": [version], "preferredVersion": version }));
    let item = |index: u32| {
        json!({ "describedObject": { "kind": "Pod", "name": format!("web-{index}") }, "value": "10",
            "timestamp": flyball_model::time::rfc3339_seconds(NOW) })
    };
    let items = json!({ "items": [item(0), item(1), item(2)] });
    cluster.fake.put(&format!("{CUSTOM}/v1beta2/namespaces/ns/pods/*/rps"), items);
    let metrics = json!([{ "type": "Pods", "pods": { "metric": { "name": "rps" },
        "target": { "type": "AverageValue", "averageValue": "10" } } }]);
    let key = hpa(&cluster, metrics, json!({}));
    cluster.reconcile(&key).await;
    let left_out = async || {
        let (_, decision) = get(&cluster, ONE, "application/json").await;
        let numbers = &decision["trace"]["metrics"][0]["numbers"]["perPod"];
        (numbers["excluded"][0]["pod"].clone(), numbers["tally"]["foreign"].clone())
    };
    assert_eq!(left_out().await, (Value::Null, json!(0)));
    // One pod takes the place of another; the answer is of before.
    cluster.shared.pods.apply(Event::Delete(serde_json::from_value(pod(0)).unwrap()));
    cluster.shared.pods.apply(Event::Apply(serde_json::from_value(pod(7)).unwrap()));
    cluster.advance(1_000);
    cluster.reconcile(&key).await;
    assert_eq!(left_out().await, (json!("web-7"), json!(1)), "it has no value of its own yet");
}

#[tokio::test(start_paused = true)]
async fn a_period_of_its_own_asks_once_per_period() {
    let cluster = cluster(50);
    set(&cluster, QUEUE, "30");
    let key = hpa(&cluster, external("queue"), json!({ "hpa.flyball.io/sync-period": "1s" }));
    for _ in 0..3 {
        cluster.advance(1_000);
        cluster.reconcile(&key).await;
        assert_eq!(asked(&cluster, QUEUE), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn autoscalers_that_ask_the_same_share_an_answer() {
    let cluster = cluster(50);
    set(&cluster, QUEUE, "30");
    let key = hpa(&cluster, external("queue"), json!({}));
    let other = cluster.hpa("api", json!({}));
    cluster.edit_hpa("api", |object| {
        object["spec"]["metrics"] = external("queue");
        object["spec"]["scaleTargetRef"]["name"] = "api".into();
    });
    let mut scale = cluster.fake.object(SCALE).unwrap();
    scale["status"]["selector"] = "app=api".into();
    cluster.fake.put(&SCALE.replace("web", "api"), scale);
    cluster.reconcile(&key).await;
    cluster.reconcile(&other).await;
    let statuses = |calls: &[String]| calls.iter().filter(|call| call.ends_with("/status")).count();
    let calls = cluster.fake.calls();
    assert_eq!(statuses(&calls), 2, "{calls:?}");
    assert_eq!(calls.iter().filter(|call| call.contains(QUEUE)).count(), 1);
    assert_eq!(cluster.shared.values.len(), 1);
}
