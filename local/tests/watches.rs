//! Watches and lists over HTTP, as client libraries use them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "starts a server")]

mod support;

use flyball_local::registry::kinds::CONFIGMAPS;
use flyball_local::registry::{Part, RING_EVENTS, Registry, json};
use futures_util::io::{AsyncBufReadExt, Lines};
use futures_util::{AsyncBufRead, StreamExt};
use http::Request;
use kube::Client;
use serde_json::{Value, json};
use support::Cluster;

const PATH: &str = "/api/v1/namespaces/default/configmaps";

async fn watch(client: &Client, query: &str) -> Lines<impl AsyncBufRead + Unpin + use<>> {
    let request = Request::get(format!("{PATH}?watch=1&{query}")).body(Vec::new()).unwrap();
    Box::pin(client.request_stream(request).await.unwrap()).lines()
}

async fn event(lines: &mut Lines<impl AsyncBufRead + Unpin>) -> (String, Value) {
    let line = lines.next().await.unwrap().unwrap();
    let event: Value = serde_json::from_str(&line).unwrap();
    (json::text(&event, "/type").to_owned(), event["object"].clone())
}

fn create(registry: &Registry, name: &str, label: &str) {
    let object = json!({"metadata": {"name": name, "labels": {"x": label}}});
    registry.create(&CONFIGMAPS, "default", object).unwrap();
}

fn relabel(registry: &Registry, name: &str, label: &str) {
    let change = |object: &mut Value| object["metadata"]["labels"]["x"] = label.into();
    registry.modify(&CONFIGMAPS, "default", name, Part::Spec, change).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selector_turns_changes_into_comings_and_goings() {
    let cluster = Cluster::start().await;
    create(&cluster.registry, "a", "1");
    create(&cluster.registry, "b", "2");
    let mut lines = watch(&cluster.client(), "labelSelector=x%3D1").await;
    let mut next = async || {
        let (kind, object) = event(&mut lines).await;
        format!("{kind} {}", json::name(&object))
    };
    assert_eq!(next().await, "ADDED a");
    relabel(&cluster.registry, "b", "1");
    assert_eq!(next().await, "ADDED b");
    relabel(&cluster.registry, "a", "2");
    assert_eq!(next().await, "DELETED a");
    relabel(&cluster.registry, "a", "3");
    create(&cluster.registry, "c", "1");
    assert_eq!(next().await, "ADDED c");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_list_marks_the_end_of_its_beginning() {
    let cluster = Cluster::start().await;
    create(&cluster.registry, "a", "1");
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut lines = watch(&cluster.client(), query).await;
    assert_eq!(event(&mut lines).await.0, "ADDED");
    let (kind, bookmark) = event(&mut lines).await;
    assert_eq!(kind, "BOOKMARK");
    assert_eq!(bookmark["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let version = cluster.registry.resource_version().to_string();
    assert_eq!(json::text(&bookmark, "/metadata/resourceVersion"), version);
    create(&cluster.registry, "b", "1");
    assert_eq!(json::name(&event(&mut lines).await.1), "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_versions_are_410() {
    let cluster = Cluster::start().await;
    let since = cluster.registry.resource_version();
    create(&cluster.registry, "a", "1");
    for count in 0..RING_EVENTS {
        relabel(&cluster.registry, "a", &count.to_string());
    }
    let ahead = cluster.registry.resource_version() + 1_000_000;
    for version in [since, ahead] {
        let mut lines = watch(&cluster.client(), &format!("resourceVersion={version}")).await;
        let (kind, status) = event(&mut lines).await;
        assert_eq!((kind.as_str(), json::int(&status, "/code")), ("ERROR", Some(410)), "{status}");
        assert!(lines.next().await.is_none(), "the error is the last event");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_and_views() {
    let cluster = Cluster::start().await;
    for number in 0..5 {
        create(&cluster.registry, &format!("n{number}"), "1");
    }
    let client = cluster.client();
    let get = async |query: &str, accept: &str| -> Value {
        let request =
            Request::get(format!("{PATH}?{query}")).header("accept", accept).body(Vec::new()).unwrap();
        client.request(request).await.unwrap()
    };
    let first = get("limit=2", "application/json").await;
    assert_eq!(json::items(&first, "/items").len(), 2);
    assert_eq!(json::int(&first, "/metadata/remainingItemCount"), Some(3));
    let token = json::text(&first, "/metadata/continue");
    let second = get(&format!("limit=9&continue={token}"), "application/json").await;
    assert_eq!(json::name(&second["items"][0]), "n2");
    assert_eq!(json::text(&second, "/metadata/continue"), "");
    let table = get("", "application/json;as=Table;v=v1;g=meta.k8s.io").await;
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["rows"][0]["cells"][0], "n0");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let partial = get(
        "fieldSelector=metadata.name%3Dn3",
        "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    )
    .await;
    assert_eq!(partial["kind"], "PartialObjectMetadataList");
    assert_eq!(json::items(&partial, "/items").len(), 1);
}
