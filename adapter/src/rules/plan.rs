//! A request becomes a query.

use std::sync::Arc;

use flyball_model::selector::{LabelSelector, Operator};
use thiserror::Error;

use super::catalogue::{Quantile, Source};
use super::compiled::Rule;
use super::query::{self, Conditions};
use super::shared::{self, Findings};
use crate::kinds::GroupResource;

/// Key of a metric selector that chooses the quantile of a histogram.
pub const QUANTILE_KEY: &str = "quantile";

/// What somebody asks for.
#[derive(Debug, Clone, Copy)]
pub struct CustomRequest<'a> {
    /// Name in the API.
    pub metric: &'a str,
    /// Of what.
    pub resource: &'a GroupResource,
    /// In which namespace; `None` for root objects (namespaces among them).
    pub namespace: Option<&'a str>,
    /// Names of the objects; at least one.
    pub names: &'a [String],
    /// Conditions on the series.
    pub metric_selector: &'a LabelSelector,
}

/// Which query answers a request, and how to read the answer.
#[derive(Debug, Clone)]
pub struct QueryPlan {
    /// From which rule.
    pub rule: Arc<Rule>,
    /// Name of the series.
    pub series: String,
    /// Exactly for the request.
    pub promql: String,
    /// Label of the answer that names the object.
    pub object_label: String,
    /// A query whose answer serves requests for other objects too, when the rule's query allows it; the widest one.
    pub shared: Option<Shared>,
}

/// One query for many requests: its answer, cut down to an object's labels, is what the exact query answers. Its failure says
/// nothing of the exact query: it reads more, and a join that is ambiguous for one object fails it for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// The query.
    pub promql: String,
    /// The label that names the namespace, when the query covers all of them.
    pub namespace_label: Option<String>,
}

impl Shared {
    /// The same query for these namespaces alone; `None` for a query that is of one namespace, or of none.
    pub fn in_namespaces<'a>(&self, names: impl Iterator<Item = &'a str>) -> Option<String> {
        shared::confined_to(&self.promql, self.namespace_label.as_deref()?, names)
    }
}

/// Which query answers a request for an external metric: every element of its answer is one value.
#[derive(Debug, Clone)]
pub struct ExternalPlan {
    /// From which rule.
    pub rule: Arc<Rule>,
    /// Name of the series.
    pub series: String,
    /// The query.
    pub promql: String,
}

/// Why there is no query.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// No rule makes such a metric of such a resource: 404.
    #[error("no rule gives metric {metric:?} of {resource}")]
    UnknownMetric {
        /// The name.
        metric: String,
        /// Of what.
        resource: String,
    },
    /// No object was named: 404, as upstream.
    #[error("no objects to ask for")]
    NoObjects,
    /// The selector cannot be said in PromQL.
    #[error("metric selector {selector:?}: {reason}")]
    Selector {
        /// The condition.
        selector: String,
        /// Why.
        reason: String,
    },
    /// A histogram was asked for without a quantile.
    #[error(
        "{metric} is a histogram: choose a quantile by the name ({metric}_p99) or by the metric selector (quantile=0.99)"
    )]
    QuantileNeeded {
        /// The name.
        metric: String,
    },
    /// The rule gives no label for a resource, or its template no query.
    #[error("rule of line {line}: {reason}")]
    Rule {
        /// Its line.
        line: u64,
        /// Why.
        reason: String,
    },
}

