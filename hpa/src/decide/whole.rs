//! Object and External metrics: one number for the whole workload (reference: `GetObjectMetricReplicas` and its siblings).

use super::go;
use super::replicas::{Frame, NO_PODS, Outcome};
use super::rules::Target;
use super::tally::Aim;
use super::trace::{Numbers, Trace, WholeTrace};
use serde::{Deserialize, Serialize};

/// All that the result depends on besides target, tolerance and the current count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Whole {
    /// The value in milli-units.
    pub usage_milli: i64,
    /// `value` form: pods that are Running and Ready. `averageValue` form: `status.replicas`.
    pub pods: i64,
}

impl Whole {
    /// Value over target, per pod for `averageValue`.
    pub(super) fn ratio(&self, target: Target) -> f64 {
        match target {
            Target::AverageValue(milli) => self.usage_milli as f64 / (milli as f64 * self.pods as f64),
            Target::Value(milli) => self.usage_milli as f64 / milli as f64,
            Target::Utilization(_) | Target::Absent => f64::NAN,
        }
    }

    /// Replicas before any limit.
    pub(super) fn replicas(&self, aim: &Aim) -> i32 {
        let within = aim.tolerances.contain(self.ratio(aim.target));
        match aim.target {
            // Compares with `status.replicas`, not with the current count; zero of them is out of tolerance.
            Target::AverageValue(_) if within => self.pods as i32,
            Target::AverageValue(milli) => self.times(1, milli, aim),
            Target::Value(milli) if aim.current == 0 => self.times(1, milli, aim),
            Target::Value(_) if within => aim.current,
            Target::Value(milli) => self.times(self.counted(aim), milli, aim),
            Target::Utilization(_) | Target::Absent => aim.current,
        }
    }

    /// A surge's pods do not lower the value, so they must not raise the result.
    fn counted(&self, aim: &Aim) -> i64 {
        if aim.switches.surge_aware { self.pods.min(i64::from(aim.current)) } else { self.pods }
    }

    fn times(&self, pods: i64, milli: i64, aim: &Aim) -> i32 {
        if aim.switches.exact_ceiling {
            return go::exact_ceil_i32(self.usage_milli, pods, milli);
        }
        go::ceil_i32(self.usage_milli as f64 / milli as f64 * pods as f64)
    }
}

/// `value` form: the ratio times the pods that are Running and Ready; at zero replicas the ratio itself.
///
/// # Errors
///
/// Upstream's text when the selector matches no pod and the target is not at zero.
pub fn value(
    frame: &Frame,
    usage_milli: i64,
    target_milli: i64,
    trace: &mut Trace,
) -> Result<Outcome, String> {
    let target = Target::Value(target_milli);
    let whole = Whole { usage_milli, pods: frame.running_and_ready() };
    if frame.current != 0 && !frame.tolerances.contain(whole.ratio(target)) && frame.has_no_pods() {
        return Err(format!("unable to calculate ready pods: {NO_PODS}"));
    }
    Ok(Outcome {
        replicas: conclude(frame, whole, target, trace),
        utilization: None,
        value_milli: usage_milli,
    })
}

/// `averageValue` form.
pub fn average_value(
    frame: &Frame,
    status_replicas: i32,
    usage_milli: i64,
    target_milli: i64,
    trace: &mut Trace,
) -> Outcome {
    let whole = Whole { usage_milli, pods: i64::from(status_replicas) };
    let replicas = conclude(frame, whole, Target::AverageValue(target_milli), trace);
    Outcome { replicas, utilization: None, value_milli: per_pod_usage(usage_milli, status_replicas) }
}

fn conclude(frame: &Frame, whole: Whole, target: Target, trace: &mut Trace) -> i32 {
    let result = whole.replicas(&frame.aim(target));
    trace.numbers(|| Numbers::Whole(WholeTrace { whole, ratio: whole.ratio(target), result }));
    result
}

/// Sum for External `value`: a positive overflow stays at the largest integer.
pub fn external_sum(values: impl IntoIterator<Item = i64>) -> i64 {
    let mut sum = 0_i64;
    for value in values {
        if value > 0 && sum > i64::MAX - value {
            return i64::MAX;
        }
        sum = sum.wrapping_add(value);
    }
    sum
}

/// Sum for External `averageValue`: any negative running sum is taken for an overflow, so a metric that is truly negative
/// asks for the maximum. Upstream's quirk, kept.
pub fn external_sum_per_pod(values: impl IntoIterator<Item = i64>) -> i64 {
    let mut sum = 0_i64;
    for value in values {
        sum = sum.wrapping_add(value);
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
