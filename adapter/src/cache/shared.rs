//! Whether a request is answered by a query of its own or by one that serves many.
//!
//! One autoscaler alone is answered by the query for its own objects, which costs the backend least. As soon as two of them
//! ask different questions of the same rule, one query for all takes their place: one per interval, however many they are.
//! Where the wide query proves too large for the backend, the narrow ones are taken again for a while.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Most wide queries that are remembered.
const WIDE_LIMIT: usize = 4_096;
/// How long a wide query that was too large is not tried again.
const TOO_LARGE_FOR: Duration = Duration::from_secs(600);
/// The same of one that took too long: the backend may only have been busy, and one query costs it less than many.
const TOO_SLOW_FOR: Duration = Duration::from_secs(60);

/// Which query to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The one for this request alone.
    Narrow,
    /// The one for all.
    Wide,
}

/// Who asked what lately.
pub(crate) struct SharedUse {
    /// How long a question counts: autoscalers that ask once per interval must still be seen together.
    memory: Duration,
    hasher: RandomState,
    wide: Mutex<HashMap<u64, Seen>>,
}

#[derive(Default)]
struct Seen {
    /// The last two different narrow questions, the newer one last.
    narrow: [Option<(u64, Instant)>; 2],
    left_until: Option<Instant>,
}

impl SharedUse {
    /// Sees questions together that are asked within three intervals.
    pub(crate) fn new(interval: Duration) -> SharedUse {
        SharedUse { memory: 3 * interval, hasher: RandomState::new(), wide: Mutex::default() }
    }

    /// Takes note of a question, and chooses.
    pub(crate) fn choose(&self, wide: &str, narrow: &str) -> Choice {
        let (wide, narrow) = (self.hasher.hash_one(wide), self.hasher.hash_one(narrow));
        let now = Instant::now();
        let mut all = self.wide.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= WIDE_LIMIT && !all.contains_key(&wide) {
            all.retain(|_, seen| seen.is_recent(now, self.memory));
            if all.len() >= WIDE_LIMIT {
                return Choice::Narrow;
            }
        }
        let seen = all.entry(wide).or_default();
        seen.note(narrow, now);
        if seen.left_until.is_some_and(|until| now < until) {
            return Choice::Narrow;
        }
        let both = seen.narrow.iter().all(|one| one.is_some_and(|(_, at)| now - at <= self.memory));
        if both { Choice::Wide } else { Choice::Narrow }
    }

    /// The wide query was too large for the backend.
    pub(crate) fn too_large(&self, wide: &str) {
        self.leave(wide, TOO_LARGE_FOR);
    }

    /// The backend did not answer the wide query in time.
    pub(crate) fn too_slow(&self, wide: &str) {
        self.leave(wide, TOO_SLOW_FOR);
    }

    fn leave(&self, wide: &str, time: Duration) {
        let key = self.hasher.hash_one(wide);
        let mut all = self.wide.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = all.get_mut(&key) {
            seen.left_until = Some(Instant::now() + time);
        }
    }
}

impl Seen {
    fn note(&mut self, question: u64, now: Instant) {
        match &mut self.narrow {
            [_, Some((last, at))] if *last == question => *at = now,
            [Some((other, _)), last] if *other == question => {
                self.narrow = [*last, Some((question, now))];
            }
            [_, last] => self.narrow = [*last, Some((question, now))],
        }
    }

    fn is_recent(&self, now: Instant, memory: Duration) -> bool {
        let asked = self.narrow[1].is_some_and(|(_, at)| now - at <= memory);
        asked || self.left_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    #[tokio::test(start_paused = true)]
    async fn two_who_ask_differently_share() {
        let seen = SharedUse::new(INTERVAL);
        for _ in 0..5 {
            assert_eq!(seen.choose("wide", "a"), Choice::Narrow, "one alone");
            tokio::time::advance(INTERVAL).await;
        }
        assert_eq!(seen.choose("wide", "b"), Choice::Wide);
        assert_eq!(seen.choose("wide", "a"), Choice::Wide);
        assert_eq!(seen.choose("another", "a"), Choice::Narrow);
        tokio::time::advance(4 * INTERVAL).await;
        assert_eq!(seen.choose("wide", "a"), Choice::Narrow, "b has gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wide_query_that_is_too_large_or_too_slow_is_left_for_a_while() {
        let seen = SharedUse::new(INTERVAL);
        seen.choose("wide", "a");
        assert_eq!(seen.choose("wide", "b"), Choice::Wide);
        for (slow, time) in [(false, TOO_LARGE_FOR), (true, TOO_SLOW_FOR)] {
            if slow {
                seen.too_slow("wide")
            } else {
                seen.too_large("wide")
            }
            tokio::time::advance(time - Duration::from_secs(1)).await;
            seen.choose("wide", "a");
            assert_eq!(seen.choose("wide", "b"), Choice::Narrow);
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(seen.choose("wide", "b"), Choice::Wide);
        }
    }
}
