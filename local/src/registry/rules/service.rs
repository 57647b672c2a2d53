//! Services.

use std::collections::HashSet;

use flyball_model::field_error::FieldError;
use serde_json::{Map, Value, json};

use super::pod_validation::port_name;
use super::{Faults, each, meta, one_of, port, spec};
use crate::registry::json::{child, default, default_text, int, items, maps, text};

pub(super) fn defaults(object: &mut Map<String, Value>) {
    let spec = child(object, "spec");
    default_text(spec, "type", "ClusterIP");
    default_text(spec, "sessionAffinity", "None");
    for port in maps(spec, "ports") {
        default_text(port, "protocol", "TCP");
        let number = port.get("port").cloned().unwrap_or(Value::Null);
        if matches!(port.get("targetPort"), None | Some(Value::Null)) && number.is_number() {
            port.insert("targetPort".into(), number);
        }
    }
    if spec["type"] != "ExternalName" {
        default_text(spec, "internalTrafficPolicy", "Cluster");
        default_text(spec, "ipFamilyPolicy", "SingleStack");
        default(spec, "ipFamilies", json!(["IPv4"]));
    }
    if matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer")) {
        default_text(spec, "externalTrafficPolicy", "Cluster");
    }
}

pub(super) fn validate(object: &Value, faults: &mut Faults) {
    let spec = spec(object);
    let kind = text(spec, "/type");
    one_of(kind, "spec.type", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], faults);
    one_of(text(spec, "/sessionAffinity"), "spec.sessionAffinity", &["ClientIP", "None"], faults);
    meta::labels(spec.get("selector"), "spec.selector", faults);
    let ports = items(spec, "/ports");
    let headless = text(spec, "/clusterIP") == "None";
    if ports.is_empty() && !headless && kind != "ExternalName" {
        faults.push(FieldError::required("spec.ports", ""));
    }
    if kind == "ExternalName" && text(spec, "/externalName").is_empty() {
        faults.push(FieldError::required("spec.externalName", ""));
    }
    let mut names = HashSet::new();
    let mut numbers = HashSet::new();
    for (index, value) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        validate_port(value, &path, ports.len() > 1, faults);
        let name = text(value, "/name");
        if !name.is_empty() && !names.insert(name) {
            faults.push(FieldError::duplicate(format!("{path}.name"), name));
        }
        if !numbers.insert((int(value, "/port"), text(value, "/protocol"))) {
            faults.push(FieldError::duplicate(path, value.clone()));
        }
    }
}

fn validate_port(value: &Value, path: &str, needs_name: bool, faults: &mut Faults) {
    let name = text(value, "/name");
    if name.is_empty() && needs_name {
        faults.push(FieldError::required(format!("{path}.name"), ""));
    } else if !name.is_empty() {
        each(flyball_model::names::dns1123_label(name), &format!("{path}.name"), name, faults);
    }
    port(int(value, "/port"), &format!("{path}.port"), faults);
    one_of(text(value, "/protocol"), &format!("{path}.protocol"), &["SCTP", "TCP", "UDP"], faults);
    match value.get("targetPort") {
        Some(Value::String(name)) => port_name(name, &format!("{path}.targetPort"), faults),
        other => port(other.and_then(Value::as_i64), &format!("{path}.targetPort"), faults),
    }
}
