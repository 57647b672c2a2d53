//! What people are told about decisions, and what they hold back by annotations.

use super::fake::{Cluster, NOW, SCALE, cluster, cluster_with};
use super::{EVENTS, STATUS, body_of, conditions};
use crate::config::{Config, Mode};
use crate::decisions::Decisions;
use crate::watch::{Key, Watched};
use flyball_apiserver::{Handler, LimitedBody, Request, User};
use http::Method;
use http_body_util::BodyExt;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

pub(super) const ONE: &str = "/apis/decisions.flyball.io/v1/namespaces/ns/decisions/web";
const ALL: &str = "/apis/decisions.flyball.io/v1/decisions";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// Status and body of a GET.
pub(super) async fn get(cluster: &Cluster, target: &str, accept: &str) -> (u16, Value) {
    let request = http::Request::get(target).header("accept", accept).body(()).unwrap();
    let user = User::new("somebody", ["system:authenticated"]);
    let request = Request::new(request.into_parts().0, user, LimitedBody::from_bytes(Vec::new()));
    let answer = Decisions::new(cluster.shared.clone()).handle(request).await;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), serde_json::from_slice(&body).unwrap())
}

/// The HPA `web` with annotations.
fn annotated(cluster: &Cluster, annotations: Value) -> Key {
    let key = cluster.hpa("web", json!({}));
    cluster.edit_hpa("web", |object| object["metadata"]["annotations"] = annotations);
    key
}

