//! custom.metrics.k8s.io: values of objects.

use std::sync::{Arc, Mutex, PoisonError};

use flyball_apiserver::{Query, Response, Status};
use flyball_model::selector::{FieldSelector, LabelSelector};

use super::bodies::{self, Described};
use super::order::Order;
use super::route::WantedCustom;
use super::{CUSTOM, Form, errors, fields};
use crate::explain;
use crate::kinds::Kind;
use crate::rules::{CustomRequest, PlanError, QueryPlan, Values};
use crate::server::Adapter;
use crate::sources::{Group, Queried, SourceError};

/// What the query of a request says.
struct Selectors {
    objects: LabelSelector,
    metrics: LabelSelector,
}

impl Selectors {
    fn of(query: &Query, wanted: &WantedCustom) -> Result<Selectors, Status> {
        let selector = |name: &str| {
            let text = query.first(name).unwrap_or("");
            LabelSelector::parse(text).map_err(|error| errors::bad_selector(name, &error))
        };
        check_fields(query, wanted.name.as_deref().unwrap_or("*"))?;
        Ok(Selectors { objects: selector("labelSelector")?, metrics: selector("metricLabelSelector")? })
    }
}

/// The only condition on fields that upstream takes is the name that the path has anyway.
fn check_fields(query: &Query, name: &str) -> Result<(), Status> {
    let FieldSelector(terms) = fields(query)?;
    match terms.as_slice() {
        [] => Ok(()),
        [term] if term.path == "metadata.name" && !term.negated && term.value == name => Ok(()),
        _ => Err(Status::bad_request("fieldSelector metadata.name doesn't match requested name")),
    }
}

pub(super) async fn answer(
    adapter: &Arc<Adapter>,
    form: &Form,
    wanted: WantedCustom,
) -> Result<Response, Status> {
    let selectors = Selectors::of(&form.query, &wanted)?;
    let resource = wanted.resource.to_string();
    let kind = adapter.cluster.kind(&wanted.resource);
    let (state, why) = (adapter.state(), Mutex::new(String::new()));
    let listed_as = match &kind {
        Some(kind) => format!("{}/{}", kind.group_resource(), wanted.metric),
        None => format!("{resource}/{}", wanted.metric),
    };
    let order = Order {
        state: &state,
        form,
        group: Group::Custom,
        metric: &wanted.metric,
        listed_as: &listed_as,
        path: &wanted.path,
        is_possible: kind.is_some(),
    };
    let found = order.first(|source| {
        let (wanted, selectors, kind, why) = (&wanted, &selectors, &kind, &why);
        async move {
            let Some(kind) = kind else { return Ok(None) };
            let asked = Asked { adapter, source, wanted, kind, selectors };
            Ok(asked.answer(form).await?.map_err(|reason| keep_first(why, reason)).ok())
        }
    });
    if let Some(response) = found.await? {
        return Ok(response);
    }
    let why = match kind {
        Some(_) => why.into_inner().unwrap_or_else(PoisonError::into_inner),
        None => format!("the cluster has no resource {resource}"),
    };
    Err(errors::no_metric(&wanted.metric, &resource, &why))
}

/// Of the reasons of several sources the first is told.
fn keep_first(kept: &Mutex<String>, reason: String) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.is_empty() {
        *kept = reason;
    }
}

/// A request at one source.
struct Asked<'a> {
    adapter: &'a Arc<Adapter>,
    source: &'a Queried,
    wanted: &'a WantedCustom,
    kind: &'a Kind,
    selectors: &'a Selectors,
}

impl Asked<'_> {
    /// The answer; the inner error says why the source has no such metric, so that the next one may be asked.
    async fn answer(&self, form: &Form) -> Result<Result<Response, String>, Status> {
        let names = match self.names().await? {
            Ok(names) => names,
            Err(reason) => return Ok(Err(reason)),
        };
        let wanted = self.wanted;
        let request = CustomRequest {
            metric: &wanted.metric,
            resource: &wanted.resource,
            namespace: wanted.namespace.as_deref(),
            names: &names,
            metric_selector: &self.selectors.metrics,
        };
        let plan = match self.source.plan_custom(&request) {
            Ok(plan) => plan,
            Err(PlanError::UnknownMetric { .. }) => return Ok(Err(self.missing())),
            Err(error) => return Err(errors::of_source(&SourceError::Plan(error))),
        };
        let values = self.source.values(&plan, wanted.namespace.as_deref(), &names).await;
        let values = values.map_err(|error| errors::of_source(&error))?;
        if let (Some(name), true) = (&wanted.name, values.items.is_empty()) {
            let why = values.left_out.first().map_or_else(
                || format!("the query has no sample of it now ({})", plan.promql),
                ToString::to_string,
            );
            return Err(errors::no_metric_of(&wanted.metric, &wanted.resource.to_string(), name, &why));
        }
        self.write(form, &plan, &values).map(Ok)
    }

    /// Names of the objects that are asked for.
    async fn names(&self) -> Result<Result<Arc<Vec<String>>, String>, Status> {
        let wanted = self.wanted;
        if let Some(name) = &wanted.name {
            return Ok(Ok(Arc::new(vec![name.clone()])));
        }
        // Nobody is asked for the objects of a metric that does not exist.
        let namespaced = wanted.namespace.is_some();
        if !self.source.has_custom(&wanted.resource, namespaced, &wanted.metric) {
            return Ok(Err(self.missing()));
        }
        let names =
            self.adapter.cluster.names(self.kind, wanted.namespace.as_deref(), &self.selectors.objects).await;
        let names =
            names.map_err(|error| Status::internal(format!("unable to list matching resources: {error}")))?;
        match names.is_empty() {
            false => Ok(Ok(names)),
            true => {
                let place = match &wanted.namespace {
                    Some(namespace) => format!("in namespace {namespace}"),
                    None => "in the cluster".to_owned(),
                };
                let why = match self.selectors.objects.is_empty() {
                    true => format!("there are no {} {place}", wanted.resource),
                    false => format!(
                        "there are no {} {place} with labels {}",
                        wanted.resource, self.selectors.objects
                    ),
                };
                Err(errors::no_metric(&wanted.metric, &wanted.resource.to_string(), &why))
            }
        }
    }

    fn missing(&self) -> String {
        let (wanted, listing) = (self.wanted, self.source.listing());
        let namespaced = wanted.namespace.is_some();
        explain::missing_custom(&listing.catalogue, &wanted.resource, namespaced, &wanted.metric)
    }

    fn write(&self, form: &Form, plan: &QueryPlan, values: &Values) -> Result<Response, Status> {
        let now_ms = (self.adapter.clock)();
        if let Some(first) = values.items.first() {
            self.adapter.metrics.served(CUSTOM, now_ms, first.timestamp_ms);
        }
        let described = Described {
            version: self.wanted.version,
            kind: self.kind,
            namespace: self.wanted.namespace.as_deref(),
            metric: &self.wanted.metric,
            selector: &self.selectors.metrics,
            window_seconds: window_seconds(plan, self.source),
        };
        form.object(&bodies::values(&described, &values.items))
    }
}

/// The range that a value was computed over. Upstream never says; where nobody has written a rule there is no upstream to
/// agree with, and all rates have the same range.
fn window_seconds(plan: &QueryPlan, source: &Queried) -> Option<i64> {
    let is_ours = plan.rule.line() == 0 && plan.promql.contains("rate(");
    let window_ms = source.rate_window_ms().filter(|_| is_ours)?;
    i64::try_from(window_ms / 1000).ok()
}
