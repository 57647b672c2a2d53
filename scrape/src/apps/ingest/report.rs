//! The series that tell about a scrape itself: `up` and `scrape_…`. Pure.

use std::time::Duration;

use flyball_model::labels::Labels;

use super::super::STALE_NAN_BITS;
use super::super::sink::AppSink;
use super::labels::NAME;
use super::{Counts, Of};

const NAMES: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// What there is to tell.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Measured {
    pub(in super::super) success: bool,
    pub(in super::super) duration: Duration,
    pub(in super::super) counts: Counts,
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
        let Measured { success, duration, counts } = measured;
        let values = [
            f64::from(u8::from(success)),
            duration.as_secs_f64(),
            counts.scraped as f64,
            counts.relabelled as f64,
            counts.added as f64,
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
        for (index, value) in values.into_iter().enumerate() {
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
