//! From the raw recommendation to the count that is written: stabilise, limit the speed, clamp.
//!
//! Two paths, chosen by the presence of `behavior`, because upstream's two differ: the older one raises the count to the
//! highest recent recommendation, the newer one only holds it; the older window includes its edge, the newer does not.

use super::decision::{Limit, Stabilization};
use super::go;
use super::history::{History, Recommendation, Record, change_within};
use super::rules::{Behavior, Direction, Policy, PolicyKind, Select, Settings};
use super::trace::{LimitTrace, PolicyTrace, StabilizeTrace, Trace};
use serde::{Deserialize, Serialize};

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
                .max_by_key(|r| r.at_ms)
                .filter(|_| stabilized != raw),
            deciding_up: None,
            down_window_ms: settings.downscale_stabilization_ms,
            up_window_ms: 0,
            result: stabilized,
        });
    });
    let growth = Growth::of(bounds.current, history, settings, now_ms);
    let rate_limit = growth.limit();
    let (replicas, limit) = clamp_without_behavior(bounds, stabilized, rate_limit);
    trace.record(|trace| {
        trace.limit = Some(LimitTrace {
            stabilized,
            select: None,
            policies: Vec::new(),
            growth: Some(growth),
            rate_limit: Some(rate_limit),
            limit,
            result: replicas,
        });
    });
    let record = Record { replicas: raw, reusable_before_ms: cutoff_ms };
    Normalized { replicas, stabilization, limit, record }
}

/// What the growth limit of HPAs without `behavior` counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// The count now.
    pub current: i32,
    /// The count at the start of the sync period that ends now, as far as growth lowered it.
    pub base: i32,
}

impl Growth {
    pub(super) fn of(current: i32, history: &History, settings: &Settings, now_ms: i64) -> Self {
        let base = settings
            .growth_period_ms
            .and_then(|period_ms| history.growth.iter().find(|step| step.at_ms > now_ms - period_ms))
            .map_or(current, |step| step.from.min(current));
        Growth { current, base }
    }

    /// `int32(max(2.0 × base, 4.0))`. Never below the current count, however it came about, since a limit of growth must
    /// not shrink.
    pub(super) fn limit(self) -> i32 {
        go::trunc_i32((GROWTH_FACTOR * f64::from(self.base)).max(GROWTH_MINIMUM)).max(self.current)
    }
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
    let up_window_ms = i64::from(behavior.scale_up.window_seconds.unwrap_or(0)) * 1000;
    let up_cutoff_ms = now_ms - up_window_ms;
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
    let stabilized = stabilize(bounds.current, up_ceiling, down_floor);
    let stabilization = if stabilized == raw {
        Stabilization::ReadyForNewScale
    } else if raw >= bounds.current {
        Stabilization::ScaleUpStabilized
    } else {
        Stabilization::ScaleDownStabilized
    };
    trace.record(|trace| {
        let newest = |wanted: &dyn Fn(&Recommendation) -> bool| {
            let all = history.recommendations_or_seed(bounds.current, now_ms).chain(history.hold);
            all.filter(wanted).max_by_key(|r| r.at_ms)
        };
        let holds_up = |r: &Recommendation| r.at_ms > down_cutoff_ms && r.replicas >= stabilized;
        let holds_down = |r: &Recommendation| r.at_ms > up_cutoff_ms && r.replicas <= stabilized;
        trace.stabilize = Some(StabilizeTrace {
            raw,
            down_floor,
            up_ceiling: Some(up_ceiling),
            deciding: newest(&holds_up).filter(|_| raw < stabilized),
            deciding_up: newest(&holds_down).filter(|_| raw > stabilized),
            down_window_ms,
            up_window_ms,
            result: stabilized,
        });
    });
    let (replicas, limit) = limit_rate(bounds, stabilized, behavior, history, settings, now_ms, trace);
    let record = Record { replicas: raw, reusable_before_ms: up_cutoff_ms.min(down_cutoff_ms) };
    Normalized { replicas, stabilization, limit, record }
}

/// The current count, brought within what the windows allow.
pub(super) fn stabilize(current: i32, up_ceiling: i32, down_floor: i32) -> i32 {
    current.max(up_ceiling).min(down_floor)
}

