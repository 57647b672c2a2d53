//! The API objects of a node without containers: the Node, its Lease, and the status of its pods.

use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::{Value, json};

use flyball_model::time::{rfc3339_micros, rfc3339_seconds};

use crate::kubelets::config::Allocatable;
use crate::kubelets::pod::lasting;

/// How long a Lease holds, seconds: the kubelet's default.
pub const LEASE_SECONDS: u32 = 40;
/// Namespace of the nodes' Leases.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";
/// Label on every node of a simulation.
pub const NODE_LABEL: &str = "sim.flyball.io/node";

/// The conditions a kubelet reports: type, status, reason, message.
const NODE_CONDITIONS: [[&str; 4]; 4] = [
    ["MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
    ["DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
    ["PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"],
    ["Ready", "True", "KubeletReady", "kubelet is posting ready status"],
];

/// A Node to create.
#[must_use]
pub fn node(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                NODE_LABEL: "true",
            },
        },
    })
}

/// The status of a Node, as a patch. `since_ms` is when its conditions took their values.
#[must_use]
pub fn node_status(
    name: &str,
    address: std::net::SocketAddr,
    room: &Allocatable,
    version: &str,
    since_ms: i64,
    now_ms: i64,
) -> Value {
    let (since, now) = (rfc3339_seconds(since_ms), rfc3339_seconds(now_ms));
    let conditions = NODE_CONDITIONS.map(|[kind, status, reason, message]| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": since, "lastHeartbeatTime": now,
        })
    });
    let room = json!({ "cpu": room.cpu, "memory": room.memory, "pods": room.pods.to_string() });
    json!({
        "status": {
            "capacity": room,
            "allocatable": room,
            "conditions": conditions,
            "addresses": [
                { "type": "InternalIP", "address": address.ip().to_string() },
                { "type": "Hostname", "address": name },
            ],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": address.port() } },
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": name,
                "containerRuntimeVersion": "simulated://1",
                "kernelVersion": "6.12.0",
                "kubeProxyVersion": "",
                "kubeletVersion": version,
                "machineID": name,
                "operatingSystem": "linux",
                "osImage": "simulated",
                "systemUUID": name,
            },
        },
    })
}

/// A node's Lease, renewed at `now_ms`.
#[must_use]
pub fn lease(name: &str, now_ms: i64) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": name, "namespace": LEASE_NAMESPACE },
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": rfc3339_micros(now_ms * 1000),
        },
    })
}

/// What a kubelet reports of a pod.
#[derive(Debug, Clone, Copy)]
pub struct PodFacts<'a> {
    /// Address of the node.
    pub host_ip: &'a str,
    /// Address of the pod.
    pub pod_ip: &'a str,
    /// When its containers were started, Unix milliseconds.
    pub started_ms: i64,
    /// Whether it is ready.
    pub ready: bool,
    /// Now, Unix milliseconds.
    pub now_ms: i64,
}

/// The status of a running pod, as a strategic merge patch: conditions of others stay.
#[must_use]
pub fn pod_status(pod: &Pod, facts: PodFacts<'_>) -> Value {
    let ready = |on: bool| if on { "True" } else { "False" };
    let mut conditions: Vec<Value> = Vec::new();
    for (kind, on) in [("PodReadyToStartContainers", true), ("Initialized", true)] {
        conditions.push(condition(pod, kind, ready(on), None, facts.now_ms));
    }
    let waiting: Vec<&str> = lasting(pod).map(|container| container.name.as_str()).collect();
    let reason = (!facts.ready).then(|| format!("containers with unready status: [{}]", waiting.join(" ")));
    for kind in ["Ready", "ContainersReady"] {
        conditions.push(condition(pod, kind, ready(facts.ready), reason.as_deref(), facts.now_ms));
    }
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let init: Vec<Value> =
        init.iter().enumerate().map(|(at, one)| init_status(pod, one, at, facts)).collect();
    let main = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let main: Vec<Value> =
        main.iter().enumerate().map(|(at, one)| running_status(pod, one, init.len() + at, facts)).collect();
    let mut status = json!({
        "phase": "Running",
        "startTime": rfc3339_seconds(facts.started_ms),
        "hostIP": facts.host_ip,
        "hostIPs": [{ "ip": facts.host_ip }],
        "podIP": facts.pod_ip,
        "podIPs": [{ "ip": facts.pod_ip }],
        "conditions": conditions,
        "containerStatuses": main,
    });
    if !init.is_empty() {
        status["initContainerStatuses"] = init.into();
    }
    json!({ "metadata": { "uid": pod.metadata.uid }, "status": status })
}

/// A condition; it keeps the time of its last change while its status stays.
fn condition(pod: &Pod, kind: &str, status: &str, unready: Option<&str>, now_ms: i64) -> Value {
    let present = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let kept = present.iter().find(|one| one.type_ == kind && one.status == status);
    let since_ms = kept.and_then(|one| one.last_transition_time.as_ref()).map(|time| time.0.as_millisecond());
    let mut condition = json!({
        "type": kind,
        "status": status,
        "lastTransitionTime": rfc3339_seconds(since_ms.unwrap_or(now_ms)),
        // `null` removes what an earlier state left.
        "reason": Value::Null,
        "message": Value::Null,
    });
    if let Some(message) = unready {
        condition["reason"] = "ContainersNotReady".into();
        condition["message"] = message.into();
    }
    condition
}

/// An init container has done its work; a restartable one runs.
fn init_status(pod: &Pod, container: &Container, at: usize, facts: PodFacts<'_>) -> Value {
    if container.restart_policy.as_deref() == Some("Always") {
        return running_status(pod, container, at, facts);
    }
    let time = rfc3339_seconds(facts.started_ms);
    let mut status = running_status(pod, container, at, facts);
    status["ready"] = true.into();
    status["started"] = false.into();
    status["state"] = json!({ "terminated": {
        "exitCode": 0, "reason": "Completed", "startedAt": time, "finishedAt": time,
        "containerID": status["containerID"],
    }});
    status
}

fn running_status(pod: &Pod, container: &Container, at: usize, facts: PodFacts<'_>) -> Value {
    let image = container.image.as_deref().unwrap_or_default();
    let uid = pod.metadata.uid.as_deref().unwrap_or_default().replace('-', "");
    json!({
        "name": container.name,
        "image": image,
        "imageID": format!("simulated://{image}"),
        // 64 hexadecimal digits, as runtimes have them: the pod's identity and the container's number.
        "containerID": format!("containerd://{uid:0<56}{at:08x}"),
        "ready": facts.ready,
        "started": true,
        "restartCount": 0,
        "lastState": {},
        "state": { "running": { "startedAt": rfc3339_seconds(facts.started_ms) } },
    })
}
