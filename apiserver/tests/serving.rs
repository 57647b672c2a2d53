//! How the server treats requests and connections: headers, limits, faults, draining.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests open sockets and may panic")]
#![allow(missing_docs, dead_code, reason = "helpers are shared between test programs")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Ask, Authorities, Echo, Running, authorities, start};
use flyball_apiserver::discovery::{Discovery, Group, Resource, Version};
use flyball_apiserver::openapi::OpenApi;
use flyball_apiserver::own_metrics::OwnMetrics;
use flyball_apiserver::probes::Probes;
use flyball_apiserver::standard::{Standard, VersionInfo};
use flyball_apiserver::{DenyAnonymous, Handler, Issued, Limits, Live, Request, Response, stream};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use tokio::sync::Notify;

async fn open(all: &Authorities, handler: impl Handler, limits: Limits) -> (Running, Issued) {
    let server = start(all, all.authenticators(), DenyAnonymous::default(), handler, limits).await;
    (server, all.clients.issue_client("admin", &[]).unwrap())
}

const PATH: &str = "/apis/metrics.k8s.io/v1/nodes";

#[tokio::test]
async fn every_answer_has_an_audit_id_and_is_not_cached() {
    let all = authorities();
    let (server, admin) = open(&all, Echo, Limits::default()).await;
    let answer = server.ask(Ask::get(PATH).identity(&admin).headers(&[("Audit-Id", "mine")])).await;
    assert_eq!(
        (&answer.headers["audit-id"], &answer.headers["cache-control"]),
        (&"mine".parse().unwrap(), &"no-cache, private".parse().unwrap())
    );
    let refused = server.ask(Ask::get(PATH)).await;
    assert_eq!((refused.code, refused.headers["audit-id"].len()), (403, 36));
    let head = server.ask(Ask { method: "HEAD", ..Ask::get(PATH).identity(&admin) }).await;
    assert_eq!((head.code, head.text.as_str()), (200, ""));
    assert_ne!(head.headers["content-length"], "0");
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_connection_lives_on() {
    let all = authorities();
    let (server, admin) = open(&all, Echo, Limits::default()).await;
    for http2 in [false, true] {
        let answer = server.ask(Ask { http2, ..Ask::get("/panic").identity(&admin) }).await;
        assert_eq!((answer.code, answer.json()["reason"].clone()), (500, "InternalError".into()));
    }
    assert_eq!(server.ask(Ask::get(PATH).identity(&admin)).await.code, 200);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_504() {
    let all = authorities();
    let limits = Limits { request: Duration::from_millis(20), ..Limits::default() };
    let (server, admin) = open(&all, Echo, limits).await;
    let answer = server.ask(Ask::get("/forever").identity(&admin)).await;
    assert_eq!((answer.code, answer.json()["reason"].clone()), (504, "Timeout".into()));
}

/// A proxy states each group of a user in a header of its own.
#[tokio::test]
async fn headers_are_limited_by_their_bytes() {
    let all = authorities();
    let (server, admin) = open(&all, Echo, Limits::default()).await;
    let names: Vec<String> = (0..500).map(|number| format!("x-{number}")).collect();
    let headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "value")).collect();
    for http2 in [false, true] {
        let ask = Ask { http2, headers: &headers, ..Ask::get(PATH).identity(&admin) };
        assert_eq!(server.ask(ask).await.code, 200, "{http2}");
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_413() {
    let all = authorities();
    let limits = Limits { body_bytes: 10, ..Limits::default() };
    let (server, admin) = open(&all, Echo, limits).await;
    for (size, code) in [(10, 200), (11, 413)] {
        let body = Bytes::from(vec![b'x'; size]);
        let answer = server.ask(Ask { method: "POST", body, ..Ask::get(PATH).identity(&admin) }).await;
        assert_eq!(answer.code, code, "{answer:?}");
    }
}

#[tokio::test]
async fn too_many_requests_in_flight_are_429_but_not_for_masters() {
    let all = authorities();
    let limits = Limits { reads_in_flight: 0, ..Limits::default() };
    let (server, admin) = open(&all, Echo, limits).await;
    let answer = server.ask(Ask::get(PATH).identity(&admin)).await;
    assert_eq!((answer.code, &answer.headers["retry-after"]), (429, &"1".parse().unwrap()));
    assert_eq!(answer.text, "Too many requests, please try again later.\n");
    let master = all.clients.issue_client("root", &["system:masters"]).unwrap();
    assert_eq!(server.ask(Ask::get(PATH).identity(&master)).await.code, 200);
    let write = Ask { method: "POST", ..Ask::get(PATH).identity(&admin) };
    assert_eq!(server.ask(write).await.code, 200, "writes have their own limit");
}

/// Answers with more than a connection holds on its way.
struct Large;

impl Handler for Large {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        let size = if request.path().ends_with("/large") { 64 << 20 } else { 1 };
        Box::pin(std::future::ready(http::Response::new(flyball_apiserver::full(vec![b'x'; size]))))
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_keeps_nobody_out() {
    let all = authorities();
    for http2 in [false, true] {
        let (request, send) = (Duration::from_millis(500), Duration::ZERO);
        let limits = Limits { reads_in_flight: 1, request, send, ..Limits::default() };
        let (server, admin) = open(&all, Large, limits).await;
        let path = format!("{PATH}/large");
        let unread = server.send(Ask { http2, ..Ask::get(&path).identity(&admin) }).await;
        let patience = async {
            while server.ask(Ask::get(PATH).identity(&admin)).await.code == 429 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), patience).await.unwrap();
        let rest = tokio::time::timeout(Duration::from_secs(60), unread.into_body().collect()).await.unwrap();
        assert!(rest.is_err(), "its connection is broken off");
    }
}

#[tokio::test]
async fn oversized_headers_are_431_and_others_go_on() {
    let all = authorities();
    let limits = Limits { header_bytes: 16 * 1024, ..Limits::default() };
    let (server, admin) = open(&all, Echo, limits).await;
    let long = "x".repeat(64 * 1024);
    for http2 in [false, true] {
        let headers = [("x-long", long.as_str())];
        let ask = Ask { http2, ..Ask::get(PATH).identity(&admin).headers(&headers) };
        match server.try_send(ask).await {
            Ok(answer) => assert_eq!(answer.status().as_u16(), 431, "http2: {http2}"),
            // A client that is still sending may see the end of the connection first.
            Err(error) => assert!(!error.is_timeout(), "{error}"),
        }
        assert_eq!(server.ask(Ask { http2, ..Ask::get(PATH).identity(&admin) }).await.code, 200);
    }
}

#[tokio::test]
async fn connections_above_the_limit_wait_for_their_turn() {
    let all = authorities();
    let (server, admin) = open(&all, Echo, Limits { connections: 2, ..Limits::default() }).await;
    let silent = [
        tokio::net::TcpStream::connect(server.address).await.unwrap(),
        tokio::net::TcpStream::connect(server.address).await.unwrap(),
    ];
    let mut asking = std::pin::pin!(server.ask(Ask::get(PATH).identity(&admin)));
    assert!(tokio::time::timeout(Duration::from_millis(300), asking.as_mut()).await.is_err());
    drop(silent);
    assert_eq!(asking.await.code, 200);
}

/// `/slow` says when it began and answers when told to; a watch writes one line and then stays open.
#[derive(Clone, Default)]
struct Slow {
    began: Arc<Notify>,
    release: Arc<Notify>,
}

impl Handler for Slow {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            if request.attributes.verb == "watch" {
                let first = futures_util::stream::iter([Ok(Bytes::from("first\n"))]);
                return http::Response::new(stream(first.chain(futures_util::stream::pending())));
            }
            self.began.notify_one();
            self.release.notified().await;
            http::Response::new(flyball_apiserver::full("done"))
        })
    }
}