/// `convertDesiredReplicasWithBehaviorRate`.
pub fn limit_rate(
    bounds: Bounds,
    stabilized: i32,
    behavior: &Behavior,
    history: &History,
    settings: &Settings,
    now_ms: i64,
    trace: &mut Trace,
) -> (i32, Limit) {
    let current = bounds.current;
    let exact = settings.switches.exact_ceiling;
    let up = stabilized > current;
    let rules = match stabilized == current {
        true => None,
        false => Some(if up { &behavior.scale_up } else { &behavior.scale_down }),
    };
    let allows = |policy: &Policy| {
        let start = period_start(current, history, policy.period_seconds, now_ms);
        allowed(up, exact, start, policy.kind, policy.value)
    };
    let rate_limit =
        rules.map(|rules| rate_limit(up, current, rules.select, rules.policies.iter().map(allows)));
    let result =
        rate_limit.map_or((stabilized, Limit::DesiredWithinRange), |rate| clamp(bounds, stabilized, rate));
    trace.record(|trace| {
        let policies = rules.map(|rules| policy_traces(up, exact, current, rules, history, now_ms));
        trace.limit = Some(LimitTrace {
            stabilized,
            select: rules.map(|rules| rules.select),
            policies: policies.unwrap_or_default(),
            growth: None,
            rate_limit,
            limit: result.1,
            result: result.0,
        });
    });
    result
}

/// Bounds and speed limit of the direction in which the count moves.
pub(super) fn clamp(bounds: Bounds, stabilized: i32, rate_limit: i32) -> (i32, Limit) {
    let Bounds { current, min, max } = bounds;
    if stabilized > current {
        let (upper, why) =
            if max > rate_limit { (rate_limit, Limit::ScaleUpLimit) } else { (max, Limit::TooManyReplicas) };
        if stabilized > upper {
            return (upper, why);
        }
    } else if stabilized < current {
        let (lower, why) =
            if min < rate_limit { (rate_limit, Limit::ScaleDownLimit) } else { (min, Limit::TooFewReplicas) };
        if stabilized < lower {
            return (lower, why);
        }
    }
    (stabilized, Limit::DesiredWithinRange)
}

/// What each policy of a direction allows now.
pub fn policy_traces(
    up: bool,
    exact: bool,
    current: i32,
    rules: &Direction,
    history: &History,
    now_ms: i64,
) -> Vec<PolicyTrace> {
    let each = |policy: &Policy| {
        let Policy { kind, value, period_seconds } = *policy;
        let start = period_start(current, history, period_seconds, now_ms);
        let allows = allowed(up, exact, start, kind, value);
        let left = if up { allows.saturating_sub(current) } else { current.saturating_sub(allows) };
        let frees = |at_ms: &i64| {
            let start = period_start(current, history, period_seconds, *at_ms);
            let then = allowed(up, exact, start, kind, value);
            if up { then > allows } else { then < allows }
        };
        let frees_at_ms = leaving(history, period_seconds, now_ms).into_iter().find(frees);
        PolicyTrace {
            kind,
            value,
            period_seconds,
            period_start: start,
            allows,
            left: left.max(0),
            frees_at_ms,
        }
    };
    rules.policies.iter().map(each).collect()
}

/// When each event that is in a period now leaves it, the first one first.
fn leaving(history: &History, period_seconds: i32, now_ms: i64) -> Vec<i64> {
    let events = history.scale_ups.iter().chain(&history.scale_downs);
    let mut times: Vec<i64> = events.map(|event| event.at_ms + i64::from(period_seconds) * 1000).collect();
    times.retain(|at_ms| *at_ms > now_ms);
    times.sort_unstable();
    times
}

/// Replicas at the start of a period by this controller's own events; a person's scaling is not among them.
fn period_start(current: i32, history: &History, period_seconds: i32, now_ms: i64) -> i32 {
    let added = change_within(&history.scale_ups, period_seconds, now_ms);
    let removed = change_within(&history.scale_downs, period_seconds, now_ms);
    current.wrapping_sub(added).wrapping_add(removed)
}

/// The count that one policy allows. A percentage upward is rounded up: a small one must still allow one pod.
pub(super) fn allowed(up: bool, exact: bool, start: i32, kind: PolicyKind, value: i32) -> i32 {
    let share = |value: i64| i64::from(start) * value;
    match (kind, up) {
        (PolicyKind::Pods, true) => start.wrapping_add(value),
        (PolicyKind::Pods, false) => start.wrapping_sub(value),
        (PolicyKind::Percent, true) if exact => go::exact_ceil_i32(share(100 + i64::from(value)), 1, 100),
        (PolicyKind::Percent, false) if exact => go::saturate_i32(share(100 - i64::from(value)) / 100),
        (PolicyKind::Percent, true) => go::ceil_i32(f64::from(start) * (1.0 + f64::from(value) / 100.0)),
        (PolicyKind::Percent, false) => go::trunc_i32(f64::from(start) * (1.0 - f64::from(value) / 100.0)),
    }
}

/// The most (growing) or fewest (shrinking) replicas that the policies together allow, never against the direction.
pub(super) fn rate_limit(up: bool, current: i32, select: Select, allowed: impl Iterator<Item = i32>) -> i32 {
    let combined = match (select, up) {
        (Select::Disabled, _) => current,
        (Select::Min, true) | (Select::Max, false) => allowed.fold(i32::MAX, i32::min),
        (Select::Max, true) | (Select::Min, false) => allowed.fold(i32::MIN, i32::max),
    };
    if up { combined.max(current) } else { combined.min(current) }
}
