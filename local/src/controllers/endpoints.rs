//! EndpointSlices: for each Service with a selector, the addresses of its pods.
//!
//! Follows kubernetes/kubernetes `pkg/controller/endpointslice`: one slice per set of resolved ports, conditions
//! `ready`, `serving`, `terminating`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::object;
use super::worker::{Controller, Key};
use crate::registry::kinds::{ENDPOINTSLICES, PODS, Resource, SERVICES};
use crate::registry::{DeleteOptions, Part, Registry, Status, WatchEvent};

/// The EndpointSlice controller.
pub(super) struct Endpoints;

/// Label with the name of the Service a slice belongs to.
pub const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// Label with the name of what looks after the slice.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Our value of it, upstream's.
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Most endpoints per slice, the API's own limit.
const MAX_ENDPOINTS: usize = 1000;

impl Controller for Endpoints {
    const NAME: &'static str = "endpoints";

    fn watches(&self) -> &'static [&'static Resource] {
        const WATCHES: [&Resource; 3] = [&SERVICES, &PODS, &ENDPOINTSLICES];
        &WATCHES
    }

    fn affected(&self, registry: &Registry, resource: &'static Resource, event: &WatchEvent) -> Vec<Key> {
        let object = &*event.object;
        let namespace = object::namespace(object);
        if *resource == SERVICES {
            return vec![Key::new(namespace, object::name(object))];
        }
        if *resource == ENDPOINTSLICES {
            let service = object::label(object, SERVICE_LABEL);
            return service.map(|service| Key::new(namespace, service)).into_iter().collect();
        }
        let services = registry.list(&SERVICES, Some(namespace)).items;
        let selects = |service: &&Arc<Value>| {
            is_selected(service, object)
                || event.previous.as_ref().is_some_and(|pod| is_selected(service, pod))
        };
        services.iter().filter(selects).map(|service| Key::new(namespace, object::name(service))).collect()
    }

    fn all(&self, registry: &Registry) -> Vec<Key> {
        let services = registry.list(&SERVICES, None).items;
        services.iter().map(|item| Key::new(object::namespace(item), object::name(item))).collect()
    }

    fn sync(&mut self, registry: &Registry, key: &Key, _now_ms: i64) -> Result<Option<Duration>, Status> {
        let existing =
            registry.list(&ENDPOINTSLICES, Some(&key.namespace)).items.into_iter().filter(|slice| {
                object::label(slice, SERVICE_LABEL) == Some(&key.name)
                    && object::label(slice, MANAGED_BY) == Some(MANAGER)
            });
        let mut existing: Vec<Arc<Value>> = existing.collect();
        let service =
            registry.get(&SERVICES, &key.namespace, &key.name).filter(|service| has_selector(service));
        if let Some(service) = &service {
            let pods = registry.list(&PODS, Some(&key.namespace)).items;
            for wanted in plan(service, &pods) {
                let same = existing.iter().position(|slice| slice["ports"] == wanted.ports).or(
                    // The ports changed: reuse any slice rather than leave the Service empty for a moment.
                    if existing.is_empty() { None } else { Some(0) },
                );
                match same.map(|at| existing.remove(at)) {
                    Some(slice) => write(registry, &slice, wanted)?,
                    None => {
                        drop(registry.create(&ENDPOINTSLICES, &key.namespace, new_slice(service, wanted))?)
                    }
                }
            }
        }
        for slice in existing {
            let deleted = registry.delete(
                &ENDPOINTSLICES,
                &key.namespace,
                object::name(&slice),
                DeleteOptions::default(),
            );
            if let Err(status) = deleted
                && status.code() != 404
            {
                return Err(status);
            }
        }
        Ok(None)
    }
}

fn has_selector(service: &Value) -> bool {
    let selector = service.pointer("/spec/selector").and_then(Value::as_object);
    selector.is_some_and(|selector| !selector.is_empty()) && service["spec"]["type"] != "ExternalName"
}

fn is_selected(service: &Value, pod: &Value) -> bool {
    let selector = service.pointer("/spec/selector").and_then(Value::as_object);
    selector.is_some_and(|selector| {
        !selector.is_empty() && selector.iter().all(|(key, value)| object::label(pod, key) == value.as_str())
    })
}

/// Ports and endpoints of one slice.
#[derive(Debug, PartialEq)]
struct Slice {
    ports: Value,
    endpoints: Vec<Value>,
}

