//! Addresses of services as targets, with what is known of the pods behind them; and the ports of those pods that no
//! service names. Pure.

use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, Endpoints, Node, ObjectReference, Pod, Service,
};

use super::super::labelset::LabelSet;
use super::super::target::ADDRESS;
use super::meta::{NAMESPACE, host_port, name, of_object};
use super::pod;

/// What is known around endpoints.
pub(super) trait Around {
    /// The service of the same name.
    fn service(&self, namespace: &str, name: &str) -> Option<&Service>;
    /// A pod that an address belongs to.
    fn pod(&self, namespace: &str, name: &str) -> Option<&Pod>;
    /// A node whose labels are attached; none where that was not asked for.
    fn node(&self, name: &str) -> Option<&Node>;
}

/// A pod that was met, and the ports that services name.
struct Met<'a> {
    pod: &'a Pod,
    ports: Vec<i32>,
}

/// What is to be scraped.
pub(super) fn targets(endpoints: &Endpoints, around: &dyn Around) -> Vec<LabelSet> {
    let namespace = endpoints.metadata.namespace.clone().unwrap_or_default();
    let own_name = endpoints.metadata.name.clone().unwrap_or_default();
    let mut common = LabelSet::default();
    common.set(NAMESPACE, namespace.clone());
    if let Some(service) = around.service(&namespace, &own_name) {
        of_object(&mut common, &service.metadata, "service");
    }
    of_object(&mut common, &endpoints.metadata, "endpoints");
    let mut all = Vec::new();
    let mut met: Vec<Met<'_>> = Vec::new();
    for subset in endpoints.subsets.iter().flatten() {
        for port in subset.ports.iter().flatten() {
            for (addresses, ready) in [(&subset.addresses, "true"), (&subset.not_ready_addresses, "false")] {
                for address in addresses.iter().flatten() {
                    let mut target = common.clone();
                    describe(&mut target, address, port, ready, around);
                    if let Some(pod) = pod_of(address, around) {
                        join_pod(&mut target, pod, port);
                        note(&mut met, pod, port.port);
                    }
                    all.push(target);
                }
            }
        }
    }
    for Met { pod, ports } in met {
        other_ports(&mut all, &common, pod, &ports);
    }
    all
}

fn describe(
    set: &mut LabelSet,
    address: &EndpointAddress,
    port: &EndpointPort,
    ready: &str,
    around: &dyn Around,
) {
    set.set(ADDRESS, host_port(&address.ip, port.port));
    set.set(name("endpoint_port_name"), port.name.clone().unwrap_or_default());
    set.set(name("endpoint_port_protocol"), port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()));
    set.set(name("endpoint_ready"), ready);
    let reference = address.target_ref.as_ref();
    let part =
        |part: fn(&ObjectReference) -> Option<&String>| reference.and_then(part).cloned().unwrap_or_default();
    set.set(name("endpoint_address_target_kind"), part(|reference| reference.kind.as_ref()));
    set.set(name("endpoint_address_target_name"), part(|reference| reference.name.as_ref()));
    set.set(name("endpoint_node_name"), address.node_name.clone().unwrap_or_default());
    set.set(name("endpoint_hostname"), address.hostname.clone().unwrap_or_default());
    let is_node = reference.is_some_and(|reference| reference.kind.as_deref() == Some("Node"));
    let referred = reference.filter(|_| is_node).and_then(|reference| reference.name.as_ref());
    if let Some(node) = address.node_name.as_ref().or(referred).and_then(|node| around.node(node)) {
        of_object(set, &node.metadata, "node");
    }
}

fn pod_of<'a>(address: &EndpointAddress, around: &'a dyn Around) -> Option<&'a Pod> {
    let reference = address.target_ref.as_ref().filter(|one| one.kind.as_deref() == Some("Pod"))?;
    around.pod(reference.namespace.as_deref().unwrap_or_default(), reference.name.as_deref()?)
}

/// The pod's labels, and its container that has this port.
fn join_pod(target: &mut LabelSet, pod: &Pod, port: &EndpointPort) {
    add_all(target, &pod::labels(pod));
    for (container, is_init) in pod::containers(pod) {
        let own = container.ports.iter().flatten().find(|own| own.container_port == port.port);
        if let Some(own) = own {
            pod::describe_container(target, container, is_init);
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            pod::describe_port(target, own.name.as_deref(), own.container_port, protocol);
        }
    }
}

fn note<'a>(met: &mut Vec<Met<'a>>, pod: &'a Pod, port: i32) {
    match met.iter_mut().find(|have| std::ptr::eq(have.pod, pod)) {
        Some(have) => have.ports.push(port),
        None => met.push(Met { pod, ports: vec![port] }),
    }
}

/// Ports of a pod that the service does not name.
fn other_ports(all: &mut Vec<LabelSet>, common: &LabelSet, pod: &Pod, named: &[i32]) {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).unwrap_or_default();
    if ip.is_empty() {
        return;
    }
    for (container, is_init) in pod::containers(pod) {
        for port in container.ports.iter().flatten().filter(|port| !named.contains(&port.container_port)) {
            let mut target = common.clone();
            add_all(&mut target, &pod::labels(pod));
            target.set(ADDRESS, host_port(ip, port.container_port));
            pod::describe_container(&mut target, container, is_init);
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            pod::describe_port(&mut target, port.name.as_deref(), port.container_port, protocol);
            all.push(target);
        }
    }
}

fn add_all(target: &mut LabelSet, more: &LabelSet) {
    more.iter().for_each(|(name, value)| target.set(name, value));
}
