//! Reading series: the latest value at each step, windows before each step, and subqueries.

use std::sync::Arc;

use flyball_model::labels::Labels;

use super::eval::{Eval, Moments, Value};
use super::matrix::{Matrix, Steps, is_present};
use super::window::{Window, WindowFunction};
use super::{Error, ResultSeries};
use crate::promql::ast::{Expr, Node, Selector, When};
use crate::promql::duration::DurationExpr;
use crate::promql::labelset::Labelset;
use crate::series::{Point, ReadError, ReadLimits, is_stale};

/// How many series are read between two looks at the clock.
pub(super) const SERIES_PER_CHECK: usize = 256;

impl Eval<'_> {
    /// The latest value at each step, or its time in seconds.
    pub fn latest(&mut self, selector: &Selector, steps: &Steps, times: bool) -> Result<Matrix, Error> {
        let moments = self.moments(&selector.when, steps)?;
        let lookback = self.options.lookback_ms;
        let mut out = Matrix::new(steps.count);
        let from = moments.first().saturating_sub(lookback).saturating_add(1);
        self.scan(selector, from, moments.last(), &mut |eval, labels, points| {
            let row = out.push(Labelset::of_source(Arc::clone(labels)));
            fill_latest(row, points, &moments, lookback, times);
            out.drop_if_empty();
            eval.room_for(out.values.len())
        })?;
        Ok(out)
    }

    #[allow(clippy::type_complexity, reason = "the visitor stands here and nowhere else")]
    /// Reads series one by one; what they hold together stays within the limits.
    fn scan(
        &mut self,
        selector: &Selector,
        start_ms: i64,
        end_ms: i64,
        visit: &mut dyn FnMut(&mut Self, &Arc<Labels>, &[Point]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let limits = ReadLimits { series: self.options.max_series, samples: self.room() };
        let source = self.source;
        let mut failed = None;
        let mut seen = 0_usize;
        let outcome = source.scan(&selector.matchers, start_ms, end_ms, limits, &mut |labels, points| {
            seen += 1;
            self.read += points.len();
            let step = if seen.is_multiple_of(SERIES_PER_CHECK) { self.check() } else { Ok(()) };
            match step.and_then(|()| visit(self, labels, points)) {
                Ok(()) => std::ops::ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    std::ops::ControlFlow::Break(())
                }
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        outcome.map_err(|error| self.read_error(error))
    }

    pub(super) fn read_error(&self, error: ReadError) -> Error {
        match error {
            ReadError::TooMuch { what: "samples", .. } => {
                Error::TooManySamples { limit: self.options.max_samples }
            }
            error => Error::Read(error),
        }
    }

    /// Applies a function to the windows of a range vector.
    pub fn windows(
        &mut self,
        range_vector: &Expr,
        function: WindowFunction,
        params: &[Vec<f64>],
        steps: &Steps,
    ) -> Result<Matrix, Error> {
        match &range_vector.bare().node {
            Node::Range { selector, range } => {
                let range_ms = self.positive_ms(range)?;
                let moments = self.moments(&selector.when, steps)?;
                let mut out = Matrix::new(steps.count);
                let mut live = Vec::new();
                let from = moments.first().saturating_sub(range_ms).saturating_add(1);
                self.scan(selector, from, moments.last(), &mut |eval, labels, points| {
                    let points = without_stale(points, &mut live);
                    let row = out.push(Labelset::of_source(Arc::clone(labels)));
                    fill(row, points, function, params, &moments, range_ms, steps);
                    out.drop_if_empty();
                    eval.room_for(out.values.len())
                })?;
                Ok(out)
            }
            Node::Subquery { expr, range, step, when } => {
                let range_ms = self.positive_ms(range)?;
                let (inner, inner_steps) = self.subquery(expr, range_ms, step.as_ref(), when, steps)?;
                let moments = self.moments(when, steps)?;
                let mut out = Matrix::new(steps.count);
                let mut points = Vec::new();
                for (row, head) in inner.heads.iter().enumerate() {
                    points.clear();
                    points.extend(points_of(inner.row(row), &inner_steps));
                    let to = out.push(head.clone());
                    fill(to, &points, function, params, &moments, range_ms, steps);
                    out.drop_if_empty();
                    self.room_for(out.values.len())?;
                }
                Ok(out)
            }
            _ => Err(Error::Invalid("expected a range vector".into())),
        }
    }

    /// Evaluates the inside of a subquery at all of its own steps that any outer step needs.
    fn subquery(
        &mut self,
        expr: &Expr,
        range_ms: i64,
        step: Option<&DurationExpr>,
        when: &When,
        steps: &Steps,
    ) -> Result<(Matrix, Steps), Error> {
        let interval_ms = match step {
            Some(step) => self.positive_ms(step)?,
            None => self.options.subquery_step_ms,
        };
        let moments = self.moments(when, steps)?;
        let before = moments.first().saturating_sub(range_ms);
        let mut start_ms = before / interval_ms * interval_ms;
        if start_ms <= before {
            start_ms += interval_ms;
        }
        let count = usize::try_from((moments.last() - start_ms).div_euclid(interval_ms) + 1).unwrap_or(0);
        let inner_steps = Steps { start_ms, interval_ms, count };
        if count == 0 {
            return Ok((Matrix::new(0), inner_steps));
        }
        self.room_for(count)?;
        match self.expr(expr, &inner_steps)? {
            Value::Vector(matrix) => Ok((matrix, inner_steps)),
            _ => Err(Error::Invalid("subquery is only allowed on instant vector".into())),
        }
    }

    /// The samples of a range vector themselves, for one moment.
    pub fn raw(&mut self, range_vector: &Expr, time_ms: i64) -> Result<Vec<ResultSeries>, Error> {
        let steps = Steps::one(time_ms);
        let mut out = Vec::new();
        match &range_vector.node {
            Node::Range { selector, range } => {
                let range_ms = self.positive_ms(range)?;
                let at = self.moments(&selector.when, &steps)?.first();
                let mut held = 0;
                let from = at.saturating_sub(range_ms).saturating_add(1);
                self.scan(selector, from, at, &mut |eval, labels, points| {
                    let points: Vec<Point> =
                        points.iter().filter(|point| !is_stale(point.value)).copied().collect();
                    held += points.len();
                    eval.room_for(held)?;
                    if !points.is_empty() {
                        out.push(ResultSeries { labels: Arc::clone(labels), points });
                    }
                    Ok(())
                })?;
            }
            Node::Subquery { expr, range, step, when } => {
                let range_ms = self.positive_ms(range)?;
                let (mut inner, inner_steps) = self.subquery(expr, range_ms, step.as_ref(), when, &steps)?;
                inner.heads.iter_mut().for_each(Labelset::settle);
                if self.options.delayed_name_removal {
                    inner.check_unique()?;
                }
                for (row, head) in inner.heads.iter().enumerate() {
                    let points: Vec<Point> = points_of(inner.row(row), &inner_steps).collect();
                    if !points.is_empty() {
                        out.push(ResultSeries { labels: head.to_labels(), points });
                    }
                }
            }
            _ => return Err(Error::Invalid("expected a range vector".into())),
        }
        out.sort_by(|left, right| left.labels.cmp(&right.labels));
        Ok(out)
    }
}

/// The latest of one series' points at each step, or its time in seconds.
pub(super) fn fill_latest(
    row: &mut [f64],
    points: &[Point],
    moments: &Moments,
    lookback_ms: i64,
    times: bool,
) {
    let mut behind = 0;
    for (step, value) in row.iter_mut().enumerate() {
        let at = moments.at(step);
        while behind < points.len() && points[behind].timestamp_ms <= at {
            behind += 1;
        }
        let Some(point) = behind.checked_sub(1).map(|last| points[last]) else { continue };
        if point.timestamp_ms > at.saturating_sub(lookback_ms) && !is_stale(point.value) {
            *value = if times { point.timestamp_ms as f64 / 1000.0 } else { point.value };
        }
    }
}

/// The points without markers of staleness, copied only when there are some.
pub(super) fn without_stale<'p>(points: &'p [Point], live: &'p mut Vec<Point>) -> &'p [Point] {
    if !points.iter().any(|point| is_stale(point.value)) {
        return points;
    }
    live.clear();
    live.extend(points.iter().filter(|point| !is_stale(point.value)));
    live
}

fn points_of<'m>(row: &'m [f64], steps: &Steps) -> impl Iterator<Item = Point> + 'm {
    let steps = *steps;
    row.iter()
        .enumerate()
        .filter(|(_, value)| is_present(**value))
        .map(move |(step, value)| Point { timestamp_ms: steps.time_ms(step), value: *value })
}

/// Slides the window over one series; both of its edges only move forward.
pub(super) fn fill(
    row: &mut [f64],
    points: &[Point],
    function: WindowFunction,
    params: &[Vec<f64>],
    moments: &Moments,
    range_ms: i64,
    steps: &Steps,
) {
    let (mut first, mut behind) = (0, 0);
    // The newest point so far that is below the one before it.
    let mut last_fall = 0;
    for (step, value) in row.iter_mut().enumerate() {
        let end_ms = moments.at(step);
        let start_ms = end_ms.saturating_sub(range_ms);
        while behind < points.len() && points[behind].timestamp_ms <= end_ms {
            if behind > 0 && points[behind].value < points[behind - 1].value {
                last_fall = behind;
            }
            behind += 1;
        }
        while first < behind && points[first].timestamp_ms <= start_ms {
            first += 1;
        }
        if first == behind {
            continue;
        }
        let param = |index: usize| params.get(index).map_or(f64::NAN, |values| values[step]);
        *value = function(&Window {
            points: &points[first..behind],
            start_ms,
            end_ms,
            step_ms: steps.time_ms(step),
            params: [param(0), param(1)],
            falls: last_fall > first,
        });
    }
}
