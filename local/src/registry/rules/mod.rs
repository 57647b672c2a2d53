//! What upstream's API server does to each kind on its way in: fill defaults, set the first status, refuse what is wrong.
//!
//! Pure functions over JSON. Validation covers what a user of these kinds meets; a field this program never looks at is
//! kept as it is.

mod autoscaling;
mod meta;
mod pod_defaults;
mod pod_update;
mod pod_validation;
pub(crate) mod quantities;
mod service;
mod simple;
mod workload;

use flyball_model::field_error::FieldError;
use serde_json::{Map, Value};

use super::json;
use super::kinds::Resource;

/// What a kind's rules report.
pub(crate) type Faults = Vec<FieldError>;

/// Sets what only the server decides about a new object: its first status.
pub(crate) fn prepare_create(resource: &Resource, object: &mut Value) {
    let map = json::object(object);
    match resource.kind {
        // A kubelet registers its node together with the node's status.
        "Node" => {}
        "Pod" => pod_defaults::first_status(map),
        "Namespace" => simple::first_namespace_status(map),
        "Service" => drop(map.insert("status".into(), serde_json::json!({"loadBalancer": {}}))),
        "Deployment" => drop(map.insert("status".into(), Value::Object(Map::new()))),
        "ReplicaSet" => drop(map.insert("status".into(), serde_json::json!({"replicas": 0}))),
        "HorizontalPodAutoscaler" => autoscaling::first_status(map),
        "APIService" => drop(map.insert("status".into(), Value::Object(Map::new()))),
        _ => {}
    }
}

/// Fills what the user left out, exactly as upstream does; running it twice changes nothing more.
pub(crate) fn set_defaults(resource: &Resource, object: &mut Value) {
    quantities::canonical(resource, object);
    let map = json::object(object);
    match resource.kind {
        "Pod" => pod_defaults::pod(map),
        "Deployment" => workload::deployment_defaults(map),
        "ReplicaSet" => workload::replicaset_defaults(map),
        "Service" => service::defaults(map),
        "HorizontalPodAutoscaler" => autoscaling::defaults(object),
        _ => simple::defaults(resource, map),
    }
}

/// What is wrong with a new object.
pub(crate) fn validate_create(resource: &Resource, object: &Value) -> Faults {
    let mut faults = meta::validate(resource, object);
    match resource.kind {
        "Pod" => pod_validation::pod(object, &mut faults),
        "Deployment" => workload::validate_deployment(object, &mut faults),
        "ReplicaSet" => workload::validate_replicaset(object, &mut faults),
        "Service" => service::validate(object, &mut faults),
        "HorizontalPodAutoscaler" => autoscaling::validate_create(object, &mut faults),
        _ => simple::validate(resource, object, &mut faults),
    }
    faults
}

/// What is wrong with a changed object, or with the change.
pub(crate) fn validate_update(resource: &Resource, new: &Value, old: &Value) -> Faults {
    let mut faults = meta::validate(resource, new);
    meta::no_new_finalizers(new, old, &mut faults);
    match resource.kind {
        "Pod" => pod_update::validate(new, old, &mut faults),
        "Deployment" => {
            workload::validate_deployment(new, &mut faults);
            workload::selector_unchanged(new, old, &mut faults);
        }
        "ReplicaSet" => {
            workload::validate_replicaset(new, &mut faults);
            workload::selector_unchanged(new, old, &mut faults);
        }
        "Service" => service::validate(new, &mut faults),
        "HorizontalPodAutoscaler" => autoscaling::validate_update(new, old, &mut faults),
        _ => {
            simple::validate(resource, new, &mut faults);
            simple::validate_update(resource, new, old, &mut faults);
        }
    }
    faults
}

/// What is wrong with a new status.
pub(crate) fn validate_status(resource: &Resource, new: &Value, old: &Value) -> Faults {
    let mut faults = Faults::new();
    if resource.kind == "HorizontalPodAutoscaler" {
        autoscaling::validate_status(new, old, &mut faults);
    }
    faults
}

/// `spec` of an object, empty when absent.
fn spec(object: &Value) -> &Value {
    object.get("spec").unwrap_or(&Value::Null)
}

/// Requires a value and, when it is there, that it is one of a closed set.
fn one_of(value: &str, path: &str, supported: &[&str], faults: &mut Faults) {
    if value.is_empty() {
        faults.push(FieldError::required(path, ""));
    } else if !supported.contains(&value) {
        faults.push(FieldError::not_supported(path, value, supported));
    }
}

/// Turns the messages of a name rule into faults of one field.
fn each(messages: Vec<String>, path: &str, value: &str, faults: &mut Faults) {
    faults.extend(messages.into_iter().map(|message| FieldError::invalid(path, value, message)));
}

/// A number that must not be negative.
fn not_negative(value: Option<i64>, path: &str, faults: &mut Faults) {
    if let Some(value) = value.filter(|value| *value < 0) {
        faults.push(FieldError::invalid(path, value, "must be greater than or equal to 0"));
    }
}

/// A port number.
fn port(value: Option<i64>, path: &str, faults: &mut Faults) {
    match value {
        None => faults.push(FieldError::required(path, "")),
        Some(1..=65535) => {}
        Some(value) => {
            faults.push(FieldError::invalid(path, value, "must be between 1 and 65535, inclusive"))
        }
    }
}
