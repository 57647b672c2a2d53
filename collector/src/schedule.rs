//! When sweeps are due.
//!
//! Sweeps stand on a fixed grid of monotonic time: one every interval, at a phase. A late sweep does not shift the
//! grid; ticks that passed meanwhile are skipped and counted. The phase moves a little per tick towards where the
//! main scraper wants it, so that two sweeps are never much closer or further apart than the interval.

/// Most that one tick may move, as a fraction of the interval: a fiftieth, by which samples get older while it moves.
const SHIFT_DIVISOR: u64 = 50;
/// Differences below this fraction of the interval are noise and are left alone: a hundredth.
const DEADBAND_DIVISOR: u64 = 100;

/// The next sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Monotonic nanoseconds at which it is due.
    pub at_ns: u64,
    /// Ticks of the grid that passed unused before it.
    pub missed: u64,
}

/// The grid. All times are monotonic nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    interval_ns: u64,
    next_ns: u64,
}

impl Schedule {
    /// A grid whose first tick is now. An interval of 0 counts as 1 ns.
    pub fn new(now_ns: u64, interval_ns: u64) -> Schedule {
        Schedule { interval_ns: interval_ns.max(1), next_ns: now_ns }
    }

    /// The next tick, at or after the one due, leaving out those that are already past by a whole interval.
    ///
    /// `finish_phase_ns` is where in the interval (monotonic time modulo interval) the sweep should be finished, if
    /// that is known, and `sweep_ns` how long a sweep takes.
    pub fn next(&mut self, now_ns: u64, finish_phase_ns: Option<u64>, sweep_ns: u64) -> Tick {
        let late_ns = now_ns.saturating_sub(self.next_ns);
        let missed = late_ns / self.interval_ns;
        let at_ns = self.next_ns + missed * self.interval_ns;
        let shift_ns = finish_phase_ns.map_or(0, |phase_ns| self.shift_ns(at_ns, phase_ns, sweep_ns));
        self.next_ns = (at_ns + self.interval_ns).saturating_add_signed(shift_ns);
        Tick { at_ns, missed }
    }

    /// How far to move the tick after `at_ns`.
    fn shift_ns(&self, at_ns: u64, phase_ns: u64, sweep_ns: u64) -> i64 {
        let interval = i128::from(self.interval_ns);
        let wanted = (i128::from(phase_ns) - i128::from(sweep_ns)).rem_euclid(interval);
        let current = i128::from(at_ns % self.interval_ns);
        let mut distance = (wanted - current).rem_euclid(interval);
        if distance > interval / 2 {
            distance -= interval;
        }
        if distance.abs() < interval / i128::from(DEADBAND_DIVISOR) {
            return 0;
        }
        let most = (interval / i128::from(SHIFT_DIVISOR)).max(1);
        i64::try_from(distance.clamp(-most, most)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;

    #[test]
    fn the_grid_does_not_drift_with_late_sweeps() {
        let mut schedule = Schedule::new(5 * SECOND, SECOND);
        assert_eq!(schedule.next(5 * SECOND, None, 0), Tick { at_ns: 5 * SECOND, missed: 0 });
        // Asked 30 ms after the previous tick, and once 400 ms late: still whole seconds.
        assert_eq!(schedule.next(5 * SECOND + 30 * MS, None, 0).at_ns, 6 * SECOND);
        assert_eq!(schedule.next(7 * SECOND + 400 * MS, None, 0), Tick { at_ns: 7 * SECOND, missed: 0 });
    }

    #[test]
    fn missed_ticks_are_skipped_and_counted() {
        let mut schedule = Schedule::new(0, SECOND);
        schedule.next(0, None, 0);
        let tick = schedule.next(4 * SECOND + 100 * MS, None, 0);
        assert_eq!(tick, Tick { at_ns: 4 * SECOND, missed: 3 });
        assert_eq!(schedule.next(4 * SECOND + 200 * MS, None, 0), Tick { at_ns: 5 * SECOND, missed: 0 });
    }

    #[test]
    fn the_sweep_comes_to_end_just_before_the_scraper() {
        let mut schedule = Schedule::new(0, SECOND);
        let mut last = schedule.next(0, None, 0).at_ns;
        for _ in 0..40 {
            let at = schedule.next(last + 10 * MS, Some(700 * MS), 20 * MS).at_ns;
            assert!(at - last >= 980 * MS && at - last <= 1_020 * MS, "{}", at - last);
            last = at;
        }
        assert!((last % SECOND).abs_diff(680 * MS) < 10 * MS, "{}", last % SECOND);
    }

    proptest! {
        #[test]
        fn ticks_never_go_back(
            start in 0..u64::MAX / 4, interval in 0..10 * SECOND, phase in any::<u64>(), sweep in 0..5 * SECOND,
            steps in proptest::collection::vec(0..3 * SECOND, 1..50),
        ) {
            let mut schedule = Schedule::new(start, interval);
            let mut now = start;
            let mut last = 0;
            for step in steps {
                let tick = schedule.next(now, Some(phase), sweep);
                prop_assert!(tick.at_ns >= last);
                last = tick.at_ns;
                now = now.max(tick.at_ns) + step;
            }
        }
    }
}
