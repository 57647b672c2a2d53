//! Function calls: which kind of function it is, and what becomes of metric names and of rows that turn out alike.

use std::ops::Range;

use super::eval::{Eval, Value, is_invariant};
use super::matrix::{ABSENT, Matrix, Steps, is_present};
use super::{Error, histogram, instant, label_functions, window};
use crate::promql::ast::{Expr, Node, Selector, Type};
use crate::promql::functions::Function;
use crate::promql::labelset::Labelset;
use crate::series::{METRIC_NAME, MatchOp, Matcher};

impl Eval<'_> {
    /// Evaluates a call.
    pub fn call(
        &mut self,
        function: &Function,
        args: &[Expr],
        expr: &Expr,
        steps: &Steps,
    ) -> Result<Value, Error> {
        if function.experimental && !self.options.experimental_functions {
            return Err(Error::Invalid(format!("function {:?} is not enabled", function.name)));
        }
        let times = |step: usize| steps.time_ms(step) as f64 / 1000.0;
        match function.name {
            "time" => return Ok(Value::Scalar((0..steps.count).map(times).collect())),
            "pi" => return Ok(Value::Scalar(vec![std::f64::consts::PI; steps.count])),
            "scalar" => return Ok(Value::Scalar(only_value(&self.vector(&args[0], steps)?))),
            "vector" => return Ok(Value::Vector(without_labels(&self.scalar(&args[0], steps)?))),
            _ => {}
        }
        let matrix = if function.args.contains(&Type::Matrix) {
            self.over_range(function.name, args, steps)?
        } else if let Some(change) = instant::math(function.name) {
            self.mapped(&args[0], steps, |_, value| change(value))?
        } else if let Some(part) = instant::of_time(function.name) {
            self.of_time(args, steps, part)?
        } else {
            self.of_vector(function.name, args, expr, steps)?
        };
        Ok(Value::Vector(matrix))
    }

    /// Changes each value; the name goes.
    fn mapped(
        &mut self,
        arg: &Expr,
        steps: &Steps,
        change: impl FnMut(usize, f64) -> f64,
    ) -> Result<Matrix, Error> {
        let mut matrix = self.vector(arg, steps)?;
        matrix.map(change);
        self.nameless(matrix)
    }

    /// Drops names and joins what became alike.
    pub fn nameless(&self, mut matrix: Matrix) -> Result<Matrix, Error> {
        matrix.drop_names(self.options.delayed_name_removal);
        if self.options.delayed_name_removal { Ok(matrix) } else { matrix.join_rows() }
    }

    fn of_time(&mut self, args: &[Expr], steps: &Steps, part: fn(i64) -> f64) -> Result<Matrix, Error> {
        match args.first() {
            Some(arg) => self.mapped(arg, steps, |_, value| part(instant::whole_seconds(value))),
            None => {
                let seconds = |step| part(steps.time_ms(step).div_euclid(1000));
                Ok(without_labels(&(0..steps.count).map(seconds).collect::<Vec<_>>()))
            }
        }
    }

    /// Functions over a range vector.
    fn over_range(&mut self, name: &str, args: &[Expr], steps: &Steps) -> Result<Matrix, Error> {
        let mut params = Vec::new();
        let mut range_vector = &args[0];
        for arg in args {
            if arg.value_type() == Type::Matrix {
                range_vector = arg.bare();
            } else {
                params.push(self.scalar(arg, steps)?);
            }
        }
        self.check_params(name, range_vector, &params, steps)?;
        let Some(function) = window::find(name) else {
            return Err(Error::Invalid(format!("function {name:?} is not known")));
        };
        let mut matrix = self.windows(range_vector, function, &params, steps)?;
        if matches!(name, "rate" | "increase") {
            self.note_non_counters(&matrix, range_vector);
        }
        if name == "quantile_over_time" {
            for (step, quantile) in params[0].iter().enumerate() {
                let asked = || (0..matrix.len()).any(|row| is_present(matrix.row(row)[step]));
                if !(0.0..=1.0).contains(quantile) && asked() {
                    self.annotations.quantile(*quantile, place(args, 0));
                }
            }
        }
        if name == "absent_over_time" {
            return Ok(absent(&matrix, absent_labels(range_vector), steps));
        }
        if !matches!(name, "last_over_time" | "first_over_time") {
            matrix.drop_names(self.options.delayed_name_removal);
        }
        if !self.options.delayed_name_removal {
            matrix.check_unique()?;
        }
        Ok(matrix)
    }

    /// Factors of smoothing lie between 0 and 1; as in Prometheus that matters where there is something to smooth.
    fn check_params(
        &mut self,
        name: &str,
        range_vector: &Expr,
        params: &[Vec<f64>],
        steps: &Steps,
    ) -> Result<(), Error> {
        let sound = |value: &f64| *value > 0.0 && *value < 1.0;
        let ([levels, trends], "double_exponential_smoothing") = (params, name) else { return Ok(()) };
        if levels.iter().chain(trends).all(sound) {
            return Ok(());
        }
        let Some(present) = window::find("present_over_time") else { return Ok(()) };
        let matrix = self.windows(range_vector, present, &[], steps)?;
        let asked = |step: &usize| (0..matrix.len()).any(|row| is_present(matrix.row(row)[*step]));
        for step in (0..steps.count).filter(asked) {
            for (what, short, value) in [("smoothing", "sf", levels[step]), ("trend", "tf", trends[step])] {
                if !sound(&value) {
                    return Err(Error::Execution(format!(
                        "invalid {what} factor. Expected: 0 < {short} < 1, got: {value:.6}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Rates of what does not look like a counter.
    fn note_non_counters(&mut self, matrix: &Matrix, range_vector: &Expr) {
        // Prometheus loses the place of a subquery here.
        let place =
            if matches!(range_vector.node, Node::Subquery { .. }) { 0..0 } else { range_vector.span.clone() };
        let mut last = "";
        for head in &matrix.heads {
            let name = head.get(METRIC_NAME);
            if self.options.type_and_unit_labels {
                let kind = head.get("__type__");
                if !name.is_empty() && kind != "counter" {
                    self.annotations.type_is_not_counter(name, kind, &place);
                }
                continue;
            }
            if name.is_empty() || name == last {
                continue;
            }
            last = name;
            if !is_named_as_counter(name) {
                self.annotations.not_a_counter(name, &place);
            }
        }
    }

    /// The same of series that all have one name.
    pub fn note_non_counter(&mut self, name: &str, range_vector: &Expr) {
        if !is_named_as_counter(name) {
            self.annotations.not_a_counter(name, &range_vector.span);
        }
    }

    /// Functions over an instant vector that are more than a change of each value.
    fn of_vector(&mut self, name: &str, args: &[Expr], expr: &Expr, steps: &Steps) -> Result<Matrix, Error> {
        match name {
            "absent" => {
                let matrix = self.vector(&args[0], steps)?;
                Ok(absent(&matrix, absent_labels(args[0].bare()), steps))
            }
            "timestamp" => match &args[0].bare().node {
                Node::Selector(selector) => {
                    let matrix = self.latest(selector, steps, true)?;
                    self.nameless(matrix)
                }
                _ => self.mapped(&args[0], steps, |step, _| steps.time_ms(step) as f64 / 1000.0),
            },
            "clamp" => self.clamped(args, Some(1), Some(2), steps),
            "clamp_min" => self.clamped(args, Some(1), None, steps),
            "clamp_max" => self.clamped(args, None, Some(1), steps),
            "round" => {
                let nearest = match args.get(1) {
                    Some(arg) => self.scalar(arg, steps)?,
                    None => vec![1.0; steps.count],
                };
                self.mapped(&args[0], steps, |step, value| {
                    let inverse = 1.0 / nearest[step];
                    (value * inverse + 0.5).floor() / inverse
                })
            }
            "sort" | "sort_desc" => self.sorted(&args[0], name == "sort_desc", steps),
            "sort_by_label" | "sort_by_label_desc" => {
                let mut matrix = self.vector(&args[0], steps)?;
                let names: Vec<&str> = args[1..].iter().filter_map(Expr::text).collect();
                let order = label_functions::order(&matrix, &names, name == "sort_by_label_desc");
                matrix.reorder(&order);
                Ok(matrix)
            }
            "label_replace" | "label_join" => {
                let texts: Vec<&str> = args[1..].iter().filter_map(Expr::text).collect();
                let change =
                    if name == "label_join" { label_functions::join } else { label_functions::replace };
                // What is wrong with the texts is told before the series are read.
                change(Matrix::new(steps.count), &texts)?;
                let changed = change(self.vector(&args[0], steps)?, &texts)?;
                changed.check_unique()?;
                Ok(changed)
            }
            "histogram_quantile" => {
                let quantiles = self.scalar(&args[0], steps)?;
                let buckets = self.vector(&args[1], steps)?;
                let spans = (place(args, 0), place(args, 1));
                let matrix = histogram::quantiles(&buckets, &quantiles, spans, &mut self.annotations);
                self.nameless(matrix)
            }
            "histogram_fraction" => {
                let lower = self.scalar(&args[0], steps)?;
                let upper = self.scalar(&args[1], steps)?;
                let buckets = self.vector(&args[2], steps)?;
                let matrix = histogram::fractions(
                    &buckets,
                    &lower,
                    &upper,
                    &args[2].bare().span,
                    &mut self.annotations,
                );
                self.nameless(matrix)
            }
            // These read native histograms, and floats are none.
            "histogram_count" | "histogram_sum" | "histogram_avg" | "histogram_stddev"
            | "histogram_stdvar" => {
                self.vector(&args[0], steps)?;
                Ok(Matrix::new(steps.count))
            }
            _ => Err(Error::Invalid(format!("{expr}: the function is not known"))),
        }
    }

    fn clamped(
        &mut self,
        args: &[Expr],
        least: Option<usize>,
        most: Option<usize>,
        steps: &Steps,
    ) -> Result<Matrix, Error> {
        let mut bound = |index: Option<usize>, open: f64| match index {
            Some(index) => self.scalar(&args[index], steps),
            None => Ok(vec![open; steps.count]),
        };
        let least = bound(least, f64::NEG_INFINITY)?;
        let most = bound(most, f64::INFINITY)?;
        self.mapped(&args[0], steps, |step, value| {
            if most[step] < least[step] {
                return ABSENT;
            }
            instant::go_max(least[step], instant::go_min(most[step], value))
        })
    }

    /// By value, what is not a number last; of a range query the labels decide in the end.
    fn sorted(&mut self, arg: &Expr, falling: bool, steps: &Steps) -> Result<Matrix, Error> {
        let mut matrix = self.vector(arg, steps)?;
        if steps.count != 1 {
            return Ok(matrix);
        }
        let mut order: Vec<usize> = (0..matrix.len()).collect();
        let values = &matrix.values;
        order.sort_by(|left, right| {
            let (left, right) = (values[*left], values[*right]);
            let by_value = if falling { right.partial_cmp(&left) } else { left.partial_cmp(&right) };
            by_value.unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
        });
        matrix.reorder(&order);
        Ok(matrix)
    }
}

/// Where an argument stands, for annotations. Prometheus looks into parentheses, but not into those around what it evaluates
/// once for all steps.
fn place(args: &[Expr], index: usize) -> &Range<usize> {
    let arg = &args[index];
    let once = is_invariant(arg) && !args.iter().all(is_invariant);
    if once { &arg.span } else { &arg.bare().span }
}

fn is_named_as_counter(name: &str) -> bool {
    ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix))
}

/// The value of the only element at each step, else not a number.
fn only_value(matrix: &Matrix) -> Vec<f64> {
    let mut out = vec![ABSENT; matrix.steps];
    let mut counts = vec![0_usize; matrix.steps];
    for row in 0..matrix.len() {
        for (step, value) in matrix.row(row).iter().enumerate().filter(|(_, value)| is_present(**value)) {
            out[step] = *value;
            counts[step] += 1;
        }
    }
    out.iter().zip(counts).map(|(value, count)| if count == 1 { *value } else { f64::NAN }).collect()
}

fn without_labels(values: &[f64]) -> Matrix {
    let mut matrix = Matrix::new(values.len());
    matrix.push(Labelset::empty()).copy_from_slice(values);
    matrix
}

/// One where nothing is.
fn absent(matrix: &Matrix, labels: Labelset, steps: &Steps) -> Matrix {
    let mut out = Matrix::new(steps.count);
    let row = out.push(labels);
    row.fill(1.0);
    for series in 0..matrix.len() {
        for (value, there) in row.iter_mut().zip(matrix.row(series)) {
            if is_present(*there) {
                *value = ABSENT;
            }
        }
    }
    out.drop_if_empty();
    out
}

/// What a selector asks for exactly, and only once per label, describes what is absent.
fn absent_labels(expr: &Expr) -> Labelset {
    let matchers: &[Matcher] = match &expr.node {
        Node::Selector(Selector { matchers, .. })
        | Node::Range { selector: Selector { matchers, .. }, .. } => matchers,
        _ => &[],
    };
    // In order, as Prometheus does: a second condition on a label takes it away again.
    let mut kept: Vec<(&str, &str)> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|matcher| matcher.name != METRIC_NAME) {
        let name = matcher.name.as_str();
        kept.retain(|(other, _)| *other != name);
        if matcher.op == MatchOp::Equal && !seen.contains(&name) {
            kept.push((name, matcher.value.as_str()));
            seen.push(name);
        }
    }
    Labelset::from_pairs(kept)
}
