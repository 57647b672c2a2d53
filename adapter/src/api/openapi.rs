//! OpenAPI v3 of the groups. Upstream's documents name the paths with placeholders for resource and metric. Pure.

use std::collections::BTreeMap;

use flyball_apiserver::openapi::{common_documents, discovery_schemas, resource_list_operation};
use serde_json::{Map, Value, json};

use super::route::{CUSTOM_VERSIONS, VERSION};
use super::{CUSTOM, EXTERNAL, TITLE};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const REFERENCE: &str = "io.k8s.api.core.v1.ObjectReference";

/// The documents by their key in the index.
pub fn documents() -> BTreeMap<String, Value> {
    let mut all = common_documents(TITLE, &[CUSTOM, EXTERNAL]);
    for version in CUSTOM_VERSIONS {
        all.insert(format!("apis/{CUSTOM}/{version}"), custom(version));
    }
    all.insert(format!("apis/{EXTERNAL}/{VERSION}"), external());
    all
}

fn custom(version: &str) -> Value {
    let base = format!("/apis/{CUSTOM}/{version}");
    let list = format!("io.k8s.metrics.pkg.apis.custom_metrics.{version}.MetricValueList");
    let camel = format!("{}{}", version[..1].to_uppercase(), &version[1..]);
    let operation = |path: &str, id: String, description: &str| {
        (
            format!("{base}{path}"),
            get(
                &format!("customMetrics_{version}"),
                &id,
                description,
                path,
                &list,
                &["fieldSelector", "labelSelector", "metricLabelSelector"],
            ),
        )
    };
    let paths = Map::from_iter([
        operation(
            "/namespaces/{namespace}/{resource}/{name}/{subresource}",
            format!("listCustomMetrics{camel}NamespacedMetricValue"),
            "list custom metrics of objects of a namespace; the name * stands for all of them",
        ),
        operation(
            "/{resource}/{name}/{subresource}",
            format!("listCustomMetrics{camel}MetricValue"),
            "list custom metrics of objects in no namespace; the name * stands for all of them",
        ),
        operation(
            "/namespaces/{namespace}/metrics/{name}",
            format!("listCustomMetrics{camel}MetricValueForNamespace"),
            "list a custom metric of the namespace itself",
        ),
        resource_list_operation(CUSTOM, version),
    ]);
    document(paths, custom_schemas(version, &list))
}

fn external() -> Value {
    let list = format!("io.k8s.metrics.pkg.apis.external_metrics.{VERSION}.ExternalMetricValueList");
    let path = "/namespaces/{namespace}/{resource}";
    let get = get(
        &format!("externalMetrics_{VERSION}"),
        "listExternalMetricsV1beta1NamespacedExternalMetricValue",
        "list values of an external metric",
        path,
        &list,
        &["labelSelector"],
    );
    let paths = Map::from_iter([
        (format!("/apis/{EXTERNAL}/{VERSION}{path}"), get),
        resource_list_operation(EXTERNAL, VERSION),
    ]);
    let value = format!("io.k8s.metrics.pkg.apis.external_metrics.{VERSION}.ExternalMetricValue");
    let schemas = vec![
        list_schema(&list, "ExternalMetricValueList", EXTERNAL, VERSION, &value),
        (
            value,
            json!({
                "type": "object",
                "description": "A value of an external metric.",
                "required": ["metricName", "metricLabels", "timestamp", "value"],
                "properties": {
                    "metricName": text("Name of the metric."),
                    "metricLabels": {"type": "object", "additionalProperties": {"type": "string", "default": ""},
                        "description": "Labels of the series that the value is of."},
                    "timestamp": described(&format!("{META}.Time"), "When the value was computed."),
                    "window": {"type": "integer", "format": "int64", "description": "Seconds that it was computed over."},
                    "value": described(QUANTITY, "The value."),
                },
            }),
        ),
    ];
    document(paths, schemas)
}

