//! The way of one metric: rule, label, query, answer, what the autoscaler would see.

use std::fmt;
use std::sync::Arc;

use flyball_model::quantity::{Quantity, QuantityFormat};
use flyball_model::selector::LabelSelector;

use super::{SHOWN, missing_custom, missing_external, nearest, origin, some};
use crate::kinds::GroupResource;
use crate::rules::{
    Catalogue, CustomRequest, Grouped, NonFinite, QueryPlan, Rule, Sample, SeriesShape, external_values,
};

/// What is to be explained.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Name in the API.
    pub metric: &'a str,
    /// Of what.
    pub resource: &'a GroupResource,
    /// `None` for root objects.
    pub namespace: Option<&'a str>,
    /// Names of the objects.
    pub names: &'a [String],
    /// Conditions on the series.
    pub metric_selector: &'a LabelSelector,
}

/// What a rule does for a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleVerdict {
    /// These series get the metric's name.
    Gives(Vec<String>),
    /// This series would get the metric's name, but a condition keeps it out.
    Refused {
        /// Its name.
        series: String,
        /// The condition.
        filter: String,
    },
    /// The series get other names: those nearest to the metric's.
    OtherNames(Vec<String>),
    /// The backend has no series for the rule's selector.
    NoSeries,
}

impl fmt::Display for RuleVerdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleVerdict::Gives(series) => write!(out, "gives it from {}", series.join(", ")),
            RuleVerdict::Refused { series, filter } => {
                write!(out, "would give it from {series}, kept out by {filter}")
            }
            RuleVerdict::OtherNames(near) if near.is_empty() => out.write_str("gives other names"),
            RuleVerdict::OtherNames(near) => {
                write!(out, "gives other names, the nearest {}", near.join(", "))
            }
            RuleVerdict::NoSeries => out.write_str("matches no series of the backend"),
        }
    }
}

/// What a rule does for a metric, with the series that its selector finds.
pub fn verdict(rule: &Rule, shapes: &[SeriesShape], metric: &str) -> RuleVerdict {
    let mut names: Vec<&str> = shapes.iter().map(|shape| shape.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return RuleVerdict::NoSeries;
    }
    let giving: Vec<String> = names
        .iter()
        .filter(|name| rule.metric_name(name).as_deref() == Some(metric))
        .map(|name| (*name).into())
        .collect();
    if !giving.is_empty() {
        return RuleVerdict::Gives(giving);
    }
    let refused = names.iter().find_map(|name| {
        let filter = rule.refuses(name)?;
        let meant = *name == metric || rule.unfiltered_name(name).as_deref() == Some(metric);
        meant.then(|| RuleVerdict::Refused { series: (*name).into(), filter: filter.to_string() })
    });
    refused.unwrap_or_else(|| {
        let given: Vec<String> = names.iter().filter_map(|name| rule.metric_name(name)).collect();
        let near = nearest(metric, given.iter().map(String::as_str));
        RuleVerdict::OtherNames(near.into_iter().map(str::to_owned).collect())
    })
}

/// One step of an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Whether the way goes on after it.
    pub ok: bool,
    /// What it is about.
    pub title: String,
    /// What was found.
    pub lines: Vec<String>,
}

/// All steps, up to the first that fails.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// In order.
    pub steps: Vec<Step>,
}

/// What the backend answered: samples, or why there are none.
pub type Answered<'a> = Result<&'a [Sample], &'a str>;

impl Explanation {
    /// Whether the autoscaler would get a value.
    pub fn is_good(&self) -> bool {
        self.steps.iter().all(|step| step.ok)
    }

    pub(super) fn step(&mut self, ok: bool, title: &str, lines: Vec<String>) -> bool {
        self.steps.push(Step { ok, title: title.into(), lines });
        ok
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(out, "{} {}", if step.ok { "ok  " } else { "FAIL" }, step.title)?;
            for line in &step.lines {
                writeln!(out, "       {line}")?;
            }
        }
        Ok(())
    }
}

/// Lines about the rules, those that give the metric last.
fn rule_lines(rules: &[(Arc<Rule>, Vec<SeriesShape>)], metric: &str) -> Vec<String> {
    rules
        .iter()
        .map(|(rule, shapes)| {
            format!("{} ({}): {}", origin(rule), rule.series_query(), verdict(rule, shapes, metric))
        })
        .collect()
}

