//! Aggregations that look at one value after the other: sums, means, extremes, counts, spreads.
//!
//! Promise: rows may come in any order and are not kept; what is held is one value, and what its operation needs, per group
//! and step.

use super::matrix::{ABSENT, is_present};
use super::numeric::{Mean, Sum};
use crate::promql::ast::AggregateOp;

/// Groups that are being folded.
pub(super) struct Fold {
    op: AggregateOp,
    steps: usize,
    values: Vec<f64>,
    state: State,
}

/// What an operation has to know besides its value so far.
enum State {
    Nothing,
    Compensations(Vec<f64>),
    Means(Vec<Mean>),
    Spreads(Vec<Spread>),
}

impl Fold {
    /// Whether an operation is one of these.
    pub fn can(op: AggregateOp) -> bool {
        use AggregateOp::{Avg, Count, Group, Max, Min, Stddev, Stdvar, Sum};
        matches!(op, Sum | Avg | Min | Max | Count | Group | Stddev | Stdvar)
    }

    /// No groups yet.
    pub fn new(op: AggregateOp, steps: usize) -> Fold {
        let state = match op {
            AggregateOp::Sum => State::Compensations(Vec::new()),
            AggregateOp::Avg => State::Means(Vec::new()),
            AggregateOp::Stddev | AggregateOp::Stdvar => State::Spreads(Vec::new()),
            _ => State::Nothing,
        };
        Fold { op, steps, values: Vec::new(), state }
    }

    /// How many values are held.
    pub fn size(&self) -> usize {
        self.values.len()
    }

    /// Makes room for so many groups.
    pub fn reserve(&mut self, groups: usize) {
        let size = groups * self.steps;
        if size <= self.values.len() {
            return;
        }
        self.values.resize(size, ABSENT);
        match &mut self.state {
            State::Nothing => {}
            State::Compensations(state) => state.resize(size, 0.0),
            State::Means(state) => state.resize(size, Mean::default()),
            State::Spreads(state) => state.resize(size, Spread::default()),
        }
    }

    /// Adds the values of one series to its group.
    pub fn add(&mut self, group: usize, row: &[f64]) {
        self.reserve(group + 1);
        let place = group * self.steps..(group + 1) * self.steps;
        let values = &mut self.values[place.clone()];
        match &mut self.state {
            State::Compensations(state) => each(values, &mut state[place], row, add_to_sum),
            State::Means(state) => each(values, &mut state[place], row, |there, mean, value, first| {
                *there = 0.0;
                if first {
                    *mean = Mean::first(value);
                } else {
                    mean.add(value);
                }
            }),
            State::Spreads(state) => each(values, &mut state[place], row, |there, spread, value, first| {
                *there = 0.0;
                if first {
                    *spread = Spread::first(value);
                } else {
                    spread.add(value);
                }
            }),
            State::Nothing => match self.op {
                AggregateOp::Min => better(values, row, |best, value| value < best || best.is_nan()),
                AggregateOp::Max => better(values, row, |best, value| value > best || best.is_nan()),
                AggregateOp::Count => bare(values, row, |count, _, first| {
                    *count = if first { 1.0 } else { *count + 1.0 };
                }),
                _ => bare(values, row, |one, _, _| *one = 1.0),
            },
        }
    }

    /// One row per group.
    pub fn finish(mut self) -> Vec<f64> {
        fn settle<T: Copy>(values: &mut [f64], state: &[T], get: impl Fn(f64, T) -> f64) {
            for (value, state) in values.iter_mut().zip(state) {
                if is_present(*value) {
                    *value = get(*value, *state);
                }
            }
        }
        match &self.state {
            State::Nothing => {}
            State::Compensations(state) => settle(&mut self.values, state, |sum, lost| sum + lost),
            State::Means(state) => settle(&mut self.values, state, |_, mean| mean.get()),
            State::Spreads(state) => {
                let root = self.op == AggregateOp::Stddev;
                settle(&mut self.values, state, |_, spread| {
                    if root { spread.variance().sqrt() } else { spread.variance() }
                });
            }
        }
        self.values
    }
}

fn each<T>(
    values: &mut [f64],
    state: &mut [T],
    row: &[f64],
    mut add: impl FnMut(&mut f64, &mut T, f64, bool),
) {
    for ((to, state), value) in values.iter_mut().zip(state).zip(row) {
        if is_present(*value) {
            let first = !is_present(*to);
            add(to, state, *value, first);
        }
    }
}

fn bare(values: &mut [f64], row: &[f64], mut add: impl FnMut(&mut f64, f64, bool)) {
    for (to, value) in values.iter_mut().zip(row) {
        if is_present(*value) {
            let first = !is_present(*to);
            add(to, *value, first);
        }
    }
}

fn better(values: &mut [f64], row: &[f64], beats: impl Fn(f64, f64) -> bool) {
    bare(values, row, |best, value, first| {
        if first || beats(*best, value) {
            *best = value;
        }
    });
}

fn add_to_sum(sum: &mut f64, compensation: &mut f64, value: f64, first: bool) {
    if first {
        (*sum, *compensation) = (value, 0.0);
        return;
    }
    let mut running = Sum { sum: *sum, compensation: *compensation };
    running.add(value);
    (*sum, *compensation) = (running.sum, running.compensation);
}

/// The running variance of a population (Welford); infinite and missing numbers make it none.
#[derive(Debug, Clone, Copy, Default)]
struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn first(value: f64) -> Spread {
        let squares = if value.is_finite() { 0.0 } else { f64::NAN };
        Spread { count: 1.0, mean: value, squares }
    }

    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    fn variance(self) -> f64 {
        self.squares / self.count
    }
}
