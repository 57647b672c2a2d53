//! Why a metric is there or is not, in words.
//!
//! * [`missing_custom`] and [`missing_external`]: the sentence of a 404;
//! * [`list`]: what exists, of which objects, from which query;
//! * [`check`] and [`UsageCheck`]: what one rule matches now;
//! * [`Explanation`]: the way of one metric, step by step, from rule to what the autoscaler would see.
//!
//! All of it is worded here and nowhere else, from the same values that requests are answered with.

mod check;
mod elsewhere;
mod nearest;
mod path;
mod usage;

pub use check::{RefusedBy, RuleCheck, check};
pub use elsewhere::{explain_proxied, explain_scheduled};
pub use nearest::{missing_custom, missing_external, nearest};
pub use path::{
    Answered, Explanation, Question, RuleVerdict, Step, explain_custom, explain_external, verdict,
};
pub use usage::UsageCheck;

use flyball_model::selector::LabelSelector;

use crate::kinds::GroupResource;
use crate::rules::{Catalogue, CustomRequest, PlanError, Rule};

/// One line of the list of metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Name in the API.
    pub metric: String,
    /// Of what; `None` for an external metric.
    pub resource: Option<GroupResource>,
    /// Whether it is asked for in a namespace.
    pub namespaced: bool,
    /// Name of the series.
    pub series: String,
    /// `line 12` of the file, or `automatic`.
    pub rule: String,
    /// The query, with `NAMESPACE` and `NAME` where a request's names stand; or why there is none.
    pub query: Result<String, String>,
}

/// Where a rule comes from, for people.
pub fn origin(rule: &Rule) -> String {
    match rule.line() {
        0 => "automatic".into(),
        line => format!("line {line}"),
    }
}

/// Everything that exists: custom metrics first, then external ones, each sorted.
pub fn list(catalogue: &Catalogue) -> Vec<Listed> {
    let everything = LabelSelector::everything();
    let names = ["NAME".to_owned()];
    let custom = catalogue.custom_sources().map(|(metric, source)| {
        let namespace = metric.namespaced.then_some("NAMESPACE");
        let metric_name = metric.metric.as_str();
        let (resource, metric_selector) = (&metric.resource, &everything);
        let request =
            CustomRequest { metric: metric_name, resource, namespace, names: &names, metric_selector };
        Listed {
            metric: metric.metric.clone(),
            resource: Some(metric.resource.clone()),
            namespaced: metric.namespaced,
            series: source.series.clone(),
            rule: origin(&source.rule),
            query: promql(catalogue.plan_custom(&request).map(|plan| plan.promql)),
        }
    });
    let external = catalogue.external_sources().map(|(metric, source)| Listed {
        metric: metric.to_owned(),
        resource: None,
        namespaced: true,
        series: source.series.clone(),
        rule: origin(&source.rule),
        query: promql(catalogue.plan_external(metric, "NAMESPACE", &everything).map(|plan| plan.promql)),
    });
    custom.chain(external).collect()
}

/// Most names that are printed of one kind.
const SHOWN: usize = 10;

/// The first names of a list, and how many more there are.
fn some(names: &[String]) -> String {
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn promql(plan: Result<String, PlanError>) -> Result<String, String> {
    plan.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
