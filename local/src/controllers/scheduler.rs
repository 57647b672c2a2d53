//! The scheduler of a cluster with one node: a pod is bound if its requests fit, else it is told why not.
//!
//! Messages are kubernetes/kubernetes `pkg/scheduler`'s, so that `kubectl describe pod` reads as usual.

use std::time::Duration;

use flyball_model::quantity::Quantity;
use serde_json::{Value, json};

use super::object;
use super::worker::{Controller, Key};
use crate::registry::kinds::{NODES, PODS, Resource};
use crate::registry::{Part, Registry, Status, WatchEvent, WatchKind};

/// The scheduler.
pub(super) struct Scheduler {
    /// The node that pods are bound to.
    pub(super) node: String,
}

/// Component name in events, and the scheduler name that pods ask for.
const COMPONENT: &str = "default-scheduler";

impl Controller for Scheduler {
    const NAME: &'static str = "scheduler";

    fn watches(&self) -> &'static [&'static Resource] {
        const WATCHES: [&Resource; 2] = [&PODS, &NODES];
        &WATCHES
    }

    fn affected(&self, registry: &Registry, resource: &'static Resource, event: &WatchEvent) -> Vec<Key> {
        let pod = &*event.object;
        if *resource == NODES {
            // Heartbeats change nothing that matters here.
            let before = event.previous.as_deref().unwrap_or(&Value::Null);
            let same = before["spec"] == pod["spec"]
                && before["metadata"]["labels"] == pod["metadata"]["labels"]
                && before["status"]["allocatable"] == pod["status"]["allocatable"];
            return if same { Vec::new() } else { self.all(registry) };
        }
        let ended = !is_using_node(pod) || event.kind == WatchKind::Deleted;
        if is_bound(pod) && ended {
            return self.all(registry);
        }
        if is_bound(pod) { Vec::new() } else { vec![Key::new(object::namespace(pod), object::name(pod))] }
    }

    fn all(&self, registry: &Registry) -> Vec<Key> {
        let pods = registry.list(&PODS, None).items;
        let pending = pods.iter().filter(|pod| !is_bound(pod));
        pending.map(|pod| Key::new(object::namespace(pod), object::name(pod))).collect()
    }

    fn sync(&mut self, registry: &Registry, key: &Key, now_ms: i64) -> Result<Option<Duration>, Status> {
        let Some(pod) = registry.get(&PODS, &key.namespace, &key.name) else { return Ok(None) };
        let gated = pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty());
        if is_bound(&pod) || object::is_deleting(&pod) || gated || !wants_us(&pod) {
            return Ok(None);
        }
        let Some(node) = registry.get(&NODES, "", &self.node) else {
            return Ok(Some(Duration::from_millis(200)));
        };
        let others = registry.list(&PODS, None).items;
        let running: Vec<&Value> =
            others.iter().map(|pod| &**pod).filter(|pod| is_bound(pod) && is_using_node(pod)).collect();
        match misfit(&pod, &node, &running) {
            None => bind(registry, key, &self.node, now_ms)?,
            Some(message) => refuse(registry, key, &pod, &message, now_ms)?,
        }
        Ok(None)
    }
}

fn wants_us(pod: &Value) -> bool {
    matches!(object::text(pod, "/spec/schedulerName"), "" | COMPONENT)
}

fn is_bound(pod: &Value) -> bool {
    !object::text(pod, "/spec/nodeName").is_empty()
}

