//! What a query of `resourceRules` matches now.

use std::collections::BTreeSet;
use std::fmt;

use flyball_tsdb::promql;

use crate::rules::{Sample, UsageProbe};

/// One of the queries, asked for all objects of all namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageCheck {
    /// Line of the rule.
    pub line: u64,
    /// `cpu.containerQuery`
    pub field: String,
    /// The query, or why there is none.
    pub query: Result<String, String>,
    /// What the backend answers: how many series, of how many objects; or why it does not.
    pub matches: Result<(usize, usize), String>,
}

impl UsageCheck {
    /// By what the backend answered; it is asked for a query that is one.
    pub fn of(probe: &UsageProbe, answer: Result<&[Sample], String>) -> UsageCheck {
        let query = probe.query.clone().and_then(|query| match promql::parse(&query) {
            Ok(_) => Ok(query),
            Err(error) => Err(format!("{query}: {error}")),
        });
        let matches = answer.map(|samples| {
            let objects: BTreeSet<&str> =
                samples.iter().filter_map(|sample| sample.labels.get(&probe.object_label)).collect();
            (samples.len(), objects.len())
        });
        UsageCheck { line: probe.line, field: probe.field.clone(), query, matches }
    }

    /// Whether it is a query.
    pub fn is_query(&self) -> bool {
        self.query.is_ok()
    }
}

impl fmt::Display for UsageCheck {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "line {}: resourceRules.{}", self.line, self.field)?;
        let query = match &self.query {
            Ok(query) => query,
            Err(reason) => return writeln!(out, "  not a query: {reason}"),
        };
        writeln!(out, "  {query}")?;
        match &self.matches {
            Ok((0, _)) => writeln!(out, "  the backend has no series for it"),
            Ok((series, 0)) => {
                writeln!(out, "  {series} series, none with the label that names the object")
            }
            Ok((series, objects)) => writeln!(out, "  {series} series of {objects} objects"),
            Err(reason) => writeln!(out, "  cannot be asked: {reason}"),
        }
    }
}
