//! Intermediate results: one row of values per series, one column per step.
//!
//! A value that is not there is the marker of staleness: the store never hands it out as a value, and no arithmetic makes it
//! (its payload is a signalling one).

use crate::promql::labelset::{Labelset, Numbering};
use crate::series::{STALE_NAN_BITS, is_stale};

use super::Error;

/// No value at this step.
pub(super) const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

/// Whether there is a value at this step.
pub(super) fn is_present(value: f64) -> bool {
    !is_stale(value)
}

/// Moments at which a query is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steps {
    pub start_ms: i64,
    pub interval_ms: i64,
    pub count: usize,
}

impl Steps {
    pub fn one(time_ms: i64) -> Steps {
        Steps { start_ms: time_ms, interval_ms: 1, count: 1 }
    }

    pub fn time_ms(&self, step: usize) -> i64 {
        self.start_ms + self.interval_ms * step as i64
    }

    pub fn end_ms(&self) -> i64 {
        self.time_ms(self.count.saturating_sub(1))
    }
}

/// Rows of values.
#[derive(Debug, Default, Clone)]
pub(super) struct Matrix {
    pub heads: Vec<Labelset>,
    pub values: Vec<f64>,
    pub steps: usize,
}

impl Matrix {
    pub fn new(steps: usize) -> Matrix {
        Matrix { heads: Vec::new(), values: Vec::new(), steps }
    }

    pub fn len(&self) -> usize {
        self.heads.len()
    }

    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.steps..(row + 1) * self.steps]
    }

    pub fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.values[row * self.steps..(row + 1) * self.steps]
    }

    /// A new row without values.
    pub fn push(&mut self, head: Labelset) -> &mut [f64] {
        self.heads.push(head);
        let start = self.values.len();
        self.values.resize(start + self.steps, ABSENT);
        &mut self.values[start..]
    }

    /// Takes the last row back when it has no value.
    pub fn drop_if_empty(&mut self) {
        let start = self.values.len() - self.steps;
        if !self.values[start..].iter().copied().any(is_present) {
            self.values.truncate(start);
            self.heads.pop();
        }
    }

    /// Replaces every value that is there; `step` comes along.
    pub fn map(&mut self, mut change: impl FnMut(usize, f64) -> f64) {
        let steps = self.steps.max(1);
        for row in self.values.chunks_mut(steps) {
            for (step, value) in row.iter_mut().enumerate() {
                if is_present(*value) {
                    *value = change(step, *value);
                }
            }
        }
    }

    /// Rows in another order.
    pub fn reorder(&mut self, order: &[usize]) {
        let mut sorted = Matrix::new(self.steps);
        for row in order {
            sorted.heads.push(self.heads[*row].clone());
            sorted.values.extend_from_slice(self.row(*row));
        }
        *self = sorted;
    }

    /// Drops the metric's name from every row.
    pub fn drop_names(&mut self, delayed: bool) {
        self.heads.iter_mut().for_each(|head| head.drop_name(delayed));
    }

    /// The same values at each of `steps` steps, of a matrix of one step.
    pub fn repeated(&self, steps: usize) -> Matrix {
        let values = self.values.iter().flat_map(|value| std::iter::repeat_n(*value, steps)).collect();
        Matrix { heads: self.heads.clone(), values, steps }
    }

    /// Joins rows of the same labels, as long as they have no step in common.
    ///
    /// # Errors
    /// Two values for the same labels at the same step.
    pub fn join_rows(self) -> Result<Matrix, Error> {
        if !self.may_repeat() {
            return Ok(self);
        }
        let mut out = Matrix::new(self.steps);
        let mut numbering = Numbering::default();
        for row in 0..self.len() {
            let head = &self.heads[row];
            let (to, new) = numbering.find_or(head.hash(), out.len(), |other| out.heads[other].same(head));
            if new {
                out.push(head.clone()).copy_from_slice(self.row(row));
                continue;
            }
            for (to, from) in out.row_mut(to).iter_mut().zip(self.row(row)) {
                match (is_present(*to), is_present(*from)) {
                    (true, true) => return Err(Error::SameLabels),
                    (false, true) => *to = *from,
                    _ => {}
                }
            }
        }
        Ok(out)
    }

    /// Fails when two rows have the same labels, whatever their steps.
    pub fn check_unique(&self) -> Result<(), Error> {
        if !self.may_repeat() {
            return Ok(());
        }
        let mut numbering = Numbering::default();
        for (row, head) in self.heads.iter().enumerate() {
            let (_, new) = numbering.find_or(head.hash(), row, |other| self.heads[other].same(head));
            if !new {
                return Err(Error::SameLabels);
            }
        }
        Ok(())
    }

    /// Rows that come straight from a store and of which all have the same metric's name cannot become alike by losing it.
    fn may_repeat(&self) -> bool {
        self.heads.len() > 1 && !self.one_name()
    }

    /// Whether rows differ in more than the name, because all have the same: looks behind what is hidden.
    fn one_name(&self) -> bool {
        let mut names = self.heads.iter().map(Labelset::source_name);
        let Some(Some(first)) = names.next() else { return false };
        names.all(|name| name == Some(first))
    }
}
