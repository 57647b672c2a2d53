//! The phase of the main scraper: where in the interval its requests arrive.
//!
//! Arrival times modulo the interval lie on a circle, so they are averaged as unit vectors, with exponentially
//! decreasing weight. The length of the mean vector says how regular the scraper is: 1 for a clock, near 0 for
//! requests at random or for several scrapers spread over the interval. Below a limit there is no phase to follow. Requests
//! that follow one another within half an interval tell of no phase, however close together they are.

use std::f64::consts::TAU;

/// Weight of the newest arrival.
const WEIGHT: f64 = 0.2;
/// Arrivals before anything is believed.
const ARRIVALS_NEEDED: u32 = 5;
/// Mean vector length below which arrivals count as irregular. 0.9 is a spread of about ±75 ms in a second.
const REGULARITY_NEEDED: f64 = 0.9;
/// The sweep should be finished this long before the request is expected: 3 % of the interval.
const LEAD: f64 = 0.03;

/// Learns from arrival times. All times are monotonic nanoseconds.
#[derive(Debug, Clone)]
pub struct PhaseLearner {
    interval_ns: u64,
    mean: (f64, f64),
    arrivals: u32,
    last_arrival_ns: Option<u64>,
}

impl PhaseLearner {
    /// Knows nothing yet. An interval of 0 counts as 1 ns.
    pub fn new(interval_ns: u64) -> PhaseLearner {
        PhaseLearner { interval_ns: interval_ns.max(1), mean: (0.0, 0.0), arrivals: 0, last_arrival_ns: None }
    }

    /// A request of the scraper came in.
    pub fn observe(&mut self, arrival_ns: u64) {
        let last_ns = self.last_arrival_ns.replace(arrival_ns);
        let is_burst = last_ns.is_some_and(|last| arrival_ns.saturating_sub(last) < self.interval_ns / 2);
        let turn = (arrival_ns % self.interval_ns) as f64 / self.interval_ns as f64;
        let (sin, cos) = if is_burst { (0.0, 0.0) } else { (turn * TAU).sin_cos() };
        let weight = if self.arrivals == 0 { 1.0 } else { WEIGHT };
        self.mean.0 += weight * (cos - self.mean.0);
        self.mean.1 += weight * (sin - self.mean.1);
        self.arrivals = self.arrivals.saturating_add(1);
    }

    /// Where in the interval a sweep should be finished, in nanoseconds below the interval; `None` while there is no
    /// regular scraper.
    pub fn finish_phase_ns(&self) -> Option<u64> {
        let (x, y) = self.mean;
        if self.arrivals < ARRIVALS_NEEDED || x.hypot(y) < REGULARITY_NEEDED {
            return None;
        }
        let turn = (y.atan2(x) / TAU - LEAD).rem_euclid(1.0);
        Some((turn * self.interval_ns as f64) as u64 % self.interval_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;

    fn learnt(arrivals_ms: impl IntoIterator<Item = u64>) -> Option<u64> {
        let mut learner = PhaseLearner::new(SECOND);
        for ms in arrivals_ms {
            learner.observe(ms * MS);
        }
        learner.finish_phase_ns().map(|ns| ns / MS)
    }

    #[test]
    fn a_regular_scraper_is_learnt_with_a_lead() {
        let phase = learnt((0..20).map(|n| n * 1_000 + 250)).unwrap();
        assert!(phase.abs_diff(220) <= 1, "{phase}");
    }

    #[test]
    fn a_scraper_of_every_fifteen_seconds_too() {
        let phase = learnt((0..8).map(|n| n * 15_000 + 990)).unwrap();
        assert!(phase.abs_diff(960) <= 1, "{phase}");
    }

    #[test]
    fn arrivals_around_the_turn_of_the_second_do_not_average_to_its_middle() {
        let phase = learnt([990, 1_010, 1_990, 3_010, 3_990, 5_010, 5_990, 7_010]).unwrap();
        assert!((950..=990).contains(&phase), "{phase}");
    }

    #[test]
    fn too_few_or_irregular_arrivals_teach_nothing() {
        assert_eq!(learnt([250, 1_250]), None);
        assert_eq!(learnt((0..50).map(|n| n * 1_370)), None);
        // Many in one interval, and then nothing.
        assert_eq!(learnt((0..6).map(|n| n * 10)), None);
        assert_eq!(learnt((0..100).map(|n| n / 10 * 1_000 + n % 10)), None);
        // Two scrapers opposite each other.
        assert_eq!(learnt((0..50).map(|n| n * 500)), None);
    }

    #[test]
    fn another_one_now_and_then_is_no_hindrance() {
        let phase = learnt(
            (0..45).flat_map(|n| [Some(n * 1_000 + 250), (n % 15 == 7).then_some(n * 1_000 + 400)]).flatten(),
        );
        assert!(phase.unwrap().abs_diff(220) <= 2, "{phase:?}");
    }

    #[test]
    fn a_moved_scraper_is_followed() {
        let arrivals = (0..20).map(|n| n * 1_000 + 100).chain((20..60).map(|n| n * 1_000 + 600));
        let phase = learnt(arrivals).unwrap();
        assert!(phase.abs_diff(570) <= 2, "{phase}");
    }
}
