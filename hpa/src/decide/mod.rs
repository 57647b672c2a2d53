//! Metrics to desired replicas: the decision itself.
//!
//! Pure: values and `now` in, values out. On equal inputs and history the result equals that of upstream's
//! horizontal-pod-autoscaler controller, odd corners included; the one difference is the base of the growth limit for HPAs
//! without `behavior`, which is a setting ([`Settings::growth_period_ms`]).
//!
//! With [`Trace::off`] and one working metric nothing is allocated.

mod decision;
pub mod go;
mod history;
mod metrics;
pub mod normalize;
mod population;
mod replay;
pub mod replicas;
mod requests;
mod rules;
mod snapshot;
mod switches;
mod tally;
mod trace;
pub mod whole;

#[cfg(test)]
mod tests;

pub use decision::{Branch, Decision, Limit, MetricFailure, Proposal, Proposals, Reason, Stabilization};
pub use history::{
    GrowthStep, History, MAX_GROWTH_STEPS, PRUNE_RECOMMENDATIONS_AT, Recommendation, Record, ScaleEvent,
};
pub use normalize::Growth;
pub use population::{Cause, Class, classify};
pub use requests::{ContainerRequests, PodRequests};
pub use rules::{
    Behavior, Described, Direction, Metric, Policy, PolicyKind, Rules, Select, Settings, Source, Target,
    Tolerances,
};
pub use snapshot::{
    Input, Owner, Phase, Pod, PodSample, PodSamples, Reading, Ready, Scale, SelectorFailure, Snapshot,
    Tristate,
};
pub use switches::{Fallback, Overrides, ScaleTarget, Switches};
pub use tally::{Sums, Tally};
pub use trace::{
    Excluded, Filled, LimitTrace, MetricTrace, Numbers, PerPodTrace, PolicyTrace, StabilizeTrace, Trace,
    WholeTrace,
};
pub use whole::Whole;

use normalize::Bounds;
use replicas::Frame;

/// Which branch an evaluation takes before any metric is read: [`Branch::Evaluated`] means that metrics are needed.
pub fn branch(rules: &Rules, settings: &Settings, current: i32, scaled_to_zero: bool) -> Branch {
    if current == 0 {
        let zero = settings.scale_to_zero && scaled_to_zero;
        let may_leave = zero && (rules.min != 0 || rules.has_object_or_external());
        if may_leave { Branch::Evaluated } else { Branch::Disabled }
    } else if current > rules.max {
        Branch::AboveMax
    } else if current < rules.min {
        Branch::BelowMin
    } else {
        Branch::Evaluated
    }
}

/// Decides what one HPA wants now.
///
/// Reads `history` without changing it; [`History::remember`] does that.
pub fn decide(snapshot: &Snapshot, now_ms: i64, history: &History, trace: &mut Trace) -> Decision {
    let Snapshot { rules, scale, .. } = *snapshot;
    // From here on the settings are those of this HPA.
    let settings = &Settings { switches: rules.switches(snapshot.settings), ..*snapshot.settings };
    let snapshot = &Snapshot { settings, ..*snapshot };
    let current = scale.spec_replicas;
    trace.record(|trace| {
        let (min, max, switches) = (rules.min, rules.max, settings.switches);
        *trace = Trace { on: true, at_ms: now_ms, current, min, max, switches, ..Trace::default() };
    });
    let branch = branch(rules, settings, current, snapshot.scaled_to_zero);
    let decision = match branch {
        Branch::AboveMax => settled(current, rules.max, branch, Reason::AboveMax),
        Branch::BelowMin => settled(current, rules.min, branch, Reason::BelowMin),
        Branch::Evaluated if snapshot.selector.is_err() => {
            settled(current, current, Branch::SelectorFailed, Reason::None)
        }
        Branch::Evaluated => evaluate(snapshot, now_ms, history, trace),
        _ => settled(current, current, branch, Reason::None),
    };
    trace.record(|trace| {
        trace.branch = Some(decision.branch);
        trace.raw = decision.raw;
        trace.desired = Some(decision.desired);
    });
    decision
}

/// A decision that no metric took part in.
fn settled(current: i32, desired: i32, branch: Branch, reason: Reason) -> Decision {
    Decision {
        current,
        desired,
        branch,
        proposals: Proposals::default(),
        winner: None,
        raw: None,
        reason,
        stabilization: None,
        limit: None,
        record: None,
        failing_since_ms: None,
    }
}

