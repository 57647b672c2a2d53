//! Aggregations that choose whole series: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use std::cmp::Ordering;
use std::ops::Range;

use super::Error;
use super::aggregate::Groups;
use super::eval::Eval;
use super::matrix::{Matrix, is_present};
use crate::promql::ast::AggregateOp;

impl Eval<'_> {
    /// Keeps the values of the rows that are chosen at each step.
    pub fn choose(
        &mut self,
        op: AggregateOp,
        param: &[f64],
        span: &Range<usize>,
        matrix: &Matrix,
        groups: &Groups,
    ) -> Result<Matrix, Error> {
        if !self.wants_any(op, param, span) {
            return Ok(Matrix::new(matrix.steps));
        }
        let mut rows: Vec<Vec<usize>> = vec![Vec::new(); groups.heads.len()];
        for (row, group) in groups.of_row.iter().enumerate() {
            rows[*group].push(row);
        }
        // Rows of the result, in the order in which they were chosen first.
        let mut place: Vec<Option<usize>> = vec![None; matrix.len()];
        let mut out = Matrix::new(matrix.steps);
        for (step, asked) in param.iter().enumerate() {
            let column = |row: usize| matrix.row(row)[step];
            if !(0..matrix.len()).any(|row| is_present(column(row))) {
                continue;
            }
            let wanted = wanted(op, *asked, matrix.len())?;
            for rows in &rows {
                let there = rows.iter().copied().filter(|row| is_present(column(*row)));
                for row in choose(&wanted, there, column, |row| matrix.heads[row].hash()) {
                    let at = *place[row].get_or_insert_with(|| {
                        out.push(matrix.heads[row].clone());
                        out.len() - 1
                    });
                    out.row_mut(at)[step] = column(row);
                }
            }
            self.check()?;
            self.room_for(out.values.len())?;
        }
        Ok(out)
    }

    /// Whether the parameter asks for anything at any step; notes ratios outside of their bounds.
    fn wants_any(&mut self, op: AggregateOp, param: &[f64], span: &Range<usize>) -> bool {
        let (least, most) = super::aggregate::extremes(param);
        if op != AggregateOp::LimitRatio {
            return most.is_nan() || most >= 1.0;
        }
        if most > 1.0 {
            self.annotations.ratio(most, 1.0, span);
        }
        if least < -1.0 {
            self.annotations.ratio(least, -1.0, span);
        }
        most != 0.0 || least != 0.0
    }
}

/// The bounds of 64 bits as floats, as Prometheus compares.
const MAX_COUNT: f64 = 9.223_372_036_854_776e18;

fn wanted(op: AggregateOp, param: f64, rows: usize) -> Result<Wanted, Error> {
    if op == AggregateOp::LimitRatio {
        if param.is_nan() {
            return Err(Error::Execution("Ratio value NaN is NaN".into()));
        }
        return Ok(Wanted::Ratio(param.clamp(-1.0, 1.0)));
    }
    if !(-MAX_COUNT..=MAX_COUNT).contains(&param) {
        let text = crate::promql::number::write_short(param);
        return Err(Error::Execution(format!("Scalar value {text} overflows int64")));
    }
    let count = if param < 1.0 { 0 } else { (param as usize).min(rows) };
    Ok(match op {
        AggregateOp::Topk => Wanted::Largest(count),
        AggregateOp::Bottomk => Wanted::Smallest(count),
        _ => Wanted::First(count),
    })
}

/// What is wanted of a group at a step.
enum Wanted {
    Largest(usize),
    Smallest(usize),
    First(usize),
    Ratio(f64),
}

fn choose(
    wanted: &Wanted,
    rows: impl Iterator<Item = usize>,
    value: impl Fn(usize) -> f64,
    hash: impl Fn(usize) -> u64,
) -> Vec<usize> {
    match wanted {
        Wanted::First(count) => rows.take(*count).collect(),
        Wanted::Largest(count) => best(*count, rows, |left, right| less(value(left), value(right))),
        Wanted::Smallest(count) => best(*count, rows, |left, right| less(-value(left), -value(right))),
        Wanted::Ratio(ratio) => {
            let share = |row: usize| hash(row) as f64 / u64::MAX as f64;
            let chosen = |row: &usize| {
                if *ratio >= 0.0 { share(*row) < *ratio } else { share(*row) >= 1.0 + *ratio }
            };
            rows.filter(|row| *ratio != 0.0 && chosen(row)).collect()
        }
    }
}

/// Not a number is less than everything.
fn less(left: f64, right: f64) -> bool {
    left.is_nan() || left < right
}

/// The best rows, the best first. Of equal ones the heap decides, in the way of Prometheus' heap.
fn best(count: usize, rows: impl Iterator<Item = usize>, less: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut heap: Vec<usize> = Vec::with_capacity(count);
    if count == 0 {
        return heap;
    }
    for row in rows {
        if heap.len() < count {
            heap.push(row);
            up(&mut heap, &less);
        } else if less(heap[0], row) && !less(row, heap[0]) {
            heap[0] = row;
            down(&mut heap, &less);
        }
    }
    heap.sort_by(|left, right| match (less(*left, *right), less(*right, *left)) {
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ => Ordering::Equal,
    });
    heap
}

fn up(heap: &mut [usize], less: &impl Fn(usize, usize) -> bool) {
    let mut at = heap.len() - 1;
    while at > 0 {
        let parent = (at - 1) / 2;
        if !less(heap[at], heap[parent]) {
            break;
        }
        heap.swap(at, parent);
        at = parent;
    }
}

fn down(heap: &mut [usize], less: &impl Fn(usize, usize) -> bool) {
    let mut at = 0;
    loop {
        let left = 2 * at + 1;
        if left >= heap.len() {
            return;
        }
        let right = left + 1;
        let child = if right < heap.len() && less(heap[right], heap[left]) { right } else { left };
        if !less(heap[child], heap[at]) {
            return;
        }
        heap.swap(at, child);
        at = child;
    }
}
