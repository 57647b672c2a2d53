//! From the text that names a series in an answer to the sink's name for it. Pure.
//!
//! Entries stand in the order of the last answer, so the next line is mostly the next entry's. Limit: entries that the last
//! good answer did not have are dropped after it; while no answer is good, they are dropped when there are more than twice
//! as many entries as at the last good one, and [`SPARE`] more.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use flyball_model::exposition::MetricType;

/// How many entries answers that were not taken may leave.
const SPARE: usize = 1000;
/// When more than this share of lines did not come in the expected order, the order is learned anew.
const MISSES_SHARE: usize = 8;

#[derive(Debug)]
struct Entry<R> {
    text: Arc<str>,
    /// `None` if relabelling drops it.
    series: Option<R>,
    /// What its family said it is.
    kind: MetricType,
    /// Where in the present answer it stands, as far as that is read.
    seen_at: Option<u32>,
    /// It is in the present answer, and is to end when it is in none.
    tracks: bool,
    /// It was so in the last answer.
    tracked: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Cache<R> {
    entries: Vec<Entry<R>>,
    by_text: HashMap<Arc<str>, u32>,
    /// The entry that the next line should be.
    expected: usize,
    /// Lines read, and those of them that were not expected.
    seen: u32,
    misses: usize,
    /// Entries that were seen.
    distinct: usize,
    /// Entries after the last good answer.
    good: usize,
}

impl<R> Default for Cache<R> {
    fn default() -> Cache<R> {
        Cache {
            entries: Vec::new(),
            by_text: HashMap::new(),
            expected: 0,
            seen: 0,
            misses: 0,
            distinct: 0,
            good: 0,
        }
    }
}

impl<R: Copy + Eq + Hash> Cache<R> {
    /// How many series are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The text of the series that should come next.
    pub(super) fn expected(&self) -> Option<&str> {
        self.entries.get(self.expected).map(|entry| &*entry.text)
    }

    /// It came.
    pub(super) fn take_expected(&mut self) -> u32 {
        let entry = self.expected;
        self.expected += 1;
        entry as u32
    }

    /// The entry of a series, and the one after it is expected next.
    pub(super) fn find(&mut self, text: &str) -> Option<u32> {
        self.misses += 1;
        let entry = *self.by_text.get(text)?;
        self.expected = entry as usize + 1;
        Some(entry)
    }

    /// A new entry.
    pub(super) fn add(&mut self, text: &str, series: Option<R>, kind: MetricType) -> u32 {
        let text: Arc<str> = text.into();
        let number = self.entries.len() as u32;
        self.by_text.insert(text.clone(), number);
        self.entries.push(Entry { text, series, kind, seen_at: None, tracks: false, tracked: false });
        number
    }

    /// Notes that an entry is in the present answer; whether it was there before. `None` if it is dropped.
    pub(super) fn see(&mut self, entry: u32, tracks: bool) -> Option<bool> {
        let entry = &mut self.entries[entry as usize];
        let came_before = entry.seen_at.is_some();
        if !came_before {
            entry.seen_at = Some(self.seen);
            self.distinct += 1;
        }
        self.seen += 1;
        entry.tracks |= tracks;
        entry.series.map(|_| came_before)
    }

    pub(super) fn series(&self, entry: u32) -> Option<R> {
        self.entries[entry as usize].series
    }

    pub(super) fn text(&self, entry: u32) -> (&str, MetricType) {
        let entry = &self.entries[entry as usize];
        (&entry.text, entry.kind)
    }

    pub(super) fn renew(&mut self, entry: u32, series: R) {
        self.entries[entry as usize].series = Some(series);
    }

    /// Series that end now. If the answer was not taken, all do.
    pub(super) fn ended(&self, taken: bool) -> Vec<R> {
        let stays = |entry: &&Entry<R>| taken && entry.tracks;
        let ends = |entry: &&Entry<R>| entry.tracked && !stays(entry);
        let mut ended: Vec<R> = self.entries.iter().filter(ends).filter_map(|entry| entry.series).collect();
        if taken && !ended.is_empty() {
            // The same series under another text, for example with its labels in another order, goes on.
            let there: HashSet<R> =
                self.entries.iter().filter(stays).filter_map(|entry| entry.series).collect();
            ended.retain(|series| !there.contains(series));
        }
        let mut once = HashSet::with_capacity(ended.len());
        ended.retain(|series| once.insert(*series));
        ended
    }

    /// Makes ready for the next answer; `told` is whether this one was taken and had something in it.
    pub(super) fn finish(&mut self, told: bool) {
        let reorder = told && self.misses * MISSES_SHARE > self.entries.len();
        let too_many = self.entries.len() > 2 * self.good + SPARE;
        if (told && self.distinct < self.entries.len()) || too_many || reorder {
            self.keep_seen();
        }
        if told {
            self.good = self.entries.len();
        }
        for entry in &mut self.entries {
            entry.tracked = told && entry.tracks;
            entry.tracks = false;
            entry.seen_at = None;
        }
        (self.expected, self.seen, self.misses, self.distinct) = (0, 0, 0, 0);
    }

    /// Drops what was not in the present answer, and learns its order.
    fn keep_seen(&mut self) {
        self.entries.retain(|entry| entry.seen_at.is_some());
        self.entries.sort_by_key(|entry| entry.seen_at);
        self.entries.shrink_to_fit();
        self.by_text = (0..).zip(&self.entries).map(|(number, entry)| (entry.text.clone(), number)).collect();
    }
}
