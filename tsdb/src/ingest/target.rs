//! One target's series: from a batch to samples of the store, with markers where a series ends, and the report that every
//! scrape leaves (`up`, `scrape_…`). What is refused is counted by its reason and never stops the rest.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, Hash, Hasher as _, RandomState};

use flyball_model::batch::{Batch, Outcome};
use flyball_model::labels::Labels;
use flyball_model::samples::{Samples, View};

use super::labels;
use crate::head::index::SeriesRef;
use crate::series::STALE_NAN_BITS;
use crate::store::{AppendError, Incoming, Store};

/// What became of a batch.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Written {
    /// Samples stored, markers among them.
    pub stored: usize,
    /// Samples that are lost, by why.
    pub refused: BTreeMap<&'static str, usize>,
    /// One of the refusals, in words.
    pub example: Option<String>,
}

impl Written {
    fn refuse(&mut self, why: &'static str, count: usize) {
        if count > 0 {
            *self.refused.entry(why).or_default() += count;
        }
    }

    fn refuse_for(&mut self, error: &AppendError, count: usize) {
        let why = match error {
            AppendError::Stopped(_) | AppendError::Store(_) => "stopped",
            AppendError::SourceLimit { .. } => "series_of_target",
            AppendError::TotalLimit { .. } => "series_in_all",
            AppendError::LongLabels { .. } | AppendError::LongSource(_) | AppendError::NoLabels { .. } => {
                "labels"
            }
        };
        self.refuse(why, count);
        self.example.get_or_insert_with(|| error.to_string());
    }
}

/// A series of the target.
struct Known {
    series: SeriesRef,
    /// The turn in which it was seen last.
    turn: u32,
}

/// What a series is known by: two hashes of its text with secrets of their own, so that nobody can make two of them meet.
type Key = (u64, u64);

/// The state of one target between two batches.
pub(crate) struct Target {
    labels: Vec<(&'static str, String)>,
    source: String,
    secrets: (RandomState, RandomState),
    known: HashMap<Key, Known>,
    reports: HashMap<&'static str, SeriesRef>,
    turn: u32,
}

impl Target {
    /// The endpoint of a node.
    pub(crate) fn node(name: &str) -> Target {
        Target {
            labels: labels::node_target(name).to_vec(),
            source: format!("{}/{name}", labels::NODE_JOB),
            secrets: (RandomState::new(), RandomState::new()),
            known: HashMap::new(),
            reports: HashMap::new(),
            turn: 0,
        }
    }

    /// Brings a batch into the store.
    pub(crate) fn write(&mut self, store: &Store, now_ms: i64, batch: &Batch) -> Written {
        self.turn = self.turn.wrapping_add(1);
        let mut written = Written::default();
        let at_ms = batch.started_ms;
        let before = self.known.len();
        let (samples, up) = match &batch.outcome {
            Outcome::Scraped { samples, .. } => (Some(samples), 1.0),
            Outcome::Failed { .. } => (None, 0.0),
        };
        if let Some(samples) = samples {
            self.append(store, now_ms, at_ms, samples, &mut written);
        }
        let fresh = self.known.values().filter(|known| known.turn == self.turn).count();
        let gone = self.mark_gone(store, now_ms, at_ms, &mut written);
        let count = samples.map_or(0, Samples::len) as f64;
        let seconds = (batch.finished_ms - batch.started_ms).max(0) as f64 / 1e3;
        let added = (fresh + gone).saturating_sub(before) as f64;
        let reports = [
            ("up", up),
            ("scrape_duration_seconds", seconds),
            ("scrape_samples_scraped", count),
            ("scrape_samples_post_metric_relabeling", count),
            ("scrape_series_added", added),
        ];
        for (name, value) in reports {
            self.report(store, now_ms, at_ms, (name, value), &mut written);
        }
        written
    }

    /// Ends all series: the target is no more.
    pub(crate) fn end(&mut self, store: &Store, now_ms: i64) -> Written {
        let mut written = Written::default();
        self.turn = self.turn.wrapping_add(1);
        self.mark_gone(store, now_ms, now_ms, &mut written);
        let markers: Vec<Incoming> = self.reports.drain().map(|(_, series)| marker(series, now_ms)).collect();
        append(store, now_ms, &markers, &mut written);
        written
    }

