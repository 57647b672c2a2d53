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
pub mod replicas;
mod requests;
mod rules;
mod snapshot;
mod trace;
pub mod whole;

#[cfg(test)]
mod tests;

pub use decision::{Branch, Decision, Limit, MetricFailure, Proposal, Proposals, Reason, Stabilization};
pub use history::{
    GrowthStep, History, MAX_GROWTH_STEPS, PRUNE_RECOMMENDATIONS_AT, Recommendation, Record, ScaleEvent,
};
pub use population::{Class, classify, running_and_ready};
pub use requests::{ContainerRequests, PodRequests};
pub use rules::{
    Behavior, Described, Direction, Metric, Policy, PolicyKind, Rules, Select, Settings, Source, Target,
    Tolerances,
};
pub use snapshot::{
    Input, Phase, Pod, PodSample, PodSamples, Ready, Scale, SelectorFailure, Snapshot, Tristate,
};
pub use trace::{LimitTrace, PerPodTrace, PolicyTrace, StabilizeTrace, Trace};

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
/// Reads `history` without changing it; [`History::commit`] with the decision's record does that.
pub fn decide(snapshot: &Snapshot, now_ms: i64, history: &History, trace: &mut Trace) -> Decision {
    let Snapshot { rules, settings, scale, .. } = *snapshot;
    let current = scale.spec_replicas;
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
        trace.proposals = decision.proposals.iter().map(|p| p.as_ref().ok().map(|o| o.replicas)).collect();
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
    }
}

fn evaluate(snapshot: &Snapshot, now_ms: i64, history: &History, trace: &mut Trace) -> Decision {
    let Snapshot { rules, settings, scale, .. } = *snapshot;
    let current = scale.spec_replicas;
    let mut decision = settled(current, current, Branch::MetricsFailed, Reason::None);
    let (largest, winner) = propose_all(snapshot, now_ms, &mut decision.proposals, trace);
    let failed = decision.failed_metrics();
    if failed >= rules.metrics.len() || (failed > 0 && largest < current) {
        return decision;
    }
    // A negative proposal counts as zero, and without its metric's name.
    let raw = largest.max(0);
    decision.branch = Branch::Evaluated;
    decision.winner = winner;
    decision.raw = Some(raw);
    decision.reason = if raw > current {
        winner.map_or(Reason::None, Reason::MetricAboveTarget)
    } else if raw < current {
        Reason::AllBelowTarget
    } else {
        Reason::None
    };
    let bounds = Bounds { current, min: rules.min, max: rules.max };
    let normalized = match &rules.behavior {
        None => normalize::without_behavior(bounds, raw, history, settings, now_ms, trace),
        Some(behavior) => normalize::with_behavior(bounds, raw, behavior, history, settings, now_ms, trace),
    };
    decision.desired = normalized.replicas;
    decision.stabilization = Some(normalized.stabilization);
    decision.limit = Some(normalized.limit);
    decision.record = Some(normalized.record);
    // minReplicas was raised while the target was at zero: leave zero even if the metrics do not ask for it.
    let leaves_zero = current == 0 && rules.min != 0 && settings.scale_to_zero && snapshot.scaled_to_zero;
    if leaves_zero && decision.desired < rules.min {
        decision.desired = rules.min;
        if decision.reason == Reason::None {
            decision.reason = Reason::BelowMin;
        }
    }
    decision
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
    let frame = Frame { current: scale.spec_replicas, pods, tolerances, settings, now_ms, cpu: false };
    let (mut largest, mut winner) = (0, None);
    for (index, metric) in rules.metrics.iter().enumerate() {
        let input = snapshot.inputs.get(index);
        let proposal = metrics::propose(rules, metric, input, frame, scale.status_replicas, trace);
        if let Ok(outcome) = &proposal
            && (largest == 0 || outcome.replicas > largest)
        {
            (largest, winner) = (outcome.replicas, Some(index));
        }
        proposals.push(proposal);
    }
    (largest, winner)
}
