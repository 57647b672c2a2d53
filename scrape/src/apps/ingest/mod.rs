//! One answer of one target becomes samples, staleness markers and the report of the scrape. Pure.
//!
//! Promises, which are Prometheus': an answer counts whole or not at all; a series that was there at the last scrape and is
//! not now ends with a marker, and so do all series when the scrape fails; series with times of their own have no markers
//! unless the job tracks them. What the sink refuses (too many series) costs those series and nothing else.

mod cache;
mod labels;
mod metadata;
mod report;

use flyball_model::exposition::{Event, Format, MetricType, ReadError, Reader, SampleRef};
use flyball_model::labels::Labels;

use super::job::Job;
use super::metrics::Fault;
use super::sink::{AppSink, Appended};
use cache::Cache;
use labels::Outcome;
pub use labels::SeriesError;
pub(super) use metadata::Books;
pub(super) use report::{BodySize, Measured, Reports};

/// What is constant for a target.
#[derive(Debug)]
pub struct Of<'a, S> {
    /// Its job.
    pub job: &'a Job,
    /// Labels that its series get.
    pub labels: &'a Labels,
    /// Its name, for limits of the sink.
    pub source: &'a str,
    /// Where samples go.
    pub sink: &'a S,
}

/// Why an answer was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// A line of it is no sample.
    #[error("the answer cannot be read: {0}")]
    Unreadable(#[from] ReadError),
    /// A series in it cannot be, or is beyond a limit.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// It has too many samples.
    #[error("sample_limit exceeded: there are {count} samples after relabelling, {limit} are allowed")]
    SampleLimit {
        /// How many.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The sink does not take any.
    #[error("the samples were not stored: {0}")]
    Sink(String),
}

/// How many samples there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the answer.
    pub scraped: usize,
    /// After relabelling.
    pub relabelled: usize,
    /// Series that were not there at the last scrape.
    pub added: usize,
}

/// What became of an answer.
#[derive(Debug, Default)]
pub struct Ingested {
    /// How many samples there were.
    pub counts: Counts,
    /// Why it was not taken, if it was not.
    pub error: Option<IngestError>,
    /// Things that happened, and how often.
    pub faults: Vec<(Fault, usize)>,
    /// Why series were refused, and how many were.
    pub refused: Option<(String, usize)>,
}

/// One sample of this scrape.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Number of its entry in the cache.
    entry: u32,
    timestamp_ms: i64,
    /// The time is the target's own.
    told: bool,
    value: f64,
}

/// What is kept of a target from scrape to scrape.
pub struct Ingest<S: AppSink> {
    cache: Cache<S::Series>,
    rows: Vec<Row>,
    /// The first entry that the present answer made.
    first_new: Option<u32>,
}

impl<S: AppSink> Default for Ingest<S> {
    fn default() -> Ingest<S> {
        Ingest { cache: Cache::default(), rows: Vec::new(), first_new: None }
    }
}

impl<S: AppSink> Ingest<S> {
    /// Takes an answer that was fetched at `at_ms`. When it cannot be taken, all series end.
    pub fn take(&mut self, of: &Of<'_, S>, body: &str, format: Format, at_ms: i64, now_ms: i64) -> Ingested {
        let mut done = Ingested::default();
        self.rows.clear();
        self.first_new = None;
        let read = self.read(of, body, format, at_ms, &mut done);
        let stored = read.and_then(|()| self.store(of, now_ms, &mut done));
        match stored {
            // An answer without anything is a good answer, but tells nothing about the next one.
            Ok(()) => self.finish(of, at_ms, now_ms, true, !body.is_empty()),
            Err(error) => {
                done.faults.extend(fault_of(&error));
                done.error = Some(error);
                self.finish(of, at_ms, now_ms, false, false);
            }
        }
        done
    }

    /// There was no answer: all series end at `at_ms`.
    pub fn fail(&mut self, of: &Of<'_, S>, at_ms: i64, now_ms: i64) {
        self.finish(of, at_ms, now_ms, false, false);
    }

