//! Kinds whose rows need little thought.

use flyball_apiserver::table::Column;
use serde_json::Value;

use super::cells::{AGE, NAME, NONE, age, count, name, or_none, since};
use crate::registry::json::{items, text};

/// What marks a node's roles among its labels.
const ROLE_LABEL: &str = "node-role.kubernetes.io/";

pub(super) fn plain_columns() -> Vec<Column> {
    vec![NAME, AGE]
}

pub(super) fn plain_cells(object: &Value, now_ms: i64) -> Vec<Value> {
    vec![name(object), age(object, now_ms)]
}

pub(super) fn namespace_columns() -> Vec<Column> {
    vec![NAME, Column::new("Status", "", "The status of the namespace"), AGE]
}

pub(super) fn namespace_cells(object: &Value, now_ms: i64) -> Vec<Value> {
    vec![name(object), text(object, "/status/phase").into(), age(object, now_ms)]
}

pub(super) fn node_columns() -> Vec<Column> {
    vec![
        NAME,
        Column::new("Status", "", "The status of the node"),
        Column::new("Roles", "", "The roles of the node"),
        AGE,
        Column::new("Version", "", "Version of the node agent."),
        Column::new("Internal-IP", "", "Address inside the cluster.").wide(),
        Column::new("External-IP", "", "Address outside the cluster.").wide(),
        Column::new("OS-Image", "", "Operating system.").wide(),
        Column::new("Kernel-Version", "", "Kernel.").wide(),
        Column::new("Container-Runtime", "", "Runtime.").wide(),
    ]
}

pub(super) fn node_cells(object: &Value, now_ms: i64) -> Vec<Value> {
    let info = |member: &str| match text(object, &format!("/status/nodeInfo/{member}")) {
        "" => Value::from("<unknown>"),
        text => text.into(),
    };
    let address = |kind: &str| {
        let mut addresses = items(object, "/status/addresses").iter();
        let found = addresses.find(|address| text(address, "/type") == kind);
        Value::from(or_none(found.map_or("", |address| text(address, "/address"))))
    };
    vec![
        name(object),
        node_status(object).into(),
        node_roles(object).into(),
        age(object, now_ms),
        text(object, "/status/nodeInfo/kubeletVersion").into(),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn node_status(object: &Value) -> String {
    let mut conditions = items(object, "/status/conditions").iter();
    let ready = conditions.find(|condition| text(condition, "/type") == "Ready");
    let mut status = match ready.map(|ready| text(ready, "/status")) {
        None => "Unknown".to_owned(),
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
    };
    if object.pointer("/spec/unschedulable").and_then(Value::as_bool).unwrap_or(false) {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn node_roles(object: &Value) -> String {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    let roles = labels.into_iter().flatten().filter_map(|(label, _)| label.strip_prefix(ROLE_LABEL));
    or_none(&roles.collect::<Vec<_>>().join(","))
}

pub(super) fn event_columns() -> Vec<Column> {
    vec![
        Column::new("Last Seen", "", "Time since it was last seen."),
        Column::new("Type", "", "Normal or Warning."),
        Column::new("Reason", "", "Why, in one word."),
        Column::new("Object", "", "What it is about."),
        Column::new("Subobject", "", "Which part of it.").wide(),
        Column::new("Source", "", "Who said so.").wide(),
        Column::new("Message", "", "Why, in one sentence."),
        Column::new("First Seen", "", "Time since it was first seen.").wide(),
        Column::new("Count", "", "How often it was seen.").wide(),
        Column::new("Name", "name", "Name of the event.").wide(),
    ]
}

pub(super) fn event_cells(object: &Value, now_ms: i64) -> Vec<Value> {
    let seen = |pointer: &str| match text(object, pointer) {
        "" => since(object, "/eventTime", now_ms),
        _ => since(object, pointer, now_ms),
    };
    let kind = text(object, "/involvedObject/kind").to_lowercase();
    let component = match text(object, "/source/component") {
        "" => text(object, "/reportingComponent"),
        component => component,
    };
    vec![
        seen("/lastTimestamp").into(),
        text(object, "/type").into(),
        text(object, "/reason").into(),
        format!("{kind}/{}", text(object, "/involvedObject/name")).into(),
        text(object, "/involvedObject/fieldPath").into(),
        component.into(),
        text(object, "/message").trim().into(),
        seen("/firstTimestamp").into(),
        count(object, "/count").max(1).into(),
        name(object),
    ]
}

pub(super) fn config_columns() -> Vec<Column> {
    vec![NAME, Column::new("Data", "", "Number of entries.").of_type("integer"), AGE]
}

pub(super) fn config_cells(object: &Value, now_ms: i64) -> Vec<Value> {
    vec![name(object), entries(object).into(), age(object, now_ms)]
}

fn entries(object: &Value) -> usize {
    ["data", "binaryData"]
        .into_iter()
        .filter_map(|member| object.get(member).and_then(Value::as_object))
        .map(serde_json::Map::len)
        .sum()
}

pub(super) fn secret_columns() -> Vec<Column> {
    vec![
        NAME,
        Column::new("Type", "", "What the secret is for."),
        Column::new("Data", "", "Number of entries.").of_type("integer"),
        AGE,
    ]
}

pub(super) fn secret_cells(object: &Value, now_ms: i64) -> Vec<Value> {
    vec![name(object), text(object, "/type").into(), entries(object).into(), age(object, now_ms)]
}

pub(super) fn account_columns() -> Vec<Column> {
    vec![NAME, Column::new("Secrets", "", "Number of secrets.").of_type("integer"), AGE]
}

pub(super) fn account_cells(object: &Value, now_ms: i64) -> Vec<Value> {
    vec![name(object), items(object, "/secrets").len().into(), age(object, now_ms)]
}

pub(super) fn lease_columns() -> Vec<Column> {
    vec![NAME, Column::new("Holder", "", "Who holds it."), AGE]
}

pub(super) fn lease_cells(object: &Value, now_ms: i64) -> Vec<Value> {
    vec![name(object), text(object, "/spec/holderIdentity").into(), age(object, now_ms)]
}

pub(super) fn api_service_columns() -> Vec<Column> {
    vec![
        NAME,
        Column::new("Service", "", "Who serves the group."),
        Column::new("Available", "", "Whether it does."),
        AGE,
    ]
}

pub(super) fn api_service_cells(object: &Value, now_ms: i64) -> Vec<Value> {
    let service = match text(object, "/spec/service/name") {
        "" => "Local".to_owned(),
        name => format!("{}/{name}", text(object, "/spec/service/namespace")),
    };
    let mut conditions = items(object, "/status/conditions").iter();
    let available = conditions.find(|condition| text(condition, "/type") == "Available");
    let available = match available.map(|condition| (text(condition, "/status"), text(condition, "/reason")))
    {
        None => "Unknown".to_owned(),
        Some(("True", _)) => "True".to_owned(),
        Some((status, reason)) => format!("{status} ({})", if reason.is_empty() { NONE } else { reason }),
    };
    vec![name(object), service.into(), available.into(), age(object, now_ms)]
}
