//! The cluster that is measured: nodes, namespaces, apps and pods by their number, so that nothing of it is stored.
//!
//! A namespace holds 800 pods in eight apps of 100, each pod two containers; pods are dealt out to the nodes in turn.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use flyball_scrape::target::COLLECTOR_PORT;
use serde_json::{Value, json};

use super::FIRST_KUBELET;
use crate::kubelets::demand::{Amount, Demand};
use crate::kubelets::pod::{Running, SimulatedPod};
use crate::kubelets::{Config, Credentials, Sampling, Simulation};

/// Pods of one app.
pub const APP_PODS: usize = 100;
/// Apps of one namespace.
const NAMESPACE_APPS: usize = 8;
const CONTAINERS: [&str; 2] = ["app", "proxy"];
const KUBELET_PORT: u16 = 10250;
/// How long all containers have been running when it begins.
const AGE_MS: i64 = 3_600_000;

/// How large it is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Nodes.
    pub nodes: usize,
    /// Pods on each.
    pub pods_per_node: usize,
}

/// Names and places.
#[derive(Debug, Clone, Copy)]
pub struct World {
    /// How large it is.
    pub size: Size,
}

/// What answers on the nodes.
#[derive(Debug, Clone, Copy)]
pub struct Endpoints {
    /// Flyball's collectors, which look each second, instead of kubelets.
    pub collectors: bool,
    /// Whether they compress for who asks for it, as all do.
    pub gzip: bool,
}

impl Endpoints {
    /// Kubelets as they are.
    pub const KUBELETS: Endpoints = Endpoints { collectors: false, gzip: true };
    /// Collectors as they are.
    pub const COLLECTORS: Endpoints = Endpoints { collectors: true, gzip: true };
}

impl World {
    /// Pods in all.
    #[must_use]
    pub fn pods(&self) -> usize {
        self.size.nodes * self.size.pods_per_node
    }

    /// Name of a node.
    #[must_use]
    pub fn node_name(index: usize) -> String {
        format!("node-{index}")
    }

    /// Namespace of a pod.
    #[must_use]
    pub fn namespace(pod: usize) -> String {
        format!("team-{:03}", pod / (APP_PODS * NAMESPACE_APPS))
    }

    /// App of a pod.
    #[must_use]
    pub fn app(pod: usize) -> String {
        format!("svc-{:05}", pod / APP_PODS)
    }

    /// Name of a pod, as a ReplicaSet makes it.
    #[must_use]
    pub fn pod_name(pod: usize) -> String {
        let hash = (pod / APP_PODS).wrapping_mul(0x9E37_79B9) % 0x10_0000_0000;
        format!("{}-{hash:09x}-{:05}", Self::app(pod), pod % APP_PODS)
    }

