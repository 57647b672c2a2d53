//! The reconciler against a fake API server: which calls, in which order, with which bodies.

mod crash;
mod decisions;
mod fake;
mod many;
mod several;
mod trouble;
mod values;
mod watching;

use crate::checkpoint::{shard, shard_name};
use crate::config::{Config, Mode};
use fake::{PODS, SCALE, cluster, cluster_with};
use http::Method;
use serde_json::{Value, json};

const STATUS: &str = "/apis/autoscaling/v2/namespaces/ns/horizontalpodautoscalers/web/status";
const EVENTS: &str = "/api/v1/namespaces/ns/events";
const CONFIG_MAPS: &str = "/api/v1/namespaces/flyball/configmaps";

/// `Type=Status/Reason` of each condition in a status patch.
fn conditions(body: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = body["status"]["conditions"].as_array().cloned().unwrap_or_default();
    list.iter()
        .map(|c| format!("{}={}/{}", text(&c["type"]), text(&c["status"]), text(&c["reason"])))
        .collect()
}

fn body_of(calls: &[(Method, String, Value)], path: &str) -> Value {
    calls.iter().rev().find(|(method, at, _)| *method != Method::GET && at == path).unwrap().2.clone()
}

#[tokio::test(start_paused = true)]
async fn rescale() {
    let cluster = cluster(90);
    let key = cluster.hpa("web", json!({}));
    cluster.reconcile(&key).await;
    let calls = cluster.fake.take();
    let order: Vec<String> = calls.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    assert_eq!(
        order,
        [
            format!("GET {SCALE}"),
            format!("GET {PODS}"),
            format!("POST {CONFIG_MAPS}"),
            format!("PUT {SCALE}"),
            format!("PATCH {STATUS}"),
            format!("POST {EVENTS}"),
        ]
    );
    let scale = body_of(&calls, SCALE);
    assert_eq!(scale["spec"]["replicas"], 6);
    assert_eq!(scale["metadata"]["resourceVersion"], "41", "the version it was read at");
    assert_eq!(scale["metadata"]["labels"]["kept"], "yes", "nothing is lost");
    let status = body_of(&calls, STATUS);
    assert_eq!(
        conditions(&status),
        [
            "AbleToScale=True/SucceededRescale",
            "ScalingActive=True/ValidMetricFound",
            "ScalingLimited=False/DesiredWithinRange",
            "ScaledToZero=False/NotScaledToZero",
        ]
    );
    assert_eq!(
        (&status["status"]["currentReplicas"], &status["status"]["desiredReplicas"]),
        (&json!(3), &json!(6))
    );
    assert_eq!(
        status["status"]["currentMetrics"],
        json!([{ "type": "Resource", "resource": { "name": "cpu",
        "current": { "averageUtilization": 90, "averageValue": "90m" } } }])
    );
    let event = body_of(&calls, EVENTS);
    assert_eq!(
        event["message"],
        "New size: 6; reason: cpu resource utilization (percentage of request) above target"
    );
    assert_eq!(event["source"]["component"], "horizontal-pod-autoscaler");
    let entry = body_of(&calls, CONFIG_MAPS)["data"]["uid-web"].as_str().unwrap().to_owned();
    assert!(
        entry.contains(r#""c":6"#) && entry.contains(r#""g":[{"n":3,"#),
        "stored before the write: {entry}"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_changed_writes_nothing() {
    let cluster = cluster(50);
    let key = cluster.hpa("web", json!({}));
    cluster.reconcile(&key).await;
    let status = body_of(&cluster.fake.take(), STATUS);
    let key = cluster.hpa("web", status["status"].clone());
    cluster.advance(1000);
    cluster.reconcile(&key).await;
    assert_eq!(
        cluster.fake.calls(),
        Vec::<String>::new(),
        "C17, and neither scale nor metrics are asked for again"
    );
    cluster.advance(15_000);
    cluster.reconcile(&key).await;
    assert_eq!(
        cluster.fake.calls(),
        [format!("GET {SCALE}"), format!("GET {PODS}")],
        "C17 after a sync period"
    );
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_retried_with_the_same_count() {
    let cluster = cluster(75);
    let key = cluster.hpa("web", json!({}));
    cluster.fake.script(Method::PUT, SCALE, 409, "the object has been modified");
    cluster.reconcile(&key).await;
    let calls = cluster.fake.take();
    let scales: Vec<&Method> =
        calls.iter().filter(|(_, path, _)| path == SCALE).map(|(method, ..)| method).collect();
    assert_eq!(scales, [Method::GET, Method::PUT, Method::GET, Method::PUT], "C16");
    assert_eq!(body_of(&calls, SCALE)["spec"]["replicas"], 5, "C16");
    assert_eq!(conditions(&body_of(&calls, STATUS))[0], "AbleToScale=True/SucceededRescale", "C16");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_that_stays_is_given_up() {
    let cluster = cluster(75);
    let key = cluster.hpa("web", json!({}));
    for _ in 0..5 {
        cluster.fake.script(Method::PUT, SCALE, 409, "the object has been modified");
    }
    cluster.reconcile(&key).await;
    let calls = cluster.fake.take();
    assert_eq!(calls.iter().filter(|(method, ..)| *method == Method::PUT).count(), 5);
    assert_eq!(conditions(&body_of(&calls, STATUS))[0], "AbleToScale=False/FailedUpdateScale");
}

#[tokio::test(start_paused = true)]
async fn a_scale_that_cannot_be_read() {
    let cluster = cluster(50);
    let key = cluster.hpa("web", json!({ "currentReplicas": 4, "desiredReplicas": 4 }));
    cluster.fake.script(Method::GET, SCALE, 404, "deployments.apps \"web\" not found");
    cluster.reconcile(&key).await;
    let calls = cluster.fake.take();
    let status = body_of(&calls, STATUS);
    assert_eq!(conditions(&status), ["AbleToScale=False/FailedGetScale"], "C14");
    assert_eq!(status["status"]["currentReplicas"], 4, "C14: counts stay");
    assert_eq!(body_of(&calls, EVENTS)["message"], "deployments.apps \"web\" not found");
    assert_eq!(calls.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_scale_that_cannot_be_written() {
    let cluster = cluster(75);
    let key = cluster.hpa("web", json!({}));
    cluster.fake.script(Method::PUT, SCALE, 403, "not allowed");
    cluster.reconcile(&key).await;
    let calls = cluster.fake.take();
    assert_eq!(conditions(&body_of(&calls, STATUS))[0], "AbleToScale=False/FailedUpdateScale", "C15");
    let event = body_of(&calls, EVENTS);
    assert_eq!(event["reason"], "FailedRescale", "C15");
    assert!(event["message"].as_str().unwrap().ends_with("; error: not allowed"));
}

#[tokio::test(start_paused = true)]
async fn two_hpas_on_the_same_pods_both_stop() {
    let cluster = cluster(90);
    let (first, second) = (cluster.hpa("web", json!({})), cluster.hpa("web2", json!({})));
    cluster.reconcile(&first).await;
    cluster.fake.take();
    for key in [&second, &first] {
        cluster.scale(6, "app=web");
        cluster.advance(15_000);
        cluster.reconcile(key).await;
        let calls = cluster.fake.take();
        assert!(!calls.iter().any(|(method, path, _)| *method == Method::PUT && path == SCALE), "C13");
        let status = body_of(&calls, &STATUS.replace("/web/", &format!("/{}/", key.1)));
        assert!(conditions(&status).contains(&"ScalingActive=False/AmbiguousSelector".to_owned()), "C13");
        assert_eq!(
            status["status"]["conditions"]
                .as_array()
                .unwrap()
                .iter()
                .find(|c| c["type"] == "ScalingActive")
                .unwrap()["message"],
            "pods by selector app=web are controlled by more than one HPA (e.g. [{web ns} {web2 ns}])"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_selector_that_is_missing() {
    let cluster = cluster(90);
    cluster.scale(3, "");
    let key = cluster.hpa("web", json!({}));
    cluster.reconcile(&key).await;
    let calls = cluster.fake.take();
    assert!(
        conditions(&body_of(&calls, STATUS)).contains(&"ScalingActive=False/InvalidSelector".to_owned()),
        "C12"
    );
    assert!(!calls.iter().any(|(_, path, _)| path == PODS), "no metrics are asked for");
}

#[tokio::test(start_paused = true)]
async fn metrics_that_are_gone() {
    let cluster = cluster(90);
    let key = cluster.hpa("web", json!({}));
    cluster.fake.script(Method::GET, PODS, 503, "");
    cluster.reconcile(&key).await;
    let status = body_of(&cluster.fake.take(), STATUS);
    assert_eq!(
        status["status"]["conditions"][1]["message"],
        "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for \
         resource cpu: unable to fetch metrics from resource metrics API: the server is currently unable to handle the \
         request (get pods.metrics.k8s.io)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_repeated_event_is_counted() {
    let cluster = cluster(50);
    let key = cluster.hpa("web", json!({}));
    for _ in 0..3 {
        cluster.fake.script(Method::GET, SCALE, 404, "gone");
    }
    cluster.reconcile(&key).await;
    cluster.fake.take();
    cluster.advance(1_000);
    cluster.reconcile(&key).await;
    assert!(!cluster.fake.calls().iter().any(|call| call.contains("events")), "once per sync period");
    cluster.advance(15_000);
    cluster.reconcile(&key).await;
    let calls = cluster.fake.take();
    let (method, _, body) = calls.iter().find(|(_, path, _)| path.starts_with(EVENTS)).unwrap();
    assert_eq!((method, &body["count"]), (&Method::PATCH, &json!(2)));
}

#[tokio::test(start_paused = true)]
async fn shadow_mode_writes_nothing() {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(4);
    let config = Config { mode: Mode::Shadow, observer: Some(sender), ..Config::default() };
    let cluster = cluster_with(90, config);
    let key = cluster.hpa("web", json!({}));
    cluster.reconcile(&key).await;
    assert!(cluster.fake.take().iter().all(|(method, ..)| *method == Method::GET));
    let seen = receiver.try_recv().unwrap();
    assert_eq!((seen.current, seen.desired, seen.metrics.as_str()), (3, 6, "cpu 90%/50%"));
}

#[tokio::test(start_paused = true)]
async fn history_comes_back_after_a_crash() {
    let before = cluster(90);
    let key = before.hpa("web", json!({}));
    before.reconcile(&key).await;
    let stored = body_of(&before.fake.take(), CONFIG_MAPS);
    // Another process finds six pods idle.
    let after = cluster(5);
    after.scale(6, "app=web");
    after.fake.put(&format!("{CONFIG_MAPS}/{}", shard_name(shard("uid-web"))), stored);
    let entries = after.shared.checkpoints.load().await.unwrap();
    after.shared.states.restore(entries);
    let key = after.hpa("web", json!({}));
    after.advance(299_000);
    after.usage(5);
    after.reconcile(&key).await;
    let calls = after.fake.take();
    assert!(
        !calls.iter().any(|(method, path, _)| *method == Method::PUT && path == SCALE),
        "held by the old recommendation"
    );
    assert!(
        conditions(&body_of(&calls, STATUS)).contains(&"AbleToScale=True/ScaleDownStabilized".to_owned())
    );
}

/// With upstream's forgetting, an HPA that is made again under its name inherits the history; else it does not.
#[tokio::test(start_paused = true)]
async fn an_hpa_made_again_under_its_name() {
    for (compat_upstream, inherits) in [(true, true), (false, false)] {
        let config = Config { compat_upstream, ..Config::default() };
        let cluster = cluster_with(90, config.clone());
        let key = cluster.hpa("web", json!({}));
        cluster.reconcile(&key).await;
        let old = cluster.shared.hpas.get(&key).unwrap();
        cluster.shared.states.remove(&old, &config);
        let new = crate::watch::HpaEntry {
            uid: "another".into(),
            key: key.clone(),
            resource_version: None,
            hpa: old.hpa.clone(),
            rules: old.rules.clone(),
            controls: old.controls.clone(),
            marks: Vec::new(),
            target: old.target.clone(),
            target_kind: old.target_kind.clone(),
        };
        let state = cluster.shared.states.of(&new, &config, fake::NOW);
        assert_eq!(!state.lock().await.history.recommendations.is_empty(), inherits, "C23");
    }
}

#[test]
fn only_a_changed_spec_wakes_an_hpa() {
    use crate::watch::Change;
    let store = crate::watch::HpaStore::default();
    let apply = |max: i32, status: i32| {
        let object = json!({ "metadata": { "name": "web", "namespace": "ns", "uid": "u" },
            "spec": { "maxReplicas": max }, "status": { "desiredReplicas": status } });
        store.apply(kube::runtime::watcher::Event::Apply(serde_json::from_value(object).unwrap())).remove(0)
    };
    assert!(matches!(apply(5, 1), Change::Spec(_)), "C18");
    assert!(matches!(apply(5, 2), Change::Status), "C19");
    assert!(matches!(apply(6, 2), Change::Spec(_)), "C19");
}

#[tokio::test(start_paused = true)]
async fn the_program_runs_and_stops() {
    let started = tokio::time::Instant::now();
    let cluster = cluster(90);
    cluster.lists();
    let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
    let config = Config {
        observer: Some(sender),
        clock: std::sync::Arc::new(move || fake::NOW + i64::try_from(started.elapsed().as_millis()).unwrap()),
        ..Config::default()
    };
    let shutdown = tokio_util::sync::CancellationToken::new();
    let mut running = tokio::task::JoinSet::new();
    running.spawn(crate::run(cluster.fake.client(), config, None, shutdown.clone()));
    let seen = receiver.recv().await.unwrap();
    assert_eq!(
        (seen.desired, seen.at_ms < fake::NOW + 1_000),
        (6, true),
        "C18: a new HPA is evaluated at once"
    );
    // The first question of the poller is news to it. Then the samples do not advance, and the sync period decides.
    let offsets =
        [receiver.recv().await.unwrap().at_ms - fake::NOW, receiver.recv().await.unwrap().at_ms - fake::NOW];
    assert!((1_000..2_000).contains(&offsets[0]), "{offsets:?}");
    assert!((offsets[0] + 15_000..offsets[0] + 16_000).contains(&offsets[1]), "{offsets:?}");
    shutdown.cancel();
    running.join_next().await.unwrap().unwrap().unwrap();
    let stored = cluster.fake.take();
    let (_, path, body) = stored.iter().rev().find(|(_, path, _)| path.starts_with(CONFIG_MAPS)).unwrap();
    let entry = body["data"]["uid-web"].as_str().unwrap();
    assert!(
        path.contains(&shard_name(shard("uid-web"))) && !entry.contains("\"c\""),
        "exact on shutdown: {entry}"
    );
}
