#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test: listens and starts servers")]
//! The whole way: pods watched at an API server, a sweep over a captured machine, and the answer over TLS.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyball_apiserver::own_metrics::{OwnMetrics, ServerMetrics};
use flyball_apiserver::{
    Authenticators, CaBundle, CertificateAuthority, ClientCa, DenyAnonymous, Handler, Issued, Limits,
    LiveAuthenticators, Request, Response, Server, ServingTls, full, serve, stream,
};
use flyball_collector::name_source::{Clients, NameSource};
use flyball_collector::{Config, Security, SourceChoice, run_with};
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Lists the pods of a captured machine, then keeps every watch open in silence.
struct Pods(Vec<serde_json::Value>);

impl Handler for Pods {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        let query = request.query();
        assert_eq!(request.path(), "/api/v1/pods");
        assert_eq!(query.first("fieldSelector"), Some("spec.nodeName=node1"));
        let mut response = http::Response::new(if query.flag("watch") {
            stream(futures_util::stream::pending())
        } else {
            let list = serde_json::json!({
                "kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": self.0,
            });
            full(list.to_string())
        });
        let json = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, json);
        Box::pin(std::future::ready(response))
    }
}

struct Trust(CertificateAuthority);

impl Trust {
    fn security(&self) -> Security {
        let issued = self.0.issue_server(&["localhost"], &[Ipv4Addr::LOCALHOST.into()]).unwrap();
        let bundle = CaBundle::from_pem(&self.0.certificate_pem(), "test").unwrap();
        let authenticators = Authenticators {
            client_ca: Some(ClientCa { bundle }),
            anonymous: true,
            ..Authenticators::default()
        };
        Security {
            tls: ServingTls::new(issued.resolver().unwrap()),
            authenticators: LiveAuthenticators::new(authenticators),
            authorizer: Arc::new(DenyAnonymous::default()),
            ..Security::closed(ServingTls::new(issued.resolver().unwrap()))
        }
    }

    fn client(&self, port: u16, identity: Option<&Issued>) -> kube::Client {
        let mut config = kube::Config::new(format!("https://127.0.0.1:{port}").parse().unwrap());
        let pem = self.0.certificate_pem();
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        config.root_cert = Some(vec![STANDARD.decode(body).unwrap()]);
        if let Some(identity) = identity {
            config.auth_info = serde_json::from_value(serde_json::json!({
                "client-certificate-data": STANDARD.encode(&identity.certificate_pem),
                "client-key-data": STANDARD.encode(&identity.key_pem),
            }))
            .unwrap();
        }
        kube::Client::try_from(config).unwrap()
    }
}

