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
            State::Nothing if self.op == AggregateOp::Count => bare(values, row, |count, _, first| {
                *count = if first { 1.0 } else { *count + 1.0 };
            }),
            State::Nothing => best(self.op, values, row),
        }
    }

    /// Takes in what was folded of other series.
    pub fn join(&mut self, other: Fold) {
        self.reserve(other.values.len() / self.steps.max(1));
        let (values, row) = (&mut self.values[..], &other.values[..]);
        match (&mut self.state, &other.state) {
            (State::Compensations(mine), State::Compensations(theirs)) => {
                pairs(values, mine, row, theirs, |sum, lost, other, other_lost| {
                    let mut joined = Sum { sum: *sum, compensation: *lost };
                    joined.join(Sum { sum: other, compensation: other_lost });
                    (*sum, *lost) = (joined.sum, joined.compensation);
                });
            }
            (State::Means(mine), State::Means(theirs)) => {
                pairs(values, mine, row, theirs, |_, mean, _, other| mean.join(other));
            }
            (State::Spreads(mine), State::Spreads(theirs)) => {
                pairs(values, mine, row, theirs, |_, spread, _, other| spread.join(other));
            }
            _ if self.op == AggregateOp::Count => bare(values, row, |count, other, first| {
                *count = if first { other } else { *count + other };
            }),
            _ => best(self.op, values, row),
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

/// Puts two folds together, place by place.
fn pairs<T: Copy>(
    values: &mut [f64],
    state: &mut [T],
    others: &[f64],
    their_state: &[T],
    join: impl Fn(&mut f64, &mut T, f64, T),
) {
    let mine = values.iter_mut().zip(state);
    for ((value, state), (other, theirs)) in mine.zip(others.iter().zip(their_state)) {
        match (is_present(*value), is_present(*other)) {
            (true, true) => join(value, state, *other, *theirs),
            (false, true) => (*value, *state) = (*other, *theirs),
            _ => {}
        }
    }
}

/// The smallest, the largest, or that there is one.
fn best(op: AggregateOp, values: &mut [f64], row: &[f64]) {
    match op {
        AggregateOp::Min => better(values, row, |best, value| value < best || best.is_nan()),
        AggregateOp::Max => better(values, row, |best, value| value > best || best.is_nan()),
        _ => bare(values, row, |one, _, _| *one = 1.0),
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

    /// Those of its values and of another one's (Chan).
    fn join(&mut self, other: Spread) {
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        self.squares += other.squares + delta * delta * (self.count * other.count / count);
        self.mean += delta * (other.count / count);
        self.count = count;
    }

    fn variance(self) -> f64 {
        self.squares / self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of one group at one step, folded in one go and in two halves.
    fn both_ways(op: AggregateOp, values: &[f64]) -> (f64, f64) {
        let fold = |values: &[f64]| {
            let mut fold = Fold::new(op, 1);
            values.iter().for_each(|value| fold.add(1, &[*value]));
            fold
        };
        let mut joined = fold(&values[..values.len() / 2]);
        joined.join(fold(&values[values.len() / 2..]));
        (fold(values).finish()[1], joined.finish()[1])
    }

    #[test]
    fn halves_make_the_whole() {
        use AggregateOp::{Avg, Count, Group, Max, Min, Stddev, Stdvar, Sum};
        let huge = f64::MAX;
        let cases: [&[f64]; 9] = [
            &[1.0, 2.0, 4.0, 8.5],
            &[1e16, 1.0, -1e16, 1.0],
            &[f64::NAN, 1.0, 3.0],
            &[f64::NAN, f64::NAN],
            &[huge, huge, huge, -huge],
            &[f64::INFINITY, 1.0, 2.0],
            &[f64::INFINITY, 1.0, f64::NEG_INFINITY],
            &[7.0],
            &[ABSENT, 2.0, ABSENT, 5.0],
        ];
        for op in [Sum, Avg, Min, Max, Count, Group, Stddev, Stdvar] {
            for values in cases {
                // Differences that are too large for a number make no variance in either way.
                if matches!(op, Stddev | Stdvar) && values.contains(&huge) {
                    continue;
                }
                let (whole, joined) = both_ways(op, values);
                let noise = 1e-12 * whole.abs();
                let same =
                    whole == joined || (whole.is_nan() && joined.is_nan()) || (whole - joined).abs() <= noise;
                assert!(same, "{op:?} of {values:?}: {whole}, in halves {joined}");
            }
        }
    }
}
