//! OpenAPI v3 of the group: what `kubectl explain` shows and clients validate by. Pure.

use std::collections::BTreeMap;

use flyball_apiserver::openapi::{common_documents, discovery_schemas, resource_list_operation};
use serde_json::{Map, Value, json};

use crate::api::{GROUP, VERSIONS};

/// Title of all documents.
pub(crate) const TITLE: &str = "Flyball metrics-server";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";

/// The documents by their key in the index, for example `apis/metrics.k8s.io/v1`.
pub fn documents() -> BTreeMap<String, Value> {
    let mut all = common_documents(TITLE, &[GROUP]);
    all.extend(VERSIONS.map(|version| (format!("apis/{GROUP}/{version}"), document(version))));
    all
}

fn document(version: &str) -> Value {
    json!({
        "openapi": "3.0.0",
        "info": {"title": TITLE, "version": env!("CARGO_PKG_VERSION")},
        "paths": paths(version),
        "components": {"schemas": schemas(version)},
    })
}

/// One GET.
struct Operation {
    path: &'static str,
    id: String,
    action: &'static str,
    kind: &'static str,
    answer: &'static str,
    description: &'static str,
}

fn operations(version: &str) -> [Operation; 5] {
    let camel = format!("Metrics{}{}", version[..1].to_uppercase(), &version[1..]);
    let node = "NodeMetrics";
    let pod = "PodMetrics";
    [
        Operation {
            path: "/nodes",
            id: format!("list{camel}NodeMetrics"),
            action: "list",
            kind: node,
            answer: "NodeMetricsList",
            description: "list usage of nodes",
        },
        Operation {
            path: "/nodes/{name}",
            id: format!("read{camel}NodeMetrics"),
            action: "get",
            kind: node,
            answer: node,
            description: "read usage of one node",
        },
        Operation {
            path: "/pods",
            id: format!("list{camel}PodMetricsForAllNamespaces"),
            action: "list",
            kind: pod,
            answer: "PodMetricsList",
            description: "list usage of pods in all namespaces",
        },
        Operation {
            path: "/namespaces/{namespace}/pods",
            id: format!("list{camel}NamespacedPodMetrics"),
            action: "list",
            kind: pod,
            answer: "PodMetricsList",
            description: "list usage of pods of one namespace",
        },
        Operation {
            path: "/namespaces/{namespace}/pods/{name}",
            id: format!("read{camel}NamespacedPodMetrics"),
            action: "get",
            kind: pod,
            answer: pod,
            description: "read usage of one pod",
        },
    ]
}

fn paths(version: &str) -> Value {
    let base = format!("/apis/{GROUP}/{version}");
    let paths = operations(version).map(|operation| {
        let schema = reference(&local(version, operation.answer));
        let content = json!({"schema": schema});
        let get = json!({
            "tags": [format!("metrics_{version}")],
            "description": operation.description,
            "operationId": operation.id,
            "parameters": parameters(&operation),
            "responses": {"200": {
                "description": "OK",
                "content": {"application/json": content.clone(), "application/yaml": content.clone(),
                    "application/vnd.kubernetes.protobuf": content},
            }},
            "x-kubernetes-action": operation.action,
            "x-kubernetes-group-version-kind": gvk(version, operation.kind),
        });
        (format!("{base}{}", operation.path), json!({"get": get}))
    });
    Value::Object(Map::from_iter(paths.into_iter().chain([resource_list_operation(GROUP, version)])))
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let in_path =
        ["namespace", "name"].into_iter().filter(|name| operation.path.contains(&format!("{{{name}}}")));
    let mut all: Vec<Value> = in_path
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}}))
        .collect();
    if operation.action == "list" {
        all.extend(LIST_PARAMETERS.map(|(name, kind, description)| {
            let schema = json!({"type": kind, "uniqueItems": true});
            json!({"name": name, "in": "query", "description": description, "schema": schema})
        }));
    }
    all
}

/// Of lists and watches: name, type, what it does.
const LIST_PARAMETERS: [(&str, &str, &str); 7] = [
    ("continue", "string", "Goes on where the piece of the list ended that named this."),
    ("fieldSelector", "string", "Only objects with this metadata.name or metadata.namespace."),
    ("labelSelector", "string", "Only objects with these labels."),
    ("limit", "integer", "Most objects of this piece of the list; without it the list is whole."),
    ("resourceVersion", "string", "For a watch: the state that the client has. Without meaning for a list."),
    ("timeoutSeconds", "integer", "For a watch: after how long it ends."),
    ("watch", "boolean", "Tells what changes from now on, as a stream of events."),
];

fn gvk(version: &str, kind: &str) -> Value {
    json!({"group": GROUP, "version": version, "kind": kind})
}

