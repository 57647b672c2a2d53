//! Which address and port leads to which pods: the plan of the balancer. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;

use crate::controllers::{SERVICE_LABEL, object};

/// Ready endpoints behind one port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
    /// Where connections go, sorted.
    pub endpoints: Vec<SocketAddr>,
}

/// The routes of all Services by the address they listen on. Headless Services and other protocols have none.
pub fn plan(services: &[Arc<Value>], slices: &[Arc<Value>]) -> BTreeMap<SocketAddr, Route> {
    let mut by_service: BTreeMap<(&str, &str), Vec<&Value>> = BTreeMap::new();
    for slice in slices {
        if let Some(service) = object::label(slice, SERVICE_LABEL) {
            by_service.entry((object::namespace(slice), service)).or_default().push(slice);
        }
    }
    let mut routes = BTreeMap::new();
    for service in services {
        let (namespace, name) = (object::namespace(service), object::name(service));
        let Ok(address) = object::text(service, "/spec/clusterIP").parse::<Ipv4Addr>() else { continue };
        let slices = by_service.get(&(namespace, name)).map_or(&[][..], Vec::as_slice);
        for port in service.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten() {
            let number = port["port"].as_u64().and_then(|number| u16::try_from(number).ok());
            let (Some(number), "TCP") = (number, port["protocol"].as_str().unwrap_or("TCP")) else {
                continue;
            };
            let endpoints = endpoints(slices, port["name"].as_str().unwrap_or_default());
            let route = Route { namespace: namespace.to_owned(), service: name.to_owned(), endpoints };
            routes.insert(SocketAddr::from((address, number)), route);
        }
    }
    routes
}

fn endpoints(slices: &[&Value], port_name: &str) -> Vec<SocketAddr> {
    let mut found = BTreeSet::new();
    for slice in slices {
        let mut ports = slice["ports"].as_array().into_iter().flatten();
        let port = ports.find(|port| port["name"].as_str().unwrap_or_default() == port_name);
        let Some(port) = port.and_then(|port| u16::try_from(port["port"].as_u64()?).ok()) else { continue };
        let ready = slice["endpoints"].as_array().into_iter().flatten().filter(|endpoint| {
            // Absent means ready, by the API's definition.
            endpoint["conditions"]["ready"].as_bool().unwrap_or(true)
        });
        for endpoint in ready {
            let address = endpoint["addresses"][0].as_str().and_then(|address| address.parse().ok());
            found.extend(address.map(|address| SocketAddr::new(address, port)));
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ready_endpoints_by_port_name() {
        let service = |name: &str, ip: &str| {
            Arc::new(
                json!({"metadata": {"name": name, "namespace": "ns"}, "spec": {"clusterIP": ip, "ports": [
                {"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]}}),
            )
        };
        let slice = Arc::new(json!({
            "metadata": {"name": "web-x", "namespace": "ns", "labels": {"kubernetes.io/service-name": "web"}},
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [
                {"addresses": ["127.9.0.3"], "conditions": {"ready": true}},
                {"addresses": ["127.9.0.2"], "conditions": {}},
                {"addresses": ["127.9.0.4"], "conditions": {"ready": false}},
            ],
        }));
        let routes = plan(&[service("web", "127.9.128.1"), service("none", "None")], &[slice]);
        assert_eq!(routes.len(), 1);
        let (listen, route) = routes.first_key_value().unwrap();
        assert_eq!(listen.to_string(), "127.9.128.1:80");
        let endpoints: Vec<String> = route.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(endpoints, vec!["127.9.0.2:8080", "127.9.0.3:8080"]);
    }
}
