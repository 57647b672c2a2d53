//! Series in memory: the store's small twin, for tests, scripts and measurements of queries.
//!
//! It keeps every sample as given, in order of labels and time, and answers as a store must.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flyball_model::labels::Labels;
use regex::Regex;

use crate::promql::pattern;
use crate::series::{MatchOp, Matcher, Point, ReadError, ReadLimits, Series, SeriesSource};

/// A store in memory.
#[derive(Debug, Default, Clone)]
pub struct MemorySource {
    series: BTreeMap<Arc<Labels>, Vec<Point>>,
}

impl MemorySource {
    /// Adds a sample; one at the same time is replaced.
    pub fn add(&mut self, labels: &Arc<Labels>, point: Point) {
        let points = self.series.entry(Arc::clone(labels)).or_default();
        match points.binary_search_by_key(&point.timestamp_ms, |known| known.timestamp_ms) {
            Ok(index) => points[index] = point,
            Err(index) => points.insert(index, point),
        }
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.series.clear();
    }

    /// Series that match and have a sample in the range.
    fn found<'s>(
        &'s self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<impl Iterator<Item = (&'s Arc<Labels>, &'s [Point])>, ReadError> {
        let tests = matchers.iter().map(Test::new).collect::<Result<Vec<_>, _>>()?;
        Ok(self.series.iter().filter_map(move |(labels, points)| {
            let from = points.partition_point(|point| point.timestamp_ms < start_ms);
            let to = points.partition_point(|point| point.timestamp_ms <= end_ms);
            let matches = from < to && tests.iter().all(|test| test.holds(labels));
            matches.then(|| (labels, &points[from..to]))
        }))
    }
}

/// A matcher whose expression is compiled.
struct Test {
    name: String,
    op: MatchOp,
    value: String,
    regex: Option<Regex>,
}

impl Test {
    fn new(matcher: &Matcher) -> Result<Test, ReadError> {
        let is_regex = matches!(matcher.op, MatchOp::Matches | MatchOp::NotMatches);
        let compiled = is_regex.then(|| pattern::compile(&matcher.value)).transpose();
        let regex = compiled.map_err(|reason| ReadError::Matcher { name: matcher.name.clone(), reason })?;
        Ok(Test { name: matcher.name.clone(), op: matcher.op, value: matcher.value.clone(), regex })
    }

    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.name).unwrap_or_default();
        let matches = |regex: &Option<Regex>| regex.as_ref().is_some_and(|regex| regex.is_match(value));
        match self.op {
            MatchOp::Equal => value == self.value,
            MatchOp::NotEqual => value != self.value,
            MatchOp::Matches => matches(&self.regex),
            MatchOp::NotMatches => !matches(&self.regex),
        }
    }
}

impl SeriesSource for MemorySource {
    fn select(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        limits: ReadLimits,
    ) -> Result<Vec<Series>, ReadError> {
        let mut out = Vec::new();
        let mut samples = 0;
        for (labels, points) in self.found(matchers, start_ms, end_ms)? {
            samples += points.len();
            if out.len() == limits.series {
                return Err(ReadError::TooMuch { what: "series", limit: limits.series });
            }
            if samples > limits.samples {
                return Err(ReadError::TooMuch { what: "samples", limit: limits.samples });
            }
            out.push(Series { labels: Arc::clone(labels), points: points.to_vec() });
        }
        Ok(out)
    }

    fn scan(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        limits: ReadLimits,
        visit: &mut dyn FnMut(&Arc<Labels>, &[Point]) -> std::ops::ControlFlow<()>,
    ) -> Result<(), ReadError> {
        for (index, (labels, points)) in self.found(matchers, start_ms, end_ms)?.enumerate() {
            if index == limits.series {
                return Err(ReadError::TooMuch { what: "series", limit: limits.series });
            }
            if points.len() > limits.samples {
                return Err(ReadError::TooMuch { what: "samples", limit: limits.samples });
            }
            if visit(labels, points).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError> {
        let found = self.found(matchers, start_ms, end_ms)?;
        let names: BTreeSet<&str> =
            found.flat_map(|(labels, _)| labels.iter().map(|(name, _)| name)).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError> {
        let found = self.found(matchers, start_ms, end_ms)?;
        let values: BTreeSet<&str> =
            found.filter_map(|(labels, _)| labels.get(name)).filter(|value| !value.is_empty()).collect();
        Ok(values.into_iter().map(str::to_owned).collect())
    }

    fn series(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<Arc<Labels>>, ReadError> {
        Ok(self.found(matchers, start_ms, end_ms)?.map(|(labels, _)| Arc::clone(labels)).collect())
    }
}
