//! From Node and Pod objects to targets: upstream metrics-server's rules. Pure.

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::target::{COLLECTOR_PORT, KUBELET_PORT, Kind, RESOURCE_METRICS_PATH, Target};

/// Label of collector pods.
pub const COLLECTOR_LABEL: &str = "app.kubernetes.io/name=flyball-collector";
/// Node annotation that replaces the path.
pub const PATH_ANNOTATION: &str = "metrics.k8s.io/resource-metrics-path";

/// How a kubelet's address is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeletAddress {
    /// `--kubelet-preferred-address-types`, best first.
    pub preferred_types: Vec<String>,
    /// `--kubelet-port`.
    pub port: u16,
    /// `--kubelet-use-node-status-port`: the node's own word goes first.
    pub use_node_status_port: bool,
}

impl Default for KubeletAddress {
    /// The values of upstream's manifests.
    fn default() -> KubeletAddress {
        let preferred_types = ["InternalIP", "ExternalIP", "Hostname"].map(str::to_owned).to_vec();
        KubeletAddress { preferred_types, port: KUBELET_PORT, use_node_status_port: true }
    }
}

impl KubeletAddress {
    /// The kubelet of this node.
    pub fn target(&self, node: &Node) -> Target {
        let annotations = node.metadata.annotations.as_ref();
        let path = annotations.and_then(|all| all.get(PATH_ANNOTATION)).filter(|path| !path.is_empty());
        Target {
            node: node.metadata.name.clone().unwrap_or_default(),
            kind: Kind::Kubelet,
            host: self.host(node),
            port: self.port_of(node),
            path: path.map_or_else(|| RESOURCE_METRICS_PATH.to_owned(), |path| with_slash(path)),
        }
    }

    fn host(&self, node: &Node) -> Result<String, String> {
        let addresses =
            node.status.as_ref().and_then(|status| status.addresses.as_deref()).unwrap_or_default();
        let of_type = |kind: &String| addresses.iter().find(|address| address.type_ == *kind);
        let chosen = self.preferred_types.iter().find_map(of_type);
        chosen.map(|address| address.address.clone()).ok_or_else(|| {
            format!("the node has no address of the types {}", self.preferred_types.join(", "))
        })
    }

    fn port_of(&self, node: &Node) -> u16 {
        let status = node.status.as_ref().filter(|_| self.use_node_status_port);
        let endpoint = status.and_then(|status| status.daemon_endpoints.as_ref()?.kubelet_endpoint.as_ref());
        let told = endpoint.and_then(|endpoint| u16::try_from(endpoint.port).ok());
        told.filter(|port| *port != 0).unwrap_or(self.port)
    }
}

fn with_slash(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// The collector in this pod, if it can be asked: it has a node and an address, is Ready and is not being deleted.
pub fn collector_target(pod: &Pod) -> Option<Target> {
    let node = pod.spec.as_ref()?.node_name.as_ref()?;
    let status = pod.status.as_ref()?;
    let address = status.pod_ip.as_ref().filter(|address| !address.is_empty())?;
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let usable = ready && pod.metadata.deletion_timestamp.is_none();
    usable.then(|| Target::collector(node.clone(), address.clone(), COLLECTOR_PORT))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(status: serde_json::Value, annotations: serde_json::Value) -> Node {
        let value = json!({"metadata": {"name": "n1", "annotations": annotations}, "status": status});
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn kubelet_targets() {
        let addresses = json!([
            {"type": "Hostname", "address": "n1.example"},
            {"type": "InternalIP", "address": "10.0.0.1"},
            {"type": "InternalIP", "address": "fd00::1"}
        ]);
        let full = json!({"addresses": addresses, "daemonEndpoints": {"kubeletEndpoint": {"Port": 10999}}});
        let types = |list: &[&str]| list.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
        let internal_first = KubeletAddress::default();
        let name_first = KubeletAddress {
            preferred_types: types(&["InternalDNS", "Hostname"]),
            use_node_status_port: false,
            ..KubeletAddress::default()
        };
        let external =
            KubeletAddress { preferred_types: types(&["ExternalIP"]), ..KubeletAddress::default() };
        for (id, settings, status, expected) in [
            ("first of the preferred type", &internal_first, full.clone(), "10.0.0.1:10999"),
            ("configured port", &name_first, full.clone(), "n1.example:10250"),
            (
                "port 0 is none",
                &internal_first,
                json!({"addresses": [{"type": "InternalIP", "address": "fd00::2"}],
                    "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}}),
                "[fd00::2]:10250",
            ),
        ] {
            assert_eq!(settings.target(&node(status, json!({}))).authority(), expected, "{id}");
        }
        let without = external.target(&node(full, json!({})));
        assert_eq!(without.host.unwrap_err(), "the node has no address of the types ExternalIP");
    }

    #[test]
    fn path_annotation() {
        let path = |annotations| KubeletAddress::default().target(&node(json!({}), annotations)).path;
        assert_eq!(path(json!({})), "/metrics/resource");
        assert_eq!(path(json!({PATH_ANNOTATION: "/other/path"})), "/other/path");
        assert_eq!(path(json!({PATH_ANNOTATION: "other"})), "/other");
        assert_eq!(path(json!({PATH_ANNOTATION: ""})), "/metrics/resource");
    }

    #[test]
    fn collector_pods() {
        let pod = |ready: &str, address: &str, deleted: bool| {
            let mut metadata = json!({"name": "c", "namespace": "flyball"});
            if deleted {
                metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            let status = json!({"podIP": address, "conditions": [{"type": "Ready", "status": ready}]});
            let spec = json!({"nodeName": "n1", "containers": []});
            collector_target(
                &serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status}))
                    .unwrap(),
            )
        };
        assert_eq!(pod("True", "10.1.0.9", false).unwrap().authority(), "10.1.0.9:4194");
        assert_eq!(pod("False", "10.1.0.9", false), None);
        assert_eq!(pod("True", "", false), None);
        assert_eq!(pod("True", "10.1.0.9", true), None);
    }
}
