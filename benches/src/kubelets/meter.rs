//! What one container, or one node, has used: exact integrals of rates that change in steps.
//!
//! Time is given by the caller, Unix milliseconds. CPU is kept in nanocores × milliseconds, so that the counter at any
//! moment is the integral of the rate and not a sum of rounded pieces: two readings of a steady rate of whole
//! thousandths of a core differ by exactly rate × time.

use std::collections::VecDeque;

/// How far back a reading may lie, milliseconds: longer than any sampling period.
pub const KEPT_MS: i64 = 120_000;
/// Most steps that are kept; further ones push out the oldest.
pub const STEPS_LIMIT: usize = 256;

/// Every counter starts with this much, nanoseconds: upstream drops a pod with a counter of zero, and no real container
/// has one. It is too little to be seen in any usage.
pub const FIRST_NS: u64 = 1;

/// A rate of use at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Billionths of a core.
    pub nanocores: u64,
    /// Bytes of working set.
    pub bytes: u64,
}

/// What a kubelet would have read at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// CPU time since the start, nanoseconds.
    pub cpu_ns: u64,
    /// Working set, bytes.
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    from_ms: i64,
    usage: Usage,
    /// Used before this step, nanocores × milliseconds.
    before: u128,
}

/// Usage over time since a start.
#[derive(Debug, Clone)]
pub struct Meter {
    started_ms: i64,
    /// Never empty, ascending in time.
    steps: VecDeque<Step>,
}

impl Meter {
    /// A meter that runs at `usage` since `started_ms`.
    #[must_use]
    pub fn new(started_ms: i64, usage: Usage) -> Self {
        Self { started_ms, steps: VecDeque::from([Step { from_ms: started_ms, usage, before: 0 }]) }
    }

    /// When it started, Unix milliseconds.
    #[must_use]
    pub fn started_ms(&self) -> i64 {
        self.started_ms
    }

    /// The usage of the last step.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.last().usage
    }

    /// Changes the usage from `now_ms` on; returns whether it differs from before. Time does not go back: an earlier
    /// moment than the last change counts as that moment.
    pub fn set(&mut self, now_ms: i64, usage: Usage) -> bool {
        let last = self.last();
        if last.usage == usage {
            return false;
        }
        let from_ms = now_ms.max(last.from_ms);
        let before = used(&last, from_ms);
        if from_ms == last.from_ms {
            self.steps.pop_back();
        }
        self.steps.push_back(Step { from_ms, usage, before });
        self.forget(from_ms);
        true
    }

    /// The reading at `at_ms`; `None` before the start, or when the moment lies further back than is kept.
    #[must_use]
    pub fn read(&self, at_ms: i64) -> Option<Reading> {
        let step = self.steps.iter().rev().find(|step| step.from_ms <= at_ms)?;
        let nanoseconds = used(step, at_ms) / 1000;
        let cpu_ns = u64::try_from(nanoseconds).unwrap_or(u64::MAX).saturating_add(FIRST_NS);
        Some(Reading { cpu_ns, bytes: step.usage.bytes })
    }

    fn last(&self) -> Step {
        self.steps[self.steps.len() - 1]
    }

    /// Drops steps that ended before what is kept.
    fn forget(&mut self, now_ms: i64) {
        let oldest = now_ms - KEPT_MS;
        while self.steps.len() > STEPS_LIMIT || self.steps.get(1).is_some_and(|next| next.from_ms < oldest) {
            self.steps.pop_front();
        }
    }
}

/// Used from the start until `at_ms`, which lies in `step`.
fn used(step: &Step, at_ms: i64) -> u128 {
    let length_ms = u128::try_from(at_ms - step.from_ms).unwrap_or(0);
    step.before + u128::from(step.usage.nanocores) * length_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usage(nanocores: u64) -> Usage {
        Usage { nanocores, bytes: 1 }
    }

    #[test]
    fn nothing_is_read_before_the_start() {
        let meter = Meter::new(1_000, usage(1));
        assert_eq!(meter.read(999), None);
        assert_eq!(meter.read(1_000), Some(Reading { cpu_ns: FIRST_NS, bytes: 1 }));
    }

    #[test]
    fn a_moment_before_the_last_change_is_read_as_it_was() {
        let mut meter = Meter::new(0, usage(500_000_000));
        meter.set(10_000, Usage { nanocores: 0, bytes: 7 });
        assert_eq!(meter.read(4_000), Some(Reading { cpu_ns: 2_000_000_000 + FIRST_NS, bytes: 1 }));
        assert_eq!(meter.read(90_000), Some(Reading { cpu_ns: 5_000_000_000 + FIRST_NS, bytes: 7 }));
    }

    #[test]
    fn old_steps_are_forgotten_and_their_use_is_not() {
        let mut meter = Meter::new(0, usage(0));
        for second in 1..=1_000 {
            meter.set(second * 1_000, usage(if second % 2 == 0 { 1_000_000_000 } else { 2_000_000_000 }));
        }
        assert!(meter.steps.len() <= STEPS_LIMIT);
        assert_eq!(meter.read(0), None);
        assert_eq!(
            meter.read(1_000_000).unwrap().cpu_ns,
            1_499_000_000_000 + 1_000_000_000 - 500_000_000 * 2 + FIRST_NS
        );
    }

    proptest! {
        /// Whatever the steps are, a reading is the integral of the rate, rounded down once.
        #[test]
        fn a_reading_is_the_exact_integral(
            steps in proptest::collection::vec((0i64..5_000, 0u64..4_000_000_000), 1..40),
            ask in 0i64..20_000,
        ) {
            let mut meter = Meter::new(0, usage(0));
            let (mut now, mut rate, mut nanocore_ms) = (0, 0, 0u128);
            for (wait, next) in steps {
                nanocore_ms += u128::from(rate) * u128::try_from(wait).unwrap();
                now += wait;
                rate = next;
                meter.set(now, usage(next));
            }
            nanocore_ms += u128::from(rate) * u128::try_from(ask).unwrap();
            let expected = u64::try_from(nanocore_ms / 1000).unwrap() + FIRST_NS;
            prop_assert_eq!(meter.read(now + ask).unwrap().cpu_ns, expected);
        }

        /// Counters never fall, however often the rate changes.
        #[test]
        fn counters_never_fall(changes in proptest::collection::vec((0i64..2_000, 0u64..9_000_000), 1..60)) {
            let mut meter = Meter::new(0, usage(3));
            let (mut now, mut last) = (0, 0);
            for (wait, rate) in changes {
                now += wait;
                let read = meter.read(now).unwrap().cpu_ns;
                prop_assert!(read >= last);
                last = read;
                meter.set(now, usage(rate));
                prop_assert_eq!(meter.read(now).unwrap().cpu_ns, read);
            }
        }
    }
}
