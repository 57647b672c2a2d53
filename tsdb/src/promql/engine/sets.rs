//! `and`, `unless`, `or`: series of one side are kept by whether the other has any of the same labels at a step.

use super::matching::Signatures;
use super::matrix::{ABSENT, Matrix, is_present};
use crate::promql::ast::{BinaryOp, Matching};
use crate::promql::labelset::{Labelset, Numbering};

/// Whether any series of a signature has a value, per signature and step.
struct Presence {
    steps: usize,
    there: Vec<bool>,
}

impl Presence {
    fn of<'m>(matrix: &Matrix, matching: &'m Matching) -> (Presence, Signatures<'m>) {
        let mut signatures = Signatures::new(matching);
        let mut there = Vec::new();
        for (row, head) in matrix.heads.iter().enumerate() {
            let number = signatures.number(head);
            there.resize(signatures.len() * matrix.steps, false);
            let flags = &mut there[number * matrix.steps..(number + 1) * matrix.steps];
            for (flag, value) in flags.iter_mut().zip(matrix.row(row)) {
                *flag |= is_present(*value);
            }
        }
        (Presence { steps: matrix.steps, there }, signatures)
    }

    fn at(&self, signature: Option<usize>, step: usize) -> bool {
        signature.is_some_and(|number| self.there[number * self.steps + step])
    }
}

/// `and`, `unless`.
pub(super) fn filtered(op: BinaryOp, mut left: Matrix, right: &Matrix, matching: &Matching) -> Matrix {
    let (presence, signatures) = Presence::of(right, matching);
    for row in 0..left.len() {
        let signature = signatures.known(&left.heads[row]);
        for (step, value) in left.row_mut(row).iter_mut().enumerate() {
            if presence.at(signature, step) != (op == BinaryOp::And) {
                *value = ABSENT;
            }
        }
    }
    left
}

/// `or`: everything of the left side, and of the right side what the left does not have.
pub(super) fn joined(mut left: Matrix, right: &Matrix, matching: &Matching) -> Matrix {
    let (presence, signatures) = Presence::of(&left, matching);
    let mut numbering = Numbering::default();
    for (row, head) in left.heads.iter().enumerate() {
        numbering.find_or(head.hash(), row, |_| false);
    }
    for (row, head) in right.heads.iter().enumerate() {
        let signature = signatures.known(head);
        let free = |step: usize, value: f64| is_present(value) && !presence.at(signature, step);
        let values = right.row(row);
        if !values.iter().enumerate().any(|(step, value)| free(step, *value)) {
            continue;
        }
        let same = |other: usize| same_to_all(&left.heads[other], head);
        let (to, new) = numbering.find_or(head.hash(), left.len(), same);
        if new {
            left.push(head.clone());
        }
        for (step, to) in left.row_mut(to).iter_mut().enumerate() {
            if free(step, values[step]) {
                *to = values[step];
            }
        }
    }
    left
}

/// Whether two series are one in the result.
fn same_to_all(left: &Labelset, right: &Labelset) -> bool {
    left.same(right) && left.drop_later == right.drop_later
}
