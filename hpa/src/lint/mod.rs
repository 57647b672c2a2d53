//! The usual mistakes in autoscalers, found by looking at them together with the workloads they scale. Pure.
//!
//! Objects are as in manifests or as the API server lists them; what is not among them is not known, and a rule that would
//! need it stays silent. Rules are in [`rules`], one function each; [`scene`] finds the workload behind an autoscaler.

mod rules;
mod scene;

#[cfg(test)]
mod tests;

use scene::Scene;
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It does not do what it seems to say.
    Warning,
    /// Worth knowing.
    Note,
}

/// Which mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Rule {
    /// The API server would refuse it.
    Invalid,
    /// A container has no request for a resource whose utilisation is the target.
    NoRequests,
    /// `minReplicas` is 0 and growth is limited by percentages: the target never leaves zero.
    PercentOnlyFromZero,
    /// The selector of the target catches pods of someone else.
    ForeignPods,
    /// Usage may change by more than one pod's worth without any reaction.
    WideDeadBand,
    /// Two autoscalers have the same target.
    TwoAutoscalers,
    /// The manifest of the target says a replica count too.
    ReplicasInManifest,
    /// Pods take longer to start than the window after which they are removed again.
    WindowShorterThanStart,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Namespace of the autoscaler.
    pub namespace: String,
    /// Name of the autoscaler.
    pub name: String,
    /// How bad it is.
    pub severity: Severity,
    /// Which mistake.
    pub rule: Rule,
    /// The field at fault, of the autoscaler or of the object that the message names.
    pub field: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let Finding { namespace, name, field, message, rule, .. } = self;
        write!(f, "{severity}: hpa {namespace}/{name}: {field}: {message} ({rule:?})")
    }
}

/// All findings, by autoscaler; warnings come first.
pub fn lint(objects: &[Value]) -> Vec<Finding> {
    let scene = Scene::of(objects);
    let mut findings = Vec::new();
    for autoscaler in &scene.autoscalers {
        rules::invalid(autoscaler, &mut findings);
        rules::two_autoscalers(&scene, autoscaler, &mut findings);
        rules::percent_only(autoscaler, &mut findings);
        rules::dead_band(autoscaler, &mut findings);
        let Some(workload) = scene.target(autoscaler) else { continue };
        rules::no_requests(&scene, autoscaler, workload, &mut findings);
        rules::foreign_pods(&scene, autoscaler, workload, &mut findings);
        rules::replicas_in_manifest(autoscaler, workload, &mut findings);
        rules::windows(&scene, autoscaler, workload, &mut findings);
    }
    findings.sort();
    findings.dedup();
    findings
}
