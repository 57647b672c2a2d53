//! Usage to the objects of `metrics.k8s.io`, and their Table cells. Pure.

use std::collections::BTreeMap;

use flyball_apiserver::protobuf::Message;
use flyball_apiserver::table::Column;
use flyball_model::quantity::Quantity;
use flyball_model::resource_metrics::{ContainerMetrics, Kind, NodeMetrics, ObjectMeta, PodMetrics};
use flyball_model::time::{go_duration, rfc3339_seconds};
use serde::Serialize;

use crate::cluster::ObjectLabels;
use crate::protobuf;
use crate::store::PodUsage;
use crate::window::Usage;

/// The columns of both tables, in upstream's order and with its words.
pub(crate) const COLUMNS: [Column; 4] = [
    Column::new("Name", "name", "Name of the resource"),
    Column::new("cpu", "quantity", ""),
    Column::new("memory", "quantity", ""),
    Column::new("Window", "duration", ""),
];

/// What both kinds of metrics have in common when they are listed.
pub(crate) trait Item: Kind + Serialize {
    /// Name, CPU, memory and window, as in the table.
    fn cells(&self) -> [String; 4];
    /// The object in protobuf.
    fn to_protobuf(&self) -> Message;
    /// Its metadata.
    fn metadata(&self) -> &ObjectMeta;
    /// Its metadata, to be changed.
    fn metadata_mut(&mut self) -> &mut ObjectMeta;
    /// What was measured, and when.
    fn measured(&self) -> impl Serialize + '_;
    /// End of the measured interval, RFC 3339.
    fn timestamp(&self) -> Option<&str>;
}

impl Item for NodeMetrics {
    fn to_protobuf(&self) -> Message {
        protobuf::node(self)
    }

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn measured(&self) -> impl Serialize + '_ {
        (&self.timestamp, &self.window, &self.usage)
    }

    fn timestamp(&self) -> Option<&str> {
        self.timestamp.as_deref()
    }

    fn cells(&self) -> [String; 4] {
        [
            self.metadata.name.clone(),
            total([&self.usage], "cpu"),
            total([&self.usage], "memory"),
            self.window.clone(),
        ]
    }
}

impl Item for PodMetrics {
    fn to_protobuf(&self) -> Message {
        protobuf::pod(self)
    }

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn measured(&self) -> impl Serialize + '_ {
        (&self.timestamp, &self.window, &self.containers)
    }

    fn timestamp(&self) -> Option<&str> {
        self.timestamp.as_deref()
    }

    fn cells(&self) -> [String; 4] {
        let usages = || self.containers.iter().map(|container| &container.usage);
        [self.metadata.name.clone(), total(usages(), "cpu"), total(usages(), "memory"), self.window.clone()]
    }
}

fn total<'a>(usages: impl IntoIterator<Item = &'a BTreeMap<String, Quantity>>, resource: &str) -> String {
    let quantities = usages.into_iter().filter_map(|usage| usage.get(resource));
    let sum = quantities.cloned().reduce(|sum, next| sum.checked_add(&next).unwrap_or(sum));
    sum.map_or_else(|| "0".to_owned(), |sum| sum.to_string())
}

/// A node's metrics as of `now_ms`.
pub(crate) fn node(name: String, labels: &ObjectLabels, usage: &Usage, now_ms: i64) -> NodeMetrics {
    NodeMetrics {
        metadata: metadata(name, None, labels, now_ms),
        timestamp: Some(timestamp(usage.timestamp_ns)),
        window: go_duration(usage.window_ns.into()),
        usage: resources(usage),
    }
}

/// A pod's metrics as of `now_ms`.
pub(crate) fn pod(
    namespace: String,
    name: String,
    labels: &ObjectLabels,
    usage: PodUsage,
    now_ms: i64,
) -> PodMetrics {
    let container = |(name, usage)| ContainerMetrics { name, usage: resources(&usage) };
    PodMetrics {
        metadata: metadata(name, Some(namespace), labels, now_ms),
        timestamp: usage.timestamp_ns.map(timestamp),
        window: go_duration(usage.window_ns.into()),
        containers: usage.containers.into_iter().map(container).collect(),
    }
}

/// `creationTimestamp` is the time of the answer, as upstream has it.
fn metadata(name: String, namespace: Option<String>, labels: &ObjectLabels, now_ms: i64) -> ObjectMeta {
    let creation_timestamp = Some(rfc3339_seconds(now_ms));
    ObjectMeta { name, namespace, resource_version: None, creation_timestamp, labels: (**labels).clone() }
}

fn timestamp(timestamp_ns: i64) -> String {
    rfc3339_seconds(timestamp_ns.div_euclid(1_000_000))
}

fn resources(usage: &Usage) -> BTreeMap<String, Quantity> {
    BTreeMap::from([
        ("cpu".to_owned(), Quantity::from_nanocores(usage.cpu_nanocores)),
        ("memory".to_owned(), Quantity::from_bytes(usage.working_set_bytes)),
    ])
}
