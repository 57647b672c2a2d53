//! A decision to words: conditions, status and events exactly as upstream's controller writes them. Pure.

mod conditions;
mod metric_status;
mod texts;

#[cfg(test)]
mod tests;

pub use conditions::set_condition;
pub use texts::{metric_summary, rescale_reason};

use crate::decide::{Branch, Decision, MetricFailure, Rules, SelectorFailure, Settings};
use conditions::Conditions;
use flyball_model::autoscaling::v2;
use flyball_model::time::rfc3339_seconds;

/// An event to record on the HPA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// `Warning` instead of `Normal`.
    pub warning: bool,
    /// One word.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
}

/// Label `error` of the controller's metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// All went well.
    None,
    /// The HPA's spec is at fault.
    Spec,
    /// Anything else.
    Internal,
}

/// What came of writing the scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rescale {
    /// Nothing was to be written.
    NotNeeded,
    /// The scale was written.
    Done,
    /// It could not be written; the error's text.
    Failed(String),
}

/// What to publish after one evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The new status.
    pub status: v2::HorizontalPodAutoscalerStatus,
    /// Events, in order.
    pub notes: Vec<Note>,
    /// How the evaluation counts in the controller's metrics.
    pub error: ErrorClass,
    /// The error's text, for the log.
    pub error_text: Option<String>,
}

/// Inputs of [`conclude`].
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The HPA as read; its status is the starting point.
    pub hpa: &'a v2::HorizontalPodAutoscaler,
    /// Its compiled spec.
    pub rules: &'a Rules,
    /// Controller's settings.
    pub settings: &'a Settings,
    /// Whether `status.observedGeneration` is written (gate HPAGeneration).
    pub observed_generation: bool,
    /// The decision.
    pub decision: &'a Decision,
    /// Why the selector failed, if it did.
    pub selector: Option<&'a SelectorFailure>,
    /// Unix milliseconds.
    pub now_ms: i64,
}

/// The scale could not be read: only the condition AbleToScale changes.
pub fn scale_unreadable(
    hpa: &v2::HorizontalPodAutoscaler,
    error: &str,
    class: ErrorClass,
    now_ms: i64,
) -> Report {
    let mut status = hpa.status.clone();
    let mut conditions = Conditions::new(&mut status.conditions, now_ms);
    let message = format!("the HPA controller was unable to get the target's current scale: {error}");
    conditions.set("AbleToScale", false, "FailedGetScale", message);
    let notes = vec![Note { warning: true, reason: "FailedGetScale", message: error.to_owned() }];
    Report { status, notes, error: class, error_text: Some(error.to_owned()) }
}

/// The autoscaler is not acted on.
pub fn refused(
    hpa: &v2::HorizontalPodAutoscaler,
    reason: &'static str,
    message: &str,
    now_ms: i64,
) -> Report {
    let mut status = hpa.status.clone();
    Conditions::new(&mut status.conditions, now_ms).set("AbleToScale", false, reason, message.to_owned());
    let notes = vec![Note { warning: true, reason, message: message.to_owned() }];
    Report { status, notes, error: ErrorClass::Spec, error_text: Some(message.to_owned()) }
}

/// Everything to publish after a decision and, where one was made, a write of the scale.
pub fn conclude(facts: Facts, rescale: &Rescale) -> Report {
    let mut report = Report {
        status: facts.hpa.status.clone(),
        notes: Vec::new(),
        error: ErrorClass::None,
        error_text: None,
    };
    let mut list = std::mem::take(&mut report.status.conditions);
    let mut conditions = Conditions::new(&mut list, facts.now_ms);
    let readable = "the HPA controller was able to get the target's current scale";
    conditions.set("AbleToScale", true, "SucceededGetScale", readable.into());
    describe_metrics(&facts, &mut conditions, &mut report);
    let decision = facts.decision;
    let (desired, rescaled) = match (decision.branch, rescale) {
        (Branch::SelectorFailed | Branch::MetricsFailed, _) => (report.status.desired_replicas, false),
        (_, Rescale::NotNeeded) => (decision.current, false),
        (_, Rescale::Done) => {
            describe_rescale(&facts, &mut conditions, &mut report);
            (decision.desired, true)
        }
        (_, Rescale::Failed(error)) => {
            let reason = rescale_reason(facts.rules, decision);
            let message = format!("New size: {}; reason: {reason}; error: {error}", decision.desired);
            report.notes.push(Note { warning: true, reason: "FailedRescale", message });
            let message = format!("the HPA controller was unable to update the target scale: {error}");
            conditions.set("AbleToScale", false, "FailedUpdateScale", message);
            report.fail(ErrorClass::Internal, format!("failed to rescale: {error}"));
            (report.status.desired_replicas, false)
        }
    };
    report.status = v2::HorizontalPodAutoscalerStatus {
        observed_generation: facts.hpa.metadata.generation.filter(|_| facts.observed_generation),
        last_scale_time: match rescaled {
            true => Some(rfc3339_seconds(facts.now_ms)),
            false => report.status.last_scale_time,
        },
        current_replicas: decision.current,
        desired_replicas: desired,
        current_metrics: metric_status::of_all(&facts.hpa.spec.metrics, decision),
        conditions: list,
    };
    report
}

