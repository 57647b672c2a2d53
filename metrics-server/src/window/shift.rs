//! Has the level of a series just changed? The detector behind the change-aware window.
//!
//! The input is the series as rates (cores) between neighbouring samples, about one second each. The answer is how many
//! of the newest rates belong to a new level, or `None` while the old level still explains them.
//!
//! What it promises, for rates one second apart:
//!
//! * A step of a quiet series (coefficient of variation up to about 5 %) is seen with the second sample after it. The
//!   first sample after a step is a mixture of both levels, because the step falls somewhere inside its second; so
//!   the evidence is *two* displaced samples, the first of them perhaps only partly.
//! * A single outlier never shifts the level.
//! * The readings of a container at its CPU quota (100m reads 90m and 110m in turn at one second, because the quota is
//!   dealt out in periods of 100 ms) are noise below [`RELATIVE_FLOOR`].
//! * Steady noise with a coefficient of variation of 10 to 30 % is averaged, not followed: a shift must stand out
//!   against the noise that this series has shown.
//! * A step that noise hides at two samples may be seen at 4, 8 or 16, where the noise of the mean is smaller.
//!
//! How the constants were found: a prototype of this detector in a simulation of an HPA (target 60 %, tolerance 10 %,
//! default behaviour, ten pods) under an hour of log-normal noise, compared with 15 s averages evaluated each 15 s on
//! the same traces; the constants were chosen on those traces. Steps of 10, 40 and 50 % of request to 80, 100 and 200 %
//! were seen at 2 samples (median) and 2 to 3 (99th percentile). Under noise that is independent from second to second,
//! pod-hours and rescales stayed at or below those of the 15 s timing up to a variation of 30 %.
//!
//! Known limit: noise that is correlated from second to second (0.5 at a variation of 20 to 30 %, shared by all pods) is
//! followed more than 15 s averages follow it: more rescales (7 instead of 4 an hour at 20 %, 28 instead of 6 at 30 %),
//! and at 30 % a tenth more pod-hours. And under a variation of 20 % or more a step within the noise
//! (50 to 80 %) takes tens of samples.

/// A shift must move the level by at least this share of it, however quiet the series is.
pub const RELATIVE_FLOOR: f64 = 0.25;
/// And by at least this many cores: below it lie timer ticks and housekeeping.
pub const ABSOLUTE_FLOOR_CORES: f64 = 0.005;
/// How many standard errors the newest sample must lie off the level, for a shift seen at two samples.
pub const FACTOR_OF_TWO: f64 = 6.0;
/// The same for the mean of 4, 8 or 16 samples.
pub const FACTOR_OF_MORE: f64 = 5.5;
/// Very noisy series have heavy tails; above this coefficient of variation the factors grow.
pub const HEAVY_TAIL_CV: f64 = 0.25;
/// By this much.
pub const HEAVY_TAIL_FACTOR: f64 = 1.2;
/// The older of the two samples counts as displaced from this share of the threshold on: it may hold a part of each level.
pub const PARTIAL_SHARE: f64 = 0.2;
/// Rates needed before a shift can be told from noise at all.
pub const MIN_RATES: usize = 5;
/// Rates of the old level needed before a mean of more than two samples is compared with it.
const MIN_BASELINE_OF_MORE: usize = 4;
/// How many of the newest rates are looked at for the noise between neighbours.
const NOISE_SPAN: usize = 32;
/// Sizes of the mean that is compared with the level.
const SPANS: [usize; 4] = [2, 4, 8, 16];
/// Time constant, in samples, of the remembered noise.
const CV_MEMORY: f64 = 30.0;
/// Noise that the memory starts from when it limits outliers.
const CV_START: f64 = 0.05;
/// A deviation counts in the memory with at most this many times the remembered noise.
const CV_OUTLIER: f64 = 3.0;

/// What is remembered of a series' noise over many levels: its relative variance.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Noise {
    variance: f32,
}

impl Noise {
    /// The remembered coefficient of variation.
    pub fn cv(&self) -> f64 {
        f64::from(self.variance).sqrt()
    }

    /// Learns from one more rate, given the rates of the level it is expected to belong to. What an idle process does
    /// (below [`ABSOLUTE_FLOOR_CORES`]) is no noise, however uneven.
    pub fn learn(&mut self, level: &[f64], rate: f64) {
        let expected = mean(level);
        if level.len() < MIN_BASELINE_OF_MORE {
            return;
        }
        let idle = expected < ABSOLUTE_FLOOR_CORES && rate < ABSOLUTE_FLOOR_CORES;
        let deviation = if idle { 0.0 } else { ((rate - expected) / expected).abs().min(1.0) };
        let limit = CV_OUTLIER * self.cv().max(CV_START);
        let squared = deviation.min(limit).powi(2);
        let variance = f64::from(self.variance);
        self.variance = (variance + (squared - variance) / CV_MEMORY) as f32;
    }
}

