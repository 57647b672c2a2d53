//! The ReplicaSets of a Deployment: which is the new one, creating it, sizing and deleting.

use std::collections::BTreeMap;
use std::sync::Arc;

use flyball_model::selector::LabelSelector;
use serde_json::{Value, json};

use super::sizes::{Rollout, Set};
use super::{count_collision, read_set};
use crate::controllers::names::template_hash;
use crate::controllers::object;
use crate::controllers::worker::Key;
use crate::registry::kinds::{PODS, REPLICASETS};
use crate::registry::{DeleteOptions, Part, Registry, Status};

/// Annotation: number of the rollout that made or last used the set.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
/// Annotation: replicas of the Deployment when the set was last sized.
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// Annotation: replicas and surge of the Deployment when the set was last sized.
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// Label that tells the pods of one template from those of another.
const HASH_LABEL: &str = "pod-template-hash";
/// Annotations that a set does not take over from its Deployment.
const OWN_ANNOTATIONS: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/revision-history",
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

/// The sets that belong to one Deployment.
pub(super) struct Family {
    /// The set of the present template.
    pub(super) new: Option<Arc<Value>>,
    new_read: Option<Set>,
    /// All others, oldest first.
    pub(super) old: Vec<Arc<Value>>,
}

impl Family {
    pub(super) fn new_set(&self) -> Option<&Set> {
        self.new_read.as_ref()
    }

    pub(super) fn old_sets(&self) -> Vec<Set> {
        self.old.iter().map(|set| read_set(set)).collect()
    }

    pub(super) fn all(&self) -> Vec<Set> {
        let mut all = self.old_sets();
        all.extend(self.new_read.clone());
        all
    }

    /// Reason and message of a set that cannot create its pods, the new set first.
    pub(super) fn failure(&self) -> Option<(String, String)> {
        let failed = |set: &Arc<Value>| {
            let failure = object::condition(set, "ReplicaFailure")?;
            Some((object::text(failure, "/reason").to_owned(), object::text(failure, "/message").to_owned()))
        };
        self.new.iter().chain(&self.old).find_map(failed)
    }

    fn highest_old_revision(&self) -> i64 {
        self.old_sets().iter().map(|set| set.revision).max().unwrap_or(0)
    }
}

/// Finds the Deployment's sets; matching sets without a managing owner are taken over.
pub(super) fn adopt(registry: &Registry, key: &Key, deployment: &Value) -> Result<Family, Status> {
    let selector = LabelSelector::from_json(&deployment["spec"]["selector"]).ok();
    let selector = selector.filter(|selector| !selector.is_empty());
    let mut sets = Vec::new();
    for set in registry.list(&REPLICASETS, Some(&key.namespace)).items {
        let matches = selector.as_ref().is_some_and(|selector| matches_labels(selector, &set));
        match object::controller_of(&set) {
            Some(owner) if owner.uid == object::uid(deployment) => sets.push(set),
            None if matches && !object::is_deleting(&set) => {
                let reference = object::owner_reference(deployment, "apps/v1", "Deployment");
                let name = object::name(&set);
                sets.push(registry.modify(&REPLICASETS, &key.namespace, name, Part::Spec, |set| {
                    push_owner(set, reference.clone());
                })?);
            }
            _ => {}
        }
    }
    sets.sort_by(|a, b| {
        object::created_ms(a).cmp(&object::created_ms(b)).then_with(|| object::name(a).cmp(object::name(b)))
    });
    let template = without_hash(&deployment["spec"]["template"]);
    let position = sets.iter().position(|set| without_hash(&set["spec"]["template"]) == template);
    let new = position.map(|position| sets.remove(position));
    Ok(Family { new_read: new.as_ref().map(|set| read_set(set)), new, old: sets })
}

/// True if the selector selects the object's labels.
pub(in crate::controllers) fn matches_labels(selector: &LabelSelector, object: &Value) -> bool {
    selector.matches(|name| object::label(object, name))
}

/// Adds an owner reference.
pub(in crate::controllers) fn push_owner(object: &mut Value, reference: Value) {
    let references = &mut object["metadata"]["ownerReferences"];
    match references.as_array_mut() {
        Some(references) => references.push(reference),
        None => *references = json!([reference]),
    }
}

/// The template without the hash label, for comparing.
fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH_LABEL);
    }
    template
}