async fn get(client: &kube::Client, path: &str, accept: &str) -> (http::response::Parts, String) {
    let request =
        http::Request::get(path).header("accept", accept).body(kube::client::Body::empty()).unwrap();
    let (parts, body) = client.send(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scraper_gets_named_series_of_the_last_sweep() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let machine = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v2-systemd-crio");
    let pods = serde_json::from_str(&std::fs::read_to_string(machine.join("pods.json")).unwrap()).unwrap();
    let trust = Trust(CertificateAuthority::new("test").unwrap());
    let identity = trust.0.issue_client("scraper", &["scrapers"]).unwrap();
    let shutdown = CancellationToken::new();

    let (api_listener, api_port) = listener().await;
    let security = trust.security();
    let api = Arc::new(Server {
        tls: security.tls,
        authenticators: security.authenticators,
        authorizer: security.authorizer,
        handler: Arc::new(Pods(pods)),
        limits: Limits::default(),
        metrics: ServerMetrics::register(&OwnMetrics::new()),
    });
    let api = tokio::spawn(serve(api_listener, api, shutdown.clone()));

    let (listener, port) = listener().await;
    let config = Config {
        source: SourceChoice::Tree(machine.clone()),
        proc_root: machine.join("proc"),
        interval: Duration::from_millis(20),
        ..Config::new("node1")
    };
    let names_from = trust.client(api_port, Some(&identity));
    let collector = tokio::spawn(run_with(
        config,
        Clients { api: Some(names_from), kubelet: None },
        listener,
        trust.security(),
        shutdown.clone(),
    ));

    let scraper = trust.client(port, Some(&identity));
    let named = async {
        loop {
            let answer = get(&scraper, "/metrics/resource", "text/plain").await;
            if answer.1.contains("container_cpu_usage_seconds_total{") {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let (parts, body) = tokio::time::timeout(Duration::from_secs(20), named).await.unwrap();
    assert_eq!(parts.headers["flyball-sweep-interval-ms"], "20");
    assert_eq!(parts.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(body.contains(
        r#"container_cpu_usage_seconds_total{container="app",namespace="shop",pod="web-5d9"} 5.000001 "#
    ));

    let (parts, body) =
        get(&scraper, "/metrics/resource", "application/openmetrics-text; version=1.0.0").await;
    assert!(parts.headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    assert!(body.ends_with("# EOF\n"));

    let (parts, body) = get(&scraper, "/metrics", "text/plain").await;
    assert_eq!(parts.status, 200);
    for name in [
        "sweep_duration_seconds_bucket",
        "missed_ticks_total",
        "read_errors_total{kind=\"denied\"} 0",
        "groups{kind=\"container\"} 4",
        "events_total{kind=\"oom_kill\"} 0",
        "history_depth_sweeps 900",
        "history_size_bytes",
        "stage_cpu_seconds_total{stage=\"read\"} 0.",
        "stage_system_calls_total{stage=\"slow\"} ",
        "stage_read_bytes_total{stage=\"discover\"} ",
        "stage_lateness_seconds_bucket{le=\"1\",stage=\"sweep\"}",
        "api_server_watches{of=\"pods\"} 1",
        "api_server_watches{of=\"client_ca\"} 0",
        "name_source{source=\"watch of this node's pods\"} 1",
    ] {
        assert!(body.contains(&format!("flyball_collector_{name}")), "{name}\n{body}");
    }

    let (parts, body) = get(&scraper, "/metrics/node", "text/plain").await;
    assert_eq!(parts.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(body.contains("\nnode_memory_MemTotal_bytes ") && body.contains("node_scrape_collector_success"));
    let (parts, body) = get(&scraper, "/metrics/node", "application/openmetrics-text; version=1.0.0").await;
    assert!(parts.headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    assert!(body.ends_with("# EOF\n"));
    for path in ["/metrics/node", "/metrics/resource", "/metrics/cadvisor", "/metrics", "/stats/summary"] {
        let zipped = http::Request::get(path).header("accept-encoding", "gzip");
        let zipped = scraper.send(zipped.body(kube::client::Body::empty()).unwrap()).await.unwrap();
        assert_eq!(zipped.headers()["content-encoding"], "gzip", "{path}");
    }
    let cadvisor = "/metrics/cadvisor";
    let (parts, body) = get(&scraper, cadvisor, "application/openmetrics-text; version=1.0.0").await;
    assert!(parts.headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    assert!(
        body.ends_with("# EOF\n") && body.contains("container_cpu_usage_seconds_total{container=\"app\"")
    );

    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let (parts, body) =
        get(&scraper, "/stats/history?pod=shop/web-5d9&container=app&window=1m&step=1s", "*/*").await;
    assert_eq!(
        (parts.status.as_u16(), &parts.headers["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    let instance = &json(&body)["instances"][0];
    assert_eq!(instance["isRunning"], true);
    assert!(instance["memory"]["workingSet"]["maxBytes"].as_u64().unwrap() > 0, "{instance:#}");
    let (parts, body) = get(&scraper, "/stats/history?window=x", "*/*").await;
    assert_eq!(parts.status, 400);
    assert!(json(&body)["error"].as_str().unwrap().contains("parameter window"), "{body}");
    assert_eq!(get(&scraper, "/stats/history?pod=shop/nobody", "*/*").await.0.status, 404);
    let (parts, body) = get(&scraper, "/stats/events", "*/*").await;
    assert_eq!(
        (parts.status.as_u16(), json(&body)),
        (200, serde_json::json!({"node": "node1", "events": []}))
    );

    let of_app = "metric=container_cpu_usage_seconds_total&pod=shop/web-5d9&container=app";
    let (parts, body) = get(&scraper, &format!("/stats/explain?{of_app}"), "*/*").await;
    assert_eq!(
        (parts.status.as_u16(), &json(&body)["readings"][1]["value"]),
        (200, &5.000_001.into()),
        "{body}"
    );
    assert_eq!(get(&scraper, "/stats/explain?metric=nothing", "*/*").await.0.status, 404);

    let stranger = trust.client(port, None);
    for (path, status) in [
        ("/metrics/resource", 403),
        ("/metrics/node", 403),
        ("/metrics/cadvisor", 403),
        ("/stats/summary", 403),
        ("/nothing", 403),
        ("/metrics", 403),
        ("/stats/history", 403),
        ("/stats/events", 403),
        ("/stats/explain", 403),
        ("/healthz", 200),
        ("/livez", 200),
        ("/readyz", 200),
    ] {
        assert_eq!(get(&stranger, path, "*/*").await.0.status, status, "{path}");
    }
    assert_eq!(get(&scraper, "/nothing", "*/*").await.0.status, 404);

    shutdown.cancel();
    collector.await.unwrap().unwrap();
    api.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_that_hangs_delays_no_answer_and_shows() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let machine = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v2-systemd-crio");
    let trust = Trust(CertificateAuthority::new("test").unwrap());
    let identity = trust.0.issue_client("scraper", &["scrapers"]).unwrap();
    let shutdown = CancellationToken::new();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("runtime.sock");
    // Takes connections, and never says a word.
    let _runtime = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let (listener, port) = listener().await;
    let config = Config {
        source: SourceChoice::Tree(machine.clone()),
        proc_root: machine.join("proc"),
        interval: Duration::from_millis(20),
        names: vec![NameSource::Cri(Some(socket))],
        ..Config::new("node1")
    };
    let collector =
        tokio::spawn(run_with(config, Clients::default(), listener, trust.security(), shutdown.clone()));
    let scraper = trust.client(port, Some(&identity));
    let shows = async {
        loop {
            let (parts, body) = get(&scraper, "/metrics/resource", "text/plain").await;
            assert_eq!(parts.status, 200);
            let (_, own) = get(&scraper, "/metrics", "text/plain").await;
            let errors = own
                .lines()
                .find_map(|line| line.strip_prefix("flyball_collector_name_errors_total "))
                .and_then(|count| count.parse::<u64>().ok());
            if errors.is_some_and(|errors| errors > 0) {
                return (body, own);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (body, own) = tokio::time::timeout(Duration::from_secs(30), shows).await.unwrap();
    assert!(
        body.contains("\nnode_cpu_usage_seconds_total ")
            && !body.contains("\ncontainer_cpu_usage_seconds_total{")
    );
    assert!(own.contains("flyball_collector_api_server_watches{of=\"pods\"} 0"), "{own}");
    assert!(!own.contains("flyball_collector_unnamed_containers 0\n"), "{own}");
    shutdown.cancel();
    collector.await.unwrap().unwrap();
}
