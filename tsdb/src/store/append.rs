//! Samples come in.

use std::sync::PoisonError;

use flyball_model::labels::Labels;

use super::{Pending, Store, StoreError, lock};
use crate::head::index::SeriesRef;
use crate::head::series::Appended;
use crate::head::{Cursor, NoRoom, partition_of};
use crate::log::{LABELS_BYTES_MAX, SOURCE_BYTES_MAX, SlotSample};
use crate::series::{METRIC_NAME, Point};

/// Samples that may wait for the log; whoever appends beyond it writes them himself.
const PENDING_SAMPLES_MAX: usize = 1 << 20;

/// A sample of a series that is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Incoming {
    /// The series, from [`Store::series_ref`].
    pub series: SeriesRef,
    /// Unix milliseconds.
    pub timestamp_ms: i64,
    /// The value.
    pub value: f64,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppendReport {
    /// Samples stored, late ones among them.
    pub stored: usize,
    /// Stored although newer ones of the series were there.
    pub late: usize,
    /// Had been stored before, with the same value.
    pub duplicates: usize,
    /// Another value is stored at their time.
    pub conflicts: usize,
    /// Older than may be.
    pub too_old: usize,
    /// Further ahead than may be.
    pub too_new: usize,
    /// Positions in the batch whose series has left memory: resolve it again and append once more.
    pub gone: Vec<usize>,
}

/// Why samples are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Nothing is taken at the moment.
    #[error("no samples are taken: {0}")]
    Stopped(String),
    /// The source has as many series as one may have.
    #[error("{source_name} has {limit} series, as many as one source may have: new ones are refused")]
    SourceLimit {
        /// Who brings them.
        source_name: String,
        /// The limit.
        limit: usize,
    },
    /// There are as many series as there may be.
    #[error(
        "there are {limit} series, as many as there may be ({largest} has the most, {largest_count}): new ones of {source_name} are refused"
    )]
    TotalLimit {
        /// Who brings one more.
        source_name: String,
        /// The limit.
        limit: usize,
        /// Who has the most.
        largest: String,
        /// How many that are.
        largest_count: usize,
    },
    /// The labels are too long.
    #[error(
        "the labels of a series of {source_name} have {bytes} bytes, {LABELS_BYTES_MAX} are allowed: {metric}"
    )]
    LongLabels {
        /// Who brings it.
        source_name: String,
        /// The metric's name, cut.
        metric: String,
        /// How long they are.
        bytes: usize,
    },
    /// The name of the source is too long.
    #[error("the name of a source has {0} bytes, {SOURCE_BYTES_MAX} are allowed")]
    LongSource(usize),
    /// There are no labels at all.
    #[error("a series of {source_name} has no labels")]
    NoLabels {
        /// Who brings it.
        source_name: String,
    },
    /// The disk fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// The series of these labels (the metric's name among them), made if there is room. It is good for appending until
    /// [`AppendReport::gone`] says otherwise.
    ///
    /// # Errors
    /// Limits, labels that are too long; each names the source.
    pub fn series_ref(&self, labels: &Labels, source: &str) -> Result<SeriesRef, AppendError> {
        let result = self.check_labels(labels, source).and_then(|()| {
            self.head
                .resolve(labels, source, self.settings.limits())
                .map_err(|full| self.no_room(full, source))
        });
        if result.is_err() {
            self.counts.refuse_series(source);
        }
        result
    }

    fn check_labels(&self, labels: &Labels, source: &str) -> Result<(), AppendError> {
        let bytes: usize = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
        if source.len() > SOURCE_BYTES_MAX {
            return Err(AppendError::LongSource(source.len()));
        }
        let source_name = source.to_owned();
        if labels.is_empty() {
            return Err(AppendError::NoLabels { source_name });
        }
        if bytes > LABELS_BYTES_MAX {
            let metric = labels.get(METRIC_NAME).unwrap_or("").chars().take(100).collect();
            return Err(AppendError::LongLabels { source_name, metric, bytes });
        }
        Ok(())
    }

    fn no_room(&self, full: NoRoom, source: &str) -> AppendError {
        let source_name = source.to_owned();
        match full {
            NoRoom::Source => {
                AppendError::SourceLimit { source_name, limit: self.settings.series_per_source }
            }
            NoRoom::Total => {
                let largest = self.head.index().largest_sources(1).pop();
                let (largest, largest_count) = largest.unwrap_or_default();
                let limit = self.settings.series_total;
                AppendError::TotalLimit { source_name, limit, largest, largest_count }
            }
        }
    }

    /// Appends samples. They can be asked for at once, and outlive a crash after the next [`Store::flush`].
    ///
    /// # Errors
    /// The disk is full, or fails; nothing was appended then.
    pub fn append(&self, now_ms: i64, samples: &[Incoming]) -> Result<AppendReport, AppendError> {
        if let Some(reason) = lock(&self.stopped).clone() {
            return Err(AppendError::Stopped(reason));
        }
        let oldest_ms = now_ms.saturating_sub(self.settings.oldest_ms).max(0);
        let newest_ms = now_ms.saturating_add(self.settings.future_ms);
        let mut report = AppendReport::default();
        let mut pending = Pending::default();
        pending.samples.reserve(samples.len());
        let gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let mut cursor = self.head.cursor();
        for (position, sample) in samples.iter().enumerate() {
            let point = Point { timestamp_ms: sample.timestamp_ms, value: sample.value };
            if point.timestamp_ms < oldest_ms {
                report.too_old += 1;
            } else if point.timestamp_ms > newest_ms {
                report.too_new += 1;
            } else {
                append_one(&mut cursor, sample.series, point, position, &mut report, &mut pending);
            }
        }
        drop(cursor);
        let waiting = {
            let mut all = lock(&self.pending);
            all.samples.append(&mut pending.samples);
            all.definitions.append(&mut pending.definitions);
            all.samples.len()
        };
        drop(gate);
        self.counts.add(&report);
        if waiting >= PENDING_SAMPLES_MAX {
            self.flush()?;
        }
        Ok(report)
    }
}

fn append_one(
    cursor: &mut Cursor<'_>,
    series: SeriesRef,
    point: Point,
    position: usize,
    report: &mut AppendReport,
    pending: &mut Pending,
) {
    let Some(appended) = cursor.append(series, point) else {
        report.gone.push(position);
        return;
    };
    match appended.outcome {
        Appended::Duplicate => report.duplicates += 1,
        Appended::Conflict => report.conflicts += 1,
        Appended::Stored | Appended::StoredLate => {
            report.stored += 1;
            report.late += usize::from(appended.outcome == Appended::StoredLate);
            pending.samples.push(SlotSample { slot: series.slot, point });
            if appended.define {
                pending.definitions.push((series.slot, partition_of(point.timestamp_ms)));
            }
        }
    }
}
