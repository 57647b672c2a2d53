//! Nodes as targets: the kubelet of each. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;

use super::super::labelset::LabelSet;
use super::super::target::ADDRESS;
use super::meta::{host_port, name, of_object, sanitized};

/// Kinds of addresses, the best first.
const ADDRESS_TYPES: [&str; 6] =
    ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];

/// The kubelet, unless the node has no address.
pub(super) fn targets(node: &Node) -> Vec<LabelSet> {
    let status = node.status.as_ref();
    let mut by_type: BTreeMap<&str, &str> = BTreeMap::new();
    for address in status.and_then(|status| status.addresses.as_deref()).unwrap_or_default() {
        by_type.entry(&address.type_).or_insert(&address.address);
    }
    let Some(address) = ADDRESS_TYPES.into_iter().find_map(|kind| by_type.get(kind)) else {
        return Vec::new();
    };
    let endpoints = status.and_then(|status| status.daemon_endpoints.as_ref());
    let port = endpoints.and_then(|endpoints| Some(endpoints.kubelet_endpoint.as_ref()?.port)).unwrap_or(0);
    let mut set = LabelSet::default();
    set.set(ADDRESS, host_port(address, port));
    set.set("instance", node.metadata.name.clone().unwrap_or_default());
    let provider = node.spec.as_ref().and_then(|spec| spec.provider_id.clone());
    set.set(name("node_provider_id"), provider.unwrap_or_default());
    of_object(&mut set, &node.metadata, "node");
    for (kind, address) in by_type {
        set.set(sanitized(&name(&format!("node_address_{kind}"))), address);
    }
    vec![set]
}
