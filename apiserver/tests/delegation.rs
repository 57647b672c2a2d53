//! Delegated authentication and authorization against a fake kube-apiserver.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests open sockets and may panic")]
#![allow(missing_docs, dead_code, reason = "helpers are shared between test programs")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{Ask, Authorities, Echo, Running, authorities, json_response, start, start_live};
use flyball_apiserver::delegation::{self, Flags};
use flyball_apiserver::{
    Attributes, Authenticators, Authorizer, Decision, Delegated, DelegatedTokens, Handler, Limits, Request,
    Response, TokenVerifier, User, stream,
};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream as streams};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

fn allowed_if(allowed: bool) -> Value {
    if allowed { json!({"allowed": true}) } else { json!({"allowed": false, "reason": "RBAC: no"}) }
}

/// Answers TokenReviews, SubjectAccessReviews and the ConfigMap, and notes what it was asked.
#[derive(Clone)]
struct Cluster {
    asked: Arc<Mutex<Vec<Value>>>,
    settings: watch::Receiver<Value>,
    /// The version of the settings a watcher was told last.
    sent: watch::Sender<String>,
}

impl Cluster {
    async fn answer(self, request: Request) -> Response {
        let path = request.path().to_owned();
        if path.contains("configmaps") {
            return self.config_map(&request);
        }
        let body = request.body.collect(usize::MAX).await.unwrap();
        let mut review: Value = serde_json::from_slice(&body).unwrap();
        self.asked.lock().unwrap().push(review.clone());
        if path.ends_with("tokenreviews") {
            review["status"] = match review["spec"]["token"].as_str() {
                Some("good") => {
                    json!({"authenticated": true, "audiences": ["flyball"], "user": {"username": "robot",
                    "uid": "u", "groups": ["robots"], "extra": {"k": ["v"]}}})
                }
                _ => json!({"authenticated": false}),
            };
        } else {
            review["status"] = match review["spec"]["user"].as_str() {
                Some("friend") => json!({"allowed": true}),
                Some("neighbour") => allowed_if(review["spec"]["resourceAttributes"]["namespace"] == "n"),
                Some("half a friend") => {
                    let requirement =
                        &review["spec"]["resourceAttributes"]["labelSelector"]["requirements"][0];
                    allowed_if(["a", "c"].into_iter().any(|app| requirement["values"] == json!([app])))
                }
                Some("broken") => {
                    return json_response(
                        403,
                        &json!({"kind": "Status", "apiVersion": "v1",
                    "metadata": {}, "status": "Failure", "message": "not yours", "reason": "Forbidden", "code": 403}),
                    );
                }
                _ => allowed_if(false),
            };
        }
        json_response(201, &review)
    }

    fn config_map(&self, request: &Request) -> Response {
        let mut settings = self.settings.clone();
        match request.attributes.verb.as_str() {
            "get" => json_response(200, &settings.borrow_and_update()),
            "list" => json_response(
                200,
                &json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
                    "items": [*settings.borrow_and_update()]}),
            ),
            _ => {
                let sent = self.sent.clone();
                let changes = streams::unfold((settings, sent), |(mut settings, sent)| async move {
                    settings.changed().await.ok()?;
                    let object = settings.borrow_and_update().clone();
                    sent.send_replace(object["metadata"]["resourceVersion"].as_str()?.to_owned());
                    let event = json!({"type": "MODIFIED", "object": object});
                    Some((Ok(Bytes::from(format!("{event}\n"))), (settings, sent)))
                });
                let mut response = http::Response::new(stream(changes.boxed()));
                response.headers_mut().insert("content-type", "application/json".parse().unwrap());
                response
            }
        }
    }
}

impl Handler for Cluster {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(self.clone().answer(request))
    }
}

/// A map with this client CA.
fn map(all: &Authorities, version: u32) -> Value {
    json!({"kind": "ConfigMap", "apiVersion": "v1",
    "metadata": {"name": delegation::NAME, "namespace": delegation::NAMESPACE, "resourceVersion": version.to_string()},
    "data": {
        "client-ca-file": all.clients.certificate_pem(),
        "requestheader-client-ca-file": all.proxies.certificate_pem(),
        "requestheader-username-headers": "[\"X-Remote-User\"]",
        "requestheader-group-headers": "[\"X-Remote-Group\"]",
        "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
        "requestheader-allowed-names": "[\"front-proxy-client\"]",
    }})
}

struct Fake {
    _server: Running,
    client: kube::Client,
    asked: Arc<Mutex<Vec<Value>>>,
    settings: watch::Sender<Value>,
    sent: watch::Receiver<String>,
}