#[tokio::test]
async fn draining_finishes_requests_and_ends_watches() {
    let all = authorities();
    for http2 in [false, true] {
        let slow = Slow::default();
        let (server, admin) = open(&all, slow.clone(), Limits::default()).await;
        let watch = Ask { http2, ..Ask::get("/apis/metrics.k8s.io/v1/nodes?watch=1").identity(&admin) };
        let mut watch = server.send(watch).await;
        assert_eq!(watch.frame().await.unwrap().unwrap().into_data().unwrap(), "first\n");
        let asking = server.ask(Ask { http2, ..Ask::get("/slow").identity(&admin) });
        let stop = async {
            slow.began.notified().await;
            server.shutdown.cancel();
            let rest = watch.collect().await.unwrap().to_bytes();
            assert_eq!(rest, "", "the watch ended in order");
            slow.release.notify_one();
        };
        let (answer, ()) = tokio::join!(asking, stop);
        assert_eq!((answer.code, answer.text.as_str()), (200, "done"));
        server.task.await.unwrap().unwrap();
        assert!(tokio::net::TcpStream::connect(server.address).await.is_err(), "the listener is closed");
    }
}

#[tokio::test]
async fn what_does_not_end_is_broken_off_after_the_drain_time() {
    let all = authorities();
    let limits = Limits { drain: Duration::from_millis(20), ..Limits::default() };
    let slow = Slow::default();
    let (server, admin) = open(&all, slow.clone(), limits).await;
    let stop = async {
        slow.began.notified().await;
        server.shutdown.cancel();
    };
    let (broken_off, ()) = tokio::join!(server.try_send(Ask::get("/slow").identity(&admin)), stop);
    assert!(broken_off.is_err(), "the client waits until the server breaks off");
    server.task.await.unwrap().unwrap();
}

