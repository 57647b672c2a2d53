//! The HorizontalPodAutoscaler of the API group `autoscaling`: types of v2 (and v1), defaulting, validation, conversion.
//!
//! Behaviour is kube-apiserver's, message texts included. Any object of the right shape can be read, valid or not, so
//! that validation sees it: enumerations are text here, and every field that upstream's decoder lets be absent or
//! `null` may be.

pub mod convert;
mod defaults;
mod internal_json;
mod metadata;
mod nullable;
pub mod v1;
pub mod v2;
mod v2_status;
mod validation;

pub use defaults::{DEFAULT_CPU_UTILIZATION_PERCENT, apply_defaults, default_scale_down, default_scale_up};
pub use metadata::ObjectMeta;
pub use validation::{
    Gates, MAX_PERIOD_SECONDS, MAX_STABILIZATION_WINDOW_SECONDS, validate_create, validate_status_update,
    validate_update,
};

/// The API group.
pub const GROUP: &str = "autoscaling";

/// Values of `MetricSpec.type`.
pub mod metric_type {
    /// CPU or memory of whole pods.
    pub const RESOURCE: &str = "Resource";
    /// CPU or memory of one container of each pod.
    pub const CONTAINER_RESOURCE: &str = "ContainerResource";
    /// A custom metric of each pod.
    pub const PODS: &str = "Pods";
    /// A custom metric of one object.
    pub const OBJECT: &str = "Object";
    /// A metric from outside the cluster.
    pub const EXTERNAL: &str = "External";
}

/// Values of `MetricTarget.type`.
pub mod target_type {
    /// Percent of the request.
    pub const UTILIZATION: &str = "Utilization";
    /// The metric itself.
    pub const VALUE: &str = "Value";
    /// The metric divided by the number of pods.
    pub const AVERAGE_VALUE: &str = "AverageValue";
}

/// Values of `HPAScalingRules.selectPolicy`.
pub mod select_policy {
    /// The policy that allows the largest change.
    pub const MAX: &str = "Max";
    /// The policy that allows the smallest change.
    pub const MIN: &str = "Min";
    /// No scaling in this direction.
    pub const DISABLED: &str = "Disabled";
}

/// Values of `HPAScalingPolicy.type`.
pub mod policy_type {
    /// A number of pods.
    pub const PODS: &str = "Pods";
    /// A percentage of the pods.
    pub const PERCENT: &str = "Percent";
}

/// Values of a condition's `type`.
pub mod condition_type {
    /// The metrics can be read and a count computed.
    pub const SCALING_ACTIVE: &str = "ScalingActive";
    /// The scale can be read and written, and no back-off holds.
    pub const ABLE_TO_SCALE: &str = "AbleToScale";
    /// The computed count was limited.
    pub const SCALING_LIMITED: &str = "ScalingLimited";
    /// The autoscaler itself scaled the target to zero.
    pub const SCALED_TO_ZERO: &str = "ScaledToZero";
}
