//! Deleting objects: grace, finalizers, propagation, and namespaces with all they contain.

use std::sync::Arc;

use flyball_model::time::rfc3339_seconds;
use serde_json::{Value, json};

use super::disk::Journal;
use super::kinds::{self, Resource};
use super::store::State;
use super::write::is_finished;
use super::{Registry, Status, clock, errors, json};

/// The finalizer that keeps an owner until its dependents are gone; the garbage collector removes it.
pub const FOREGROUND_FINALIZER: &str = "foregroundDeletion";

/// Seconds a pod gets to end when neither it nor the request says.
const DEFAULT_GRACE_SECONDS: i64 = 30;

/// Namespaces nobody may delete.
const IMMORTAL_NAMESPACES: [&str; 3] = ["default", "kube-public", "kube-system"];

/// What happens to the objects an object owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// The owner goes at once, the garbage collector removes what it owned.
    #[default]
    Background,
    /// The owner stays, marked, until the garbage collector has removed what it owns.
    Foreground,
    /// What it owned stays and loses the reference.
    Orphan,
}

/// How to delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Seconds a pod gets to end; `None` asks the pod. Other kinds are not graceful.
    pub grace_seconds: Option<i64>,
    /// What happens to dependents.
    pub propagation: Propagation,
    /// Delete only the object with this uid (409 otherwise).
    pub uid: Option<String>,
    /// Delete only this version of the object (409 otherwise).
    pub resource_version: Option<String>,
    /// Check everything, change nothing.
    pub dry_run: bool,
}

/// The outcome of a deletion.
#[derive(Clone, Debug)]
pub struct Deleted {
    /// The last state, or the current one when the object is still waiting.
    pub object: Arc<Value>,
    /// Whether it is gone; otherwise it waits for its grace period, finalizers or content.
    pub removed: bool,
}

impl Registry {
    /// Deletes an object, or marks it for deletion where something has to happen first: a pod bound to a node gets its
    /// grace period (the runtime then deletes it with grace 0), finalizers hold any object, a namespace its content.
    pub fn delete(
        &self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        options: DeleteOptions,
    ) -> Result<Arc<Value>, Status> {
        self.delete_with(resource, namespace, name, &options).map(|deleted| deleted.object)
    }

    /// [`Registry::delete`] that also says whether the object is gone.
    pub fn delete_with(
        &self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        self.writable()?;
        self.shared.lock().delete(self.shared.journal.as_ref(), resource, namespace, name, options)
    }
}

impl State {
    fn delete(
        &mut self,
        journal: Option<&Journal>,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        let old = self.get(resource, namespace, name).cloned();
        let old = old.ok_or_else(|| errors::not_found(resource, name))?;
        check_preconditions(resource, &old, options)?;
        if resource == &kinds::NAMESPACES && IMMORTAL_NAMESPACES.contains(&name) {
            return Err(errors::forbidden(resource, name, "this namespace may not be deleted"));
        }
        let marked = mark(resource, &old, options);
        let finished = is_finished(resource, &marked);
        if options.dry_run {
            return Ok(Deleted { object: Arc::new(marked), removed: finished });
        }
        if options.propagation == Propagation::Orphan {
            self.orphan_dependents(journal, json::uid(&old));
        }
        if finished {
            let removed = self.remove_and_settle(journal, resource, namespace, name).unwrap_or(old);
            return Ok(Deleted { object: removed, removed: true });
        }
        let object = if marked == *old { old } else { self.put(journal, resource, marked) };
        if resource == &kinds::NAMESPACES {
            self.empty_namespace(journal, name);
            let removed = self.get(resource, "", name).is_none();
            return Ok(Deleted { object, removed });
        }
        Ok(Deleted { object, removed: false })
    }

