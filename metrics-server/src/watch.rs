//! Watches nodes and running pods, metadata only, and keeps [`Cluster`] up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, NodeChange, ObjectLabels, PodChange};
use crate::store::Store;

/// Pods that count: others have no usage.
const RUNNING: &str = "status.phase=Running";

/// Follows the cluster until `shutdown`. Failing watches are retried with back-off; the caches keep what they have.
pub(crate) async fn follow(
    client: Client,
    cluster: Arc<Cluster>,
    store: Arc<Store>,
    shutdown: CancellationToken,
) {
    let nodes = watcher(Api::<PartialObjectMeta<Node>>::all(client.clone()), watcher::Config::default());
    let running = watcher::Config::default().fields(RUNNING);
    let pods = watcher(Api::<PartialObjectMeta<Pod>>::all(client), running);
    let mut nodes = Box::pin(logged(nodes.default_backoff(), "nodes"));
    let mut pods = Box::pin(logged(pods.default_backoff(), "pods"));
    let mut node_list = BTreeMap::new();
    let mut pod_list = BTreeMap::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(event) = nodes.next() => {
                let change = node_change(&cluster, event, &mut node_list);
                let lost = matches!(change, Some(NodeChange::All(_) | NodeChange::Gone(_)));
                change.into_iter().for_each(|change| cluster.node(change));
                if lost {
                    // Asked before: lists hold the caches' lock while they take the store's.
                    let known: BTreeSet<String> =
                        cluster.nodes(None, usize::MAX, |_, _| true).into_iter().map(|(name, _)| name).collect();
                    store.retain_nodes(|name| known.contains(name));
                }
            }
            Some(event) = pods.next() => {
                pod_change(&cluster, event, &mut pod_list).into_iter().for_each(|change| cluster.pod(change));
            }
        }
    }
}

/// The events; a lasting failure is logged once.
fn logged<K>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>>,
    what: &'static str,
) -> impl Stream<Item = Event<K>> {
    let mut told = None;
    events.filter_map(move |event| {
        match &event {
            // Comes before the first answer too.
            Ok(Event::Init) => {}
            Ok(_) => {
                if told.take().is_some() {
                    tracing::info!(what, "watch works again");
                }
            }
            Err(error) => {
                let error = short(error);
                if told.as_ref() != Some(&error) {
                    tracing::warn!(error, what, "watch failed, trying again");
                    told = Some(error);
                }
            }
        }
        std::future::ready(event.ok())
    })
}

/// What the API server said, else the error.
fn short(error: &watcher::Error) -> String {
    use watcher::Error as E;
    match error {
        E::InitialListFailed(error) | E::WatchStartFailed(error) | E::WatchFailed(error) => match error {
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

fn labels<K>(cluster: &Cluster, object: &mut PartialObjectMeta<K>) -> ObjectLabels {
    cluster.share(object.metadata.labels.take().unwrap_or_default())
}

/// A restarted watch lists everything again; `listed` collects that until it is complete.
fn node_change(
    cluster: &Cluster,
    event: Event<PartialObjectMeta<Node>>,
    listed: &mut BTreeMap<String, ObjectLabels>,
) -> Option<NodeChange> {
    match event {
        Event::Init => {
            listed.clear();
            None
        }
        Event::InitApply(mut node) => {
            listed.insert(node.name_any(), labels(cluster, &mut node));
            None
        }
        Event::InitDone => Some(NodeChange::All(std::mem::take(listed))),
        Event::Apply(mut node) => Some(NodeChange::Set(node.name_any(), labels(cluster, &mut node))),
        Event::Delete(node) => Some(NodeChange::Gone(node.name_any())),
    }
}

fn pod_change(
    cluster: &Cluster,
    event: Event<PartialObjectMeta<Pod>>,
    listed: &mut BTreeMap<String, BTreeMap<String, ObjectLabels>>,
) -> Option<PodChange> {
    let namespace = |pod: &PartialObjectMeta<Pod>| pod.namespace().unwrap_or_default();
    match event {
        Event::Init => {
            listed.clear();
            None
        }
        Event::InitApply(mut pod) => {
            let labels = labels(cluster, &mut pod);
            listed.entry(namespace(&pod)).or_default().insert(pod.name_any(), labels);
            None
        }
        Event::InitDone => Some(PodChange::All(std::mem::take(listed))),
        Event::Apply(mut pod) => {
            let labels = labels(cluster, &mut pod);
            Some(PodChange::Set(namespace(&pod), pod.name_any(), labels))
        }
        Event::Delete(pod) => Some(PodChange::Gone(namespace(&pod), pod.name_any())),
    }
}
