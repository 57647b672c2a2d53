//! Cases and results as the peer reads and writes them: one JSON line each. Times are unix milliseconds, amounts
//! milli-units. The peer is `e2e/peers/hpa`, whose field names these are.

use std::collections::BTreeMap;

use flyball_model::autoscaling::v2::HorizontalPodAutoscaler;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// When every case begins: the first moment of testing/synctest.
pub const BEGIN_MS: i64 = 946_684_800_000;

/// An HPA and what happens around it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Case {
    /// With defaults filled in, as the API server stores it.
    #[serde(rename = "HPA")]
    pub hpa: HorizontalPodAutoscaler,
    pub settings: ControllerSettings,
    /// Gate HPAScaleToZero.
    pub scale_to_zero: bool,
    /// Containers and init containers of all pods that have none of their own.
    pub containers: Vec<Container>,
    pub init: Vec<Container>,
    pub steps: Vec<Step>,
}

/// Upstream's flags.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ControllerSettings {
    pub tolerance: f64,
    pub cpu_initialization_ms: i64,
    pub readiness_delay_ms: i64,
    pub downscale_ms: i64,
}

/// One reconcile, and the world at that time.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Step {
    /// Time since the step before.
    pub after_ms: i64,
    /// A new spec, from here on.
    #[serde(skip_serializing_if = "is_default")]
    pub min_replicas: Option<i32>,
    #[serde(skip_serializing_if = "is_default")]
    pub max_replicas: Option<i32>,
    /// Somebody scales by hand.
    #[serde(skip_serializing_if = "is_default")]
    pub set_replicas: Option<i32>,
    /// `status.replicas` where it is not what the spec says.
    #[serde(skip_serializing_if = "is_default")]
    pub status_replicas: Option<i32>,
    pub selector: String,
    #[serde(skip_serializing_if = "is_default")]
    pub pods: Vec<Pod>,
    /// By kind and name: `resource/cpu/`, `resource/cpu/CONTAINER`, `pods/NAME`, `object/NAME`, `external/NAME`.
    pub answers: BTreeMap<String, Answer>,
    #[serde(skip_serializing_if = "is_default")]
    pub scale_error: String,
    #[serde(skip_serializing_if = "is_default")]
    pub update_error: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Pod {
    /// On the way to the peer: it does not have the case's containers.
    #[serde(skip_serializing_if = "is_default")]
    pub own: bool,
    pub name: String,
    pub phase: String,
    #[serde(skip_serializing_if = "is_default")]
    pub deleting: bool,
    pub start_ms: Option<i64>,
    /// Status of the Ready condition; empty for none.
    pub ready: String,
    pub transition_ms: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub pod_level: Option<Amounts>,
    #[serde(skip_serializing_if = "is_default")]
    pub overhead: Option<Amounts>,
    #[serde(skip_serializing_if = "is_default")]
    pub containers: Vec<Container>,
    #[serde(skip_serializing_if = "is_default")]
    pub init: Vec<Container>,
}

/// By resource.
pub type Amounts = BTreeMap<String, i64>;

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Container {
    pub name: String,
    pub requests: Amounts,
    /// Init containers only: it keeps running.
    #[serde(skip_serializing_if = "is_default")]
    pub sidecar: bool,
}

/// What a metrics API says.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Answer {
    /// Not empty: the request failed.
    #[serde(skip_serializing_if = "is_default")]
    pub error: String,
    #[serde(skip_serializing_if = "is_default")]
    pub pods: Vec<Sample>,
    /// Of Object (one) and External metrics.
    #[serde(skip_serializing_if = "is_default")]
    pub values: Vec<i64>,
}

/// A pod's value.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Sample {
    pub pod: String,
    pub value: i64,
    pub timestamp_ms: i64,
    pub window_ms: i64,
}

/// Go reads what is not there as its zero.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What one side makes of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Outcome {
    /// The scale's replicas afterwards.
    pub replicas: i32,
    pub status: Value,
    /// Whether the status was written.
    pub wrote: bool,
    /// Type, reason and message, in order.
    #[serde(deserialize_with = "nullable")]
    pub events: Vec<[String; 3]>,
    /// Not empty: the reconcile counts as failed. The text goes to a log only.
    pub error: String,
}

fn nullable<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<[String; 3]>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
