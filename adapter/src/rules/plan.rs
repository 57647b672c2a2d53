//! A request becomes a query.

use std::sync::Arc;

use flyball_model::selector::LabelSelector;
use thiserror::Error;

use super::compiled::Rule;
use crate::kinds::GroupResource;

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

/// One query for many requests: its answer, cut down to an object's labels, is what the exact query answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// The query.
    pub promql: String,
    /// The label that names the namespace, when the query covers all of them.
    pub namespace_label: Option<String>,
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
    /// The rule gives no label for a resource, or its template no query.
    #[error("rule of line {line}: {reason}")]
    Rule {
        /// Its line.
        line: u64,
        /// Why.
        reason: String,
    },
}
