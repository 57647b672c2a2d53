//! Creating and changing objects.

use std::sync::Arc;

use flyball_model::field_error::FieldError;
use serde_json::{Map, Value};

use super::disk::Journal;
use super::kinds::{self, Resource};
use super::store::State;
use super::{Registry, Status, clock, errors, json, rules, service};

/// Attempts at a free name for `generateName`; upstream's number.
const GENERATE_ATTEMPTS: usize = 8;

/// Members of `metadata` only the server writes.
const SERVER_METADATA: [&str; 5] =
    ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"];

/// Which part of an object a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but `status` (everything, for kinds without a status sub-resource).
    Spec,
    /// `status` alone.
    Status,
}

impl Registry {
    /// Stores a new object after defaulting and validation. 409 when the name is taken, 404 when its namespace is missing,
    /// 422 when it breaks a rule.
    pub fn create(
        &self,
        resource: &'static Resource,
        namespace: &str,
        object: Value,
    ) -> Result<Arc<Value>, Status> {
        self.create_with(resource, namespace, object, false)
    }

    /// [`Registry::create`]; with `dry_run` the result is computed and nothing is stored.
    pub fn create_with(
        &self,
        resource: &'static Resource,
        namespace: &str,
        mut object: Value,
        dry_run: bool,
    ) -> Result<Arc<Value>, Status> {
        self.writable()?;
        let journal = self.shared.journal.as_ref();
        let mut state = self.shared.lock();
        state.prepare_create(resource, namespace, &mut object)?;
        if dry_run {
            return Ok(Arc::new(object));
        }
        let created = state.put(journal, resource, object);
        if resource == &kinds::NAMESPACES {
            state.populate_namespace(journal, json::name(&created));
        }
        Ok(created)
    }

    /// Replaces an object (or its status). 409 when the given `metadata.resourceVersion` is not the current one. A write
    /// that changes nothing keeps the resourceVersion and wakes no watcher.
    pub fn update(
        &self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        part: Part,
        object: Value,
    ) -> Result<Arc<Value>, Status> {
        self.try_modify(resource, namespace, name, part, false, move |_| Ok(object))
    }

    /// Reads, changes and writes an object as one step.
    pub fn modify(
        &self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        part: Part,
        mut change: impl FnMut(&mut Value),
    ) -> Result<Arc<Value>, Status> {
        self.try_modify(resource, namespace, name, part, false, |old| {
            let mut new = old.clone();
            change(&mut new);
            Ok(new)
        })
    }

    /// Like [`Registry::modify`], where the change may refuse; with `dry_run` nothing is stored.
    pub fn try_modify(
        &self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        part: Part,
        dry_run: bool,
        change: impl FnOnce(&Value) -> Result<Value, Status>,
    ) -> Result<Arc<Value>, Status> {
        self.writable()?;
        let journal = self.shared.journal.as_ref();
        let mut state = self.shared.lock();
        let old = state.get(resource, namespace, name).cloned();
        let old = old.ok_or_else(|| errors::not_found(resource, name))?;
        let new = state.prepare_update(resource, &old, part, change(&old)?)?;
        if new == *old {
            return Ok(old);
        }
        if dry_run {
            return Ok(Arc::new(new));
        }
        if is_finished(resource, &new) {
            let removed = state.remove_and_settle(journal, resource, namespace, name);
            let removed = removed.ok_or_else(|| errors::not_found(resource, name))?;
            // The writer sees what it wrote; watchers saw the last state that was stored.
            let mut written = new;
            let version = json::text(&removed, "/metadata/resourceVersion").to_owned();
            json::metadata(&mut written).insert("resourceVersion".into(), version.into());
            return Ok(Arc::new(written));
        }
        Ok(state.put(journal, resource, new))
    }

    /// Refuses writes while the disk does: memory never runs ahead of it by more than what was already accepted.
    pub(super) fn writable(&self) -> Result<(), Status> {
        match self.shared.journal.as_ref().and_then(Journal::failure) {
            Some(failure) => Err(errors::storage(&failure)),
            None => Ok(()),
        }
    }
}

