//! The series that tell about a scrape itself: `up` and `scrape_…`. Pure.

use std::time::Duration;

use flyball_model::labels::Labels;

use super::super::STALE_NAN_BITS;
use super::super::sink::AppSink;
use super::labels::NAME;
use super::{Counts, Of};

const NAMES: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];
/// So many of them are told in any case, the others if the job says `extra_scrape_metrics`.
const ALWAYS: usize = 5;

/// What there is to tell.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Measured {
    pub(in super::super) success: bool,
    pub(in super::super) duration: Duration,
    pub(in super::super) counts: Counts,
    /// Longest time it might have taken.
    pub(in super::super) timeout: Duration,
    /// How long the answer was, unpacked.
    pub(in super::super) body: BodySize,
}

/// How long an answer was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum BodySize {
    /// So many bytes; none where there was no answer.
    Bytes(usize),
    /// More than the job allows, which Prometheus writes as -1.
    TooLarge,
}

/// The series of one target.
#[derive(Debug)]
pub(in super::super) struct Reports<R> {
    series: [Option<R>; NAMES.len()],
}

impl<R> Default for Reports<R> {
    fn default() -> Reports<R> {
        Reports { series: std::array::from_fn(|_| None) }
    }
}

impl<R: Copy> Reports<R> {
    /// Tells about a scrape.
    ///
    /// # Errors
    /// Why something of it was not stored.
    pub(in super::super) fn tell<S: AppSink<Series = R>>(
        &mut self,
        of: &Of<'_, S>,
        measured: Measured,
        at_ms: i64,
        now_ms: i64,
    ) -> Result<(), String> {
        let Measured { success, duration, counts, timeout, body } = measured;
        let values = [
            f64::from(u8::from(success)),
            duration.as_secs_f64(),
            counts.scraped as f64,
            counts.relabelled as f64,
            counts.added as f64,
            timeout.as_secs_f64(),
            of.job.limits.samples.map_or(0.0, |limit| limit.get() as f64),
            match body {
                BodySize::Bytes(bytes) => bytes as f64,
                BodySize::TooLarge => -1.0,
            },
        ];
        self.append(of, values, at_ms, now_ms)
    }

    /// Whether anything was told yet.
    pub(in super::super) fn have_told(&self) -> bool {
        self.series.iter().any(Option::is_some)
    }

    /// The target is gone.
    ///
    /// # Errors
    /// Why something of it was not stored.
    pub(in super::super) fn end<S: AppSink<Series = R>>(
        &mut self,
        of: &Of<'_, S>,
        at_ms: i64,
        now_ms: i64,
    ) -> Result<(), String> {
        self.append(of, [f64::from_bits(STALE_NAN_BITS); NAMES.len()], at_ms, now_ms)
    }

    fn append<S: AppSink<Series = R>>(
        &mut self,
        of: &Of<'_, S>,
        values: [f64; NAMES.len()],
        at_ms: i64,
        now_ms: i64,
    ) -> Result<(), String> {
        let mut samples = Vec::with_capacity(NAMES.len());
        let mut at = Vec::with_capacity(NAMES.len());
        let told = if of.job.extra_metrics { NAMES.len() } else { ALWAYS };
        for (index, value) in values.into_iter().enumerate().take(told) {
            let series = self.resolve(of, index)?;
            samples.push(S::sample(series, at_ms, value));
            at.push((index, value));
        }
        let gone = of.sink.append(now_ms, &samples)?.gone;
        if gone.is_empty() {
            return Ok(());
        }
        let mut again = Vec::with_capacity(gone.len());
        for (index, value) in gone.into_iter().filter_map(|position| at.get(position).copied()) {
            self.series[index] = None;
            again.push(S::sample(self.resolve(of, index)?, at_ms, value));
        }
        of.sink.append(now_ms, &again).map(|_| ())
    }

    fn resolve<S: AppSink<Series = R>>(&mut self, of: &Of<'_, S>, index: usize) -> Result<R, String> {
        if let Some(series) = self.series[index] {
            return Ok(series);
        }
        let labels = Labels::from_pairs(of.labels.iter().chain([(NAME, NAMES[index])]))
            .map_err(|error| error.to_string())?;
        let series = of.sink.resolve(&labels, of.source).map_err(|refused| refused.0)?;
        self.series[index] = Some(series);
        Ok(series)
    }
}
