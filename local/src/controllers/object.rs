//! Reading the few fields of an object that every controller needs, straight from its JSON.
//!
//! Objects are JSON values in this cluster, so that unknown fields survive. What is read often and shallowly is read
//! here; whole specs are read into `k8s_openapi` types with [`typed`].

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

pub use crate::registry::json::{int as number, name, namespace, text, uid};

/// An owner reference of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRef {
    /// Kind of the owner, such as `ReplicaSet`.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
    /// UID of the owner; the reference holds only for that very object.
    pub uid: String,
    /// True for the one owner that manages the object.
    pub controller: bool,
    /// True if the owner's foreground deletion waits for the object.
    pub block_owner_deletion: bool,
}

/// Number of replicas or the like at a JSON pointer; `absent` if it is missing or does not fit.
pub fn count(object: &Value, pointer: &str, absent: i32) -> i32 {
    number(object, pointer).and_then(|number| i32::try_from(number).ok()).unwrap_or(absent)
}

/// True once deletion of the object was asked for.
pub fn is_deleting(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null())
}

/// A time at a JSON pointer, in Unix milliseconds.
pub fn time_ms(object: &Value, pointer: &str) -> Option<i64> {
    let written = object.pointer(pointer)?.as_str()?;
    written.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

/// `metadata.creationTimestamp` in Unix milliseconds; 0 if absent, which sorts first.
pub fn created_ms(object: &Value) -> i64 {
    time_ms(object, "/metadata/creationTimestamp").unwrap_or(0)
}

/// One label.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(key)?.as_str()
}

/// One annotation.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(key)?.as_str()
}

/// Sets one entry of a text map below `metadata` (`labels` or `annotations`).
pub fn set_metadata_entry(object: &mut Value, map: &str, key: &str, value: &str) {
    let metadata = child(object, "metadata");
    let entries = metadata.entry(map).or_insert_with(|| json!({}));
    if !entries.is_object() {
        *entries = json!({});
    }
    entries[key] = json!(value);
}

/// The object at `key`, made if it is missing or no object.
pub fn child<'a>(object: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    let slot = &mut object[key];
    if !slot.is_object() {
        *slot = json!({});
    }
    match slot {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

/// All owner references; entries without a UID are left out.
pub fn owners(object: &Value) -> Vec<OwnerRef> {
    let references = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let read = |reference: &Value| OwnerRef {
        kind: text(reference, "/kind").to_owned(),
        name: text(reference, "/name").to_owned(),
        uid: text(reference, "/uid").to_owned(),
        controller: reference["controller"].as_bool().unwrap_or(false),
        block_owner_deletion: reference["blockOwnerDeletion"].as_bool().unwrap_or(false),
    };
    references.into_iter().flatten().map(read).filter(|owner| !owner.uid.is_empty()).collect()
}

/// The owner that manages the object.
pub fn controller_of(object: &Value) -> Option<OwnerRef> {
    owners(object).into_iter().find(|owner| owner.controller)
}

/// A reference to `owner` as managing owner.
pub fn owner_reference(owner: &Value, api_version: &str, kind: &str) -> Value {
    json!({
        "apiVersion": api_version, "kind": kind, "name": name(owner), "uid": uid(owner),
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// True if the object has this finalizer.
pub fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    finalizers.into_iter().flatten().any(|entry| entry == finalizer)
}

/// Status of a condition (`True`, `False`, `Unknown`) by its type.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)
}

/// True if the pod's `Ready` condition is true.
pub fn is_pod_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// True for a pod that neither ended nor is being deleted.
pub fn is_pod_active(pod: &Value) -> bool {
    !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") && !is_deleting(pod)
}

/// The object as a `k8s_openapi` type, or a part of it.
///
/// # Errors
/// If a field has another shape than the type wants.
pub fn typed<T: DeserializeOwned>(object: &Value) -> Result<T, serde_json::Error> {
    T::deserialize(object)
}

/// A time as Kubernetes writes it, from Unix milliseconds.
pub fn rfc3339(unix_ms: i64) -> String {
    flyball_model::time::rfc3339_seconds(unix_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_owner_and_condition() {
        let pod = json!({"metadata": {"ownerReferences": [
            {"kind": "X", "name": "a", "uid": "1"},
            {"kind": "ReplicaSet", "name": "b", "uid": "2", "controller": true}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        assert_eq!(controller_of(&pod).map(|owner| owner.uid), Some("2".to_owned()));
        assert!(is_pod_ready(&pod) && is_pod_active(&pod));
    }

    #[test]
    fn sets_entries_below_missing_metadata() {
        let mut object = json!({});
        set_metadata_entry(&mut object, "annotations", "k", "v");
        assert_eq!(annotation(&object, "k"), Some("v"));
    }
}