/// Tells how many of the newest `rates` make up a new level.
///
/// `rates` are oldest first; the newest `level_len` of them are the level believed in so far, the newest rate included.
pub fn detect(rates: &[f64], level_len: usize, noise: Noise) -> Option<usize> {
    if rates.len() < MIN_RATES || level_len > rates.len() {
        return None;
    }
    let before = &rates[rates.len().saturating_sub(NOISE_SPAN)..rates.len() - 2];
    let between_neighbours = noise_between_neighbours(before);
    let level = &rates[rates.len() - level_len..];
    SPANS.into_iter().take_while(|span| *span < level_len).find_map(|span| {
        let (baseline, recent) = level.split_at(level_len - span);
        let expected = mean(baseline);
        let deviation = between_neighbours.max(standard_deviation(baseline)).max(noise.cv() * expected);
        let old =
            Level { expected, deviation, len: baseline.len() as f64, heavy: noise.cv() > HEAVY_TAIL_CV };
        if span == 2 { old.left_by_two(recent[0], recent[1]) } else { old.left_by_mean_of(recent) }
    })
}

/// The old level, as the newest samples are compared with it.
struct Level {
    expected: f64,
    deviation: f64,
    len: f64,
    heavy: bool,
}

impl Level {
    /// How far off the level a mean of `count` samples must lie.
    fn threshold(&self, factor: f64, count: f64) -> f64 {
        let factor = if self.heavy { factor * HEAVY_TAIL_FACTOR } else { factor };
        let standard_error = self.deviation * (1.0 / count + 1.0 / self.len).sqrt();
        (factor * standard_error).max(RELATIVE_FLOOR * self.expected).max(ABSOLUTE_FLOOR_CORES)
    }

    /// Two samples displaced to the same side. The older one is left out of the new level when it is visibly a mixture.
    fn left_by_two(&self, older: f64, newer: f64) -> Option<usize> {
        let (older, newer) = (older - self.expected, newer - self.expected);
        let threshold = self.threshold(FACTOR_OF_TWO, 1.0);
        let displaced =
            older * newer > 0.0 && newer.abs() >= threshold && older.abs() >= PARTIAL_SHARE * threshold;
        let tell_apart = (4.0 * self.deviation).max(0.1 * newer.abs());
        let mixture = newer.abs() > older.abs() && (newer - older).abs() > tell_apart;
        displaced.then_some(if mixture { 1 } else { 2 })
    }

    /// A displaced mean of several samples, three quarters of which lie on that side.
    fn left_by_mean_of(&self, recent: &[f64]) -> Option<usize> {
        if (self.len as usize) < MIN_BASELINE_OF_MORE {
            return None;
        }
        let count = recent.len();
        let displacement = mean(recent) - self.expected;
        let same_side = recent.iter().filter(|rate| (*rate - self.expected) * displacement > 0.0).count();
        let displaced = displacement.abs() >= self.threshold(FACTOR_OF_MORE, count as f64)
            && same_side >= count - count / 4;
        displaced.then_some(count)
    }
}

fn mean(rates: &[f64]) -> f64 {
    rates.iter().sum::<f64>() / rates.len().max(1) as f64
}

fn standard_deviation(rates: &[f64]) -> f64 {
    if rates.len() < MIN_BASELINE_OF_MORE {
        return 0.0;
    }
    let mean = mean(rates);
    let squares: f64 = rates.iter().map(|rate| (rate - mean).powi(2)).sum();
    (squares / (rates.len() - 1) as f64).sqrt()
}

/// Standard deviation estimated from the median step between neighbours, which one level shift does not disturb.
fn noise_between_neighbours(rates: &[f64]) -> f64 {
    const MEDIAN_TO_DEVIATION: f64 = 1.4826 / std::f64::consts::SQRT_2;
    let mut steps = [0.0_f64; NOISE_SPAN];
    let count = rates.len().saturating_sub(1);
    for (step, pair) in steps.iter_mut().zip(rates.windows(2)) {
        *step = (pair[1] - pair[0]).abs();
    }
    if count == 0 {
        return 0.0;
    }
    let (_, median, _) = steps[..count].select_nth_unstable_by(count / 2, f64::total_cmp);
    *median * MEDIAN_TO_DEVIATION
}
