//! The environment of a container, from the manifest and the objects it refers to. Pure: objects come through a trait.
//!
//! Follows kubernetes/kubernetes `pkg/kubelet/kubelet_pods.go` (`makeEnvironmentVariables`) and
//! `pkg/kubelet/envvars`: variables of Services first, then `envFrom`, then `env`, later entries replacing earlier ones.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine;
use flyball_model::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, EnvVarSource, PodSpec, ResourceFieldSelector};
use serde_json::Value;

use super::expand::expand;
use crate::controllers::object;

/// Where references lead.
pub trait Objects {
    /// A ConfigMap of the pod's namespace.
    fn config_map(&self, name: &str) -> Option<Value>;
    /// A Secret of the pod's namespace.
    fn secret(&self, name: &str) -> Option<Value>;
    /// The Services of the pod's namespace.
    fn services(&self) -> Vec<Value>;
}

/// What the environment is made from.
pub struct Source<'a> {
    /// The pod object.
    pub pod: &'a Value,
    /// Its spec.
    pub spec: &'a PodSpec,
    /// The container.
    pub container: &'a Container,
    /// The pod's address.
    pub pod_ip: IpAddr,
    /// The node's address.
    pub host_ip: IpAddr,
    /// CPU and memory of the node: the value of `limits.*` for a container without limits.
    pub node_cpu_milli: i64,
    /// See `node_cpu_milli`.
    pub node_memory_bytes: i64,
    /// Variables of the API server's Service, which have no Service object behind them that fits everywhere.
    pub api_server: std::net::SocketAddr,
}

/// The variables, or one sentence naming the reference that leads nowhere.
pub fn build(source: &Source<'_>, objects: &dyn Objects) -> Result<BTreeMap<String, String>, String> {
    let mut variables = BTreeMap::new();
    if source.spec.enable_service_links != Some(false) {
        for service in objects.services() {
            add_service(&mut variables, &service);
        }
    }
    add_api_server(&mut variables, source.api_server);
    add_env_from(source, objects, &mut variables)?;
    for variable in source.container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) => Some(expand(value, |name| variables.get(name).map(String::as_str))),
            (None, Some(from)) => value_from(source, objects, from)
                .map_err(|error| format!("env {:?}: {error}", variable.name))?,
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            variables.insert(variable.name.clone(), value);
        }
    }
    Ok(variables)
}

fn add_env_from(
    source: &Source<'_>,
    objects: &dyn Objects,
    variables: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    for from in source.container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let (entries, optional, missing) = if let Some(reference) = &from.config_map_ref {
            let map = objects.config_map(&reference.name).map(|map| texts(&map["data"]));
            (map, reference.optional, format!("configmap {:?} not found", reference.name))
        } else if let Some(reference) = &from.secret_ref {
            let map = objects.secret(&reference.name).map(|secret| secret_texts(&secret));
            (map, reference.optional, format!("secret {:?} not found", reference.name))
        } else {
            continue;
        };
        match entries {
            Some(entries) => {
                variables.extend(entries.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)));
            }
            None if optional == Some(true) => {}
            None => return Err(missing),
        }
    }
    Ok(())
}

