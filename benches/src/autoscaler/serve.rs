//! The simulated API server: HTTP/1.1, the requests that an autoscaler makes and no others.

#![allow(clippy::disallowed_methods, reason = "an edge: serves connections in tasks of their own")]

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::world::World;

type Body = BoxBody<Bytes, Infallible>;

/// Serves until the process ends.
pub(super) async fn serve(listener: TcpListener, world: Arc<World>) {
    while let Ok((stream, _)) = listener.accept().await {
        let world = world.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(world.clone(), request));
            // A connection that breaks off is the autoscaler's end.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn whole(code: u16, text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed());
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

fn found(value: &Value) -> Response<Body> {
    whole(200, value.to_string())
}

/// What is asked for, without names: `GET apis/metrics.k8s.io/v1beta1/pods`.
fn kind(method: &Method, segments: &[&str], watch: bool) -> String {
    let mut path: Vec<&str> = segments.to_vec();
    if let Some(at) = path.iter().position(|segment| *segment == "namespaces") {
        let names = [at + 1, at + 3];
        path = path
            .iter()
            .enumerate()
            .filter(|(i, _)| !names.contains(i))
            .map(|(_, segment)| *segment)
            .collect();
    }
    let watch = if watch { " (watch)" } else { "" };
    format!("{method} {}{watch}", path.join("/"))
}

/// A watch of samples: all of them in rounds, a second after one another, as Flyball's metrics server looks for changes.
fn samples(world: Arc<World>, only: Option<usize>) -> Response<Body> {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Infallible>>(4);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(world.pause()).await;
            for text in world.events(only) {
                // The autoscaler went away.
                if sender.send(Ok(Frame::data(Bytes::from(text)))).await.is_err() {
                    return;
                }
            }
        }
    });
    let events =
        futures_util::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    Response::new(BodyExt::boxed(StreamBody::new(events)))
}

/// A watch that never has anything to tell.
fn silence() -> Response<Body> {
    let nothing = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
    Response::new(BodyExt::boxed(StreamBody::new(nothing)))
}

async fn answer(world: Arc<World>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let sent: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let query = flyball_apiserver::Query::parse(parts.uri.query().unwrap_or(""));
    let segments: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
    world.asked(kind(&parts.method, &segments, query.flag("watch")));
    let only = || query.first("labelSelector")?.strip_prefix("app=").and_then(World::number);
    if query.flag("watch") {
        return Ok(match segments.as_slice() {
            ["apis", "metrics.k8s.io", ..] => samples(world, only()),
            _ => silence(),
        });
    }
    let version = |version: &str| json!({ "version": version });
    let response = match (parts.method, segments.as_slice()) {
        (Method::GET, ["version"]) => found(&json!({ "major": "1", "minor": "34", "gitVersion": "v1.34.0" })),
        (Method::GET, ["apis", "apps"]) => {
            found(&json!({ "versions": [version("v1")], "preferredVersion": version("v1") }))
        }
        (Method::GET, ["apis", "apps", "v1"]) => found(&json!({ "resources": [
            { "name": "deployments", "kind": "Deployment" }, { "name": "deployments/scale", "kind": "Scale" }] })),
        (Method::GET, ["apis", "metrics.k8s.io"]) => found(&json!({ "versions": [version("v1beta1")] })),
        (Method::GET, ["apis", "autoscaling", "v2", "horizontalpodautoscalers"]) => {
            page(&query, world.hpa_count(), |index| world.hpa(index))
        }
        (Method::GET, ["apis", "apps", "v1", "deployments"]) => {
            page(&query, world.hpa_count(), |index| world.deployment(index))
        }
        (Method::GET, ["api", "v1", "pods"]) => page(&query, world.pod_count(), |number| world.pod(number)),
        (Method::GET, ["apis", "metrics.k8s.io", "v1beta1"]) => {
            let verbs: &[&str] =
                if world.offers_watch() { &["get", "list", "watch"] } else { &["get", "list"] };
            found(&json!({ "resources": [{ "name": "pods", "kind": "PodMetrics", "verbs": verbs }] }))
        }
        (Method::GET, ["apis", "metrics.k8s.io", "v1beta1", .., "pods"]) => {
            let version = if world.offers_watch() && query.first("limit").is_some() { "1" } else { "" };
            whole(200, world.usage(only(), version))
        }
        (method, ["apis", "apps", "v1", "namespaces", _, "deployments", name, "scale"]) => {
            match World::number(name) {
                Some(index) => {
                    if method == Method::PUT {
                        world.set_scale(index, sent["spec"]["replicas"].as_i64().unwrap_or(1));
                    }
                    found(&world.scale(index))
                }
                None => whole(404, "{}".into()),
            }
        }
        (Method::PATCH, [.., "status"]) => found(&json!({ "metadata": { "resourceVersion": "2" } })),
        (Method::POST, ["apis", "authorization.k8s.io", ..]) => {
            found(&json!({ "status": { "allowed": true } }))
        }
        (Method::POST | Method::PATCH, _) => found(&sent),
        _ => whole(404, json!({ "kind": "Status", "code": 404, "message": "not found" }).to_string()),
    };
    Ok(response)
}

/// A page of a list.
fn page(query: &flyball_apiserver::Query, count: usize, object: impl Fn(usize) -> Value) -> Response<Body> {
    let number = |name: &str| query.first(name).and_then(|text| text.parse::<usize>().ok());
    let from = number("continue").unwrap_or(0).min(count);
    let to = number("limit").filter(|limit| *limit > 0).map_or(count, |limit| (from + limit).min(count));
    let next = if to < count { to.to_string() } else { String::new() };
    found(&json!({
        "metadata": { "resourceVersion": "1", "continue": next },
        "items": (from..to).map(object).collect::<Vec<_>>(),
    }))
}