/// True while the pod's requests count: until it has ended.
fn is_using_node(pod: &Value) -> bool {
    !matches!(object::text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// CPU in thousandths of a core and memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Requests {
    cpu_milli: i64,
    memory_bytes: i64,
}

impl Requests {
    fn of(resources: &Value) -> Self {
        let quantity = |name: &str| resources[name].as_str().and_then(|text| text.parse::<Quantity>().ok());
        Self {
            cpu_milli: quantity("cpu").map_or(0, |cpu| cpu.milli_value()),
            memory_bytes: quantity("memory").map_or(0, |memory| memory.value()),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            cpu_milli: self.cpu_milli.saturating_add(other.cpu_milli),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            cpu_milli: self.cpu_milli.max(other.cpu_milli),
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
        }
    }
}

/// A pod's requests: the sum of its containers, or its largest init container if that is more.
fn pod_requests(pod: &Value) -> Requests {
    let list = |field: &str| {
        let containers = pod["spec"][field].as_array().cloned().unwrap_or_default();
        containers.into_iter().map(|container| Requests::of(&container["resources"]["requests"]))
    };
    let together = list("containers").fold(Requests::default(), Requests::plus);
    list("initContainers").fold(together, Requests::max)
}

/// Why the pod does not fit the node, in the scheduler's words; `None` if it fits.
fn misfit(pod: &Value, node: &Value, running: &[&Value]) -> Option<String> {
    let unhelpful = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    if node["spec"]["unschedulable"] == true {
        return Some(format!("0/1 nodes are available: 1 node(s) were unschedulable. {unhelpful}"));
    }
    let selector = pod.pointer("/spec/nodeSelector").and_then(Value::as_object);
    let matches = |(key, value): (&String, &Value)| object::label(node, key) == value.as_str();
    if !selector.into_iter().flatten().all(matches) {
        let reason = "1 node(s) didn't match Pod's node affinity/selector.";
        return Some(format!("0/1 nodes are available: {reason} {unhelpful}"));
    }
    let allocatable = &node["status"]["allocatable"];
    let limits = Requests::of(allocatable);
    let used = running.iter().map(|pod| pod_requests(pod)).fold(Requests::default(), Requests::plus);
    let wanted = pod_requests(pod);
    let total = used.plus(wanted);
    let max_pods = allocatable["pods"].as_str().and_then(|text| text.parse::<usize>().ok());
    let mut reasons = Vec::new();
    if wanted.cpu_milli > 0 && total.cpu_milli > limits.cpu_milli {
        reasons.push("1 Insufficient cpu");
    }
    if wanted.memory_bytes > 0 && total.memory_bytes > limits.memory_bytes {
        reasons.push("1 Insufficient memory");
    }
    if max_pods.is_some_and(|max| running.len() >= max) {
        reasons.push("1 Too many pods");
    }
    let victims = "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
    (!reasons.is_empty()).then(|| format!("0/1 nodes are available: {}. {victims}", reasons.join(", ")))
}

fn bind(registry: &Registry, key: &Key, node: &str, now_ms: i64) -> Result<(), Status> {
    let pod = registry.modify(&PODS, &key.namespace, &key.name, Part::Spec, |pod| {
        pod["spec"]["nodeName"] = json!(node);
    })?;
    let scheduled = json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null,
        "lastTransitionTime": object::rfc3339(now_ms),
    });
    registry.modify(&PODS, &key.namespace, &key.name, Part::Status, |pod| set_scheduled(pod, &scheduled))?;
    let message = format!("Successfully assigned {}/{} to {node}", key.namespace, key.name);
    registry.record_event(&pod, "Normal", "Scheduled", &message, COMPONENT);
    Ok(())
}

fn refuse(registry: &Registry, key: &Key, pod: &Value, message: &str, now_ms: i64) -> Result<(), Status> {
    let known = object::condition(pod, "PodScheduled").filter(|known| known["message"] == message);
    if known.is_some() {
        return Ok(());
    }
    let condition = json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
        "lastProbeTime": null, "lastTransitionTime": object::rfc3339(now_ms),
    });
    registry.modify(&PODS, &key.namespace, &key.name, Part::Status, |pod| set_scheduled(pod, &condition))?;
    registry.record_event(pod, "Warning", "FailedScheduling", message, COMPONENT);
    Ok(())
}

fn set_scheduled(pod: &mut Value, condition: &Value) {
    let status = object::child(pod, "status");
    if status.get("phase").is_none() {
        status.insert("phase".to_owned(), json!("Pending"));
    }
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    if let Some(conditions) = conditions.as_array_mut() {
        conditions.retain(|known| known["type"] != "PodScheduled");
        conditions.push(condition.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(cpu: &str, memory: &str) -> Value {
        json!({"spec": {"containers": [{"resources": {"requests": {"cpu": cpu, "memory": memory}}}]}})
    }

    fn node() -> Value {
        json!({"metadata": {"labels": {"kubernetes.io/os": "linux"}},
            "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3"}}})
    }

    #[test]
    fn requests_must_fit() {
        let busy = pod("1500m", "512Mi");
        assert_eq!(misfit(&pod("500m", "512Mi"), &node(), &[&busy]), None);
        let message = misfit(&pod("501m", "513Mi"), &node(), &[&busy]).unwrap();
        assert!(
            message.starts_with("0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory."),
            "{message}"
        );
        // Without requests only the number of pods counts.
        let full = pod("2", "1Gi");
        assert_eq!(misfit(&json!({"spec": {"containers": [{}]}}), &node(), &[&full]), None);
        assert!(misfit(&pod("0", "0"), &node(), &[&full, &full, &full]).unwrap().contains("Too many pods"));
    }

    #[test]
    fn selector_must_match() {
        let mut picky = pod("1m", "1");
        picky["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "linux"});
        assert_eq!(misfit(&picky, &node(), &[]), None);
        picky["spec"]["nodeSelector"] = json!({"disk": "fast"});
        assert!(misfit(&picky, &node(), &[]).unwrap().contains("didn't match Pod's node affinity/selector"));
    }

    #[test]
    fn largest_init_container_counts() {
        let mut pod = pod("100m", "1Mi");
        pod["spec"]["initContainers"] = json!([{"resources": {"requests": {"cpu": "300m"}}}]);
        assert_eq!(pod_requests(&pod), Requests { cpu_milli: 300, memory_bytes: 1 << 20 });
    }
}
