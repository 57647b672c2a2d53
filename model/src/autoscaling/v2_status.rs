//! The status half of `autoscaling/v2`; its types are part of [`super::v2`].

use serde::{Deserialize, Serialize, Serializer};

use super::nullable::nullable;
use super::v2::{CrossVersionObjectReference, MetricIdentifier};
use crate::quantity::Quantity;

/// What was last seen and decided.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HorizontalPodAutoscalerStatus {
    /// The generation of the spec that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// RFC 3339: when the count was last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scale_time: Option<String>,
    /// Pods the target said it has.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_zero")]
    pub current_replicas: i32,
    /// Pods that were asked for.
    #[serde(default, deserialize_with = "nullable")]
    pub desired_replicas: i32,
    /// One entry for each metric of the spec, in its order. Empty is written as `null`, as upstream writes it.
    #[serde(default, deserialize_with = "nullable", serialize_with = "null_when_empty")]
    pub current_metrics: Vec<MetricStatus>,
    /// Conditions, each type once.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<HorizontalPodAutoscalerCondition>,
}

fn is_zero(count: &i32) -> bool {
    *count == 0
}

fn null_when_empty<S: Serializer>(metrics: &[MetricStatus], serializer: S) -> Result<S::Ok, S::Error> {
    if metrics.is_empty() { serializer.serialize_none() } else { metrics.serialize(serializer) }
}

/// One condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HorizontalPodAutoscalerCondition {
    /// One of [`super::condition_type`].
    #[serde(rename = "type", default, deserialize_with = "nullable")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    #[serde(default, deserialize_with = "nullable")]
    pub status: String,
    /// RFC 3339: when `status` last changed. Unknown is written as `null`.
    #[serde(default)]
    pub last_transition_time: Option<String>,
    /// One word for machines.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// One sentence for people.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The generation of the spec that the condition is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// The last seen value of one metric. The type is empty for a metric that failed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricStatus {
    /// One of [`super::metric_type`].
    #[serde(rename = "type", default, deserialize_with = "nullable")]
    pub type_: String,
    /// A custom metric of one object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectMetricStatus>,
    /// A custom metric of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodsMetricStatus>,
    /// CPU or memory of whole pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceMetricStatus>,
    /// CPU or memory of one container of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_resource: Option<ContainerResourceMetricStatus>,
    /// A metric from outside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalMetricStatus>,
}

/// A custom metric of one object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectMetricStatus {
    /// Which metric.
    #[serde(default, deserialize_with = "nullable")]
    pub metric: MetricIdentifier,
    /// Its value.
    #[serde(default, deserialize_with = "nullable")]
    pub current: MetricValueStatus,
    /// The object.
    #[serde(default, deserialize_with = "nullable")]
    pub described_object: CrossVersionObjectReference,
}

/// A custom metric of each pod.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodsMetricStatus {
    /// Which metric.
    #[serde(default, deserialize_with = "nullable")]
    pub metric: MetricIdentifier,
    /// Its value.
    #[serde(default, deserialize_with = "nullable")]
    pub current: MetricValueStatus,
}

/// CPU or memory of whole pods.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceMetricStatus {
    /// `cpu`, `memory`.
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    /// Its value.
    #[serde(default, deserialize_with = "nullable")]
    pub current: MetricValueStatus,
}

/// CPU or memory of one container of each pod.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerResourceMetricStatus {
    /// `cpu`, `memory`.
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    /// Its value.
    #[serde(default, deserialize_with = "nullable")]
    pub current: MetricValueStatus,
    /// The container's name.
    #[serde(default, deserialize_with = "nullable")]
    pub container: String,
}

/// A metric from outside the cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalMetricStatus {
    /// Which metric.
    #[serde(default, deserialize_with = "nullable")]
    pub metric: MetricIdentifier,
    /// Its value.
    #[serde(default, deserialize_with = "nullable")]
    pub current: MetricValueStatus,
}

/// The value of a metric, in the forms that apply.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricValueStatus {
    /// The metric as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Quantity>,
    /// The metric divided by the number of pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_value: Option<Quantity>,
    /// Percent of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_utilization: Option<i32>,
}
