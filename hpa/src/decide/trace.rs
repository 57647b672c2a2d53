//! The record of one decision: every number that took part, written by the code that decides.
//!
//! With tracing off nothing is built: parts are passed as closures.

use super::decision::{Branch, Limit};
use super::history::Recommendation;
use super::population::Class;
use serde::Serialize;

/// What happened, in the order of the steps. Serialisable; not read back by anything that decides.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Trace {
    #[serde(skip)]
    on: bool,
    /// The branch taken.
    pub branch: Option<Branch>,
    /// One entry per metric with a value per pod that could be computed, in the order of the spec.
    pub per_pod: Vec<PerPodTrace>,
    /// What each metric proposed; `None` for a failed one.
    pub proposals: Vec<Option<i32>>,
    /// Stabilisation.
    pub stabilize: Option<StabilizeTrace>,
    /// Limits.
    pub limit: Option<LimitTrace>,
    /// The result.
    pub desired: Option<i32>,
}

/// Numbers behind one metric with a value per pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PerPodTrace {
    /// Pods that count.
    pub ready: i64,
    /// Pods left out because they start.
    pub unready: i64,
    /// Pods without a sample.
    pub missing: i64,
    /// Samples of pods that the list does not hold.
    pub foreign: i64,
    /// Sum over ready pods in milli-units.
    pub usage_milli: i64,
    /// Sum of their requests in milli-units; 0 for a plain target.
    pub requests_milli: i64,
    /// Usage over target before fill-ins.
    pub ratio: f64,
    /// The same after fill-ins.
    pub filled_ratio: f64,
    /// Samples after fill-ins.
    pub filled_samples: i64,
    /// Ratios between which nothing changes.
    pub tolerance_edges: [f64; 2],
    /// Every pod that does not count, with its class.
    pub excluded: Vec<(String, Class)>,
    /// Replicas the metric asks for.
    pub result: i32,
}

/// Numbers behind stabilisation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StabilizeTrace {
    /// Largest proposal.
    pub raw: i32,
    /// Highest recommendation of the down window.
    pub down_floor: i32,
    /// Lowest recommendation of the up window; `None` without `behavior`.
    pub up_ceiling: Option<i32>,
    /// The recommendation that holds the count up, if one does.
    pub deciding: Option<Recommendation>,
    /// Length of the down window in milliseconds.
    pub down_window_ms: i64,
    /// Stabilised count.
    pub result: i32,
}

/// Numbers behind limits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LimitTrace {
    /// Count before.
    pub stabilized: i32,
    /// What each policy of the direction allows, in the order of the spec.
    pub policies: Vec<PolicyTrace>,
    /// The speed limit of the direction, where one applies.
    pub rate_limit: Option<i32>,
    /// Which limit changed the count.
    pub limit: Limit,
    /// Count after.
    pub result: i32,
}

/// What one policy allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PolicyTrace {
    /// Replicas at the start of its period, by the recorded events.
    pub period_start: i32,
    /// The count it allows.
    pub allows: i32,
}

impl Trace {
    /// A trace that records nothing and costs nothing.
    pub fn off() -> Self {
        Trace::default()
    }

    /// A trace that records.
    pub fn on() -> Self {
        Trace { on: true, ..Trace::default() }
    }

    /// Whether it records.
    pub fn is_on(&self) -> bool {
        self.on
    }

    pub(super) fn per_pod(&mut self, part: impl FnOnce() -> PerPodTrace) {
        if self.on {
            self.per_pod.push(part());
        }
    }

    pub(super) fn record(&mut self, part: impl FnOnce(&mut Trace)) {
        if self.on {
            part(self);
        }
    }
}
