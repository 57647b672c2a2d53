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
    old != new && (age_ms >= sync_period_ms || outline(old) != outline(new))
}

/// A status without measured values, reasons and messages.
fn outline(status: &v2::HorizontalPodAutoscalerStatus) -> v2::HorizontalPodAutoscalerStatus {
    let bare = |condition: &v2::HorizontalPodAutoscalerCondition| v2::HorizontalPodAutoscalerCondition {
        reason: String::new(),
        message: String::new(),
        ..condition.clone()
    };
    v2::HorizontalPodAutoscalerStatus {
        current_metrics: vec![v2::MetricStatus::default(); status.current_metrics.len()],
        conditions: status.conditions.iter().map(bare).collect(),
        ..status.clone()
    }
}
