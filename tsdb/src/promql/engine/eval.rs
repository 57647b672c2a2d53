//! The walk over the tree: which node is evaluated by whom, what is held, and when to stop.

use super::matrix::{Matrix, Steps};
use super::{Error, Options, Outcome, Stop, Watch};
use crate::promql::annotations::Annotations;
use crate::promql::ast::{At, Expr, Node, Selector, When};
use crate::promql::duration::Sign;
use crate::series::SeriesSource;

/// What an expression yields for all steps.
#[derive(Debug)]
pub(super) enum Value {
    /// One number per step.
    Scalar(Vec<f64>),
    /// A text.
    Text(String),
    /// Rows.
    Vector(Matrix),
}

impl Value {
    fn size(&self) -> usize {
        match self {
            Value::Scalar(values) => values.len(),
            Value::Text(_) => 0,
            Value::Vector(matrix) => matrix.values.len(),
        }
    }
}

/// One evaluation.
pub(super) struct Eval<'a> {
    pub source: &'a dyn SeriesSource,
    pub options: &'a Options,
    pub annotations: Annotations,
    pub query_start_ms: i64,
    pub query_end_ms: i64,
    query_step_ms: i64,
    watch: &'a dyn Watch,
    held: usize,
    peak: usize,
    /// Samples that selectors handed over.
    pub read: usize,
}

/// Functions whose result depends on the moment even when their arguments do not.
const DEPEND_ON_STEP: [&str; 11] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
];