    /// Reads all lines into rows.
    fn read(
        &mut self,
        of: &Of<'_, S>,
        body: &str,
        format: Format,
        at_ms: i64,
        done: &mut Ingested,
    ) -> Result<(), IngestError> {
        let mut reader = Reader::new(body, format);
        let mut kind = MetricType::Untyped;
        if body.is_empty() {
            return Ok(());
        }
        loop {
            // Bodies mostly have the same series in the same order as the last time.
            let known = self.cache.expected().and_then(|text| reader.known(text));
            if let Some(measured) = known {
                let (value, told_ms) = measured?;
                let entry = self.cache.take_expected();
                self.add(of, entry, value, told_ms, at_ms, done);
                continue;
            }
            match reader.next().transpose()? {
                None => break,
                Some(Event::Type { kind: told, .. }) => kind = told,
                Some(Event::Sample(sample)) => {
                    let found = match self.cache.find(reader.series()) {
                        Some(entry) => Some(entry),
                        None => self.make(of, &sample, reader.series(), kind, done)?,
                    };
                    match found {
                        Some(entry) => self.add(of, entry, sample.value, sample.timestamp_ms, at_ms, done),
                        // Refused; it was exposed all the same.
                        None => {
                            done.counts.scraped += 1;
                            done.counts.relabelled += 1;
                        }
                    }
                    reader.recycle(sample);
                }
                Some(_) => {}
            }
        }
        match of.job.limits.samples {
            Some(limit) if self.rows.len() > limit.get() => {
                Err(IngestError::SampleLimit { count: self.rows.len(), limit: limit.get() })
            }
            _ => Ok(()),
        }
    }

    /// Makes the entry of a series that was not there before; `None` if the sink refuses it.
    fn make(
        &mut self,
        of: &Of<'_, S>,
        sample: &SampleRef<'_>,
        text: &str,
        kind: MetricType,
        done: &mut Ingested,
    ) -> Result<Option<u32>, IngestError> {
        // A sample that fails the whole answer was scraped all the same.
        let named =
            labels::of_sample(of.job, of.labels, sample, kind).inspect_err(|_| done.counts.scraped += 1);
        let labels = match named? {
            Outcome::Dropped => return Ok(Some(self.cache.add(text, None, kind))),
            Outcome::Kept(labels) => labels,
        };
        match of.sink.resolve(&labels, of.source) {
            Ok(series) => {
                done.counts.added += 1;
                let entry = self.cache.add(text, Some(series), kind);
                self.first_new.get_or_insert(entry);
                Ok(Some(entry))
            }
            Err(refused) => {
                note_refused(done, refused.0);
                Ok(None)
            }
        }
    }

    fn add(
        &mut self,
        of: &Of<'_, S>,
        entry: u32,
        value: f64,
        told_ms: Option<i64>,
        at_ms: i64,
        done: &mut Ingested,
    ) {
        done.counts.scraped += 1;
        let told_ms = told_ms.filter(|_| of.job.honor_timestamps);
        let tracks = told_ms.is_none() || of.job.track_timestamps_staleness;
        let Some(came_before) = self.cache.see(entry, tracks) else { return };
        done.counts.relabelled += 1;
        if came_before && told_ms.is_none() {
            note(done, Fault::Duplicate, 1);
        } else {
            let (timestamp_ms, told) = (told_ms.unwrap_or(at_ms), told_ms.is_some());
            self.rows.push(Row { entry, timestamp_ms, told, value });
        }
    }

    /// Hands the rows to the sink. New series with times of their own go first, for one that begins with a time which the sink
    /// does not take does not count as added.
    fn store(&mut self, of: &Of<'_, S>, now_ms: i64, done: &mut Ingested) -> Result<(), IngestError> {
        let mut rows = std::mem::take(&mut self.rows);
        let first_new = self.first_new.unwrap_or(u32::MAX);
        let is_uncertain = |row: &Row| row.told && row.entry >= first_new;
        let result = if self.first_new.is_some() && rows.iter().any(is_uncertain) {
            let (uncertain, others): (Vec<Row>, Vec<Row>) = rows.iter().copied().partition(is_uncertain);
            self.store_rows(of, now_ms, &uncertain, done).and_then(|beyond| {
                done.counts.added = done.counts.added.saturating_sub(beyond);
                self.store_rows(of, now_ms, &others, done)
            })
        } else {
            self.store_rows(of, now_ms, &rows, done)
        };
        rows.clear();
        self.rows = rows;
        result.map(|_| ()).map_err(IngestError::Sink)
    }

