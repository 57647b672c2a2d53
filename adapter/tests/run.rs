//! The whole server over TLS: discovery in both forms, OpenAPI, probes, own metrics, who is let in.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test with servers of its own")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{CONFIG, SERIES, Simulated, file, prometheus};
use flyball_adapter::{ServerSettings, Settings, run};
use flyball_apiserver::delegation::Flags;
use flyball_apiserver::standard::VersionInfo;
use flyball_apiserver::{AllowedPaths, DenyAnonymous, Generic, TokenVerifier, User};
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

struct OneToken;

impl TokenVerifier for OneToken {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<User>, String>> {
        let user = (token == "good").then(|| User::new("hpa", ["system:serviceaccounts"]));
        Box::pin(std::future::ready(Ok(user)))
    }
}

fn client(url: &str, token: Option<&str>) -> kube::Client {
    let mut config = kube::Config::new(url.parse().unwrap());
    config.accept_invalid_certs = true;
    config.default_retry = false;
    config.auth_info.token = token.map(|token| token.to_owned().into());
    kube::Client::try_from(config).unwrap()
}

async fn get(client: &kube::Client, path: &str) -> Result<String, kube::Error> {
    client.request_text(http::Request::get(path).body(Vec::new()).unwrap()).await
}

async fn json(client: &kube::Client, path: &str) -> Value {
    serde_json::from_str(&get(client, path).await.unwrap()).unwrap()
}

#[tokio::test]
async fn serves_and_drains() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let simulated = Simulated::of(SERIES).await;
    let (_folder, path) = file(CONFIG);
    let sources = vec![prometheus("prom", &simulated.url)];
    let adapter = common::unlooked(Settings { sources, config: Some(path), ..Settings::default() }).unwrap();
    let generic = Generic {
        authentication: Flags {
            anonymous: true,
            skip_lookup: true,
            tokens: Some(Arc::new(OneToken)),
            ..Flags::default()
        },
        authorizer: Some(Arc::new(DenyAnonymous {
            always_allow: AllowedPaths::new(["/healthz", "/livez", "/readyz"]),
        })),
        ..Generic::default()
    };
    let server = ServerSettings { generic, version: VersionInfo::new(1, 34, "") };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let nobody = client("http://127.0.0.1:1", None);
    let running = tokio::spawn(run(adapter, server, nobody, listener, stop.clone()));
    let (known, unknown) = (client(&url, Some("good")), client(&url, None));
    let story = async {
        while get(&unknown, "/readyz").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for path in [
            "/apis/custom.metrics.k8s.io/v1beta1",
            "/metrics",
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/jobs_waiting",
        ] {
            let error = get(&unknown, path).await.unwrap_err();
            assert!(
                matches!(&error, kube::Error::Api(status) if [401, 403].contains(&status.code)),
                "{path}: {error}"
            );
        }
        let groups = json(&known, "/apis").await;
        let names: Vec<_> = groups["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|group| group["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["custom.metrics.k8s.io", "external.metrics.k8s.io"]);
        for version in ["v1beta1", "v1beta2"] {
            loop {
                let list = json(&known, &format!("/apis/custom.metrics.k8s.io/{version}")).await;
                let resources = list["resources"].as_array().unwrap().clone();
                if let Some(found) = resources.iter().find(|one| one["name"] == "pods/http_requests") {
                    assert_eq!(
                        (&found["kind"], &found["verbs"]),
                        (&"MetricValueList".into(), &serde_json::json!(["get"]))
                    );
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let request = http::Request::get("/apis").header("accept", accept).body(Vec::new()).unwrap();
        let aggregated = known.request_text(request).await.unwrap();
        assert!(
            aggregated.contains("APIGroupDiscoveryList") && aggregated.contains("pods/http_requests"),
            "{aggregated}"
        );
        let openapi = json(&known, "/openapi/v3").await;
        assert!(openapi["paths"]["apis/external.metrics.k8s.io/v1beta1"].is_object(), "{openapi}");
        let values =
            json(&known, "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/*/http_requests").await;
        assert_eq!(values["items"].as_array().unwrap().len(), 2);
        for path in [
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/*/invented",
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/invented/*/http_requests",
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/*/invented?labelSelector=%3D",
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/invented",
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/invented?labelSelector=%3D",
        ] {
            assert!(get(&known, path).await.is_err(), "{path}");
        }
        let page = get(&known, "/metrics").await.unwrap();
        let invented = page.lines().find(|line| line.contains("invented"));
        assert_eq!(invented, None, "the page keeps no names of metrics that there are not");
        for name in [
            "prometheus_adapter_prometheus_client_request_duration_seconds_count{path=\"/api/v1/query\",server=\"prom\"} 1",
            "metrics_apiserver_metric_freshness_seconds_count{group=\"custom.metrics.k8s.io\"} 1",
            "apiserver_request_total{",
        ] {
            assert!(page.contains(name), "{name} in {page}");
        }
        assert!(get(&known, "/readyz?verbose").await.unwrap().contains("[+]metrics-listed ok"));
        let error = get(&known, "/apis/metrics.k8s.io/v1beta1/pods").await.unwrap_err();
        assert!(matches!(error, kube::Error::Api(_)));
    };
    tokio::time::timeout(Duration::from_secs(60), story).await.expect("the story ends");
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(30), running).await.expect("it drains").unwrap().unwrap();
}
