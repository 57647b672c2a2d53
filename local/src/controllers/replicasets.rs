//! ReplicaSets: so many pods of one template.
//!
//! Follows kubernetes/kubernetes `pkg/controller/replicaset`. It reads the registry directly, so it needs none of
//! upstream's expectations: what it created a moment ago is already in the list.

use std::sync::Arc;
use std::time::Duration;

use flyball_model::selector::LabelSelector;
use serde_json::{Value, json};

use super::deployment::sets::{matches_labels, push_owner};
use super::object;
use super::ranking::{Candidate, deletion_order};
use super::worker::{Controller, Key};
use crate::registry::kinds::{PODS, REPLICASETS, Resource};
use crate::registry::{DeleteOptions, Part, Registry, Status, WatchEvent};

/// The ReplicaSet controller.
pub(super) struct ReplicaSets;

/// Component name in events.
const COMPONENT: &str = "replicaset-controller";
/// Most pods created or deleted in one sync, as upstream.
const BURST_PODS: usize = 500;

impl Controller for ReplicaSets {
    const NAME: &'static str = "replicaset";

    fn watches(&self) -> &'static [&'static Resource] {
        const WATCHES: [&Resource; 2] = [&REPLICASETS, &PODS];
        &WATCHES
    }

    fn affected(&self, registry: &Registry, resource: &'static Resource, event: &WatchEvent) -> Vec<Key> {
        let object = &*event.object;
        let namespace = object::namespace(object);
        if *resource == REPLICASETS {
            return vec![Key::new(namespace, object::name(object))];
        }
        if let Some(owner) = object::controller_of(object) {
            return vec![Key::new(namespace, &owner.name)];
        }
        // A pod without an owner may be adopted.
        let sets = registry.list(&REPLICASETS, Some(namespace)).items;
        let selecting =
            sets.iter().filter(|set| selector_of(set).is_some_and(|s| matches_labels(&s, object)));
        selecting.map(|set| Key::new(namespace, object::name(set))).collect()
    }

    fn all(&self, registry: &Registry) -> Vec<Key> {
        let sets = registry.list(&REPLICASETS, None).items;
        sets.iter().map(|item| Key::new(object::namespace(item), object::name(item))).collect()
    }

    fn sync(&mut self, registry: &Registry, key: &Key, now_ms: i64) -> Result<Option<Duration>, Status> {
        let Some(set) = registry.get(&REPLICASETS, &key.namespace, &key.name) else { return Ok(None) };
        let mut pods = owned_pods(registry, key, &set)?;
        let mut failure = None;
        if !object::is_deleting(&set) {
            match manage(registry, &set, &pods, now_ms) {
                Ok(false) => {}
                Ok(true) => pods = owned_pods(registry, key, &set)?,
                Err(error) => failure = Some(error),
            }
        }
        let (status, again) = next_status(&set, &pods, failure.as_ref(), now_ms);
        if set.get("status") != Some(&status) {
            registry.modify(&REPLICASETS, &key.namespace, &key.name, Part::Status, |set| {
                set["status"] = status.clone();
            })?;
        }
        match failure {
            Some(failure) => Err(failure.status),
            None => Ok(again),
        }
    }
}

/// Why pods could not be created or deleted.
struct Failure {
    reason: &'static str,
    status: Status,
}

fn selector_of(set: &Value) -> Option<LabelSelector> {
    LabelSelector::from_json(&set["spec"]["selector"]).ok().filter(|selector| !selector.is_empty())
}

/// Pods of the set that have not ended and are not being deleted; matching pods without an owner are adopted.
fn owned_pods(registry: &Registry, key: &Key, set: &Value) -> Result<Vec<Arc<Value>>, Status> {
    let selector = selector_of(set);
    let mut owned = Vec::new();
    for pod in registry.list(&PODS, Some(&key.namespace)).items {
        if !object::is_pod_active(&pod) {
            continue;
        }
        match object::controller_of(&pod) {
            Some(owner) if owner.uid == object::uid(set) => owned.push(pod),
            None if !object::is_deleting(set)
                && selector.as_ref().is_some_and(|selector| matches_labels(selector, &pod)) =>
            {
                let reference = object::owner_reference(set, "apps/v1", "ReplicaSet");
                owned.push(registry.modify(
                    &PODS,
                    &key.namespace,
                    object::name(&pod),
                    Part::Spec,
                    |pod| {
                        push_owner(pod, reference.clone());
                    },
                )?);
            }
            _ => {}
        }
    }
    Ok(owned)
}

/// Creates or deletes pods; true if it did.
fn manage(registry: &Registry, set: &Value, pods: &[Arc<Value>], now_ms: i64) -> Result<bool, Failure> {
    let wanted = usize::try_from(object::count(set, "/spec/replicas", 1)).unwrap_or(0);
    if wanted > pods.len() {
        create_pods(registry, set, (wanted - pods.len()).min(BURST_PODS))?;
    } else if wanted < pods.len() {
        let candidates = pods.iter().map(|pod| Candidate::of(pod)).collect();
        let surplus =
            deletion_order(candidates, now_ms).into_iter().take((pods.len() - wanted).min(BURST_PODS));
        delete_pods(registry, set, surplus)?;
    }
    Ok(wanted != pods.len())
}

