//! The whole server: watches against an API server of a few lines, requests over TLS.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test with servers of its own")]

use std::sync::Arc;
use std::time::Duration;

use flyball_apiserver::delegation::Flags;
use flyball_apiserver::own_metrics::OwnMetrics;
use flyball_apiserver::{AllowedPaths, DenyAnonymous, Generic, LimitedBody, Request, TokenVerifier, User};
use flyball_metrics_server::peers::Peers;
use flyball_metrics_server::{Config, MetricsServer, run};
use flyball_model::batch::{Batch, Outcome, Sink as _};
use flyball_model::sample::Sample;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Lists one node and one pod; a watch of the pods adds one, removes one, and stays open.
async fn api_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    url
}

async fn serve(stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = String::new();
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            request += &line;
        }
        let body = answer(&request);
        let watch = request.contains("watch=true");
        let length = if watch {
            "transfer-encoding: chunked".to_owned()
        } else {
            format!("content-length: {}", body.len())
        };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{length}\r\n\r\n");
        let body = if watch { format!("{:x}\r\n{body}\r\n", body.len()) } else { body };
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        if watch {
            std::future::pending::<()>().await;
        }
    }
}

fn object(name: &str, namespace: Option<&str>, version: &str) -> Value {
    let metadata =
        json!({"name": name, "namespace": namespace, "resourceVersion": version, "labels": {"name": name}});
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
}

fn answer(request: &str) -> String {
    let pods = request.starts_with("GET /api/v1/pods");
    if let Some(by_name) = pod_by_name(request) {
        return by_name;
    }
    assert!(request.contains("PartialObjectMetadata"), "metadata only: {request}");
    if pods {
        assert!(request.contains("fieldSelector=status.phase%3DRunning"), "{request}");
    }
    match (pods, request.contains("watch=true")) {
        (false, false) => list(&[object("n1", None, "1"), object("n2", None, "1")]),
        (false, true) => event("DELETED", &object("n2", None, "4")),
        (true, false) => list(&[object("old", Some("ns"), "2")]),
        (true, true) => {
            event("ADDED", &object("p", Some("ns"), "3")) + &event("DELETED", &object("old", Some("ns"), "4"))
        }
    }
}

/// What a client that wants to know why is told: whole pods, one at a time.
fn pod_by_name(request: &str) -> Option<String> {
    let name = request.split("fieldSelector=metadata.name%3D").nth(1)?.split([' ', '&']).next()?;
    let pod = |phase: &str, node: Option<&str>| json!({"metadata": {"name": name, "namespace": "ns"}, "spec": {"nodeName": node, "containers": []}, "status": {"phase": phase}});
    let items = match name {
        "waiting" => vec![pod("Pending", None)],
        "p" => vec![pod("Running", Some("n3"))],
        _ => Vec::new(),
    };
    Some(json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}).to_string())
}

