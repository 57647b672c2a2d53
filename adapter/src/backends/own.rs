//! The own store, asked in process. Queries run on threads that may block, a few at a time; one that takes too long stops.
#![allow(
    clippy::disallowed_methods,
    reason = "an edge: runs queries on threads of their own, and keeps their time"
)]

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use flyball_model::labels::Labels;
use flyball_tsdb::api::Deadline;
use flyball_tsdb::promql::ast::{AggregateOp, Expr, Node, When};
use flyball_tsdb::promql::engine::{self, Options, Value};
use flyball_tsdb::promql::print::label_name;
use flyball_tsdb::series::{METRIC_NAME, Matcher, Point, SeriesSource};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use super::error::BackendError;
use super::{Answer, Backend, Found, Types};
use crate::rules::Sample;

/// Queries at a time.
const QUERIES_AT_ONCE: usize = 4;
/// Longest time of one, waiting included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most series that one selector of a query may match.
const SERIES_LIMIT: usize = 500_000;
/// Most values that one query may hold.
const VALUES_LIMIT: usize = 10_000_000;

/// What the targets say their metrics are; asked at every discovery.
pub type TypesOfMetrics = Arc<dyn Fn() -> Types + Send + Sync>;

/// The store.
pub struct OwnStore {
    name: String,
    source: Arc<dyn SeriesSource>,
    types: TypesOfMetrics,
    permits: Arc<Semaphore>,
}

impl OwnStore {
    /// A store under a name for messages.
    pub fn new(name: &str, source: Arc<dyn SeriesSource>, types: TypesOfMetrics) -> OwnStore {
        OwnStore { name: name.to_owned(), source, types, permits: Arc::new(Semaphore::new(QUERIES_AT_ONCE)) }
    }

    /// Runs on a thread that may block. When the asker goes away or the time is over, the query stops.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn SeriesSource, &Deadline) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, BackendError> {
        let late = || BackendError::Timeout { backend: self.name.clone(), after: TIMEOUT };
        let (deadline, _waits) = Deadline::after(TIMEOUT);
        let permit = tokio::time::timeout(TIMEOUT, self.permits.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| late())?;
        let source = self.source.clone();
        let job = tokio::task::spawn_blocking(move || {
            let done = work(&*source, &deadline);
            drop(permit);
            done
        });
        match tokio::time::timeout(TIMEOUT, job).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(BackendError::Garbage {
                backend: self.name.clone(),
                reason: "the query failed unexpectedly".to_owned(),
            }),
            Err(_) => Err(late()),
        }
    }

    fn refused(name: &str, kind: &str, message: String) -> BackendError {
        let (backend, kind) = (name.to_owned(), kind.to_owned());
        BackendError::Refused { backend, code: 422, kind, message }
    }
}

impl Backend for OwnStore {
    fn name(&self) -> &str {
        &self.name
    }

    fn query<'a>(&'a self, query: &'a str, time_ms: i64) -> BoxFuture<'a, Result<Answer, BackendError>> {
        let (name, query) = (self.name.clone(), query.to_owned());
        self.run(move |source, deadline| evaluate(&name, source, &query, time_ms, deadline)).boxed()
    }

    fn discover<'a>(
        &'a self,
        selector: &'a str,
        since_ms: i64,
    ) -> BoxFuture<'a, Result<Found, BackendError>> {
        let (name, selector) = (self.name.clone(), selector.to_owned());
        self.run(move |source, _| {
            let matchers = matchers_of(&selector).map_err(|why| OwnStore::refused(&name, "bad_data", why))?;
            let series = source
                .series(&matchers, since_ms, i64::MAX)
                .map_err(|error| OwnStore::refused(&name, "execution", error.to_string()))?;
            let mut found = Found::new();
            for labels in series {
                let Some(metric) = labels.get(METRIC_NAME) else { continue };
                if !found.contains_key(metric) {
                    found.insert(metric.to_owned(), BTreeSet::new());
                }
                let Some(known) = found.get_mut(metric) else { continue };
                for (label, _) in labels.iter().filter(|(label, _)| *label != METRIC_NAME) {
                    if !known.contains(label) {
                        known.insert(label.to_owned());
                    }
                }
            }
            Ok(found)
        })
        .boxed()
    }

    fn types(&self) -> BoxFuture<'_, Result<Types, BackendError>> {
        std::future::ready(Ok((self.types)())).boxed()
    }
}

/// The conditions of a selector that stands alone.
fn matchers_of(selector: &str) -> Result<Vec<Matcher>, String> {
    let parsed = flyball_tsdb::promql::parse(selector).map_err(|error| error.to_string())?;
    match &parsed.bare().node {
        Node::Selector(selector) => Ok(selector.matchers.clone()),
        _ => Err(format!("{selector:?} is no selector of series")),
    }
}

