//! The query of a get or list: upstream's checks, in upstream's order. Pure.
//!
//! `limit`, `continue` and `resourceVersion` are ignored, as upstream ignores them.

use std::collections::BTreeMap;

use flyball_apiserver::{Query, Status};
use flyball_model::field_error::FieldError;
use flyball_model::selector::{FieldSelector, LabelSelector};

/// Which objects a list wants.
#[derive(Debug)]
pub(crate) struct ListOptions {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl ListOptions {
    /// Reads the query of a list of `resource`.
    pub(crate) fn of(query: &Query, resource: &str) -> Result<ListOptions, Status> {
        check_number(query, "timeoutSeconds")?;
        check_number(query, "limit")?;
        let bad = |error: flyball_model::selector::SelectorError| Status::bad_request(error.to_string());
        let labels = LabelSelector::parse(query.first("labelSelector").unwrap_or("")).map_err(bad)?;
        let fields = FieldSelector::parse(query.first("fieldSelector").unwrap_or("")).map_err(bad)?;
        check_fields(&fields)?;
        check_combinations(query)?;
        if query.flag("watch") {
            return Err(Status::verb_not_supported(crate::GROUP, resource, "watch"));
        }
        Ok(ListOptions { labels, fields })
    }

    /// Whether an object is wanted; a node's namespace is empty.
    pub(crate) fn wants(&self, namespace: &str, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.wants_name(namespace, name) && self.wants_labels(labels)
    }

    /// The half of [`ListOptions::wants`] that fields decide.
    pub(crate) fn wants_name(&self, namespace: &str, name: &str) -> bool {
        self.fields.matches(|path: &str| match path {
            "metadata.name" => Some(name),
            "metadata.namespace" => Some(namespace),
            _ => None,
        })
    }

    /// The half of it that labels decide.
    pub(crate) fn wants_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.is_empty() || self.labels.matches_map(labels)
    }
}

/// The query of a single get.
pub(crate) fn check_get(query: &Query) -> Result<(), Status> {
    if query.flag("export") {
        return Err(Status::bad_request(
            "the export parameter, deprecated since v1.14, is no longer supported",
        ));
    }
    Ok(())
}

fn check_number(query: &Query, name: &str) -> Result<(), Status> {
    match query.first(name) {
        Some(text) if !text.is_empty() && text.parse::<i64>().is_err() => {
            Err(Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))
        }
        _ => Ok(()),
    }
}

fn check_fields(fields: &FieldSelector) -> Result<(), Status> {
    let known = |path: &str| matches!(path, "metadata.name" | "metadata.namespace");
    match fields.0.iter().find(|requirement| !known(&requirement.path)) {
        None => Ok(()),
        Some(requirement) => Err(Status::bad_request(format!(
            "{:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
            requirement.path
        ))),
    }
}

fn check_combinations(query: &Query) -> Result<(), Status> {
    let given = |name: &str| query.first(name).is_some_and(|value| !value.is_empty());
    let mut faults = Vec::new();
    if given("sendInitialEvents") {
        let detail = if query.flag("watch") {
            "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
        } else {
            "sendInitialEvents is forbidden for list"
        };
        faults.push(FieldError::forbidden("sendInitialEvents", detail));
    }
    if given("resourceVersionMatch") && !given("resourceVersion") {
        let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        faults.push(FieldError::forbidden("resourceVersionMatch", detail));
    }
    if faults.is_empty() { Ok(()) } else { Err(Status::invalid("meta.k8s.io", "ListOptions", "", &faults)) }
}
