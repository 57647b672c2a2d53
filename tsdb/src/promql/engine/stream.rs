//! Aggregations of what a selector finds, as in `sum by (pod) (rate(x[2m]))`: each series is folded into its group
//! while it is read, and neither its labels nor its values are kept.
//!
//! Promise: the same result as the general way, for those queries for which [`Plan::of`] says that it is.

use flyball_model::labels::Labels;

use super::Error;
use super::eval::Eval;
use super::fold::Fold;
use super::matrix::{ABSENT, Matrix, Steps, is_present};
use super::select::{fill, fill_latest, without_stale};
use super::window::{self, WindowFunction};
use crate::promql::ast::{AggregateOp, Expr, Grouping, Node, Selector};
use crate::promql::duration::DurationExpr;
use crate::promql::labelset::{Labelset, is_metadata};
use crate::series::{By, METRIC_NAME, MatchOp};

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
        let mut fold = Fold::new(op, steps.count);
        let mut any = false;
        let groups = self.fold_series(&plan, &by, steps, &mut fold, &mut any)?;
        let Some(groups) = groups else { return Ok(None) };
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

    /// Labels of the groups; `any` says whether there was any value at all.
    fn fold_series(
        &mut self,
        plan: &Plan<'_>,
        by: &By<'_>,
        steps: &Steps,
        fold: &mut Fold,
        any: &mut bool,
    ) -> Result<Option<Vec<Labels>>, Error> {
        let moments = self.moments(&plan.selector.when, steps)?;
        let back_ms = match &plan.over {
            Some(over) => self.positive_ms(over.range)?,
            None => self.options.lookback_ms,
        };
        let from_ms = moments.first().saturating_sub(back_ms).saturating_add(1);
        let mut row = vec![ABSENT; steps.count];
        let mut live = Vec::new();
        self.scan_groups(plan.selector, by, (from_ms, moments.last()), &mut |eval, group, points| {
            row.fill(ABSENT);
            match &plan.over {
                Some(over) => {
                    let points = without_stale(points, &mut live);
                    fill(&mut row, points, over.function, &[], &moments, back_ms, steps);
                }
                None => fill_latest(&mut row, points, &moments, back_ms, false),
            }
            *any |= row.iter().copied().any(is_present);
            fold.add(group, &row);
            eval.room_for(fold.size())
        })
    }
}
