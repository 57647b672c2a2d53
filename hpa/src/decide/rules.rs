//! What an HPA asks for, compiled once per change of its spec, and the controller's own settings.
//!
//! Quantities are integer milli-units, rounded up as upstream's `MilliValue`; names needed in messages are rendered here,
//! so that deciding allocates nothing.

use super::switches::{Overrides, ScaleTarget, Switches};
use serde::{Deserialize, Serialize};

/// Settings of the controller that take part in a decision; upstream's flags of the same names.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// `--horizontal-pod-autoscaler-tolerance`, as a share of the target.
    pub tolerance: f64,
    /// `--horizontal-pod-autoscaler-cpu-initialization-period`, in milliseconds.
    pub cpu_initialization_ms: i64,
    /// `--horizontal-pod-autoscaler-initial-readiness-delay`, in milliseconds.
    pub initial_readiness_delay_ms: i64,
    /// `--horizontal-pod-autoscaler-downscale-stabilization`, in milliseconds.
    pub downscale_stabilization_ms: i64,
    /// Gate HPAScaleToZero.
    pub scale_to_zero: bool,
    /// Gate HPAConfigurableTolerance: `behavior.*.tolerance` is honoured.
    pub configurable_tolerance: bool,
    /// The no-`behavior` growth limit counts from the replicas that were there this many milliseconds ago.
    ///
    /// Upstream applies the limit once per evaluation, and evaluates once per sync period. With evaluations every second
    /// the same speed needs the count at the start of the period that ends now. `None`: once per evaluation.
    pub growth_period_ms: Option<i64>,
    /// Departures from upstream for every HPA whose annotations do not say otherwise.
    pub switches: Switches,
    /// How long metrics are missing before a fallback applies, unless an HPA's annotations say otherwise.
    pub fallback_after_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            tolerance: 0.1,
            cpu_initialization_ms: 300_000,
            initial_readiness_delay_ms: 30_000,
            downscale_stabilization_ms: 300_000,
            scale_to_zero: true,
            configurable_tolerance: true,
            growth_period_ms: Some(15_000),
            switches: Switches::default(),
            fallback_after_ms: 180_000,
        }
    }
}

/// The compiled spec of one HPA.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rules {
    /// Namespace of the HPA, which is also its target's and its pods'.
    pub namespace: String,
    /// Name of the HPA.
    pub name: String,
    /// `minReplicas`, 1 when unset.
    pub min: i32,
    /// `maxReplicas`.
    pub max: i32,
    /// Metrics in the order of the spec.
    pub metrics: Vec<Metric>,
    /// `None` selects the older normalisation without policies.
    pub behavior: Option<Behavior>,
    /// `scaleTargetRef`.
    pub scale_target: ScaleTarget,
    /// What the annotations say about departures from upstream.
    pub overrides: Overrides,
}

impl Rules {
    /// The departures from upstream that apply.
    pub fn switches(&self, settings: &Settings) -> Switches {
        settings.switches.with(self.overrides, settings.fallback_after_ms)
    }

    /// Whether any metric is of type Object or External: only such HPAs may leave zero by themselves.
    pub fn has_object_or_external(&self) -> bool {
        self.metrics.iter().any(|m| matches!(m.source, Source::Object { .. } | Source::External { .. }))
    }
}

/// One entry of `spec.metrics`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    /// Where values come from.
    pub source: Source,
    /// What they are compared with.
    pub target: Target,
    /// Upstream's text for the metric in reasons and conditions, for example `cpu resource utilization (percentage of request)`.
    pub text: String,
}

/// Source of a metric's values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Source {
    /// Sum over a pod's containers.
    Resource {
        /// `cpu`, `memory` or another resource.
        name: String,
    },
    /// One container of each pod.
    ContainerResource {
        /// `cpu`, `memory` or another resource.
        name: String,
        /// Container's name.
        container: String,
    },
    /// A custom metric of each pod.
    Pods {
        /// Metric's name.
        name: String,
        /// `metric.selector` as written, or null.
        selector: serde_json::Value,
    },
    /// A custom metric of one other object.
    Object {
        /// Metric's name.
        name: String,
        /// `metric.selector` as written, or null.
        selector: serde_json::Value,
        /// The object measured.
        described: Described,
    },
    /// A value from outside of the cluster.
    External {
        /// Metric's name.
        name: String,
        /// `metric.selector` as written, or null.
        selector: serde_json::Value,
        /// The same selector as Go's `%+v` prints it.
        selector_text: String,
    },
    /// A type this version does not know.
    Unknown {
        /// The type as written.
        kind: String,
    },
}

/// `describedObject` of an Object metric.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Described {
    /// Kind, for example `Service`.
    pub kind: String,
    /// Object's name.
    pub name: String,
    /// Group and version, may be empty.
    pub api_version: String,
}

impl Source {
    /// Whether the start-up and readiness rules for CPU apply to the samples.
    pub fn is_cpu(&self) -> bool {
        matches!(self, Source::Resource { name } | Source::ContainerResource { name, .. } if name == "cpu")
    }
}

/// What a metric is compared with. Values are milli-units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// Percent of the request.
    Utilization(i32),
    /// Average over pods.
    AverageValue(i64),
    /// The whole value.
    Value(i64),
    /// No usable target is set; evaluating fails with upstream's text.
    Absent,
}

/// `spec.behavior` after defaulting.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Behavior {
    /// Rules for growing.
    pub scale_up: Direction,
    /// Rules for shrinking.
    pub scale_down: Direction,
}

/// `HPAScalingRules` of one direction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Direction {
    /// `stabilizationWindowSeconds`; `None` takes the controller's down-scale window.
    pub window_seconds: Option<i32>,
    /// How policies combine.
    pub select: Select,
    /// Limits of speed.
    pub policies: Vec<Policy>,
    /// Tolerance of this direction, `None` takes the controller's.
    pub tolerance: Option<f64>,
}

impl Direction {
    /// The longest period of any policy, in milliseconds; older events are of no use.
    pub fn longest_period_ms(&self) -> i64 {
        self.policies.iter().map(|p| i64::from(p.period_seconds) * 1000).max().unwrap_or(0)
    }
}

/// `selectPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Select {
    /// The policy that allows the most change.
    Max,
    /// The policy that allows the least change.
    Min,
    /// No change in this direction.
    Disabled,
}

/// One entry of `policies`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// What `value` counts.
    pub kind: PolicyKind,
    /// Pods or percent.
    pub value: i32,
    /// Length of the window in seconds.
    pub period_seconds: i32,
}

/// `policies[].type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyKind {
    /// Absolute number of pods.
    Pods,
    /// Percent of the replicas at the start of the period.
    Percent,
}

/// Dead band around the target; shares of the target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tolerances {
    /// Below the target.
    pub down: f64,
    /// Above the target.
    pub up: f64,
}

impl Tolerances {
    /// Tolerances of one HPA: per direction when its behaviour says so, else the controller's.
    pub fn of(rules: &Rules, settings: &Settings) -> Self {
        let own = rules.behavior.as_ref().filter(|_| settings.configurable_tolerance);
        Tolerances {
            down: own.and_then(|b| b.scale_down.tolerance).unwrap_or(settings.tolerance),
            up: own.and_then(|b| b.scale_up.tolerance).unwrap_or(settings.tolerance),
        }
    }

    /// Both bounds are inside. NaN is outside.
    pub fn contain(self, ratio: f64) -> bool {
        (1.0 - self.down) <= ratio && ratio <= (1.0 + self.up)
    }
}
