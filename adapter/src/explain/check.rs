//! What one rule matches now.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use flyball_tsdb::promql;

use super::{Listed, some};
use crate::kinds::Kinds;
use crate::rules::{Catalogue, LabelMeaning, Rule, SeriesShape};

/// Series that a condition keeps out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedBy {
    /// The condition, as `isNot: ^container_.*`.
    pub filter: String,
    /// Names of series, sorted.
    pub series: Vec<String>,
}

/// What a rule matches now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCheck {
    /// Line of the file.
    pub line: u64,
    /// Selector of the series.
    pub series_query: String,
    /// Names of series that the selector finds.
    pub found: usize,
    /// What conditions on the name keep out.
    pub refused: Vec<RefusedBy>,
    /// Series without a label that names an object (of a custom rule).
    pub without_objects: Vec<String>,
    /// Labels that have the form of the template, but no resource.
    pub unknown_labels: Vec<String>,
    /// Series whose name in the API would be empty.
    pub unnamed: Vec<String>,
    /// The metrics.
    pub metrics: Vec<Listed>,
    /// Queries that are no PromQL, each with what is wrong.
    pub bad_queries: Vec<String>,
}

/// Checks a rule against the series that its selector finds.
pub fn check(rule: &Arc<Rule>, shapes: &[SeriesShape], external: bool, kinds: &Arc<Kinds>) -> RuleCheck {
    let mut refused: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut without_objects = Vec::new();
    let mut unknown_labels = Vec::new();
    let mut unnamed = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for shape in shapes {
        names.push(&shape.name);
        if let Some(filter) = rule.refuses(&shape.name) {
            refused.entry(filter.to_string()).or_default().push(shape.name.clone());
            continue;
        }
        if rule.metric_name(&shape.name).is_some_and(|metric| metric.is_empty()) {
            unnamed.push(shape.name.clone());
        }
        if external {
            continue;
        }
        if rule.resources(&shape.labels).0.is_empty() {
            without_objects.push(shape.name.clone());
        }
        for label in &shape.labels {
            if let LabelMeaning::UnknownResource(resource) = rule.meaning(label) {
                unknown_labels.push(format!("{label} ({resource})"));
            }
        }
    }
    let pairs = [(rule.clone(), shapes.to_vec())];
    let catalogue =
        if external { Catalogue::of(&[], &pairs, kinds) } else { Catalogue::of(&pairs, &[], kinds) };
    let metrics = super::list(&catalogue);
    let mut bad_queries: Vec<String> = metrics.iter().filter_map(bad_query).collect();
    for list in [&mut unnamed, &mut without_objects, &mut unknown_labels, &mut bad_queries] {
        list.sort_unstable();
        list.dedup();
    }
    names.sort_unstable();
    names.dedup();
    RuleCheck {
        line: rule.line(),
        series_query: rule.series_query().to_owned(),
        found: names.len(),
        refused: refused
            .into_iter()
            .map(|(filter, series)| RefusedBy { filter, series: sorted(series) })
            .collect(),
        without_objects,
        unknown_labels,
        unnamed,
        metrics,
        bad_queries,
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names.dedup();
    names
}

fn bad_query(listed: &Listed) -> Option<String> {
    match &listed.query {
        Err(reason) => Some(format!("{}: {reason}", listed.metric)),
        Ok(text) => promql::parse(text).err().map(|error| format!("{}: {text}: {error}", listed.metric)),
    }
}

impl RuleCheck {
    /// Whether the rule gives at least one metric, and nothing is wrong with its queries.
    pub fn is_good(&self) -> bool {
        !self.metrics.is_empty() && self.bad_queries.is_empty()
    }
}

impl fmt::Display for RuleCheck {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "line {}: {}", self.line, self.series_query)?;
        match self.found {
            0 => writeln!(out, "  the backend has no series for this selector")?,
            1 => writeln!(out, "  1 name of series")?,
            found => writeln!(out, "  {found} names of series")?,
        }
        for refused in &self.refused {
            writeln!(out, "  kept out by {}: {}", refused.filter, some(&refused.series))?;
        }
        if !self.without_objects.is_empty() {
            let series = some(&self.without_objects);
            writeln!(out, "  without a label that names an object, so without a metric: {series}")?;
        }
        if !self.unknown_labels.is_empty() {
            let labels = some(&self.unknown_labels);
            writeln!(out, "  labels of the template's form that name no resource of the cluster: {labels}")?;
        }
        if !self.unnamed.is_empty() {
            let series = some(&self.unnamed);
            writeln!(
                out,
                "  name.as makes an empty name (a group followed by a word is ${{1}}_word): {series}"
            )?;
        }
        for bad in &self.bad_queries {
            writeln!(out, "  not a query: {bad}")?;
        }
        for listed in &self.metrics {
            let resource = listed.resource.as_ref().map_or("external".to_owned(), ToString::to_string);
            writeln!(out, "  {} of {resource}", listed.metric)?;
            if let Ok(query) = &listed.query {
                writeln!(out, "    {query}")?;
            }
        }
        Ok(())
    }
}
