//! Objects in order, some at a time: what lists, pieces of lists and watches are made of. No I/O.

use std::collections::BTreeMap;

use flyball_apiserver::Response;
use flyball_model::resource_metrics::{NodeMetrics, ObjectMeta, PodMetrics};
use http::StatusCode;

use super::form::Form;
use crate::list::{JsonList, PodSource, ProtobufList};
use crate::objects::{self, Item};
use crate::options::Selectors;
use crate::server::MetricsServer;

/// Objects that are looked at between two moments at which others may run.
pub(crate) const PAGE_OBJECTS: usize = 512;

/// Namespace (empty for nodes) and name: the order of all lists.
pub(crate) type Key = (String, String);

/// Which objects a request is about.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    /// Only these pods.
    pub(crate) namespace: Option<String>,
    /// What the query says.
    pub(crate) selectors: Selectors,
}

/// Some objects in a row.
pub(crate) struct Page<T> {
    /// Those with metrics.
    pub(crate) items: Vec<T>,
    /// The last object that was looked at; `None` when there are no more.
    pub(crate) next: Option<Key>,
}

/// What can be listed.
pub(crate) trait Listed: Item + Sized + Send + 'static {
    /// The list's type as upstream's messages name it.
    const GO_LIST: &'static str;

    /// Looks at the first `count` selected objects after `after`.
    fn page(
        server: &MetricsServer,
        selection: &Selection,
        after: Option<&Key>,
        count: usize,
        now_ms: i64,
    ) -> Page<Self>;

    /// The whole list, written while it is sent; `None` where lists are short enough to be made in memory.
    fn streamed(_: &MetricsServer, _: &Form, _: &Selection, _now_ms: i64) -> Option<Response> {
        None
    }

    /// How many objects there are after `after`, with and without metrics, selected or not.
    fn count_after(server: &MetricsServer, selection: &Selection, after: &Key) -> usize;

    /// What remains of an object that has no metrics any more.
    fn remains(metadata: ObjectMeta) -> Self;
}

/// Where an object stands in a list.
pub(crate) fn key_of(metadata: &ObjectMeta) -> Key {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone())
}

impl Listed for NodeMetrics {
    const GO_LIST: &'static str = "*metrics.NodeMetricsList";

    fn page(
        server: &MetricsServer,
        selection: &Selection,
        after: Option<&Key>,
        count: usize,
        now_ms: i64,
    ) -> Page<Self> {
        let wanted = |name: &str, labels: &BTreeMap<String, String>| {
            server.selects(labels) && selection.selectors.wants("", name, labels)
        };
        let nodes = server.cluster.nodes(after.map(|(_, name)| name.as_str()), count, wanted);
        let next =
            nodes.last().filter(|_| nodes.len() == count).map(|(name, _)| (String::new(), name.clone()));
        let measured = nodes.into_iter().filter_map(|(name, labels)| {
            let usage = server.store.node(&name, now_ms).ok()?;
            Some(objects::node(name, &labels, &usage, now_ms))
        });
        Page { items: measured.collect(), next }
    }

    fn count_after(server: &MetricsServer, _: &Selection, after: &Key) -> usize {
        server.cluster.nodes_after(&after.1)
    }

    fn remains(metadata: ObjectMeta) -> Self {
        NodeMetrics { metadata, window: "0s".to_owned(), ..NodeMetrics::default() }
    }
}

impl Listed for PodMetrics {
    const GO_LIST: &'static str = "*metrics.PodMetricsList";

    fn page(
        server: &MetricsServer,
        selection: &Selection,
        after: Option<&Key>,
        count: usize,
        now_ms: i64,
    ) -> Page<Self> {
        let after = after.map(|(namespace, name)| (namespace.as_str(), name.as_str()));
        let wanted = |namespace: &str, name: &str, labels: &BTreeMap<String, String>| {
            selection.selectors.wants(namespace, name, labels)
        };
        let pods = server.cluster.pods(selection.namespace.as_deref(), after, count, wanted);
        let next = pods.last().filter(|_| pods.len() == count);
        let next = next.map(|(namespace, name, _)| (namespace.clone(), name.clone()));
        let measured = server.store.pods(pods, |(namespace, name, _)| (namespace, name), now_ms);
        let objects = measured
            .into_iter()
            .map(|((namespace, name, labels), usage)| objects::pod(namespace, name, &labels, usage, now_ms));
        Page { items: objects.collect(), next }
    }

    fn streamed(server: &MetricsServer, form: &Form, selection: &Selection, now_ms: i64) -> Option<Response> {
        let (cluster, store, metrics) =
            (server.cluster.clone(), server.store.clone(), server.metrics.clone());
        let source = PodSource { cluster, store, metrics, selection: selection.clone(), now_ms };
        Some(match form.is_protobuf() {
            true => {
                form.accepted.write_pieces(StatusCode::OK, ProtobufList::new(source, &form.api_version()))
            }
            false => form.accepted.write_pieces(StatusCode::OK, JsonList::new(source, form.version)),
        })
    }

    fn count_after(server: &MetricsServer, selection: &Selection, after: &Key) -> usize {
        server.cluster.pods_after(selection.namespace.as_deref(), (&after.0, &after.1))
    }

    fn remains(metadata: ObjectMeta) -> Self {
        PodMetrics { metadata, window: "0s".to_owned(), ..PodMetrics::default() }
    }
}
