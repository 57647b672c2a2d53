//! When a target is scraped, and which time its samples get. Pure; times are Unix milliseconds.
//!
//! Each target has its own phase on a grid of its interval, the same after a restart, so that targets are spread and their
//! samples' times compress well.

use std::time::Duration;

use super::target::Target;
use crate::interval::spread_ms;

/// How late a scrape may be and still count as the grid's: at most this, and a hundredth of the interval.
const TOLERANCE_MS: i64 = 2;

/// A target's grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    interval_ms: i64,
    phase_ms: i64,
}

impl Grid {
    /// `seed` differs between servers, so that two of them do not ask at the same moment.
    pub(super) fn new(target: &Target, seed: u64) -> Grid {
        let labels = target.labels.iter().flat_map(|(name, value)| [name, "\0", value, "\0"]);
        let name: String = labels.chain([target.url.to_string().as_str()]).collect();
        let interval_ms = i64::try_from(target.interval.as_millis()).unwrap_or(i64::MAX).max(1);
        let spread_ms = spread_ms(&name, interval_ms.unsigned_abs()).cast_signed();
        let seed_ms = (seed % interval_ms.unsigned_abs()).cast_signed();
        Grid { interval_ms, phase_ms: (spread_ms + seed_ms) % interval_ms }
    }

    /// How long to wait for the first scrape.
    pub(super) fn first(self, now_ms: i64) -> Duration {
        millis((self.phase_ms - now_ms).rem_euclid(self.interval_ms))
    }

    /// The time of samples of a scrape that begins now.
    pub(super) fn stamp(self, now_ms: i64) -> i64 {
        let late_ms = (now_ms - self.phase_ms).rem_euclid(self.interval_ms);
        if late_ms <= TOLERANCE_MS.min(self.interval_ms / 100) { now_ms - late_ms } else { now_ms }
    }

    /// How long to wait after the scrape that began at `begun_ms`. Times of the grid that have passed are left out. A timer
    /// that was early, and a clock that was set, cost no more than one interval.
    pub(super) fn next(self, begun_ms: i64, now_ms: i64) -> Duration {
        let half = self.interval_ms / 2;
        let tick = (begun_ms - self.phase_ms + half).div_euclid(self.interval_ms);
        let next_ms = self.phase_ms + (tick + 1) * self.interval_ms;
        let wait_ms = next_ms - now_ms;
        if wait_ms > 0 { millis(wait_ms.min(self.interval_ms)) } else { self.first(now_ms) }
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { interval_ms: 1000, phase_ms: 300 };

    #[test]
    fn grid() {
        for (now_ms, first_ms) in [(10_000, 300), (10_300, 0), (10_301, 999), (10_299, 1)] {
            assert_eq!(GRID.first(now_ms), millis(first_ms), "{now_ms}");
        }
        for (now_ms, stamp_ms) in
            [(10_300, 10_300), (10_302, 10_300), (10_303, 10_303), (10_299, 10_299), (10_700, 10_700)]
        {
            assert_eq!(GRID.stamp(now_ms), stamp_ms, "{now_ms}");
        }
        let short = Grid { interval_ms: 100, phase_ms: 0 };
        assert_eq!((short.stamp(1001), short.stamp(1002)), (1000, 1002), "a hundredth of the interval");
    }

    #[test]
    fn the_next_scrape() {
        for (id, begun_ms, now_ms, wait_ms) in [
            ("as planned", 10_300, 10_350, 950),
            ("late", 10_390, 10_400, 900),
            ("early", 10_299, 10_299, 1000),
            ("slow", 10_300, 11_250, 50),
            ("slower than the interval", 10_300, 11_350, 950),
            ("the clock was set back", 10_300, 2_000, 1000),
            ("the clock was set ahead", 10_300, 90_000, 300),
        ] {
            assert_eq!(GRID.next(begun_ms, now_ms), millis(wait_ms), "{id}");
        }
    }
}
