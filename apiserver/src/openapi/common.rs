//! The documents that every aggregated server has beside those of its resources: the index of groups, each group, and
//! the version. kube-apiserver's aggregator lists them like upstream's. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// Documents under the keys `apis`, `apis/<group>` and `version`. `groups` are names of API groups.
pub fn common_documents(title: &str, groups: &[&str]) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    all.insert(
        "apis".to_owned(),
        document(
            title,
            &get("/apis/", "apis", "get available API versions", "getAPIVersions", "APIGroupList"),
        ),
    );
    for group in groups {
        let camel = camel(group);
        let operation = get(
            &format!("/apis/{group}/"),
            &camel.to_lowercase(),
            "get information of a group",
            &format!("get{camel}APIGroup"),
            "APIGroup",
        );
        all.insert(format!("apis/{group}"), document(title, &operation));
    }
    let info = json!({"get": {
        "tags": ["version"],
        "description": "get the version information for this server",
        "operationId": "getCodeVersion",
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": {"type": "object"}}}}},
    }});
    all.insert("version".to_owned(), document(title, &("/version/".to_owned(), info)));
    all
}

/// References to schemas that their document does not have, each with the document's key.
pub fn unresolved(documents: &BTreeMap<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    for (key, document) in documents {
        let schemas = &document["components"]["schemas"];
        let text = document.to_string();
        let targets = text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
        found.extend(
            targets.filter(|target| schemas.get(target).is_none()).map(|target| format!("{key}: {target}")),
        );
    }
    found
}

/// `metrics.k8s.io` -> `Metrics`: how upstream's generator names a group in operation ids.
fn camel(group: &str) -> String {
    let first = group.split('.').next().unwrap_or_default();
    first
        .split('-')
        .map(|word| word[..1.min(word.len())].to_uppercase() + word.get(1..).unwrap_or(""))
        .collect()
}

/// The operation at which a version's list of resources is found, to be put beside the resources' own.
pub fn resource_list_operation(group: &str, version: &str) -> (String, Value) {
    let camel = camel(group);
    let id = format!("get{camel}{}{}APIResources", version[..1].to_uppercase(), &version[1..]);
    let tag = format!("{}_{version}", camel.to_lowercase());
    get(&format!("/apis/{group}/{version}/"), &tag, "get available resources", &id, "APIResourceList")
}

/// Schemas of the kinds that discovery answers with. Without their group, version and kind: kube-apiserver merges the
/// documents of all servers and has those kinds itself.
pub fn discovery_schemas() -> Map<String, Value> {
    let text = |description: &str| json!({"type": "string", "default": "", "description": description});
    let list = |of: &str| {
        json!({"type": "array", "x-kubernetes-list-type": "atomic",
            "items": {"allOf": [{"$ref": reference(of)}], "default": {}}})
    };
    let kind = |name: &str, description: &str, required: &[&str], properties: Value| {
        let schema = json!({
            "type": "object",
            "description": description,
            "required": required,
            "properties": properties,
        });
        (format!("{META}.{name}"), schema)
    };
    let plain = |name: &str, required: &[&str], properties: Value| {
        (format!("{META}.{name}"), json!({"type": "object", "required": required, "properties": properties}))
    };
    let strings = json!({"type": "array", "items": {"type": "string", "default": ""}});
    Map::from_iter([
        kind(
            "APIGroupList",
            "The API groups of a server.",
            &["groups"],
            json!({"apiVersion": text("Version of this schema."), "kind": text("Kind of this object."), "groups": list("APIGroup")}),
        ),
        kind(
            "APIGroup",
            "An API group and its versions.",
            &["name", "versions"],
            json!({
                "apiVersion": text("Version of this schema."),
                "kind": text("Kind of this object."),
                "name": text("Name of the group."),
                "versions": list("GroupVersionForDiscovery"),
                "preferredVersion": {"allOf": [{"$ref": reference("GroupVersionForDiscovery")}], "default": {}},
                "serverAddressByClientCIDRs": list("ServerAddressByClientCIDR"),
            }),
        ),
        kind(
            "APIResourceList",
            "The resources of a version.",
            &["groupVersion", "resources"],
            json!({
                "apiVersion": text("Version of this schema."),
                "kind": text("Kind of this object."),
                "groupVersion": text("Group and version."),
                "resources": list("APIResource"),
            }),
        ),
        plain(
            "APIResource",
            &["name", "singularName", "namespaced", "kind", "verbs"],
            json!({
                "name": text("Name in URLs."),
                "singularName": text("Name of one."),
                "namespaced": {"type": "boolean", "default": false},
                "group": text("Group, if another one."),
                "version": text("Version, if another one."),
                "kind": text("Kind of the objects."),
                "verbs": strings,
                "shortNames": strings,
                "categories": strings,
            }),
        ),
        plain(
            "GroupVersionForDiscovery",
            &["groupVersion", "version"],
            json!({"groupVersion": text("Group and version."), "version": text("Version.")}),
        ),
        plain(
            "ServerAddressByClientCIDR",
            &["clientCIDR", "serverAddress"],
            json!({"clientCIDR": text("Which clients."), "serverAddress": text("The address for them.")}),
        ),
    ])
}

fn reference(kind: &str) -> String {
    format!("#/components/schemas/{META}.{kind}")
}

fn get(path: &str, tag: &str, description: &str, id: &str, answer: &str) -> (String, Value) {
    let schema = json!({"schema": {"$ref": reference(answer)}});
    let operation = json!({"get": {
        "tags": [tag],
        "description": description,
        "operationId": id,
        "responses": {"200": {
            "description": "OK",
            "content": {"application/json": schema.clone(), "application/yaml": schema},
        }},
    }});
    (path.to_owned(), operation)
}

fn document(title: &str, (path, operation): &(String, Value)) -> Value {
    let mut schemas = discovery_schemas();
    let used = operation.to_string();
    if !used.contains("$ref") {
        schemas.clear();
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": title, "version": env!("CARGO_PKG_VERSION")},
        "paths": {path: operation},
        "components": {"schemas": schemas},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_has_upstreams_keys_and_operations() {
        let all = common_documents("t", &["metrics.k8s.io"]);
        let keys: Vec<&str> = all.keys().map(String::as_str).collect();
        assert_eq!(keys, ["apis", "apis/metrics.k8s.io", "version"]);
        for (key, path, id) in [
            ("apis", "/apis/", "getAPIVersions"),
            ("apis/metrics.k8s.io", "/apis/metrics.k8s.io/", "getMetricsAPIGroup"),
            ("version", "/version/", "getCodeVersion"),
        ] {
            assert_eq!(all[key]["paths"][path]["get"]["operationId"], id);
        }
        let (path, operation) = resource_list_operation("metrics.k8s.io", "v1beta1");
        assert_eq!(path, "/apis/metrics.k8s.io/v1beta1/");
        assert_eq!(operation["get"]["operationId"], "getMetricsV1beta1APIResources");
    }
}
