//! Which metrics exist, for which resources.

use std::collections::BTreeSet;
use std::sync::Arc;

use flyball_model::selector::LabelSelector;

use super::compiled::Rule;
use super::plan::{CustomRequest, ExternalPlan, PlanError, QueryPlan};
use crate::kinds::{GroupResource, Kinds};

/// What is known of the series of one name: the label names, for it is by them that objects are found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesShape {
    /// Name of the metric.
    pub name: String,
    /// Names of labels, without `__name__`.
    pub labels: BTreeSet<String>,
}

/// One metric of discovery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomMetric {
    /// Of what.
    pub resource: GroupResource,
    /// Whether asked for in a namespace.
    pub namespaced: bool,
    /// Name in the API.
    pub metric: String,
}

/// What exists in one source.
#[derive(Debug, Clone)]
pub struct Catalogue {}

impl Catalogue {
    /// From rules and the series that the backend has for each (in the order of the rules; later ones win, as upstream).
    pub fn of(
        _custom: &[(Arc<Rule>, Vec<SeriesShape>)],
        _external: &[(Arc<Rule>, Vec<SeriesShape>)],
        _kinds: &Arc<Kinds>,
    ) -> Catalogue {
        unimplemented!()
    }

    /// For discovery, sorted.
    pub fn custom_metrics(&self) -> impl Iterator<Item = &CustomMetric> {
        std::iter::empty()
    }

    /// For discovery, sorted.
    pub fn external_metrics(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// The query for a request.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn plan_custom(&self, _request: &CustomRequest<'_>) -> Result<QueryPlan, PlanError> {
        unimplemented!()
    }

    /// The query for an external metric.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn plan_external(
        &self,
        _metric: &str,
        _namespace: &str,
        _selector: &LabelSelector,
    ) -> Result<ExternalPlan, PlanError> {
        unimplemented!()
    }
}