impl<'a> Eval<'a> {
    pub fn new(
        source: &'a dyn SeriesSource,
        options: &'a Options,
        watch: &'a dyn Watch,
        steps: Steps,
    ) -> Eval<'a> {
        Eval {
            source,
            options,
            annotations: Annotations::default(),
            query_start_ms: steps.start_ms,
            query_end_ms: steps.end_ms(),
            query_step_ms: steps.interval_ms,
            watch,
            held: 0,
            peak: 0,
            read: 0,
        }
    }

    pub fn outcome(self, value: super::Value) -> Outcome {
        Outcome { value, annotations: self.annotations, peak_samples: self.peak, read_samples: self.read }
    }

    /// Fails when the query shall not go on.
    pub fn check(&self) -> Result<(), Error> {
        match self.watch.stop() {
            None => Ok(()),
            Some(Stop::TimedOut) => Err(Error::TimedOut),
            Some(Stop::Canceled) => Err(Error::Canceled),
        }
    }

    /// Fails when so many more values would be too many.
    pub fn room_for(&mut self, values: usize) -> Result<(), Error> {
        let total = self.held.saturating_add(values);
        if total > self.options.max_samples {
            return Err(Error::TooManySamples { limit: self.options.max_samples });
        }
        self.peak = self.peak.max(total);
        Ok(())
    }

    /// How many more values may be held.
    pub fn room(&self) -> usize {
        self.options.max_samples.saturating_sub(self.held)
    }

    /// Evaluates an expression for all steps.
    pub fn expr(&mut self, expr: &Expr, steps: &Steps) -> Result<Value, Error> {
        self.check()?;
        let held_before = self.held;
        let value = if steps.count > 1 && !matches!(expr.node, Node::Number(_)) && is_invariant(expr) {
            self.once(expr, steps)?
        } else {
            self.node(expr, steps)?
        };
        self.held = held_before;
        self.room_for(value.size())?;
        self.held += value.size();
        Ok(value)
    }

    /// Evaluates what is the same at every step once.
    fn once(&mut self, expr: &Expr, steps: &Steps) -> Result<Value, Error> {
        let one = Steps { count: 1, ..*steps };
        Ok(match self.node(expr, &one)? {
            Value::Scalar(values) => Value::Scalar(vec![values[0]; steps.count]),
            Value::Text(text) => Value::Text(text),
            Value::Vector(matrix) => {
                self.room_for(matrix.len().saturating_mul(steps.count))?;
                Value::Vector(matrix.repeated(steps.count))
            }
        })
    }

    fn node(&mut self, expr: &Expr, steps: &Steps) -> Result<Value, Error> {
        match &expr.node {
            Node::Number(value) => Ok(Value::Scalar(vec![*value; steps.count])),
            Node::Text(text) => Ok(Value::Text(text.clone())),
            Node::Paren(inner) => self.expr(inner, steps),
            Node::Negate(inner) => match self.expr(inner, steps)? {
                Value::Scalar(values) => Ok(Value::Scalar(values.into_iter().map(|value| -value).collect())),
                Value::Vector(mut matrix) => {
                    matrix.map(|_, value| -value);
                    matrix.drop_names(self.options.delayed_name_removal);
                    if !self.options.delayed_name_removal {
                        matrix.check_unique()?;
                    }
                    Ok(Value::Vector(matrix))
                }
                text @ Value::Text(_) => Ok(text),
            },
            Node::Selector(selector) => Ok(Value::Vector(self.latest(selector, steps, false)?)),
            Node::Call { function, args } => self.call(function, args, expr, steps),
            Node::Aggregate { op, param, expr, grouping } => {
                Ok(Value::Vector(self.aggregate(*op, param.as_deref(), expr, grouping, steps)?))
            }
            Node::Binary { op, left, right, to_bool, matching } => {
                self.binary(*op, left, right, *to_bool, matching, steps)
            }
            Node::Range { .. } | Node::Subquery { .. } => {
                Err(Error::Invalid("a range vector must be the argument of a function".into()))
            }
        }
    }

    /// Evaluates an expression that yields rows.
    pub fn vector(&mut self, expr: &Expr, steps: &Steps) -> Result<Matrix, Error> {
        match self.expr(expr, steps)? {
            Value::Vector(matrix) => Ok(matrix),
            _ => Err(Error::Invalid("expected an instant vector".into())),
        }
    }

    /// Evaluates an expression that yields one number per step.
    pub fn scalar(&mut self, expr: &Expr, steps: &Steps) -> Result<Vec<f64>, Error> {
        match self.expr(expr, steps)? {
            Value::Scalar(values) => Ok(values),
            _ => Err(Error::Invalid("expected a scalar".into())),
        }
    }

    /// The moments that a selector or a subquery means at these steps.
    pub fn moments(&self, when: &When, steps: &Steps) -> Result<Moments, Error> {
        let offset_ms = match &when.offset {
            Some(offset) => offset.millis(self.query_step_ms, Sign::Any).map_err(Error::Invalid)?,
            None => 0,
        };
        let fixed_ms = match when.at {
            None => None,
            Some(At::Time(millis)) => Some(millis),
            Some(At::Start) => Some(self.query_start_ms),
            Some(At::End) => Some(self.query_end_ms),
        };
        Ok(Moments { steps: *steps, fixed_ms, offset_ms })
    }

    /// A duration in milliseconds.
    pub fn positive_ms(&self, expr: &crate::promql::duration::DurationExpr) -> Result<i64, Error> {
        expr.millis(self.query_step_ms, Sign::Positive).map_err(Error::Invalid)
    }
}

/// When data is read for each step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    steps: Steps,
    fixed_ms: Option<i64>,
    offset_ms: i64,
}

impl Moments {
    pub fn at(&self, step: usize) -> i64 {
        self.fixed_ms.unwrap_or_else(|| self.steps.time_ms(step)).saturating_sub(self.offset_ms)
    }

    pub fn first(&self) -> i64 {
        self.at(0)
    }

    pub fn last(&self) -> i64 {
        self.at(self.steps.count.saturating_sub(1))
    }
}

/// Whether an expression has the same value at every step.
pub(super) fn is_invariant(expr: &Expr) -> bool {
    match &expr.node {
        Node::Number(_) | Node::Text(_) => true,
        Node::Selector(Selector { when, .. })
        | Node::Range { selector: Selector { when, .. }, .. }
        | Node::Subquery { when, .. } => when.at.is_some(),
        Node::Call { function, args } => {
            !DEPEND_ON_STEP.contains(&function.name) && args.iter().all(is_invariant)
        }
        // As in Prometheus, the parameter is not looked at: `quantile(time(), x @ 0)` takes that of the first step.
        Node::Aggregate { expr, .. } => is_invariant(expr),
        Node::Binary { left, right, .. } => is_invariant(left) && is_invariant(right),
        Node::Negate(inner) | Node::Paren(inner) => is_invariant(inner),
    }
}
