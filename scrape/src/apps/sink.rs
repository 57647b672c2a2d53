//! Where samples of applications go. Pure.
//!
//! A sink names its series itself. The names are kept beside the text that a target exposes, so a series that was there at
//! the last scrape costs neither a label set nor a look-up: its value goes straight into the list that [`AppSink::append`]
//! takes.

use std::fmt;
use std::hash::Hash;

use flyball_model::labels::Labels;

/// Someone who stores samples.
///
/// Called on threads that may wait for a disk, never on those that serve; several at a time.
pub trait AppSink: Send + Sync + 'static {
    /// The sink's own name for a series.
    type Series: Copy + Eq + Hash + fmt::Debug + Send + Sync + 'static;
    /// A sample as [`AppSink::append`] takes it.
    type Sample: Send + 'static;

    /// The series of these labels (the metric's name among them, as `__name__`; no value is empty). `source` is the target
    /// that brings it, for limits.
    ///
    /// # Errors
    /// There is no room for one more series, or its labels are too long.
    fn resolve(&self, labels: &Labels, source: &str) -> Result<Self::Series, Refused>;

    /// Puts a sample together.
    fn sample(series: Self::Series, timestamp_ms: i64, value: f64) -> Self::Sample;

    /// Stores samples, in any order of series, each series' in order of time. Staleness markers
    /// ([`super::STALE_NAN_BITS`]) are values like any other.
    ///
    /// # Errors
    /// Nothing was stored, and why.
    fn append(&self, now_ms: i64, samples: &[Self::Sample]) -> Result<Appended, String>;
}

/// A series that the sink does not take: one sentence that names the source and the limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// What became of a list of samples.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appended {
    /// Another value is stored at their time.
    pub conflicts: usize,
    /// Older than may be.
    pub too_old: usize,
    /// Further ahead than may be.
    pub too_new: usize,
    /// Positions in the list whose series the sink has forgotten: they are resolved and appended once more.
    pub gone: Vec<usize>,
}