fn list(items: &[Value]) -> String {
    let kind = "PartialObjectMetadataList";
    json!({"kind": kind, "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "2"}, "items": items}).to_string()
}

fn event(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

fn client(url: &str) -> kube::Client {
    let mut config = kube::Config::new(url.parse().unwrap());
    config.accept_invalid_certs = true;
    kube::Client::try_from(config).unwrap()
}

async fn get(client: &kube::Client, path: &str) -> Result<String, kube::Error> {
    client.request_text(http::Request::get(path).body(Vec::new()).unwrap()).await
}

/// Asks until the answer is as wanted; the test's own time-out ends a hopeless wait.
async fn until(client: &kube::Client, path: &str, wanted: impl Fn(&str) -> bool) -> String {
    loop {
        match get(client, path).await {
            Ok(body) if wanted(&body) => return body,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn measure(server: &MetricsServer, at_ms: i64) {
    let sample = |name: &str, value: f64| Sample {
        name: name.to_owned(),
        labels: Default::default(),
        value,
        timestamp_ms: Some(at_ms),
    };
    let samples = vec![
        sample("node_cpu_usage_seconds_total", at_ms as f64 / 1e4),
        sample("node_memory_working_set_bytes", 1024.0),
    ];
    let outcome = Outcome::Scraped { samples: samples.into(), sweep_interval_ms: Some(1000) };
    let now_ms =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let batch = |node: &str| Batch {
        node: node.to_owned(),
        started_ms: now_ms,
        finished_ms: now_ms,
        outcome: outcome.clone(),
    };
    for node in ["n1", "n2"] {
        server.store().accept(&batch(node));
    }
}

#[tokio::test]
async fn watches_serves_and_drains() {
    let config = Config {
        server: Generic {
            authentication: Flags { anonymous: true, skip_lookup: true, ..Flags::default() },
            authorizer: Some(Arc::new(DenyAnonymous {
                always_allow: AllowedPaths::new(["/readyz", "/metrics"]),
            })),
            ..Generic::default()
        },
        ..Config::default()
    };
    let server = MetricsServer::new(config, OwnMetrics::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = client(&format!("https://{}", listener.local_addr().unwrap()));
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(run(server.clone(), client(&api_server().await), listener, shutdown.clone()));
    let patience = Duration::from_secs(30);
    let story = async {
        let cluster = server.cluster();
        until(&own, "/metrics", |_| cluster.pod_labels("ns", "p").is_some()).await;
        until(&own, "/metrics", |_| cluster.pod_labels("ns", "old").is_none() && !cluster.has_node("n2"))
            .await;
        assert_eq!(cluster.pod_labels("ns", "p").unwrap()["name"], "p");
        assert!(get(&own, "/readyz").await.is_err(), "no data yet");
        measure(&server, 1_700_000_000_000);
        measure(&server, 1_700_000_001_000);
        let page =
            until(&own, "/metrics", |page| page.contains("metrics_server_storage_points{type=\"node\"}"))
                .await;
        assert!(page.contains("apiserver_request_total"), "{page}");
        match get(&own, "/apis/metrics.k8s.io/v1/nodes").await {
            Err(kube::Error::Api(status)) => assert_eq!(status.code, 403, "{status:?}"),
            other => panic!("anonymous requests are refused: {other:?}"),
        }
        let handler = server.handler(":1");
        let unreported = "podmetrics.metrics.k8s.io \"ns/p\" not found: node n3 has not been scraped yet";
        for (pod, expected) in [
            ("gone", "pods \"gone\" not found"),
            (
                "waiting",
                "pods \"waiting\" not found: it is in phase Pending, and only running pods are measured",
            ),
            ("p", unreported),
        ] {
            let path = format!("/apis/metrics.k8s.io/v1/namespaces/ns/pods/{pod}");
            let (parts, ()) = http::Request::builder().uri(path).body(()).unwrap().into_parts();
            let body = LimitedBody::from_bytes(Vec::new());
            let answer = handler.handle(Request::new(parts, User::new("bob", ["g"]), body)).await;
            let bytes = answer.into_body().collect().await.unwrap().to_bytes();
            let status: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!((status["code"].clone(), status["message"].clone()), (json!(404), json!(expected)));
        }
    };
    tokio::time::timeout(patience, story).await.unwrap();
    shutdown.cancel();
    tokio::time::timeout(patience, running).await.unwrap().unwrap().unwrap();
}

/// Takes one token, for one account.
struct PeerToken;

impl TokenVerifier for PeerToken {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<User>, String>> {
        let user = (token == "of-a-peer").then(|| User::new("metrics-server", ["g"]));
        Box::pin(std::future::ready(Ok(user)))
    }
}

fn replica(peers: Option<Peers>) -> Arc<MetricsServer> {
    let config = Config {
        server: Generic {
            authentication: Flags {
                anonymous: true,
                skip_lookup: true,
                tokens: Some(Arc::new(PeerToken)),
                ..Flags::default()
            },
            authorizer: Some(Arc::new(DenyAnonymous { always_allow: AllowedPaths::new(["/readyz"]) })),
            ..Generic::default()
        },
        peers,
        ..Config::default()
    };
    MetricsServer::new(config, OwnMetrics::new())
}

#[tokio::test]
async fn a_new_replica_takes_over_the_points_of_one_that_runs() {
    let api = api_server().await;
    let shutdown = CancellationToken::new();
    let listener = || TcpListener::bind("127.0.0.1:0");
    let (old_listener, new_listener) = (listener().await.unwrap(), listener().await.unwrap());
    let folder = std::env::temp_dir().join(format!("flyball-peers-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let token = folder.join("token");
    std::fs::write(&token, "of-a-peer\n").unwrap();
    let address = old_listener.local_addr().unwrap().to_string();
    let peers = Peers { address: address.clone(), token, authority: None };
    let old = replica(None);
    let now_ms =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    measure(&old, now_ms - 2000);
    measure(&old, now_ms - 1000);
    let old_url = format!("https://{address}");
    let serving = tokio::spawn(run(old, client(&api), old_listener, shutdown.clone()));
    let new = replica(Some(peers));
    let taking = tokio::spawn(run(new.clone(), client(&api), new_listener, shutdown.clone()));
    let story = async {
        match get(&client(&old_url), "/peer/points").await {
            Err(kube::Error::Api(status)) => assert_eq!(status.code, 403, "nobody may ask without a token"),
            other => panic!("{other:?}"),
        }
        while new.store().node("n1", now_ms).is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), story).await.unwrap();
    shutdown.cancel();
    for task in [serving, taking] {
        task.await.unwrap().unwrap();
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
