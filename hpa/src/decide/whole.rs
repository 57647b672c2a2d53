//! Object and External metrics: one number for the whole workload (reference: `GetObjectMetricReplicas` and its siblings).

use super::go;
use super::population::running_and_ready;
use super::replicas::{Frame, NO_PODS, Outcome};

/// `value` form: the ratio times the pods that are Running and Ready; at zero replicas the ratio itself.
///
/// # Errors
///
/// Upstream's text when the selector matches no pod and the target is not at zero.
pub fn value(frame: &Frame, usage_milli: i64, target_milli: i64) -> Result<Outcome, String> {
    let ratio = usage_milli as f64 / target_milli as f64;
    let replicas = if frame.current == 0 {
        go::ceil_i32(ratio)
    } else if frame.tolerances.contain(ratio) {
        frame.current
    } else if frame.pods.is_empty() {
        return Err(format!("unable to calculate ready pods: {NO_PODS}"));
    } else {
        go::ceil_i32(ratio * running_and_ready(frame.pods) as f64)
    };
    Ok(Outcome { replicas, utilization: None, value_milli: usage_milli })
}

/// `averageValue` form: compares with `status.replicas`, not with the current count; zero of them is out of tolerance.
pub fn average_value(frame: &Frame, status_replicas: i32, usage_milli: i64, target_milli: i64) -> Outcome {
    let ratio = usage_milli as f64 / (target_milli as f64 * f64::from(status_replicas));
    let replicas = if frame.tolerances.contain(ratio) {
        status_replicas
    } else {
        go::ceil_i32(usage_milli as f64 / target_milli as f64)
    };
    Outcome { replicas, utilization: None, value_milli: per_pod_usage(usage_milli, status_replicas) }
}

/// Sum for External `value`: a positive overflow stays at the largest integer.
pub fn external_sum(values: &[i64]) -> i64 {
    let mut sum = 0_i64;
    for value in values {
        if *value > 0 && sum > i64::MAX - value {
            return i64::MAX;
        }
        sum = sum.wrapping_add(*value);
    }
    sum
}

/// Sum for External `averageValue`: any negative running sum is taken for an overflow, so a metric that is truly negative
/// asks for the maximum. Upstream's quirk, kept.
pub fn external_sum_per_pod(values: &[i64]) -> i64 {
    let mut sum = 0_i64;
    for value in values {
        sum = sum.wrapping_add(*value);
        if sum < 0 {
            return i64::MAX;
        }
    }
    sum
}

/// Average shown in status: rounded up, 0 without replicas.
pub fn per_pod_usage(usage_milli: i64, status_replicas: i32) -> i64 {
    if usage_milli as f64 >= i64::MAX as f64 {
        return i64::MAX;
    }
    if status_replicas == 0 {
        return 0;
    }
    go::ceil_i64(usage_milli as f64 / f64::from(status_replicas))
}
