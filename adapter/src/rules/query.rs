//! `metricsQuery`: from conditions to a query.

use std::collections::BTreeMap;

use flyball_model::selector::{LabelSelector, Operator, Requirement};
use flyball_tsdb::promql;
use flyball_tsdb::promql::ast::{Expr, Node, Selector};
use flyball_tsdb::promql::print::{is_plain, label_name, quote};
use flyball_tsdb::series::METRIC_NAME;

use super::plan::PlanError;
use crate::template::{Template, Value};

/// Fields of a template that makes a query.
pub(super) const FIELDS: [&str; 5] =
    ["Series", "LabelMatchers", "LabelValuesByName", "GroupBy", "GroupBySlice"];

/// Stands for a name that a template cannot write, because it needs quotes.
const PLACEHOLDER: &str = "flyball_quoted_series_name";

/// Conditions of one query, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions {
    expressions: Vec<String>,
    values: BTreeMap<String, String>,
}

impl Conditions {
    /// Of a metric selector: one condition for each requirement, as upstream's table has it.
    pub fn of(selector: &LabelSelector) -> Result<Conditions, PlanError> {
        let mut conditions = Conditions::default();
        for requirement in selector.requirements() {
            let (operator, value) = condition(requirement)?;
            conditions.push(requirement.key(), operator, &value, &value);
        }
        Ok(conditions)
    }

    /// `label="value"`
    pub fn equal(&mut self, label: &str, value: &str) {
        self.push(label, "=", value, value);
    }

    /// One of these values: `label="a"`, `label=~"a|b"`.
    pub fn one_of(&mut self, label: &str, values: &[String]) {
        match values {
            [one] => self.equal(label, one),
            several => {
                // Upstream does not escape; the values here are names of objects, so the dot of one is a dot.
                let escaped: Vec<String> = several.iter().map(|value| escape(value)).collect();
                self.push(label, "=~", &escaped.join("|"), &several.join("|"));
            }
        }
    }

    /// `label=~".+"`
    pub fn any(&mut self, label: &str) {
        self.push(label, "=~", ANY, ANY);
    }

    fn push(&mut self, label: &str, operator: &str, value: &str, by_name: &str) {
        self.expressions.push(format!("{}{operator}{}", label_name(label), quote(value)));
        self.values.insert(label.to_owned(), by_name.to_owned());
    }
}

/// Every value but none.
pub(super) const ANY: &str = ".+";

/// A name as an expression that matches it alone.
pub(super) fn escape(name: &str) -> String {
    let special = |c: char| "\\.+*?()|[]{}^$".contains(c);
    name.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// Operator and value of a condition. A single value of `in` is passed as an expression, as upstream does on purpose.
fn condition(requirement: &Requirement) -> Result<(&'static str, String), PlanError> {
    let mut values: Vec<&str> = requirement.values().iter().map(String::as_str).collect();
    values.sort_unstable();
    values.dedup();
    let joined = values.join("|");
    let several = values.len() > 1;
    Ok(match requirement.operator() {
        Operator::Equals | Operator::DoubleEquals if !several => ("=", joined),
        Operator::NotEquals if !several => ("!=", joined),
        Operator::Equals | Operator::DoubleEquals | Operator::In => ("=~", joined),
        Operator::NotEquals | Operator::NotIn => ("!~", joined),
        Operator::Exists => ("!=", String::new()),
        Operator::DoesNotExist => ("=", String::new()),
        Operator::GreaterThan | Operator::LessThan => {
            return Err(PlanError::Selector {
                selector: requirement.to_string(),
                reason: "PromQL cannot compare a label's value as a number".into(),
            });
        }
    })
}

/// The text of a query for a series.
pub(super) fn render(
    template: &Template,
    series: &str,
    conditions: &Conditions,
    group_by: &[&str],
    quantile: Option<f64>,
) -> Result<String, String> {
    let plain = is_plain(series, true);
    let group_by: Vec<String> = group_by.iter().map(|label| label_name(label)).collect();
    let mut fields = vec![
        ("Series", Value::text(if plain { series } else { PLACEHOLDER })),
        ("LabelMatchers", Value::text(conditions.expressions.join(","))),
        ("LabelValuesByName", Value::Map(conditions.values.clone())),
        ("GroupBy", Value::text(group_by.join(","))),
        ("GroupBySlice", Value::list(group_by.iter().map(String::as_str))),
    ];
    fields.extend(quantile.map(|quantile| ("Quantile", Value::Float(quantile))));
    let text = template.render(&Value::Struct(fields)).map_err(|error| error.to_string())?;
    if text.is_empty() {
        return Err("metricsQuery makes an empty query".into());
    }
    if plain || !text.contains(PLACEHOLDER) { Ok(text) } else { with_quoted_name(&text, series) }
}

/// The query with the placeholder replaced by the name, in the form `{"the name"}`.
fn with_quoted_name(text: &str, series: &str) -> Result<String, String> {
    let mut expr = promql::parse(text).map_err(|error| {
        format!("the name {series:?} needs quotes, and the query cannot be read: {error}")
    })?;
    rename(&mut expr, series);
    let renamed = expr.to_string();
    if renamed.contains(PLACEHOLDER) {
        return Err(format!("the name {series:?} needs quotes, and <<.Series>> stands where quotes cannot"));
    }
    Ok(renamed)
}

fn rename(expr: &mut Expr, series: &str) {
    selectors(expr, &mut |selector| {
        if selector.name.as_deref() == Some(PLACEHOLDER) {
            selector.name = None;
        }
        for matcher in &mut selector.matchers {
            if matcher.name == METRIC_NAME && matcher.value == PLACEHOLDER {
                series.clone_into(&mut matcher.value);
            }
        }
    });
}

/// Every selector of a query, to be changed.
pub(super) fn selectors(expr: &mut Expr, change: &mut dyn FnMut(&mut Selector)) {
    match &mut expr.node {
        Node::Selector(selector) | Node::Range { selector, .. } => change(selector),
        Node::Number(_) | Node::Text(_) => {}
        Node::Subquery { expr, .. } | Node::Negate(expr) | Node::Paren(expr) => selectors(expr, change),
        Node::Call { args, .. } => args.iter_mut().for_each(|arg| selectors(arg, change)),
        Node::Aggregate { param, expr, .. } => {
            if let Some(param) = param {
                selectors(param, change);
            }
            selectors(expr, change);
        }
        Node::Binary { left, right, .. } => {
            selectors(left, change);
            selectors(right, change);
        }
    }
}
