//! OpenAPI v3 of the group. Pure.

use std::collections::BTreeMap;

use flyball_apiserver::openapi::{common_documents, discovery_schemas, resource_list_operation};
use serde_json::{Map, Value, json};

use super::doors::{ENTRIES, Entry, GROUP, VERSION};

const TITLE: &str = "Flyball history";
const SCHEMA: &str = "io.flyball.history.v1.Answer";

/// The documents by their key in the index.
pub(super) fn documents() -> BTreeMap<String, Value> {
    let mut all = common_documents(TITLE, &[GROUP]);
    let mut schemas = discovery_schemas();
    schemas.insert(SCHEMA.into(), answer());
    let document = json!({
        "openapi": "3.0.0",
        "info": {"title": TITLE, "version": env!("CARGO_PKG_VERSION")},
        "paths": paths(),
        "components": {"schemas": schemas},
    });
    all.insert(format!("apis/{GROUP}/{VERSION}"), document);
    all
}

fn paths() -> Value {
    let mut paths = Map::new();
    for entry in &ENTRIES {
        let scopes: &[&str] = if entry.namespaced { &["", "/namespaces/{namespace}"] } else { &[""] };
        for scope in scopes {
            let rest = if entry.rest.is_empty() { String::new() } else { format!("/{}", entry.rest) };
            let path = format!("/apis/{GROUP}/{VERSION}{scope}/{}{rest}", entry.resource);
            let mut operations = Map::new();
            // What changes something is not read.
            if entry.resource != "admin" {
                operations.insert("get".into(), operation(entry, scope, "list"));
            }
            if entry.posted {
                operations.insert("post".into(), operation(entry, scope, "post"));
            }
            paths.insert(path, operations.into());
        }
    }
    let (path, operation) = resource_list_operation(GROUP, VERSION);
    paths.insert(path, operation);
    Value::Object(paths)
}

fn operation(entry: &Entry, scope: &str, action: &str) -> Value {
    let in_path = ["namespace", "name"].into_iter().filter(|name| {
        let part = format!("{{{name}}}");
        scope.contains(&part) || entry.rest.contains(&part)
    });
    let mut parameters: Vec<Value> = in_path
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}}))
        .collect();
    if matches!(entry.resource, "query" | "query_range") {
        let schema = json!({"type": "string", "uniqueItems": true});
        parameters.push(json!({"name": "query", "in": "query", "description": "PromQL", "schema": schema}));
    }
    let words = [entry.resource, entry.rest, if scope.is_empty() { "" } else { "namespaced" }];
    let id: String = words
        .iter()
        .flat_map(|word| word.split(['/', '_', '{', '}']))
        .filter(|word| !word.is_empty())
        .map(|word| word[..1].to_uppercase() + &word[1..])
        .collect();
    json!({
        "tags": ["history_v1"],
        "description": format!("{}; parameters and answer as Prometheus' HTTP API", entry.about),
        "operationId": format!("{action}HistoryV1{id}"),
        "parameters": parameters,
        "responses": {"200": {"description": "OK",
            "content": {"application/json": {"schema": {"$ref": format!("#/components/schemas/{SCHEMA}")}}}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": GROUP, "version": VERSION, "kind": entry.kind},
    })
}

fn answer() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let list =
        |description: &str| json!({"type": "array", "items": {"type": "string"}, "description": description});
    json!({
        "type": "object",
        "description": "An answer of Prometheus' HTTP API.",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "status": text("success or error"),
            "data": {"description": "The result.", "x-kubernetes-preserve-unknown-fields": true},
            "errorType": text("Kind of the error."),
            "error": text("What is wrong."),
            "warnings": list("What is doubtful about the result."),
            "infos": list("What there is to say about the query."),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use flyball_apiserver::openapi::unresolved;

    use super::*;

    #[test]
    fn references_lead_somewhere_and_ids_are_unique() {
        assert_eq!(unresolved(&documents()), [""; 0]);
        for (key, document) in documents() {
            let text = document.to_string();
            let ids: Vec<&str> = text
                .split("\"operationId\":\"")
                .skip(1)
                .map(|rest| rest.split('"').next().unwrap())
                .collect();
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{key}: {ids:?}");
        }
    }
}
