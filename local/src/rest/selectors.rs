//! Label and field selectors of lists, watches and collection deletes.

use flyball_apiserver::query::Query;
use flyball_apiserver::status::Status;
use flyball_model::selector::{FieldSelector, LabelSelector};
use serde_json::Value;

use crate::registry::kinds::Resource;
use crate::registry::{errors, json};

/// What a request selects.
pub(super) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    /// Reads both selectors. 400 for bad syntax or a field the kind cannot be selected by.
    pub(super) fn of(resource: &Resource, query: &Query) -> Result<Self, Status> {
        let labels = LabelSelector::parse(query.first("labelSelector").unwrap_or(""))
            .map_err(|error| errors::bad_request(error.to_string()))?;
        let fields = FieldSelector::parse(query.first("fieldSelector").unwrap_or(""))
            .map_err(|error| errors::bad_request(format!("invalid field selector: {error}")))?;
        let known = fields_of(resource);
        for requirement in &fields.0 {
            let path = requirement.path.as_str();
            if !matches!(path, "metadata.name" | "metadata.namespace") && !known.contains(&path) {
                return Err(errors::bad_request(format!("field label not supported: {path}")));
            }
        }
        Ok(Self { labels, fields })
    }

    /// Whether everything is selected.
    pub(super) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.0.is_empty()
    }

    /// Whether the object is selected.
    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        self.labels.matches(|name| labels.and_then(|labels| labels.get(name)).and_then(Value::as_str))
            && self.fields.0.iter().all(|requirement| {
                (field(object, &requirement.path) == requirement.value) != requirement.negated
            })
    }
}

/// Fields besides name and namespace, as upstream's conversion functions list them.
fn fields_of(resource: &Resource) -> &'static [&'static str] {
    match resource.kind {
        "Pod" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "Node" => &["spec.unschedulable"],
        "Namespace" => &["status.phase"],
        "Secret" => &["type"],
        "Service" => &["spec.clusterIP", "spec.type"],
        "ReplicaSet" => &["status.replicas"],
        "Event" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        _ => &[],
    }
}

/// The field as text; absent is empty, as in Go.
fn field(object: &Value, path: &str) -> String {
    let path = match path {
        "source" => "source.component".to_owned(),
        path => path.replace("regarding.", "involvedObject."),
    };
    let pointer = format!("/{}", path.replace('.', "/"));
    match object.pointer(&pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None if path.ends_with("hostNetwork") || path.ends_with("unschedulable") => {
            "false".to_owned()
        }
        Some(Value::Null) | None => json::text(object, &pointer).to_owned(),
        Some(value) => value.to_string(),
    }
}
