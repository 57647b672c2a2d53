//! Beside others: replicas of this program, other HPA controllers, other installations, and a cluster in trouble.

use super::super::{Controller, Shared};
use super::fake::{Cluster, NOW, SCALE, cluster, cluster_with};
use super::{CONFIG_MAPS, EVENTS, STATUS};
use crate::checkpoint::{encode, shard, shard_name};
use crate::cluster::FIELD_MANAGER;
use crate::config::{Config, Mode};
use crate::decide::History;
use crate::election::Election;
use crate::elector::Term;
use crate::sentinel::Written;
use crate::watch::{Change, Watched};
use http::Method;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/flyball/leases/flyball-hpa";
const ALL_LEASES: &str = "/apis/coordination.k8s.io/v1/leases";
const KCM: &str = "kube-controller-manager";

/// Writes of scales and statuses since the last time.
fn writes(cluster: &Cluster) -> Vec<String> {
    let calls = cluster.fake.calls();
    calls
        .into_iter()
        .filter(|call| !call.starts_with("GET") && (call.contains(SCALE) || call.contains(STATUS)))
        .collect()
}

/// What a watch of HPAs delivers goes through the controller; here only the marks matter.
async fn watch(cluster: &Cluster, changes: Vec<Change>) {
    for change in changes {
        if let Change::Marked { uid, manager } = change {
            let entry = cluster.shared.hpas.all().into_iter().find(|entry| entry.uid == uid).unwrap();
            cluster.shared.leave_alone(&entry, &manager, Written::Status).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_hpa_that_another_controller_writes_is_left_alone() {
    let cluster = cluster(90);
    cluster.shared.hpas.apply(Event::Init);
    cluster.shared.hpas.apply(Event::InitDone);
    let key = cluster.hpa("web", json!({}));
    watch(&cluster, cluster.hpa_with_marks("web", 501, &[(FIELD_MANAGER, 0)])).await;
    assert!(cluster.shared.acts("uid-web"), "our own marks are none");
    watch(&cluster, cluster.hpa_with_marks("web", 502, &[(FIELD_MANAGER, 0), ("keda", 1)])).await;
    assert!(!cluster.shared.acts("uid-web") && cluster.shared.acts("uid-web2"), "this one only");
    let calls = cluster.fake.take();
    let event = super::body_of(&calls, EVENTS);
    assert_eq!(
        (event["reason"].as_str(), event["type"].as_str()),
        (Some("AnotherAutoscaler"), Some("Warning"))
    );
    assert!(event["message"].as_str().unwrap().contains(r#"field manager "keda""#));
    let status = super::body_of(&calls, STATUS);
    assert_eq!(super::conditions(&status), ["SecondWriter=True/AnotherAutoscaler"]);
    assert_eq!(status["status"]["conditions"][0]["message"], event["message"]);
    assert_eq!(status["metadata"]["resourceVersion"], "502", "into the version that was seen only");
    watch(&cluster, cluster.hpa_with_marks("web", 503, &[(FIELD_MANAGER, 0), ("keda", 16)])).await;
    assert!(cluster.fake.calls().is_empty(), "told once");
    cluster.reconcile(&key).await;
    assert_eq!(writes(&cluster), Vec::<String>::new());
}

/// The Deployment `web` as a watch shows it: its count, and who wrote that at which second, the last one last.
fn show_target(cluster: &Cluster, replicas: i32, writers: &[(&str, i64)]) {
    let entry = |(manager, second): &(&str, i64)| {
        json!({ "manager": manager, "operation": "Update", "subresource": "scale", "fieldsType": "FieldsV1",
            "time": flyball_model::time::rfc3339_seconds(NOW + second * 1000),
            "fieldsV1": { "f:spec": { "f:replicas": {} } } })
    };
    let fields: Vec<Value> = writers.iter().map(entry).collect();
    let object = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "ns", "uid": "d", "managedFields": fields },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": "web" } } },
        "status": { "replicas": replicas } });
    let object = serde_json::from_value(object).unwrap();
    cluster.shared.targets.apply(Watched::Deployment, Some(Event::Apply(object)));
    cluster.scale(replicas, "app=web");
}

/// By the count of a target: the built-in loop at the first decision after its write, others at the second.
#[tokio::test(start_paused = true)]
async fn who_overwrites_the_count_is_named_within_two_decisions() {
    for (manager, decisions, mend) in
        [(KCM, 1, "--controllers=*"), ("argocd-controller", 2, "leave spec.replicas out of what it applies")]
    {
        let cluster = cluster(90);
        let key = cluster.hpa("web", json!({}));
        show_target(&cluster, 3, &[("kubectl", -60)]);
        let (mut decided, mut second) = (0, 0);
        while cluster.shared.acts("uid-web") && decided < 5 {
            cluster.reconcile(&key).await;
            show_target(&cluster, 6, &[(FIELD_MANAGER, second)]);
            cluster.reconcile(&key).await;
            cluster.fake.take();
            second += 1;
            show_target(&cluster, 3, &[(manager, second)]);
            cluster.advance(1_000);
            cluster.reconcile(&key).await;
            decided += 1;
        }
        assert_eq!(decided, decisions, "{manager}");
        let calls = cluster.fake.take();
        let event = super::body_of(&calls, EVENTS);
        let message = event["message"].as_str().unwrap();
        assert_eq!(event["reason"], "AnotherAutoscaler");
        for part in ["the replica count of this autoscaler's target", manager, mend] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert_eq!(
            super::conditions(&super::body_of(&calls, STATUS)),
            ["SecondWriter=True/AnotherAutoscaler"]
        );
        let scaled = calls.iter().any(|(method, path, _)| *method == Method::PUT && path == SCALE);
        assert!(!scaled, "it is not fought");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shadow_tells_how_often_it_agrees() {
    let cluster = cluster_with(90, Config { mode: Mode::Shadow, ..Config::default() });
    let metrics = || {
        let mut registry = prometheus_client::registry::Registry::default();
        cluster.shared.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("flyball_hpa_{name}")));
            line.map(|rest| rest.trim_start_matches("{}").trim_start())
                .and_then(|value| value.parse::<f64>().ok())
                .unwrap_or(f64::NAN)
        };
        ["shadow_agreed_total", "shadow_differed_total", "shadow_agreement_percent"].map(of)
    };
    let conditions = json!([{ "type": "AbleToScale", "status": "True", "reason": "R", "message": "m" }]);
    let of_others = |desired: i32| json!({ "desiredReplicas": desired, "conditions": conditions });
    let key = cluster.hpa("web", json!({}));
    cluster.reconcile(&key).await;
    assert_eq!(metrics()[..2], [0.0, 0.0], "nobody has decided yet");
    for (desired, expected) in
        [(6, [1.0, 0.0, 100.0]), (3, [1.0, 1.0, 50.0]), (6, [2.0, 1.0, 200.0 / 3.0]), (6, [3.0, 1.0, 75.0])]
    {
        cluster.hpa("web", of_others(desired));
        cluster.advance(15_000);
        cluster.usage(90);
        cluster.reconcile(&key).await;
        cluster.advance(1_000);
        cluster.reconcile(&key).await;
        assert_eq!(metrics(), expected, "once per sync period");
    }
    assert_eq!(writes(&cluster), Vec::<String>::new());
}

/// A loop that finds its status right does not write it again, so what was seen before the lease was gained must not be lost.
#[tokio::test(start_paused = true)]
async fn a_mark_seen_just_before_a_term_counts_in_it() {
    for (seconds_before, left) in [(5, true), (90, false)] {
        let mut cluster = cluster(90);
        let (sender, term) = tokio::sync::watch::channel(Term::default());
        cluster.shared = Arc::new(Shared::new(cluster.fake.client(), cluster.shared.config.clone(), term));
        cluster.hpa("web", json!({}));
        let mut controller = Controller::new(cluster.shared.clone());
        controller.marked("uid-web", KCM);
        sleep(Duration::from_secs(seconds_before)).await;
        assert!(cluster.fake.calls().is_empty(), "a follower writes nothing");
        let lead = Term { leads: true, number: 1, ..Term::default() };
        sender.send(lead).unwrap();
        controller.gain(lead);
        while controller.tasks.join_next().await.is_some() {}
        assert_eq!(cluster.shared.acts("uid-web"), !left, "{seconds_before} s before");
        let told = cluster.fake.take().iter().any(|(_, path, _)| path.contains(EVENTS));
        assert_eq!(told, left, "{seconds_before} s before");
    }
}

#[tokio::test(start_paused = true)]
async fn entries_left_by_a_loop_that_is_gone_are_no_marks() {
    let cluster = cluster(90);
    let changes = cluster.hpa_with_marks("web", 501, &[(KCM, -86_400)]);
    assert!(
        !changes.iter().any(|c| matches!(c, Change::Marked { .. })),
        "the store has not synced: the first list"
    );
    cluster.shared.hpas.apply(Event::Init);
    cluster.shared.hpas.apply(Event::InitDone);
    let marked = |changes: Vec<Change>| changes.iter().any(|c| matches!(c, Change::Marked { .. }));
    assert!(marked(cluster.hpa_with_marks("new", 502, &[(KCM, 0)])), "made and written while we watched");
    assert!(
        !marked(cluster.hpa_with_marks("new", 503, &[(KCM, 0), (FIELD_MANAGER, 9)])),
        "the old entry stays"
    );
    assert!(marked(cluster.hpa_with_marks("new", 504, &[(KCM, 10), (FIELD_MANAGER, 9)])), "written again");
}

#[tokio::test(start_paused = true)]
async fn writes_under_our_own_name_that_are_not_ours() {
    let cluster = cluster(50);
    let key = cluster.hpa("web", json!({}));
    cluster.hpa_with_marks("web", 501, &[(FIELD_MANAGER, -5)]);
    cluster.reconcile(&key).await;
    cluster.fake.take();
    // The fake answers a status write with version 900, and an entry of ours of three seconds ago.
    cluster.hpa_with_marks("web", 901, &[(FIELD_MANAGER, -3)]);
    cluster.reconcile(&key).await;
    assert!(cluster.shared.acts("uid-web"), "in the first seconds of a term it may be the replica before us");
    sleep(Duration::from_secs(11)).await;
    cluster.hpa_with_marks("web", 902, &[(FIELD_MANAGER, -3)]);
    cluster.reconcile(&key).await;
    assert!(cluster.shared.acts("uid-web"), "nothing new");
    cluster.fake.take();
    cluster.hpa_with_marks("web", 903, &[(FIELD_MANAGER, 12)]);
    cluster.reconcile(&key).await;
    assert!(!cluster.shared.acts("uid-web"));
    let event = super::body_of(&cluster.fake.take(), EVENTS);
    assert!(event["message"].as_str().unwrap().contains("another Flyball"), "{event}");
}

#[tokio::test(start_paused = true)]
async fn auto_writes_nothing_until_it_knows() {
    let cluster = cluster_with(90, Config { mode: Mode::Auto, ..Config::default() });
    let key = cluster.hpa("web", json!({}));
    cluster.reconcile(&key).await;
    assert_eq!(writes(&cluster), Vec::<String>::new());
    let at = |seconds| Duration::from_secs(seconds);
    cluster.shared.ownership(|o| {
        o.probe_made(at(0));
        o.probe_over(at(27))
    });
    cluster.advance(15_000);
    cluster.reconcile(&key).await;
    assert_eq!(writes(&cluster).len(), 2, "scale and status");
}

/// An HPA that was deleted, maybe with its namespace, between decision and write: nobody is told, nothing is repeated.
#[tokio::test(start_paused = true)]
async fn a_namespace_that_goes_away() {
    let cluster = cluster(50);
    let key = cluster.hpa("web", json!({}));
    cluster.fake.script(Method::PATCH, STATUS, 404, "horizontalpodautoscalers.autoscaling \"web\" not found");
    cluster.reconcile(&key).await;
    let calls = cluster.fake.calls();
    assert!(!calls.iter().any(|call| call.contains("events")), "{calls:?}");
    assert_eq!(calls.iter().filter(|call| call.contains(STATUS)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_moved_to_another_version_is_found_again() {
    let cluster = cluster(50);
    let key = cluster.hpa("web", json!({}));
    cluster.reconcile(&key).await;
    let version = |v: &str| json!({ "version": v });
    let v2 = "/apis/apps/v2";
    let scale = cluster.fake.object(SCALE).unwrap();
    cluster.fake.put("/apis/apps", json!({ "versions": [version("v2")], "preferredVersion": version("v2") }));
    cluster.fake.put(v2, json!({ "resources": [{ "name": "deployments", "kind": "Deployment" }] }));
    cluster.fake.put(&SCALE.replace("/v1/", "/v2/"), scale);
    cluster.fake.script(Method::GET, SCALE, 404, "404 page not found");
    sleep(Duration::from_secs(15)).await;
    cluster.advance(15_000);
    cluster.reconcile(&key).await;
    cluster.fake.take();
    cluster.advance(15_000);
    cluster.reconcile(&key).await;
    let calls = cluster.fake.calls();
    assert!(calls.iter().any(|call| call.contains("/apis/apps/v2/")), "{calls:?}");
}

/// A replica with an election, over a fake cluster; its clock is the paused one.
fn replica(cluster: &Cluster, mode: Mode, identity: &str) -> (JoinSet<()>, CancellationToken) {
    let started = Instant::now();
    let config = Config {
        mode,
        namespace: Some("flyball".into()),
        election: Some(Election::new(identity.into())),
        clock: Arc::new(move || NOW + i64::try_from(started.elapsed().as_millis()).unwrap()),
        ..Config::default()
    };
    let (client, stop) = (cluster.fake.client(), CancellationToken::new());
    let (mut running, stopping) = (JoinSet::new(), stop.clone());
    running.spawn(async move { crate::run(client, config, None, stopping).await.unwrap() });
    (running, stop)
}

fn lease(holder: &str, namespace: &str, acting: bool) -> Value {
    let mut lease = json!({
        "metadata": { "name": "flyball-hpa", "namespace": namespace, "resourceVersion": "1", "uid": "l",
            "creationTimestamp": "2023-01-01T00:00:00Z" },
        "spec": { "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 4,
            "acquireTime": "2023-01-01T00:00:00.000000Z", "renewTime": "2023-01-01T00:00:00.000000Z" },
    });
    if acting {
        lease["metadata"]["annotations"] = json!({ "hpa.flyball.io/acting": "true" });
    }
    lease
}

fn holder(cluster: &Cluster) -> String {
    cluster
        .fake
        .object(LEASE)
        .map(|l| l["spec"]["holderIdentity"].as_str().unwrap().to_owned())
        .unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_follower_writes_nothing_and_takes_over_what_was_stored() {
    let cluster = cluster(90);
    cluster.lists();
    cluster.fake.put(ALL_LEASES, json!({ "items": [] }));
    cluster.fake.put(LEASE, lease("other", "flyball", false));
    // Two histories are stored: one of an HPA that is gone.
    for uid in ["uid-web", "uid-gone"] {
        let path = format!("{CONFIG_MAPS}/{}", shard_name(shard(uid)));
        let mut map = cluster.fake.object(&path).unwrap_or_else(|| json!({ "data": {} }));
        map["data"][uid] = encode(&History::default(), None, None).into();
        cluster.fake.put(&path, map);
    }
    let (mut running, stop) = replica(&cluster, Mode::Replace, "me");
    sleep(Duration::from_secs(14)).await;
    let calls = cluster.fake.calls();
    assert!(calls.iter().all(|call| call.starts_with("GET")), "{calls:?}");
    assert!(!calls.iter().any(|call| call.contains(SCALE) || call.contains("configmaps")), "{calls:?}");
    sleep(Duration::from_secs(8)).await;
    assert_eq!(holder(&cluster), "me", "not renewed for 15 s");
    let calls = cluster.fake.take();
    let took = calls.iter().position(|(method, path, _)| *method == Method::PUT && path == LEASE).unwrap();
    let read = calls.iter().position(|(_, path, _)| path.contains("configmaps")).unwrap();
    let scaled = calls.iter().position(|(method, path, _)| *method == Method::PUT && path == SCALE).unwrap();
    assert!(took < read && read < scaled, "the lease, then what is stored, then the first write");
    assert_eq!(calls[took].2["spec"]["leaseTransitions"], 5);
    let gone = format!("{CONFIG_MAPS}/{}", shard_name(shard("uid-gone")));
    let pruned = calls.iter().find(|(method, path, _)| *method == Method::PATCH && *path == gone);
    assert!(pruned.unwrap().2["data"]["uid-gone"].is_null(), "the history of an HPA that is gone");
    let event = calls
        .iter()
        .find(|(_, path, body)| path.ends_with("flyball/events") && body["reason"] == "LeaderElection");
    let event = &event.unwrap().2;
    assert_eq!(
        (event["message"].as_str(), event["involvedObject"]["kind"].as_str()),
        (Some("me became leader"), Some("Lease"))
    );
    // The hand-over: histories are stored, then the lease is given up.
    stop.cancel();
    running.join_next().await.unwrap().unwrap();
    assert_eq!(holder(&cluster), "");
    let calls = cluster.fake.take();
    let stored = calls.iter().rposition(|(_, path, _)| path.contains("configmaps")).unwrap();
    let released =
        calls.iter().rposition(|(method, path, _)| *method == Method::PUT && path == LEASE).unwrap();
    assert!(stored < released);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_renew_stops_before_another_may_begin() {
    let cluster = cluster(90);
    cluster.lists();
    cluster.fake.put(ALL_LEASES, json!({ "items": [] }));
    cluster.fake.put(LEASE, lease("", "flyball", false));
    let (mut running, stop) = replica(&cluster, Mode::Replace, "me");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(holder(&cluster), "me");
    assert!(!writes(&cluster).is_empty());
    // From now on the lease can neither be written nor read; all else works.
    for _ in 0..20 {
        cluster.fake.script(Method::PUT, LEASE, 500, "etcd is slow");
        cluster.fake.script(Method::GET, LEASE, 500, "etcd is slow");
    }
    sleep(Duration::from_secs(10)).await;
    cluster.fake.take();
    // The replica count is changed by hand; whoever leads would put it right.
    cluster.scale(3, "app=web");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(writes(&cluster), Vec::<String>::new(), "the renew deadline has passed");
    sleep(Duration::from_secs(240)).await;
    assert!(!writes(&cluster).is_empty(), "the lease was taken again");
    stop.cancel();
    running.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_second_installation_watches_only() {
    let cluster = cluster(90);
    cluster.lists();
    // The other one renews its lease: another time in each list.
    cluster.fake.put(ALL_LEASES, json!({ "items": [lease("pod-7", "elsewhere", true)] }));
    let (mut running, stop) = replica(&cluster, Mode::Replace, "me");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(writes(&cluster), Vec::<String>::new());
    let lease_now = cluster.fake.object(LEASE).unwrap();
    assert!(lease_now["metadata"]["annotations"]["hpa.flyball.io/acting"].is_null(), "it claims nothing");
    // The other one ends: its lease does not change any more.
    sleep(Duration::from_secs(30)).await;
    assert!(!writes(&cluster).is_empty(), "it is gone");
    assert_eq!(
        cluster.fake.object(LEASE).unwrap()["metadata"]["annotations"]["hpa.flyball.io/acting"],
        "true"
    );
    stop.cancel();
    running.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn auto_asks_by_a_probe_and_takes_it_back() {
    let probe = "/apis/autoscaling/v2/namespaces/flyball/horizontalpodautoscalers/flyball-hpa-probe";
    let cluster = cluster(90);
    cluster.lists();
    cluster.fake.put(ALL_LEASES, json!({ "items": [] }));
    let (mut running, stop) = replica(&cluster, Mode::Auto, "me");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(cluster.fake.object(probe).unwrap()["spec"]["scaleTargetRef"]["name"], "flyball-hpa-probe");
    assert_eq!(writes(&cluster), Vec::<String>::new());
    sleep(Duration::from_secs(27)).await;
    assert!(cluster.fake.object(probe).is_none(), "nobody answered");
    assert!(!writes(&cluster).is_empty(), "within two sync periods");
    stop.cancel();
    running.join_next().await.unwrap().unwrap();
    // Stopped while asking, it leaves nothing behind.
    cluster.fake.put(LEASE, lease("", "flyball", false));
    let (mut running, stop) = replica(&cluster, Mode::Auto, "you");
    sleep(Duration::from_secs(3)).await;
    assert!(cluster.fake.object(probe).is_some());
    stop.cancel();
    running.join_next().await.unwrap().unwrap();
    assert!(cluster.fake.object(probe).is_none());
}
