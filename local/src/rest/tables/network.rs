//! Services and EndpointSlices.

use flyball_apiserver::table::Column;
use serde_json::Value;

use super::cells::{AGE, NAME, age, count, label_map, name, or_none};
use crate::registry::json::{items, text};

/// Endpoint addresses and ports shown before `+ n more...`.
const SHOWN: usize = 3;

pub(super) fn service_columns() -> Vec<Column> {
    vec![
        NAME,
        Column::new("Type", "", "How the Service is exposed."),
        Column::new("Cluster-IP", "", "The address of the Service."),
        Column::new("External-IP", "", "Addresses from outside."),
        Column::new("Port(s)", "", "The ports that are exposed by this service."),
        AGE,
        Column::new("Selector", "", "Which pods get the traffic.").wide(),
    ]
}

pub(super) fn service_cells(object: &Value, now_ms: i64) -> Vec<Value> {
    let kind = text(object, "/spec/type");
    let external = match kind {
        "ExternalName" => or_none(text(object, "/spec/externalName")),
        "LoadBalancer" if items(object, "/status/loadBalancer/ingress").is_empty() => "<pending>".to_owned(),
        "LoadBalancer" => {
            let addresses =
                items(object, "/status/loadBalancer/ingress").iter().map(|entry| text(entry, "/ip"));
            addresses.collect::<Vec<_>>().join(",")
        }
        _ => {
            let addresses = items(object, "/spec/externalIPs").iter().filter_map(Value::as_str);
            or_none(&addresses.collect::<Vec<_>>().join(","))
        }
    };
    let ports = items(object, "/spec/ports").iter().map(|port| {
        let node = count(port, "/nodePort");
        let outside = if node > 0 { format!(":{node}") } else { String::new() };
        format!("{}{outside}/{}", count(port, "/port"), text(port, "/protocol"))
    });
    vec![
        name(object),
        kind.into(),
        or_none(text(object, "/spec/clusterIP")).into(),
        external.into(),
        or_none(&ports.collect::<Vec<_>>().join(",")).into(),
        age(object, now_ms),
        label_map(object.pointer("/spec/selector")).into(),
    ]
}

pub(super) fn slice_columns() -> Vec<Column> {
    vec![
        NAME,
        Column::new("AddressType", "", "Kind of the addresses."),
        Column::new("Ports", "", "Ports of each endpoint."),
        Column::new("Endpoints", "", "Addresses."),
        AGE,
    ]
}

pub(super) fn slice_cells(object: &Value, now_ms: i64) -> Vec<Value> {
    let port = |port: &Value| {
        port.get("port").and_then(Value::as_i64).map_or("*".to_owned(), |port| port.to_string())
    };
    let ports: Vec<String> = items(object, "/ports").iter().map(port).collect();
    let addresses: Vec<String> = items(object, "/endpoints")
        .iter()
        .flat_map(|endpoint| items(endpoint, "/addresses"))
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect();
    let unset = |list: String| if list.is_empty() { "<unset>".to_owned() } else { list };
    vec![
        name(object),
        text(object, "/addressType").into(),
        unset(some_of(&ports)).into(),
        unset(some_of(&addresses)).into(),
        age(object, now_ms),
    ]
}

fn some_of(list: &[String]) -> String {
    let shown = list.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(",");
    match list.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}
