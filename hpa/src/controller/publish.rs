//! Writing what an evaluation came to: status and events.

use super::Shared;
use super::shared::subject_of;
use super::state::HpaState;
use crate::report::{self, ErrorClass, Report};
use crate::watch::HpaEntry;
use flyball_model::autoscaling::v2;

/// Writes status and events; gives the class of error the evaluation ends with.
pub(super) async fn publish(
    shared: &Shared,
    entry: &HpaEntry,
    hpa: &v2::HorizontalPodAutoscaler,
    state: &mut HpaState,
    mut report: Report,
) -> ErrorClass {
    if !shared.acts(&entry.uid) {
        return report.error;
    }
    let now_ms = shared.now_ms();
    if is_worth_writing(
        &hpa.status,
        &report.status,
        now_ms - state.status_written_ms,
        shared.config.sync_period_ms(),
    ) {
        match Box::pin(shared.statuses.write(&entry.key.0, &entry.key.1, &report.status)).await {
            Ok(written) => {
                state.status_written_ms = now_ms;
                state.own_mark = Some(written.mark);
                state.written = written.version.map(|version| (version, report.status));
            }
            // The HPA was deleted a moment ago, maybe with its namespace: nobody is left to be told.
            Err(error) if error.is_not_found() => return ErrorClass::Internal,
            Err(error) => {
                // It may have been written all the same.
                state.own_mark = None;
                let message = error.to_string();
                report.notes.push(report::Note { warning: true, reason: "FailedUpdateStatus", message });
                report.error = ErrorClass::Internal;
            }
        }
    }
    if report.notes.is_empty() {
        return report.error;
    }
    let subject = subject_of(entry);
    for note in &report.notes {
        Box::pin(shared.events.record(&subject, note, now_ms)).await;
    }
    report.error
}

/// A status is written when it differs. Measured values and reasons may differ every second, so that where only they do, it
/// is written at most once per sync period; counts, times and the status of a condition are written at once.
fn is_worth_writing(
    old: &v2::HorizontalPodAutoscalerStatus,
    new: &v2::HorizontalPodAutoscalerStatus,
    age_ms: i64,
    sync_period_ms: i64,
) -> bool {
    old != new && (age_ms >= sync_period_ms || !is_outline_same(old, new))
}

/// Whether two statuses are the same but for measured values, reasons and messages. Asked at nearly every evaluation.
fn is_outline_same(old: &v2::HorizontalPodAutoscalerStatus, new: &v2::HorizontalPodAutoscalerStatus) -> bool {
    let v2::HorizontalPodAutoscalerStatus {
        observed_generation,
        last_scale_time,
        current_replicas,
        desired_replicas,
        current_metrics,
        conditions,
    } = old;
    let is_alike = |old: &v2::HorizontalPodAutoscalerCondition,
                    new: &v2::HorizontalPodAutoscalerCondition| {
        let v2::HorizontalPodAutoscalerCondition {
            type_,
            status,
            last_transition_time,
            observed_generation,
            reason: _,
            message: _,
        } = old;
        *type_ == new.type_
            && *status == new.status
            && *last_transition_time == new.last_transition_time
            && *observed_generation == new.observed_generation
    };
    *observed_generation == new.observed_generation
        && *last_scale_time == new.last_scale_time
        && (*current_replicas, *desired_replicas) == (new.current_replicas, new.desired_replicas)
        && current_metrics.len() == new.current_metrics.len()
        && conditions.len() == new.conditions.len()
        && conditions.iter().zip(&new.conditions).all(|(old, new)| is_alike(old, new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_written_at_most_once_per_period() {
        let condition = |status: &str, reason: &str| v2::HorizontalPodAutoscalerCondition {
            type_: "AbleToScale".into(),
            status: status.into(),
            reason: reason.into(),
            message: reason.into(),
            ..Default::default()
        };
        let old = v2::HorizontalPodAutoscalerStatus {
            desired_replicas: 3,
            current_metrics: vec![v2::MetricStatus::default()],
            conditions: vec![condition("True", "A")],
            ..Default::default()
        };
        type Edit = fn(&mut v2::HorizontalPodAutoscalerStatus);
        let cases: [(&str, Edit, bool); 8] = [
            ("a value", |s| s.current_metrics[0].type_ = "Resource".into(), false),
            ("a reason", |s| s.conditions[0].reason = "B".into(), false),
            ("a condition's status", |s| s.conditions[0].status = "False".into(), true),
            ("a condition's time", |s| s.conditions[0].last_transition_time = Some("t".into()), true),
            ("one condition less", |s| s.conditions.clear(), true),
            ("a count", |s| s.desired_replicas = 4, true),
            ("one metric less", |s| s.current_metrics.clear(), true),
            ("a generation", |s| s.observed_generation = Some(1), true),
        ];
        for (what, edit, at_once) in cases {
            let mut new = old.clone();
            edit(&mut new);
            assert_eq!(is_worth_writing(&old, &new, 1_000, 15_000), at_once, "{what}");
            assert!(is_worth_writing(&old, &new, 15_000, 15_000), "{what}");
        }
        assert!(!is_worth_writing(&old, &old.clone(), 99_000, 15_000));
    }
}
