//! The Node object of this machine and its heartbeats.
//!
//! As a kubelet does it: the Lease in `kube-node-lease` is renewed every [`LEASE_PERIOD`], the Node's status is written
//! every [`STATUS_PERIOD`] or when it changed.

use std::net::IpAddr;
use std::time::Duration;

use flyball_model::quantity::Quantity;
use flyball_model::time::{rfc3339_micros, rfc3339_seconds};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::machine::Machine;
use super::object;
use crate::registry::clock::now_ms;
use crate::registry::kinds::{LEASES, NODES};
use crate::registry::{Part, Registry, Status};

/// How often the Lease is renewed.
const LEASE_PERIOD: Duration = Duration::from_secs(10);
/// How often the Node's heartbeat times are written.
const STATUS_PERIOD: Duration = Duration::from_secs(300);
/// Seconds after which others may call the node lost.
const LEASE_SECONDS: i64 = 40;
/// Namespace of node leases.
const LEASE_NAMESPACE: &str = "kube-node-lease";

/// What the Node object says.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Node name.
    pub name: String,
    /// Address under which the node's endpoint (the collector) answers.
    pub address: IpAddr,
    /// Port of that endpoint; `None` if there is none.
    pub kubelet_port: Option<u16>,
    /// Most pods.
    pub max_pods: u32,
    /// The machine.
    pub machine: Machine,
    /// Version to state as `kubeletVersion`.
    pub version: String,
}

impl NodeConfig {
    /// `capacity` and `allocatable`.
    fn resources(&self) -> Value {
        let cpu =
            Quantity::from_milli(self.machine.cpu_milli, flyball_model::quantity::QuantityFormat::DecimalSi);
        let mut resources = json!({ "cpu": cpu.to_string(), "pods": self.max_pods.to_string() });
        if let Some(bytes) = self.machine.memory_bytes {
            // Whole Ki, as a kubelet states it.
            resources["memory"] = json!(format!("{}Ki", bytes / 1024));
        }
        resources
    }

