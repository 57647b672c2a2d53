//! When to ask for metrics, and when to evaluate. Pure.
//!
//! Metrics are asked for at the resolution at which their times advance: every second while they advance every second,
//! more rarely while they do not, never more rarely than every sync period. An HPA is evaluated when its pods' samples
//! advanced, when a pod, its spec or its scale changed, and at the latest every sync period.
//!
//! Custom and external metrics cost their servers a query each, so that they are asked for when a new value is expected
//! ([`ValuePace`]): by their times, where these are those of samples, and every few seconds where a server puts the time of
//! the question on its answer.

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

/// Pause between two questions to a server whose answers bear the time of the question: it does not say when something is new.
pub const STAMPED_POLL_MS: i64 = 5_000;
/// Times on the wire have whole seconds.
const ROUNDING_MS: i64 = 1_000;
/// So many answers in a row whose times advanced as the clock did are stamped by the server.
const STAMPED_AFTER: u32 = 3;
/// From this step on it is waited for the next one, from so much before it on, and asked this often then.
const EXPECT_FROM_MS: i64 = 4_000;
const EARLY_MS: i64 = 1_250;
const EXPECTING_POLL_MS: i64 = 500;
/// A source whose times stand still for longer than this and than twice its step is asked more and more rarely.
const IDLE_AFTER_MS: i64 = 30_000;

/// Pace of questions about one custom or external metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValuePace {
    /// When to ask next, by the steady clock.
    pub next_ms: i64,
    interval_ms: i64,
    asked_ms: i64,
    newest_ms: Option<i64>,
    /// When the times last advanced, by the steady clock, and by how much.
    advanced_at_ms: i64,
    step_ms: i64,
    stamped: u32,
}

impl ValuePace {
    /// It was asked just now, by somebody else.
    pub fn new(now_ms: i64) -> Self {
        ValuePace {
            next_ms: now_ms + MIN_POLL_MS,
            interval_ms: MIN_POLL_MS,
            asked_ms: now_ms,
            newest_ms: None,
            advanced_at_ms: now_ms,
            step_ms: 0,
            stamped: 0,
        }
    }

    /// Takes in an answer: the oldest and the newest time of its values, `None` if it failed.
    pub fn answered(&mut self, times_ms: Option<(i64, i64)>, now_ms: i64, max_ms: i64) {
        let max_ms = max_ms.max(MIN_POLL_MS);
        let pause_ms = now_ms - std::mem::replace(&mut self.asked_ms, now_ms);
        let before_ms = std::mem::replace(&mut self.newest_ms, times_ms.map(|(_, newest_ms)| newest_ms));
        let interval_ms = match (times_ms, before_ms) {
            (None, _) => self.slower(),
            (Some(_), None) => {
                (self.advanced_at_ms, self.step_ms, self.stamped) = (now_ms, 0, 0);
                MIN_POLL_MS
            }
            (Some((oldest_ms, newest_ms)), Some(before_ms)) if newest_ms > before_ms => {
                let (step_ms, is_one) = (newest_ms - before_ms, newest_ms - oldest_ms <= ROUNDING_MS);
                self.advanced(step_ms, pause_ms, is_one, now_ms)
            }
            _ => self.stood_still(now_ms),
        };
        self.interval_ms = interval_ms.min(max_ms);
        self.next_ms = now_ms + self.interval_ms;
    }

    fn slower(&self) -> i64 {
        self.interval_ms.max(MIN_POLL_MS) * 3 / 2
    }

    fn advanced(&mut self, step_ms: i64, pause_ms: i64, is_one: bool, now_ms: i64) -> i64 {
        let keeps_step = (step_ms - self.step_ms).abs() <= ROUNDING_MS;
        let goes_with_us = is_one && (step_ms - pause_ms).abs() <= ROUNDING_MS;
        self.stamped = if goes_with_us { self.stamped + 1 } else { 0 };
        (self.step_ms, self.advanced_at_ms) = (step_ms, now_ms);
        if self.stamped >= STAMPED_AFTER {
            STAMPED_POLL_MS
        } else if keeps_step && step_ms >= EXPECT_FROM_MS && self.stamped == 0 {
            step_ms - EARLY_MS
        } else {
            MIN_POLL_MS
        }
    }

    fn stood_still(&mut self, now_ms: i64) -> i64 {
        self.stamped = 0;
        let since_ms = now_ms - self.advanced_at_ms;
        if since_ms > IDLE_AFTER_MS.max(2 * self.step_ms) {
            self.slower()
        } else if self.step_ms >= EXPECT_FROM_MS && (since_ms - self.step_ms).abs() <= 2 * EARLY_MS {
            EXPECTING_POLL_MS
        } else {
            MIN_POLL_MS
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Questions to a source for two minutes, and the longest time until something new was seen, after the first half
    /// minute. `times`: the oldest and newest time on an answer at a moment.
    fn ask(times: impl Fn(i64) -> (i64, i64), news_every_ms: i64) -> (usize, i64) {
        let start = 1_700_000_000_300;
        let whole = |at_ms: i64| at_ms / 1_000 * 1_000;
        let mut pace = ValuePace::new(start);
        let (mut polls, mut worst, mut seen) = (0, 0, whole(times(start).1));
        while pace.next_ms < start + 120_000 {
            let now = pace.next_ms;
            let (oldest, newest) = times(now);
            polls += 1;
            if whole(newest) != seen && now > start + 30_000 {
                worst = worst.max((now - start) % news_every_ms);
            }
            seen = whole(newest);
            pace.answered(Some((whole(oldest), whole(newest))), now, 15_000);
        }
        (polls, worst)
    }

    #[test]
    fn a_slow_source_is_asked_when_its_next_value_is_due() {
        // It takes its samples 15 s apart, the first at the start.
        let sampled = |now: i64| now - (now - 1_700_000_000_300) % 15_000;
        let (polls, worst) = ask(|now| (sampled(now), sampled(now)), 15_000);
        assert!(polls <= 60, "{polls} questions in two minutes");
        assert!(worst <= 500, "news found after {worst} ms");
    }

    #[test]
    fn answers_with_the_time_of_the_question_are_asked_for_every_few_seconds() {
        let (polls, _) = ask(|now| (now, now), 1);
        assert!((24..=30).contains(&polls), "{polls} questions in two minutes");
    }

    #[test]
    fn pods_sampled_at_different_times_are_followed_every_second() {
        // Ten pods, each sampled every 15 s, 1.5 s after the one before.
        let newest = |now: i64| now - (now - 1_700_000_000_300) % 1_500;
        let (polls, worst) = ask(|now| (newest(now) - 13_500, newest(now)), 1_500);
        assert!((100..=130).contains(&polls) && worst <= 1_000, "{polls} questions, {worst} ms");
    }

    #[test]
    fn a_source_that_stands_still_or_fails_is_asked_every_period() {
        for times in [Some((7_000, 7_000)), None] {
            let mut pace = ValuePace::new(0);
            for _ in 0..60 {
                let now = pace.next_ms;
                pace.answered(times, now, 15_000);
            }
            assert_eq!(pace.interval_ms, 15_000);
            pace.answered(Some((400_000, 400_000)), pace.next_ms, 15_000);
            assert_eq!(pace.interval_ms, MIN_POLL_MS, "it is back");
        }
    }

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
