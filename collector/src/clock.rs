#![allow(clippy::disallowed_methods, reason = "this module is where the collector's time comes from")]
//! Time: monotonic for the schedule and for what lies between two reads, wall time only for stamps.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Source of time, given to the sweeper so that tests can fix it.
pub trait Clock: Send {
    /// Nanoseconds since some fixed moment; never goes back.
    fn monotonic_ns(&self) -> u64;
    /// Unix time in nanoseconds.
    fn unix_ns(&self) -> i64;
}

/// The kernel's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn monotonic_ns(&self) -> u64 {
        u64::try_from(nanoseconds(clock_gettime(ClockId::Monotonic))).unwrap_or(0)
    }

    fn unix_ns(&self) -> i64 {
        nanoseconds(clock_gettime(ClockId::Realtime))
    }
}

fn nanoseconds(time: Timespec) -> i64 {
    // Holds until the year 2262.
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// Monotonic to Unix time, anchored anew at each sweep so that steps of the wall clock reach the stamps, but never
/// between two stamps of one sweep.
#[derive(Debug, Clone, Copy)]
pub struct Anchor {
    unix_minus_monotonic_ns: i64,
}

impl Anchor {
    /// Anchors at now.
    pub fn now(clock: &dyn Clock) -> Anchor {
        let monotonic_ns = i64::try_from(clock.monotonic_ns()).unwrap_or(i64::MAX);
        Anchor { unix_minus_monotonic_ns: clock.unix_ns() - monotonic_ns }
    }

    /// A monotonic time as Unix milliseconds.
    pub fn unix_ms(&self, monotonic_ns: u64) -> i64 {
        let monotonic_ns = i64::try_from(monotonic_ns).unwrap_or(i64::MAX);
        monotonic_ns.saturating_add(self.unix_minus_monotonic_ns).div_euclid(1_000_000)
    }

    /// The monotonic time of a stamp of this anchor, milliseconds: for what lies between two stamps, which may be of two
    /// anchors with a step of the wall clock between them.
    pub fn monotonic_ms(&self, unix_ms: i64) -> i64 {
        unix_ms.saturating_sub(self.unix_minus_monotonic_ns.div_euclid(1_000_000))
    }

    /// The middle of a read as Unix milliseconds.
    pub fn middle_unix_ms(&self, before_ns: u64, after_ns: u64) -> i64 {
        self.unix_ms(before_ns / 2 + after_ns / 2)
    }
}
