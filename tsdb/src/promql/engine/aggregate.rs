//! Aggregations: rows fall into groups by their labels, and each group becomes one row.

use super::Error;
use super::eval::{Eval, Value};
use super::fold::Fold;
use super::matrix::{Matrix, Steps, is_present};
use super::numeric::quantile;
use crate::promql::ast::{AggregateOp, Expr, Grouping};
use crate::promql::labelset::{Labelset, Numbering, hash_pairs, same_pairs};
use crate::promql::number::write_plain;
use crate::promql::parse::strings::is_name;
use crate::promql::print::quote;
use crate::series::METRIC_NAME;

/// Which row belongs to which group.
pub(super) struct Groups {
    /// Group of each row.
    pub of_row: Vec<usize>,
    /// Labels of each group.
    pub heads: Vec<Labelset>,
}

impl Groups {
    /// Groups rows by labels, in order of their first row.
    pub fn of(matrix: &Matrix, grouping: &Grouping) -> Groups {
        let mut groups = Groups { of_row: Vec::with_capacity(matrix.len()), heads: Vec::new() };
        let mut numbering = Numbering::default();
        let mut names: Vec<&str> = grouping.labels.iter().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        for head in &matrix.heads {
            let group = if grouping.without {
                let kept = || head.iter().filter(|(name, _)| !is_left_out(&names, name));
                groups.number(&mut numbering, hash_pairs(kept()), kept)
            } else {
                let kept = || {
                    names.iter().map(|name| (*name, head.get(name))).filter(|(_, value)| !value.is_empty())
                };
                groups.number(&mut numbering, hash_pairs(kept()), kept)
            };
            groups.of_row.push(group);
        }
        groups
    }

    fn number<'a, I: Iterator<Item = (&'a str, &'a str)>>(
        &mut self,
        numbering: &mut Numbering,
        hash: u64,
        kept: impl Fn() -> I,
    ) -> usize {
        let heads = &self.heads;
        let (group, new) =
            numbering.find_or(hash, heads.len(), |other| same_pairs(heads[other].iter(), kept()));
        if new {
            self.heads.push(Labelset::from_pairs(kept()));
        }
        group
    }
}

/// `without` leaves out its labels and the metric's name.
fn is_left_out(names: &[&str], name: &str) -> bool {
    name == METRIC_NAME || names.binary_search(&name).is_ok()
}

impl Eval<'_> {
    /// Evaluates an aggregation.
    pub fn aggregate(
        &mut self,
        op: AggregateOp,
        param: Option<&Expr>,
        expr: &Expr,
        grouping: &Grouping,
        steps: &Steps,
    ) -> Result<Matrix, Error> {
        let number = match param {
            Some(param) if op != AggregateOp::CountValues => match self.expr(param, steps)? {
                Value::Scalar(values) => values,
                _ => return Err(Error::Invalid("expected a scalar".into())),
            },
            _ => Vec::new(),
        };
        if let Some(matrix) = self.aggregate_while_reading(op, expr, grouping, steps)? {
            return Ok(matrix);
        }
        let label = param.and_then(Expr::text).unwrap_or_default();
        if op == AggregateOp::CountValues && !is_name(label) {
            return Err(Error::Execution(format!("invalid label name {}", quote(label))));
        }
        let matrix = self.vector(expr, steps)?;
        if op == AggregateOp::CountValues {
            return self.count_values(&matrix, label, grouping);
        }
        let groups = Groups::of(&matrix, grouping);
        if op.chooses() {
            let span = param.map_or(&expr.span, |param| &param.bare().span);
            return self.choose(op, &number, span, &matrix, &groups);
        }
        self.room_for(groups.heads.len().saturating_mul(steps.count))?;
        if op == AggregateOp::Quantile {
            self.note_quantiles(&number, param.map_or(&expr.span, |param| &param.bare().span));
        }
        let mut out = Matrix::new(steps.count);
        for (index, head) in groups.heads.iter().enumerate() {
            let mut head = head.clone();
            // Prometheus keeps a name by which was grouped as long as the input's row of the same number keeps it.
            head.drop_later = matrix.heads[index].drop_later;
            out.push(head);
        }
        if Fold::can(op) {
            let mut fold = Fold::new(op, steps.count);
            fold.reserve(out.len());
            for (row, group) in groups.of_row.iter().enumerate() {
                fold.add(*group, matrix.row(row));
            }
            out.values = fold.finish();
        } else {
            quantiles(&number, &matrix, &groups, &mut out);
        }
        Ok(out)
    }

    /// Quantiles outside of 0 to 1; of many only the extremes are named.
    fn note_quantiles(&mut self, quantiles: &[f64], span: &std::ops::Range<usize>) {
        let (least, most) = extremes(quantiles);
        if quantiles.iter().any(|value| value.is_nan()) {
            self.annotations.quantile(f64::NAN, span);
        }
        if most > 1.0 {
            self.annotations.quantile(most, span);
        }
        if least < 0.0 {
            self.annotations.quantile(least, span);
        }
    }

    fn count_values(&mut self, matrix: &Matrix, label: &str, grouping: &Grouping) -> Result<Matrix, Error> {
        let mut grouping = grouping.clone();
        if !grouping.without {
            grouping.labels.push(label.into());
        }
        let mut out = Matrix::new(matrix.steps);
        let mut numbering = Numbering::default();
        for (row, head) in matrix.heads.iter().enumerate() {
            for (step, value) in matrix.row(row).iter().enumerate().filter(|(_, value)| is_present(**value)) {
                let text = write_plain(*value);
                let kept = head.iter().chain([(label, text.as_str())]).filter(|(name, _)| {
                    let named = grouping.labels.iter().any(|other| other == name);
                    if grouping.without { !named && *name != METRIC_NAME } else { named }
                });
                let kept = Labelset::from_pairs(kept);
                let same = |number: usize| out.heads[number].same(&kept);
                let (number, new) = numbering.find_or(kept.hash(), out.len(), same);
                if new {
                    self.room_for(out.values.len() + out.steps)?;
                    out.push(kept);
                }
                let count = &mut out.row_mut(number)[step];
                *count = if is_present(*count) { *count + 1.0 } else { 1.0 };
            }
        }
        Ok(out)
    }
}

/// The least and the most of a parameter's values; not a number if one of them is none.
pub(super) fn extremes(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::MAX, -f64::MAX), |(least, most), value| {
        (super::instant::go_min(least, *value), super::instant::go_max(most, *value))
    })
}

fn quantiles(param: &[f64], matrix: &Matrix, groups: &Groups, out: &mut Matrix) {
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); out.len()];
    for (row, group) in groups.of_row.iter().enumerate() {
        rows[*group].push(row);
    }
    let mut values = Vec::new();
    for (group, rows) in rows.iter().enumerate() {
        for (step, to) in out.row_mut(group).iter_mut().enumerate() {
            values.clear();
            values.extend(rows.iter().map(|row| matrix.row(*row)[step]).filter(|value| is_present(*value)));
            if !values.is_empty() {
                *to = quantile(param[step], &mut values);
            }
        }
    }
}