    /// Hands rows to the sink, those whose series it has forgotten once more, under a new name; how many have times that it does
    /// not take.
    fn store_rows(
        &mut self,
        of: &Of<'_, S>,
        now_ms: i64,
        rows: &[Row],
        done: &mut Ingested,
    ) -> Result<usize, String> {
        let appended = self.append(of, now_ms, rows.iter())?;
        count(done, &appended);
        let beyond = appended.too_old + appended.too_new;
        if appended.gone.is_empty() {
            return Ok(beyond);
        }
        let again: Vec<Row> = appended.gone.iter().filter_map(|at| rows.get(*at)).copied().collect();
        again.iter().for_each(|row| self.renew(of, row.entry, done));
        let appended = self.append(of, now_ms, again.iter())?;
        count(done, &appended);
        Ok(beyond + appended.too_old + appended.too_new)
    }

    fn append<'r>(
        &self,
        of: &Of<'_, S>,
        now_ms: i64,
        rows: impl Iterator<Item = &'r Row>,
    ) -> Result<Appended, String> {
        let sample = |row: &Row| {
            self.cache.series(row.entry).map(|series| S::sample(series, row.timestamp_ms, row.value))
        };
        let samples: Vec<S::Sample> = rows.filter_map(sample).collect();
        if samples.is_empty() { Ok(Appended::default()) } else { of.sink.append(now_ms, &samples) }
    }

    /// Resolves the series of an entry once more.
    fn renew(&mut self, of: &Of<'_, S>, entry: u32, done: &mut Ingested) {
        let (text, kind) = self.cache.text(entry);
        let line = format!("{text} 0\n");
        let Some(Ok(Event::Sample(sample))) = Reader::new(&line, Format::Text004).next() else { return };
        let Ok(Outcome::Kept(labels)) = labels::of_sample(of.job, of.labels, &sample, kind) else { return };
        match of.sink.resolve(&labels, of.source) {
            Ok(series) => self.cache.renew(entry, series),
            Err(refused) => note_refused(done, refused.0),
        }
    }

    /// Ends the series that are not there any more, and makes ready for the next scrape.
    fn finish(&mut self, of: &Of<'_, S>, at_ms: i64, now_ms: i64, taken: bool, told: bool) {
        let ended = self.cache.ended(taken);
        if !ended.is_empty() {
            let stale = f64::from_bits(super::STALE_NAN_BITS);
            let markers: Vec<S::Sample> =
                ended.into_iter().map(|series| S::sample(series, at_ms, stale)).collect();
            // A series that the sink has forgotten meanwhile needs no end.
            if let Err(reason) = of.sink.append(now_ms, &markers) {
                tracing::warn!(source = of.source, reason, "staleness markers were not stored");
            }
        }
        self.cache.finish(told);
        self.rows.clear();
    }
}

fn note(done: &mut Ingested, fault: Fault, count: usize) {
    match done.faults.iter_mut().find(|(have, _)| *have == fault) {
        Some((_, sum)) => *sum += count,
        None if count > 0 => done.faults.push((fault, count)),
        None => {}
    }
}

fn note_refused(done: &mut Ingested, reason: String) {
    note(done, Fault::Refused, 1);
    match &mut done.refused {
        Some((_, count)) => *count += 1,
        none => *none = Some((reason, 1)),
    }
}

fn count(done: &mut Ingested, appended: &Appended) {
    note(done, Fault::Duplicate, appended.conflicts);
    note(done, Fault::TooOld, appended.too_old);
    note(done, Fault::TooNew, appended.too_new);
}

fn fault_of(error: &IngestError) -> Option<(Fault, usize)> {
    match error {
        IngestError::SampleLimit { .. } => Some((Fault::SampleLimit, 1)),
        IngestError::Series(error) if error.is_limit() => Some((Fault::LabelLimit, 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
