//! external.metrics.k8s.io: values without objects, from rules, from a calendar, or from another server.

use std::sync::Arc;

use flyball_apiserver::{Response, Status};
use flyball_model::selector::LabelSelector;

use super::order::Order;
use super::route::WantedExternal;
use super::{EXTERNAL, Form, bodies, errors, fields};
use crate::backends::Answer;
use crate::explain;
use crate::rules::{PlanError, Sample, external_values};
use crate::server::Adapter;
use crate::sources::{Group, Queried, Source, SourceError};
use crate::state::State;

pub(super) async fn answer(
    adapter: &Arc<Adapter>,
    form: &Form,
    wanted: WantedExternal,
) -> Result<Response, Status> {
    let text = form.query.first("labelSelector").unwrap_or("");
    let selector =
        LabelSelector::parse(text).map_err(|error| errors::bad_selector("labelSelector", &error))?;
    // Of objects; a value has none that could be chosen by.
    fields(&form.query)?;
    let now_ms = (adapter.clock)();
    let state = adapter.state();
    if let Some(values) = state.schedules.values(&wanted.metric, &wanted.namespace, &selector, now_ms) {
        return form.object(&bodies::scheduled(&wanted.metric, values, now_ms));
    }
    let order = Order {
        state: &state,
        form,
        group: Group::External,
        metric: &wanted.metric,
        listed_as: &wanted.metric,
        path: &wanted.path,
        is_possible: true,
    };
    let found = order.first(|source| of_source(adapter, form, source, &wanted, &selector));
    if let Some(response) = found.await? {
        return Ok(response);
    }
    // Upstream says of what only in the one namespace that is called default.
    let of = if wanted.namespace == "default" { "namespaces" } else { "" };
    Err(errors::no_metric(&wanted.metric, of, &missing(&state, &wanted.metric)))
}

/// Why there is no such metric, by the first source that could have it.
fn missing(state: &State, metric: &str) -> String {
    let first = state.sources.iter().find_map(|source| match source {
        Source::Queried(source) if source.may_have(metric) => Some(source),
        _ => None,
    });
    let Some(source) = first else { return String::new() };
    explain::missing_external(&source.listing().catalogue, metric, &state.schedules.metrics())
}

/// The answer of one source; `None` when it has no such metric.
async fn of_source(
    adapter: &Adapter,
    form: &Form,
    source: &Queried,
    wanted: &WantedExternal,
    selector: &LabelSelector,
) -> Result<Option<Response>, Status> {
    let plan = match source.plan_external(&wanted.metric, &wanted.namespace, selector) {
        Ok(plan) => plan,
        Err(PlanError::UnknownMetric { .. }) => return Ok(None),
        Err(error) => return Err(errors::of_source(&SourceError::Plan(error))),
    };
    let answer = source.answer(&plan.promql).await.map_err(|error| errors::unable_to_fetch(&error))?;
    let number;
    let (samples, scalar) = match &*answer {
        Answer::Vector { samples, .. } => (samples.as_slice(), false),
        Answer::Scalar { value, timestamp_ms } => {
            number = [Sample { labels: Arc::default(), timestamp_ms: *timestamp_ms, value: *value }];
            (number.as_slice(), true)
        }
    };
    let values = external_values(samples, source.non_finite());
    if let Some(first) = values.items.first() {
        adapter.metrics.served(EXTERNAL, (adapter.clock)(), first.timestamp_ms);
    }
    form.object(&bodies::external(&wanted.metric, &values.items, scalar)).map(Some)
}
