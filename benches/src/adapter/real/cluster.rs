//! An API server of the least that adapters ask for: discovery of the core group, pods (all of them in pages, and those of a
//! namespace by labels), watches in which nothing happens, the authentication settings, reviews that believe everybody.

#![allow(clippy::disallowed_methods, reason = "a server of a benchmark")]

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use flyball_apiserver::Query;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::world::{Pod, World};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// It serves until the process ends.
pub(super) struct Cluster {
    url: String,
}

impl Cluster {
    pub(super) async fn start() -> anyhow::Result<Cluster> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let pods: Arc<Vec<Pod>> = Arc::new(World::pods().collect());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let pods = pods.clone();
                let service = service_fn(move |request| answer(pods.clone(), request));
                tokio::spawn(async move {
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    // A connection that breaks off is the adapter's end.
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Cluster { url })
    }

    pub(super) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": {"token": "secret"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]
        })
        .to_string()
    }
}

async fn answer(pods: Arc<Vec<Pod>>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query().unwrap_or(""));
    let metadata_only = parts
        .headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains("PartialObjectMetadata")));
    let segments: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
    if query.first("sendInitialEvents").is_some() {
        return Ok(failure(StatusCode::UNPROCESSABLE_ENTITY, "sendInitialEvents is forbidden"));
    }
    if query.flag("watch") {
        let silence = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
        return Ok(Response::new(StreamBody::new(silence).boxed_unsync()));
    }
    Ok(match segments.as_slice() {
        ["version"] => found(&json!({"major": "1", "minor": "34", "gitVersion": "v1.34.0"})),
        ["api"] => found(&json!({"kind": "APIVersions", "versions": ["v1"]})),
        ["apis"] => found(&json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})),
        ["api", "v1"] => found(&core()),
        ["api", "v1", "pods"] => page(&pods, &query),
        ["api", "v1", "namespaces", namespace, "pods"] => selected(&pods, namespace, &query, metadata_only),
        ["apis", "authentication.k8s.io", "v1", "tokenreviews"] => {
            review(body, json!({"authenticated": true, "user": {"username": "bench", "groups": ["all"]}}))
                .await
        }
        ["apis", "authorization.k8s.io", "v1", _] => review(body, json!({"allowed": true})).await,
        [.., "configmaps", name] => found(&settings(name)),
        [.., "configmaps"] => found(&json!({"kind": "ConfigMapList", "apiVersion": "v1",
            "metadata": {"resourceVersion": "1"}, "items": [settings("extension-apiserver-authentication")]})),
        _ => failure(StatusCode::NOT_FOUND, "there is no such thing here"),
    })
}

fn core() -> Value {
    let resource = |name: &str, kind: &str, namespaced: bool| {
        json!({"name": name, "singularName": kind.to_lowercase(), "namespaced": namespaced, "kind": kind,
            "verbs": ["get", "list", "watch"]})
    };
    json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [
        resource("pods", "Pod", true), resource("namespaces", "Namespace", false), resource("nodes", "Node", false),
        resource("persistentvolumes", "PersistentVolume", false), resource("services", "Service", true)]})
}

/// `extension-apiserver-authentication`, without authorities: requests show tokens.
fn settings(name: &str) -> Value {
    let metadata = json!({"name": name, "namespace": "kube-system", "resourceVersion": "1"});
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {}})
}

fn object(pod: &Pod, (version, kind): (&str, &str)) -> Value {
    json!({"kind": kind, "apiVersion": version, "metadata": {"name": pod.name, "namespace": pod.namespace,
        "resourceVersion": "1", "labels": {"app": pod.app, "part": pod.part}}})
}

fn page(pods: &[Pod], query: &Query) -> Response<Body> {
    let number = |name: &str| query.first(name).and_then(|text| text.parse::<usize>().ok());
    let from = number("continue").unwrap_or(0).min(pods.len());
    let to = (from + number("limit").filter(|limit| *limit > 0).unwrap_or(500)).min(pods.len());
    let next = if to < pods.len() { to.to_string() } else { String::new() };
    let kind = ("meta.k8s.io/v1", "PartialObjectMetadata");
    let items: Vec<Value> = pods[from..to].iter().map(|pod| object(pod, kind)).collect();
    found(&json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "1", "continue": next}, "items": items}))
}

/// Those with one label, `key=value`.
fn selected(pods: &[Pod], namespace: &str, query: &Query, metadata_only: bool) -> Response<Body> {
    let selector = query.first("labelSelector").unwrap_or("").to_owned();
    let is_selected = |pod: &&Pod| {
        let chosen = match selector.split_once('=') {
            Some(("app", app)) => pod.app == app,
            Some(("part", part)) => pod.part == part,
            _ => true,
        };
        pod.namespace == namespace && chosen
    };
    let (list, kind) = match metadata_only {
        true => {
            (("meta.k8s.io/v1", "PartialObjectMetadataList"), ("meta.k8s.io/v1", "PartialObjectMetadata"))
        }
        false => (("v1", "PodList"), ("v1", "Pod")),
    };
    let items: Vec<Value> = pods.iter().filter(is_selected).map(|pod| object(pod, kind)).collect();
    found(
        &json!({"kind": list.1, "apiVersion": list.0, "metadata": {"resourceVersion": "1"}, "items": items}),
    )
}

async fn review(body: Incoming, status: Value) -> Response<Body> {
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut object: Value = serde_json::from_slice(&body).unwrap_or_else(|_| json!({}));
    object["status"] = status;
    written(StatusCode::CREATED, &object)
}

fn failure(code: StatusCode, message: &str) -> Response<Body> {
    let reason = code.canonical_reason().unwrap_or_default().replace(' ', "");
    written(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason,
        "code": code.as_u16(), "message": message}),
    )
}

fn found(value: &Value) -> Response<Body> {
    written(StatusCode::OK, value)
}

fn written(code: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())).boxed_unsync());
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
