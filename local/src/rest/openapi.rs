//! OpenAPI v3 documents of our own groups: as much as kubectl 1.32 reads before it sends an object.
//!
//! It looks for a PATCH operation with the kind's group, version and kind and the query parameters `fieldValidation` and
//! `dryRun`: then the server validates. The operations list no strategic merge patch among their bodies, so that
//! `kubectl apply` computes its patch from its built-in types and needs no schemas from us.

use std::collections::BTreeMap;

use flyball_apiserver::openapi::OpenApi;
use serde_json::{Map, Value, json};

use super::served::{self, Served};

const TITLE: &str = "Flyball local";

/// Documents of our own groups.
pub(super) fn own() -> OpenApi {
    with(BTreeMap::new())
}

/// Documents of our own groups and of those behind us.
pub(super) fn with(behind: BTreeMap<String, Value>) -> OpenApi {
    let mut documents = behind;
    documents.extend(documents_of_own_groups());
    OpenApi::new(TITLE, documents)
}

fn documents_of_own_groups() -> BTreeMap<String, Value> {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for served in served::all() {
        let root = if served.group.is_empty() { "api" } else { "apis" };
        let key = format!("{root}/{}", served.api_version());
        let paths = paths.entry(key.clone()).or_default();
        let scope = if served.resource.namespaced { "namespaces/{namespace}/" } else { "" };
        let collection = format!("/{key}/{scope}{}", served.resource.plural);
        paths.insert(format!("{collection}/{{name}}"), one(&served));
        paths.insert(collection, many(&served));
    }
    let document = |paths: Map<String, Value>| {
        json!({
            "openapi": "3.0.0",
            "info": {"title": TITLE, "version": env!("CARGO_PKG_VERSION")},
            "paths": paths,
            "components": {"schemas": {}},
        })
    };
    paths.into_iter().map(|(key, paths)| (key, document(paths))).collect()
}

fn many(served: &Served) -> Value {
    json!({
        "get": operation(served, "list", &[]),
        "post": with_body(operation(served, "post", &["dryRun", "fieldValidation"]), &["application/json"]),
        "delete": operation(served, "deletecollection", &["dryRun"]),
    })
}

fn one(served: &Served) -> Value {
    let written = ["dryRun", "fieldValidation"];
    let patches = ["application/json-patch+json", "application/merge-patch+json"];
    json!({
        "get": operation(served, "get", &[]),
        "put": with_body(operation(served, "put", &written), &["application/json"]),
        "patch": with_body(operation(served, "patch", &written), &patches),
        "delete": operation(served, "delete", &["dryRun"]),
    })
}

fn operation(served: &Served, action: &str, parameters: &[&str]) -> Value {
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}}))
        .collect();
    json!({
        "operationId": format!("{action}{}{}", served.version, served.resource.kind),
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind":
            {"group": served.group, "kind": served.resource.kind, "version": served.version},
    })
}

fn with_body(mut operation: Value, media_types: &[&str]) -> Value {
    let content: Map<String, Value> =
        media_types.iter().map(|media_type| ((*media_type).to_owned(), json!({"schema": {}}))).collect();
    operation["requestBody"] = json!({"content": content, "required": true});
    operation
}