async fn cluster(all: &Authorities) -> Fake {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (settings, receiver) = watch::channel(map(all, 1));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (sender, sent) = watch::channel(String::new());
    let handler = Cluster { asked: asked.clone(), settings: receiver, sent: sender };
    let nobody = Authenticators { anonymous: true, ..Authenticators::default() };
    let server = start(all, nobody, Open, handler, Limits::default()).await;
    let url = format!("https://localhost:{}", server.address.port());
    let mut config = kube::Config::new(url.parse().unwrap());
    config.accept_invalid_certs = true;
    Fake { client: kube::Client::try_from(config).unwrap(), _server: server, asked, settings, sent }
}

struct Open;

impl Authorizer for Open {
    fn authorize<'a>(&'a self, _: &'a User, _: &'a Attributes) -> BoxFuture<'a, Result<Decision, String>> {
        Box::pin(std::future::ready(Ok(Decision::Allow)))
    }
}

#[tokio::test]
async fn token_reviews_are_asked_once_and_carry_audiences() {
    let all = authorities();
    let fake = cluster(&all).await;
    let tokens = DelegatedTokens::new(fake.client.clone());
    for _ in 0..3 {
        let user = tokens.verify("good").await.unwrap().unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_deref()), ("robot", Some("u")));
        assert_eq!(
            (user.groups, user.extra),
            (vec!["robots".into()], BTreeMap::from([("k".into(), vec!["v".into()])]))
        );
        assert_eq!(tokens.verify("bad").await, Ok(None));
    }
    assert_eq!(fake.asked.lock().unwrap().len(), 2, "success and failure are remembered");
    let for_us = tokens.clone().with_audiences(vec!["flyball".into()]);
    let for_others = tokens.clone().with_audiences(vec!["other".into()]);
    assert!(for_us.verify("good").await.unwrap().is_some());
    assert_eq!(for_others.verify("good").await, Ok(None));
    assert_eq!(fake.asked.lock().unwrap()[2]["spec"], json!({"token": "good", "audiences": ["flyball"]}));
}

#[tokio::test]
async fn access_reviews_decide_and_are_remembered() {
    let all = authorities();
    let fake = cluster(&all).await;
    let delegated = Delegated::new(fake.client.clone());
    let list = Attributes::resource("list", "metrics.k8s.io", "pods", "n", "");
    let deny = Decision::Deny { reason: "RBAC: no".into() };
    for _ in 0..2 {
        for (name, attributes, expected) in [
            ("friend", list.clone(), Ok(Decision::Allow)),
            ("stranger", list.clone(), Ok(deny.clone())),
            ("stranger", Attributes::path("get", "/metrics"), Ok(deny.clone())),
        ] {
            assert_eq!(delegated.authorize(&User::new(name, ["g"]), &attributes).await, expected, "{name}");
        }
    }
    assert_eq!(
        fake.asked.lock().unwrap().len(),
        4,
        "who may not list everywhere is asked for in the namespace"
    );
    for (user, attributes) in [
        (User::new("stranger", ["system:masters"]), list.clone()),
        (User::anonymous(), Attributes::path("get", "/readyz")),
        (User::new("stranger", ["system:authenticated"]), Attributes::path("get", "/apis/metrics.k8s.io/v1")),
    ] {
        assert_eq!(delegated.authorize(&user, &attributes).await, Ok(Decision::Allow), "{user:?}");
    }
    assert_eq!(fake.asked.lock().unwrap().len(), 4, "decided without a call");
    let failed = delegated.authorize(&User::new("broken", ["g"]), &list).await;
    assert!(failed.unwrap_err().contains("not yours"));
    let long = Attributes { name: "x".repeat(20_000), ..list };
    for _ in 0..2 {
        delegated.authorize(&User::new("friend", ["g"]), &long).await.unwrap();
    }
    assert_eq!(fake.asked.lock().unwrap().len(), 7, "oversized questions are not remembered");
}

