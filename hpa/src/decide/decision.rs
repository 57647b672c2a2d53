//! The result of deciding, as data. Texts are made from it in [`crate::report`]; nothing here allocates for an HPA with
//! one metric that works.

use super::history::Record;
use super::replicas::Outcome as MetricOutcome;
use serde::{Deserialize, Serialize};

/// What to do with one HPA now.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// `scale.spec.replicas` the decision was made on.
    pub current: i32,
    /// Replicas wanted. Equal to `current` means: leave the scale alone.
    pub desired: i32,
    /// Which way the evaluation went.
    pub branch: Branch,
    /// One entry per metric, in the order of the spec; empty on branches that read no metrics.
    pub proposals: Proposals,
    /// Index of the metric that gave the largest proposal.
    pub winner: Option<usize>,
    /// Largest proposal before stabilisation and limits.
    pub raw: Option<i32>,
    /// Why a rescale would be made.
    pub reason: Reason,
    /// What stabilisation did; `None` where it was not reached.
    pub stabilization: Option<Stabilization>,
    /// Which limit changed the stabilised count; `None` where limits were not reached.
    pub limit: Option<Limit>,
    /// Change to the recommendations.
    pub record: Option<Record>,
    /// To remember: since when metrics are missing; `None` without a fallback.
    pub failing_since_ms: Option<i64>,
}

impl Decision {
    /// Whether the scale is to be written.
    pub fn rescales(&self) -> bool {
        self.desired != self.current
    }

    /// Number of metrics that failed.
    pub fn failed_metrics(&self) -> usize {
        self.proposals.iter().filter(|p| p.is_err()).count()
    }
}

/// Way through the evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Branch {
    /// At zero replicas and not allowed to leave: scaling is disabled.
    Disabled,
    /// Current count above `maxReplicas`: set to the bound, nothing else is looked at.
    AboveMax,
    /// Current count below `minReplicas`: set to the bound, nothing else is looked at.
    BelowMin,
    /// The selector cannot be used.
    SelectorFailed,
    /// All metrics failed, or some failed and the rest would shrink the target.
    MetricsFailed,
    /// Metrics have been missing for so long that the fallback stands for them.
    Fallback,
    /// The metrics decided.
    Evaluated,
}

impl Branch {
    /// Whether this branch looks at metrics (and at the selector).
    pub fn reads_metrics(self) -> bool {
        matches!(self, Branch::SelectorFailed | Branch::MetricsFailed | Branch::Fallback | Branch::Evaluated)
    }
}

/// Reason of a rescale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// No text: the raw count equals the current one.
    None,
    /// `Current number of replicas above Spec.MaxReplicas`
    AboveMax,
    /// `Current number of replicas below Spec.MinReplicas`
    BelowMin,
    /// `{metric} above target`, with the index of the metric.
    MetricAboveTarget(usize),
    /// `All metrics below target`
    AllBelowTarget,
    /// Metrics are missing; the fallback applies.
    Fallback,
    /// Held at one count by an annotation; `decide` itself never says so.
    Pinned,
}

/// What stabilisation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stabilization {
    /// Nothing.
    ReadyForNewScale,
    /// Held up by higher recommendations of the window.
    ScaleDownStabilized,
    /// Held down by lower recommendations of the window.
    ScaleUpStabilized,
}

/// Which limit applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// None.
    DesiredWithinRange,
    /// Speed of growth.
    ScaleUpLimit,
    /// Speed of shrinking.
    ScaleDownLimit,
    /// `maxReplicas`.
    TooManyReplicas,
    /// `minReplicas`.
    TooFewReplicas,
}

/// One metric's result.
pub type Proposal = Result<MetricOutcome, Box<MetricFailure>>;

/// Why a metric gave no proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricFailure {
    /// Reason of the event and the condition, for example `FailedGetResourceMetric`.
    pub reason: &'static str,
    /// Text of the metric's own event and condition.
    pub inner: String,
    /// Text with all of upstream's prefixes, used in the summary.
    pub full: String,
    /// The spec is at fault, not the cluster: label `spec` in the controller's metrics.
    pub is_spec_error: bool,
}

/// Results of all metrics. The first is stored in place: most HPAs have one metric and then need no heap.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Proposals {
    first: Option<Proposal>,
    rest: Vec<Proposal>,
}

impl Proposals {
    /// Appends one.
    pub fn push(&mut self, proposal: Proposal) {
        if self.first.is_none() {
            self.first = Some(proposal);
        } else {
            self.rest.push(proposal);
        }
    }

    /// All, in the order of the spec.
    pub fn iter(&self) -> impl Iterator<Item = &Proposal> {
        self.first.iter().chain(&self.rest)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}
