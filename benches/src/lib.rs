//! The figures of Flyball, each beside its promise and its floor or peer of the same run.
//!
//! A [`Figure`] is one measured number. The binaries under `src/bin/` take them; `scoreboard` takes all that this
//! machine can, prints them as a table and, last, as one line of JSON. What cannot be measured here is a row that says
//! why, never a missing row.

pub mod active;
pub mod adapter;
pub mod allocations;
pub mod autoscaler;
pub mod bodies;
pub mod cadvisor;
pub mod churn;
pub mod counting;
pub mod decision;
pub mod idle;
pub mod kubelets;
pub mod memory;
pub mod metrics_api;
pub mod node_metrics;
pub mod peers;
pub mod process;
pub mod reaction;
pub mod scrapes;
pub mod served;
pub mod server;
pub mod simulation;
pub mod sweep;
pub mod tsdb_bodies;
pub mod tsdb_load;

use serde::Serialize;

/// One measured number, or why it could not be measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Row of the design's table of promises, such as `1` or `2b`.
    pub row: &'static str,
    /// What was measured, in words.
    pub what: String,
    /// The value with its unit, or `None` when it was not measured.
    pub value: Option<Measured>,
    /// What is promised, in words; empty when nothing is.
    pub promise: &'static str,
    /// The floor or the peer of the same run, or why there is no value.
    pub beside: String,
}

/// A number and its unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// The number.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
}

impl Figure {
    /// A figure with a value.
    #[must_use]
    pub fn new(row: &'static str, what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            row,
            what: what.into(),
            value: Some(Measured { value, unit }),
            promise: "",
            beside: String::new(),
        }
    }

    /// A figure that this machine cannot take, and why.
    #[must_use]
    pub fn skipped(row: &'static str, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { row, what: what.into(), value: None, promise: "", beside: why.into() }
    }

    /// Adds the promise.
    #[must_use]
    pub fn promise(mut self, promise: &'static str) -> Self {
        self.promise = promise;
        self
    }

    /// Adds the floor or the peer.
    #[must_use]
    pub fn beside(mut self, beside: impl Into<String>) -> Self {
        self.beside = beside.into();
        self
    }
}

/// The figures as a Markdown table.
#[must_use]
pub fn table(figures: &[Figure]) -> String {
    let mut text = String::from("| row | what | measured | promised | beside |\n|---|---|---|---|---|\n");
    for figure in figures {
        let value = figure
            .value
            .as_ref()
            .map_or_else(|| "not measured".to_owned(), |m| format!("{} {}", significant(m.value), m.unit));
        text.push_str(&format!(
            "| {} | {} | {value} | {} | {} |\n",
            figure.row, figure.what, figure.promise, figure.beside
        ));
    }
    text
}

/// Three significant digits, without an exponent.
#[must_use]
pub fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    #[allow(clippy::cast_possible_truncation, reason = "the exponent of a finite f64 is below 400")]
    let exponent = value.abs().log10().floor() as i32;
    let decimals = usize::try_from(2 - exponent).unwrap_or(0);
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_kept() {
        let shown: Vec<_> =
            [0.0, 0.012345, 1.0, 9.876, 123.4, 98765.0].into_iter().map(significant).collect();
        assert_eq!(shown, ["0", "0.0123", "1.00", "9.88", "123", "98765"]);
    }

    #[test]
    fn a_row_without_a_value_says_why() {
        let text = table(&[Figure::skipped("1", "sweep", "no control groups")]);
        assert!(text.contains("| 1 | sweep | not measured |  | no control groups |"), "{text}");
    }
}