    /// Removes an object and, when it was the last content of a namespace on its way out, the namespace too.
    pub(super) fn remove_and_settle(
        &mut self,
        journal: Option<&Journal>,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Value>> {
        let removed = self.remove(journal, resource, namespace, name);
        if resource.namespaced {
            self.finish_namespace(journal, namespace);
        }
        removed
    }

    /// Deletes everything in a namespace; pods keep their grace period.
    fn empty_namespace(&mut self, journal: Option<&Journal>, namespace: &str) {
        // Owners first, so that no controller sees a missing dependent of a living owner.
        for resource in kinds::ALL.iter().rev().copied().filter(|resource| resource.namespaced) {
            let names: Vec<String> =
                self.shelf(resource).scan(Some(namespace)).map(|((_, name), _)| name.clone()).collect();
            for name in names {
                // An object that vanished meanwhile is what we want.
                let _ = self.delete(journal, resource, namespace, &name, &DeleteOptions::default());
            }
        }
        self.finish_namespace(journal, namespace);
    }

    /// Removes a terminating namespace that has become empty.
    pub(super) fn finish_namespace(&mut self, journal: Option<&Journal>, namespace: &str) {
        let Some(object) = self.get(&kinds::NAMESPACES, "", namespace) else { return };
        let terminating = object.pointer("/metadata/deletionTimestamp").is_some()
            && json::items(object, "/metadata/finalizers").is_empty();
        let empty = || {
            let mut namespaced = kinds::ALL.iter().filter(|resource| resource.namespaced);
            namespaced.all(|resource| self.shelf(resource).scan(Some(namespace)).next().is_none())
        };
        if terminating && empty() {
            self.remove(journal, &kinds::NAMESPACES, "", namespace);
        }
    }

    fn orphan_dependents(&mut self, journal: Option<&Journal>, owner: &str) {
        for resource in kinds::ALL {
            let owned: Vec<Arc<Value>> = self
                .shelf(resource)
                .scan(None)
                .filter(|(_, object)| owners(object).any(|uid| uid == owner))
                .map(|(_, object)| object.clone())
                .collect();
            for object in owned {
                let mut freed = (*object).clone();
                if let Some(list) =
                    freed.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut)
                {
                    list.retain(|reference| json::text(reference, "/uid") != owner);
                }
                self.put(journal, resource, freed);
            }
        }
    }
}

fn owners(object: &Value) -> impl Iterator<Item = &str> {
    json::items(object, "/metadata/ownerReferences").iter().map(|reference| json::text(reference, "/uid"))
}

fn check_preconditions(resource: &Resource, object: &Value, options: &DeleteOptions) -> Result<(), Status> {
    let failed = |what: &str, wanted: &str, found: &str| {
        let reason =
            format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}");
        Err(errors::conflict(resource, json::name(object), &reason))
    };
    match (&options.uid, &options.resource_version) {
        (Some(wanted), _) if wanted != json::uid(object) => failed("UID", wanted, json::uid(object)),
        (_, Some(wanted)) if wanted != json::text(object, "/metadata/resourceVersion") => {
            failed("ResourceVersion", wanted, json::text(object, "/metadata/resourceVersion"))
        }
        _ => Ok(()),
    }
}

/// The object as it looks while it waits to go.
fn mark(resource: &Resource, old: &Value, options: &DeleteOptions) -> Value {
    let mut new = old.clone();
    let grace_seconds = grace_seconds(resource, old, options);
    let before = json::int(old, "/metadata/deletionGracePeriodSeconds");
    let metadata = json::metadata(&mut new);
    // A second deletion may shorten the grace period, never lengthen it.
    if before.is_none_or(|before| grace_seconds < before) {
        let deadline_ms = clock::now_ms() + grace_seconds * 1000;
        metadata.insert("deletionTimestamp".into(), rfc3339_seconds(deadline_ms).into());
        metadata.insert("deletionGracePeriodSeconds".into(), grace_seconds.into());
    }
    if options.propagation == Propagation::Foreground {
        let finalizers = metadata.entry("finalizers").or_insert_with(|| json!([]));
        if let Some(list) = finalizers.as_array_mut()
            && !list.iter().any(|name| name == FOREGROUND_FINALIZER)
        {
            list.push(FOREGROUND_FINALIZER.into());
        }
    }
    if resource == &kinds::NAMESPACES {
        json::child(json::object(&mut new), "status").insert("phase".into(), "Terminating".into());
    }
    new
}

/// Only a pod that may have processes somewhere is given time.
fn grace_seconds(resource: &Resource, object: &Value, options: &DeleteOptions) -> i64 {
    let ended = matches!(json::text(object, "/status/phase"), "Succeeded" | "Failed");
    if resource != &kinds::PODS || ended || json::text(object, "/spec/nodeName").is_empty() {
        return 0;
    }
    let own = json::int(object, "/spec/terminationGracePeriodSeconds").unwrap_or(DEFAULT_GRACE_SECONDS);
    options.grace_seconds.unwrap_or(own).max(0)
}