pub(super) fn custom(
    source: &Source,
    quantile: Option<Quantile>,
    request: &CustomRequest<'_>,
) -> Result<QueryPlan, PlanError> {
    let rule = &source.rule;
    let fault = |reason: String| PlanError::Rule { line: rule.line(), reason };
    if request.names.is_empty() {
        return Err(PlanError::NoObjects);
    }
    let (quantile, selector) = match quantile {
        None => (None, request.metric_selector.clone()),
        Some(Quantile::Fixed(quantile)) => (Some(quantile), request.metric_selector.clone()),
        Some(Quantile::Asked) => {
            let (quantile, rest) = asked_quantile(request)?;
            (Some(quantile), rest)
        }
    };
    let conditions = Conditions::of(&selector)?;
    let label = |resource: &GroupResource| rule.labels.label_for(resource, &source.labels).map_err(fault);
    let object_label = label(request.resource)?;
    let namespace = match request.namespace {
        Some(namespace) => Some((label(&GroupResource::new("", "namespaces"))?, namespace)),
        None => None,
    };
    let render = |conditions: &Conditions, group_by: &[&str]| {
        query::render(&rule.query, &source.series, conditions, group_by, quantile)
    };
    let mut exact = conditions.clone();
    if let Some((label, namespace)) = &namespace {
        exact.equal(label, namespace);
    }
    exact.one_of(&object_label, request.names);
    let promql = render(&exact, &[&object_label]).map_err(fault)?;
    let shared = widest(&rule.findings, &conditions, &promql, namespace.as_ref(), &object_label, render);
    Ok(QueryPlan { rule: rule.clone(), series: source.series.clone(), promql, object_label, shared })
}

/// The query for all objects of all namespaces, or for all objects of the namespace, when it answers for each.
fn widest(
    findings: &Findings,
    conditions: &Conditions,
    exact: &str,
    namespace: Option<&(String, &str)>,
    object_label: &str,
    render: impl Fn(&Conditions, &[&str]) -> Result<String, String>,
) -> Option<Shared> {
    if let Some((label, _)) = namespace.filter(|(label, _)| label != object_label) {
        let mut wide = conditions.clone();
        wide.any(label);
        wide.any(object_label);
        let labels = [object_label, label];
        let answers_each =
            |promql: &String| findings.keeps_apart(promql, &labels) && findings.is_even(exact, label);
        if let Some(promql) = render(&wide, &labels).ok().filter(answers_each) {
            return Some(Shared { promql, namespace_label: Some(label.clone()) });
        }
    }
    let mut wide = conditions.clone();
    if let Some((label, namespace)) = namespace {
        wide.equal(label, namespace);
    }
    wide.any(object_label);
    let promql = render(&wide, &[object_label]).ok()?;
    findings.keeps_apart(&promql, &[object_label]).then_some(Shared { promql, namespace_label: None })
}

/// The quantile that a metric selector asks for, and the selector without it.
fn asked_quantile(request: &CustomRequest<'_>) -> Result<(f64, LabelSelector), PlanError> {
    let (asked, rest): (Vec<_>, Vec<_>) =
        request.metric_selector.requirements().iter().cloned().partition(|r| r.key() == QUANTILE_KEY);
    let [requirement] = asked.as_slice() else {
        return Err(PlanError::QuantileNeeded { metric: request.metric.to_owned() });
    };
    let equals = matches!(requirement.operator(), Operator::Equals | Operator::DoubleEquals | Operator::In);
    let quantile = match requirement.values() {
        [value] if equals => value.parse::<f64>().ok().filter(|quantile| (0.0..=1.0).contains(quantile)),
        _ => None,
    };
    let quantile = quantile.ok_or_else(|| PlanError::Selector {
        selector: requirement.to_string(),
        reason: "a quantile is one number from 0 to 1, as in quantile=0.99".into(),
    })?;
    Ok((quantile, LabelSelector::of(rest)))
}

pub(super) fn external(
    source: &Source,
    namespace: &str,
    selector: &LabelSelector,
) -> Result<ExternalPlan, PlanError> {
    let rule = &source.rule;
    let fault = |reason: String| PlanError::Rule { line: rule.line(), reason };
    let mut conditions = Conditions::of(selector)?;
    if rule.namespaced && !namespace.is_empty() {
        let namespaces = GroupResource::new("", "namespaces");
        let label = rule.labels.label_for(&namespaces, &source.labels).map_err(fault)?;
        conditions.equal(&label, namespace);
    }
    let promql = query::render(&rule.query, &source.series, &conditions, &[], None).map_err(fault)?;
    Ok(ExternalPlan { rule: rule.clone(), series: source.series.clone(), promql })
}
