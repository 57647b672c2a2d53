//! Garbage collection: objects whose owners are gone go too.
//!
//! The registry itself empties namespaces, orphans dependents and drops old Events; what is left for this loop is
//! background deletion (owner gone: delete the dependents) and foreground deletion (owner waits with the finalizer
//! `foregroundDeletion`: delete the blocking dependents, then let it go). Every round looks at all objects, which a
//! one-machine cluster can afford; rounds only happen after a deletion or a new owned object, and every resync.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::object;
use super::worker::{Controller, Key};
use crate::registry::kinds::{ALL, EVENTS, LEASES, Resource};
use crate::registry::{DeleteOptions, Part, Propagation, Registry, Status, WatchEvent, WatchKind};

/// The garbage collector.
pub(super) struct Garbage;

/// The finalizer of foreground deletion.
const FOREGROUND: &str = "foregroundDeletion";

/// The one key: a round over everything.
fn round() -> Key {
    Key::new("", "all")
}

impl Controller for Garbage {
    const NAME: &'static str = "garbage-collector";

    fn watches(&self) -> &'static [&'static Resource] {
        &ALL
    }

    fn affected(&self, _registry: &Registry, resource: &'static Resource, event: &WatchEvent) -> Vec<Key> {
        if *resource == EVENTS || *resource == LEASES {
            return Vec::new();
        }
        let matters = match event.kind {
            WatchKind::Deleted => true,
            WatchKind::Added => !object::owners(&event.object).is_empty(),
            WatchKind::Modified => object::is_deleting(&event.object),
        };
        if matters { vec![round()] } else { Vec::new() }
    }

    fn all(&self, _registry: &Registry) -> Vec<Key> {
        vec![round()]
    }

    fn sync(&mut self, registry: &Registry, _key: &Key, _now_ms: i64) -> Result<Option<Duration>, Status> {
        let mut objects = Vec::new();
        for resource in ALL.iter().filter(|resource| ***resource != EVENTS) {
            objects.extend(registry.list(resource, None).items.into_iter().map(|object| (*resource, object)));
        }
        let mut failed = None;
        for step in plan(&objects) {
            let outcome = carry_out(registry, &step);
            failed = failed.or(outcome.err().filter(|status| status.code() != 404));
        }
        failed.map_or(Ok(None), Err)
    }
}