/// Whether a deleted object has nothing left to wait for.
pub(super) fn is_finished(resource: &Resource, object: &Value) -> bool {
    let deleted = object.pointer("/metadata/deletionTimestamp").is_some();
    let grace_seconds = json::int(object, "/metadata/deletionGracePeriodSeconds").unwrap_or(0);
    let waits = resource == &kinds::NAMESPACES || (resource == &kinds::PODS && grace_seconds > 0);
    deleted && !waits && json::items(object, "/metadata/finalizers").is_empty()
}

impl State {
    /// Turns what a client sent into the object to store.
    fn prepare_create(
        &self,
        resource: &'static Resource,
        namespace: &str,
        object: &mut Value,
    ) -> Result<(), Status> {
        set_type(resource, object)?;
        json::drop_nulls(object);
        set_namespace(resource, namespace, object)?;
        if !json::text(object, "/metadata/resourceVersion").is_empty() {
            return Err(errors::bad_request("resourceVersion should not be set on objects to be created"));
        }
        self.set_name(resource, namespace, object)?;
        let name = json::name(object).to_owned();
        self.check_namespace(resource, namespace, &name)?;
        let metadata = json::metadata(object);
        for member in SERVER_METADATA.into_iter().chain(["selfLink", "managedFields"]) {
            metadata.remove(member);
        }
        metadata.insert("uid".into(), clock::uuid().into());
        metadata.insert("creationTimestamp".into(), clock::now_text().into());
        if resource.has_generation {
            metadata.insert("generation".into(), 1.into());
        }
        rules::prepare_create(resource, object);
        rules::set_defaults(resource, object);
        if resource == &kinds::SERVICES {
            service::assign(self, object, None)
                .map_err(|error| errors::invalid(resource, &name, vec![error]))?;
        }
        let broken = rules::validate_create(resource, object);
        if !broken.is_empty() {
            return Err(errors::invalid(resource, &name, broken));
        }
        match self.get(resource, namespace, &name) {
            None => Ok(()),
            Some(taken) => {
                let leaving = taken.pointer("/metadata/deletionTimestamp").is_some();
                let refusal = if leaving { errors::being_deleted } else { errors::already_exists };
                Err(refusal(resource, &name))
            }
        }
    }

    fn set_name(&self, resource: &Resource, namespace: &str, object: &mut Value) -> Result<(), Status> {
        let base = json::text(object, "/metadata/generateName").to_owned();
        if !json::name(object).is_empty() {
            return Ok(());
        }
        if base.is_empty() {
            let missing = FieldError::required("metadata.name", "name or generateName is required");
            return Err(errors::invalid(resource, "", vec![missing]));
        }
        // 58 letters leave room for the suffix within a DNS label.
        let base: String = base.chars().take(58).collect();
        let free = (0..GENERATE_ATTEMPTS)
            .map(|_| format!("{base}{}", clock::name_suffix()))
            .find(|name| self.get(resource, namespace, name).is_none());
        let name = free.ok_or_else(|| errors::already_exists(resource, &base))?;
        json::metadata(object).insert("name".into(), name.into());
        Ok(())
    }

    /// A namespace takes new content only while it exists and is not going away.
    fn check_namespace(&self, resource: &Resource, namespace: &str, name: &str) -> Result<(), Status> {
        if !resource.namespaced {
            return Ok(());
        }
        let Some(owner) = self.get(&kinds::NAMESPACES, "", namespace) else {
            return Err(errors::not_found(&kinds::NAMESPACES, namespace));
        };
        if owner.pointer("/metadata/deletionTimestamp").is_none() {
            return Ok(());
        }
        let reason =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        Err(errors::forbidden(resource, name, &reason))
    }

    /// What a new namespace contains: the account its pods run as.
    fn populate_namespace(&mut self, journal: Option<&Journal>, namespace: &str) {
        let mut account = serde_json::json!({"metadata": {"name": "default"}});
        match self.prepare_create(&kinds::SERVICEACCOUNTS, namespace, &mut account) {
            Ok(()) => drop(self.put(journal, &kinds::SERVICEACCOUNTS, account)),
            Err(status) => tracing::error!(namespace, ?status, "default service account cannot be created"),
        }
    }

