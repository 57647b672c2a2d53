//! Who a request is taken for, over real TLS connections: the edge cases of aggregated API servers.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests open sockets and may panic")]
#![allow(missing_docs, dead_code, reason = "helpers are shared between test programs")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Ask, Authorities, Echo, Running, authorities, bundle, start};
use flyball_apiserver::{
    AllowedPaths, Attributes, Authenticators, Authorizer, ClientCa, Decision, DenyAnonymous, Limits,
    TokenVerifier, User,
};
use futures_util::future::BoxFuture;
use serde_json::json;

/// Lets everybody in, so that tests see who they are taken for.
struct Everybody;

impl Authorizer for Everybody {
    fn authorize<'a>(&'a self, _: &'a User, _: &'a Attributes) -> BoxFuture<'a, Result<Decision, String>> {
        Box::pin(std::future::ready(Ok(Decision::Allow)))
    }
}

/// Knows the token `good`; `broken` makes it fail.
#[derive(Default)]
struct Tokens(AtomicUsize);

impl TokenVerifier for Tokens {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<User>, String>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(match token {
            "good" => Ok(Some(User::new("robot", ["robots"]))),
            "broken" => Err("no connection".into()),
            _ => Ok(None),
        }))
    }
}

async fn open(authorities: &Authorities, change: impl FnOnce(&mut Authenticators)) -> Running {
    let mut authenticators = authorities.authenticators();
    change(&mut authenticators);
    start(authorities, authenticators, Everybody, Echo, Limits::default()).await
}

const PATH: &str = "/apis/metrics.k8s.io/v1/nodes";

#[tokio::test]
async fn a_front_proxy_states_the_identity_over_both_protocols() {
    let all = authorities();
    let server = open(&all, |_| {}).await;
    let proxy = all.proxies.issue_client("front-proxy-client", &[]).unwrap();
    let headers = [
        ("X-Remote-User", "alice"),
        ("X-Remote-Group", "dev"),
        ("X-Remote-Group", "ops"),
        ("X-More-Groups", "night"),
        ("X-Remote-Extra-Scopes", "view"),
        ("X-Remote-Extra-Scopes", "edit"),
        ("X-Remote-Extra-Example.com%2FProject", "p1"),
        ("X-Remote-Uid", "not-configured"),
        ("Authorization", "Bearer left-over"),
    ];
    for http2 in [false, true] {
        let answer = server.ask(Ask { http2, ..Ask::get(PATH).identity(&proxy).headers(&headers) }).await;
        let saw = answer.json();
        assert_eq!((answer.code, &saw["user"]), (200, &json!("alice")), "{answer:?}");
        assert_eq!(saw["groups"], json!(["dev", "ops", "night", "system:authenticated"]));
        assert_eq!(saw["extra"], json!({"scopes": ["view", "edit"], "example.com/project": ["p1"]}));
        assert_eq!(saw["uid"], json!(null), "the uid header is not configured");
        let left = saw["headers"].to_string();
        assert!(
            !left.contains("x-remote") && !left.contains("x-more") && !left.contains("authorization"),
            "{left}"
        );
    }
}

#[tokio::test]
async fn a_uid_header_counts_when_configured() {
    let all = authorities();
    let server =
        open(&all, |set| set.front_proxy.as_mut().unwrap().uid_headers = vec!["X-Remote-Uid".into()]).await;
    let proxy = all.proxies.issue_client("front-proxy-client", &[]).unwrap();
    let headers = [("X-Remote-User", "alice"), ("X-Remote-Uid", "u-1")];
    let saw = server.ask(Ask::get(PATH).identity(&proxy).headers(&headers)).await.json();
    assert_eq!(saw["uid"], "u-1");
}

#[tokio::test]
async fn distrusted_proxies_are_refused() {
    let all = authorities();
    let server = open(&all, |_| {}).await;
    let wrong_name = all.proxies.issue_client("somebody", &[]).unwrap();
    let wrong_authority = authorities().proxies.issue_client("front-proxy-client", &[]).unwrap();
    let wrong_usage = all.proxies.issue_server(&["front-proxy-client"], &[]).unwrap();
    let right = all.proxies.issue_client("front-proxy-client", &[]).unwrap();
    let user = [("X-Remote-User", "alice")];
    for (case, identity, headers) in [
        ("wrong CN", &wrong_name, &user[..]),
        ("wrong CA", &wrong_authority, &user[..]),
        ("not a client certificate", &wrong_usage, &user[..]),
        ("no user header", &right, &[][..]),
        ("empty user header", &right, &[("X-Remote-User", "")][..]),
    ] {
        let answer = server.ask(Ask::get(PATH).identity(identity).headers(headers)).await;
        assert_eq!(answer.code, 401, "{case}: {answer:?}");
        assert_eq!(answer.json()["reason"], "Unauthorized");
    }
}

