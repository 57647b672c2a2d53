//! OpenAPI v3 of the group, for `kubectl explain` and validation by clients. Pure.

use super::object::{GROUP, KIND, VERSION};
use flyball_apiserver::openapi::{common_documents, discovery_schemas, resource_list_operation};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Title of all documents.
pub(crate) const TITLE: &str = "Flyball hpa";
const SCHEMA: &str = "io.flyball.decisions.v1.Decision";
const LIST: &str = "io.flyball.decisions.v1.DecisionList";

/// The documents by their key in the index.
pub(crate) fn documents() -> BTreeMap<String, Value> {
    let mut all = common_documents(TITLE, &[GROUP]);
    let mut schemas = discovery_schemas();
    schemas.insert(SCHEMA.into(), decision());
    schemas.insert(LIST.into(), list());
    let document = json!({
        "openapi": "3.0.0",
        "info": { "title": TITLE, "version": env!("CARGO_PKG_VERSION") },
        "paths": paths(),
        "components": { "schemas": schemas },
    });
    all.insert(format!("apis/{GROUP}/{VERSION}"), document);
    all
}

fn paths() -> Value {
    let base = format!("/apis/{GROUP}/{VERSION}");
    let operations = [
        ("/decisions", "list", "listDecisionsV1DecisionForAllNamespaces", LIST),
        ("/namespaces/{namespace}/decisions", "list", "listDecisionsV1NamespacedDecision", LIST),
        ("/namespaces/{namespace}/decisions/{name}", "get", "readDecisionsV1NamespacedDecision", SCHEMA),
    ];
    let paths = operations.map(|(path, action, id, schema)| {
        let parameters: Vec<Value> = ["namespace", "name"]
            .into_iter()
            .filter(|name| path.contains(&format!("{{{name}}}")))
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}}))
            .collect();
        let content = json!({"schema": {"$ref": format!("#/components/schemas/{schema}")}});
        let get = json!({
            "tags": ["decisions_v1"],
            "description": "the last decision about a HorizontalPodAutoscaler; lists leave trace and counterfactuals out",
            "operationId": id,
            "parameters": parameters,
            "responses": {"200": {"description": "OK",
                "content": {"application/json": content.clone(), "application/yaml": content}}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": GROUP, "version": VERSION, "kind": KIND},
        });
        (format!("{base}{path}"), json!({ "get": get }))
    });
    Value::Object(Map::from_iter(paths.into_iter().chain([resource_list_operation(GROUP, VERSION)])))
}

fn free(description: &str) -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "description": description})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn decision() -> Value {
    let status = json!({
        "type": "object",
        "description": "What was decided, when, and by whom.",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "decidedAt": text("RFC 3339: when."),
            "decidedBy": text("Identity of the replica that decided."),
            "mode": text("Mode of the autoscaler."),
            "acting": {"type": "boolean", "description": "Whether this autoscaler was ours to write."},
            "currentReplicas": {"type": "integer", "description": "Replicas that the decision found."},
            "wantedReplicas": {"type": "integer", "description": "Replicas that the metrics ask for, before windows and limits."},
            "desiredReplicas": {"type": "integer", "description": "Replicas decided on."},
            "why": text("What decided, in one word."),
            "reason": text("Reason of the rescale, as its event words it."),
            "rescale": text("NotNeeded, Done, Failed or Withheld."),
            "error": text("What failed."),
        },
    });
    json!({
        "type": "object",
        "description": "The last decision about the HorizontalPodAutoscaler of the same name.",
        "properties": {
            "apiVersion": text("Version of the schema of this object."),
            "kind": text("Kind of this object."),
            "metadata": free("Name, namespace, labels and UID of the HorizontalPodAutoscaler."),
            "spec": free("What it scales, and its bounds."),
            "status": status,
            "changes": {"type": "array", "items": free("One change."), "description": "The last rescales, oldest first."},
            "counterfactuals": free("What would change the decision: values of metrics, time, policies."),
            "trace": free("Every number that took part, written by the code that decides."),
        },
        "x-kubernetes-group-version-kind": [{"group": GROUP, "version": VERSION, "kind": KIND}],
    })
}

fn list() -> Value {
    json!({
        "type": "object",
        "description": "Decisions.",
        "required": ["items"],
        "properties": {
            "apiVersion": text("Version of the schema of this object."),
            "kind": text("Kind of this object."),
            "metadata": free("Empty."),
            "items": {"type": "array", "items": {"$ref": format!("#/components/schemas/{SCHEMA}")}, "description": "The decisions."},
        },
        "x-kubernetes-group-version-kind": [{"group": GROUP, "version": VERSION, "kind": format!("{KIND}List")}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_apiserver::openapi::unresolved;

    #[test]
    fn every_reference_leads_somewhere() {
        assert_eq!(unresolved(&documents()), [""; 0]);
    }
}