/// The slices a Service should have.
fn plan(service: &Value, pods: &[Arc<Value>]) -> Vec<Slice> {
    let mut slices: BTreeMap<String, Slice> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| is_selected(service, pod)) {
        let ended = matches!(object::text(pod, "/status/phase"), "Succeeded" | "Failed");
        if ended || object::text(pod, "/status/podIP").is_empty() {
            continue;
        }
        let ports = resolve_ports(service, pod);
        let slice = slices.entry(ports.to_string()).or_insert_with(|| Slice { ports, endpoints: Vec::new() });
        if slice.endpoints.len() < MAX_ENDPOINTS {
            slice.endpoints.push(endpoint(service, pod));
        }
    }
    if slices.is_empty() {
        return vec![Slice { ports: json!([]), endpoints: Vec::new() }];
    }
    slices.into_values().collect()
}

fn endpoint(service: &Value, pod: &Value) -> Value {
    let serving = object::is_pod_ready(pod);
    let terminating = object::is_deleting(pod);
    let always = service["spec"]["publishNotReadyAddresses"] == true;
    json!({
        "addresses": [object::text(pod, "/status/podIP")],
        "conditions": {
            "ready": always || (serving && !terminating), "serving": serving, "terminating": terminating,
        },
        "nodeName": object::text(pod, "/spec/nodeName"),
        "targetRef": {
            "kind": "Pod", "name": object::name(pod), "namespace": object::namespace(pod), "uid": object::uid(pod),
        },
    })
}

/// The Service's ports with names of container ports resolved for one pod; a name the pod does not have is left out.
fn resolve_ports(service: &Value, pod: &Value) -> Value {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    let resolve = |port: &Value| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        let number = match &port["targetPort"] {
            Value::String(name) => container_port(pod, name, protocol)?,
            Value::Number(number) if number.as_i64() != Some(0) => number.as_i64()?,
            _ => port["port"].as_i64()?,
        };
        Some(
            json!({ "name": port["name"].as_str().unwrap_or_default(), "port": number, "protocol": protocol }),
        )
    };
    ports.into_iter().flatten().filter_map(resolve).collect()
}

fn container_port(pod: &Value, name: &str, protocol: &str) -> Option<i64> {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array)?;
    let mut ports = containers.iter().filter_map(|container| container["ports"].as_array()).flatten();
    let found =
        ports.find(|port| port["name"] == name && port["protocol"].as_str().unwrap_or("TCP") == protocol)?;
    found["containerPort"].as_i64()
}

fn new_slice(service: &Value, slice: Slice) -> Value {
    let name = object::name(service);
    let mut labels = service.pointer("/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    labels[SERVICE_LABEL] = json!(name);
    labels[MANAGED_BY] = json!(MANAGER);
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": format!("{name}-"),
            "labels": labels,
            "ownerReferences": [object::owner_reference(service, "v1", "Service")],
        },
        "addressType": "IPv4",
        "endpoints": slice.endpoints,
        "ports": slice.ports,
    })
}

fn write(registry: &Registry, existing: &Value, slice: Slice) -> Result<(), Status> {
    let endpoints = Value::Array(slice.endpoints);
    if existing["endpoints"] == endpoints && existing["ports"] == slice.ports {
        return Ok(());
    }
    let (namespace, name) = (object::namespace(existing), object::name(existing));
    registry.modify(&ENDPOINTSLICES, namespace, name, Part::Spec, |object| {
        object["endpoints"] = endpoints.clone();
        object["ports"] = slice.ports.clone();
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, ip: &str, ready: bool, port: i64) -> Arc<Value> {
        let status = if ready { "True" } else { "False" };
        Arc::new(json!({
            "metadata": {"name": name, "namespace": "ns", "uid": name, "labels": {"app": "web"}},
            "spec": {"nodeName": "n", "containers": [{"ports": [{"name": "http", "containerPort": port}]}]},
            "status": {"podIP": ip, "phase": "Running", "conditions": [{"type": "Ready", "status": status}]},
        }))
    }

    fn service() -> Value {
        json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"},
            "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}]}})
    }

    #[test]
    fn one_slice_per_set_of_ports() {
        let pods = [
            pod("a", "127.9.0.2", true, 8080),
            pod("b", "127.9.0.3", false, 8080),
            pod("c", "127.9.0.4", true, 9090),
        ];
        let slices = plan(&service(), &pods);
        let ports: Vec<&Value> = slices.iter().map(|slice| &slice.ports[0]["port"]).collect();
        assert_eq!(ports, vec![&json!(8080), &json!(9090)]);
        let ready: Vec<&Value> = slices[0].endpoints.iter().map(|end| &end["conditions"]["ready"]).collect();
        assert_eq!(ready, vec![&json!(true), &json!(false)]);
    }

    #[test]
    fn pods_without_address_and_strangers_are_left_out() {
        let mut stranger = (*pod("x", "127.9.0.9", true, 1)).clone();
        stranger["metadata"]["labels"]["app"] = json!("other");
        let slices = plan(&service(), &[pod("a", "", false, 1), Arc::new(stranger)]);
        assert!(slices.len() == 1 && slices[0].endpoints.is_empty());
    }
}
