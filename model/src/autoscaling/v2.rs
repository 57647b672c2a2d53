//! Types of `autoscaling/v2`. Field order is upstream's order in JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::metadata::ObjectMeta;
use super::nullable::nullable;
use crate::quantity::Quantity;

pub use super::v2_status::*;

/// `apiVersion` of these objects.
pub const API_VERSION: &str = "autoscaling/v2";
/// `kind` of these objects.
pub const KIND: &str = "HorizontalPodAutoscaler";

/// An autoscaler of one scale target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HorizontalPodAutoscaler {
    /// [`KIND`], or as given.
    #[serde(default = "kind")]
    pub kind: String,
    /// [`API_VERSION`], or as given.
    #[serde(default = "api_version")]
    pub api_version: String,
    /// Name, labels and so on.
    #[serde(default, deserialize_with = "nullable")]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default, deserialize_with = "nullable")]
    pub spec: HorizontalPodAutoscalerSpec,
    /// What was last seen and decided.
    #[serde(default, deserialize_with = "nullable")]
    pub status: HorizontalPodAutoscalerStatus,
}

fn kind() -> String {
    KIND.into()
}

fn api_version() -> String {
    API_VERSION.into()
}

impl Default for HorizontalPodAutoscaler {
    fn default() -> HorizontalPodAutoscaler {
        HorizontalPodAutoscaler {
            kind: kind(),
            api_version: api_version(),
            metadata: ObjectMeta::default(),
            spec: HorizontalPodAutoscalerSpec::default(),
            status: HorizontalPodAutoscalerStatus::default(),
        }
    }
}

/// What is wanted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HorizontalPodAutoscalerSpec {
    /// What to scale.
    #[serde(default, deserialize_with = "nullable")]
    pub scale_target_ref: CrossVersionObjectReference,
    /// Lower limit, pods; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i32>,
    /// Upper limit, pods; 0 means it was not given.
    #[serde(default, deserialize_with = "nullable")]
    pub max_replicas: i32,
    /// Metrics; the largest proposal wins. CPU at 80 percent by default.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricSpec>,
    /// Speed limits. None at all (`None`) means the older limits, which are not the same as the defaults of `Some`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
}

/// Names an object by kind, name and version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CrossVersionObjectReference {
    /// For example `Deployment`.
    #[serde(default, deserialize_with = "nullable")]
    pub kind: String,
    /// Its name.
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    /// For example `apps/v1`; may be empty.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub api_version: String,
}

/// One metric. Exactly the member that `type_` names should be there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricSpec {
    /// One of [`super::metric_type`].
    #[serde(rename = "type", default, deserialize_with = "nullable")]
    pub type_: String,
    /// A custom metric of one object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectMetricSource>,
    /// A custom metric of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodsMetricSource>,
    /// CPU or memory of whole pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceMetricSource>,
    /// CPU or memory of one container of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_resource: Option<ContainerResourceMetricSource>,
    /// A metric from outside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalMetricSource>,
}

/// Speed limits, by direction.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HorizontalPodAutoscalerBehavior {
    /// Limits on growing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<HPAScalingRules>,
    /// Limits on shrinking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<HPAScalingRules>,
}

/// Limits in one direction.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HPAScalingRules {
    /// How far back recommendations are looked at, seconds, 0 to 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stabilization_window_seconds: Option<i32>,
    /// One of [`super::select_policy`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<String>,
    /// Policies. `Some` of an empty list is not the same as `None`: it survives defaulting and fails validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<HPAScalingPolicy>>,
    /// Relative change that is ignored, for example `100m` for ten percent; `None`: the controller's own setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Quantity>,
}

/// One limit: at most `value` pods or percent within `period_seconds`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HPAScalingPolicy {
    /// One of [`super::policy_type`].
    #[serde(rename = "type", default, deserialize_with = "nullable")]
    pub type_: String,
    /// Pods or percent, more than 0.
    #[serde(default, deserialize_with = "nullable")]
    pub value: i32,
    /// Seconds, 1 to 1800.
    #[serde(default, deserialize_with = "nullable")]
    pub period_seconds: i32,
}

/// A custom metric of one object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectMetricSource {
    /// The object.
    #[serde(default, deserialize_with = "nullable")]
    pub described_object: CrossVersionObjectReference,
    /// The wanted value.
    #[serde(default, deserialize_with = "nullable")]
    pub target: MetricTarget,
    /// Which metric.
    #[serde(default, deserialize_with = "nullable")]
    pub metric: MetricIdentifier,
}

/// A custom metric of each pod.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodsMetricSource {
    /// Which metric.
    #[serde(default, deserialize_with = "nullable")]
    pub metric: MetricIdentifier,
    /// The wanted value.
    #[serde(default, deserialize_with = "nullable")]
    pub target: MetricTarget,
}

/// CPU or memory of whole pods.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceMetricSource {
    /// `cpu`, `memory`.
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    /// The wanted value.
    #[serde(default, deserialize_with = "nullable")]
    pub target: MetricTarget,
}

/// CPU or memory of one container of each pod.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerResourceMetricSource {
    /// `cpu`, `memory`.
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    /// The wanted value.
    #[serde(default, deserialize_with = "nullable")]
    pub target: MetricTarget,
    /// The container's name.
    #[serde(default, deserialize_with = "nullable")]
    pub container: String,
}

/// A metric from outside the cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalMetricSource {
    /// Which metric.
    #[serde(default, deserialize_with = "nullable")]
    pub metric: MetricIdentifier,
    /// The wanted value.
    #[serde(default, deserialize_with = "nullable")]
    pub target: MetricTarget,
}

/// Which metric.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricIdentifier {
    /// Its name.
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    /// `matchLabels` and `matchExpressions`; see [`crate::selector::LabelSelector::from_json`]. `None`: all series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Value>,
}

/// The wanted value of a metric.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricTarget {
    /// One of [`super::target_type`].
    #[serde(rename = "type", default, deserialize_with = "nullable")]
    pub type_: String,
    /// For the metric as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Quantity>,
    /// For the metric divided by the number of pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_value: Option<Quantity>,
    /// Percent of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_utilization: Option<i32>,
}
