//! Probes: how often a check runs and what a row of its outcomes means.
//!
//! Follows kubernetes/kubernetes `pkg/kubelet/prober/worker.go`. The check itself comes from the caller, so the schedule
//! is tested with paused time.

use std::time::Duration;

use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::Probe;
use tokio::time::{Instant, MissedTickBehavior};

/// What a probe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whether requests are sent to the container.
    Readiness,
    /// Whether the container must be restarted.
    Liveness,
    /// Whether the other two begin.
    Startup,
}

impl Kind {
    /// As events write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
            Self::Startup => "Startup",
        }
    }
}

/// Times and thresholds of a probe, defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Time from the container's start to the first check.
    pub initial_delay: Duration,
    /// Time from check to check.
    pub period: Duration,
    /// Longest time of one check.
    pub timeout: Duration,
    /// Failures in a row that count.
    pub failures: u32,
    /// Successes in a row that count.
    pub successes: u32,
}

impl Timing {
    /// Reads a probe.
    pub fn of(probe: &Probe) -> Self {
        let seconds = |value: Option<i32>, default: u64| {
            let value = value.and_then(|value| u64::try_from(value).ok());
            Duration::from_secs(value.filter(|value| *value > 0).unwrap_or(default))
        };
        let count = |value: Option<i32>, default: u32| {
            value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default)
        };
        Self {
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            failures: count(probe.failure_threshold, 3),
            successes: count(probe.success_threshold, 1),
        }
    }
}

/// A row of equal outcomes.
#[derive(Debug, Default, Clone, Copy)]
pub struct Streak {
    last: Option<bool>,
    length: u32,
}

impl Streak {
    /// Adds an outcome; returns it once the row is long enough to count.
    pub fn observe(&mut self, passed: bool, timing: &Timing) -> Option<bool> {
        if self.last == Some(passed) {
            self.length = self.length.saturating_add(1);
        } else {
            (self.last, self.length) = (Some(passed), 1);
        }
        let needed = if passed { timing.successes } else { timing.failures };
        (self.length >= needed).then_some(passed)
    }
}

/// One check: `Err` says why it failed.
pub type Outcome = Result<(), String>;

/// Checks until `tell` returns false. `tell` gets every outcome and, once a row counts, its verdict.
pub async fn watch<C, T>(timing: Timing, mut check: C, mut tell: T)
where
    C: FnMut() -> BoxFuture<'static, Outcome>,
    T: FnMut(&Outcome, Option<bool>) -> bool,
{
    let mut ticks = tokio::time::interval_at(Instant::now() + timing.initial_delay, timing.period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut streak = Streak::default();
    loop {
        ticks.tick().await;
        let outcome = match tokio::time::timeout(timing.timeout, check()).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(format!("timed out after {} s", timing.timeout.as_secs())),
        };
        let verdict = streak.observe(outcome.is_ok(), &timing);
        if !tell(&outcome, verdict) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing() -> Timing {
        Timing {
            initial_delay: Duration::from_secs(5),
            period: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            failures: 3,
            successes: 2,
        }
    }

    #[test]
    fn defaults_are_upstreams() {
        let timing = Timing::of(&Probe::default());
        let seconds = (timing.initial_delay.as_secs(), timing.period.as_secs(), timing.timeout.as_secs());
        assert_eq!((seconds, timing.failures, timing.successes), ((0, 10, 1), 3, 1));
    }

    #[test]
    fn rows_count_from_their_threshold_on() {
        let mut streak = Streak::default();
        let verdicts: Vec<Option<bool>> = [true, true, false, false, true, false, false, false, false]
            .map(|passed| streak.observe(passed, &timing()))
            .to_vec();
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(verdicts, vec![None, yes, None, None, None, None, None, no, no]);
    }

    #[tokio::test(start_paused = true)]
    async fn schedule_follows_delay_period_and_timeout() {
        let start = Instant::now();
        let mut runs = 0;
        let mut seen = Vec::new();
        let check = || -> BoxFuture<'static, Outcome> {
            runs += 1;
            let seconds = if runs == 2 { 60 } else { 0 };
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                Ok(())
            })
        };
        watch(timing(), check, |outcome, verdict| {
            seen.push((start.elapsed().as_secs(), outcome.is_ok(), verdict));
            seen.len() < 4
        })
        .await;
        assert_eq!(seen, vec![(5, true, None), (8, false, None), (9, true, None), (11, true, Some(true))]);
    }
}