/// Explains a custom metric. `ask` asks the backend for the plan's query.
pub fn explain_custom<'a>(
    catalogue: &Catalogue,
    rules: &[(Arc<Rule>, Vec<SeriesShape>)],
    question: &Question<'_>,
    non_finite: NonFinite,
    ask: impl FnOnce(&QueryPlan) -> Answered<'a>,
) -> Explanation {
    let mut explanation = Explanation::default();
    let namespaced = question.namespace.is_some();
    let found = catalogue.find(question.resource, namespaced, question.metric);
    let mut lines = rule_lines(rules, question.metric);
    match &found {
        Some((source, _)) => lines.push(format!("{}: series {}", origin(&source.rule), source.series)),
        None => lines.push(missing_custom(catalogue, question.resource, namespaced, question.metric)),
    }
    let shadowed = format!("{}/{}", question.resource, question.metric);
    for twin in catalogue.shadowed().iter().filter(|twin| twin.metric == shadowed) {
        let ((lost, lost_line), (won, won_line)) = (&twin.lost, &twin.won);
        lines.push(format!(
            "series {lost} (line {lost_line}) gives it too, but {won} (line {won_line}) comes later"
        ));
    }
    if !explanation.step(found.is_some(), "a rule gives the metric", lines) {
        return explanation;
    }
    let objects = match question.names.len() {
        0 => format!("no {} to ask for", question.resource),
        count => format!("{count}: {}", some(question.names)),
    };
    if !explanation.step(!question.names.is_empty(), "there are objects", vec![objects]) {
        return explanation;
    }
    let request = CustomRequest {
        metric: question.metric,
        resource: question.resource,
        namespace: question.namespace,
        names: question.names,
        metric_selector: question.metric_selector,
    };
    let plan = match catalogue.plan_custom(&request) {
        Ok(plan) => plan,
        Err(error) => {
            explanation.step(false, "the request becomes a query", vec![error.to_string()]);
            return explanation;
        }
    };
    let mut lines = vec![
        format!("label {} names {}", plan.object_label, question.resource),
        format!("query: {}", plan.promql),
    ];
    match &plan.shared {
        Some(shared) => {
            let namespaces = match shared.namespace_label {
                Some(_) => ", for the namespaces that are in use",
                None => "",
            };
            lines.push(format!("asked once for many requests{namespaces}: {}", shared.promql));
        }
        None => {
            lines.push("asked for each request alone: the rule's query does not keep objects apart".into())
        }
    }
    explanation.step(true, "the request becomes a query", lines);
    let Some(samples) = answered(&mut explanation, ask(&plan)) else { return explanation };
    custom_values(&mut explanation, &plan, question, samples, non_finite);
    explanation
}

fn answered<'a>(explanation: &mut Explanation, answer: Answered<'a>) -> Option<&'a [Sample]> {
    let title = "the backend answers";
    match answer {
        Ok(samples) => {
            let ok = explanation.step(!samples.is_empty(), title, vec![format!("{} series", samples.len())]);
            ok.then_some(samples)
        }
        Err(reason) => {
            explanation.step(false, title, vec![reason.to_owned()]);
            None
        }
    }
}

fn custom_values(
    explanation: &mut Explanation,
    plan: &QueryPlan,
    question: &Question<'_>,
    samples: &[Sample],
    non_finite: NonFinite,
) {
    let title = "objects have values";
    let values = match Grouped::of(samples, &plan.object_label, None).values(None, question.names, non_finite)
    {
        Ok(values) => values,
        Err(error) => {
            explanation.step(false, title, vec![error.to_string()]);
            return;
        }
    };
    let mut lines: Vec<String> = values
        .items
        .iter()
        .take(SHOWN)
        .map(|item| format!("{}: {}", item.name, quantity(item.milli)))
        .collect();
    if values.items.len() > SHOWN {
        lines.push(format!("and {} more", values.items.len() - SHOWN));
    }
    if !values.without_sample.is_empty() {
        lines.push(format!("without a sample: {}", some(&values.without_sample)));
    }
    lines.extend(values.left_out.iter().take(SHOWN).map(ToString::to_string));
    if !explanation.step(!values.items.is_empty(), title, lines) {
        return;
    }
    let sum: i128 = values.items.iter().map(|item| i128::from(item.milli)).sum();
    let count = values.items.len();
    let average = i64::try_from(sum / count as i128).unwrap_or(i64::MAX);
    let line = match (question.names.len(), values.items.first()) {
        (1, Some(item)) => format!("one value: {}", quantity(item.milli)),
        (all, _) => format!(
            "as a Pods metric: the average {} of {count} of {all}{}",
            quantity(average),
            if count < all { "; the others count as missing, which holds scaling back" } else { "" }
        ),
    };
    explanation.step(true, "what the autoscaler sees", vec![line]);
}

/// Explains an external metric. `ask` asks the backend for the query.
pub fn explain_external<'a>(
    catalogue: &Catalogue,
    rules: &[(Arc<Rule>, Vec<SeriesShape>)],
    metric: &str,
    namespace: &str,
    selector: &LabelSelector,
    non_finite: NonFinite,
    ask: impl FnOnce(&str) -> Answered<'a>,
) -> Explanation {
    let mut explanation = Explanation::default();
    let mut lines = rule_lines(rules, metric);
    let known = catalogue.external_metrics().any(|have| have == metric);
    if !known {
        lines.push(missing_external(catalogue, metric, &[]));
    }
    if !explanation.step(known, "a rule gives the metric", lines) {
        return explanation;
    }
    let plan = match catalogue.plan_external(metric, namespace, selector) {
        Ok(plan) => plan,
        Err(error) => {
            explanation.step(false, "the request becomes a query", vec![error.to_string()]);
            return explanation;
        }
    };
    explanation.step(true, "the request becomes a query", vec![format!("query: {}", plan.promql)]);
    let Some(samples) = answered(&mut explanation, ask(&plan.promql)) else { return explanation };
    let values = external_values(samples, non_finite);
    let mut lines: Vec<String> = values
        .items
        .iter()
        .take(SHOWN)
        .map(|item| {
            let labels: Vec<String> =
                item.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            format!("{{{}}}: {}", labels.join(","), quantity(item.milli))
        })
        .collect();
    lines.extend(values.left_out.iter().take(SHOWN).map(ToString::to_string));
    if !explanation.step(!values.items.is_empty(), "the answer has values", lines) {
        return explanation;
    }
    let sum: i128 = values.items.iter().map(|item| i128::from(item.milli)).sum();
    let sum = quantity(i64::try_from(sum).unwrap_or(i64::MAX));
    let line = format!("the sum of {} values: {sum}", values.items.len());
    explanation.step(true, "what the autoscaler sees", vec![line]);
    explanation
}

pub(super) fn quantity(milli: i64) -> String {
    Quantity::from_milli(milli, QuantityFormat::DecimalSi).to_string()
}
