//! What the query side asks of the storing side, and nothing more.
//!
//! Promise: PromQL is evaluated over this trait only, so the store on disk, its twin in memory and a test's hand-written
//! series are the same to it. Times are Unix milliseconds. A sample whose value is [`STALE_NAN`] (compared by bits) is a
//! staleness marker: the series ended there.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::ControlFlow;
use std::sync::Arc;

use flyball_model::labels::Labels;

/// Label under which a metric's name stands.
pub const METRIC_NAME: &str = "__name__";

/// Bits of the NaN that marks the end of a series, as Prometheus writes it.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Whether a value is the marker of a series' end.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Unix milliseconds.
    pub timestamp_ms: i64,
    /// The value; NaN and infinities are values too.
    pub value: f64,
}

/// How a label's value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends
    Matches,
    /// `!~`, anchored at both ends
    NotMatches,
}

/// One condition on one label. An absent label counts as an empty value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Matcher {
    /// Name of the label; [`METRIC_NAME`] for the metric's name.
    pub name: String,
    /// How to compare.
    pub op: MatchOp,
    /// What to compare with: text, or a regular expression.
    pub value: String,
}

/// A series with its samples in a range, in order of time. The labels hold the metric's name as [`METRIC_NAME`].
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// All labels.
    pub labels: Arc<Labels>,
    /// Samples in order of time, each time once, staleness markers included.
    pub points: Vec<Point>,
}

/// Bounds of one reading, so that no query takes all memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Most series that one selection may match.
    pub series: usize,
    /// Most samples that one selection may return.
    pub samples: usize,
}

/// Why a selection failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A regular expression does not compile.
    #[error("matcher {name}: {reason}")]
    Matcher {
        /// The label.
        name: String,
        /// What is wrong with the expression.
        reason: String,
    },
    /// More than a [`ReadLimits`] allows.
    #[error("the query selects more than {limit} {what}: narrow its label matchers or its time range")]
    TooMuch {
        /// `series` or `samples`.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The store cannot read what it has.
    #[error("the store cannot be read: {0}")]
    Store(String),
}

/// Which labels of a series say in which group it is.
#[derive(Debug, Clone, Default)]
pub struct By<'a> {
    /// Some names.
    pub names: Vec<&'a str>,
    /// All labels but these count, instead of these alone.
    pub without: bool,
}

impl By<'_> {
    /// Whether a label counts.
    #[must_use]
    pub fn counts(&self, name: &str) -> bool {
        self.names.contains(&name) != self.without
    }
}

/// Is shown the samples of one series after the other, each with the number of its group, and may end the reading.
pub type GroupVisitor<'a> = dyn FnMut(usize, &[Point]) -> ControlFlow<()> + Send + 'a;

/// Groups that came up so far.
#[derive(Debug, Default)]
struct Groups {
    numbers: HashMap<Labels, usize>,
    labels: Vec<Labels>,
}

impl Groups {
    fn number(&mut self, by: &By<'_>, labels: &Labels) -> usize {
        let kept = labels.iter().filter(|(name, value)| !value.is_empty() && by.counts(name));
        // Labels of one series: a set of labels.
        let kept = Labels::from_pairs(kept).unwrap_or_default();
        let next = self.labels.len();
        match self.numbers.entry(kept) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                self.labels.push(new.key().clone());
                *new.insert(next)
            }
        }
    }
}

/// [`SeriesSource::scan_groups`] by [`SeriesSource::scan`].
pub(crate) fn group_scanned<S: SeriesSource + ?Sized>(
    source: &S,
    matchers: &[Matcher],
    by: &By<'_>,
    start_ms: i64,
    end_ms: i64,
    limits: ReadLimits,
    visitors: &mut [Box<GroupVisitor<'_>>],
) -> Result<Vec<Labels>, ReadError> {
    let mut groups = Groups::default();
    let Some(visit) = visitors.first_mut() else { return Ok(Vec::new()) };
    source.scan(matchers, start_ms, end_ms, limits, &mut |labels, points| {
        visit(groups.number(by, labels), points)
    })?;
    Ok(groups.labels)
}

/// Something that holds series.
pub trait SeriesSource: Send + Sync {
    /// Series that match all of `matchers` and have a sample in `[start_ms, end_ms]`, sorted by labels.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn select(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        limits: ReadLimits,
    ) -> Result<Vec<Series>, ReadError>;

    /// The same series one by one, so that a store need not hold all of their samples at once: `visit` gets the labels and
    /// the samples, and may end the reading.
    ///
    /// # Errors
    /// See [`ReadError`].
    #[allow(clippy::type_complexity, reason = "a visitor's type is clearer where it is used")]
    fn scan(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        limits: ReadLimits,
        visit: &mut dyn FnMut(&Arc<Labels>, &[Point]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        for series in self.select(matchers, start_ms, end_ms, limits)? {
            if visit(&series.labels, &series.points).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The same series one by one in any order, each with the number of its group: series are in one group whose labels
    /// that count by `by` are the same. Numbers count from 0; the answer is what each group has in
    /// common, and may name further groups of which nothing was visited. Series are shared out among the visitors, each of
    /// which may be called on a thread of its own; the first gets all where that is not worth it. `None`: the store changed meanwhile,
    /// what was visited is void, and [`SeriesSource::scan`] is to be asked instead.
    ///
    /// # Errors
    /// See [`ReadError`].
    #[allow(clippy::too_many_arguments, reason = "as `scan`, and by what to group")]
    fn scan_groups(
        &self,
        matchers: &[Matcher],
        by: &By<'_>,
        start_ms: i64,
        end_ms: i64,
        limits: ReadLimits,
        visitors: &mut [Box<GroupVisitor<'_>>],
    ) -> Result<Option<Vec<Labels>>, ReadError> {
        group_scanned(self, matchers, by, start_ms, end_ms, limits, visitors).map(Some)
    }

    /// Names of labels on series that match and have a sample in the range, sorted.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn label_names(&self, matchers: &[Matcher], start_ms: i64, end_ms: i64)
    -> Result<Vec<String>, ReadError>;

    /// Values of one label on series that match and have a sample in the range, sorted.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError>;

    /// Labels of the series that match and have a sample in the range, sorted.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn series(&self, matchers: &[Matcher], start_ms: i64, end_ms: i64)
    -> Result<Vec<Arc<Labels>>, ReadError>;
}