/// Gives the existing new set the next revision, the Deployment's annotations and its `minReadySeconds`.
pub(super) fn sync_new(registry: &Registry, deployment: &Value, family: &Family) -> Result<(), Status> {
    let Some(new) = &family.new else { return Ok(()) };
    let revision = family.highest_old_revision() + 1;
    let mut wanted = (**new).clone();
    copy_annotations(deployment, &mut wanted);
    if read_set(new).revision < revision {
        object::set_metadata_entry(&mut wanted, "annotations", REVISION, &revision.to_string());
    }
    let seconds = object::number(deployment, "/spec/minReadySeconds").unwrap_or(0);
    if object::number(new, "/spec/minReadySeconds").unwrap_or(0) != seconds {
        wanted["spec"]["minReadySeconds"] = json!(seconds);
    }
    if wanted != **new {
        let (namespace, name) = (object::namespace(new), object::name(new));
        registry.update(&REPLICASETS, namespace, name, Part::Spec, wanted)?;
    }
    Ok(())
}

fn copy_annotations(deployment: &Value, set: &mut Value) {
    let annotations = deployment.pointer("/metadata/annotations").and_then(Value::as_object);
    for (key, value) in annotations.into_iter().flatten() {
        if let Some(text) = value.as_str().filter(|_| !OWN_ANNOTATIONS.contains(&key.as_str())) {
            object::set_metadata_entry(set, "annotations", key, text);
        }
    }
}

fn note_size(set: &mut Value, rollout: &Rollout) {
    object::set_metadata_entry(set, "annotations", DESIRED, &rollout.replicas.to_string());
    object::set_metadata_entry(set, "annotations", MAX, &rollout.max_replicas().to_string());
}

/// Creates the set of the present template.
pub(super) fn create_new(
    registry: &Registry,
    deployment: &Value,
    family: &Family,
    rollout: &Rollout,
    size: i32,
) -> Result<Arc<Value>, Status> {
    let collisions = object::number(deployment, "/status/collisionCount").unwrap_or(0);
    let hash = template_hash(&deployment["spec"]["template"], collisions);
    let set = new_set_object(deployment, rollout, &hash, family.highest_old_revision() + 1, size);
    match registry.create(&REPLICASETS, object::namespace(deployment), set) {
        Err(status) if status.reason == "AlreadyExists" => {
            count_collision(registry, deployment)?;
            Err(status)
        }
        outcome => outcome,
    }
}

fn new_set_object(deployment: &Value, rollout: &Rollout, hash: &str, revision: i64, size: i32) -> Value {
    let mut template = deployment["spec"]["template"].clone();
    object::set_metadata_entry(&mut template, "labels", HASH_LABEL, hash);
    let mut selector = deployment["spec"]["selector"].clone();
    object::child(&mut selector, "matchLabels").insert(HASH_LABEL.to_owned(), json!(hash));
    let mut set = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", object::name(deployment)),
            "namespace": object::namespace(deployment),
            "labels": template["metadata"]["labels"],
            "annotations": BTreeMap::from([(REVISION, revision.to_string())]),
            "ownerReferences": [object::owner_reference(deployment, "apps/v1", "Deployment")],
        },
        "spec": { "replicas": size, "selector": selector, "template": template },
    });
    if let Some(seconds) = object::number(deployment, "/spec/minReadySeconds").filter(|seconds| *seconds > 0)
    {
        set["spec"]["minReadySeconds"] = json!(seconds);
    }
    copy_annotations(deployment, &mut set);
    note_size(&mut set, rollout);
    set
}

/// Sets a set's size and notes what it was sized for.
pub(super) fn resize(
    registry: &Registry,
    namespace: &str,
    name: &str,
    rollout: &Rollout,
    size: i32,
) -> Result<(), Status> {
    registry.modify(&REPLICASETS, namespace, name, Part::Spec, |set| {
        set["spec"]["replicas"] = json!(size);
        note_size(set, rollout);
    })?;
    Ok(())
}

/// Deletes a set of an old revision.
pub(super) fn delete(registry: &Registry, namespace: &str, name: &str) -> Result<(), Status> {
    registry.delete(&REPLICASETS, namespace, name, DeleteOptions::default())?;
    Ok(())
}

/// True while any pod of these sets has not ended.
pub(super) fn has_running_pods(registry: &Registry, namespace: &str, sets: &[Arc<Value>]) -> bool {
    let uids: Vec<&str> = sets.iter().map(|set| object::uid(set)).collect();
    let running = |pod: &Arc<Value>| {
        let ended = matches!(object::text(pod, "/status/phase"), "Succeeded" | "Failed");
        !ended && object::controller_of(pod).is_some_and(|owner| uids.contains(&owner.uid.as_str()))
    };
    registry.list(&PODS, Some(namespace)).items.iter().any(running)
}