#[tokio::test]
async fn forged_headers_change_nothing() {
    let all = authorities();
    let server = open(&all, |_| {}).await;
    let forged = [("X-Remote-User", "root"), ("X-Remote-Group", "system:masters")];
    let saw = server.ask(Ask::get(PATH).headers(&forged)).await.json();
    assert_eq!(
        (&saw["user"], &saw["groups"]),
        (&json!("system:anonymous"), &json!(["system:unauthenticated"]))
    );
    assert!(!saw["headers"].to_string().contains("x-remote"));
    let client = all.clients.issue_client("bob", &["dev", "ops"]).unwrap();
    let saw = server.ask(Ask::get(PATH).identity(&client).headers(&forged)).await.json();
    assert_eq!(
        (&saw["user"], &saw["groups"]),
        (&json!("bob"), &json!(["dev", "ops", "system:authenticated"]))
    );
    let id = saw["extra"]["authentication.kubernetes.io/credential-id"][0].as_str().unwrap();
    assert_eq!((id.len(), id.starts_with("X509SHA256=")), (11 + 64, true), "{id}");
}

#[tokio::test]
async fn anonymous_requests_go_on_only_where_allowed() {
    let all = authorities();
    let closed = open(&all, |set| set.anonymous = false).await;
    assert_eq!(closed.ask(Ask::get("/healthz")).await.code, 401);
    let single = DenyAnonymous { always_allow: AllowedPaths::default() };
    let server = start(&all, all.authenticators(), single, Echo, Limits::default()).await;
    assert_eq!(server.ask(Ask::get("/healthz")).await.code, 200);
    let answer = server.ask(Ask::get("/apis/metrics.k8s.io/v1/namespaces/n/pods/p")).await;
    assert_eq!(answer.code, 403);
    assert_eq!(
        answer.json()["message"],
        r#"pods.metrics.k8s.io "p" is forbidden: User "system:anonymous" cannot get resource "pods" in API group "metrics.k8s.io" in the namespace "n""#
    );
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    let answer = server.ask(Ask::get("/metrics").http2()).await;
    assert_eq!(answer.json()["message"], r#"forbidden: User "system:anonymous" cannot get path "/metrics""#);
    let admin = all.clients.issue_client("admin", &[]).unwrap();
    assert_eq!(server.ask(Ask::get("/metrics").identity(&admin)).await.code, 200);
}

#[tokio::test]
async fn tokens_are_checked_after_certificates() {
    let all = authorities();
    let tokens = Arc::new(Tokens::default());
    let server = open(&all, |set| set.tokens = Some(tokens.clone())).await;
    let saw = server.ask(Ask::get(PATH).headers(&[("Authorization", "Bearer good")])).await.json();
    assert_eq!((&saw["user"], &saw["groups"]), (&json!("robot"), &json!(["robots", "system:authenticated"])));
    assert!(!saw["headers"].to_string().contains("authorization"));
    for bad in ["Bearer bad", "Bearer broken"] {
        assert_eq!(server.ask(Ask::get(PATH).headers(&[("Authorization", bad)])).await.code, 401, "{bad}");
    }
    let other_scheme = server.ask(Ask::get(PATH).headers(&[("Authorization", "Basic eDp5")])).await;
    assert_eq!(other_scheme.json()["user"], "system:anonymous");
    let stranger = authorities().clients.issue_client("x", &[]).unwrap();
    let with_token = Ask::get(PATH).identity(&stranger).headers(&[("Authorization", "Bearer good")]).clone();
    assert_eq!(
        server.ask(with_token).await.json()["user"],
        "robot",
        "a bad certificate does not spoil a token"
    );
    let asked = tokens.0.load(Ordering::SeqCst);
    let client = all.clients.issue_client("bob", &[]).unwrap();
    let both = server.ask(Ask::get(PATH).identity(&client).headers(&[("Authorization", "Bearer bad")])).await;
    assert_eq!((both.json()["user"].clone(), tokens.0.load(Ordering::SeqCst)), (json!("bob"), asked));
}

#[tokio::test]
async fn a_rotated_authority_takes_effect_while_running() {
    let all = authorities();
    let server = open(&all, |_| {}).await;
    let old = all.clients.issue_client("bob", &[]).unwrap();
    assert_eq!(server.ask(Ask::get(PATH).identity(&old)).await.code, 200);
    let next = authorities();
    let mut settings = all.authenticators();
    settings.client_ca = Some(ClientCa { bundle: bundle(&next.clients) });
    server.live.set(settings);
    let new = next.clients.issue_client("bob", &[]).unwrap();
    assert_eq!(server.ask(Ask::get(PATH).identity(&old)).await.code, 401);
    assert_eq!(server.ask(Ask::get(PATH).identity(&new)).await.code, 200);
}

#[tokio::test]
async fn impersonation_asks_the_authorizer() {
    let all = authorities();
    let server = open(&all, |_| {}).await;
    let admin = all.clients.issue_client("admin", &[]).unwrap();
    let headers = [("Impersonate-User", "carol"), ("Impersonate-Group", "dev")];
    let saw = server.ask(Ask::get(PATH).identity(&admin).headers(&headers)).await.json();
    assert_eq!((&saw["user"], &saw["groups"]), (&json!("carol"), &json!(["dev", "system:authenticated"])));
    let single = start(&all, all.authenticators(), DenyAnonymous::default(), Echo, Limits::default()).await;
    let answer = single.ask(Ask::get("/healthz").headers(&headers)).await;
    assert_eq!(answer.code, 403);
    assert!(answer.text.contains("cannot impersonate resource"), "{}", answer.text);
}