/// When the newest sample behind each element of an answer was taken, where that can be told: whoever asks again and again
/// learns from it when something new is to be expected. An element whose time is not told bears that of the question.
fn times(
    source: &dyn SeriesSource,
    query: &Expr,
    time_ms: i64,
    options: &Options,
    deadline: &Deadline,
) -> HashMap<Arc<Labels>, i64> {
    let Some(text) = times_query(query) else { return HashMap::new() };
    let Ok(query) = flyball_tsdb::promql::parse(&text) else { return HashMap::new() };
    let outcome = engine::instant(source, &query, time_ms, options, deadline).map(|outcome| outcome.value);
    let Ok(Value::Vector(series)) = outcome else { return HashMap::new() };
    let newest = series.into_iter().filter_map(|series| {
        let seconds = series.points.first()?.value;
        #[allow(clippy::cast_possible_truncation, reason = "a time that was whole milliseconds before")]
        let at_ms = (seconds * 1000.0).round() as i64;
        (at_ms <= time_ms).then_some((series.labels, at_ms))
    });
    newest.collect()
}

/// The query for the times of samples behind another one: of an aggregation of one selector, as of now.
fn times_query(query: &Expr) -> Option<String> {
    let (aggregate, dropped) = match &query.bare().node {
        // Its buckets are aggregated by their bound too, which the quantile has no more.
        Node::Call { function, args } if function.name == "histogram_quantile" => (args.get(1)?.bare(), "le"),
        _ => (query.bare(), ""),
    };
    let Node::Aggregate { op: AggregateOp::Sum, param: None, expr, grouping } = &aggregate.node else {
        return None;
    };
    let inner = match &expr.bare().node {
        Node::Call { function, args } if ["rate", "irate", "increase"].contains(&function.name) => {
            args.first()?.bare()
        }
        _ => expr.bare(),
    };
    let (Node::Selector(selector) | Node::Range { selector, .. }) = &inner.node else { return None };
    if grouping.without || selector.when != When::default() {
        return None;
    }
    let by: Vec<String> =
        grouping.labels.iter().filter(|label| *label != dropped).map(|label| label_name(label)).collect();
    let selector = Expr { node: Node::Selector(selector.clone()), span: inner.span.clone() };
    Some(format!("max by ({}) (timestamp({selector}))", by.join(",")))
}

fn evaluate(
    name: &str,
    source: &dyn SeriesSource,
    query: &str,
    time_ms: i64,
    deadline: &Deadline,
) -> Result<Answer, BackendError> {
    let parsed = flyball_tsdb::promql::parse(query)
        .map_err(|error| OwnStore::refused(name, "bad_data", error.to_string()))?;
    let options = Options { max_series: SERIES_LIMIT, max_samples: VALUES_LIMIT, ..Options::default() };
    let outcome =
        engine::instant(source, &parsed, time_ms, &options, deadline).map_err(|error| match error {
            engine::Error::TimedOut | engine::Error::Canceled => {
                BackendError::Timeout { backend: name.to_owned(), after: TIMEOUT }
            }
            other => OwnStore::refused(name, "execution", other.to_string()),
        })?;
    match outcome.value {
        Value::Scalar(Point { timestamp_ms, value }) => Ok(Answer::Scalar { value, timestamp_ms }),
        Value::Vector(series) => {
            let taken = times(source, &parsed, time_ms, &options, deadline);
            let samples = series.into_iter().filter_map(|series| {
                let Point { timestamp_ms, value } = *series.points.first()?;
                let timestamp_ms = taken.get(&series.labels).copied().unwrap_or(timestamp_ms);
                Some(Sample { labels: series.labels, timestamp_ms, value })
            });
            Ok(Answer::Vector { samples: samples.collect(), warnings: Vec::new() })
        }
        Value::Matrix(_) | Value::Text(..) => Err(OwnStore::refused(
            name,
            "bad_data",
            "the query has to yield an instant vector or a scalar".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_asked_for_where_one_selector_is_summed() {
        let of = |text: &str| times_query(&flyball_tsdb::promql::parse(text).unwrap());
        let cases = [
            ("sum(x{a=\"b\"}) by (pod)", Some("max by (pod) (timestamp(x{a=\"b\"}))")),
            ("sum(rate(x[2m])) by (pod,namespace)", Some("max by (pod,namespace) (timestamp(x))")),
            (
                "histogram_quantile(0.99, sum(rate(x_bucket[2m])) by (le,pod))",
                Some("max by (pod) (timestamp(x_bucket))"),
            ),
            (
                "sum by (\"k8s.pod\") ({\"a.b\"})",
                Some("max by (\"k8s.pod\") (timestamp({__name__=\"a.b\"}))"),
            ),
            ("sum(x offset 5m) by (pod)", None),
            ("sum without (pod) (x)", None),
            ("sum(x) by (pod) / sum(y) by (pod)", None),
            ("sum(max_over_time(rate(x[2m])[5m:])) by (pod)", None),
        ];
        for (text, expected) in cases {
            assert_eq!(of(text).as_deref(), expected, "{text}");
        }
    }
}
