//! When a container that ended is started again. Pure: times come from the caller.

use std::time::Duration;

/// First back-off.
const FIRST: Duration = Duration::from_secs(10);
/// Longest back-off.
const LONGEST: Duration = Duration::from_secs(300);
/// A run of this length forgets earlier exits.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// Restart delays of one container, as a kubelet's: at once after the first exit, then 10 s, doubling to 5 min.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    next: Option<Duration>,
}

impl Backoff {
    /// Delay before the next start, after a run of this length.
    pub fn after_run(&mut self, ran: Duration) -> Duration {
        if ran >= FORGIVEN_AFTER {
            self.next = None;
        }
        let Some(delay) = self.next else {
            self.next = Some(FIRST);
            return Duration::ZERO;
        };
        self.next = Some((delay * 2).min(LONGEST));
        delay
    }

    /// Delay before the next attempt, after a start that failed: never at once.
    pub fn after_failure(&mut self) -> Duration {
        let delay = self.next.unwrap_or(FIRST);
        self.next = Some((delay * 2).min(LONGEST));
        delay
    }
}

/// Whether a container that ended is started again under this `restartPolicy`.
pub fn restarts(policy: &str, succeeded: bool) -> bool {
    match policy {
        "Never" => false,
        "OnFailure" => !succeeded,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_five_minutes_and_forgives() {
        let mut backoff = Backoff::default();
        let delays: Vec<u64> = (0..8).map(|_| backoff.after_run(Duration::from_secs(1)).as_secs()).collect();
        assert_eq!(delays, vec![0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.after_run(Duration::from_secs(600)).as_secs(), 0);
        assert_eq!(backoff.after_run(Duration::from_secs(1)).as_secs(), 10);
        let mut failing = Backoff::default();
        assert_eq!(failing.after_failure().as_secs(), 10);
        assert_eq!(failing.after_failure().as_secs(), 20);
    }

    #[test]
    fn policies() {
        for (policy, succeeded, again) in [
            ("Always", true, true),
            ("Always", false, true),
            ("OnFailure", true, false),
            ("OnFailure", false, true),
            ("Never", false, false),
            ("", true, true),
        ] {
            assert_eq!(restarts(policy, succeeded), again, "{policy} {succeeded}");
        }
    }
}
