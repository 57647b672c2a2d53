//! How long to wait between two scrapes of one target. Pure.
//!
//! Automatic resolution measures what a scrape costs in CPU and takes the shortest rung of [`RUNGS_S`] at which all
//! collectors together stay within the budget. A rung is left downwards only with a margin, so the interval does not
//! swing. Kubelets sample each 10 to 15 s themselves; asking them more often would show nothing new.

use std::time::Duration;

use crate::config::Resolution;
use crate::target::Kind;

/// Intervals that the automatic resolution chooses from, seconds.
pub const RUNGS_S: [u64; 6] = [1, 2, 3, 5, 10, 15];
/// Interval for kubelets.
pub const KUBELET_INTERVAL: Duration = Duration::from_secs(15);
/// A shorter rung must use at most this share of the budget before it is taken.
const DOWN_MARGIN: f64 = 0.8;
/// Weight of the newest scrape in the average cost.
const COST_WEIGHT: f64 = 0.02;
/// A target that fails is tried again after this, then after twice of it and so on up to its interval.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The average CPU cost of one scrape of a collector, and the interval that follows from it.
#[derive(Debug, Clone)]
pub struct Budget {
    cores: f64,
    cost_s: Option<f64>,
    rung_s: u64,
}

impl Budget {
    /// Nothing measured yet, so each second.
    pub fn new(cores: f64) -> Budget {
        Budget { cores, cost_s: None, rung_s: RUNGS_S[0] }
    }

    /// Learns from one scrape that took this much CPU time while so many collectors are scraped.
    pub fn spent(&mut self, cpu: Duration, collectors: usize) {
        let newest = cpu.as_secs_f64();
        let cost_s = self.cost_s.map_or(newest, |cost| cost + COST_WEIGHT * (newest - cost));
        self.cost_s = Some(cost_s);
        self.rung_s = next_rung_s(self.rung_s, cost_s * collectors as f64, self.cores);
    }

    /// The interval for collectors now.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.rung_s)
    }
}

/// The rung for a round of all collectors that costs `round_s` of CPU, given the present one.
pub fn next_rung_s(present_s: u64, round_s: f64, budget_cores: f64) -> u64 {
    let fits = |rung: u64, share: f64| round_s <= rung as f64 * budget_cores * share;
    let longest = RUNGS_S[RUNGS_S.len() - 1];
    RUNGS_S
        .into_iter()
        .find(|rung| fits(*rung, if *rung < present_s { DOWN_MARGIN } else { 1.0 }))
        .unwrap_or(longest)
}

/// The interval of one target. `sweep` is what a collector said about its own samples.
pub fn interval_of(resolution: Resolution, kind: Kind, sweep: Option<Duration>, budget: &Budget) -> Duration {
    match (resolution, kind, sweep) {
        (Resolution::Fixed(interval), ..) => interval,
        (_, _, Some(sweep)) => budget.interval().max(sweep),
        (_, Kind::Collector, None) => budget.interval(),
        (_, Kind::Kubelet, None) => KUBELET_INTERVAL,
    }
}

/// How long to wait after the attempt that made it so many failures in a row.
pub fn retry_after(failures_in_row: u32, interval: Duration) -> Duration {
    match failures_in_row {
        0 => interval,
        n => FIRST_RETRY.saturating_mul(1 << (n - 1).min(5)).min(interval),
    }
}

/// When in its first interval a target is scraped for the first time: spread by name over upstream's stagger, 8 ms per
/// target and 4 s at most.
pub fn first_delay(node: &str, targets: usize, interval: Duration) -> Duration {
    const PER_TARGET_MS: u64 = 8;
    const MOST_MS: u64 = 4000;
    let spread_ms = (PER_TARGET_MS * targets as u64).min(MOST_MS).min(interval.as_millis() as u64).max(1);
    Duration::from_millis(self::spread_ms(node, spread_ms))
}

/// A number below `limit_ms` that is always the same for a name, and spread evenly over names.
pub(crate) fn spread_ms(name: &str, limit_ms: u64) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 29)) % limit_ms.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rung_follows_the_budget() {
        for (id, present_s, round_s, expected_s) in [
            ("idle", 1, 0.0, 1),
            ("just fits", 1, 0.1, 1),
            ("a little over", 1, 0.101, 2),
            ("five times over", 1, 0.5, 5),
            ("six times over", 1, 0.6, 10),
            ("nothing fits", 1, 9.0, 15),
            ("down only with a margin", 2, 0.09, 2),
            ("down with a margin", 2, 0.08, 1),
            ("stays", 10, 1.0, 10),
            ("from the top to the bottom", 15, 0.01, 1),
        ] {
            assert_eq!(next_rung_s(present_s, round_s, 0.1), expected_s, "{id}");
        }
    }

    #[test]
    fn budget_settles_without_swinging() {
        let mut budget = Budget::new(0.1);
        let mut changes = 0;
        for round in 0..1000_u64 {
            let before = budget.interval();
            budget.spent(Duration::from_micros(990 + round % 7 * 5), 100);
            changes += u32::from(budget.interval() != before);
        }
        assert!(changes <= 1, "{changes} changes around one rung");
    }

    #[test]
    fn interval_by_kind() {
        let budget = Budget::new(0.1);
        let automatic = Resolution::Automatic { cpu_budget_cores: 0.1 };
        let second = Duration::from_secs(1);
        let fixed = Resolution::Fixed(Duration::from_secs(30));
        for (id, resolution, kind, sweep, expected_s) in [
            ("kubelet", automatic, Kind::Kubelet, None, 15),
            ("collector", automatic, Kind::Collector, None, 1),
            ("told by header", automatic, Kind::Kubelet, Some(second), 1),
            ("slow collector", automatic, Kind::Collector, Some(5 * second), 5),
            ("fixed", fixed, Kind::Collector, Some(second), 30),
        ] {
            assert_eq!(interval_of(resolution, kind, sweep, &budget), expected_s * second, "{id}");
        }
    }

    #[test]
    fn retries_grow_to_the_interval() {
        let seconds: Vec<u64> = (0..8).map(|n| retry_after(n, KUBELET_INTERVAL).as_secs()).collect();
        assert_eq!(seconds, [15, 1, 2, 4, 8, 15, 15, 15]);
    }

    #[test]
    fn first_delays_spread() {
        let delays: std::collections::BTreeSet<_> =
            (0..500).map(|n| first_delay(&format!("node-{n}"), 500, KUBELET_INTERVAL)).collect();
        assert!(delays.len() > 350, "{} different delays of 500", delays.len());
        assert!(delays.iter().all(|delay| *delay < Duration::from_secs(4)));
        assert_eq!(first_delay("only", 0, KUBELET_INTERVAL), Duration::ZERO);
    }
}