fn custom_schemas(version: &str, list: &str) -> Vec<(String, Value)> {
    let value = format!("io.k8s.metrics.pkg.apis.custom_metrics.{version}.MetricValue");
    let selector = described(&format!("{META}.LabelSelector"), "What the request said of the series.");
    let mut properties = json!({
        "describedObject": described(REFERENCE, "The object that the value is of."),
        "timestamp": described(&format!("{META}.Time"), "When the value was computed."),
        "value": described(QUANTITY, "The value."),
    });
    let mut schemas = vec![list_schema(list, "MetricValueList", CUSTOM, version, &value)];
    let window =
        json!({"type": "integer", "format": "int64", "description": "Seconds that it was computed over."});
    let required = if version == "v1beta1" {
        properties["metricName"] = text("Name of the metric.");
        properties["selector"] = selector;
        properties["window"] = window;
        json!(["describedObject", "metricName", "timestamp", "value", "selector"])
    } else {
        let identifier = format!("io.k8s.metrics.pkg.apis.custom_metrics.{version}.MetricIdentifier");
        properties["metric"] = described(&identifier, "Name of the metric, and what was said of the series.");
        properties["windowSeconds"] = window;
        schemas.push((
            identifier,
            json!({
                "type": "object",
                "description": "A metric.",
                "required": ["name"],
                "properties": {"name": text("Its name."), "selector": selector},
            }),
        ));
        json!(["describedObject", "metric", "timestamp", "value"])
    };
    schemas.push((
        value,
        json!({
            "type": "object",
            "description": "A value of a metric of an object.",
            "required": required,
            "properties": properties,
        }),
    ));
    schemas
}

fn list_schema(name: &str, kind: &str, group: &str, version: &str, item: &str) -> (String, Value) {
    let schema = json!({
        "type": "object",
        "description": "Values of a metric.",
        "required": ["metadata", "items"],
        "properties": {
            "apiVersion": text("Version of the schema of this object."),
            "kind": text("Kind of this object."),
            "metadata": described(&format!("{META}.ListMeta"), "Empty."),
            "items": {"type": "array", "items": {"allOf": [reference(item)], "default": {}}},
        },
        "x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": kind}],
    });
    (name.to_owned(), schema)
}

fn document(paths: Map<String, Value>, schemas: Vec<(String, Value)>) -> Value {
    let mut all: Map<String, Value> = schemas.into_iter().collect();
    all.extend(meta_schemas());
    all.extend(discovery_schemas());
    json!({
        "openapi": "3.0.0",
        "info": {"title": TITLE, "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": all},
    })
}

fn get(tag: &str, id: &str, description: &str, path: &str, answer: &str, in_query: &[&str]) -> Value {
    let in_path = ["namespace", "resource", "name", "subresource"]
        .into_iter()
        .filter(|name| path.contains(&format!("{{{name}}}")))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}}));
    let in_query = in_query
        .iter()
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}}));
    let content = json!({"schema": reference(answer)});
    json!({"get": {
        "tags": [tag],
        "description": description,
        "operationId": id,
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": {"200": {
            "description": "OK",
            "content": {"application/json": content.clone(), "application/yaml": content},
        }},
        "x-kubernetes-action": "list",
    }})
}

fn meta_schemas() -> Vec<(String, Value)> {
    let requirement = json!({
        "type": "object",
        "required": ["key", "operator"],
        "properties": {
            "key": text("Key of a label."),
            "operator": text("In, NotIn, Exists or DoesNotExist."),
            "values": {"type": "array", "items": {"type": "string", "default": ""}},
        },
    });
    vec![
        (
            REFERENCE.to_owned(),
            json!({
                "type": "object",
                "description": "An object.",
                "properties": {
                    "apiVersion": text("Its group and version."),
                    "kind": text("Its kind."),
                    "name": text("Its name."),
                    "namespace": text("Its namespace."),
                },
            }),
        ),
        (
            format!("{META}.LabelSelector"),
            json!({
                "type": "object",
                "description": "Conditions on labels.",
                "properties": {
                    "matchLabels": {"type": "object", "additionalProperties": {"type": "string", "default": ""}},
                    "matchExpressions": {"type": "array", "items": requirement},
                },
            }),
        ),
        (format!("{META}.ListMeta"), json!({"type": "object", "description": "Metadata of a list."})),
        (
            format!("{META}.Time"),
            json!({"type": "string", "format": "date-time", "description": "RFC 3339, seconds."}),
        ),
        (
            QUANTITY.to_owned(),
            json!({
                "description": "A number in Kubernetes' notation, for example 250m or 8Gi.",
                "oneOf": [{"type": "string"}, {"type": "number"}],
            }),
        ),
    ]
}

fn text(description: &str) -> Value {
    json!({"type": "string", "default": "", "description": description})
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// A reference with neighbours is wrapped, as Kubernetes documents have it.
fn described(schema: &str, description: &str) -> Value {
    json!({"allOf": [reference(schema)], "default": {}, "description": description})
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
