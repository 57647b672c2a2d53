//! Which kinds the cluster serves, asked of its discovery: custom resources come and go.
#![allow(clippy::disallowed_methods, reason = "an edge: asks the API server again and again")]

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::kinds::{Kind, Kinds};

/// How often discovery is asked.
const INTERVAL: Duration = Duration::from_secs(300);
/// Least time between two questions, however many unknown kinds are asked for.
const PAUSE: Duration = Duration::from_secs(10);
/// Both forms at once: the aggregated one, of which the older version has the same shape.
const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                      application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
/// Time for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    resource: String,
    #[serde(default)]
    response_kind: Option<ResponseKind>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    singular_resource: String,
}

#[derive(Deserialize)]
struct ResponseKind {
    #[serde(default)]
    kind: String,
}

/// Keeps the kinds up to date for ever. `asked` wakes it for a kind that is not known.
pub(super) async fn follow(client: Client, kinds: &watch::Sender<Arc<Kinds>>, asked: &Notify) {
    let mut told = None;
    loop {
        let last = Instant::now();
        match learn(&client, kinds).await {
            Ok(()) => told = None,
            Err(reason) => {
                if told.as_ref() != Some(&reason) {
                    tracing::warn!(
                        reason,
                        "the kinds of the cluster cannot be asked for; the known ones stay"
                    );
                    told = Some(reason);
                }
            }
        }
        sleep(PAUSE).await;
        tokio::select! {
            () = asked.notified() => {}
            () = sleep_until(last + INTERVAL) => {}
        }
    }
}

/// Asks once; whoever waits for a change is told of one only.
pub(super) async fn learn(client: &Client, kinds: &watch::Sender<Arc<Kinds>>) -> Result<(), String> {
    let found = Kinds::builtin().with(both(client).await?);
    kinds.send_if_modified(|known| {
        let changed = **known != found;
        if changed {
            *known = Arc::new(found);
        }
        changed
    });
    Ok(())
}

async fn both(client: &Client) -> Result<Vec<Kind>, String> {
    let (core, groups) = tokio::join!(ask(client, "/api"), ask(client, "/apis"));
    let mut all = kinds_of(core?);
    all.extend(kinds_of(groups?));
    Ok(all)
}

async fn ask(client: &Client, path: &str) -> Result<Groups, String> {
    let request = http::Request::get(path)
        .header(http::header::ACCEPT, ACCEPT)
        .body(Vec::new())
        .map_err(|error| error.to_string())?;
    let answer = tokio::time::timeout(TIMEOUT, client.request::<Groups>(request)).await;
    let answer = answer.map_err(|_| format!("{path}: no answer within {} s", TIMEOUT.as_secs()))?;
    let groups =
        answer.map_err(|error| format!("{path}: {}", flyball_apiserver::api_error::causes(&error)))?;
    match groups.kind.as_str() {
        "APIGroupDiscoveryList" => Ok(groups),
        _ => Err(format!("{path}: the API server has no aggregated discovery")),
    }
}

/// Kinds in the order of preference: groups as listed, and each kind in the first version that has it.
fn kinds_of(groups: Groups) -> Vec<Kind> {
    let mut all: Vec<Kind> = Vec::new();
    for group in groups.items {
        // Ours; its resources are no kinds.
        if group.metadata.name.ends_with("metrics.k8s.io") {
            continue;
        }
        let first = all.len();
        for version in group.versions {
            for resource in version.resources {
                let kind = resource.response_kind.map(|kind| kind.kind).unwrap_or_default();
                let known = all[first..].iter().any(|have| have.plural == resource.resource);
                if known || kind.is_empty() || resource.resource.contains('/') {
                    continue;
                }
                let singular = match resource.singular_resource {
                    text if text.is_empty() => kind.to_lowercase(),
                    text => text,
                };
                all.push(Kind {
                    group: group.metadata.name.clone(),
                    version: version.version.clone(),
                    kind,
                    plural: resource.resource,
                    singular,
                    namespaced: resource.scope == "Namespaced",
                });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_resources_are_found() {
        let text = r#"{"kind":"APIGroupDiscoveryList","items":[
            {"metadata":{"name":"example.com"},"versions":[
                {"version":"v2","resources":[{"resource":"queues","responseKind":{"kind":"Queue"},"scope":"Namespaced","singularResource":"queue"}]},
                {"version":"v1","resources":[{"resource":"queues","responseKind":{"kind":"Queue"},"scope":"Namespaced"},
                    {"resource":"farms","responseKind":{"kind":"Farm"},"scope":"Cluster"}]}]},
            {"metadata":{"name":"custom.metrics.k8s.io"},"versions":[{"version":"v1beta1","resources":[{"resource":"pods","responseKind":{"kind":"MetricValueList"}}]}]}]}"#;
        let kinds = kinds_of(serde_json::from_str(text).unwrap());
        let short: Vec<_> = kinds
            .iter()
            .map(|kind| {
                (kind.version.as_str(), kind.plural.as_str(), kind.singular.as_str(), kind.namespaced)
            })
            .collect();
        assert_eq!(short, [("v2", "queues", "queue", true), ("v1", "farms", "farm", false)]);
        let all = Kinds::builtin().with(kinds);
        assert_eq!(all.find("example.com", "farm").unwrap().api_version(), "example.com/v1");
    }
}
