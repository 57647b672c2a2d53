//! What a query says beside its result: warnings and infos, each once.

use std::ops::Range;

use super::number::write_short;
use super::parse::position;

/// Whether a result may be wrong, or only deserves a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The result may be wrong.
    Warning,
    /// Something worth knowing.
    Info,
}

/// Most annotations of a query that are kept; a query over many metrics could name each.
const MAX_KEPT: usize = 1000;

/// Most of each kind that are shown, as in Prometheus' answers.
pub const SHOWN: usize = 10;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Note {
    level: Level,
    text: String,
    span: Range<usize>,
}

/// A set of annotations, in the order in which they came up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    notes: Vec<Note>,
    /// Where each text stands among the notes.
    seen: std::collections::HashMap<String, usize>,
}

impl Annotations {
    fn add(&mut self, level: Level, text: String, span: &Range<usize>) {
        let text = match level {
            Level::Warning => format!("PromQL warning: {text}"),
            Level::Info => format!("PromQL info: {text}"),
        };
        // The place of the last one counts, as in Prometheus: that of the outer of two nested functions.
        if let Some(index) = self.seen.get(&text) {
            self.notes[*index].span = span.clone();
        } else if self.notes.len() < MAX_KEPT {
            self.seen.insert(text.clone(), self.notes.len());
            self.notes.push(Note { level, text, span: span.clone() });
        }
    }

    /// A quantile outside of 0 to 1.
    pub(crate) fn quantile(&mut self, quantile: f64, span: &Range<usize>) {
        let text = format!("quantile value should be between 0 and 1, got {}", write_short(quantile));
        self.add(Level::Warning, text, span);
    }

    /// A ratio outside of -1 to 1.
    pub(crate) fn ratio(&mut self, ratio: f64, capped: f64, span: &Range<usize>) {
        let text = format!(
            "ratio value should be between -1 and 1, got {}, capping to {}",
            write_short(ratio),
            write_short(capped)
        );
        self.add(Level::Warning, text, span);
    }

    /// A bucket without a proper bound.
    pub(crate) fn bucket_label(&mut self, metric: &str, bound: &str, span: &Range<usize>) {
        let text = format!(
            "bucket label \"le\" is missing or has a malformed value of {bound:?} for metric name {metric:?}"
        );
        self.add(Level::Warning, text, span);
    }

    /// A rate of something that is not named like a counter.
    pub(crate) fn not_a_counter(&mut self, metric: &str, span: &Range<usize>) {
        let text = format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {metric:?}"
        );
        self.add(Level::Info, text, span);
    }

    /// A rate of something whose `__type__` is not a counter's.
    pub(crate) fn type_is_not_counter(&mut self, metric: &str, kind: &str, span: &Range<usize>) {
        let text = format!(
            "metric might not be a counter, __type__ label is not set to \"counter\", got {kind:?}: {metric:?}"
        );
        self.add(Level::Info, text, span);
    }

    /// Buckets whose counts fall.
    pub(crate) fn forced_monotonicity(&mut self, metric: &str, span: &Range<usize>) {
        let text = format!(
            "input to histogram_quantile needed to be fixed for monotonicity (see \
             https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile) for metric \
             name {metric:?}"
        );
        self.add(Level::Info, text, span);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Texts of one kind, without their places.
    pub fn texts(&self, level: Level) -> Vec<&str> {
        self.notes.iter().filter(|note| note.level == level).map(|note| note.text.as_str()).collect()
    }

    /// Texts of one kind with their places in the query, at most [`SHOWN`] and one more that counts the rest.
    pub fn shown(&self, level: Level, query: &str) -> Vec<String> {
        let all = self.notes.iter().filter(|note| note.level == level);
        let mut texts: Vec<String> = all
            .clone()
            .take(SHOWN)
            .map(|note| format!("{} ({})", note.text, position(query, note.span.start)))
            .collect();
        let rest = all.count() - texts.len();
        if rest > 0 {
            let kind = if level == Level::Warning { "warning" } else { "info" };
            texts.push(format!("{rest} more {kind} annotations omitted"));
        }
        texts
    }
}
