//! When a query has to stop: when its time is over, or when nobody waits for it any more.
#![allow(clippy::disallowed_methods, reason = "an edge: reads the clock that queries are stopped by")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::promql::engine::{Stop, Watch};

/// Stops one query.
#[derive(Debug)]
pub struct Deadline {
    until: Instant,
    gone: AtomicBool,
}

/// The time that a request takes, for its statistics.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    came: Instant,
    queued: Duration,
}

impl Clock {
    /// Of a request that comes now.
    pub fn starts() -> Clock {
        Clock { came: Instant::now(), queued: Duration::ZERO }
    }

    /// It waits no longer.
    pub(super) fn waits_no_more(&mut self) {
        self.queued = self.came.elapsed();
    }

    /// How long it waited.
    pub(super) fn queued(&self) -> Duration {
        self.queued
    }

    /// Since it came.
    pub(super) fn elapsed(&self) -> Duration {
        self.came.elapsed()
    }
}

/// Stops the query when it is dropped, as the future of a question is whose asker goes away.
#[derive(Debug)]
pub struct StopWhenDropped(Arc<Deadline>);

impl Deadline {
    /// Over after this time, and as soon as the other is dropped.
    pub fn after(timeout: Duration) -> (Arc<Deadline>, StopWhenDropped) {
        let deadline = Arc::new(Deadline { until: Instant::now() + timeout, gone: AtomicBool::new(false) });
        (deadline.clone(), StopWhenDropped(deadline))
    }
}

impl Watch for Deadline {
    fn stop(&self) -> Option<Stop> {
        if self.gone.load(Ordering::Relaxed) {
            return Some(Stop::Canceled);
        }
        (Instant::now() >= self.until).then_some(Stop::TimedOut)
    }
}

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_stops_when_its_time_is_over_or_nobody_waits() {
        let (deadline, waits) = Deadline::after(Duration::from_secs(3600));
        assert_eq!(deadline.stop(), None);
        drop(waits);
        assert_eq!(deadline.stop(), Some(Stop::Canceled));
        let (over, _waits) = Deadline::after(Duration::ZERO);
        assert_eq!(over.stop(), Some(Stop::TimedOut));
    }
}
