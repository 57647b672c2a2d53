//! The kinds with few rules: Namespace, Node, ConfigMap, Secret, EndpointSlice, Lease, Event, APIService.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyball_model::field_error::FieldError;
use serde_json::{Map, Value, json};

use super::{Faults, one_of, spec};
use crate::registry::json::{self, child, default, default_text, int, items, maps, text};
use crate::registry::kinds::Resource;

/// Bytes of a ConfigMap's or Secret's values together; upstream's limit.
const MAX_DATA_BYTES: usize = 1024 * 1024;

pub(super) fn first_namespace_status(object: &mut Map<String, Value>) {
    child(object, "spec").insert("finalizers".into(), json!(["kubernetes"]));
    object.insert("status".into(), json!({"phase": "Active"}));
}

pub(super) fn defaults(resource: &Resource, object: &mut Map<String, Value>) {
    match resource.kind {
        "Namespace" => {
            let metadata = child(object, "metadata");
            let name = metadata.get("name").cloned().unwrap_or(Value::Null);
            child(metadata, "labels").insert("kubernetes.io/metadata.name".into(), name);
        }
        "Secret" => secret_defaults(object),
        "EndpointSlice" => {
            for port in maps(object, "ports") {
                default(port, "name", "");
                default_text(port, "protocol", "TCP");
            }
        }
        "APIService" => {
            if let Some(service) = child(object, "spec").get_mut("service").and_then(Value::as_object_mut) {
                default(service, "port", 443);
            }
        }
        "Node" => node_defaults(object),
        _ => {}
    }
}

/// What a node has is what it can give, unless it says otherwise.
fn node_defaults(object: &mut Map<String, Value>) {
    let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) else { return };
    if let Some(capacity) = status.get("capacity").cloned() {
        default(status, "allocatable", capacity);
    }
}

/// `stringData` is a way to write `data`; it is never stored.
fn secret_defaults(object: &mut Map<String, Value>) {
    default_text(object, "type", "Opaque");
    let Some(Value::Object(texts)) = object.remove("stringData") else { return };
    let data = child(object, "data");
    for (key, text) in texts {
        data.insert(key, STANDARD.encode(text.as_str().unwrap_or("")).into());
    }
}

pub(super) fn validate(resource: &Resource, object: &Value, faults: &mut Faults) {
    match resource.kind {
        "ConfigMap" | "Secret" => data(object, faults),
        "EndpointSlice" => {
            one_of(text(object, "/addressType"), "addressType", &["FQDN", "IPv4", "IPv6"], faults);
            for (index, endpoint) in items(object, "/endpoints").iter().enumerate() {
                if items(endpoint, "/addresses").is_empty() {
                    faults.push(FieldError::required(
                        format!("endpoints[{index}].addresses"),
                        "must contain at least 1 address",
                    ));
                }
            }
        }
        "Lease" => {
            let seconds = int(object, "/spec/leaseDurationSeconds");
            if let Some(seconds) = seconds.filter(|seconds| *seconds <= 0) {
                let path = "spec.leaseDurationSeconds";
                faults.push(FieldError::invalid(path, seconds, "must be greater than 0"));
            }
        }
        "Event" => event(object, faults),
        "APIService" => api_service(object, faults),
        _ => {}
    }
}

fn data(object: &Value, faults: &mut Faults) {
    let mut bytes = 0;
    for member in ["data", "binaryData"] {
        for (key, value) in object.get(member).and_then(Value::as_object).into_iter().flatten() {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            if key.is_empty() || key.len() > 253 || key == "." || key == ".." || !key.bytes().all(fits) {
                let detail = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. \
                              'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is \
                              '[-._a-zA-Z0-9]+')";
                faults.push(FieldError::invalid(format!("{member}[{key}]"), key.as_str(), detail));
            }
            bytes += value.as_str().map_or(0, str::len);
        }
    }
    if bytes > MAX_DATA_BYTES {
        faults.push(FieldError::too_long("data", MAX_DATA_BYTES));
    }
}

fn event(object: &Value, faults: &mut Faults) {
    let involved = text(object, "/involvedObject/namespace");
    let namespace = json::namespace(object);
    if !involved.is_empty() && involved != namespace {
        let path = "involvedObject.namespace";
        faults.push(FieldError::invalid(path, involved, "does not match event.namespace"));
    }
}

fn api_service(object: &Value, faults: &mut Faults) {
    let spec = spec(object);
    let (group, version) = (text(spec, "/group"), text(spec, "/version"));
    let expected = format!("{version}.{group}");
    if json::name(object) != expected {
        let detail = format!("must be `spec.version+\".\"+spec.group`: \"{expected}\"");
        faults.push(FieldError::invalid("metadata.name", json::name(object), detail));
    }
    if version.is_empty() {
        faults.push(FieldError::required("spec.version", ""));
    }
    for (member, most) in [("groupPriorityMinimum", 20000), ("versionPriority", 1000)] {
        let value = int(spec, &format!("/{member}")).unwrap_or(0);
        if !(1..=most).contains(&value) {
            let detail = format!("must be positive and less than {most}");
            faults.push(FieldError::invalid(format!("spec.{member}"), value, detail));
        }
    }
    let Some(service) = spec.get("service") else { return };
    for member in ["namespace", "name"] {
        if text(service, &format!("/{member}")).is_empty() {
            faults.push(FieldError::required(format!("spec.service.{member}"), ""));
        }
    }
    let insecure = spec.get("insecureSkipTLSVerify").and_then(Value::as_bool).unwrap_or(false);
    let bundle = text(spec, "/caBundle");
    if insecure && !bundle.is_empty() {
        let detail = "may not be true if caBundle is present";
        faults.push(FieldError::invalid("spec.insecureSkipTLSVerify", insecure, detail));
    }
}

pub(super) fn validate_update(resource: &Resource, new: &Value, old: &Value, faults: &mut Faults) {
    let frozen = old.get("immutable").and_then(Value::as_bool).unwrap_or(false);
    if matches!(resource.kind, "ConfigMap" | "Secret") && frozen {
        for member in ["data", "binaryData", "immutable"] {
            if new.get(member) != old.get(member) {
                let detail = "field is immutable when `immutable` is set";
                faults.push(FieldError::forbidden(member, detail));
            }
        }
    }
    let kept: &[&str] = match resource.kind {
        "Secret" => &["type"],
        "EndpointSlice" => &["addressType"],
        _ => &[],
    };
    for member in kept {
        if new.get(member) != old.get(member) {
            let value = new.get(member).cloned().unwrap_or(Value::Null);
            faults.push(FieldError::invalid(*member, value, "field is immutable"));
        }
    }
}
