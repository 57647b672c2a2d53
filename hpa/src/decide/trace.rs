//! The record of one decision: every number that took part, written by the code that decides.
//!
//! Promises: with tracing off nothing is built (parts are passed as closures); as JSON and back it is the same; and
//! [`Trace::replay`] finds the decision again from the numbers alone. A ratio that is no number (nothing divided by
//! nothing) is `null` in JSON.

use super::decision::{Branch, Limit, Proposal};
use super::history::Recommendation;
use super::normalize::Growth;
use super::population::Class;
use super::rules::{Metric, PolicyKind, Select, Target, Tolerances};
use super::switches::Switches;
use super::tally::Tally;
use super::whole::Whole;
use serde::{Deserialize, Serialize};

/// What happened, in the order of the steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    #[serde(skip)]
    pub(super) on: bool,
    /// When, unix milliseconds.
    pub at_ms: i64,
    /// `scale.spec.replicas`.
    pub current: i32,
    /// `minReplicas`.
    pub min: i32,
    /// `maxReplicas`.
    pub max: i32,
    /// The departures from upstream that applied.
    pub switches: Switches,
    /// The branch taken.
    pub branch: Option<Branch>,
    /// One entry per metric, in the order of the spec; empty where none was read.
    pub metrics: Vec<MetricTrace>,
    /// The largest proposal, or what stands for it.
    pub raw: Option<i32>,
    /// Stabilisation.
    pub stabilize: Option<StabilizeTrace>,
    /// Limits.
    pub limit: Option<LimitTrace>,
    /// `minReplicas` was raised while the target was at zero, so that it must leave zero.
    pub leaves_zero: bool,
    /// The result.
    pub desired: Option<i32>,
}

/// One metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricTrace {
    /// Upstream's text for the metric.
    pub metric: String,
    /// What it is compared with.
    pub target: Target,
    /// Ratios between which nothing changes.
    pub tolerance_edges: [f64; 2],
    /// Shares of the target that the edges were made from.
    pub tolerances: Tolerances,
    /// The numbers, where the metric could be computed.
    pub numbers: Option<Numbers>,
    /// Replicas it asks for; `None` if it failed.
    pub proposal: Option<i32>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Numbers behind one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Numbers {
    /// A value per pod.
    PerPod(PerPodTrace),
    /// One value for the whole workload.
    Whole(WholeTrace),
}

/// Numbers behind one metric with a value per pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PerPodTrace {
    /// Counts and sums per class of pods.
    pub tally: Tally,
    /// Usage over target before fill-ins.
    #[serde(deserialize_with = "ratio")]
    pub ratio: f64,
    /// Which classes were filled in.
    pub filled: Filled,
    /// Usage over target after fill-ins.
    #[serde(deserialize_with = "ratio")]
    pub filled_ratio: f64,
    /// Samples after fill-ins.
    pub filled_samples: i64,
    /// Every pod that does not count, with its class and why.
    pub excluded: Vec<Excluded>,
    /// Replicas the metric asks for.
    pub result: i32,
}

/// Which pods were given an assumed value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filled {
    /// Pods without a sample.
    pub missing: bool,
    /// Pods that start; always with zero.
    pub unready: bool,
}

/// A pod that does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// Its name.
    pub pod: String,
    /// Where the rules put it.
    pub class: Class,
    /// The rule that did.
    pub reason: std::borrow::Cow<'static, str>,
}

/// Numbers behind an Object or External metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WholeTrace {
    /// Value and counts.
    pub whole: Whole,
    /// Value over target.
    #[serde(deserialize_with = "ratio")]
    pub ratio: f64,
    /// Replicas the metric asks for.
    pub result: i32,
}

/// Numbers behind stabilisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StabilizeTrace {
    /// Largest proposal.
    pub raw: i32,
    /// Highest recommendation of the down window.
    pub down_floor: i32,
    /// Lowest recommendation of the up window; `None` without `behavior`.
    pub up_ceiling: Option<i32>,
    /// The recommendation that holds the count up, if one does.
    pub deciding: Option<Recommendation>,
    /// The recommendation that holds the count down, if one does.
    pub deciding_up: Option<Recommendation>,
    /// Length of the down window in milliseconds.
    pub down_window_ms: i64,
    /// Length of the up window in milliseconds; 0 without `behavior`.
    pub up_window_ms: i64,
    /// Stabilised count.
    pub result: i32,
}

/// Numbers behind limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitTrace {
    /// Count before.
    pub stabilized: i32,
    /// How the policies of the direction combine; `None` without `behavior` and where the count does not move.
    pub select: Option<Select>,
    /// What each policy of the direction allows, in the order of the spec.
    pub policies: Vec<PolicyTrace>,
    /// Without `behavior`: what growth is counted from.
    pub growth: Option<Growth>,
    /// The speed limit of the direction, where one applies.
    pub rate_limit: Option<i32>,
    /// Which limit changed the count.
    pub limit: Limit,
    /// Count after.
    pub result: i32,
}

/// What one policy allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTrace {
    /// What its value counts.
    pub kind: PolicyKind,
    /// Pods or percent.
    pub value: i32,
    /// Length of its period in seconds.
    pub period_seconds: i32,
    /// Replicas at the start of its period, by the recorded events.
    pub period_start: i32,
    /// The count it allows.
    pub allows: i32,
    /// How far the count may still move in this direction under this policy alone.
    pub left: i32,
    /// When it allows more than now, by events that leave its period, unix milliseconds; `None` if it never does.
    pub frees_at_ms: Option<i64>,
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

    /// What the metric that is being evaluated came to.
    pub(super) fn conclude_metric(&mut self, proposal: &Proposal) {
        let Some(metric) = self.metrics.last_mut() else { return };
        match proposal {
            Ok(outcome) => metric.proposal = Some(outcome.replicas),
            Err(failure) => metric.error = Some(failure.inner.clone()),
        }
    }

    /// Numbers of the metric that is being evaluated.
    pub(super) fn numbers(&mut self, part: impl FnOnce() -> Numbers) {
        if self.on
            && let Some(metric) = self.metrics.last_mut()
        {
            metric.numbers = Some(part());
        }
    }

    pub(super) fn record(&mut self, part: impl FnOnce(&mut Trace)) {
        if self.on {
            part(self);
        }
    }
}

impl MetricTrace {
    pub(super) fn of(metric: &Metric, tolerances: Tolerances) -> Self {
        MetricTrace {
            metric: metric.text.clone(),
            target: metric.target,
            tolerance_edges: [1.0 - tolerances.down, 1.0 + tolerances.up],
            tolerances,
            numbers: None,
            proposal: None,
            error: None,
        }
    }
}

/// JSON has no NaN and no infinity; they are written as `null`.
fn ratio<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
