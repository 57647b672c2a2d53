//! Failures in upstream's words, with the reason behind them. Pure.

use flyball_apiserver::Status;

use crate::rules::PlanError;
use crate::sources::SourceError;

/// 500 as upstream says it, and why: what upstream has in its log only.
pub(crate) fn unable_to_fetch(reason: &dyn std::fmt::Display) -> Status {
    Status::internal(format!("unable to fetch metrics: {reason}"))
}

/// 400 for a selector: upstream's words, and which one it is.
pub(super) fn bad_selector(parameter: &str, error: &dyn std::fmt::Display) -> Status {
    Status::bad_request(format!("{error} ({parameter})"))
}

/// 404 for a metric, with the sentence that says why.
pub(super) fn no_metric(metric: &str, resource: &str, why: &str) -> Status {
    let message = format!("the server could not find the metric {metric} for {resource}");
    Status::failure(404, "NotFound", with_reason(message, why))
}

/// 404 for a metric of one object.
pub(super) fn no_metric_of(metric: &str, resource: &str, name: &str, why: &str) -> Status {
    let message = format!("the server could not find the metric {metric} for {resource} {name}");
    Status::failure(404, "NotFound", with_reason(message, why))
}

fn with_reason(message: String, why: &str) -> String {
    if why.is_empty() { message } else { format!("{message}: {why}") }
}

/// A request that becomes no query, or whose query gives no values.
pub(super) fn of_source(error: &SourceError) -> Status {
    match error {
        SourceError::Plan(PlanError::Selector { .. } | PlanError::QuantileNeeded { .. }) => {
            Status::bad_request(error.to_string())
        }
        _ => unable_to_fetch(error),
    }
}
