//! Parameters: of the form first, then of the URL.

use std::num::{IntErrorKind, ParseIntError};

use flyball_apiserver::Query;
use flyball_model::time::parse_rfc3339_ms;

use super::error::ApiError;
use crate::promql::duration;
use crate::promql::parse::parse_selector;
use crate::series::Matcher;

/// The earliest time that Prometheus takes.
pub(super) const MIN_TIME_MS: i64 = -9_223_309_901_257_974;
/// The latest.
pub(super) const MAX_TIME_MS: i64 = 9_223_309_901_257_974;

pub(super) const NANOS_PER_MILLI: i64 = 1_000_000;

/// Most selectors of one request.
const MAX_SELECTORS: usize = 1000;

/// Decoded parameters.
#[derive(Debug, Default)]
pub struct Params {
    sources: Vec<Query>,
}

impl Params {
    /// From a form's body and from a URL's query; the form comes first.
    pub fn new(form: &str, url: &str) -> Params {
        let sources = [form, url].into_iter().filter(|text| !text.is_empty()).map(Query::parse).collect();
        Params { sources }
    }

    /// The first value of a name, empty when there is none.
    pub(super) fn first(&self, name: &str) -> &str {
        self.sources.iter().find_map(|source| source.first(name)).unwrap_or_default()
    }

    pub(super) fn all<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        self.sources.iter().flat_map(move |source| source.all(name))
    }

    /// A time in Unix milliseconds: seconds or RFC 3339.
    pub(super) fn time_ms(&self, name: &str) -> Result<i64, ApiError> {
        let text = self.first(name);
        let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite());
        seconds
            .map(|seconds| (seconds * 1000.0).round() as i64)
            .or_else(|| parse_rfc3339_ms(text))
            .map(|millis| millis.clamp(MIN_TIME_MS, MAX_TIME_MS))
            .ok_or_else(|| ApiError::parameter(name, format!("cannot parse {text:?} to a valid timestamp")))
    }

    /// The same, or a default when the parameter is missing.
    pub(super) fn time_ms_or(&self, name: &str, default: i64) -> Result<i64, ApiError> {
        if self.first(name).is_empty() {
            return Ok(default);
        }
        self.time_ms(name).map_err(|_| {
            let text = self.first(name);
            let reason =
                format!("invalid time value for '{name}': cannot parse {text:?} to a valid timestamp");
            ApiError::parameter(name, reason)
        })
    }

    /// A duration in nanoseconds: seconds or `1m30s`. What is no number is less than any, as in Prometheus.
    pub(super) fn duration_ns(&self, name: &str) -> Result<i64, ApiError> {
        let text = self.first(name);
        if let Ok(seconds) = text.parse::<f64>() {
            let nanos = seconds * 1e9;
            if nanos.abs() > i64::MAX as f64 {
                let reason = format!("cannot parse {text:?} to a valid duration. It overflows int64");
                return Err(ApiError::parameter(name, reason));
            }
            return Ok(if nanos.is_nan() { i64::MIN } else { nanos as i64 });
        }
        let millis = duration::parse_millis(text)
            .map_err(|_| ApiError::parameter(name, format!("cannot parse {text:?} to a valid duration")))?;
        Ok(millis.saturating_mul(NANOS_PER_MILLI))
    }

    /// The same in milliseconds; what is below one is cut off.
    pub(super) fn duration_ms(&self, name: &str) -> Result<i64, ApiError> {
        Ok(self.duration_ns(name)? / NANOS_PER_MILLI)
    }

    /// Most entries of a list; `None` for all.
    pub(super) fn limit(&self) -> Result<Option<usize>, ApiError> {
        let text = self.first("limit");
        if text.is_empty() {
            return Ok(None);
        }
        let number: i64 = text.parse().map_err(|error: ParseIntError| {
            ApiError::parameter("limit", format!("strconv.Atoi: parsing {text:?}: {}", go_reason(&error)))
        })?;
        if number < 0 {
            return Err(ApiError::parameter("limit", "limit must be non-negative"));
        }
        Ok(usize::try_from(number).ok().filter(|limit| *limit > 0))
    }

    /// All selectors. Of what is wrong with one, Prometheus says the parameter at some paths only: see [`ApiError::in_parameter`].
    pub(super) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, ApiError> {
        let texts = self.all("match[]");
        let mut selectors = Vec::new();
        for text in texts {
            if selectors.len() == MAX_SELECTORS {
                return Err(ApiError::bad_data(format!("more than {MAX_SELECTORS} match[] parameters")));
            }
            let selector = parse_selector(text).map_err(|error| {
                let message = error.to_string();
                let empty = message.contains("must contain at least one non-empty matcher");
                let text = if empty {
                    "match[] must contain at least one non-empty matcher".into()
                } else {
                    message
                };
                ApiError::bad_data(text)
            })?;
            selectors.push(selector.matchers);
        }
        Ok(selectors)
    }
}

/// Why a text is no whole number, in the words of Go.
pub(super) fn go_reason(error: &ParseIntError) -> &'static str {
    match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    }
}