#[tokio::test]
async fn who_may_have_a_whole_list_may_have_any_part_of_it() {
    let all = authorities();
    let fake = cluster(&all).await;
    let delegated = Delegated::new(fake.client.clone());
    let list = |namespace: &str| Attributes::resource("list", "metrics.k8s.io", "pods", namespace, "");
    let part =
        |namespace: &str, app: &str| Attributes { label_selector: format!("app={app}"), ..list(namespace) };
    let (allow, deny) = (Decision::Allow, Decision::Deny { reason: "RBAC: no".into() });
    let watch = Attributes { verb: "watch".into(), ..list("n") };
    let get = Attributes::resource("get", "metrics.k8s.io", "pods", "n", "p");
    // Who asks for what, what is said, and how often that is asked for.
    for (name, attributes, expected, calls) in [
        ("friend", part("n", "a"), &allow, 1),
        ("friend", part("m", "b"), &allow, 0),
        ("friend", list("o"), &allow, 0),
        ("friend", list(""), &allow, 0),
        ("friend", watch, &allow, 1),
        ("friend", get.clone(), &allow, 1),
        // May list in one namespace: everywhere, then there.
        ("neighbour", part("n", "a"), &allow, 2),
        ("neighbour", part("n", "b"), &allow, 0),
        ("neighbour", list("m"), &deny, 1),
        ("neighbour", list(""), &deny, 0),
        // May list what two selectors select: everywhere, there, with the selector.
        ("half a friend", part("n", "a"), &allow, 3),
        ("half a friend", part("n", "b"), &deny, 1),
        ("half a friend", part("n", "c"), &allow, 1),
        ("half a friend", list("n"), &deny, 0),
        ("half a friend", get, &deny, 1),
    ] {
        for again in [false, true] {
            let before = fake.asked.lock().unwrap().len();
            let decision = delegated.authorize(&User::new(name, ["g"]), &attributes).await;
            let id = format!("{name} {attributes:?}");
            assert_eq!(decision.as_ref(), Ok(expected), "{id}");
            let asked = fake.asked.lock().unwrap().len() - before;
            assert_eq!(asked, if again { 0 } else { calls }, "{id}");
        }
    }
}

#[tokio::test]
async fn a_failed_authorization_call_is_a_plain_500() {
    let all = authorities();
    let fake = cluster(&all).await;
    let delegated = Delegated::new(fake.client.clone());
    let server = start(&all, all.authenticators(), delegated, Echo, Limits::default()).await;
    let broken = all.clients.issue_client("broken", &[]).unwrap();
    let answer = server.ask(Ask::get("/metrics?x=1").identity(&broken)).await;
    assert_eq!(answer.code, 500);
    assert!(answer.text.starts_with("Internal Server Error: \"/metrics?x=1\": "), "{}", answer.text);
    let stranger = all.clients.issue_client("stranger", &[]).unwrap();
    let answer = server.ask(Ask::get("/apis/g/v1/things").identity(&stranger)).await;
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.ends_with("at the cluster scope: RBAC: no"), "{message}");
}

#[tokio::test]
async fn settings_are_read_at_start_and_followed() {
    let all = authorities();
    let fake = cluster(&all).await;
    let shutdown = CancellationToken::new();
    let live = delegation::start(fake.client.clone(), Flags::default(), shutdown.clone()).await.unwrap();
    let first = live.get();
    assert!(first.front_proxy.is_some() && first.client_ca.is_some());
    let server = start_live(&all, live.clone(), Open, Echo, Limits::default()).await;
    let next = authorities();
    let client = next.clients.issue_client("bob", &[]).unwrap();
    assert_eq!(server.ask(Ask::get("/").identity(&client)).await.code, 401);

    fake.settings.send(map(&next, 2)).unwrap();
    until("the change arrives", async || server.ask(Ask::get("/").identity(&client)).await.code == 200).await;
    let mut broken = map(&next, 3);
    broken["data"]["client-ca-file"] = json!("nonsense");
    fake.settings.send(broken).unwrap();
    until("the broken settings are sent", async || *fake.sent.borrow() == "3").await;
    let mut renamed = map(&next, 4);
    renamed["data"]["requestheader-allowed-names"] = json!("[\"other\"]");
    fake.settings.send(renamed).unwrap();
    until("the next settings are in force", async || {
        let code = server.ask(Ask::get("/").identity(&client)).await.code;
        assert_eq!(code, 200, "bad settings change nothing");
        live.get().front_proxy.as_ref().unwrap().allowed_names == ["other"]
    })
    .await;
    shutdown.cancel();
}

/// Repeats a question until it says yes; a test that waits for ever is a failure with a name.
async fn until(what: &str, mut question: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !question().await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), asking).await.expect(what);
}

#[tokio::test]
async fn settings_that_cannot_be_read_are_fatal_unless_tolerated() {
    let all = authorities();
    let fake = cluster(&all).await;
    fake.settings
        .send(json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "x"},
        "data": {"client-ca-file": "nonsense"}}))
        .unwrap();
    let token = CancellationToken::new();
    let refused = delegation::start(fake.client.clone(), Flags::default(), token.clone()).await;
    let text = refused.err().unwrap().to_string();
    assert!(
        text.contains("client-ca-file of ConfigMap kube-system/extension-apiserver-authentication"),
        "{text}"
    );
    let tolerant = Flags { tolerate_lookup_failure: true, ..Flags::default() };
    let live = delegation::start(fake.client.clone(), tolerant, token.clone()).await.unwrap();
    assert!(live.get().client_ca.is_none());
    token.cancel();
}
