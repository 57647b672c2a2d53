//! The text in which metrics travel: Prometheus' format 0.0.4 and OpenMetrics 1.0. One [`Reader`], one [`Writer`].
//!
//! What the reader promises: it never panics; it borrows from the text wherever no escape forces a copy; a bad line is
//! an error that names the line, after which it goes on with the next one, so that the caller decides whether the
//! rest still counts (upstream drops the whole body). What the writer promises: what it writes reads back to the same
//! bits, in both formats.
//!
//! Where the formats leave room: carriage returns before a line's end are accepted in 0.0.4 (Prometheus refuses them);
//! names in quotes (UTF-8 names) are read when they hold no escapes; exemplars are checked and skipped; a number too
//! large for a float is an error, never infinity.

mod line;
mod read;
mod write;

use std::borrow::Cow;

use thiserror::Error;

use crate::labels::{Labels, LabelsError};
use crate::sample::Sample;

pub use read::Reader;
pub use write::{MOST_DECIMALS, Number, Writer, push_label};

/// Longest line that is read, bytes.
pub const MAX_LINE_BYTES: usize = 64 * 1024;
/// Most labels one sample may have.
pub const MAX_LABELS: usize = crate::labels::MAX_LABELS;
/// Most characters an OpenMetrics exemplar's labels may have, names and values together.
pub const MAX_EXEMPLAR_CHARS: usize = 128;

/// Which of the two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus' text format 0.0.4; timestamps are integer milliseconds.
    Text004,
    /// OpenMetrics 1.0; timestamps are seconds with a fraction, the body ends with `# EOF`.
    OpenMetrics10,
}

impl Format {
    /// The `Content-Type` of a body in this format.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text004 => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics10 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format a client prefers, by its `Accept` header: the best quality wins, then the first named. 0.0.4 when
    /// it names neither.
    pub fn from_accept(accept: &str) -> Format {
        let mut best: Option<(f32, Format)> = None;
        for item in accept.split(',') {
            let (kind, parameters) = media_type(item);
            let quality = parameter(parameters, "q").map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
            let format = match (kind, parameter(parameters, "version")) {
                ("application/openmetrics-text", None | Some("1.0.0")) => Format::OpenMetrics10,
                ("text/plain", None | Some("0.0.4")) => Format::Text004,
                _ => continue,
            };
            if quality > best.map_or(0.0, |(quality, _)| quality) {
                best = Some((quality, format));
            }
        }
        best.map_or(Format::Text004, |(_, format)| format)
    }

    /// The format of a body, by its `Content-Type` header. `None` when it is neither.
    pub fn from_content_type(content_type: &str) -> Option<Format> {
        // Media types are the same in capitals.
        match media_type(content_type).0.to_ascii_lowercase().as_str() {
            "text/plain" => Some(Format::Text004),
            "application/openmetrics-text" => Some(Format::OpenMetrics10),
            _ => None,
        }
    }
}

/// The media type of one item of a header, and its parameters.
fn media_type(item: &str) -> (&str, &str) {
    let (kind, parameters) = item.split_once(';').unwrap_or((item, ""));
    (kind.trim(), parameters)
}

fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters.split(';').find_map(|parameter| {
        let (have, value) = parameter.split_once('=')?;
        have.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

/// What a metric family counts. 0.0.4 knows the first five.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricType {
    /// Only ever grows, until a restart.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
    /// Observations as quantiles.
    Summary,
    /// Not said: `untyped` in 0.0.4, `unknown` in OpenMetrics.
    Untyped,
    /// Facts that do not change, as labels.
    Info,
    /// One of several states.
    StateSet,
    /// Buckets that go up and down.
    GaugeHistogram,
}

/// One line of meaning.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// `# HELP`
    Help {
        /// Family name.
        name: &'a str,
        /// Text without escapes.
        help: Cow<'a, str>,
    },
    /// `# TYPE`
    Type {
        /// Family name; in OpenMetrics without the samples' suffix.
        name: &'a str,
        /// Its type.
        kind: MetricType,
    },
    /// `# UNIT`, OpenMetrics only.
    Unit {
        /// Family name.
        name: &'a str,
        /// For example `seconds`; may be empty.
        unit: &'a str,
    },
    /// A sample.
    Sample(SampleRef<'a>),
    /// `# EOF`, OpenMetrics only.
    Eof,
}

/// A sample that borrows from the text it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleRef<'a> {
    /// Metric name.
    pub name: &'a str,
    /// Labels in the order of the text, values without escapes; no name comes twice.
    pub labels: Vec<(&'a str, Cow<'a, str>)>,
    /// The value. Every NaN is the one quiet NaN of Rust.
    pub value: f64,
    /// Unix milliseconds, when the line has a time.
    pub timestamp_ms: Option<i64>,
}

impl SampleRef<'_> {
    /// The value of a label, `None` when there is no such label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(have, _)| *have == name).map(|(_, value)| &**value)
    }

    /// A copy that owns its text.
    ///
    /// # Errors
    /// As [`Labels::from_pairs`]; a sample that came from a [`Reader`] has none of these faults.
    pub fn to_owned(&self) -> Result<Sample, LabelsError> {
        Ok(Sample {
            name: self.name.to_owned(),
            labels: Labels::from_pairs(self.labels.iter().map(|(name, value)| (*name, &**value)))?,
            value: self.value,
            timestamp_ms: self.timestamp_ms,
        })
    }
}

/// A line that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub struct ReadError {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong, and near which text.
    pub reason: String,
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn is_metric_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
}

fn is_label_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests;
