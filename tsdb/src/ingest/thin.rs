//! Which of a target's batches are stored: one per interval, although there are more. Pure.

/// A batch may come so much before its time: a fraction of the interval.
const EARLY: i64 = 10;

/// A failure is stored only when nothing better came for this fraction of the interval after its time: the next attempt
/// is often a second away.
const PATIENCE: i64 = 2;

/// The times of one target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Thinner {
    interval_ms: i64,
    /// When the next batch is due; `None` before the first.
    due_ms: Option<i64>,
}

impl Thinner {
    pub(crate) fn new(interval_ms: i64) -> Thinner {
        Thinner { interval_ms: interval_ms.max(1), due_ms: None }
    }

    /// Whether a batch of this time is stored.
    pub(crate) fn takes(&mut self, at_ms: i64, failed: bool) -> bool {
        let Some(due_ms) = self.due_ms else {
            // A target that is not there yet is due until it is.
            self.due_ms = Some(if failed { at_ms } else { at_ms + self.interval_ms });
            return !failed;
        };
        // The clock was set back, or there was a long silence: the grid begins anew.
        let away = at_ms < due_ms - 2 * self.interval_ms || at_ms > due_ms + self.interval_ms;
        let from_ms =
            if failed { due_ms + self.interval_ms / PATIENCE } else { due_ms - self.interval_ms / EARLY };
        if away {
            self.due_ms = Some(at_ms + self.interval_ms);
        } else if at_ms >= from_ms {
            self.due_ms = Some(due_ms + self.interval_ms);
        } else {
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(batches: impl IntoIterator<Item = (i64, bool)>) -> Vec<i64> {
        let mut thinner = Thinner::new(15_000);
        batches.into_iter().filter(|(at, failed)| thinner.takes(*at, *failed)).map(|(at, _)| at).collect()
    }

    #[test]
    fn one_of_fifteen_and_the_grid_does_not_drift() {
        let seconds = (0..61).map(|second| (second * 1000 + second % 3 * 7, false));
        assert_eq!(taken(seconds), [0, 14_014, 29_014, 44_014, 59_014]);
    }

    #[test]
    fn a_slow_target_loses_none_by_jitter() {
        let jitter = [0, 900, -700, 1200, -1300, 0, 400];
        let batches: Vec<i64> = jitter.iter().zip(0..).map(|(jitter, turn)| turn * 15_000 + jitter).collect();
        assert_eq!(taken(batches.iter().map(|at| (*at, false))), batches);
    }

    #[test]
    fn a_hiccup_waits_for_the_next_attempt_and_an_outage_is_told() {
        let hiccup = (0..31).map(|second| (second * 1000, (13..16).contains(&second)));
        assert_eq!(taken(hiccup), [0, 16_000, 29_000]);
        let outage = [
            (0, false),
            (15_000, true),
            (16_000, true),
            (18_000, true),
            (22_500, true),
            (30_000, true),
            (45_000, true),
        ];
        assert_eq!(taken(outage), [0, 22_500, 45_000]);
    }

    #[test]
    fn a_target_that_is_late_at_first_is_stored_when_it_is_there() {
        assert_eq!(
            taken([(0, true), (1000, true), (2000, false), (3000, false), (15_000, false)]),
            [2000, 15_000]
        );
        assert_eq!(taken([(0, true), (7000, true), (8000, true), (15_000, true)]), [8000]);
    }

    #[test]
    fn a_clock_that_is_set_begins_anew() {
        assert_eq!(taken([(100_000, false), (40_000, false), (55_000, false)]), [100_000, 40_000, 55_000]);
        assert_eq!(
            taken([(0, false), (100_000, false), (101_000, false), (115_000, false)]),
            [0, 100_000, 115_000]
        );
    }
}
