//! Binary operators, up to the point where two vectors have to find each other ([`super::matching`], [`super::sets`]).

use super::Error;
use super::eval::{Eval, Value};
use super::matrix::{ABSENT, Matrix, Steps};
use crate::promql::ast::{BinaryOp, Expr, Matching};

/// What two numbers make: a number, or whether they compare.
pub(super) enum Made {
    Number(f64),
    Holds(bool),
}

/// Applies an operator that is none of sets.
pub(super) fn apply(op: BinaryOp, left: f64, right: f64) -> Made {
    match op {
        BinaryOp::Add => Made::Number(left + right),
        BinaryOp::Sub => Made::Number(left - right),
        BinaryOp::Mul => Made::Number(left * right),
        BinaryOp::Div => Made::Number(left / right),
        BinaryOp::Mod => Made::Number(left % right),
        BinaryOp::Pow => Made::Number(left.powf(right)),
        BinaryOp::Atan2 => Made::Number(left.atan2(right)),
        BinaryOp::Equal => Made::Holds(left == right),
        BinaryOp::NotEqual => Made::Holds(left != right),
        BinaryOp::Less => Made::Holds(left < right),
        BinaryOp::LessOrEqual => Made::Holds(left <= right),
        BinaryOp::Greater => Made::Holds(left > right),
        BinaryOp::GreaterOrEqual => Made::Holds(left >= right),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => Made::Number(ABSENT),
    }
}

/// One for what holds.
pub(super) fn as_number(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

impl Eval<'_> {
    /// Evaluates a binary expression.
    pub fn binary(
        &mut self,
        op: BinaryOp,
        left: &Expr,
        right: &Expr,
        to_bool: bool,
        matching: &Matching,
        steps: &Steps,
    ) -> Result<Value, Error> {
        let left = self.expr(left, steps)?;
        let right = self.expr(right, steps)?;
        Ok(match (left, right) {
            (Value::Scalar(left), Value::Scalar(right)) => {
                let pairs = left.into_iter().zip(right);
                Value::Scalar(
                    pairs
                        .map(|(left, right)| match apply(op, left, right) {
                            Made::Number(value) => value,
                            Made::Holds(holds) => as_number(holds),
                        })
                        .collect(),
                )
            }
            (Value::Vector(matrix), Value::Scalar(scalar)) => {
                Value::Vector(self.with_scalar(op, matrix, &scalar, to_bool, false)?)
            }
            (Value::Scalar(scalar), Value::Vector(matrix)) => {
                Value::Vector(self.with_scalar(op, matrix, &scalar, to_bool, true)?)
            }
            (Value::Vector(left), Value::Vector(right)) => Value::Vector(match op {
                BinaryOp::And | BinaryOp::Unless => super::sets::filtered(op, left, &right, matching),
                BinaryOp::Or => super::sets::joined(left, &right, matching),
                _ => self.matched(op, &left, &right, to_bool, matching)?,
            }),
            _ => return Err(Error::Invalid("operands must be scalars and instant vectors".into())),
        })
    }

    /// A vector and a number; a comparison keeps the vector's value.
    fn with_scalar(
        &mut self,
        op: BinaryOp,
        mut matrix: Matrix,
        scalar: &[f64],
        to_bool: bool,
        scalar_is_left: bool,
    ) -> Result<Matrix, Error> {
        matrix.map(|step, value| {
            let (left, right) = if scalar_is_left { (scalar[step], value) } else { (value, scalar[step]) };
            match apply(op, left, right) {
                Made::Number(made) => made,
                Made::Holds(holds) if to_bool => as_number(holds),
                Made::Holds(true) => value,
                Made::Holds(false) => ABSENT,
            }
        });
        if !op.compares() || to_bool {
            return self.nameless(matrix);
        }
        Ok(matrix)
    }
}
