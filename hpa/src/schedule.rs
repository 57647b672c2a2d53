//! When to ask for metrics, and when to evaluate. Pure.
//!
//! Metrics are asked for at the resolution at which their times advance: every second while they advance every second,
//! more rarely while they do not, never more rarely than every sync period. An HPA is evaluated when its pods' samples
//! advanced, when a pod, its spec or its scale changed, and at the latest every sync period.

/// The shortest pause between two questions about the same pods.
pub const MIN_POLL_MS: i64 = 1_000;
/// Times that advance by no more than this are taken to advance every second; they have whole seconds on the wire.
const FAST_STEP_MS: i64 = 2_000;
/// A slow source is asked this many times per step, so that a new sample is found within a quarter of it.
const POLLS_PER_STEP: i64 = 4;

/// Pace of questions about one selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// When to ask next, unix milliseconds.
    pub next_ms: i64,
    interval_ms: i64,
    newest_ms: Option<i64>,
    pods: usize,
}

impl Pace {
    /// Asks at once.
    pub fn new(now_ms: i64) -> Self {
        Pace { next_ms: now_ms, interval_ms: MIN_POLL_MS, newest_ms: None, pods: 0 }
    }

    /// Takes in an answer: the end of its newest window (`None` if it failed) and its number of pods. True if it is news.
    pub fn answered(&mut self, newest_ms: Option<i64>, pods: usize, now_ms: i64, max_ms: i64) -> bool {
        let step_ms = match (self.newest_ms, newest_ms) {
            (Some(before), Some(now)) => now - before,
            _ => 0,
        };
        let news = newest_ms != self.newest_ms || pods != self.pods;
        let is_first = self.newest_ms.is_none() && newest_ms.is_some();
        self.interval_ms = if step_ms > FAST_STEP_MS {
            step_ms / POLLS_PER_STEP
        } else if step_ms > 0 || is_first {
            MIN_POLL_MS
        } else {
            // Slowly, since a source that advances every second may just have been missed.
            self.interval_ms + self.interval_ms / 2
        }
        .clamp(MIN_POLL_MS, max_ms.max(MIN_POLL_MS));
        (self.newest_ms, self.pods) = (newest_ms, pods);
        self.next_ms = now_ms + self.interval_ms;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Polls a source whose times advance every `step_ms` for two minutes; gives the polls and the longest delay of news.
    fn simulate(step_ms: i64) -> (usize, i64) {
        let start = 1_700_000_000_000;
        let mut pace = Pace::new(start);
        let (mut polls, mut worst, mut seen) = (0, 0, 0);
        while pace.next_ms < start + 120_000 {
            let now = pace.next_ms;
            let newest = now / step_ms * step_ms;
            polls += 1;
            if pace.answered(Some(newest), 3, now, 15_000) && seen != 0 {
                worst = worst.max(now - newest);
            }
            seen = newest;
        }
        (polls, worst)
    }

    #[test]
    fn the_pace_follows_the_source() {
        assert_eq!(simulate(1_000), (120, 0), "a source of one second is asked every second");
        let (polls, worst) = simulate(15_000);
        assert!(polls <= 45, "{polls} questions in two minutes to a source of 15 s");
        assert!(worst <= 8_000, "news found after {worst} ms");
    }

    #[test]
    fn a_silent_source_is_asked_every_period() {
        let mut pace = Pace::new(0);
        for _ in 0..20 {
            let now = pace.next_ms;
            pace.answered(None, 0, now, 15_000);
        }
        assert_eq!(pace.interval_ms, 15_000);
        assert!(pace.answered(Some(1), 1, pace.next_ms, 15_000), "its return is news");
    }
}
