//! Pods as targets: one for each port of each container, or one without a port for a container that names none. Pure.

use k8s_openapi::api::core::v1::{Container, Node, Pod};

use super::super::labelset::LabelSet;
use super::super::target::ADDRESS;
use super::meta::{NAMESPACE, host_port, name, of_object};

/// What is to be scraped of a pod; nothing while it has no address. `node` is the pod's, if its labels are attached.
pub(super) fn targets(pod: &Pod, node: Option<&Node>) -> Vec<LabelSet> {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).unwrap_or_default();
    if ip.is_empty() {
        return Vec::new();
    }
    let mut common = labels(pod);
    common.set(NAMESPACE, pod.metadata.namespace.clone().unwrap_or_default());
    if let Some(node) = node {
        of_object(&mut common, &node.metadata, "node");
    }
    let mut all = Vec::new();
    for (container, is_init) in containers(pod) {
        let mut of_container = common.clone();
        describe_container(&mut of_container, container, is_init);
        of_container.set(name("pod_container_id"), container_id(pod, &container.name, is_init));
        let ports = container.ports.as_deref().unwrap_or_default();
        if ports.is_empty() {
            of_container.set(ADDRESS, ip);
            all.push(of_container);
            continue;
        }
        for port in ports {
            let mut target = of_container.clone();
            target.set(ADDRESS, host_port(ip, port.container_port));
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            describe_port(&mut target, port.name.as_deref(), port.container_port, protocol);
            all.push(target);
        }
    }
    all
}

/// What a pod gives to all of its targets.
pub(super) fn labels(pod: &Pod) -> LabelSet {
    let mut set = LabelSet::default();
    let status = pod.status.as_ref();
    let text = |text: Option<&String>| text.cloned().unwrap_or_default();
    set.set(name("pod_ip"), text(status.and_then(|status| status.pod_ip.as_ref())));
    set.set(name("pod_ready"), ready(pod));
    set.set(name("pod_phase"), text(status.and_then(|status| status.phase.as_ref())));
    set.set(name("pod_node_name"), text(pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref())));
    set.set(name("pod_host_ip"), text(status.and_then(|status| status.host_ip.as_ref())));
    set.set(name("pod_uid"), text(pod.metadata.uid.as_ref()));
    of_object(&mut set, &pod.metadata, "pod");
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    if let Some(controller) = owners.iter().find(|owner| owner.controller == Some(true)) {
        set.set(name("pod_controller_kind"), controller.kind.clone());
        set.set(name("pod_controller_name"), controller.name.clone());
    }
    set
}

fn ready(pod: &Pod) -> String {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    ready.map_or_else(|| "unknown".to_owned(), |condition| condition.status.to_lowercase())
}

/// All containers, and whether each is an init container.
pub(super) fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let spec = pod.spec.as_ref();
    let usual = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    usual.iter().map(|container| (container, false)).chain(init.iter().map(|container| (container, true)))
}

pub(super) fn describe_container(set: &mut LabelSet, container: &Container, is_init: bool) {
    set.set(name("pod_container_name"), container.name.clone());
    set.set(name("pod_container_image"), container.image.clone().unwrap_or_default());
    set.set(name("pod_container_init"), is_init.to_string());
}

pub(super) fn describe_port(set: &mut LabelSet, port_name: Option<&str>, port: i32, protocol: &str) {
    set.set(name("pod_container_port_name"), port_name.unwrap_or_default());
    set.set(name("pod_container_port_number"), port.to_string());
    set.set(name("pod_container_port_protocol"), protocol);
}

fn container_id(pod: &Pod, container: &str, is_init: bool) -> String {
    let status = pod.status.as_ref();
    let statuses = status.and_then(|status| match is_init {
        true => status.init_container_statuses.as_deref(),
        false => status.container_statuses.as_deref(),
    });
    let found = statuses.unwrap_or_default().iter().find(|status| status.name == container);
    found.and_then(|status| status.container_id.clone()).unwrap_or_default()
}
