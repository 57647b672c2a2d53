//! Aggregations of what a selector finds, as in `sum by (pod) (rate(x[2m]))`: each series is folded into its group
//! while it is read, and neither its labels nor its values are kept. Many series are shared out among threads, whose results are
//! put together.
//!
//! Promise: the same result as the general way, for those queries for which [`Plan::of`] says that it is.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use flyball_model::labels::Labels;

use super::Error;
use super::eval::{Eval, Moments};
use super::fold::Fold;
use super::matrix::{ABSENT, Matrix, Steps, is_present};
use super::select::{SERIES_PER_CHECK, fill, fill_latest, without_stale};
use super::window::{self, WindowFunction};
use crate::promql::ast::{AggregateOp, Expr, Grouping, Node, Selector};
use crate::promql::duration::DurationExpr;
use crate::promql::labelset::{Labelset, is_metadata};
use crate::series::{By, GroupVisitor, METRIC_NAME, MatchOp, Point, ReadLimits};

/// What is folded.
struct Plan<'a> {
    selector: &'a Selector,
    over: Option<Over<'a>>,
}

/// A function over a range.
struct Over<'a> {
    name: &'static str,
    function: WindowFunction,
    range: &'a DurationExpr,
    /// Where the range vector stands.
    range_vector: &'a Expr,
}

impl<'a> Plan<'a> {
    /// `None` where only the general way will do.
    fn of(expr: &'a Expr) -> Option<Plan<'a>> {
        match &expr.bare().node {
            Node::Selector(selector) => Some(Plan { selector, over: None }),
            Node::Call { function, args } => {
                let [range_vector] = args.as_slice() else { return None };
                let range_vector = range_vector.bare();
                let Node::Range { selector, range } = &range_vector.node else { return None };
                let name = function.name;
                // Where the name is dropped, series that differ in nothing else would be an error: all have one name here.
                let named = one_name(selector).is_some() || keeps_name(name);
                let function = window::find(name).filter(|_| named && name != "absent_over_time")?;
                Some(Plan { selector, over: Some(Over { name, function, range, range_vector }) })
            }
            _ => None,
        }
    }

    /// Labels that are not there any more when groups are made without some.
    fn gone(&self) -> &'static [&'static str] {
        match &self.over {
            Some(over) if !keeps_name(over.name) => &[METRIC_NAME, "__type__", "__unit__"],
            _ => &[METRIC_NAME],
        }
    }
}

/// Whether a function leaves the metric's name.
fn keeps_name(function: &str) -> bool {
    matches!(function, "last_over_time" | "first_over_time")
}

/// The only name that what is selected can have.
fn one_name(selector: &Selector) -> Option<&str> {
    let named = selector.matchers.iter().find(|matcher| {
        matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal && !matcher.value.is_empty()
    });
    named.map(|matcher| matcher.value.as_str())
}