/// Replica counts written since the last time.
fn written(cluster: &Cluster) -> Vec<i64> {
    let calls = cluster.fake.take();
    let scales = calls.iter().filter(|(method, path, _)| *method == Method::PUT && path == SCALE);
    scales.filter_map(|(.., body)| body["spec"]["replicas"].as_i64()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_decision_is_told_with_every_number() {
    let cluster = cluster(90);
    let key = cluster.hpa("web", json!({}));
    assert_eq!(get(&cluster, ONE, "application/json").await.0, 404, "not evaluated yet");
    cluster.reconcile(&key).await;
    let (code, decision) = get(&cluster, ONE, "application/json").await;
    assert_eq!((code, decision["kind"].as_str()), (200, Some("Decision")));
    let status = &decision["status"];
    assert_eq!(
        (&status["currentReplicas"], &status["wantedReplicas"], &status["desiredReplicas"]),
        (&json!(3), &json!(6), &json!(6))
    );
    assert_eq!((status["rescale"].as_str(), status["acting"].as_bool()), (Some("Done"), Some(true)));
    assert_eq!(decision["changes"][0]["to"], 6);
    assert_eq!(decision["trace"]["desired"], 6, "the trace is of the decision");
    assert_eq!(decision["trace"]["metrics"][0]["numbers"]["perPod"]["tally"]["ready"]["usageMilli"], 270);
    assert_eq!(decision["counterfactuals"]["metrics"][0]["scaleUpFromMilli"], 56);
    let words = crate::decisions::words(&decision, NOW + 1000);
    assert!(words.contains("3 -> 6 replicas") && words.contains("more from 56m per pod"), "{words}");
    let (_, list) = get(&cluster, ALL, "application/json").await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    assert!(list["items"][0]["trace"].is_null(), "lists are brief");
    for (target, code) in [
        ("/apis/decisions.flyball.io/v1/namespaces/ns/decisions/none", 404),
        ("/apis/decisions.flyball.io/v1/namespaces/ns/decisions/web/status", 404),
        ("/apis/decisions.flyball.io/v1/decisions?watch=true", 405),
        ("/apis/decisions.flyball.io/v1/decisions?fieldSelector=spec.x%3D1", 400),
        ("/apis/decisions.flyball.io/v2/decisions", 404),
    ] {
        assert_eq!(get(&cluster, target, "application/json").await.0, code, "{target}");
    }
    let (_, none) = get(&cluster, &format!("{ALL}?labelSelector=a%3Db"), "application/json").await;
    assert_eq!(none["items"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn decisions_are_a_table_for_kubectl() {
    let cluster = cluster(90);
    let key = cluster.hpa("web", json!({}));
    cluster.reconcile(&key).await;
    let (code, table) = get(&cluster, ALL, TABLE).await;
    assert_eq!((code, table["kind"].as_str()), (200, Some("Table")));
    let names: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|column| column["name"].as_str())
        .collect();
    assert_eq!(
        names,
        ["Name", "Reference", "Metrics", "Current", "Wanted", "Desired", "Why", "Age", "Rescale"]
    );
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(
        cells[..6],
        [json!("web"), json!("Deployment/web"), json!("cpu 90%/50%"), json!(3), json!(6), json!(6)]
    );
    assert_eq!(cells[7], "0s", "kubectl prints the cell as it is");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_cannot_be_read_is_told() {
    let cluster = cluster(90);
    let key = cluster.hpa("web", json!({}));
    cluster.fake.script(Method::GET, SCALE, 404, "deployments.apps \"web\" not found");
    cluster.reconcile(&key).await;
    let (_, decision) = get(&cluster, ONE, "application/json").await;
    assert_eq!(decision["status"]["error"], "deployments.apps \"web\" not found");
    let (_, table) = get(&cluster, ALL, TABLE).await;
    assert_eq!(table["rows"][0]["cells"][6], "FailedGetScale");
}

#[tokio::test(start_paused = true)]
async fn annotations_hold_the_target() {
    for (annotations, replicas, reason) in [
        (json!({ "hpa.flyball.io/pause": "true" }), vec![], "Paused"),
        (json!({ "hpa.flyball.io/pin": "4" }), vec![4], "Pinned"),
        (json!({ "hpa.flyball.io/direction": "down" }), vec![], "DownOnly"),
        (json!({ "hpa.flyball.io/direction": "up" }), vec![6], "UpOnly"),
        (json!({ "hpa.flyball.io/pause": "maybe" }), vec![], "InvalidAnnotation"),
    ] {
        let cluster = cluster(90);
        let key = annotated(&cluster, annotations.clone());
        cluster.reconcile(&key).await;
        let calls = cluster.fake.take();
        let scales = calls.iter().filter(|(method, path, _)| *method == Method::PUT && path == SCALE);
        let written: Vec<i64> = scales.filter_map(|(.., body)| body["spec"]["replicas"].as_i64()).collect();
        assert_eq!(written, replicas, "{annotations}");
        let status = body_of(&calls, STATUS);
        assert!(
            conditions(&status).contains(&format!("ScalingHeld=True/{reason}")),
            "{annotations}: {status}"
        );
        let (_, decision) = get(&cluster, ONE, "application/json").await;
        assert_eq!(
            (&decision["status"]["wantedReplicas"], decision["status"]["why"].as_str()),
            (&json!(6), Some(reason))
        );
    }
    let cluster = cluster(90);
    let key = annotated(&cluster, json!({ "hpa.flyball.io/pin": "40" }));
    cluster.reconcile(&key).await;
    let event = body_of(&cluster.fake.take(), EVENTS);
    assert_eq!(event["reason"], "InvalidAnnotation");
    assert!(event["message"].as_str().unwrap().contains("hpa.flyball.io/pin"), "{event}");
}

#[tokio::test(start_paused = true)]
async fn at_rest_a_watched_target_is_not_read() {
    let cluster = cluster(50);
    let target = |replicas: i32| {
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "ns", "uid": "d" },
            "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": "web" } } },
            "status": { "replicas": replicas } })
    };
    let show = |event: Event<Value>| {
        let typed = |value: Value| serde_json::from_value(value).unwrap();
        let event = match event {
            Event::Init => Event::Init,
            Event::InitApply(value) => Event::InitApply(typed(value)),
            Event::InitDone => Event::InitDone,
            Event::Apply(value) => Event::Apply(typed(value)),
            Event::Delete(value) => Event::Delete(typed(value)),
        };
        cluster.shared.targets.apply(Watched::Deployment, Some(event))
    };
    show(Event::Init);
    show(Event::InitApply(target(3)));
    show(Event::InitDone);
    let key = cluster.hpa("web", json!({}));
    cluster.reconcile(&key).await;
    let reads = |calls: Vec<String>| calls.iter().filter(|call| **call == format!("GET {SCALE}")).count();
    assert_eq!(reads(cluster.fake.calls()), 0, "from the first evaluation on");
    cluster.advance(60_000);
    cluster.usage(50);
    cluster.reconcile(&key).await;
    assert_eq!(reads(cluster.fake.calls()), 0);
    // What is written rests on a scale that was read just now.
    cluster.advance(15_001);
    cluster.usage(90);
    cluster.reconcile(&key).await;
    assert_eq!(
        (reads(cluster.fake.calls()), cluster.fake.object(SCALE).unwrap()["spec"]["replicas"].clone()),
        (1, json!(6))
    );
    // Deleted and made again under its name: read again until the watch shows it.
    show(Event::Delete(target(6)));
    cluster.advance(16_000);
    cluster.reconcile(&key).await;
    assert_eq!(reads(cluster.fake.calls()), 1);
}

