//! OpenAPI v2 out of v3 documents: same paths, same schemas, the older notation. Pure.

use serde_json::{Map, Value, json};

/// A Swagger 2 document with the paths and schemas of all v3 documents.
pub(super) fn swagger<'a>(title: &str, documents: impl IntoIterator<Item = &'a Value>) -> Value {
    let (mut definitions, mut paths) = (Map::new(), Map::new());
    for document in documents {
        for (name, schema) in object(document.pointer("/components/schemas")) {
            definitions.insert(name.clone(), rewritten(schema));
        }
        for (path, operations) in object(document.get("paths")) {
            let operations =
                object(Some(operations)).map(|(verb, operation)| (verb.clone(), older(operation)));
            paths.insert(path.clone(), Value::Object(operations.collect()));
        }
    }
    json!({
        "swagger": "2.0",
        "info": { "title": title, "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "definitions": definitions,
    })
}

fn object(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

/// An operation: media types stand beside it, schemas of parameters in them.
fn older(operation: &Value) -> Value {
    let Some(operation) = operation.as_object() else { return operation.clone() };
    let mut out = operation.clone();
    let mut produces = Vec::new();
    if let Some(Value::Object(responses)) = out.get_mut("responses") {
        for response in responses.values_mut() {
            let Some(content) = response.as_object_mut().and_then(|response| response.remove("content"))
            else {
                continue;
            };
            for (media_type, body) in object(Some(&content)) {
                produces.push(json!(media_type));
                if let Some(schema) = body.get("schema") {
                    response["schema"] = rewritten(schema);
                }
            }
        }
    }
    if let Some(Value::Array(parameters)) = out.get_mut("parameters") {
        for parameter in parameters.iter_mut().filter_map(Value::as_object_mut) {
            if let Some(Value::Object(schema)) = parameter.remove("schema") {
                parameter.extend(schema);
            }
        }
    }
    if !produces.is_empty() {
        produces.dedup();
        out.insert("produces".to_owned(), Value::Array(produces));
        out.insert("consumes".to_owned(), json!(["*/*"]));
        out.insert("schemes".to_owned(), json!(["https"]));
    }
    Value::Object(out)
}

/// References point to another place; a reference that v3 wraps in `allOf` because it has neighbours stands alone or
/// beside them. Of several types that a value may have, the first stands for all: the older notation knows no choice, and
/// kube-apiserver, which merges this document with its own, fails over one for all clients of the cluster.
fn rewritten(schema: &Value) -> Value {
    let mut schema = schema.clone();
    rewrite(&mut schema);
    schema
}

fn rewrite(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Array(all)) = map.get("allOf")
                && let [Value::Object(only)] = all.as_slice()
                && let Some(target) = only.get("$ref").cloned()
            {
                map.remove("allOf");
                map.remove("default");
                map.insert("$ref".to_owned(), target);
            }
            for choice in ["oneOf", "anyOf"] {
                let Some(Value::Array(choices)) = map.remove(choice) else { continue };
                if let Some(kind) = choices.first().and_then(|first| first.get("type")) {
                    map.entry("type").or_insert_with(|| kind.clone());
                }
            }
            if let Some(Value::String(target)) = map.get_mut("$ref") {
                *target = target.replace("#/components/schemas/", "#/definitions/");
            }
            map.values_mut().for_each(rewrite);
        }
        Value::Array(items) => items.iter_mut().for_each(rewrite),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_notation() {
        let reference = json!({"$ref": "#/components/schemas/a"});
        let document = json!({
            "paths": {"/x/{name}": {"get": {
                "operationId": "readX",
                "parameters": [{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}],
                "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
            }}},
            "components": {"schemas": {
                "b": {"properties": {"a": {"allOf": [reference], "default": {}, "description": "d"}}},
                "a": {"type": "string"},
                "c": {"description": "d", "oneOf": [{"type": "string"}, {"type": "number"}]},
            }},
        });
        let swagger = swagger("t", [&document]);
        let get = &swagger["paths"]["/x/{name}"]["get"];
        assert_eq!(
            get["parameters"][0],
            json!({"name": "name", "in": "path", "required": true, "type": "string"})
        );
        assert_eq!(
            get["responses"]["200"],
            json!({"description": "OK", "schema": {"$ref": "#/definitions/a"}})
        );
        assert_eq!(get["produces"], json!(["application/json"]));
        let wrapped = &swagger["definitions"]["b"]["properties"]["a"];
        assert_eq!(wrapped, &json!({"$ref": "#/definitions/a", "description": "d"}));
        assert_eq!(swagger["definitions"]["c"], json!({"description": "d", "type": "string"}));
    }
}
