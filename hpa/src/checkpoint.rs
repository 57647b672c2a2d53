//! What is kept of a history outside of the process, and what a restart makes of it. Pure.
//!
//! Promises, for a process that dies at any point and comes back with the last stored entries:
//!
//! * It never shrinks a target earlier than it would have without dying. Each entry carries a *ceiling*: no later
//!   recommendation is above it unless a new entry was stored first. After a crash the ceiling stands for what was lost,
//!   from the moment of the restart, and holds back shrinking only.
//! * It never exceeds a policy: a scale event is stored before the scale is written. If it dies between the two, the scale
//!   tells after the restart, and the event is taken back; so growth waits no longer than one evaluation.
//! * At rest nothing is written: steady or falling demand stays under the ceiling.
//!
//! After a clean shutdown the entry is exact and has no ceiling.
//!
//! Format of an entry: JSON, `{"v":1,"c":ceiling,"h":history,"p":pending}` with the short names of [`History`]; times are unix
//! milliseconds. Entries of another version are not read: the HPA then starts as upstream does.

use crate::decide::{Decision, History, Recommendation, Rules};
use serde::{Deserialize, Serialize};

/// Version of the entry format.
pub const FORMAT: u32 = 1;
/// Number of ConfigMaps the entries are spread over.
pub const SHARDS: u32 = 16;
/// Entries of one shard may take this many bytes; a ConfigMap holds a mebibyte.
pub const MAX_SHARD_BYTES: usize = 900 * 1024;

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(rename = "v")]
    version: u32,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    ceiling: Option<i32>,
    #[serde(rename = "h")]
    history: History,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pending: Option<Pending>,
}

/// A rescale that was stored because it was about to be written: whether it was, the scale says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Replicas before.
    #[serde(rename = "f")]
    pub from: i32,
    /// When it was stored, unix milliseconds.
    #[serde(rename = "t")]
    pub at_ms: i64,
}

/// What a restart makes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The history.
    pub history: History,
    /// The rescale that may not have been written.
    pub pending: Option<Pending>,
}

impl Restored {
    /// Takes a rescale back that was stored and never written. Its budget is free again.
    pub fn take_back(history: &mut History, pending: Pending) {
        history.growth.retain(|step| step.at_ms != pending.at_ms);
        for events in [&mut history.scale_ups, &mut history.scale_downs] {
            events.retain(|event| event.at_ms != pending.at_ms);
        }
    }
}

/// What is known to be stored for one HPA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stored {
    /// The ceiling in force; `None`: nothing stored by this process yet.
    pub ceiling: Option<i32>,
    /// When it was stored, unix milliseconds.
    pub at_ms: i64,
}

/// Whether an entry has to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// No.
    Nothing,
    /// At leisure: a lower ceiling would make a restart more exact.
    Later,
    /// Before the scale is written, and before the recommendation is relied on.
    First,
}

/// The part of a recommendation that matters for the ceiling: above the maximum nothing changes.
fn level(rules: &Rules, decision: &Decision) -> Option<i32> {
    decision.record.map(|record| record.replicas.min(rules.max))
}

/// What a decision asks of the store, given the history after its commit. `interval_ms` bounds how often lower ceilings
/// are written.
pub fn need(
    rules: &Rules,
    decision: &Decision,
    history: &History,
    stored: Stored,
    now_ms: i64,
    interval_ms: i64,
) -> Need {
    let raises =
        level(rules, decision).is_some_and(|level| stored.ceiling.is_none_or(|ceiling| level > ceiling));
    if decision.rescales() || raises {
        return Need::First;
    }
    let lower = ceiling(rules, decision, history, stored, now_ms, interval_ms) < stored.ceiling;
    if lower && now_ms - stored.at_ms >= interval_ms { Need::Later } else { Need::Nothing }
}

/// The ceiling to store with a decision: the highest recommendation of the last interval, so that noise does not cause
/// writes; what an earlier crash left to hold; or the old one where the decision recommends nothing.
pub fn ceiling(
    rules: &Rules,
    decision: &Decision,
    history: &History,
    stored: Stored,
    now_ms: i64,
    interval_ms: i64,
) -> Option<i32> {
    let Some(level) = level(rules, decision) else { return stored.ceiling };
    let recent = history.recommendations.iter().filter(|rec| rec.at_ms > now_ms - interval_ms);
    let highest = recent.chain(&history.hold).map(|rec| rec.replicas.min(rules.max)).max();
    Some(level.max(highest.unwrap_or(level)))
}

/// Writes an entry. `ceiling` is `None` only for a clean shutdown; `pending`: the rescale in the history that is written
/// next.
pub fn encode(history: &History, ceiling: Option<i32>, pending: Option<Pending>) -> String {
    let entry = Entry { version: FORMAT, ceiling, history: history.clone(), pending };
    serde_json::to_string(&entry).unwrap_or_default()
}

/// Reads an entry after a restart at `now_ms`; `None` if it is not one of this version.
pub fn decode(text: &str, now_ms: i64) -> Option<Restored> {
    let entry: Entry = serde_json::from_str(text).ok()?;
    if entry.version != FORMAT {
        return None;
    }
    let mut history = entry.history;
    // A clock that was set back must not freeze an HPA until it catches up. No time is before 1970; who wrote one did not
    // mean it, and nothing overflows when times are compared and moved.
    let past = |at_ms: i64| at_ms.max(0).min(now_ms);
    let History { recommendations, scale_ups, scale_downs, growth, hold, failing_since_ms } = &mut history;
    recommendations.iter_mut().chain(hold).for_each(|rec| rec.at_ms = past(rec.at_ms));
    scale_ups.iter_mut().chain(scale_downs).for_each(|event| event.at_ms = past(event.at_ms));
    growth.iter_mut().for_each(|step| step.at_ms = past(step.at_ms));
    failing_since_ms.iter_mut().for_each(|at_ms| *at_ms = past(*at_ms));
    if let Some(ceiling) = entry.ceiling {
        let before = history.hold.map_or(ceiling, |hold| hold.replicas);
        history.hold = Some(Recommendation { replicas: ceiling.max(before), at_ms: now_ms });
    }
    // Times were moved to now; a rescale that was stored in what is now the future is known by that.
    let pending = entry.pending.map(|pending| Pending { at_ms: past(pending.at_ms), ..pending });
    Some(Restored { history, pending })
}

/// Moves all times of a history.
pub fn shift(history: &mut History, by_ms: i64) {
    let History { recommendations, scale_ups, scale_downs, growth, hold, failing_since_ms } = history;
    recommendations.iter_mut().chain(hold).for_each(|rec| rec.at_ms += by_ms);
    scale_ups.iter_mut().chain(scale_downs).for_each(|event| event.at_ms += by_ms);
    growth.iter_mut().for_each(|step| step.at_ms += by_ms);
    failing_since_ms.iter_mut().for_each(|at_ms| *at_ms += by_ms);
}

/// Shard of an HPA: FNV-1a over its UID.
pub fn shard(uid: &str) -> u32 {
    let hash =
        uid.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash % SHARDS
}

/// Name of a shard's ConfigMap.
pub fn shard_name(shard: u32) -> String {
    format!("flyball-hpa-history-{shard}")
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
