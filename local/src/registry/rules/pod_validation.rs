//! Validation of pods and pod templates.

use std::collections::HashSet;

use flyball_model::field_error::FieldError;
use flyball_model::names;
use flyball_model::quantity::Quantity;
use serde_json::Value;

use super::{Faults, each, not_negative, one_of, port, spec};
use crate::registry::json::{int, items, text};

const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];
const HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];
const ENVIRONMENT_SOURCES: [&str; 4] = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef"];

pub(super) fn pod(object: &Value, faults: &mut Faults) {
    pod_spec(spec(object), "spec", faults);
}

/// A pod specification at `path`.
pub(super) fn pod_spec(spec: &Value, path: &str, faults: &mut Faults) {
    one_of(
        text(spec, "/restartPolicy"),
        &format!("{path}.restartPolicy"),
        &["Always", "OnFailure", "Never"],
        faults,
    );
    not_negative(
        int(spec, "/terminationGracePeriodSeconds"),
        &format!("{path}.terminationGracePeriodSeconds"),
        faults,
    );
    let volumes = volume_names(spec, path, faults);
    if items(spec, "/containers").is_empty() {
        faults.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let mut seen = HashSet::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in items(spec, &format!("/{list}")).iter().enumerate() {
            let path = format!("{path}.{list}[{index}]");
            let name = text(container, "/name");
            if !name.is_empty() && !seen.insert(name) {
                faults.push(FieldError::duplicate(format!("{path}.name"), name));
            }
            self::container(container, &volumes, &path, faults);
        }
    }
}

fn volume_names<'a>(spec: &'a Value, path: &str, faults: &mut Faults) -> HashSet<&'a str> {
    let mut names = HashSet::new();
    for (index, volume) in items(spec, "/volumes").iter().enumerate() {
        let path = format!("{path}.volumes[{index}].name");
        let name = text(volume, "/name");
        label(name, &path, faults);
        if !name.is_empty() && !names.insert(name) {
            faults.push(FieldError::duplicate(path, name));
        }
    }
    names
}

/// A required DNS label.
fn label(name: &str, path: &str, faults: &mut Faults) {
    if name.is_empty() {
        faults.push(FieldError::required(path, ""));
    } else {
        each(names::dns1123_label(name), path, name, faults);
    }
}

fn container(container: &Value, volumes: &HashSet<&str>, path: &str, faults: &mut Faults) {
    label(text(container, "/name"), &format!("{path}.name"), faults);
    if text(container, "/image").trim().is_empty() {
        faults.push(FieldError::required(format!("{path}.image"), ""));
    }
    one_of(
        text(container, "/imagePullPolicy"),
        &format!("{path}.imagePullPolicy"),
        &["Always", "IfNotPresent", "Never"],
        faults,
    );
    ports(container, path, faults);
    environment(container, path, faults);
    mounts(container, volumes, path, faults);
    resources(container, path, faults);
    for name in PROBES {
        if let Some(value) = container.get(name) {
            probe(name, value, &format!("{path}.{name}"), faults);
        }
    }
}

fn ports(container: &Value, path: &str, faults: &mut Faults) {
    let mut seen = HashSet::new();
    for (index, value) in items(container, "/ports").iter().enumerate() {
        let path = format!("{path}.ports[{index}]");
        port(int(value, "/containerPort"), &format!("{path}.containerPort"), faults);
        one_of(text(value, "/protocol"), &format!("{path}.protocol"), &["SCTP", "TCP", "UDP"], faults);
        let name = text(value, "/name");
        if name.is_empty() {
            continue;
        }
        port_name(name, &format!("{path}.name"), faults);
        if !seen.insert(name) {
            faults.push(FieldError::duplicate(format!("{path}.name"), name));
        }
    }
}

/// An IANA service name: at most 15 of `[a-z0-9-]`, at least one letter, no `--`, no dash at an end.
pub(super) fn port_name(name: &str, path: &str, faults: &mut Faults) {
    let mut messages = Vec::new();
    if name.len() > 15 {
        messages.push("must be no more than 15 characters");
    }
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        messages.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    }
    if !name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        messages.push("must contain at least one letter (a-z)");
    }
    if name.contains("--") {
        messages.push("must not contain consecutive hyphens");
    }
    if name.starts_with('-') || name.ends_with('-') {
        messages.push("must not begin or end with a hyphen");
    }
    each(messages.into_iter().map(str::to_owned).collect(), path, name, faults);
}

