//! Decisions for someone who watches inside of the same process.

use crate::decide::{Decision, Rules};
use crate::report::{metric_summary, rescale_reason};

/// One decision, in a form to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Namespace of the HPA.
    pub namespace: String,
    /// Name of the HPA.
    pub name: String,
    /// Unix milliseconds.
    pub at_ms: i64,
    /// Replicas before.
    pub current: i32,
    /// Replicas wanted; in replace mode they have been written when this arrives.
    pub desired: i32,
    /// Why, in upstream's words; empty when nothing changes.
    pub reason: String,
    /// `cpu 72%/50%`, one phrase per metric.
    pub metrics: String,
    /// The first error, if something failed.
    pub error: Option<String>,
}

impl Observation {
    /// Describes a decision.
    pub fn of(rules: &Rules, decision: &Decision, at_ms: i64, error: Option<String>) -> Self {
        Observation {
            namespace: rules.namespace.clone(),
            name: rules.name.clone(),
            at_ms,
            current: decision.current,
            desired: decision.desired,
            reason: rescale_reason(rules, decision),
            metrics: metric_summary(rules, decision),
            error,
        }
    }
}