impl Eval<'_> {
    /// The aggregation, if it can be made while series are read.
    pub fn aggregate_while_reading(
        &mut self,
        op: AggregateOp,
        expr: &Expr,
        grouping: &Grouping,
        steps: &Steps,
    ) -> Result<Option<Matrix>, Error> {
        let by_metadata = !grouping.without && grouping.labels.iter().any(|name| is_metadata(name));
        let plain = !self.options.delayed_name_removal && !self.options.type_and_unit_labels;
        if !Fold::can(op) || by_metadata || !plain {
            return Ok(None);
        }
        let Some(plan) = Plan::of(expr) else { return Ok(None) };
        self.check()?;
        let mut names: Vec<&str> = grouping.labels.iter().map(String::as_str).collect();
        if grouping.without {
            names.extend(plan.gone());
        }
        let by = By { names, without: grouping.without };
        let folded = match self.fold_series(&plan, op, &by, steps, self.options.threads.max(1)) {
            // Each thread holds values of its own; one alone may do with the room there is.
            Err(Error::TooManySamples { .. }) if self.options.threads > 1 => {
                self.fold_series(&plan, op, &by, steps, 1)
            }
            other => other,
        };
        let Some((groups, fold, any)) = folded? else { return Ok(None) };
        if let Some(Over { name: "rate" | "increase", range_vector, .. }) = plan.over
            && any
            && let Some(metric) = one_name(plan.selector)
        {
            self.note_non_counter(metric, range_vector);
        }
        let values = fold.finish();
        let mut rows: Vec<(Labels, &[f64])> =
            groups.into_iter().zip(values.chunks(steps.count.max(1))).collect();
        rows.sort_unstable_by(|left, right| left.0.cmp(&right.0));
        let mut out = Matrix::new(steps.count);
        for (labels, row) in rows {
            if row.iter().copied().any(is_present) {
                out.push(Labelset::new(labels.into())).copy_from_slice(row);
            }
        }
        Ok(Some(out))
    }

    /// Labels of the groups, what was folded into them, and whether there was any value at all.
    fn fold_series(
        &mut self,
        plan: &Plan<'_>,
        op: AggregateOp,
        by: &By<'_>,
        steps: &Steps,
        threads: usize,
    ) -> Result<Option<(Vec<Labels>, Fold, bool)>, Error> {
        let moments = self.moments(&plan.selector.when, steps)?;
        let back_ms = match &plan.over {
            Some(over) => self.positive_ms(over.range)?,
            None => self.options.lookback_ms,
        };
        let from_ms = moments.first().saturating_sub(back_ms).saturating_add(1);
        let mut shares: Vec<Share> = (0..threads).map(|_| Share::new(op, steps.count)).collect();
        let function = plan.over.as_ref().map(|over| over.function);
        let values_max = self.room() / threads;
        let stop = AtomicBool::new(false);
        let reading = Reading { eval: self, function, moments, back_ms, steps: *steps, values_max, stop };
        let limits = ReadLimits { series: self.options.max_series, samples: self.room() };
        let mut visitors: Vec<Box<GroupVisitor<'_>>> = Vec::new();
        for share in &mut shares {
            let reading = &reading;
            visitors.push(Box::new(move |group, points: &[Point]| share.take(reading, group, points)));
        }
        let matchers = &plan.selector.matchers;
        let scanned = self.source.scan_groups(matchers, by, from_ms, moments.last(), limits, &mut visitors);
        drop(visitors);
        let mut fold: Option<Fold> = None;
        let (mut any, mut read) = (false, 0);
        for share in shares {
            if let Some(error) = share.failed {
                return Err(error);
            }
            any |= share.any;
            read += share.read;
            match &mut fold {
                Some(fold) => fold.join(share.fold),
                None => fold = Some(share.fold),
            }
        }
        let groups = scanned.map_err(|error| self.read_error(error))?;
        let (Some(groups), Some(fold)) = (groups, fold) else { return Ok(None) };
        self.read += read;
        self.room_for(fold.size())?;
        Ok(Some((groups, fold, any)))
    }
}

/// What all threads know that read series for one aggregation.
struct Reading<'a> {
    eval: &'a Eval<'a>,
    /// Over a range; without one the latest value counts.
    function: Option<WindowFunction>,
    moments: Moments,
    back_ms: i64,
    steps: Steps,
    /// Most values that one of them may hold.
    values_max: usize,
    /// One has failed: the others need not go on.
    stop: AtomicBool,
}

/// What one thread makes of its share of the series.
struct Share {
    fold: Fold,
    row: Vec<f64>,
    live: Vec<Point>,
    any: bool,
    seen: usize,
    read: usize,
    failed: Option<Error>,
}

impl Share {
    fn new(op: AggregateOp, steps: usize) -> Share {
        let (fold, row) = (Fold::new(op, steps), vec![ABSENT; steps]);
        Share { fold, row, live: Vec::new(), any: false, seen: 0, read: 0, failed: None }
    }

    fn take(&mut self, reading: &Reading<'_>, group: usize, points: &[Point]) -> ControlFlow<()> {
        if let Err(error) = self.add(reading, group, points) {
            self.failed = Some(error);
            reading.stop.store(true, Ordering::Relaxed);
        }
        if reading.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn add(&mut self, reading: &Reading<'_>, group: usize, points: &[Point]) -> Result<(), Error> {
        let Reading { eval, moments, back_ms, steps, .. } = reading;
        self.seen += 1;
        self.read += points.len();
        if self.seen.is_multiple_of(SERIES_PER_CHECK) {
            eval.check()?;
        }
        self.row.fill(ABSENT);
        match reading.function {
            Some(function) => {
                let points = without_stale(points, &mut self.live);
                fill(&mut self.row, points, function, &[], moments, *back_ms, steps);
            }
            None => fill_latest(&mut self.row, points, moments, *back_ms, false),
        }
        self.any |= self.row.iter().copied().any(is_present);
        self.fold.add(group, &self.row);
        if self.fold.size() > reading.values_max {
            return Err(Error::TooManySamples { limit: eval.options.max_samples });
        }
        Ok(())
    }
}