fn standard() -> Standard {
    let resource = Resource::new("nodes", "NodeMetrics", false, &["get", "list"]);
    let group = Group::new("metrics.k8s.io", [Version::new("v1", [resource])]);
    let document = serde_json::json!({"openapi": "3.0.0"});
    let documents = BTreeMap::from([("apis/metrics.k8s.io/v1".to_owned(), document)]);
    Standard {
        discovery: Live::new(Discovery::new(&[group], ":4443")),
        openapi: Live::new(OpenApi::new("test", documents)),
        version: VersionInfo::new(1, 34, "abc"),
        probes: Probes::new(),
        metrics: OwnMetrics::new(),
        inner_groups: None,
        inner_paths: vec!["/stats/*".into()],
        inner: Arc::new(Echo),
    }
}

#[tokio::test]
async fn the_standard_paths_answer_and_the_rest_goes_on() {
    let all = authorities();
    let (server, admin) = open(&all, standard(), Limits::default()).await;
    for (method, path, code, part) in [
        ("GET", "/", 200, "\"/apis/metrics.k8s.io/v1\""),
        ("GET", "/nothing", 404, "\"paths\": ["),
        ("GET", "/api", 404, "\"paths\": ["),
        ("GET", "/apis", 200, "APIGroupList"),
        ("GET", "/apis/metrics.k8s.io/v1", 200, "APIResourceList"),
        ("GET", "/apis/metrics.k8s.io/v2", 404, "could not find the requested resource"),
        ("GET", "/apis/other/v1", 404, "\"paths\": ["),
        ("HEAD", "/version", 405, ""),
        ("GET", "/openapi/v3", 200, "serverRelativeURL"),
        ("GET", "/version", 200, "\"gitVersion\": \"v1.34.0-flyball."),
        ("GET", "/metrics", 200, "# EOF"),
        ("GET", "/readyz", 200, "ok"),
        ("GET", "/stats/summary", 200, "\"user\":\"admin\""),
        ("GET", PATH, 200, "\"user\":\"admin\""),
        ("POST", "/version", 405, "MethodNotAllowed"),
        ("DELETE", "/apis", 405, "MethodNotAllowed"),
    ] {
        let headers = [("accept", "application/json, application/openmetrics-text;q=0.1")];
        let answer = server.ask(Ask { method, ..Ask::get(path).identity(&admin).headers(&headers) }).await;
        assert_eq!(answer.code, code, "{method} {path}: {}", answer.text);
        assert!(answer.text.contains(part), "{method} {path}: {}", answer.text);
    }
}