fn evaluate(snapshot: &Snapshot, now_ms: i64, history: &History, trace: &mut Trace) -> Decision {
    let Snapshot { rules, settings, scale, .. } = *snapshot;
    let current = scale.spec_replicas;
    let mut decision = settled(current, current, Branch::MetricsFailed, Reason::None);
    let (largest, winner) = propose_all(snapshot, now_ms, &mut decision.proposals, trace);
    let failed = decision.failed_metrics();
    if failed >= rules.metrics.len() || (failed > 0 && largest < current) {
        fall_back(snapshot, now_ms, history, &mut decision, trace);
        return decision;
    }
    // A negative proposal counts as zero, and without its metric's name.
    let raw = largest.max(0);
    decision.branch = Branch::Evaluated;
    decision.winner = winner;
    decision.reason = if raw > current {
        winner.map_or(Reason::None, Reason::MetricAboveTarget)
    } else if raw < current {
        Reason::AllBelowTarget
    } else {
        Reason::None
    };
    normalize(snapshot, now_ms, history, raw, &mut decision, trace);
    // minReplicas was raised while the target was at zero: leave zero even if the metrics do not ask for it.
    let leaves_zero = current == 0 && rules.min != 0 && settings.scale_to_zero && snapshot.scaled_to_zero;
    trace.record(|trace| trace.leaves_zero = leaves_zero);
    if leaves_zero && decision.desired < rules.min {
        decision.desired = rules.min;
        if decision.reason == Reason::None {
            decision.reason = Reason::BelowMin;
        }
    }
    decision
}

/// Missing metrics, where the HPA says what then: it may raise the count, within all limits, and never lowers it.
fn fall_back(
    snapshot: &Snapshot,
    now_ms: i64,
    history: &History,
    decision: &mut Decision,
    trace: &mut Trace,
) {
    let Some(fallback) = snapshot.settings.switches.fallback else { return };
    let since_ms = history.failing_since_ms.map_or(now_ms, |since_ms| since_ms.min(now_ms));
    decision.failing_since_ms = Some(since_ms);
    if now_ms - since_ms < fallback.after_ms {
        return;
    }
    let raw = fallback.replicas.max(decision.current);
    decision.branch = Branch::Fallback;
    if raw > decision.current {
        decision.reason = Reason::Fallback;
    }
    normalize(snapshot, now_ms, history, raw, decision, trace);
}

/// Stabilises and limits `raw`.
fn normalize(
    snapshot: &Snapshot,
    now_ms: i64,
    history: &History,
    raw: i32,
    decision: &mut Decision,
    trace: &mut Trace,
) {
    let Snapshot { rules, settings, .. } = *snapshot;
    let bounds = Bounds { current: decision.current, min: rules.min, max: rules.max };
    let normalized = match &rules.behavior {
        None => normalize::without_behavior(bounds, raw, history, settings, now_ms, trace),
        Some(rules) => normalize::with_behavior(bounds, raw, rules, history, settings, now_ms, trace),
    };
    decision.raw = Some(raw);
    decision.desired = normalized.replicas;
    decision.stabilization = Some(normalized.stabilization);
    decision.limit = Some(normalized.limit);
    decision.record = Some(normalized.record);
}

/// Evaluates every metric; gives the largest proposal and the metric it came from.
///
/// A proposal replaces the incumbent if that is 0 or smaller, so that ties keep the earlier metric.
fn propose_all(
    snapshot: &Snapshot,
    now_ms: i64,
    proposals: &mut Proposals,
    trace: &mut Trace,
) -> (i32, Option<usize>) {
    let Snapshot { rules, settings, scale, pods, .. } = *snapshot;
    let tolerances = Tolerances::of(rules, settings);
    let frame = Frame {
        current: scale.spec_replicas,
        pods,
        tolerances,
        settings,
        scale_target: &rules.scale_target,
        now_ms,
        cpu: false,
    };
    let (mut largest, mut winner) = (0, None);
    for (index, metric) in rules.metrics.iter().enumerate() {
        let input = snapshot.inputs.get(index);
        trace.record(|trace| trace.metrics.push(MetricTrace::of(metric, tolerances)));
        let proposal = metrics::propose(rules, metric, input, frame, scale.status_replicas, trace);
        trace.record(|trace| trace.conclude_metric(&proposal));
        if let Ok(outcome) = &proposal
            && (largest == 0 || outcome.replicas > largest)
        {
            (largest, winner) = (outcome.replicas, Some(index));
        }
        proposals.push(proposal);
    }
    (largest, winner)
}
