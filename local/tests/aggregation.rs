//! A group that another server stands behind: found, asked with the caller's identity, and never in the way of others.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "starts servers")]

mod support;

use std::sync::Arc;

use flyball_apiserver::authentication::{Authenticators, CaBundle, FrontProxy};
use flyball_apiserver::authorization::{ALWAYS_ALLOW_PATHS, AllowedPaths, DenyAnonymous};
use flyball_apiserver::discovery::{Discovery, Group, Resource, Version};
use flyball_apiserver::live::Live;
use flyball_apiserver::openapi::OpenApi;
use flyball_apiserver::own_metrics::{OwnMetrics, ServerMetrics};
use flyball_apiserver::probes::Probes;
use flyball_apiserver::request::{Handler, Request, Response};
use flyball_apiserver::serve::{Limits, Server, ServingTls};
use flyball_apiserver::standard::{Standard, VersionInfo};
use flyball_local::registry::kinds::{APISERVICES, ENDPOINTSLICES, SERVICES};
use flyball_local::registry::{Part, WatchStream, json};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use support::Cluster;
use tokio_util::sync::CancellationToken;

/// Answers every request for a resource with who asked for what.
struct Echo;

impl Handler for Echo {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        let path = request.parts.uri.to_string();
        let answer =
            json!({"kind": "Echo", "user": request.user.name, "groups": request.user.groups, "path": path});
        Box::pin(std::future::ready(request.respond().object(http::StatusCode::OK, &answer)))
    }
}

/// A server of the group `echo.example.org` that trusts the cluster's front proxy. Returns its port.
async fn backend(cluster: &Cluster) -> u16 {
    let resource = Resource::new("echoes", "Echo", false, &["get", "list"]);
    let groups = [Group::new("echo.example.org", [Version::new("v1", [resource])])];
    let metrics = OwnMetrics::new();
    let handler = Standard {
        discovery: Live::new(Discovery::new(&groups, "")),
        openapi: Live::new(OpenApi::new(
            "echo",
            [("apis/echo.example.org/v1".to_owned(), json!({"openapi": "3.0.0"}))].into(),
        )),
        version: VersionInfo::new(1, 33, ""),
        probes: Probes::new(),
        metrics: metrics.clone(),
        inner_groups: None,
        inner_paths: Vec::new(),
        inner: Arc::new(Echo),
    };
    let proxy =
        CaBundle::from_pem(&cluster.identity.front_proxy_ca.certificate_pem(), "front proxy").unwrap();
    let certificate = cluster.identity.ca.issue_server(&["echo.default.svc"], &[]).unwrap();
    let server = Server {
        tls: ServingTls::new(certificate.resolver().unwrap()),
        authenticators: Live::new(Authenticators {
            front_proxy: Some(FrontProxy::standard(proxy)),
            anonymous: true,
            ..Authenticators::default()
        }),
        authorizer: Arc::new(DenyAnonymous { always_allow: AllowedPaths::new(ALWAYS_ALLOW_PATHS) }),
        handler: Arc::new(handler),
        limits: Limits::default(),
        metrics: ServerMetrics::register(&metrics),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(flyball_apiserver::serve(listener, Arc::new(server), CancellationToken::new()));
    port
}

fn describe(cluster: &Cluster, port: u16) {
    use base64::Engine;
    let registry = &cluster.registry;
    let service = json!({"metadata": {"name": "echo"}, "spec": {"ports": [{"port": 443, "name": "https"}]}});
    registry.create(&SERVICES, "default", service).unwrap();
    let slice = json!({"metadata": {"name": "echo-1", "labels": {"kubernetes.io/service-name": "echo"}},
        "addressType": "IPv4", "ports": [{"name": "https", "port": port}],
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}]});
    registry.create(&ENDPOINTSLICES, "default", slice).unwrap();
    let bundle = base64::engine::general_purpose::STANDARD.encode(cluster.identity.ca.certificate_pem());
    let api_service = json!({"metadata": {"name": "v1.echo.example.org"}, "spec": {"group": "echo.example.org",
        "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100, "caBundle": bundle,
        "service": {"namespace": "default", "name": "echo"}}});
    registry.create(&APISERVICES, "", api_service).unwrap();
}

/// Waits until the condition says so.
async fn available(watch: &mut WatchStream, wanted: &str) -> Value {
    loop {
        let event = watch.next().await.unwrap().unwrap();
        let condition = event.object.pointer("/status/conditions/0").cloned().unwrap_or_default();
        if json::text(&condition, "/status") == wanted {
            return condition;
        }
    }
}

async fn get(cluster: &Cluster, path: &str) -> Result<Value, u16> {
    let request = http::Request::get(path).header("x-remote-user", "forged").body(Vec::new()).unwrap();
    match cluster.client().request(request).await {
        Ok(answer) => Ok(answer),
        Err(kube::Error::Api(status)) => Err(status.code),
        Err(error) => panic!("{path}: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_behind_the_server() {
    let cluster = Cluster::start().await;
    let mut watch = cluster.registry.watch(&APISERVICES, None, None).unwrap();
    let port = backend(&cluster).await;
    describe(&cluster, port);
    assert_eq!(json::text(&available(&mut watch, "True").await, "/reason"), "Passed");

    let answer = get(&cluster, "/apis/echo.example.org/v1/echoes?a=b%20c").await.unwrap();
    assert_eq!(answer["user"], "kubernetes-admin");
    assert!(json::items(&answer, "/groups").contains(&json!("system:masters")));
    assert!(json::text(&answer, "/path").ends_with("/apis/echo.example.org/v1/echoes?a=b%20c"), "{answer}");

    // Available means: everything said about the group can be read already.
    let groups = get(&cluster, "/apis").await.unwrap().to_string();
    assert!(groups.contains("echo.example.org"), "{groups}");
    let index = get(&cluster, "/openapi/v3").await.unwrap();
    assert!(index["paths"].get("apis/echo.example.org/v1").is_some(), "{index}");

    let none_ready = |slice: &mut Value| slice["endpoints"][0]["conditions"]["ready"] = false.into();
    cluster.registry.modify(&ENDPOINTSLICES, "default", "echo-1", Part::Spec, none_ready).unwrap();
    assert_eq!(json::text(&available(&mut watch, "False").await, "/reason"), "MissingEndpoints");
    assert_eq!(get(&cluster, "/apis/echo.example.org/v1/echoes").await, Err(503));
    assert!(get(&cluster, "/apis/apps/v1").await.is_ok());
    assert_eq!(get(&cluster, "/apis/other.example.org/v1/things").await, Err(404));
}
