//! Wire types of `metrics.k8s.io`. Versions v1beta1 and v1 have the same schema.
//!
//! Keys come in upstream's order: kind, apiVersion, metadata, timestamp, window, usage or containers. Items of a list
//! carry no kind and apiVersion of their own; a single object gets them by [`Typed`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;

/// The API group.
pub const GROUP: &str = "metrics.k8s.io";

/// The part of `metadata` that metrics have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMeta {
    /// Name of the node or pod.
    pub name: String,
    /// Namespace of the pod; nodes have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// In events of a watch: from where it can be resumed. Absent elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// RFC 3339; upstream puts the time of the response here, not of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<String>,
    /// Labels of the node or pod.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Usage of a node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeMetrics {
    /// Which node.
    pub metadata: ObjectMeta,
    /// RFC 3339, seconds: the end of the measured interval. `null` when unknown.
    pub timestamp: Option<String>,
    /// Go duration: the length of the measured interval.
    pub window: String,
    /// By resource name: `cpu` in cores (average over the window), `memory` in bytes (at the timestamp).
    pub usage: BTreeMap<String, Quantity>,
}

/// Usage of a pod, by container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodMetrics {
    /// Which pod.
    pub metadata: ObjectMeta,
    /// RFC 3339, seconds: the earliest timestamp among the containers. `null` when unknown.
    pub timestamp: Option<String>,
    /// Go duration: the window of the container that gave the timestamp.
    pub window: String,
    /// Containers, sorted by name.
    pub containers: Vec<ContainerMetrics>,
}

/// Usage of one container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerMetrics {
    /// The container's name.
    pub name: String,
    /// As [`NodeMetrics::usage`].
    pub usage: BTreeMap<String, Quantity>,
}

/// A list without its kind: `{"metadata":{},"items":[…]}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct List<T> {
    /// `{}` unless the list was asked for in pieces.
    #[serde(default)]
    pub metadata: ListMeta,
    /// The objects.
    pub items: Vec<T>,
}

/// Metadata of a list of metrics: empty, as upstream's always is, unless the client asked with `limit` or `continue`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMeta {
    /// From where a watch can go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// What to ask the next piece with; absent in the last one.
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    pub continue_token: Option<String>,
    /// How many objects the next pieces hold, as an estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_item_count: Option<i64>,
}

impl<T> List<T> {
    /// A list of these objects.
    pub fn new(items: Vec<T>) -> List<T> {
        List { metadata: ListMeta::default(), items }
    }
}

/// What has a kind in the group `metrics.k8s.io`.
pub trait Kind {
    /// Its kind: `NodeMetrics`.
    const KIND: &'static str;
    /// The kind of a list of it: `NodeMetricsList`.
    const LIST_KIND: &'static str;
    /// Its name in URLs: `nodes`.
    const RESOURCE: &'static str;
}

impl Kind for NodeMetrics {
    const KIND: &'static str = "NodeMetrics";
    const LIST_KIND: &'static str = "NodeMetricsList";
    const RESOURCE: &'static str = "nodes";
}

impl Kind for PodMetrics {
    const KIND: &'static str = "PodMetrics";
    const LIST_KIND: &'static str = "PodMetricsList";
    const RESOURCE: &'static str = "pods";
}

/// An object or list with its kind and apiVersion, which come first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Typed<T> {
    /// For example `PodMetricsList`.
    pub kind: String,
    /// For example `metrics.k8s.io/v1`.
    pub api_version: String,
    /// The object.
    #[serde(flatten)]
    pub object: T,
}

impl<T: Kind> Typed<T> {
    /// One object in `version` (`v1` or `v1beta1`).
    pub fn object(version: &str, object: T) -> Typed<T> {
        Typed { kind: T::KIND.into(), api_version: format!("{GROUP}/{version}"), object }
    }
}

impl<T: Kind> Typed<List<T>> {
    /// A list in `version` (`v1` or `v1beta1`).
    pub fn list(version: &str, list: List<T>) -> Typed<List<T>> {
        Typed { kind: T::LIST_KIND.into(), api_version: format!("{GROUP}/{version}"), object: list }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(name: &str, namespace: Option<&str>) -> ObjectMeta {
        ObjectMeta {
            name: name.into(),
            namespace: namespace.map(str::to_owned),
            resource_version: None,
            creation_timestamp: Some("2026-11-22T11:05:41Z".into()),
            labels: BTreeMap::from([("app".into(), "x".into())]),
        }
    }

    fn usage(nanocores: u64, bytes: u64) -> BTreeMap<String, Quantity> {
        BTreeMap::from([
            ("cpu".into(), Quantity::from_nanocores(nanocores)),
            ("memory".into(), Quantity::from_bytes(bytes)),
        ])
    }

    #[test]
    fn node_metrics_body() {
        let node = NodeMetrics {
            metadata: metadata("n1", None),
            timestamp: Some("2026-11-22T11:05:36Z".into()),
            window: "10.02s".into(),
            usage: usage(3210192312, 8 << 30),
        };
        let body = r#"{"kind":"NodeMetrics","apiVersion":"metrics.k8s.io/v1beta1","metadata":{"name":"n1","creationTimestamp":"2026-11-22T11:05:41Z","labels":{"app":"x"}},"timestamp":"2026-11-22T11:05:36Z","window":"10.02s","usage":{"cpu":"3210192312n","memory":"8Gi"}}"#;
        let typed = Typed::object("v1beta1", node);
        assert_eq!(serde_json::to_string(&typed).unwrap(), body);
        assert_eq!(serde_json::from_str::<Typed<NodeMetrics>>(body).unwrap(), typed);
    }

    #[test]
    fn pod_metrics_body() {
        let pod = PodMetrics {
            metadata: metadata("p", Some("ns")),
            timestamp: None,
            window: "0s".into(),
            containers: vec![ContainerMetrics { name: "c0".into(), usage: usage(8300499, 20606976) }],
        };
        let body = r#"{"kind":"PodMetrics","apiVersion":"metrics.k8s.io/v1","metadata":{"name":"p","namespace":"ns","creationTimestamp":"2026-11-22T11:05:41Z","labels":{"app":"x"}},"timestamp":null,"window":"0s","containers":[{"name":"c0","usage":{"cpu":"8300499n","memory":"20124Ki"}}]}"#;
        let typed = Typed::object("v1", pod);
        assert_eq!(serde_json::to_string(&typed).unwrap(), body);
        assert_eq!(serde_json::from_str::<Typed<PodMetrics>>(body).unwrap(), typed);
    }

    #[test]
    fn an_empty_list_body() {
        assert_eq!(
            serde_json::to_string(&Typed::<List<PodMetrics>>::list("v1beta1", List::default())).unwrap(),
            r#"{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":[]}"#
        );
        let other = r#"{"metadata":{"resourceVersion":"5"},"items":[{}]}"#;
        assert_eq!(serde_json::from_str::<List<NodeMetrics>>(other).unwrap().items, [NodeMetrics::default()]);
    }
}
