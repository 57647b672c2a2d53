//! What would change a decision: found by making it again with other numbers. Pure.
//!
//! Usage is varied for one metric at a time, alike for every pod that has a sample ([`super::edges`]); time is varied with
//! usage as it is, under the hold of annotations. Each answer is therefore one that the deciding code itself gives.

use super::edges::edges;
use crate::controls::Controls;
use crate::decide::normalize::policy_traces;
use crate::decide::{
    Decision, Direction, History, PolicyTrace, Select, Snapshot, Stabilization, Trace, decide,
};
use serde::Serialize;

pub use super::edges::Edges;

/// Moments looked at when time is varied.
const MAX_MOMENTS: usize = 256;

/// What would change the decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counterfactuals {
    /// One entry per metric that has a value, in the order of the spec.
    pub metrics: Vec<Edges>,
    /// The first change that time alone brings, with usage as it is.
    pub next: Option<Later>,
    /// When the stabilisation window stops holding the count, with usage as it is.
    pub stabilizer_lets_go: Option<Later>,
    /// What each policy allows now, and when it allows more.
    pub policies: Vec<Budget>,
}

/// A count at a later time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Later {
    /// Unix milliseconds.
    pub at_ms: i64,
    /// Replicas then.
    pub replicas: i32,
}

/// One policy of a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// Whether it limits growing.
    pub up: bool,
    /// How the policies of its direction combine.
    pub select: Select,
    /// What it allows, unless its direction is disabled.
    #[serde(flatten)]
    pub policy: PolicyTrace,
}

/// What would change `decision`, which `decide` made of the other arguments before `controls` held it.
pub fn counterfactuals(
    snapshot: &Snapshot,
    now_ms: i64,
    history: &History,
    decision: &Decision,
    controls: &Controls,
) -> Counterfactuals {
    let edges = (0..snapshot.rules.metrics.len())
        .filter_map(|index| edges(snapshot, index, now_ms, history, decision.current));
    let metrics = edges.collect();
    let desired = controls.apply(decision.clone()).desired;
    let mut next = None;
    let mut lets_go = None;
    for at_ms in moments(snapshot, history, decision, now_ms) {
        let then = controls.apply(decide(snapshot, at_ms, history, &mut Trace::off()));
        let later = Later { at_ms, replicas: then.desired };
        if next.is_none() && then.desired != desired {
            next = Some(later);
        }
        let held = decision.stabilization.is_some_and(|s| s != Stabilization::ReadyForNewScale);
        if lets_go.is_none() && held && then.stabilization == Some(Stabilization::ReadyForNewScale) {
            lets_go = Some(later);
        }
    }
    let policies = policies(snapshot, history, decision.current, now_ms);
    Counterfactuals { metrics, next, stabilizer_lets_go: lets_go, policies }
}

/// Times at which something that holds the count leaves its window or period, the earliest first.
fn moments(snapshot: &Snapshot, history: &History, decision: &Decision, now_ms: i64) -> Vec<i64> {
    let Snapshot { rules, settings, .. } = *snapshot;
    let mut moments = Vec::new();
    let (up_ms, down_ms) = match &rules.behavior {
        None => (0, settings.downscale_stabilization_ms + 1),
        Some(behavior) => {
            let seconds = |direction: &Direction| direction.window_seconds.map(|s| i64::from(s) * 1000);
            let down = seconds(&behavior.scale_down);
            (seconds(&behavior.scale_up).unwrap_or(0), down.unwrap_or(settings.downscale_stabilization_ms))
        }
    };
    for rec in history.recommendations_or_seed(decision.current, now_ms).chain(history.hold) {
        moments.extend([rec.at_ms + up_ms, rec.at_ms + down_ms]);
    }
    for direction in rules.behavior.iter().flat_map(|b| [&b.scale_up, &b.scale_down]) {
        for period_ms in direction.policies.iter().map(|policy| i64::from(policy.period_seconds) * 1000) {
            let events = history.scale_ups.iter().chain(&history.scale_downs);
            moments.extend(events.map(|event| event.at_ms + period_ms));
        }
    }
    if let Some(period_ms) = settings.growth_period_ms {
        moments.extend(history.growth.iter().map(|step| step.at_ms + period_ms));
    }
    moments.retain(|at_ms| *at_ms > now_ms);
    moments.sort_unstable();
    moments.dedup();
    moments.truncate(MAX_MOMENTS);
    moments
}

fn policies(snapshot: &Snapshot, history: &History, current: i32, now_ms: i64) -> Vec<Budget> {
    let Some(behavior) = &snapshot.rules.behavior else { return Vec::new() };
    let exact = snapshot.rules.switches(snapshot.settings).exact_ceiling;
    let of = |up, direction: &Direction| {
        let policies = policy_traces(up, exact, current, direction, history, now_ms);
        let select = direction.select;
        policies.into_iter().map(move |policy| Budget { up, select, policy })
    };
    of(true, &behavior.scale_up).chain(of(false, &behavior.scale_down)).collect()
}

#[cfg(test)]
#[path = "counterfactual_tests.rs"]
mod tests;
