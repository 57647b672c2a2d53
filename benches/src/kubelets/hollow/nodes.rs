//! Nodes of a cluster that have no machine: registered, and kept alive by their Leases.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;

use super::objects::{LEASE_NAMESPACE, lease, node, node_status};
use crate::kubelets::SimulationError;
use crate::kubelets::clock::now_ms;
use crate::kubelets::shared::Shared;

/// Requests about nodes in flight.
const WRITES_LIMIT: usize = 16;
/// Beats between two reports of a node's whole status: five minutes at the default, as kubelets do.
const BEATS_PER_STATUS: u64 = 30;

/// Registers every node and reports it ready.
///
/// # Errors
/// The API server refuses one.
pub async fn register(client: &Client, shared: &Shared) -> Result<(), SimulationError> {
    let all = stream::iter(0..shared.addresses.len());
    let joined = all.map(|index| async move {
        let name = &shared.config.nodes[index].0;
        create(client, name).await?;
        report(client, shared, index).await
    });
    joined.buffer_unordered(WRITES_LIMIT).try_collect().await
}

/// Removes every node and its Lease. What is gone already is no error.
///
/// # Errors
/// The API server refuses one.
pub async fn remove(client: &Client, shared: &Shared) -> Result<(), SimulationError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let leases: Api<Lease> = Api::namespaced(client.clone(), LEASE_NAMESPACE);
    let all = stream::iter(&shared.config.nodes).map(|(name, _)| {
        let (nodes, leases) = (nodes.clone(), leases.clone());
        async move {
            absent_is_fine(nodes.delete(name, &DeleteParams::default()).await)
                .map_err(about(name, "remove"))?;
            absent_is_fine(leases.delete(name, &DeleteParams::default()).await).map_err(about(name, "remove"))
        }
    });
    all.buffer_unordered(WRITES_LIMIT).try_collect().await
}

/// Renews the Leases, and now and then the status, for ever.
pub async fn beat(client: Client, shared: std::sync::Arc<Shared>) {
    let mut interval = tokio::time::interval(shared.config.heartbeat.max(Duration::from_millis(100)));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for beat in 0u64.. {
        interval.tick().await;
        let (client, shared) = (&client, &*shared);
        let all = stream::iter(0..shared.addresses.len()).map(|index| async move {
            let name = &shared.config.nodes[index].0;
            let status = beat > 0 && beat.is_multiple_of(BEATS_PER_STATUS);
            let reported = if status { report(client, shared, index).await } else { Ok(()) };
            if let Err(error) = reported.and(renew(client, name).await) {
                tracing::debug!(%error, node = name, "heartbeat failed, the next one follows");
            }
        });
        all.buffer_unordered(WRITES_LIMIT).collect::<()>().await;
    }
}

async fn create(client: &Client, name: &str) -> Result<(), SimulationError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let object = typed(name, node(name))?;
    match nodes.create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        other => other.map(drop).map_err(about(name, "create")),
    }
}

async fn report(client: &Client, shared: &Shared, index: usize) -> Result<(), SimulationError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let (config, name) = (&shared.config, &shared.config.nodes[index].0);
    let (address, since_ms, now_ms) = (shared.addresses[index], shared.started_ms, now_ms());
    let patch = node_status(name, address, &config.allocatable, &config.kubelet_version, since_ms, now_ms);
    let written = nodes.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await;
    written.map(drop).map_err(about(name, "report the status of"))
}

async fn renew(client: &Client, name: &str) -> Result<(), SimulationError> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), LEASE_NAMESPACE);
    let object = lease(name, now_ms());
    let patched = leases.patch(name, &PatchParams::default(), &Patch::Merge(&object)).await;
    match patched {
        Err(kube::Error::Api(status)) if status.is_not_found() => {
            let made = leases.create(&PostParams::default(), &typed(name, object)?).await;
            made.map(drop).map_err(about(name, "create the Lease of"))
        }
        other => other.map(drop).map_err(about(name, "renew the Lease of")),
    }
}

fn typed<K: serde::de::DeserializeOwned>(name: &str, object: Value) -> Result<K, SimulationError> {
    serde_json::from_value(object).map_err(|error| SimulationError::Cluster {
        what: format!("describe node {name}"),
        reason: error.to_string(),
    })
}

fn absent_is_fine<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map(drop),
    }
}

fn about(name: &str, verb: &str) -> impl FnOnce(kube::Error) -> SimulationError {
    let what = format!("{verb} node {name}");
    move |error| SimulationError::Cluster { what, reason: error.to_string() }
}