#[tokio::test(start_paused = true)]
async fn our_own_kind_refuses_what_is_invalid_or_taken() {
    let config = || Config { mode: Mode::OwnKind, ..Config::default() };
    let status = STATUS.replace("/apis/autoscaling/v2/", "/apis/autoscaling.flyball.io/v1/");
    let cluster = cluster_with(90, config());
    let key = cluster.hpa("web", json!({}));
    cluster.reconcile(&key).await;
    assert_eq!(written(&cluster), [6], "it scales");
    let owner = json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": "theirs", "namespace": "ns" },
        "spec": { "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" } } });
    cluster.shared.owned.apply(Event::Apply(serde_json::from_value(owner).unwrap()));
    cluster.advance(15_000);
    cluster.reconcile(&key).await;
    let calls = cluster.fake.take();
    assert!(!calls.iter().any(|(method, path, _)| *method == Method::PUT && path == SCALE));
    let body = body_of(&calls, &status);
    assert!(conditions(&body).contains(&"AbleToScale=False/TargetOwned".to_owned()), "{body}");
    assert!(body["status"]["conditions"].to_string().contains("ns/theirs"));
    assert_eq!(body_of(&calls, EVENTS)["involvedObject"]["apiVersion"], "autoscaling.flyball.io/v1");

    let cluster = cluster_with(90, config());
    let key = cluster.hpa("web", json!({}));
    cluster.edit_hpa("web", |object| object["spec"]["maxReplicas"] = json!(-1));
    cluster.reconcile(&key).await;
    let calls = cluster.fake.take();
    assert!(!calls.iter().any(|(_, path, _)| path == SCALE));
    let body = body_of(&calls, &status);
    assert!(conditions(&body).contains(&"AbleToScale=False/InvalidSpec".to_owned()));
    assert!(
        body["status"]["conditions"].to_string().contains("spec.maxReplicas: Invalid value: -1"),
        "{body}"
    );
}

/// Takes one token, whose owner is the account that all replicas share.
struct OneToken;

impl flyball_apiserver::TokenVerifier for OneToken {
    fn verify<'a>(
        &'a self,
        token: &'a str,
    ) -> futures_util::future::BoxFuture<'a, Result<Option<User>, String>> {
        let user = (token == "secret").then(|| User::new("system:serviceaccount:fly:flyball-hpa", ["g"]));
        Box::pin(std::future::ready(Ok(user)))
    }
}

/// Serves the decisions of a replica; gives where, and the fingerprint of its certificate.
async fn serve_decisions(leader: &Cluster, stop: &tokio_util::sync::CancellationToken) -> (String, String) {
    use flyball_apiserver::own_metrics::ServerMetrics;
    use flyball_apiserver::{Authenticators, DenyAnonymous, Limits, LiveAuthenticators, Server, ServingTls};
    let issued = flyball_apiserver::certs::self_signed(&["localhost"], &[]).unwrap();
    let der = issued.certified_key().unwrap().cert[0].to_vec();
    let tokens: std::sync::Arc<dyn flyball_apiserver::TokenVerifier> = std::sync::Arc::new(OneToken);
    let server = Server {
        tls: ServingTls::new(issued.resolver().unwrap()),
        authenticators: LiveAuthenticators::new(Authenticators {
            tokens: Some(tokens),
            ..Authenticators::default()
        }),
        authorizer: std::sync::Arc::new(DenyAnonymous::default()),
        handler: std::sync::Arc::new(Decisions::new(leader.shared.clone())),
        limits: Limits::default(),
        metrics: ServerMetrics::default(),
    };
    #[allow(clippy::disallowed_methods, reason = "a test: it serves on a port of its own")]
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = flyball_apiserver::serve(listener, std::sync::Arc::new(server), stop.clone());
    #[allow(clippy::disallowed_methods, reason = "a test: the task ends with the token")]
    tokio::spawn(serving);
    (address, crate::decisions::fingerprint(&der))
}

#[tokio::test]
async fn a_follower_passes_the_question_on_to_the_one_that_its_lease_names() {
    let leader = cluster(90);
    let key = leader.hpa("web", json!({}));
    leader.reconcile(&key).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let (address, certificate) = serve_decisions(&leader, &stop).await;
    let peer = crate::Peer {
        address: "192.0.2.1:8443".into(),
        certificate: std::sync::Arc::new(|| None),
        token: std::sync::Arc::new(|| Some("secret".into())),
    };
    let follower = cluster_with(90, Config { peer: Some(peer), ..Config::default() }).follower();
    let lease = |address: &str, certificate: &str| {
        json!({ "spec": { "holderIdentity": "pod-1" }, "metadata": { "annotations": {
            "hpa.flyball.io/address": address, "hpa.flyball.io/certificate-sha256": certificate } } })
    };
    let (code, why) = get(&follower, ONE, "application/json").await;
    assert_eq!((code, why["message"].as_str().unwrap().contains("nobody leads")), (503, true), "{why}");
    follower.shared.lease.saw(&lease(&address, &certificate));
    let (code, decision) = get(&follower, ONE, "application/json").await;
    assert_eq!((code, &decision["status"]["desiredReplicas"]), (200, &json!(6)), "{decision}");
    assert_eq!(get(&follower, ALL, TABLE).await.1["kind"], "Table", "in the form that was asked for");
    assert_eq!(
        get(&follower, &ONE.replace("/web", "/none"), "application/json").await.0,
        404,
        "and with its code"
    );
    // Whoever sits at that address now is not the leader.
    follower.shared.lease.saw(&lease(&address, &"0".repeat(64)));
    let (code, why) = get(&follower, ONE, "application/json").await;
    assert_eq!((code, why["message"].as_str().unwrap().contains("certificate")), (503, true), "{why}");
    stop.cancel();
}
