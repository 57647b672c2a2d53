//! A decision as an object of `decisions.flyball.io/v1`, and as a row of a table. Pure.

use super::book::{Chapter, Rescaled};
use super::counterfactual::counterfactuals;
use super::evidence::Page;
use crate::decide::{Branch, Limit, Settings, Stabilization, Trace, decide};
use crate::report::{metric_summary, rescale_reason};
use flyball_apiserver::table::Column;
use flyball_model::time::{rfc3339_micros, short_age};
use serde_json::{Value, json};

/// The API group.
pub const GROUP: &str = "decisions.flyball.io";
/// Its version.
pub const VERSION: &str = "v1";
/// Kind of its objects.
pub const KIND: &str = "Decision";

/// Who decided, and in which mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decider {
    pub(crate) identity: String,
    pub(crate) mode: String,
}

/// How much of a decision is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Without trace and counterfactuals, as lists have it.
    Brief,
    /// All.
    Full,
}

/// Columns of the table.
pub(crate) const COLUMNS: [Column; 9] = [
    Column::new("Name", "name", "Name of the HorizontalPodAutoscaler."),
    Column::new("Reference", "", "What it scales."),
    Column::new("Metrics", "", "Value and target of each metric."),
    Column::new("Current", "", "Replicas that the decision found.").of_type("integer"),
    Column::new("Wanted", "", "Replicas that the metrics ask for, before windows and limits.")
        .of_type("integer"),
    Column::new("Desired", "", "Replicas decided on.").of_type("integer"),
    Column::new("Why", "", "What decided."),
    Column::new("Age", "", "Time since the decision.").of_type("date"),
    Column::new("Rescale", "", "What became of it.").wide(),
];

/// RFC 3339 with milliseconds and more.
fn time(at_ms: i64) -> String {
    rfc3339_micros(at_ms.saturating_mul(1000))
}

/// The object.
pub(crate) fn object(chapter: &Chapter, settings: &Settings, decider: &Decider, detail: Detail) -> Value {
    let (entry, hpa) = (&chapter.entry, &chapter.entry.hpa);
    let mut metadata = json!({ "name": entry.key.1, "namespace": entry.key.0, "uid": entry.uid });
    if !hpa.metadata.labels.is_empty() {
        metadata["labels"] = json!(hpa.metadata.labels);
    }
    if let Some(created) = &hpa.metadata.creation_timestamp {
        metadata["creationTimestamp"] = json!(created);
    }
    let mut object = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": KIND,
        "metadata": metadata,
        "spec": { "scaleTargetRef": hpa.spec.scale_target_ref, "minReplicas": entry.rules.min,
            "maxReplicas": entry.rules.max },
        "status": { "decidedBy": decider.identity, "mode": decider.mode },
        "changes": chapter.changes.iter().map(change).collect::<Vec<_>>(),
    });
    if let Some((why, at_ms)) = &chapter.unreadable {
        object["status"]["error"] = json!(why);
        object["status"]["failedAt"] = json!(time(*at_ms));
    }
    if let Some(page) = &chapter.page {
        tell(&mut object["status"], page);
        if detail == Detail::Full {
            let settings = page.evidence.entry.settings(settings);
            let snapshot = page.evidence.snapshot(&settings);
            let (at_ms, history) = (page.evidence.at_ms, &page.history);
            let mut trace = Trace::on();
            let replayed = decide(&snapshot, at_ms, history, &mut trace);
            debug_assert_eq!(replayed.raw, page.decision.raw, "the trace is of the same decision");
            object["trace"] = json!(trace);
            let controls = &page.evidence.entry.controls;
            object["counterfactuals"] =
                json!(counterfactuals(&snapshot, at_ms, history, &replayed, controls));
        }
    }
    object
}

fn change(change: &Rescaled) -> Value {
    json!({ "at": time(change.at_ms), "from": change.from, "to": change.to, "reason": change.reason,
        "rescale": change.outcome.text() })
}

