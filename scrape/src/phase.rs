//! When a kubelet looks at its containers, learned from the timestamps of its answers. Pure.
//!
//! A kubelet takes samples every ten seconds or so at moments of its own, and answers with the last ones. Asked at random
//! moments its samples are five seconds old on average, and after a start two of them take a whole interval to come.
//! So a kubelet is asked shortly after it has looked:
//!
//! * **At first** a second sample is wanted soon: it is asked again after a second (some sample at each request), then
//!   when the next sample is due, then each second until the samples are new, [`PROBES`] times at most.
//! * **Later** the lag of an answer (from its sample to its arrival) is compared with the least lag seen lately. What is
//!   more than that in each of the last answers is time the samples lay waiting, and the next request is that much
//!   earlier, a second at most. The comparison also takes the difference of the two clocks out.
//!
//! Nodes that all look at the same moment are still asked one after the other: each leaves a margin of its own, spread
//! over a second by its name.

use std::collections::VecDeque;
use std::time::Duration;

use crate::interval::spread_ms;

/// Requests for a second sample after a start.
pub const PROBES: u32 = 12;
/// How often kubelets look, unless told otherwise.
const USUAL_PERIOD_MS: i64 = 10_000;
/// A lag up to here may be the age of a sample; beyond it, or below zero, the clocks differ.
const LONGEST_AGE_MS: i64 = 20_000;
/// Between two requests of the beginning.
const PROBE_WAIT: Duration = Duration::from_secs(1);
/// Least time between the moment of a sample and the request for it.
const MARGIN_MS: i64 = 300;
/// Over which the margins of nodes are spread.
const MARGIN_SPREAD_MS: u64 = 1000;
/// Most that one request is earlier than the interval says.
const MOST_EARLIER_MS: i64 = 1000;
/// Lags that are remembered.
const REMEMBERED: usize = 20;
/// Of which so many newest must all be late: a kubelet that looks each 10 s and is asked each 15 s shows ages that
/// differ by 5 s in turn.
const NEWEST: usize = 3;

/// What is known of one kubelet's moments.
#[derive(Debug, Clone)]
pub struct Phase {
    margin_ms: i64,
    newest_ms: Option<i64>,
    probes: u32,
    settled: bool,
    lags_ms: VecDeque<i64>,
}

impl Phase {
    /// Nothing is known of the kubelet of this node.
    pub fn new(node: &str) -> Phase {
        let margin_ms = MARGIN_MS + spread_ms(node, MARGIN_SPREAD_MS).cast_signed();
        Phase { margin_ms, newest_ms: None, probes: 0, settled: false, lags_ms: VecDeque::new() }
    }

    /// Learns from an answer whose newest sample is of `sample_ms` by the node's clock, received at `now_ms` by ours.
    pub fn learn(&mut self, sample_ms: i64, now_ms: i64) {
        let changed = self.newest_ms.is_some_and(|before| before != sample_ms);
        self.settled |= changed || self.probes >= PROBES;
        self.newest_ms = Some(sample_ms);
        if self.lags_ms.len() == REMEMBERED {
            self.lags_ms.pop_front();
        }
        self.lags_ms.push_back(now_ms.saturating_sub(sample_ms));
    }

    /// How long after the request that was just answered the next one is due, when it would be `interval` otherwise.
    pub fn wait(&mut self, interval: Duration) -> Duration {
        let Some(lag_ms) = self.lags_ms.back().copied() else { return interval };
        if self.settled {
            let earlier = Duration::from_millis(self.late_ms().clamp(0, MOST_EARLIER_MS).unsigned_abs());
            return interval.saturating_sub(earlier);
        }
        self.probes += 1;
        let due_ms = USUAL_PERIOD_MS + self.margin_ms - lag_ms;
        let plausible = (0..=LONGEST_AGE_MS).contains(&lag_ms);
        let wait = match self.probes {
            2 if plausible && due_ms > 0 => Duration::from_millis(due_ms.unsigned_abs()),
            _ => PROBE_WAIT,
        };
        wait.clamp(PROBE_WAIT, interval.max(PROBE_WAIT))
    }

    /// For how long samples lay waiting in each of the last answers, beyond the margin.
    fn late_ms(&self) -> i64 {
        let floor = self.lags_ms.iter().min().copied().unwrap_or_default();
        // Before a fresh sample was ever seen, a plausible lag is the age.
        let floor = if (0..=LONGEST_AGE_MS).contains(&floor) { 0 } else { floor };
        let newest = self.lags_ms.iter().rev().take(NEWEST);
        let least = newest.min().copied().unwrap_or_default();
        if self.lags_ms.len() < NEWEST { 0 } else { least - floor - self.margin_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    /// A kubelet with this period, phase and clock, asked for `rounds`: times of the requests, and ages of the samples.
    fn ask(node: &str, period_ms: i64, phase_ms: i64, skew_ms: i64, rounds: usize) -> Vec<(i64, i64)> {
        let mut phase = Phase::new(node);
        let mut now_ms = 1_000_000;
        let round = |_| {
            let sample_ms = now_ms - (now_ms - phase_ms).rem_euclid(period_ms);
            phase.learn(sample_ms + skew_ms, now_ms);
            let asked = (now_ms, now_ms - sample_ms);
            now_ms += phase.wait(INTERVAL).as_millis() as i64;
            asked
        };
        (0..rounds).map(round).collect()
    }

    #[test]
    fn a_second_sample_comes_soon_after_the_kubelet_took_it() {
        for phase_ms in (0..10_000).step_by(700) {
            for skew_ms in [0, -3_600_000, 3_600_000] {
                let asked = ask("n", 10_000, phase_ms, skew_ms, 12);
                let (first_ms, first_age_ms) = asked[0];
                let change_ms = first_ms - first_age_ms + 10_000;
                let seen_ms = asked.iter().find(|(at, _)| *at >= change_ms).unwrap().0;
                let late_ms = seen_ms - change_ms;
                assert!(late_ms <= 1_300, "phase {phase_ms}, skew {skew_ms}: {late_ms} ms");
            }
        }
    }

    #[test]
    fn a_kubelet_that_looks_at_each_request_is_ready_at_once() {
        assert_eq!(ask("n", 1, 0, 0, 2)[1].0, 1_001_000);
    }

    #[test]
    fn samples_are_fresh_in_the_end() {
        for (period_ms, expected_ms) in [(15_000, 2_400), (5_000, 2_400), (10_000, 2_400 + 5_000)] {
            for phase_ms in (0..period_ms).step_by(900) {
                let asked = ask("some-node", period_ms, phase_ms, 0, 80);
                let last = asked[70..].iter().map(|(_, age)| *age);
                assert!(last.clone().max().unwrap() <= expected_ms, "{period_ms} {phase_ms}: {asked:?}");
            }
        }
    }

    #[test]
    fn a_kubelet_whose_samples_never_change_is_asked_at_the_interval() {
        let mut phase = Phase::new("n");
        let mut waits = Vec::new();
        for round in 0..20 {
            phase.learn(5_000, 10_000 + round * 15_000);
            waits.push(phase.wait(INTERVAL).as_secs());
        }
        assert!(waits[..12].iter().all(|wait| *wait < 15), "{waits:?}");
        assert!(waits[12..].iter().all(|wait| *wait >= 14), "{waits:?}");
    }
}