    fn append(&mut self, store: &Store, now_ms: i64, at_ms: i64, samples: &Samples, written: &mut Written) {
        let mut again: Option<BTreeSet<usize>> = None;
        // Twice at most: a series that left memory meanwhile is made anew.
        for _ in 0..2 {
            let mut incoming = Vec::with_capacity(samples.len());
            let mut origins = Vec::with_capacity(samples.len());
            for (origin, sample) in samples.iter().enumerate() {
                if again.as_ref().is_some_and(|again| !again.contains(&origin)) {
                    continue;
                }
                match self.resolve(store, &sample, again.is_some()) {
                    Ok(series) => {
                        let timestamp_ms = sample.timestamp_ms.unwrap_or(at_ms);
                        incoming.push(Incoming { series, timestamp_ms, value: sample.value });
                        origins.push(origin);
                    }
                    Err(error) => written.refuse_for(&error, 1),
                }
            }
            let gone = append(store, now_ms, &incoming, written);
            if gone.is_empty() {
                return;
            }
            again = Some(gone.into_iter().map(|position| origins[position]).collect());
        }
        written.refuse("gone", again.map_or(0, |again| again.len()));
    }

    fn key(&self, sample: &View<'_>) -> Key {
        let one = |secret: &RandomState| {
            let mut hasher = secret.build_hasher();
            sample.name.hash(&mut hasher);
            for pair in sample.labels() {
                pair.hash(&mut hasher);
            }
            hasher.finish()
        };
        (one(&self.secrets.0), one(&self.secrets.1))
    }

    fn resolve(&mut self, store: &Store, sample: &View<'_>, anew: bool) -> Result<SeriesRef, AppendError> {
        let key = self.key(sample);
        let turn = self.turn;
        if !anew && let Some(known) = self.known.get_mut(&key) {
            known.turn = turn;
            return Ok(known.series);
        }
        let labels = labels::of_series(sample.name, sample.labels(), &self.labels).unwrap_or_default();
        let series = store.series_ref(&labels, &self.source)?;
        self.known.insert(key, Known { series, turn });
        Ok(series)
    }

    /// Marks the end of the series that were not in this turn's batch, and forgets them. Says how many they were.
    fn mark_gone(&mut self, store: &Store, now_ms: i64, at_ms: i64, written: &mut Written) -> usize {
        let mut markers = Vec::new();
        let turn = self.turn;
        self.known.retain(|_, known| {
            let stays = known.turn == turn;
            if !stays {
                markers.push(marker(known.series, at_ms));
            }
            stays
        });
        // One that has left memory needs no marker: it ended long ago.
        append(store, now_ms, &markers, written);
        markers.len()
    }

