//! What aggregated servers say they serve, merged into our own discovery and OpenAPI.

use std::collections::BTreeMap;
use std::sync::Arc;

use flyball_apiserver::discovery::{Group, Resource, Subresource, Version};
use serde_json::Value;

use super::backend::Backend;
use crate::registry::json::{items, text};

/// Groups by priority, versions within them by theirs, and the schemas by OpenAPI key.
pub(super) fn merge(backends: &[Arc<Backend>]) -> (Vec<Group>, BTreeMap<String, Value>) {
    let mut sorted: Vec<&Arc<Backend>> = backends.iter().collect();
    sorted.sort_by(|a, b| {
        let group = b.group_priority.cmp(&a.group_priority).then_with(|| a.group.cmp(&b.group));
        group
            .then(b.version_priority.cmp(&a.version_priority))
            .then_with(|| rank(&b.version).cmp(&rank(&a.version)))
    });
    let mut groups: Vec<Group> = Vec::new();
    let mut schemas = BTreeMap::new();
    for backend in sorted {
        let Some(said) = backend.said() else { continue };
        let version = Version::new(backend.version.as_str(), said.resources);
        match groups.iter_mut().find(|group| group.name == backend.group) {
            Some(group) => group.versions.push(version),
            None => groups.push(Group::new(backend.group.as_str(), [version])),
        }
        if let Some(schema) = said.schema {
            schemas.insert(backend.path().trim_start_matches('/').to_owned(), schema);
        }
    }
    (groups, schemas)
}

/// Among equal priorities: stable before beta before alpha, then the higher number.
fn rank(version: &str) -> (u8, u32, u32) {
    let digits =
        |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    let major = digits(version.trim_start_matches('v'));
    match (version.split_once("beta"), version.split_once("alpha")) {
        (Some((_, minor)), _) => (1, major, digits(minor)),
        (_, Some((_, minor))) => (0, major, digits(minor)),
        _ => (2, major, 0),
    }
}

/// The resources of an `APIResourceList`; `a/b` entries become sub-resources of `a`.
pub(super) fn resources(list: &Value) -> Vec<Resource> {
    let texts = |entry: &Value, pointer: &str| -> Vec<String> {
        items(entry, pointer).iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let mut resources: Vec<Resource> = Vec::new();
    for entry in items(list, "/resources") {
        let (name, kind) = (text(entry, "/name"), text(entry, "/kind"));
        let verbs = texts(entry, "/verbs");
        let parts = name.split_once('/');
        let parent = parts.and_then(|(parent, part)| {
            let parent = resources.iter_mut().find(|resource| resource.name == parent)?;
            Some((parent, part))
        });
        // Metrics of objects are named like subresources of kinds that their own group does not have.
        if let Some((parent, part)) = parent {
            parent.subresources.push(Subresource {
                name: part.to_owned(),
                group: text(entry, "/group").to_owned(),
                version: text(entry, "/version").to_owned(),
                kind: kind.to_owned(),
                verbs,
            });
            continue;
        }
        resources.push(Resource {
            name: name.to_owned(),
            singular: text(entry, "/singularName").to_owned(),
            namespaced: entry.get("namespaced").and_then(Value::as_bool).unwrap_or(false),
            kind: kind.to_owned(),
            verbs,
            short_names: texts(entry, "/shortNames"),
            categories: texts(entry, "/categories"),
            subresources: Vec::new(),
        });
    }
    resources
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metrics_of_objects_need_no_parent() {
        let entry = |name: &str| json!({"name": name, "kind": "K", "namespaced": true, "verbs": ["get"]});
        let list =
            json!({"resources": [entry("things"), entry("things/scale"), entry("pods/http_requests")]});
        let found = resources(&list);
        let names: Vec<_> = found.iter().map(|resource| resource.name.as_str()).collect();
        assert_eq!(names, ["things", "pods/http_requests"]);
        assert_eq!(found[0].subresources[0].name, "scale");
    }

    #[test]
    fn stable_versions_come_first() {
        let mut versions = ["v1beta1", "v2", "v1", "v1alpha3", "v1beta2"];
        versions.sort_by_key(|version| std::cmp::Reverse(rank(version)));
        assert_eq!(versions, ["v2", "v1", "v1beta2", "v1beta1", "v1alpha3"]);
    }

    #[test]
    fn lists_become_descriptors() {
        let list = json!({"resources": [
            {"name": "nodes", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get", "list"]},
            {"name": "nodes/status", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get"]}]});
        let resources = resources(&list);
        assert_eq!(resources.len(), 1);
        assert_eq!(resources[0].verbs, ["get", "list"]);
        assert_eq!(resources[0].subresources[0].name, "status");
    }
}