    /// The node as the API server tells it.
    #[must_use]
    pub fn node(index: usize) -> Value {
        let name = Self::node_name(index);
        json!({
            "kind": "Node", "apiVersion": "v1",
            "metadata": {
                "name": name, "uid": format!("00000000-0000-4000-8000-{index:012}"), "resourceVersion": "1",
                "labels": {
                    "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name,
                    "topology.kubernetes.io/zone": format!("zone-{}", index % 3),
                    "node.kubernetes.io/instance-type": "large"
                }
            },
            "status": {
                "addresses": [
                    {"type": "InternalIP", "address": Self::address(index).to_string()},
                    {"type": "Hostname", "address": name}
                ],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET_PORT}},
                "allocatable": {"cpu": "32", "memory": "64Gi", "pods": "110"},
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {
                    "kubeletVersion": "v1.34.1", "kernelVersion": "6.1.0", "osImage": "Debian", "architecture": "amd64",
                    "containerRuntimeVersion": "containerd://2.1.0", "operatingSystem": "linux", "bootID": "",
                    "machineID": "", "systemUUID": "", "kubeProxyVersion": ""
                }
            }
        })
    }

    /// The pod's metadata as the API server tells it.
    #[must_use]
    pub fn pod(index: usize) -> Value {
        let app = Self::app(index);
        json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": {
                "name": Self::pod_name(index), "namespace": Self::namespace(index),
                "uid": format!("00000000-0000-4000-9000-{index:012}"), "resourceVersion": "1",
                "labels": {
                    "app.kubernetes.io/name": app, "app.kubernetes.io/instance": app,
                    "pod-template-hash": format!("{:09x}", index / APP_PODS), "team": Self::namespace(index)
                }
            }
        })
    }

    /// The whole pod, about as long as pods are.
    #[must_use]
    pub fn whole_pod(&self, index: usize) -> Value {
        let mut pod = Self::pod(index);
        let container = |name: &&str| {
            json!({
                "name": name, "image": format!("registry.example.com/team/{name}:v1.2.3"),
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
                "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true}],
                "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10},
                "imagePullPolicy": "IfNotPresent"
            })
        };
        let state = |name: &&str| {
            json!({
                "name": name, "image": format!("registry.example.com/team/{name}:v1.2.3"), "imageID": "sha256:0",
                "containerID": format!("containerd://{index:064x}"), "ready": true, "restartCount": 0, "started": true,
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, "lastState": {}
            })
        };
        let condition = |kind: &str| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition);
        pod["kind"] = "Pod".into();
        pod["apiVersion"] = "v1".into();
        pod["spec"] = json!({
            "nodeName": Self::node_name(index % self.size.nodes), "serviceAccountName": "default",
            "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
            "volumes": [{"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
            "containers": CONTAINERS.iter().map(container).collect::<Vec<_>>()
        });
        pod["status"] = json!({
            "phase": "Running", "podIP": "10.0.0.1", "hostIP": "10.0.0.1", "qosClass": "Burstable",
            "startTime": "2026-01-01T00:00:00Z",
            "conditions": conditions,
            "containerStatuses": CONTAINERS.iter().map(state).collect::<Vec<_>>()
        });
        pod
    }

    /// The pod of the collector on a node, as far as it is looked at.
    #[must_use]
    pub fn collector(node: usize) -> Value {
        json!({
            "metadata": {
                "name": format!("flyball-collector-{node}"), "namespace": "flyball-system",
                "uid": format!("00000000-0000-4000-a000-{node:012}"), "resourceVersion": "1",
                "labels": {"app.kubernetes.io/name": "flyball-collector"}
            },
            "spec": {"nodeName": Self::node_name(node), "containers": []},
            "status": {
                "phase": "Running", "podIP": Self::address(node).to_string(),
                "conditions": [{"type": "Ready", "status": "True"}]
            }
        })
    }

    fn address(node: usize) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(FIRST_KUBELET) + u32::try_from(node).unwrap_or(0))
    }

    /// Starts its kubelets.
    ///
    /// # Errors
    /// An address cannot be used.
    pub fn kubelets(&self, endpoints: Endpoints, now_ms: i64) -> anyhow::Result<Simulation> {
        let collectors = endpoints.collectors;
        let port = if collectors { COLLECTOR_PORT } else { KUBELET_PORT };
        let address = |node| SocketAddr::from((Self::address(node), port));
        let mut config = Config::new("node", (0..self.size.nodes).map(address));
        config.credentials = Credentials::Demanded { client_authority_pem: None };
        config.gzip = endpoints.gzip;
        config.sweep_interval = collectors.then_some(Duration::from_secs(1));
        let period = if collectors { Duration::from_secs(1) } else { Duration::from_secs(10) };
        config.sampling = Sampling::Every { period, spread: true };
        let simulation = Simulation::start(config)?;
        for pod in 0..self.pods() {
            simulation.place(self.simulated(pod, now_ms));
        }
        Ok(simulation)
    }

    fn simulated(&self, pod: usize, now_ms: i64) -> SimulatedPod {
        let running = |name: &str| Running { name: name.to_owned(), started_ms: now_ms - AGE_MS };
        let cpu = 1_000_000 * (1 + pod as u64 % 97) + pod as u64 % 1000;
        let own = Demand {
            cpu: Some(Amount::Whole(cpu)),
            memory: Some(Amount::Whole((20 + pod as u64 % 200) << 21)),
        };
        SimulatedPod {
            namespace: Self::namespace(pod),
            name: Self::pod_name(pod),
            node: Self::node_name(pod % self.size.nodes),
            // Each pod is an app of its own here: loads that are shared would be dealt out anew with every pod.
            app: Self::pod_name(pod),
            containers: CONTAINERS.iter().map(|name| running(name)).collect(),
            takes_load: false,
            own,
            load: Demand::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_apps_full() {
        let all: HashSet<(String, String)> =
            (0..10_000).map(|pod| (World::namespace(pod), World::pod_name(pod))).collect();
        assert_eq!(all.len(), 10_000);
        let of_app = |app: &str| (0..800).filter(|pod| World::app(*pod) == app).count();
        assert_eq!((of_app("svc-00000"), of_app("svc-00007")), (100, 100));
        assert_eq!(
            (World::namespace(799), World::namespace(800)),
            ("team-000".to_owned(), "team-001".to_owned())
        );
    }
}
