//! An API server and targets that behave badly: what is told, what is not done, and that it goes on.

use super::fake::{PODS, SCALE, cluster};
use super::{EVENTS, STATUS, body_of, conditions};
use http::Method;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_server_error_is_told_and_the_next_evaluation_works() {
    for (code, text) in
        [(500, "etcdserver: request timed out"), (503, "apiserver is shutting down"), (410, "too old")]
    {
        let cluster = cluster(90);
        let key = cluster.hpa("web", json!({ "currentReplicas": 3, "desiredReplicas": 3 }));
        cluster.fake.script(Method::GET, SCALE, code, text);
        cluster.reconcile(&key).await;
        let calls = cluster.fake.take();
        assert_eq!(conditions(&body_of(&calls, STATUS)), ["AbleToScale=False/FailedGetScale"], "{code}");
        assert_eq!(body_of(&calls, EVENTS)["message"], text);
        cluster.advance(15_000);
        cluster.reconcile(&key).await;
        assert_eq!(body_of(&cluster.fake.take(), SCALE)["spec"]["replicas"], 6, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_slow_holds_one_evaluation_for_a_limited_time() {
    let cluster = cluster(90);
    let key = cluster.hpa("web", json!({}));
    cluster.fake.silence(Some(SCALE));
    let started = Instant::now();
    cluster.reconcile(&key).await;
    assert!(started.elapsed() <= Duration::from_secs(11), "{:?}", started.elapsed());
    assert!(
        body_of(&cluster.fake.take(), EVENTS)["message"].as_str().unwrap().starts_with("no answer within")
    );
    cluster.fake.silence(None);
    cluster.advance(15_000);
    cluster.reconcile(&key).await;
    assert_eq!(body_of(&cluster.fake.take(), SCALE)["spec"]["replicas"], 6);
}

#[tokio::test(start_paused = true)]
async fn metrics_that_vanish_never_shrink_the_target() {
    let cluster = cluster(10);
    let key = cluster.hpa("web", json!({}));
    for code in [404, 429, 500, 503] {
        cluster.fake.script(Method::GET, PODS, code, &format!("trouble {code}"));
        cluster.advance(400_000);
        cluster.reconcile(&key).await;
        let calls = cluster.fake.take();
        assert!(!calls.iter().any(|(method, path, _)| *method == Method::PUT && path == SCALE), "{code}");
        let status = body_of(&calls, STATUS);
        assert!(
            conditions(&status).contains(&"ScalingActive=False/FailedGetResourceMetric".to_owned()),
            "{code}: {status}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_goes_between_reading_and_writing() {
    let cluster = cluster(90);
    let key = cluster.hpa("web", json!({}));
    cluster.fake.script(Method::PUT, SCALE, 404, "deployments.apps \"web\" not found");
    cluster.reconcile(&key).await;
    let calls = cluster.fake.take();
    assert_eq!(body_of(&calls, EVENTS)["reason"], "FailedRescale");
    let state = cluster.shared.states.of(&cluster.shared.hpas.get(&key).unwrap(), &cluster.shared.config, 0);
    assert!(state.lock().await.history.growth.is_empty(), "what was not written is no growth");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_was_made_again_under_its_name() {
    let cluster = cluster(90);
    let key = cluster.hpa("web", json!({}));
    // Between reading and writing: the write carries the old version, so it conflicts and the new object is read.
    cluster.fake.script(Method::PUT, SCALE, 409, "Precondition failed: UID in precondition");
    let mut again = cluster.fake.object(SCALE).unwrap();
    again["metadata"]["resourceVersion"] = "77".into();
    again["metadata"]["uid"] = "another".into();
    cluster.fake.put(SCALE, again);
    cluster.reconcile(&key).await;
    let written = body_of(&cluster.fake.take(), SCALE);
    assert_eq!((&written["metadata"]["uid"], &written["spec"]["replicas"]), (&json!("another"), &json!(6)));
}

#[tokio::test(start_paused = true)]
async fn messages_that_differ_each_time_become_one_event() {
    let cluster = cluster(90);
    let key = cluster.hpa("web", json!({}));
    let mut messages = Vec::new();
    let (mut recorded, mut counted) = (0, 0);
    for index in 0..12 {
        cluster.fake.script(Method::GET, SCALE, 404, &format!("no pod {index}"));
        cluster.reconcile(&key).await;
        for (method, path, body) in cluster.fake.take() {
            recorded += usize::from(path == EVENTS && method == Method::POST);
            counted += usize::from(path.starts_with(EVENTS) && method == Method::PATCH);
            if path.starts_with(EVENTS) {
                messages.push(body["message"].as_str().unwrap_or_default().to_owned());
            }
        }
        cluster.advance(16_000);
    }
    assert_eq!((recorded, counted), (10, 2), "{messages:?}");
    assert_eq!(messages.last().unwrap(), "(combined from similar events): no pod 11");
}