    fn report(
        &mut self,
        store: &Store,
        now_ms: i64,
        at_ms: i64,
        (name, value): (&'static str, f64),
        written: &mut Written,
    ) {
        for _ in 0..2 {
            let series = match self.reports.get(name) {
                Some(series) => *series,
                None => {
                    let none = std::iter::empty();
                    let labels: Labels = labels::of_series(name, none, &self.labels).unwrap_or_default();
                    match store.series_ref(&labels, &self.source) {
                        Ok(series) => series,
                        Err(error) => return written.refuse_for(&error, 1),
                    }
                }
            };
            self.reports.insert(name, series);
            if append(store, now_ms, &[Incoming { series, timestamp_ms: at_ms, value }], written).is_empty() {
                return;
            }
            self.reports.remove(name);
        }
    }
}

fn marker(series: SeriesRef, timestamp_ms: i64) -> Incoming {
    Incoming { series, timestamp_ms, value: f64::from_bits(STALE_NAN_BITS) }
}

/// Appends, and answers the positions of samples whose series are gone.
fn append(store: &Store, now_ms: i64, incoming: &[Incoming], written: &mut Written) -> Vec<usize> {
    if incoming.is_empty() {
        return Vec::new();
    }
    match store.append(now_ms, incoming) {
        Ok(report) => {
            written.stored += report.stored;
            written.refuse("conflict", report.conflicts);
            written.refuse("too_old", report.too_old);
            written.refuse("too_new", report.too_new);
            report.gone
        }
        Err(error) => {
            written.refuse_for(&error, incoming.len());
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use flyball_model::exposition::Format;

    use super::*;
    use crate::disk::memory::MemoryDisk;
    use crate::series::{MatchOp, Matcher, ReadLimits, SeriesSource as _, is_stale};
    use crate::store::Settings;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn store(settings: Settings) -> Store {
        Store::open_in_memory(MemoryDisk::default(), settings, NOW_MS).unwrap()
    }

    fn batch(at_ms: i64, text: &str) -> Batch {
        let samples = Samples::read(text.to_owned(), Format::Text004).unwrap();
        let outcome = Outcome::Scraped { samples, sweep_interval_ms: Some(1000) };
        Batch { node: "n1".into(), started_ms: at_ms, finished_ms: at_ms + 250, outcome }
    }

    fn failed(at_ms: i64) -> Batch {
        let outcome = Outcome::Failed { reason: "no route".into() };
        Batch { node: "n1".into(), started_ms: at_ms, finished_ms: at_ms, outcome }
    }

    /// `name{pod} value@second,…` of all series of a name; `stale` for markers.
    fn read(store: &Store, name: &str) -> Vec<String> {
        let matcher = Matcher { name: "__name__".into(), op: MatchOp::Equal, value: name.into() };
        let limits = ReadLimits { series: 100, samples: 1000 };
        let found = store.select(&[matcher], 0, i64::MAX, limits).unwrap();
        found
            .iter()
            .map(|series| {
                assert_eq!(series.labels.get("instance"), Some("n1"));
                let points = series.points.iter().map(|point| {
                    let at = (point.timestamp_ms - NOW_MS) / 1000;
                    if is_stale(point.value) {
                        format!("stale@{at}")
                    } else {
                        format!("{}@{at}", point.value)
                    }
                });
                let points: Vec<String> = points.collect();
                format!("{} {}", series.labels.get("pod").unwrap_or("-"), points.join(","))
            })
            .collect()
    }

    #[test]
    fn samples_reports_and_ends() {
        let store = store(Settings::default());
        let mut target = Target::node("n1");
        let mut write = |seconds: i64, text: &str| {
            let at_ms = NOW_MS + seconds * 1000;
            target.write(&store, at_ms, &batch(at_ms, text))
        };
        let own_time = NOW_MS - 500;
        let first = write(0, &format!("x{{pod=\"a\"}} 1 {own_time}\nx{{pod=\"b\"}} 2\n"));
        assert_eq!((first.stored, first.refused.len()), (7, 0));
        write(15, "x{pod=\"a\"} 3\n");
        let at_ms = NOW_MS + 30_000;
        target.write(&store, at_ms, &failed(at_ms));
        assert_eq!(read(&store, "x"), ["a 1@0,3@15,stale@30", "b 2@0,stale@15"]);
        assert_eq!(read(&store, "up"), ["- 1@0,1@15,0@30"]);
        assert_eq!(read(&store, "scrape_samples_scraped"), ["- 2@0,1@15,0@30"]);
        assert_eq!(read(&store, "scrape_series_added"), ["- 2@0,0@15,0@30"]);
        assert_eq!(read(&store, "scrape_duration_seconds"), ["- 0.25@0,0.25@15,0@30"]);
        target.end(&store, NOW_MS + 45_000);
        assert_eq!(read(&store, "up"), ["- 1@0,1@15,0@30,stale@45"]);
    }

    #[test]
    fn what_is_refused_is_counted_by_its_reason_and_the_rest_is_stored() {
        let store = store(Settings { series_per_source: 7, ..Settings::default() });
        let mut target = Target::node("n1");
        let long: Vec<String> = (0..20).map(|label| format!("l{label}=\"{}\"", "y".repeat(1500))).collect();
        let text = format!(
            "x{{pod=\"a\"}} 1\nx{{pod=\"b\"}} 1 {}\nx{{{}}} 1\n{}",
            NOW_MS + 3_600_000,
            long.join(","),
            (0..5).map(|pod| format!("z{{pod=\"{pod}\"}} 1\n")).collect::<String>(),
        );
        let written = target.write(&store, NOW_MS, &batch(NOW_MS, &text));
        assert_eq!(written.refused["labels"], 1);
        assert_eq!(written.refused["too_new"], 1);
        assert_eq!(written.refused["series_of_target"], 5, "of eight samples and five reports");
        assert!(written.example.unwrap().contains("kubelet/n1"));
        assert_eq!(read(&store, "x"), ["a 1@0"]);
    }
}