    fn prepare_update(
        &self,
        resource: &'static Resource,
        old: &Value,
        part: Part,
        mut new: Value,
    ) -> Result<Value, Status> {
        let name = json::name(old);
        set_type(resource, &mut new)?;
        json::drop_nulls(&mut new);
        set_namespace(resource, json::namespace(old), &mut new)?;
        check_identity(resource, old, &new)?;
        let mut new = match part {
            Part::Spec => keep_server_parts(resource, old, new),
            Part::Status => with_status(old, new),
        };
        if part == Part::Spec {
            rules::set_defaults(resource, &mut new);
        }
        if resource == &kinds::SERVICES {
            service::assign(self, &mut new, Some(old))
                .map_err(|error| errors::invalid(resource, name, vec![error]))?;
        }
        if new == *old {
            return Ok(new);
        }
        let broken = match part {
            Part::Spec => rules::validate_update(resource, &new, old),
            Part::Status => rules::validate_status(resource, &new, old),
        };
        if !broken.is_empty() {
            return Err(errors::invalid(resource, name, broken));
        }
        if resource.has_generation && body(&new) != body(old) {
            let generation = json::int(old, "/metadata/generation").unwrap_or(0) + 1;
            json::metadata(&mut new).insert("generation".into(), generation.into());
        }
        Ok(new)
    }
}

/// Fills `apiVersion` and `kind`; refuses another kind.
fn set_type(resource: &Resource, object: &mut Value) -> Result<(), Status> {
    if !object.is_object() {
        return Err(errors::bad_request("the object provided is not a JSON object"));
    }
    let kind = json::text(object, "/kind");
    if !kind.is_empty() && kind != resource.kind {
        let message = format!("the object provided is a {kind}, not a {}", resource.kind);
        return Err(errors::bad_request(message));
    }
    let map = json::object(object);
    map.insert("apiVersion".into(), resource.api_version().into());
    map.insert("kind".into(), resource.kind.into());
    Ok(())
}

fn set_namespace(resource: &Resource, namespace: &str, object: &mut Value) -> Result<(), Status> {
    let given = json::namespace(object).to_owned();
    let metadata = json::metadata(object);
    if !resource.namespaced {
        metadata.remove("namespace");
        return Ok(());
    }
    if !given.is_empty() && given != namespace {
        return Err(errors::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    metadata.insert("namespace".into(), namespace.into());
    Ok(())
}

/// Name, uid and version a writer states must be those of the stored object; what it leaves out is not compared.
fn check_identity(resource: &Resource, old: &Value, new: &Value) -> Result<(), Status> {
    let name = json::name(old);
    let given = json::name(new);
    if !given.is_empty() && given != name {
        return Err(errors::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    let (uid, given) = (json::uid(old), json::uid(new));
    if !given.is_empty() && given != uid {
        let reason = format!("Precondition failed: UID in precondition: {given}, UID in object meta: {uid}");
        return Err(errors::conflict(resource, name, &reason));
    }
    let given = json::text(new, "/metadata/resourceVersion");
    if !given.is_empty() && given != "0" && given != json::text(old, "/metadata/resourceVersion") {
        return Err(errors::stale(resource, name));
    }
    Ok(())
}

/// The new object with everything only the server (or the status sub-resource) may write taken from the old one.
fn keep_server_parts(resource: &Resource, old: &Value, mut new: Value) -> Value {
    let metadata = json::metadata(&mut new);
    metadata.remove("managedFields");
    let members = SERVER_METADATA.into_iter().chain(["name", "resourceVersion"]);
    copy(members, old.pointer("/metadata").and_then(Value::as_object), metadata);
    if resource.has_status {
        copy(["status"], old.as_object(), json::object(&mut new));
    }
    new
}

fn with_status(old: &Value, mut new: Value) -> Value {
    let mut result = old.clone();
    copy(["status"], Some(json::object(&mut new)), json::object(&mut result));
    result
}

fn copy<'a>(
    members: impl IntoIterator<Item = &'a str>,
    from: Option<&Map<String, Value>>,
    to: &mut Map<String, Value>,
) {
    for member in members {
        match from.and_then(|from| from.get(member)) {
            Some(value) => drop(to.insert(member.to_owned(), value.clone())),
            None => drop(to.remove(member)),
        }
    }
}

/// What `metadata.generation` counts changes of.
fn body(object: &Value) -> Vec<(&String, &Value)> {
    let members = object.as_object().into_iter().flatten();
    members.filter(|(name, _)| !matches!(name.as_str(), "metadata" | "status")).collect()
}
