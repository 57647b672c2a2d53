//! Evaluation of a query over a source of series.
//!
//! Promise: results, annotations and errors are those of Prometheus 3 for floats. Nothing here reads a clock: whether to go
//! on is asked of [`Watch`] every few hundred series. A query holds at most [`Options::max_samples`] values at once and
//! matches at most [`Options::max_series`] series per selector.
//!
//! An expression is evaluated for all steps at once: [`matrix`] holds one row per series and one column per step. Selectors
//! read series one after the other and keep only what the function over them makes of them ([`select`], [`window`]).

mod aggregate;
mod binary;
mod call;
mod choose;
mod eval;
mod fold;
mod histogram;
mod instant;
mod label_functions;
mod matching;
mod matrix;
mod numeric;
mod select;
mod sets;
mod stream;
mod window;

use std::sync::Arc;

use flyball_model::labels::Labels;

use super::annotations::Annotations;
use super::ast::{Expr, Node, Type};
use super::parse::strings;
use crate::series::{Point, ReadError, SeriesSource};
use eval::Eval;
use matrix::{Matrix, Steps, is_present};

/// How queries are evaluated. The defaults are Prometheus'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How long a sample counts as the latest.
    pub lookback_ms: i64,
    /// Most values held at once.
    pub max_samples: usize,
    /// Most series that one selector may match.
    pub max_series: usize,
    /// Step of subqueries that name none.
    pub subquery_step_ms: i64,
    /// Metric names are dropped when the query ends instead of by each function.
    pub delayed_name_removal: bool,
    /// Whether a metric is a counter is read from its `__type__` label instead of its name.
    pub type_and_unit_labels: bool,
    /// Functions that Prometheus calls experimental may be called.
    pub experimental_functions: bool,
    /// Threads that one aggregation of many series may take.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            lookback_ms: 300_000,
            max_samples: 50_000_000,
            max_series: 2_000_000,
            subquery_step_ms: 60_000,
            delayed_name_removal: false,
            type_and_unit_labels: false,
            experimental_functions: true,
            threads: 1,
        }
    }
}

/// Most steps of a range query.
pub const MAX_STEPS: usize = 11_000;

/// Why a query stops before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It took longer than allowed.
    TimedOut,
    /// Nobody waits for it any more.
    Canceled,
}

/// Tells a running query whether to go on.
pub trait Watch: Sync {
    /// A reason to stop.
    fn stop(&self) -> Option<Stop>;
}

/// Goes on always.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn stop(&self) -> Option<Stop> {
        None
    }
}

/// Why a query has no result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// More values at once than allowed.
    #[error(
        "query processing would load too many samples into memory in query execution (more than {limit})"
    )]
    TooManySamples {
        /// The limit.
        limit: usize,
    },
    /// It took too long.
    #[error("query timed out in expression evaluation")]
    TimedOut,
    /// Nobody waits for it any more.
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// Series became alike.
    #[error("vector cannot contain metrics with the same labelset")]
    SameLabels,
    /// The query does not fit the data.
    #[error("{0}")]
    Execution(String),
    /// The query cannot be evaluated like this at all.
    #[error("{0}")]
    Invalid(String),
    /// The source could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// One series of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultSeries {
    /// Its labels.
    pub labels: Arc<Labels>,
    /// Its values; exactly one in a vector.
    pub points: Vec<Point>,
}

/// A result.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Scalar(Point),
    /// A text, and when.
    Text(i64, String),
    /// One value per series.
    Vector(Vec<ResultSeries>),
    /// Many values per series, sorted by labels.
    Matrix(Vec<ResultSeries>),
}

/// A result and what there is to say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The result.
    pub value: Value,
    /// Warnings and infos.
    pub annotations: Annotations,
    /// Most values held at once on the way.
    pub peak_samples: usize,
    /// Samples that selectors handed to the query.
    pub read_samples: usize,
}

/// Evaluates a query at one moment.
///
/// # Errors
/// See [`Error`].
pub fn instant(
    source: &dyn SeriesSource,
    expr: &Expr,
    time_ms: i64,
    options: &Options,
    watch: &dyn Watch,
) -> Result<Outcome, Error> {
    let steps = Steps::one(time_ms);
    let mut eval = Eval::new(source, options, watch, steps);
    let value = match (expr.value_type(), &expr.bare().node) {
        (Type::Text, Node::Text(text)) => Value::Text(time_ms, strings::shown(text)),
        (Type::Matrix, _) => Value::Matrix(eval.raw(expr.bare(), time_ms)?),
        _ => match eval.expr(expr, &steps)? {
            eval::Value::Scalar(values) => Value::Scalar(Point { timestamp_ms: time_ms, value: values[0] }),
            eval::Value::Text(text) => Value::Text(time_ms, strings::shown(&text)),
            eval::Value::Vector(matrix) => Value::Vector(finish(matrix, &steps, options)?),
        },
    };
    Ok(eval.outcome(value))
}

/// Evaluates a query at each step from start to end.
///
/// # Errors
/// See [`Error`].
pub fn range(
    source: &dyn SeriesSource,
    expr: &Expr,
    (start_ms, end_ms, step_ms): (i64, i64, i64),
    options: &Options,
    watch: &dyn Watch,
) -> Result<Outcome, Error> {
    let kind = expr.value_type();
    if !matches!(kind, Type::Scalar | Type::Vector) {
        return Err(Error::Invalid(format!(
            "invalid expression type {:?} for range query, must be Scalar or instant Vector",
            kind.documented()
        )));
    }
    if step_ms <= 0 || end_ms < start_ms {
        return Err(Error::Invalid("the step must be positive and the end not before the start".into()));
    }
    let count = usize::try_from((end_ms - start_ms) / step_ms).unwrap_or(usize::MAX).saturating_add(1);
    if count > options.max_samples {
        return Err(Error::TooManySamples { limit: options.max_samples });
    }
    let steps = Steps { start_ms, interval_ms: step_ms, count };
    let mut eval = Eval::new(source, options, watch, steps);
    eval.query_end_ms = end_ms;
    let mut series = match eval.expr(expr, &steps)? {
        eval::Value::Vector(matrix) => finish(matrix, &steps, options)?,
        eval::Value::Scalar(values) => {
            vec![ResultSeries { labels: Arc::default(), points: points(&values, &steps) }]
        }
        eval::Value::Text(_) => Vec::new(),
    };
    series.sort_by(|left, right| left.labels.cmp(&right.labels));
    Ok(eval.outcome(Value::Matrix(series)))
}

/// Drops what was to be dropped, and lists what is there.
fn finish(mut matrix: Matrix, steps: &Steps, options: &Options) -> Result<Vec<ResultSeries>, Error> {
    matrix.heads.iter_mut().for_each(super::labelset::Labelset::settle);
    if options.delayed_name_removal {
        matrix.check_unique()?;
    }
    let rows = (0..matrix.len()).map(|row| ResultSeries {
        labels: matrix.heads[row].to_labels(),
        points: points(matrix.row(row), steps),
    });
    Ok(rows.filter(|series| !series.points.is_empty()).collect())
}

fn points(row: &[f64], steps: &Steps) -> Vec<Point> {
    let mut points = Vec::with_capacity(row.len());
    for (step, value) in row.iter().enumerate().filter(|(_, value)| is_present(**value)) {
        points.push(Point { timestamp_ms: steps.time_ms(step), value: *value });
    }
    points
}

#[cfg(test)]
mod tests;
