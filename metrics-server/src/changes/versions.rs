//! Resource versions: names of states that were shown to clients, and the states while a client may come back with one.
//!
//! Versions grow, also over a restart of the replica and beside others: they count up from the time of the start.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::Known;

/// States kept at most.
const STATES_LIMIT: usize = 64;
/// Objects in all states kept, at most.
const OBJECTS_LIMIT: usize = 500_000;
/// How long a state is kept: clients watch right after their list.
const KEPT_MS: i64 = 60_000;
/// Versions of one millisecond of the start; more than are given out per millisecond of running.
const VERSIONS_PER_MS: u64 = 1 << 10;

/// What a state is a state of. Another selection knows nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) resource: &'static str,
    pub(crate) namespace: Option<String>,
    pub(crate) label_selector: String,
    pub(crate) field_selector: String,
}

#[derive(Debug)]
struct Kept {
    version: u64,
    scope: Scope,
    known: Arc<Known>,
    at_ms: i64,
}

/// The versions of one replica.
#[derive(Debug)]
pub(crate) struct Versions(Mutex<State>);

#[derive(Debug)]
struct State {
    last: u64,
    /// Oldest first.
    kept: VecDeque<Kept>,
}

impl Versions {
    /// Versions of a replica that starts now.
    pub(crate) fn new(now_ms: i64) -> Versions {
        let last = u64::try_from(now_ms).unwrap_or(0).saturating_mul(VERSIONS_PER_MS);
        Versions(Mutex::new(State { last, kept: VecDeque::new() }))
    }

    /// A version that was not given out before.
    pub(crate) fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.last = state.last.wrapping_add(1);
        state.last
    }

    /// Keeps what a client has seen as the state of `version`.
    pub(crate) fn keep(&self, version: u64, scope: Scope, known: Arc<Known>, now_ms: i64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.kept.retain(|kept| kept.version != version);
        state.kept.push_back(Kept { version, scope, known, at_ms: now_ms });
        state.forget(now_ms);
    }

    /// The state of `version`, if it is one of this scope and still kept.
    pub(crate) fn find(&self, version: u64, scope: &Scope, now_ms: i64) -> Option<Arc<Known>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget(now_ms);
        let kept = state.kept.iter().find(|kept| kept.version == version && kept.scope == *scope)?;
        Some(kept.known.clone())
    }
}

impl State {
    fn forget(&mut self, now_ms: i64) {
        let objects = |kept: &VecDeque<Kept>| kept.iter().map(|kept| kept.known.len()).sum::<usize>();
        while let Some(oldest) = self.kept.front() {
            let stays = now_ms.saturating_sub(oldest.at_ms) <= KEPT_MS
                && self.kept.len() <= STATES_LIMIT
                && objects(&self.kept) <= OBJECTS_LIMIT;
            if stays {
                return;
            }
            self.kept.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(namespace: &str) -> Scope {
        Scope {
            resource: "pods",
            namespace: Some(namespace.to_owned()),
            label_selector: String::new(),
            field_selector: String::new(),
        }
    }

    #[test]
    fn states_are_found_by_version_and_scope_for_a_while() {
        let versions = Versions::new(1_000);
        let (first, second) = (versions.next(), versions.next());
        assert!(first < second && first > 1_000 * VERSIONS_PER_MS);
        versions.keep(first, scope("a"), Arc::default(), 1_000);
        assert!(versions.find(first, &scope("a"), 1_000 + KEPT_MS).is_some());
        assert!(versions.find(first, &scope("b"), 1_000).is_none(), "another scope");
        assert!(versions.find(second, &scope("a"), 1_000).is_none(), "not kept");
        assert!(versions.find(first, &scope("a"), 1_001 + KEPT_MS).is_none(), "too old");
    }

    #[test]
    fn the_oldest_make_room() {
        let versions = Versions::new(0);
        let all: Vec<u64> = (0..STATES_LIMIT + 1).map(|_| versions.next()).collect();
        for version in &all {
            versions.keep(*version, scope("a"), Arc::default(), 0);
        }
        let found = |version: u64| versions.find(version, &scope("a"), 0).is_some();
        assert_eq!((found(all[0]), found(all[1]), found(all[STATES_LIMIT])), (false, true, true));
    }
}
