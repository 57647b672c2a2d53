//! The functions of PromQL: names, arguments, results.

use super::ast::Type::{self, Matrix, Scalar, Text, Vector};

/// How many arguments a function takes beyond those it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Exactly as many as are listed.
    Fixed,
    /// The last may be left out.
    LastOptional,
    /// The last may be left out or repeated.
    LastRepeated,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Types of its arguments.
    pub args: &'static [Type],
    /// Whether the last may be missing or repeated.
    pub arity: Arity,
    /// What it yields.
    pub returns: Type,
    /// Behind a switch in Prometheus, because it may still change.
    pub experimental: bool,
}

/// The function of a name.
pub fn find(name: &str) -> Option<&'static Function> {
    let index = FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok()?;
    Some(&FUNCTIONS[index])
}

const fn function(name: &'static str, args: &'static [Type], arity: Arity, returns: Type) -> Function {
    Function { name, args, arity, returns, experimental: false }
}

const fn experimental(name: &'static str, args: &'static [Type], arity: Arity, returns: Type) -> Function {
    Function { name, args, arity, returns, experimental: true }
}

/// All functions, by name.
pub static FUNCTIONS: &[Function] = &[
    function("abs", &[Vector], Arity::Fixed, Vector),
    function("absent", &[Vector], Arity::Fixed, Vector),
    function("absent_over_time", &[Matrix], Arity::Fixed, Vector),
    function("acos", &[Vector], Arity::Fixed, Vector),
    function("acosh", &[Vector], Arity::Fixed, Vector),
    function("asin", &[Vector], Arity::Fixed, Vector),
    function("asinh", &[Vector], Arity::Fixed, Vector),
    function("atan", &[Vector], Arity::Fixed, Vector),
    function("atanh", &[Vector], Arity::Fixed, Vector),
    function("avg_over_time", &[Matrix], Arity::Fixed, Vector),
    function("ceil", &[Vector], Arity::Fixed, Vector),
    function("changes", &[Matrix], Arity::Fixed, Vector),
    function("clamp", &[Vector, Scalar, Scalar], Arity::Fixed, Vector),
    function("clamp_max", &[Vector, Scalar], Arity::Fixed, Vector),
    function("clamp_min", &[Vector, Scalar], Arity::Fixed, Vector),
    function("cos", &[Vector], Arity::Fixed, Vector),
    function("cosh", &[Vector], Arity::Fixed, Vector),
    function("count_over_time", &[Matrix], Arity::Fixed, Vector),
    function("day_of_month", &[Vector], Arity::LastOptional, Vector),
    function("day_of_week", &[Vector], Arity::LastOptional, Vector),
    function("day_of_year", &[Vector], Arity::LastOptional, Vector),
    function("days_in_month", &[Vector], Arity::LastOptional, Vector),
    function("deg", &[Vector], Arity::Fixed, Vector),
    function("delta", &[Matrix], Arity::Fixed, Vector),
    function("deriv", &[Matrix], Arity::Fixed, Vector),
    experimental("double_exponential_smoothing", &[Matrix, Scalar, Scalar], Arity::Fixed, Vector),
    function("exp", &[Vector], Arity::Fixed, Vector),
    function("first_over_time", &[Matrix], Arity::Fixed, Vector),
    function("floor", &[Vector], Arity::Fixed, Vector),
    function("histogram_avg", &[Vector], Arity::Fixed, Vector),
    function("histogram_count", &[Vector], Arity::Fixed, Vector),
    function("histogram_fraction", &[Scalar, Scalar, Vector], Arity::Fixed, Vector),
    function("histogram_quantile", &[Scalar, Vector], Arity::Fixed, Vector),
    function("histogram_stddev", &[Vector], Arity::Fixed, Vector),
    function("histogram_stdvar", &[Vector], Arity::Fixed, Vector),
    function("histogram_sum", &[Vector], Arity::Fixed, Vector),
    function("hour", &[Vector], Arity::LastOptional, Vector),
    function("idelta", &[Matrix], Arity::Fixed, Vector),
    function("increase", &[Matrix], Arity::Fixed, Vector),
    function("irate", &[Matrix], Arity::Fixed, Vector),
    function("label_join", &[Vector, Text, Text, Text], Arity::LastRepeated, Vector),
    function("label_replace", &[Vector, Text, Text, Text, Text], Arity::Fixed, Vector),
    function("last_over_time", &[Matrix], Arity::Fixed, Vector),
    function("ln", &[Vector], Arity::Fixed, Vector),
    function("log10", &[Vector], Arity::Fixed, Vector),
    function("log2", &[Vector], Arity::Fixed, Vector),
    experimental("mad_over_time", &[Matrix], Arity::Fixed, Vector),
    function("max_over_time", &[Matrix], Arity::Fixed, Vector),
    function("min_over_time", &[Matrix], Arity::Fixed, Vector),
    function("minute", &[Vector], Arity::LastOptional, Vector),
    function("month", &[Vector], Arity::LastOptional, Vector),
    function("pi", &[], Arity::Fixed, Scalar),
    function("predict_linear", &[Matrix, Scalar], Arity::Fixed, Vector),
    function("present_over_time", &[Matrix], Arity::Fixed, Vector),
    function("quantile_over_time", &[Scalar, Matrix], Arity::Fixed, Vector),
    function("rad", &[Vector], Arity::Fixed, Vector),
    function("rate", &[Matrix], Arity::Fixed, Vector),
    function("resets", &[Matrix], Arity::Fixed, Vector),
    function("round", &[Vector, Scalar], Arity::LastOptional, Vector),
    function("scalar", &[Vector], Arity::Fixed, Scalar),
    function("sgn", &[Vector], Arity::Fixed, Vector),
    function("sin", &[Vector], Arity::Fixed, Vector),
    function("sinh", &[Vector], Arity::Fixed, Vector),
    function("sort", &[Vector], Arity::Fixed, Vector),
    experimental("sort_by_label", &[Vector, Text], Arity::LastRepeated, Vector),
    experimental("sort_by_label_desc", &[Vector, Text], Arity::LastRepeated, Vector),
    function("sort_desc", &[Vector], Arity::Fixed, Vector),
    function("sqrt", &[Vector], Arity::Fixed, Vector),
    function("stddev_over_time", &[Matrix], Arity::Fixed, Vector),
    function("stdvar_over_time", &[Matrix], Arity::Fixed, Vector),
    function("sum_over_time", &[Matrix], Arity::Fixed, Vector),
    function("tan", &[Vector], Arity::Fixed, Vector),
    function("tanh", &[Vector], Arity::Fixed, Vector),
    function("time", &[], Arity::Fixed, Scalar),
    function("timestamp", &[Vector], Arity::Fixed, Vector),
    experimental("ts_of_first_over_time", &[Matrix], Arity::Fixed, Vector),
    experimental("ts_of_last_over_time", &[Matrix], Arity::Fixed, Vector),
    experimental("ts_of_max_over_time", &[Matrix], Arity::Fixed, Vector),
    experimental("ts_of_min_over_time", &[Matrix], Arity::Fixed, Vector),
    function("vector", &[Scalar], Arity::Fixed, Vector),
    function("year", &[Vector], Arity::LastOptional, Vector),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_so_that_they_are_found() {
        assert!(FUNCTIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert_eq!(find("rate").map(|function| function.args), Some(&[Matrix][..]));
        assert_eq!(find("RATE"), None);
    }
}