    fn labels(&self) -> [(&'static str, &str); 5] {
        [
            ("kubernetes.io/hostname", &self.name),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", &self.machine.architecture),
            ("beta.kubernetes.io/os", "linux"),
            ("beta.kubernetes.io/arch", &self.machine.architecture),
        ]
    }

    fn status(&self, before: Option<&Value>, now_ms: i64) -> Value {
        let absent = String::new();
        let fact = |fact: &Option<String>| fact.as_ref().unwrap_or(&absent).clone();
        let conditions = [
            (
                "MemoryPressure",
                "False",
                "KubeletHasSufficientMemory",
                "kubelet has sufficient memory available",
            ),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ];
        let condition = |(kind, status, reason, message): &(&str, &str, &str, &str)| {
            let known = before
                .and_then(|node| object::condition(node, kind))
                .filter(|known| known["status"] == *status);
            let since = known.map(|known| known["lastTransitionTime"].clone());
            json!({
                "type": kind, "status": status, "reason": reason, "message": message,
                "lastHeartbeatTime": rfc3339_seconds(now_ms),
                "lastTransitionTime": since.unwrap_or_else(|| json!(rfc3339_seconds(now_ms))),
            })
        };
        let mut status = json!({
            "capacity": self.resources(),
            "allocatable": self.resources(),
            "addresses": [
                { "type": "InternalIP", "address": self.address.to_string() },
                { "type": "Hostname", "address": self.name },
            ],
            "conditions": conditions.iter().map(condition).collect::<Vec<_>>(),
            "nodeInfo": {
                "architecture": self.machine.architecture, "operatingSystem": "linux",
                "kernelVersion": self.machine.kernel, "osImage": fact(&self.machine.os_image),
                "machineID": fact(&self.machine.machine_id), "systemUUID": fact(&self.machine.machine_id),
                "bootID": fact(&self.machine.boot_id),
                "kubeletVersion": self.version, "kubeProxyVersion": self.version,
                "containerRuntimeVersion": format!("flyball://{}", self.version),
            },
        });
        if let Some(port) = self.kubelet_port {
            status["daemonEndpoints"] = json!({ "kubeletEndpoint": { "Port": port } });
        }
        status
    }
}

/// Keeps Node and Lease until shutdown.
pub(super) async fn run(registry: Registry, config: NodeConfig, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(LEASE_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut status_at = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let present = registry.get(&NODES, "", &config.name).is_some();
        if !present || Instant::now() >= status_at {
            match write_node(&registry, &config, now_ms()) {
                Ok(()) => status_at = Instant::now() + STATUS_PERIOD,
                Err(status) => tracing::warn!(node = config.name, ?status, "node status cannot be written"),
            }
        }
        if let Err(status) = renew_lease(&registry, &config, now_ms()) {
            tracing::warn!(node = config.name, ?status, "node lease cannot be renewed");
        }
    }
}

/// Creates or refreshes the Node.
///
/// # Errors
/// What the registry refuses.
pub(super) fn write_node(registry: &Registry, config: &NodeConfig, now_ms: i64) -> Result<(), Status> {
    let label = |node: &mut Value| {
        for (key, value) in config.labels() {
            object::set_metadata_entry(node, "labels", key, value);
        }
    };
    if registry.get(&NODES, "", &config.name).is_none() {
        let mut node =
            json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": config.name }, "spec": {} });
        label(&mut node);
        registry.create(&NODES, "", node)?;
    } else {
        registry.modify(&NODES, "", &config.name, Part::Spec, label)?;
    }
    registry.modify(&NODES, "", &config.name, Part::Status, |node| {
        node["status"] = config.status(Some(node), now_ms);
    })?;
    Ok(())
}

fn renew_lease(registry: &Registry, config: &NodeConfig, now_ms: i64) -> Result<(), Status> {
    let renewed = rfc3339_micros(now_ms.saturating_mul(1000));
    if registry.get(&LEASES, LEASE_NAMESPACE, &config.name).is_some() {
        registry.modify(&LEASES, LEASE_NAMESPACE, &config.name, Part::Spec, |lease| {
            lease["spec"]["renewTime"] = json!(renewed);
        })?;
        return Ok(());
    }
    let node = registry.get(&NODES, "", &config.name);
    let owner = node.map(
        |node| json!({ "apiVersion": "v1", "kind": "Node", "name": config.name, "uid": object::uid(&node) }),
    );
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": config.name, "ownerReferences": owner.into_iter().collect::<Vec<_>>() },
        "spec": { "holderIdentity": config.name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": renewed },
    });
    registry.create(&LEASES, LEASE_NAMESPACE, lease)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_is_ready_and_keeps_its_transition_time() {
        let registry = Registry::in_memory();
        let machine = Machine { cpu_milli: 2000, memory_bytes: Some(4096 * 1024), ..Machine::default() };
        let config = NodeConfig {
            name: "n".to_owned(),
            address: IpAddr::from([127, 0, 0, 1]),
            kubelet_port: Some(4194),
            max_pods: 110,
            machine,
            version: "v0".to_owned(),
        };
        write_node(&registry, &config, 1_000).unwrap();
        write_node(&registry, &config, 9_000).unwrap();
        let node = registry.get(&NODES, "", "n").unwrap();
        assert_eq!(node["status"]["capacity"], json!({"cpu": "2", "memory": "4096Ki", "pods": "110"}));
        let ready = object::condition(&node, "Ready").unwrap();
        assert_eq!(ready["lastTransitionTime"], "1970-01-01T00:00:01Z");
        assert_eq!(ready["lastHeartbeatTime"], "1970-01-01T00:00:09Z");
        assert_eq!(node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"], 4194);
        renew_lease(&registry, &config, 1).unwrap();
        renew_lease(&registry, &config, 2).unwrap();
    }
}
