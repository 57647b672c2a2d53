//! Rules for `metadata`: names, labels, annotations, finalizers, owners.

use flyball_model::field_error::FieldError;
use flyball_model::names;
use serde_json::Value;

use super::{Faults, each};
use crate::registry::json;
use crate::registry::kinds::Resource;

/// Keys and values of all annotations together; upstream's limit.
const MAX_ANNOTATION_BYTES: usize = 256 * 1024;

pub(super) fn validate(resource: &Resource, object: &Value) -> Faults {
    let mut faults = Faults::new();
    let name = json::name(object);
    each(name_rule(resource)(name), "metadata.name", name, &mut faults);
    labels(object.pointer("/metadata/labels"), "metadata.labels", &mut faults);
    annotations(object, &mut faults);
    for (index, finalizer) in json::items(object, "/metadata/finalizers").iter().enumerate() {
        let finalizer = finalizer.as_str().unwrap_or("");
        each(names::label_key(finalizer), &format!("metadata.finalizers[{index}]"), finalizer, &mut faults);
    }
    for (index, owner) in json::items(object, "/metadata/ownerReferences").iter().enumerate() {
        for member in ["apiVersion", "kind", "name", "uid"] {
            if json::text(owner, &format!("/{member}")).is_empty() {
                let path = format!("metadata.ownerReferences[{index}].{member}");
                faults.push(FieldError::required(path, "must not be empty"));
            }
        }
    }
    faults
}

/// An object on its way out waits for those it already waits for, and for nobody else.
pub(super) fn no_new_finalizers(new: &Value, old: &Value, faults: &mut Faults) {
    if old.pointer("/metadata/deletionTimestamp").is_none() {
        return;
    }
    let before = json::items(old, "/metadata/finalizers");
    let added = json::items(new, "/metadata/finalizers").iter().filter(|name| !before.contains(name));
    let added: Vec<String> = added.map(Value::to_string).collect();
    if !added.is_empty() {
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            added.join(", ")
        );
        faults.push(FieldError::forbidden("metadata.finalizers", detail));
    }
}

fn name_rule(resource: &Resource) -> fn(&str) -> Vec<String> {
    match resource.kind {
        "Namespace" => names::dns1123_label,
        "Service" => dns1035_label,
        // Event names carry the involved object's name, whatever kind that is.
        "Event" => |name| if name.is_empty() { vec![String::new()] } else { names::path_segment(name) },
        _ => names::dns1123_subdomain,
    }
}

/// A label of the older DNS rule: it must begin with a letter.
fn dns1035_label(text: &str) -> Vec<String> {
    let fits = names::dns1123_label(text).is_empty() && text.starts_with(|c: char| c.is_ascii_lowercase());
    if fits {
        return Vec::new();
    }
    if text.len() > names::DNS1123_LABEL_MAX {
        return vec![format!("must be no more than {} characters", names::DNS1123_LABEL_MAX)];
    }
    vec![
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
         character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation \
         is '[a-z]([-a-z0-9]*[a-z0-9])?')"
            .to_owned(),
    ]
}

/// Rules of a label map, wherever it stands.
pub(super) fn labels(map: Option<&Value>, path: &str, faults: &mut Faults) {
    for (key, value) in map.and_then(Value::as_object).into_iter().flatten() {
        each(names::label_key(key), path, key, faults);
        let value = value.as_str().unwrap_or("");
        each(names::label_value(value), path, value, faults);
    }
}

fn annotations(object: &Value, faults: &mut Faults) {
    let map = object.pointer("/metadata/annotations").and_then(Value::as_object);
    let mut bytes = 0;
    for (key, value) in map.into_iter().flatten() {
        each(names::label_key(&key.to_lowercase()), "metadata.annotations", key, faults);
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > MAX_ANNOTATION_BYTES {
        faults.push(FieldError::too_long("metadata.annotations", MAX_ANNOTATION_BYTES));
    }
}