/// One step of a round.
#[derive(Debug, PartialEq)]
enum Step {
    /// Delete a dependent.
    Delete { resource: &'static Resource, object: Arc<Value>, foreground: bool },
    /// Drop references to owners that are gone; others are still there.
    Forget { resource: &'static Resource, object: Arc<Value>, gone: Vec<String> },
    /// Nothing blocks the owner any more.
    Release { resource: &'static Resource, object: Arc<Value> },
}

fn plan(objects: &[(&'static Resource, Arc<Value>)]) -> Vec<Step> {
    let by_uid: HashMap<&str, &Arc<Value>> =
        objects.iter().map(|(_, object)| (object::uid(object), object)).collect();
    let is_waiting = |uid: &str| {
        by_uid
            .get(uid)
            .is_some_and(|owner| object::is_deleting(owner) && object::has_finalizer(owner, FOREGROUND))
    };
    let mut blocked: HashMap<String, usize> = HashMap::new();
    let mut steps = Vec::new();
    for (resource, object) in objects {
        let owners = object::owners(object);
        if owners.is_empty() {
            continue;
        }
        for owner in owners.iter().filter(|owner| owner.block_owner_deletion && is_waiting(&owner.uid)) {
            *blocked.entry(owner.uid.clone()).or_insert(0) += 1;
        }
        let gone: Vec<String> = owners
            .iter()
            .filter(|owner| !by_uid.contains_key(owner.uid.as_str()))
            .map(|owner| owner.uid.clone())
            .collect();
        let waiting = owners.iter().filter(|owner| is_waiting(&owner.uid)).count();
        if gone.len() + waiting == owners.len() {
            if !object::is_deleting(object) {
                steps.push(Step::Delete { resource, object: object.clone(), foreground: waiting > 0 });
            }
        } else if !gone.is_empty() {
            steps.push(Step::Forget { resource, object: object.clone(), gone });
        }
    }
    for (resource, object) in objects {
        let uid = object::uid(object);
        if is_waiting(uid) && !blocked.contains_key(uid) {
            steps.push(Step::Release { resource, object: object.clone() });
        }
    }
    steps
}

fn carry_out(registry: &Registry, step: &Step) -> Result<(), Status> {
    let (Step::Delete { resource, object, .. }
    | Step::Forget { resource, object, .. }
    | Step::Release { resource, object }) = step;
    let (namespace, name) = (object::namespace(object), object::name(object));
    match step {
        Step::Delete { foreground, .. } => {
            let propagation = if *foreground { Propagation::Foreground } else { Propagation::Background };
            let uid = Some(object::uid(object).to_owned());
            registry.delete(
                resource,
                namespace,
                name,
                DeleteOptions { propagation, uid, ..DeleteOptions::default() },
            )?;
        }
        Step::Forget { gone, .. } => {
            registry.modify(resource, namespace, name, Part::Spec, |object| {
                if let Some(owners) =
                    object.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut)
                {
                    owners.retain(|owner| !gone.iter().any(|uid| owner["uid"] == uid.as_str()));
                }
            })?;
        }
        Step::Release { .. } => {
            registry.modify(resource, namespace, name, Part::Spec, |object| {
                if let Some(finalizers) =
                    object.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut)
                {
                    finalizers.retain(|finalizer| finalizer != FOREGROUND);
                }
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::{DEPLOYMENTS, PODS, REPLICASETS};
    use serde_json::json;

    fn object(uid: &str, owner: Option<&str>, waiting: bool) -> Arc<Value> {
        let mut object = json!({"metadata": {"name": uid, "uid": uid}});
        if let Some(owner) = owner {
            object["metadata"]["ownerReferences"] = json!([{"kind": "X", "name": owner, "uid": owner, "controller": true, "blockOwnerDeletion": true}]);
        }
        if waiting {
            object["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:00:00Z");
            object["metadata"]["finalizers"] = json!([FOREGROUND]);
        }
        Arc::new(object)
    }

    fn names(steps: &[Step]) -> Vec<String> {
        let describe = |step: &Step| match step {
            Step::Delete { object, foreground, .. } => format!("delete {} {foreground}", object::uid(object)),
            Step::Forget { object, .. } => format!("forget {}", object::uid(object)),
            Step::Release { object, .. } => format!("release {}", object::uid(object)),
        };
        steps.iter().map(describe).collect()
    }

    #[test]
    fn background_deletes_dependents_of_the_gone() {
        let objects =
            [(&REPLICASETS, object("rs", Some("gone"), false)), (&PODS, object("pod", Some("rs"), false))];
        assert_eq!(names(&plan(&objects)), vec!["delete rs false"]);
    }

    #[test]
    fn foreground_waits_for_blocking_dependents() {
        let mut objects =
            vec![(&DEPLOYMENTS, object("d", None, true)), (&REPLICASETS, object("rs", Some("d"), false))];
        assert_eq!(names(&plan(&objects)), vec!["delete rs true"]);
        objects[1].1 = object("rs", Some("d"), true);
        assert_eq!(names(&plan(&objects)), vec!["release rs"]);
        objects.pop();
        assert_eq!(names(&plan(&objects)), vec!["release d"]);
    }

    #[test]
    fn one_living_owner_keeps_the_object() {
        let mut shared = (*object("x", Some("gone"), false)).clone();
        shared["metadata"]["ownerReferences"]
            .as_array_mut()
            .unwrap()
            .push(json!({"kind": "X", "name": "a", "uid": "a"}));
        let objects = [(&PODS, Arc::new(shared)), (&REPLICASETS, object("a", None, false))];
        assert_eq!(names(&plan(&objects)), vec!["forget x"]);
    }
}
