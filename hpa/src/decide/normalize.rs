//! From the raw recommendation to the count that is written: stabilise, limit the speed, clamp.
//!
//! Two paths, chosen by the presence of `behavior`, because upstream's two differ: the older one raises the count to the
//! highest recent recommendation, the newer one only holds it; the older window includes its edge, the newer does not.

use super::decision::{Limit, Stabilization};
use super::go;
use super::history::{History, Record, change_within};
use super::rules::{Behavior, Direction, PolicyKind, Select, Settings};
use super::trace::{LimitTrace, PolicyTrace, StabilizeTrace, Trace};

const GROWTH_FACTOR: f64 = 2.0;
const GROWTH_MINIMUM: f64 = 4.0;

/// Bounds and counts of one normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// `scale.spec.replicas`.
    pub current: i32,
    /// `minReplicas`.
    pub min: i32,
    /// `maxReplicas`.
    pub max: i32,
}

/// Result of one normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Normalized {
    /// The count to write.
    pub replicas: i32,
    /// What stabilisation did.
    pub stabilization: Stabilization,
    /// Which limit applied.
    pub limit: Limit,
    /// What to remember.
    pub record: Record,
}

/// Path for HPAs without `behavior`.
pub fn without_behavior(
    bounds: Bounds,
    raw: i32,
    history: &History,
    settings: &Settings,
    now_ms: i64,
    trace: &mut Trace,
) -> Normalized {
    let cutoff_ms = now_ms - settings.downscale_stabilization_ms;
    let in_window = |at_ms: i64| at_ms >= cutoff_ms;
    let recs = || history.recommendations_or_seed(bounds.current, now_ms).chain(history.hold);
    let stabilized = recs().filter(|r| in_window(r.at_ms)).fold(raw, |high, r| high.max(r.replicas));
    let stabilization = match stabilized == raw {
        true => Stabilization::ReadyForNewScale,
        false => Stabilization::ScaleDownStabilized,
    };
    trace.record(|trace| {
        trace.stabilize = Some(StabilizeTrace {
            raw,
            down_floor: stabilized,
            up_ceiling: None,
            deciding: recs()
                .filter(|r| in_window(r.at_ms) && r.replicas == stabilized)
                .max_by_key(|r| r.at_ms),
            down_window_ms: settings.downscale_stabilization_ms,
            result: stabilized,
        });
    });
    let rate_limit = growth_limit(bounds.current, history, settings, now_ms);
    let (replicas, limit) = clamp_without_behavior(bounds, stabilized, rate_limit);
    trace.record(|trace| {
        let policies = Vec::new();
        trace.limit =
            Some(LimitTrace { stabilized, policies, rate_limit: Some(rate_limit), limit, result: replicas });
    });
    let record = Record { replicas: raw, reusable_before_ms: cutoff_ms };
    Normalized { replicas, stabilization, limit, record }
}

/// `int32(max(2.0 × replicas, 4.0))` of the replicas at the start of the sync period that ends now. Never below the
/// current count, however it came about, since a limit of growth must not shrink.
pub(super) fn growth_limit(current: i32, history: &History, settings: &Settings, now_ms: i64) -> i32 {
    let base = settings
        .growth_period_ms
        .and_then(|period_ms| history.growth.iter().find(|step| step.at_ms > now_ms - period_ms))
        .map_or(current, |step| step.from.min(current));
    go::trunc_i32((GROWTH_FACTOR * f64::from(base)).max(GROWTH_MINIMUM)).max(current)
}

/// `convertDesiredReplicasWithRules`.
pub(super) fn clamp_without_behavior(bounds: Bounds, stabilized: i32, rate_limit: i32) -> (i32, Limit) {
    let (upper, why) = match bounds.max > rate_limit {
        true => (rate_limit, Limit::ScaleUpLimit),
        false => (bounds.max, Limit::TooManyReplicas),
    };
    if stabilized < bounds.min {
        (bounds.min, Limit::TooFewReplicas)
    } else if stabilized > upper {
        (upper, why)
    } else {
        (stabilized, Limit::DesiredWithinRange)
    }
}

/// Path for HPAs with `behavior`.
pub fn with_behavior(
    bounds: Bounds,
    raw: i32,
    behavior: &Behavior,
    history: &History,
    settings: &Settings,
    now_ms: i64,
    trace: &mut Trace,
) -> Normalized {
    let down_default = (settings.downscale_stabilization_ms / 1000) as i32;
    let up_cutoff_ms = now_ms - i64::from(behavior.scale_up.window_seconds.unwrap_or(0)) * 1000;
    let down_window_ms = i64::from(behavior.scale_down.window_seconds.unwrap_or(down_default)) * 1000;
    let down_cutoff_ms = now_ms - down_window_ms;

    let (mut up_ceiling, mut down_floor) = (raw, raw);
    for rec in history.recommendations_or_seed(bounds.current, now_ms) {
        if rec.at_ms > up_cutoff_ms {
            up_ceiling = up_ceiling.min(rec.replicas);
        }
        if rec.at_ms > down_cutoff_ms {
            down_floor = down_floor.max(rec.replicas);
        }
    }
    // Recommendations lost in a crash hold back shrinking, never growing.
    if let Some(hold) = history.hold.filter(|hold| hold.at_ms > down_cutoff_ms) {
        down_floor = down_floor.max(hold.replicas);
    }
    let stabilized = bounds.current.max(up_ceiling).min(down_floor);
    let stabilization = if stabilized == raw {
        Stabilization::ReadyForNewScale
    } else if raw >= bounds.current {
        Stabilization::ScaleUpStabilized
    } else {
        Stabilization::ScaleDownStabilized
    };
    trace.record(|trace| {
        let deciding = history
            .recommendations_or_seed(bounds.current, now_ms)
            .chain(history.hold)
            .filter(|r| r.at_ms > down_cutoff_ms && r.replicas >= stabilized)
            .max_by_key(|r| r.at_ms);
        let up_ceiling = Some(up_ceiling);
        trace.stabilize = Some(StabilizeTrace {
            raw,
            down_floor,
            up_ceiling,
            deciding,
            down_window_ms,
            result: stabilized,
        });
    });
    let (replicas, limit) = limit_rate(bounds, stabilized, behavior, history, now_ms, trace);
    let record = Record { replicas: raw, reusable_before_ms: up_cutoff_ms.min(down_cutoff_ms) };
    Normalized { replicas, stabilization, limit, record }
}

