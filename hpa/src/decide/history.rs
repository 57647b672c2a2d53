//! What is remembered about one HPA between evaluations: recommendations, scale events, and recent growth.
//!
//! Promises: nothing is changed while deciding (`decide` reads, [`History::commit`] writes); slots are reused as upstream
//! does; a list never outgrows its named limit, and pruning never changes a later decision.

use super::decision::Decision;
use super::rules::Behavior;
use serde::{Deserialize, Serialize};

/// From this many recommendations on, those that no window can ever choose are dropped.
pub const PRUNE_RECOMMENDATIONS_AT: usize = 64;
/// Growth steps kept; at most one per evaluation falls into a sync period.
pub const MAX_GROWTH_STEPS: usize = 32;

/// Memory of one HPA, by its UID.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Raw recommendations. Upstream's list: old slots are overwritten, the length only grows.
    #[serde(rename = "r", default)]
    pub recommendations: Vec<Recommendation>,
    /// Events of growth, kept only for HPAs with `behavior`.
    #[serde(rename = "u", default)]
    pub scale_ups: Vec<ScaleEvent>,
    /// Events of shrinking, kept only for HPAs with `behavior`.
    #[serde(rename = "d", default)]
    pub scale_downs: Vec<ScaleEvent>,
    /// Rescales upward, for the growth limit of HPAs without `behavior`.
    #[serde(rename = "g", default)]
    pub growth: Vec<GrowthStep>,
    /// After a crash: stands for recommendations that were lost. Holds back shrinking only.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Recommendation>,
    /// Since when no decision could be made from metrics; only kept for HPAs with a fallback.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub failing_since_ms: Option<i64>,
}

/// A replica count a metric asked for, before any limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recommendation {
    /// Replicas.
    #[serde(rename = "n")]
    pub replicas: i32,
    /// Unix milliseconds.
    #[serde(rename = "t")]
    pub at_ms: i64,
}

/// A change of the replica count made by this controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleEvent {
    /// Size of the change, positive in both directions.
    #[serde(rename = "n")]
    pub change: i32,
    /// Unix milliseconds.
    #[serde(rename = "t")]
    pub at_ms: i64,
    /// Marked for reuse. Such an event still counts while a policy's period reaches it.
    #[serde(rename = "o", default, skip_serializing_if = "std::ops::Not::not")]
    pub outdated: bool,
}

/// A rescale upward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrowthStep {
    /// Replicas before it.
    #[serde(rename = "n")]
    pub from: i32,
    /// Unix milliseconds.
    #[serde(rename = "t")]
    pub at_ms: i64,
}

/// The change to the recommendations that a decision asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The raw recommendation.
    pub replicas: i32,
    /// A record strictly older than this may be overwritten.
    pub reusable_before_ms: i64,
}

impl History {
    /// All recommendations; an empty list reads as seeded with the current count now, as upstream does at the first
    /// reconcile.
    pub fn recommendations_or_seed(
        &self,
        current: i32,
        now_ms: i64,
    ) -> impl Iterator<Item = Recommendation> + '_ {
        let seed =
            self.recommendations.is_empty().then_some(Recommendation { replicas: current, at_ms: now_ms });
        self.recommendations.iter().copied().chain(seed)
    }

    /// Seeds an empty list, then stores what the decision recorded.
    pub fn commit(&mut self, current: i32, record: Option<Record>, now_ms: i64) {
        if self.recommendations.is_empty() {
            self.recommendations.push(Recommendation { replicas: current, at_ms: now_ms });
        }
        let Some(record) = record else { return };
        let new = Recommendation { replicas: record.replicas, at_ms: now_ms };
        if let Some(slot) = self.recommendations.iter().rposition(|r| r.at_ms < record.reusable_before_ms) {
            self.recommendations[slot] = new;
        } else if let Some(twin) = self.newest_equal(new) {
            // A newer record of the same value is inside of every window that holds the older one.
            self.recommendations[twin].at_ms = now_ms;
        } else {
            self.recommendations.push(new);
            self.prune();
        }
        if self.hold.is_some_and(|hold| hold.at_ms < record.reusable_before_ms) {
            self.hold = None;
        }
    }

    /// Stores what a decision found: its recommendation, and whether metrics are missing.
    pub fn remember(&mut self, decision: &Decision, now_ms: i64) {
        self.commit(decision.current, decision.record, now_ms);
        self.failing_since_ms = decision.failing_since_ms;
    }

    /// The newest record, if it has the same value.
    fn newest_equal(&self, new: Recommendation) -> Option<usize> {
        let (index, newest) = self.recommendations.iter().enumerate().max_by_key(|(_, r)| r.at_ms)?;
        (newest.replicas == new.replicas && newest.at_ms <= new.at_ms).then_some(index)
    }

    /// Drops records that a newer one beats both as a maximum and as a minimum: no window can choose them any more.
    fn prune(&mut self) {
        if self.recommendations.len() < PRUNE_RECOMMENDATIONS_AT {
            return;
        }
        self.recommendations.sort_by_key(|r| r.at_ms);
        let (mut highest, mut lowest) = (i32::MIN, i32::MAX);
        let mut kept: Vec<Recommendation> = Vec::new();
        for rec in self.recommendations.iter().rev() {
            if rec.replicas > highest || rec.replicas < lowest {
                kept.push(*rec);
            }
            highest = highest.max(rec.replicas);
            lowest = lowest.min(rec.replicas);
        }
        kept.reverse();
        self.recommendations = kept;
    }

    /// Stores a rescale that was made (or, before a checkpoint, is about to be made).
    pub fn record_rescale(&mut self, behavior: Option<&Behavior>, from: i32, to: i32, now_ms: i64) {
        if to > from {
            let is_full = self.growth.len() >= MAX_GROWTH_STEPS;
            match self.growth.last_mut() {
                // The newest two as one that holds the limit down for longer, never for less.
                Some(last) if is_full => last.at_ms = now_ms,
                _ => self.growth.push(GrowthStep { from, at_ms: now_ms }),
            }
        }
        let Some(behavior) = behavior else { return };
        if to > from {
            let cutoff = now_ms - behavior.scale_up.longest_period_ms();
            store(&mut self.scale_ups, to.wrapping_sub(from), cutoff, now_ms);
        } else {
            let cutoff = now_ms - behavior.scale_down.longest_period_ms();
            store(&mut self.scale_downs, from.wrapping_sub(to), cutoff, now_ms);
        }
    }

    /// Forgets growth steps that no longer lie in the sync period.
    pub fn forget_growth(&mut self, before_ms: i64) {
        self.growth.retain(|step| step.at_ms > before_ms);
    }
}

/// Marks what is older than every policy's period, then overwrites the last such slot or appends.
fn store(events: &mut Vec<ScaleEvent>, change: i32, cutoff_ms: i64, now_ms: i64) {
    for event in events.iter_mut().filter(|event| event.at_ms < cutoff_ms) {
        event.outdated = true;
    }
    let new = ScaleEvent { change, at_ms: now_ms, outdated: false };
    match events.iter().rposition(|event| event.outdated) {
        Some(slot) => events[slot] = new,
        None => events.push(new),
    }
}

/// Sum of the changes strictly newer than one period ago.
pub fn change_within(events: &[ScaleEvent], period_seconds: i32, now_ms: i64) -> i32 {
    let cutoff_ms = now_ms - i64::from(period_seconds) * 1000;
    events.iter().filter(|e| e.at_ms > cutoff_ms).fold(0, |sum, e| sum.wrapping_add(e.change))
}
