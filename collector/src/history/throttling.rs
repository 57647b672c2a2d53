//! When throttling is heavy enough to tell of, and when it is over.
//!
//! One condition is one event: it begins when the group was throttled in at least [`BEGIN_PERCENT`] of its periods, pass
//! after pass, for [`BEGIN_MS`], and ends when it was below [`STAY_PERCENT`] for [`CALM_MS`].

use crate::details::Details;

/// Share of periods with throttling from which it counts as heavy.
pub const BEGIN_PERCENT: u64 = 25;
/// How long it has to be heavy, milliseconds.
pub const BEGIN_MS: i64 = 60_000;
/// Share below which it counts as over.
pub const STAY_PERCENT: u64 = 10;
/// How long it has to be over, milliseconds.
pub const CALM_MS: i64 = 60_000;

/// The counters at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Unix milliseconds.
    pub unix_ms: i64,
    /// Periods in which the group wanted to run.
    pub periods: u64,
    /// Those of them in which it was throttled.
    pub throttled_periods: u64,
    /// For how long, nanoseconds, where the kernel says it.
    pub throttled_ns: Option<u64>,
}

impl Counters {
    /// Of a pass; `None` where the group has none.
    pub fn of(details: &Details) -> Option<Counters> {
        Some(Counters {
            unix_ms: details.unix_ms,
            periods: details.cpu.periods?,
            throttled_periods: details.cpu.throttled_periods?,
            throttled_ns: details.cpu.throttled_ns,
        })
    }

    /// What was counted since; `None` when a counter went back.
    pub fn since(&self, earlier: &Counters) -> Option<Counters> {
        Some(Counters {
            unix_ms: self.unix_ms,
            periods: self.periods.checked_sub(earlier.periods)?,
            throttled_periods: self.throttled_periods.checked_sub(earlier.throttled_periods)?,
            throttled_ns: self.throttled_ns.zip(earlier.throttled_ns).and_then(|(a, b)| a.checked_sub(b)),
        })
    }

    /// Whether at least this share of the periods was throttled.
    pub fn reaches(&self, percent: u64) -> bool {
        self.periods > 0 && self.throttled_periods.saturating_mul(100) >= self.periods.saturating_mul(percent)
    }
}

/// What a pass means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing new.
    Quiet,
    /// Heavy for long enough: since when, and what was counted since.
    Begins {
        /// Unix milliseconds.
        from_unix_ms: i64,
        /// Since then.
        counted: Counters,
    },
    /// Still going on: what was counted since the beginning.
    Lasts {
        /// Since the beginning.
        counted: Counters,
    },
    /// It was over at this time, Unix milliseconds.
    Ended {
        /// Unix milliseconds.
        at_unix_ms: i64,
    },
}

/// The condition of one group.
#[derive(Debug, Clone, Copy, Default)]
pub struct Throttling {
    last: Option<Counters>,
    /// The pass before the first heavy one.
    heavy_since: Option<Counters>,
    going_on: bool,
    calm_since_unix_ms: Option<i64>,
}

impl Throttling {
    /// Takes the counters of a pass.
    pub fn take(&mut self, now: Counters) -> Step {
        let Some(last) = self.last.replace(now) else { return Step::Quiet };
        let Some(passed) = now.since(&last) else { return self.stop(last.unix_ms) };
        if self.going_on {
            return self.go_on(now, last, passed);
        }
        if !passed.reaches(BEGIN_PERCENT) {
            self.heavy_since = None;
            return Step::Quiet;
        }
        let from = *self.heavy_since.get_or_insert(last);
        match now.since(&from) {
            Some(counted) if now.unix_ms - from.unix_ms >= BEGIN_MS => {
                self.going_on = true;
                Step::Begins { from_unix_ms: from.unix_ms, counted }
            }
            _ => Step::Quiet,
        }
    }

    /// The group went.
    pub fn gone(&mut self) -> Step {
        let at = self.calm_since_unix_ms.or(self.last.map(|last| last.unix_ms));
        self.stop(at.unwrap_or(0))
    }

    fn go_on(&mut self, now: Counters, last: Counters, passed: Counters) -> Step {
        if passed.reaches(STAY_PERCENT) {
            self.calm_since_unix_ms = None;
            return match self.heavy_since.and_then(|from| now.since(&from)) {
                Some(counted) => Step::Lasts { counted },
                None => Step::Quiet,
            };
        }
        let calm_since = *self.calm_since_unix_ms.get_or_insert(last.unix_ms);
        match now.unix_ms - calm_since >= CALM_MS {
            true => self.stop(calm_since),
            false => Step::Quiet,
        }
    }

    fn stop(&mut self, at_unix_ms: i64) -> Step {
        let went_on = self.going_on;
        *self = Throttling { last: self.last, ..Throttling::default() };
        if went_on { Step::Ended { at_unix_ms } } else { Step::Quiet }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each pass, 10 s after the one before: throttled periods of 100.
    fn story(passes: &[u64]) -> String {
        let (mut state, mut throttled) = (Throttling::default(), 0);
        let mut told = String::new();
        for (at, add) in (0_u64..).zip(passes) {
            throttled += add;
            let now = Counters {
                unix_ms: at as i64 * 10_000,
                periods: at * 100,
                throttled_periods: throttled,
                throttled_ns: Some(throttled * 1_000),
            };
            told += &match state.take(now) {
                Step::Quiet => ".".to_owned(),
                Step::Begins { from_unix_ms, counted } => {
                    format!("[{}s {}/{}]", from_unix_ms / 1_000, counted.throttled_periods, counted.periods)
                }
                Step::Lasts { counted } => format!("+{}", counted.throttled_periods),
                Step::Ended { at_unix_ms } => format!("!{}s", at_unix_ms / 1_000),
            };
        }
        told
    }

    #[test]
    fn stories() {
        for (passes, expected) in [
            (&[0, 30, 30, 30, 30, 30, 30][..], "......[0s 180/600]"),
            (&[0, 30, 30, 24, 30, 30, 30, 30, 30, 30], ".........[30s 180/600]"),
            (&[0, 24, 24, 24, 24, 24, 24, 24, 24], "........."),
            (&[0, 50, 50, 50, 50, 50, 50, 10, 0, 0, 10], "......[0s 300/600]+310..+320"),
            (&[0, 50, 50, 50, 50, 50, 50, 0, 0, 0, 0, 0, 0, 0], "......[0s 300/600].....!60s."),
        ] {
            assert_eq!(story(passes), expected);
        }
    }

    #[test]
    fn a_group_that_goes_or_starts_anew_ends_it() {
        let at = |ms, periods, throttled_periods| Counters {
            unix_ms: ms,
            periods,
            throttled_periods,
            throttled_ns: None,
        };
        let begun = || {
            let mut state = Throttling::default();
            state.take(at(0, 0, 0));
            assert!(matches!(state.take(at(60_000, 600, 600)), Step::Begins { .. }));
            state
        };
        assert_eq!(begun().gone(), Step::Ended { at_unix_ms: 60_000 });
        assert_eq!(begun().take(at(70_000, 5, 5)), Step::Ended { at_unix_ms: 60_000 });
        assert_eq!(Throttling::default().gone(), Step::Quiet);
    }
}