impl Report {
    fn fail(&mut self, class: ErrorClass, text: String) {
        self.error = class;
        self.error_text = Some(text);
    }

    fn warn(&mut self, reason: &'static str, message: String) {
        self.notes.push(Note { warning: true, reason, message });
    }
}

/// Conditions and events of everything before the write.
fn describe_metrics(facts: &Facts, conditions: &mut Conditions, report: &mut Report) {
    let decision = facts.decision;
    let failures: Vec<&MetricFailure> =
        decision.proposals.iter().filter_map(|p| p.as_ref().err().map(|failure| &**failure)).collect();
    for failure in &failures {
        report.warn(failure.reason, failure.inner.clone());
    }
    let summary = failures.first().map(|first| {
        let (failed, all) = (failures.len(), facts.rules.metrics.len());
        (
            class_of(first),
            format!("invalid metrics ({failed} invalid out of {all}), first error is: {}", first.full),
        )
    });
    match decision.branch {
        Branch::AboveMax | Branch::BelowMin => {}
        Branch::Disabled => {
            let message = "scaling is disabled since the replica count of the target is zero";
            conditions.set("ScalingActive", false, "ScalingDisabled", message.into());
            if !facts.settings.scale_to_zero {
                conditions.remove("ScaledToZero");
            }
        }
        Branch::SelectorFailed => {
            let Some(failure) = facts.selector else { return };
            if let Some(reason) = failure.event_reason {
                report.warn(reason, failure.text.clone());
            }
            if let Some((reason, message)) = &failure.condition {
                conditions.set("ScalingActive", false, reason, message.clone());
            }
            report.warn("FailedComputeMetricsReplicas", failure.text.clone());
            report.fail(ErrorClass::Internal, failure.text.clone());
        }
        Branch::MetricsFailed | Branch::Fallback => {
            if let Some(first) = failures.first() {
                let message = format!("the HPA was unable to compute the replica count: {}", first.inner);
                conditions.set("ScalingActive", false, first.reason, message);
            }
            let (class, text) = summary.unwrap_or((ErrorClass::Internal, String::new()));
            report.warn("FailedComputeMetricsReplicas", text.clone());
            report.fail(class, text);
            describe_normalization(decision, conditions);
        }
        Branch::Evaluated => {
            let metric = decision.winner.map_or("", |winner| facts.rules.metrics[winner].text.as_str());
            let message = format!("the HPA was able to successfully calculate a replica count from {metric}");
            conditions.set("ScalingActive", true, "ValidMetricFound", message);
            describe_normalization(decision, conditions);
            if let Some((class, text)) = summary {
                report.fail(class, text);
            }
        }
    }
}

/// What stabilisation and limits did, where they were reached.
fn describe_normalization(decision: &Decision, conditions: &mut Conditions) {
    if let Some(stabilization) = decision.stabilization {
        let (reason, message) = texts::stabilization(stabilization);
        conditions.set("AbleToScale", true, reason, message.into());
    }
    if let Some(limit) = decision.limit {
        let (limited, reason, message) = texts::limit(limit);
        conditions.set("ScalingLimited", limited, reason, message.into());
    }
}

fn class_of(failure: &MetricFailure) -> ErrorClass {
    if failure.is_spec_error { ErrorClass::Spec } else { ErrorClass::Internal }
}

/// Conditions and the event of a write that succeeded.
fn describe_rescale(facts: &Facts, conditions: &mut Conditions, report: &mut Report) {
    let decision = facts.decision;
    let message = format!("the HPA controller was able to update the target scale to {}", decision.desired);
    conditions.set("AbleToScale", true, "SucceededRescale", message);
    let message =
        format!("New size: {}; reason: {}", decision.desired, rescale_reason(facts.rules, decision));
    report.notes.push(Note { warning: false, reason: "SuccessfulRescale", message });
    if !facts.settings.scale_to_zero {
        conditions.remove("ScaledToZero");
        return;
    }
    let to_zero = decision.current > 0 && decision.desired == 0 && facts.rules.min == 0;
    if to_zero && facts.rules.has_object_or_external() {
        let message = "the HPA controller scaled the workload to zero";
        conditions.set("ScaledToZero", true, "ScaledToZero", message.into());
    } else {
        let message = "the HPA controller did not scale the workload to zero";
        conditions.set("ScaledToZero", false, "NotScaledToZero", message.into());
    }
}