/// `convertDesiredReplicasWithBehaviorRate`.
pub fn limit_rate(
    bounds: Bounds,
    stabilized: i32,
    behavior: &Behavior,
    history: &History,
    now_ms: i64,
    trace: &mut Trace,
) -> (i32, Limit) {
    let Bounds { current, min, max } = bounds;
    let mut result = (stabilized, Limit::DesiredWithinRange);
    let mut rate_limit = None;
    let mut rules = None;
    if stabilized > current {
        let limit = scale_up_limit(current, &behavior.scale_up, history, now_ms).max(current);
        let (upper, why) =
            if max > limit { (limit, Limit::ScaleUpLimit) } else { (max, Limit::TooManyReplicas) };
        if stabilized > upper {
            result = (upper, why);
        }
        (rate_limit, rules) = (Some(limit), Some(&behavior.scale_up));
    } else if stabilized < current {
        let limit = scale_down_limit(current, &behavior.scale_down, history, now_ms).min(current);
        let (lower, why) =
            if min < limit { (limit, Limit::ScaleDownLimit) } else { (min, Limit::TooFewReplicas) };
        if stabilized < lower {
            result = (lower, why);
        }
        (rate_limit, rules) = (Some(limit), Some(&behavior.scale_down));
    }
    trace.record(|trace| {
        let allowed =
            |rules: &Direction| policy_traces(stabilized > current, current, rules, history, now_ms);
        let policies = rules.map(allowed).unwrap_or_default();
        trace.limit =
            Some(LimitTrace { stabilized, policies, rate_limit, limit: result.1, result: result.0 });
    });
    result
}

fn policy_traces(
    up: bool,
    current: i32,
    rules: &Direction,
    history: &History,
    now_ms: i64,
) -> Vec<PolicyTrace> {
    let allowed = if up { up_allowed } else { down_allowed };
    let each = |policy: &super::rules::Policy| {
        let period_start = period_start(current, history, policy.period_seconds, now_ms);
        PolicyTrace { period_start, allows: allowed(period_start, policy.kind, policy.value) }
    };
    rules.policies.iter().map(each).collect()
}

/// Replicas at the start of a period by this controller's own events; a person's scaling is not among them.
fn period_start(current: i32, history: &History, period_seconds: i32, now_ms: i64) -> i32 {
    let added = change_within(&history.scale_ups, period_seconds, now_ms);
    let removed = change_within(&history.scale_downs, period_seconds, now_ms);
    current.wrapping_sub(added).wrapping_add(removed)
}

/// Rounded up: a small percentage must still allow one pod.
fn up_allowed(start: i32, kind: PolicyKind, value: i32) -> i32 {
    match kind {
        PolicyKind::Pods => start.wrapping_add(value),
        PolicyKind::Percent => go::ceil_i32(f64::from(start) * (1.0 + f64::from(value) / 100.0)),
    }
}

fn down_allowed(start: i32, kind: PolicyKind, value: i32) -> i32 {
    match kind {
        PolicyKind::Pods => start.wrapping_sub(value),
        PolicyKind::Percent => go::trunc_i32(f64::from(start) * (1.0 - f64::from(value) / 100.0)),
    }
}

/// The most replicas the growth policies allow now.
pub fn scale_up_limit(current: i32, rules: &Direction, history: &History, now_ms: i64) -> i32 {
    let proposals = rules.policies.iter().map(|policy| {
        let start = period_start(current, history, policy.period_seconds, now_ms);
        up_allowed(start, policy.kind, policy.value)
    });
    match rules.select {
        Select::Disabled => current,
        Select::Min => proposals.fold(i32::MAX, i32::min),
        Select::Max => proposals.fold(i32::MIN, i32::max),
    }
}

/// The fewest replicas the shrinking policies allow now.
pub fn scale_down_limit(current: i32, rules: &Direction, history: &History, now_ms: i64) -> i32 {
    let proposals = rules.policies.iter().map(|policy| {
        let start = period_start(current, history, policy.period_seconds, now_ms);
        down_allowed(start, policy.kind, policy.value)
    });
    match rules.select {
        Select::Disabled => current,
        Select::Min => proposals.fold(i32::MIN, i32::max),
        Select::Max => proposals.fold(i32::MAX, i32::min),
    }
}
