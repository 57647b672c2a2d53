//! Upstream's sentences.

use crate::decide::{Decision, Limit, Reason, Rules, Stabilization};

/// Why the count is changed, as the event says it.
pub fn rescale_reason(rules: &Rules, decision: &Decision) -> String {
    match decision.reason {
        Reason::None => String::new(),
        Reason::AboveMax => "Current number of replicas above Spec.MaxReplicas".into(),
        Reason::BelowMin => "Current number of replicas below Spec.MinReplicas".into(),
        Reason::MetricAboveTarget(metric) => format!("{} above target", rules.metrics[metric].text),
        Reason::AllBelowTarget => "All metrics below target".into(),
        Reason::Fallback => "metrics are missing, the fallback applies".into(),
        Reason::Pinned => format!("Pinned by annotation {}", crate::controls::PIN),
    }
}

/// Reason and message of AbleToScale=True.
pub(super) fn stabilization(stabilization: Stabilization) -> (&'static str, &'static str) {
    match stabilization {
        Stabilization::ReadyForNewScale => ("ReadyForNewScale", "recommended size matches current size"),
        Stabilization::ScaleDownStabilized => (
            "ScaleDownStabilized",
            "recent recommendations were higher than current one, applying the highest recent recommendation",
        ),
        Stabilization::ScaleUpStabilized => (
            "ScaleUpStabilized",
            "recent recommendations were lower than current one, applying the lowest recent recommendation",
        ),
    }
}

/// Status, reason and message of ScalingLimited.
pub(super) fn limit(limit: Limit) -> (bool, &'static str, &'static str) {
    match limit {
        Limit::DesiredWithinRange => {
            (false, "DesiredWithinRange", "the desired count is within the acceptable range")
        }
        Limit::ScaleUpLimit => (
            true,
            "ScaleUpLimit",
            "the desired replica count is increasing faster than the maximum scale rate",
        ),
        Limit::ScaleDownLimit => (
            true,
            "ScaleDownLimit",
            "the desired replica count is decreasing faster than the maximum scale rate",
        ),
        Limit::TooManyReplicas => {
            (true, "TooManyReplicas", "the desired replica count is more than the maximum replica count")
        }
        Limit::TooFewReplicas => {
            (true, "TooFewReplicas", "the desired replica count is less than the minimum replica count")
        }
    }
}

/// One short phrase per metric, for tables that a person watches: `cpu 72%/50%, queue 30/10`.
pub fn metric_summary(rules: &Rules, decision: &Decision) -> String {
    use crate::decide::{Source, Target};
    use flyball_model::quantity::{Quantity, QuantityFormat};
    let quantity = |milli: i64, format| Quantity::from_milli(milli, format).to_string();
    let phrases = rules.metrics.iter().zip(decision.proposals.iter()).map(|(metric, proposal)| {
        let name = match &metric.source {
            Source::Resource { name }
            | Source::ContainerResource { name, .. }
            | Source::Pods { name, .. }
            | Source::Object { name, .. }
            | Source::External { name, .. } => name.as_str(),
            Source::Unknown { kind } => kind.as_str(),
        };
        let format = if name == "memory" { QuantityFormat::BinarySi } else { QuantityFormat::DecimalSi };
        let target = match metric.target {
            Target::Utilization(percent) => format!("{percent}%"),
            Target::AverageValue(milli) | Target::Value(milli) => quantity(milli, format),
            Target::Absent => "?".into(),
        };
        match proposal {
            Ok(outcome) => match outcome.utilization {
                Some(percent) => format!("{name} {percent}%/{target}"),
                None => format!("{name} {}/{target}", quantity(outcome.value_milli, format)),
            },
            Err(_) => format!("{name} ?/{target}"),
        }
    });
    phrases.collect::<Vec<_>>().join(", ")
}
