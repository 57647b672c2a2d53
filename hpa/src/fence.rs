//! What keeps two replicas from writing: every write of the autoscaler asks here first.
//!
//! Promise: no write is begun after the renew deadline, and none is waited for beyond the moment from which another
//! replica may take the lease. Both count from the moment at which the last successful renewal was *sent*, which is never
//! later than the moment at which anyone else can have seen it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
enum Gate {
    /// There is no election: writing is always allowed.
    Open,
    /// The lease is held.
    Held { stop_at: Instant, taken_at: Instant },
    /// The lease is not held.
    Closed,
}

/// A gate shared by all who write.
#[derive(Debug, Clone)]
pub(crate) struct Fence(Arc<Mutex<Gate>>);

impl Fence {
    /// Without an election.
    pub(crate) fn open() -> Self {
        Fence(Arc::new(Mutex::new(Gate::Open)))
    }

    /// Before the lease was ever held.
    pub(crate) fn closed() -> Self {
        Fence(Arc::new(Mutex::new(Gate::Closed)))
    }

    /// The lease was renewed by a request sent at `sent`.
    pub(crate) fn hold(&self, sent: Instant, renew_deadline: Duration, lease_duration: Duration) {
        let gate = Gate::Held { stop_at: sent + renew_deadline, taken_at: sent + lease_duration };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = gate;
    }

    /// The lease is lost or given up.
    pub(crate) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Gate::Closed;
    }

    /// How long a write begun now may take, at most `longest`; `None` if it must not begin.
    pub(crate) fn budget(&self, now: Instant, longest: Duration) -> Option<Duration> {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Gate::Open => Some(longest),
            Gate::Held { stop_at, taken_at } if now < stop_at => Some(longest.min(taken_at - now)),
            Gate::Held { .. } | Gate::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn writes_end_before_another_may_take_the_lease() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let fence = Fence::closed();
        assert_eq!(fence.budget(start, 10 * second), None);
        fence.hold(start, 10 * second, 15 * second);
        for (at, budget) in [(0, Some(10)), (4, Some(10)), (6, Some(9)), (9, Some(6)), (10, None), (20, None)]
        {
            assert_eq!(
                fence.budget(start + at * second, 10 * second),
                budget.map(|seconds: u32| seconds * second),
                "{at} s after the renewal was sent"
            );
        }
        fence.hold(start + 9 * second, 10 * second, 15 * second);
        assert!(fence.budget(start + 12 * second, second).is_some(), "renewed");
        fence.close();
        assert_eq!(fence.budget(start + 12 * second, second), None);
        assert_eq!(Fence::open().budget(start, second), Some(second));
    }
}
