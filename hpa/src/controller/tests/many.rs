//! Many HPAs at once.

use super::fake::{NOW, cluster};
use crate::config::Config;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

fn hpa(index: usize) -> Value {
    let name = format!("web-{index}");
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": name, "namespace": "ns", "uid": format!("uid-{name}"), "resourceVersion": "500" },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            "maxReplicas": 10,
            "metrics": [{ "type": "External", "external": { "metric": { "name": "queue" },
                "target": { "type": "AverageValue", "averageValue": "10" } } }],
        },
    })
}

#[tokio::test(start_paused = true)]
async fn a_thousand_hpas_on_five_workers_are_all_evaluated() {
    let started = tokio::time::Instant::now();
    let cluster = cluster(90);
    cluster.lists();
    let items: Vec<Value> = (0..1_000).map(hpa).collect();
    let list = json!({ "metadata": { "resourceVersion": "1" }, "items": items });
    cluster.fake.put("/apis/autoscaling/v2/horizontalpodautoscalers", list);
    let (sender, mut receiver) = tokio::sync::mpsc::channel(4_096);
    let config = Config {
        observer: Some(sender),
        concurrent_syncs: 5,
        sync_period: Duration::from_secs(1),
        clock: std::sync::Arc::new(move || NOW + i64::try_from(started.elapsed().as_millis()).unwrap()),
        ..Config::default()
    };
    let shutdown = tokio_util::sync::CancellationToken::new();
    let mut running = tokio::task::JoinSet::new();
    running.spawn(crate::run(cluster.fake.client(), config, None, shutdown.clone()));
    let mut seen = BTreeSet::new();
    while seen.len() < 1_000 {
        let observation = receiver.recv().await.unwrap();
        assert!(observation.at_ms < NOW + 15_000, "C20: {} of 1000 within 15 s", seen.len());
        seen.insert(observation.name);
    }
    shutdown.cancel();
    running.join_next().await.unwrap().unwrap().unwrap();
}