fn tell(status: &mut Value, page: &Page) {
    let (rules, decision) = (&page.evidence.entry.rules, &page.decision);
    status["decidedAt"] = json!(time(page.evidence.at_ms));
    status["acting"] = json!(page.acts);
    status["currentReplicas"] = json!(decision.current);
    status["wantedReplicas"] = json!(decision.raw);
    status["desiredReplicas"] = json!(decision.desired);
    status["branch"] = json!(decision.branch);
    status["stabilization"] = json!(decision.stabilization);
    status["limit"] = json!(decision.limit);
    status["reason"] = json!(rescale_reason(rules, decision));
    status["why"] = json!(why(page));
    status["rescale"] = json!(page.rescale.text());
    status["summary"] = json!(metric_summary(rules, decision));
    if let Some((reason, message)) = page.evidence.entry.controls.condition() {
        let allows = page.evidence.entry.controls.hold.allows();
        status["held"] = json!({ "reason": reason, "message": message, "allows": allows });
    }
    if let Some(error) = &page.error {
        status["error"] = json!(error);
    }
    let metrics = rules.metrics.iter().zip(decision.proposals.iter()).map(|(metric, proposal)| {
        let mut told = json!({ "metric": metric.text, "target": metric.target });
        match proposal {
            Ok(outcome) => {
                told["proposal"] = json!(outcome.replicas);
                told["valueMilli"] = json!(outcome.value_milli);
                told["utilization"] = json!(outcome.utilization);
            }
            Err(failure) => told["error"] = json!(failure.inner),
        }
        told
    });
    status["metrics"] = metrics.collect();
}

/// The one thing that decided, in few words.
fn why(page: &Page) -> String {
    let decision = &page.decision;
    if let Some((reason, _)) = page.evidence.entry.controls.condition() {
        return reason.into();
    }
    match decision.branch {
        Branch::Disabled => return "ScalingDisabled".into(),
        Branch::AboveMax => return "AboveMaxReplicas".into(),
        Branch::BelowMin => return "BelowMinReplicas".into(),
        Branch::SelectorFailed => return "InvalidSelector".into(),
        Branch::MetricsFailed => {
            let failure = decision.proposals.iter().find_map(|proposal| proposal.as_ref().err());
            return failure.map_or("MetricsFailed", |failure| failure.reason).into();
        }
        Branch::Fallback => return "Fallback".into(),
        Branch::Evaluated => {}
    }
    match (decision.limit, decision.stabilization) {
        (Some(limit), _) if limit != Limit::DesiredWithinRange => format!("{limit:?}"),
        (_, Some(held)) if held != Stabilization::ReadyForNewScale => format!("{held:?}"),
        _ if decision.rescales() => "MetricsDecide".into(),
        _ => "WithinTolerance".into(),
    }
}

/// Cells of the table, one per column of [`COLUMNS`]. kubectl prints them as they are, an age too.
pub(crate) fn cells(chapter: &Chapter, now_ms: i64) -> Vec<Value> {
    let age = |at_ms: i64| short_age((now_ms - at_ms) / 1000);
    let target = &chapter.entry.hpa.spec.scale_target_ref;
    let reference = format!("{}/{}", target.kind, target.name);
    let mut cells = vec![json!(chapter.entry.key.1), json!(reference)];
    match &chapter.page {
        None => {
            let at = chapter.unreadable.as_ref().map(|(_, at_ms)| age(*at_ms));
            cells.extend([
                json!("<unknown>"),
                Value::Null,
                Value::Null,
                Value::Null,
                json!("FailedGetScale"),
                json!(at),
                json!(""),
            ]);
        }
        Some(page) => {
            let (rules, decision) = (&page.evidence.entry.rules, &page.decision);
            let summary = metric_summary(rules, decision);
            let why = if chapter.unreadable.is_some() { "FailedGetScale".into() } else { why(page) };
            cells.extend([
                json!(if summary.is_empty() { "<none>" } else { &summary }),
                json!(decision.current),
                json!(decision.raw),
                json!(decision.desired),
                json!(why),
                json!(age(page.evidence.at_ms)),
                json!(page.rescale.text()),
            ]);
        }
    }
    cells
}