fn create_pods(registry: &Registry, set: &Value, count: usize) -> Result<(), Failure> {
    let pod = pod_of(set);
    for _ in 0..count {
        match registry.create(&PODS, object::namespace(set), pod.clone()) {
            Ok(created) => {
                let message = format!("Created pod: {}", object::name(&created));
                registry.record_event(set, "Normal", "SuccessfulCreate", &message, COMPONENT);
            }
            Err(status) => {
                let message = format!("Error creating: {}", status.message);
                registry.record_event(set, "Warning", "FailedCreate", &message, COMPONENT);
                return Err(Failure { reason: "FailedCreate", status });
            }
        }
    }
    Ok(())
}

fn delete_pods(
    registry: &Registry,
    set: &Value,
    surplus: impl Iterator<Item = Candidate>,
) -> Result<(), Failure> {
    for pod in surplus {
        let options = DeleteOptions { uid: Some(pod.uid), ..DeleteOptions::default() };
        match registry.delete(&PODS, object::namespace(set), &pod.name, options) {
            Ok(_) => {
                let message = format!("Deleted pod: {}", pod.name);
                registry.record_event(set, "Normal", "SuccessfulDelete", &message, COMPONENT);
            }
            Err(status) if status.code() == 404 => {}
            Err(status) => {
                let message = format!("Error deleting: {}", status.message);
                registry.record_event(set, "Warning", "FailedDelete", &message, COMPONENT);
                return Err(Failure { reason: "FailedDelete", status });
            }
        }
    }
    Ok(())
}

/// A pod of the set's template, named by the registry.
fn pod_of(set: &Value) -> Value {
    let template = &set["spec"]["template"];
    let mut metadata = json!({
        "generateName": format!("{}-", object::name(set)),
        "ownerReferences": [object::owner_reference(set, "apps/v1", "ReplicaSet")],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template.get("metadata").and_then(|metadata| metadata.get(field)) {
            metadata[field] = value.clone();
        }
    }
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] })
}

/// The set's status, and when a pod that is ready now will count as available.
fn next_status(
    set: &Value,
    pods: &[Arc<Value>],
    failure: Option<&Failure>,
    now_ms: i64,
) -> (Value, Option<Duration>) {
    let min_ready_ms = object::number(set, "/spec/minReadySeconds").unwrap_or(0).saturating_mul(1000);
    let mut available = 0;
    let mut soonest_ms: Option<i64> = None;
    let ready: Vec<&Arc<Value>> = pods.iter().filter(|pod| object::is_pod_ready(pod)).collect();
    for pod in &ready {
        let since_ms =
            object::condition(pod, "Ready").and_then(|ready| object::time_ms(ready, "/lastTransitionTime"));
        let left_ms = since_ms.unwrap_or(now_ms) + min_ready_ms - now_ms;
        if min_ready_ms == 0 || left_ms <= 0 {
            available += 1;
        } else {
            soonest_ms = Some(soonest_ms.map_or(left_ms, |soonest| soonest.min(left_ms)));
        }
    }
    let labels = set.pointer("/spec/template/metadata/labels").and_then(Value::as_object);
    let labeled = |pod: &&Arc<Value>| {
        labels
            .is_none_or(|labels| labels.iter().all(|(key, value)| object::label(pod, key) == value.as_str()))
    };
    let mut status = json!({
        "replicas": pods.len(),
        "observedGeneration": object::number(set, "/metadata/generation").unwrap_or(0),
    });
    let counts = [
        ("fullyLabeledReplicas", pods.iter().filter(labeled).count()),
        ("readyReplicas", ready.len()),
        ("availableReplicas", available),
    ];
    for (field, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        status[field] = json!(count);
    }
    if let Some(failure) = failure {
        let since = object::condition(set, "ReplicaFailure").map(|known| known["lastTransitionTime"].clone());
        status["conditions"] = json!([{
            "type": "ReplicaFailure", "status": "True", "reason": failure.reason,
            "message": failure.status.message,
            "lastTransitionTime": since.unwrap_or_else(|| json!(object::rfc3339(now_ms))),
        }]);
    }
    let again = soonest_ms.and_then(|left_ms| u64::try_from(left_ms).ok()).map(Duration::from_millis);
    (status, again)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(ready_since: Option<&str>) -> Arc<Value> {
        let conditions = ready_since
            .map(|since| json!([{"type": "Ready", "status": "True", "lastTransitionTime": since}]));
        Arc::new(
            json!({"metadata": {"name": "p", "labels": {"app": "x"}}, "status": {"conditions": conditions}}),
        )
    }

    #[test]
    fn status_counts_and_tells_when_to_look_again() {
        let set = json!({"metadata": {"generation": 3},
            "spec": {"minReadySeconds": 10, "template": {"metadata": {"labels": {"app": "x"}}}}});
        let pods = [pod(None), pod(Some("1970-01-01T00:00:05Z")), pod(Some("1970-01-01T00:00:12Z"))];
        let (status, again) = next_status(&set, &pods, None, 16_000);
        assert_eq!(
            status,
            json!({"replicas": 3, "observedGeneration": 3, "fullyLabeledReplicas": 3, "readyReplicas": 2,
                "availableReplicas": 1})
        );
        assert_eq!(again, Some(Duration::from_secs(6)));
    }

    #[test]
    fn pod_takes_over_the_template() {
        let set = json!({"metadata": {"name": "web-1", "uid": "u"}, "spec": {"template":
            {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [], "unknown": 1}}}});
        let pod = pod_of(&set);
        assert_eq!(pod["metadata"]["generateName"], "web-1-");
        assert_eq!(pod["metadata"]["ownerReferences"][0]["controller"], true);
        assert_eq!(pod["spec"]["unknown"], 1);
    }
}