fn environment(container: &Value, path: &str, faults: &mut Faults) {
    for (index, variable) in items(container, "/env").iter().enumerate() {
        let path = format!("{path}.env[{index}]");
        let name = text(variable, "/name");
        if name.is_empty() {
            faults.push(FieldError::required(format!("{path}.name"), ""));
        } else if name.contains('=') || !name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            let detail = "a valid environment variable name must consist only of printable ASCII characters other \
                          than '='";
            faults.push(FieldError::invalid(format!("{path}.name"), name, detail));
        }
        let Some(from) = variable.get("valueFrom") else { continue };
        let path = format!("{path}.valueFrom");
        let given = ENVIRONMENT_SOURCES.iter().filter(|source| from.get(**source).is_some()).count();
        let refuse = |detail| FieldError::invalid(path.as_str(), "", detail);
        match given {
            0 => faults.push(refuse(
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
            )),
            1 if !text(variable, "/value").is_empty() => {
                faults.push(refuse("may not be specified when `value` is not empty"));
            }
            1 => {}
            _ => faults.push(refuse("may not have more than one field specified at a time")),
        }
    }
}

fn mounts(container: &Value, volumes: &HashSet<&str>, path: &str, faults: &mut Faults) {
    let mut seen = HashSet::new();
    for (index, mount) in items(container, "/volumeMounts").iter().enumerate() {
        let path = format!("{path}.volumeMounts[{index}]");
        let name = text(mount, "/name");
        if name.is_empty() {
            faults.push(FieldError::required(format!("{path}.name"), ""));
        } else if !volumes.contains(name) {
            faults.push(FieldError::not_found(format!("{path}.name"), name));
        }
        let target = text(mount, "/mountPath");
        if target.is_empty() {
            faults.push(FieldError::required(format!("{path}.mountPath"), ""));
        } else if !seen.insert(target) {
            faults.push(FieldError::invalid(format!("{path}.mountPath"), target, "must be unique"));
        }
    }
}

fn resources(container: &Value, path: &str, faults: &mut Faults) {
    let amounts = |kind: &str| container.pointer(&format!("/resources/{kind}")).and_then(Value::as_object);
    for kind in ["limits", "requests"] {
        for (name, amount) in amounts(kind).into_iter().flatten() {
            let path = format!("{path}.resources.{kind}[{name}]");
            match quantity(amount) {
                None => faults.push(FieldError::invalid(path, amount.clone(), QUANTITY_RULE)),
                Some(value) if value.is_negative() => {
                    let detail = "must be greater than or equal to 0";
                    faults.push(FieldError::invalid(path, amount.clone(), detail));
                }
                Some(_) => {}
            }
        }
    }
    for (name, request) in amounts("requests").into_iter().flatten() {
        let Some(limit) = amounts("limits").and_then(|limits| limits.get(name)) else { continue };
        if let (Some(wanted), Some(most)) = (quantity(request), quantity(limit))
            && wanted > most
        {
            let path = format!("{path}.resources.requests");
            let detail = format!("must be less than or equal to {name} limit of {most}");
            faults.push(FieldError::invalid(path, wanted.to_string(), detail));
        }
    }
}

const QUANTITY_RULE: &str = "quantities must match the regular expression \
    '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

fn quantity(value: &Value) -> Option<Quantity> {
    serde_json::from_value(value.clone()).ok()
}

fn probe(name: &str, probe: &Value, path: &str, faults: &mut Faults) {
    let given: Vec<&str> = HANDLERS.into_iter().filter(|handler| probe.get(handler).is_some()).collect();
    match given.as_slice() {
        [] => faults.push(FieldError::required(path, "must specify a handler type")),
        [one] => handler(one, &probe[*one], &format!("{path}.{one}"), faults),
        [_, second, ..] => {
            let path = format!("{path}.{second}");
            faults.push(FieldError::forbidden(path, "may not specify more than 1 handler type"));
        }
    }
    for member in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        not_negative(int(probe, &format!("/{member}")), &format!("{path}.{member}"), faults);
    }
    let successes = int(probe, "/successThreshold").unwrap_or(1);
    if name != "readinessProbe" && successes > 1 {
        faults.push(FieldError::invalid(format!("{path}.successThreshold"), successes, "must be 1"));
    }
}

fn handler(kind: &str, handler: &Value, path: &str, faults: &mut Faults) {
    if kind == "exec" {
        if items(handler, "/command").is_empty() {
            faults.push(FieldError::required(format!("{path}.command"), ""));
        }
        return;
    }
    match handler.get("port") {
        Some(Value::String(name)) => port_name(name, &format!("{path}.port"), faults),
        other => port(other.and_then(Value::as_i64), &format!("{path}.port"), faults),
    }
}