fn texts(data: &Value) -> BTreeMap<String, String> {
    let entries = data.as_object().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn secret_texts(secret: &Value) -> BTreeMap<String, String> {
    let decode = |text: String| base64::engine::general_purpose::STANDARD.decode(text).ok();
    let entries = texts(&secret["data"]).into_iter();
    entries.filter_map(|(key, text)| Some((key, String::from_utf8(decode(text)?).ok()?))).collect()
}

/// The value a source stands for; `None` for an optional one that is missing.
fn value_from(
    source: &Source<'_>,
    objects: &dyn Objects,
    from: &EnvVarSource,
) -> Result<Option<String>, String> {
    if let Some(field) = &from.field_ref {
        return field_value(source, &field.field_path).map(Some);
    }
    if let Some(field) = &from.resource_field_ref {
        return resource_value(source, field).map(Some);
    }
    let (entries, key, optional, what) = if let Some(reference) = &from.config_map_key_ref {
        let entries = objects.config_map(&reference.name).map(|map| texts(&map["data"]));
        (entries, &reference.key, reference.optional, format!("configmap {:?}", reference.name))
    } else if let Some(reference) = &from.secret_key_ref {
        let entries = objects.secret(&reference.name).map(|secret| secret_texts(&secret));
        (entries, &reference.key, reference.optional, format!("secret {:?}", reference.name))
    } else {
        return Err("this kind of valueFrom is not supported here".to_owned());
    };
    let found = entries.is_some();
    match entries.and_then(|mut entries| entries.remove(key)) {
        Some(value) => Ok(Some(value)),
        None if optional == Some(true) => Ok(None),
        None if found => Err(format!("couldn't find key {key} in {what}")),
        None => Err(format!("{what} not found")),
    }
}

fn field_value(source: &Source<'_>, path: &str) -> Result<String, String> {
    let pod = source.pod;
    let subscript = |map: &str| path.strip_prefix(map)?.strip_prefix("['")?.strip_suffix("']");
    if let Some(key) = subscript("metadata.labels") {
        return Ok(object::label(pod, key).unwrap_or_default().to_owned());
    }
    if let Some(key) = subscript("metadata.annotations") {
        return Ok(object::annotation(pod, key).unwrap_or_default().to_owned());
    }
    let value = match path {
        "metadata.name" => object::name(pod).to_owned(),
        "metadata.namespace" => object::namespace(pod).to_owned(),
        "metadata.uid" => object::uid(pod).to_owned(),
        "spec.nodeName" => object::text(pod, "/spec/nodeName").to_owned(),
        "spec.serviceAccountName" => object::text(pod, "/spec/serviceAccountName").to_owned(),
        "status.hostIP" | "status.hostIPs" => source.host_ip.to_string(),
        "status.podIP" | "status.podIPs" => source.pod_ip.to_string(),
        _ => return Err(format!("fieldPath {path:?} is not supported")),
    };
    Ok(value)
}

fn resource_value(source: &Source<'_>, field: &ResourceFieldSelector) -> Result<String, String> {
    let wanted = field.container_name.as_ref();
    let containers = source.spec.containers.iter().chain(source.spec.init_containers.iter().flatten());
    let named = wanted.and_then(|name| containers.clone().find(|container| &container.name == name));
    let container = match (wanted, named) {
        (None, _) => source.container,
        (Some(_), Some(container)) => container,
        (Some(name), None) => return Err(format!("container {name:?} not found")),
    };
    let resources = container.resources.as_ref();
    let (list, name) = field.resource.split_once('.').unwrap_or((&field.resource, ""));
    let lists = resources.map(|resources| match list {
        "limits" => (&resources.limits, &resources.limits),
        _ => (&resources.requests, &resources.limits),
    });
    let written = lists.and_then(|(first, second)| {
        let entry = |list: &Option<BTreeMap<_, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>| {
            list.as_ref().and_then(|list| list.get(name)).map(|quantity| quantity.0.clone())
        };
        entry(first).or_else(|| entry(second))
    });
    let divisor = field.divisor.as_ref().map(|divisor| divisor.0.as_str()).filter(|text| *text != "0");
    let parse = |text: &str| text.parse::<Quantity>().map_err(|error| format!("{text:?}: {error}"));
    let milli = match (&written, name) {
        (Some(text), _) => i128::from(parse(text)?.milli_value()),
        (None, "cpu") if list == "limits" => i128::from(source.node_cpu_milli),
        (None, "memory") if list == "limits" => i128::from(source.node_memory_bytes) * 1000,
        (None, "cpu" | "memory" | "ephemeral-storage") => 0,
        _ => return Err(format!("resource {:?} is not supported", field.resource)),
    };
    let unit =
        i128::from(divisor.map_or(Ok(1000), |text| parse(text).map(|unit| unit.milli_value()))?).max(1);
    // Rounded up, as upstream.
    Ok(((milli + unit - 1) / unit).to_string())
}

/// `<NAME>_SERVICE_HOST`, `<NAME>_SERVICE_PORT` and the Docker-link variables of a Service with an address.
fn add_service(variables: &mut BTreeMap<String, String>, service: &Value) {
    let address = object::text(service, "/spec/clusterIP");
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    let Some(ports) = ports.filter(|ports| !ports.is_empty() && !matches!(address, "" | "None")) else {
        return;
    };
    let name = variable_name(object::name(service));
    variables.insert(format!("{name}_SERVICE_HOST"), address.to_owned());
    for (position, port) in ports.iter().enumerate() {
        let number = port["port"].as_i64().unwrap_or(0);
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        let lower = protocol.to_lowercase();
        if position == 0 {
            variables.insert(format!("{name}_SERVICE_PORT"), number.to_string());
            variables.insert(format!("{name}_PORT"), format!("{lower}://{address}:{number}"));
        }
        if let Some(port_name) = port["name"].as_str().filter(|name| !name.is_empty()) {
            variables.insert(format!("{name}_SERVICE_PORT_{}", variable_name(port_name)), number.to_string());
        }
        let link = format!("{name}_PORT_{number}_{protocol}");
        variables.insert(link.clone(), format!("{lower}://{address}:{number}"));
        variables.insert(format!("{link}_PROTO"), lower);
        variables.insert(format!("{link}_PORT"), number.to_string());
        variables.insert(format!("{link}_ADDR"), address.to_owned());
    }
}

/// Points at the API server itself: its Service's port may need a privilege that this process lacks.
fn add_api_server(variables: &mut BTreeMap<String, String>, address: std::net::SocketAddr) {
    variables.insert("KUBERNETES_SERVICE_HOST".to_owned(), address.ip().to_string());
    variables.insert("KUBERNETES_SERVICE_PORT".to_owned(), address.port().to_string());
    variables.insert("KUBERNETES_SERVICE_PORT_HTTPS".to_owned(), address.port().to_string());
}

fn variable_name(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

#[cfg(test)]
#[path = "environment_tests.rs"]
mod tests;
