//! What one decision looked at, kept so that it can be made again: with a trace, or with other numbers.

use crate::decide::{Decision, History, Input, Scale, SelectorFailure, Settings, Snapshot};
use crate::watch::{HpaEntry, Population};
use std::sync::Arc;

/// Everything behind one decision but the settings, which do not change.
pub(crate) struct Evidence {
    pub(crate) entry: Arc<HpaEntry>,
    pub(crate) at_ms: i64,
    pub(crate) scale: Scale,
    pub(crate) scaled_to_zero: bool,
    pub(crate) population: Option<Arc<Population>>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) selector_failure: Option<SelectorFailure>,
}

impl Evidence {
    /// The inputs of the decision.
    pub(crate) fn snapshot<'a>(&'a self, settings: &'a Settings) -> Snapshot<'a> {
        Snapshot {
            rules: &self.entry.rules,
            settings,
            scale: self.scale,
            selector: self.selector_failure.as_ref().map_or(Ok(()), Err),
            pods: self.population.as_ref().map_or(&[], |population| &population.pods),
            inputs: &self.inputs,
            scaled_to_zero: self.scaled_to_zero,
        }
    }
}

/// A decision with all that led to it and what came of it.
pub(crate) struct Page {
    pub(crate) evidence: Evidence,
    /// As it was before the decision.
    pub(crate) history: History,
    pub(crate) decision: Decision,
    pub(crate) rescale: Outcome,
    /// The evaluation's error, if it had one.
    pub(crate) error: Option<String>,
    /// Whether this HPA was ours to write.
    pub(crate) acts: bool,
}

/// What became of the wish to rescale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing was to be written.
    NotNeeded,
    /// The scale was written.
    Done,
    /// Writing failed.
    Failed,
    /// It would have been written, but this HPA is not ours to scale.
    Withheld,
}

impl Outcome {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Outcome::NotNeeded => "NotNeeded",
            Outcome::Done => "Done",
            Outcome::Failed => "Failed",
            Outcome::Withheld => "Withheld",
        }
    }
}