fn local(version: &str, kind: &str) -> String {
    format!("io.k8s.metrics.pkg.apis.metrics.{version}.{kind}")
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// A reference with neighbours is wrapped, as Kubernetes documents have it.
fn described(schema: &str, description: &str) -> Value {
    json!({"allOf": [reference(schema)], "default": {}, "description": description})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn schemas(version: &str) -> Value {
    let mut all = Map::new();
    let usage = json!({
        "type": "object",
        "additionalProperties": {"allOf": [reference(QUANTITY)], "default": {}},
        "description": "Usage by resource name: cpu in cores on average over the window, memory as working set in bytes \
            at the timestamp.",
    });
    let interval = |mut own: Map<String, Value>| {
        own.insert("apiVersion".to_owned(), text("Version of the schema of this object."));
        own.insert("kind".to_owned(), text("Kind of this object."));
        own.insert(
            "metadata".to_owned(),
            described(
                &format!("{META}.ObjectMeta"),
                "Name and labels; creationTimestamp is the time of the answer.",
            ),
        );
        own.insert(
            "timestamp".to_owned(),
            described(&format!("{META}.Time"), "End of the interval that usage was measured over."),
        );
        own.insert(
            "window".to_owned(),
            described(
                &format!("{META}.Duration"),
                "Length of that interval: usage covers (timestamp - window, timestamp].",
            ),
        );
        Value::Object(own)
    };
    let containers = json!({
        "type": "array",
        "items": {"allOf": [reference(&local(version, "ContainerMetrics"))], "default": {}},
        "x-kubernetes-list-type": "atomic",
        "description": "Usage of each container of the pod.",
    });
    let kind = |kind: &str, description: &str, properties: Value, required: Value| {
        json!({
            "type": "object",
            "description": description,
            "required": required,
            "properties": properties,
            "x-kubernetes-group-version-kind": [gvk(version, kind)],
        })
    };
    let list = |of: &str| {
        json!({
            "apiVersion": text("Version of the schema of this object."),
            "kind": text("Kind of this object."),
            "metadata": described(&format!("{META}.ListMeta"), "Empty unless the list was asked for in pieces."),
            "items": {
                "type": "array",
                "items": {"allOf": [reference(&local(version, of))], "default": {}},
                "description": "The usages.",
            },
        })
    };
    let node = Map::from_iter([("usage".to_owned(), usage.clone())]);
    let pod = Map::from_iter([("containers".to_owned(), containers)]);
    for (name, schema) in [
        (
            "NodeMetrics",
            kind(
                "NodeMetrics",
                "Resource usage of a node.",
                interval(node),
                json!(["timestamp", "window", "usage"]),
            ),
        ),
        (
            "PodMetrics",
            kind(
                "PodMetrics",
                "Resource usage of a pod.",
                interval(pod),
                json!(["timestamp", "window", "containers"]),
            ),
        ),
        (
            "NodeMetricsList",
            kind("NodeMetricsList", "Resource usage of nodes.", list("NodeMetrics"), json!(["items"])),
        ),
        (
            "PodMetricsList",
            kind("PodMetricsList", "Resource usage of pods.", list("PodMetrics"), json!(["items"])),
        ),
        (
            "ContainerMetrics",
            json!({
                "type": "object",
                "description": "Resource usage of a container.",
                "required": ["name", "usage"],
                "properties": {"name": {"type": "string", "default": "", "description": "Name of the container."}, "usage": usage},
            }),
        ),
    ] {
        all.insert(local(version, name), schema);
    }
    all.extend(meta_schemas());
    all.extend(discovery_schemas());
    Value::Object(all)
}

fn meta_schemas() -> Vec<(String, Value)> {
    let strings = json!({"type": "object", "additionalProperties": {"type": "string", "default": ""}});
    vec![
        (
            format!("{META}.ObjectMeta"),
            json!({
                "type": "object",
                "description": "The part of the standard object's metadata that metrics have.",
                "properties": {
                    "name": text("Name of the node or pod."),
                    "namespace": text("Namespace of the pod."),
                    "labels": strings,
                    "resourceVersion": text("In events of a watch: from where it can be resumed."),
                    "creationTimestamp": described(&format!("{META}.Time"), "Time of the answer."),
                },
            }),
        ),
        (
            format!("{META}.ListMeta"),
            json!({
                "type": "object",
                "description": "Metadata of a list.",
                "properties": {
                    "continue": text("What the next piece is asked for with; absent in the last one."),
                    "remainingItemCount": {
                        "type": "integer",
                        "format": "int64",
                        "description": "How many objects the next pieces hold, as an estimate.",
                    },
                    "resourceVersion": text("From where a watch can go on."),
                },
            }),
        ),
        (
            format!("{META}.Time"),
            json!({"type": "string", "format": "date-time", "description": "RFC 3339, seconds."}),
        ),
        (
            format!("{META}.Duration"),
            json!({"type": "string", "description": "Go duration, for example 10.02s."}),
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

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_apiserver::openapi::unresolved;

    #[test]
    fn operation_ids_are_upstreams() {
        let ids = |version| operations(version).map(|operation| operation.id);
        assert_eq!(
            ids("v1beta1"),
            [
                "listMetricsV1beta1NodeMetrics",
                "readMetricsV1beta1NodeMetrics",
                "listMetricsV1beta1PodMetricsForAllNamespaces",
                "listMetricsV1beta1NamespacedPodMetrics",
                "readMetricsV1beta1NamespacedPodMetrics",
            ]
        );
        assert_eq!(ids("v1")[0], "listMetricsV1NodeMetrics");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        assert_eq!(unresolved(&documents()), [""; 0]);
    }
}
