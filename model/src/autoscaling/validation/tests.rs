//! One test for each rule of hpa.md 1.5, under its number.

use serde_json::{Value, json};

use super::*;

const OPEN: Gates = Gates { scale_to_zero: true, metric_selectors: false };
const CLOSED: Gates = Gates { scale_to_zero: false, ..OPEN };
const STRICT: Gates = Gates { metric_selectors: true, ..OPEN };

/// A valid object, changed by `edits`: JSON pointer and new value (`null` removes).
fn object(edits: &[(&str, Value)]) -> HorizontalPodAutoscaler {
    let mut object = json!({
        "metadata": {"name": "web", "namespace": "ns"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 1, "maxReplicas": 5,
            "metrics": [resource_metric()],
        },
    });
    for (pointer, value) in edits {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("no {pointer}"));
        match parent {
            Value::Object(map) => map.insert(key.to_owned(), value.clone()),
            other => panic!("{pointer} is in {other}"),
        };
    }
    serde_json::from_value(object).unwrap()
}

fn resource_metric() -> Value {
    json!({"type": "Resource", "resource":
        {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}})
}

fn container_metric(name: &str, container: &str) -> Value {
    json!({"type": "ContainerResource", "containerResource":
        {"name": name, "container": container, "target": {"type": "Utilization", "averageUtilization": 50}}})
}

fn object_metric(described: Value, target: Value) -> Value {
    json!({"type": "Object", "object": {"describedObject": described, "metric": {"name": "m"}, "target": target}})
}

fn external_metric(target: Value) -> Value {
    json!({"type": "External", "external": {"metric": {"name": "m"}, "target": target}})
}

fn texts(faults: Vec<FieldError>) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

fn create(edits: &[(&str, Value)]) -> Vec<String> {
    texts(validate_create(&object(edits), OPEN))
}

/// Creating with these metrics.
fn metrics(metrics: Value) -> Vec<String> {
    create(&[("/spec/metrics", metrics)])
}

/// Creating with this `behavior.scaleUp`.
fn scale_up(rules: Value) -> Vec<String> {
    create(&[("/spec/behavior", json!({ "scaleUp": rules }))])
}

fn update(new: &[(&str, Value)], old: &[(&str, Value)], gates: Gates) -> Vec<String> {
    texts(validate_update(&object(new), &object(old), gates))
}

const NONE: [&str; 0] = [];

#[test]
fn a_valid_object_has_no_faults() {
    assert_eq!(create(&[]), NONE);
    let all = json!([
        resource_metric(),
        container_metric("memory", "app"),
        {"type": "Pods", "pods": {"metric": {"name": "m", "selector": {"matchLabels": {"a": "b"}}},
            "target": {"type": "AverageValue", "averageValue": "100m"}}},
        object_metric(json!({"kind": "Service", "name": "s", "apiVersion": "v1"}), json!({"type": "Value", "value": 3})),
        external_metric(json!({"type": "AverageValue", "averageValue": "1k"})),
    ]);
    assert_eq!(metrics(all), NONE);
    let mut object = object(&[("/spec/behavior", json!({}))]);
    crate::autoscaling::apply_defaults(&mut object);
    assert_eq!(texts(validate_create(&object, CLOSED)), NONE);
}

#[test]
fn v1_name() {
    assert_eq!(
        create(&[("/metadata/name", json!(null))]),
        ["metadata.name: Required value: name or generateName is required"]
    );
    let faults = create(&[("/metadata/name", json!("Web"))]);
    assert!(faults[0].starts_with(
        "metadata.name: Invalid value: \"Web\": a lowercase RFC 1123 subdomain must consist of"
    ));
    assert_eq!(create(&[("/metadata/generateName", json!("web-"))]), NONE);
    assert!(
        create(&[("/metadata/generateName", json!("W-"))])[0]
            .starts_with("metadata.generateName: Invalid value: \"W-\"")
    );
}

#[test]
fn v2_min_replicas() {
    let zero = ("/spec/minReplicas", json!(0));
    let external = ("/spec/metrics", json!([external_metric(json!({"type": "Value", "value": "1"}))]));
    let edits = [zero, external];
    let at_least = |bound: i32, got: i32| {
        format!("spec.minReplicas: Invalid value: {got}: must be greater than or equal to {bound}")
    };
    assert_eq!(texts(validate_create(&object(&edits), CLOSED)), [at_least(1, 0)]);
    assert_eq!(texts(validate_create(&object(&edits), OPEN)), NONE);
    assert_eq!(create(&[("/spec/minReplicas", json!(-1))]), [at_least(0, -1)]);
    assert_eq!(update(&edits, &edits, CLOSED), NONE, "an object that has 0 already may keep it");
    assert_eq!(update(&edits, &[], CLOSED), [at_least(1, 0)]);
}

#[test]
fn v3_max_replicas_is_positive() {
    let unset = [("/spec/minReplicas", json!(null)), ("/spec/maxReplicas", json!(null))];
    assert_eq!(create(&unset), ["spec.maxReplicas: Required value"]);
    let negative = [("/spec/minReplicas", json!(null)), ("/spec/maxReplicas", json!(-1))];
    assert_eq!(
        create(&negative),
        ["spec.maxReplicas: Invalid value: -1: must be greater than or equal to 1"]
    );
}

#[test]
fn v4_max_replicas_is_no_less_than_min() {
    assert_eq!(
        create(&[("/spec/minReplicas", json!(6))]),
        ["spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`"]
    );
    assert_eq!(create(&[("/spec/minReplicas", json!(5))]), NONE);
}

#[test]
fn v5_target_kind_and_name() {
    assert_eq!(
        create(&[("/spec/scaleTargetRef", json!({"apiVersion": "apps/v1"}))]),
        ["spec.scaleTargetRef.kind: Required value", "spec.scaleTargetRef.name: Required value"]
    );
    assert_eq!(
        create(&[("/spec/scaleTargetRef", json!({"apiVersion": "apps/v1", "kind": "..", "name": "a/b%c"}))]),
        [
            "spec.scaleTargetRef.kind: Invalid value: \"..\": may not be '..'",
            "spec.scaleTargetRef.name: Invalid value: \"a/b%c\": may not contain '/'",
            "spec.scaleTargetRef.name: Invalid value: \"a/b%c\": may not contain '%'",
        ]
    );
}

#[test]
fn v6_target_api_version_parses() {
    assert_eq!(
        create(&[("/spec/scaleTargetRef/apiVersion", json!("a/b/c"))]),
        ["spec.scaleTargetRef.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c"]
    );
}

#[test]
fn v7_target_api_version_names_a_group() {
    let fault = |version: &str| {
        format!(
            "spec.scaleTargetRef.apiVersion: Invalid value: {version:?}: apiVersion must specify API group"
        )
    };
    let versioned = |version: &str| [("/spec/scaleTargetRef/apiVersion", json!(version))];
    for version in ["", "v1", "/v1", "/"] {
        assert_eq!(create(&versioned(version)), [fault(version)], "{version:?}");
    }
    assert_eq!(update(&versioned("v1"), &versioned("v1"), OPEN), NONE, "kind and apiVersion did not change");
    assert_eq!(update(&versioned("a/b/c"), &versioned("a/b/c"), OPEN), NONE);
    assert_eq!(update(&versioned("v1"), &[], OPEN), [fault("v1")]);
    let controller = [
        ("/spec/scaleTargetRef/apiVersion", json!("v1")),
        ("/spec/scaleTargetRef/kind", json!("ReplicationController")),
    ];
    assert_eq!(create(&controller), NONE);
    let broken = [controller[1].clone(), ("/spec/scaleTargetRef/apiVersion", json!("a/b/c"))];
    assert_eq!(create(&broken).len(), 1);
}

#[test]
fn v8_zero_replicas_need_a_metric_that_wakes() {
    assert_eq!(
        create(&[("/spec/minReplicas", json!(0))]),
        [
            "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas"
        ]
    );
}

#[test]
fn v9_metric_type() {
    let supported =
        "supported values: \"ContainerResource\", \"External\", \"Object\", \"Pods\", \"Resource\"";
    assert_eq!(
        metrics(json!([{}])),
        [
            "spec.metrics[0].type: Required value: must specify a metric source type".to_owned(),
            format!("spec.metrics[0].type: Unsupported value: \"\": {supported}"),
        ]
    );
    assert_eq!(
        metrics(json!([resource_metric(), {"type": "Custom"}])),
        [format!("spec.metrics[1].type: Unsupported value: \"Custom\": {supported}")]
    );
}

#[test]
fn v10_exactly_the_named_source() {
    for (type_, member) in [
        ("Object", "object"),
        ("Pods", "pods"),
        ("Resource", "resource"),
        ("ContainerResource", "containerResource"),
        ("External", "external"),
    ] {
        assert_eq!(
            metrics(json!([{"type": type_}])),
            [format!(
                "spec.metrics[0].{member}: Required value: must populate information for the given metric source"
            )]
        );
    }
    let mut both = resource_metric();
    both["containerResource"] = container_metric("cpu", "app")["containerResource"].take();
    assert_eq!(
        metrics(json!([both])),
        ["spec.metrics[0].containerResource: Forbidden: must populate the given metric source only"]
    );
    // One wrong source alone is only missing, as upstream has it.
    let mut wrong = resource_metric();
    wrong["type"] = json!("Pods");
    assert_eq!(
        metrics(json!([wrong])),
        ["spec.metrics[0].pods: Required value: must populate information for the given metric source"]
    );
}

#[test]
fn v11_described_object() {
    let target = json!({"type": "Value", "value": "1"});
    let with = |version: &str| {
        let described = json!({"kind": "Service", "name": "s", "apiVersion": version});
        [("/spec/metrics", json!([object_metric(described, target.clone())]))]
    };
    assert_eq!(create(&with("v1")), NONE, "an empty group is fine here");
    let fault = "spec.metrics[0].object.describedObject.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c";
    assert_eq!(create(&with("a/b/c")), [fault]);
    assert_eq!(update(&with("a/b/c"), &with("v1"), OPEN), [fault]);
    assert_eq!(update(&with("a/b/c"), &with("d/e/f"), OPEN), NONE, "the old metrics were invalid already");
    assert_eq!(
        metrics(json!([object_metric(json!({}), target)])),
        [
            "spec.metrics[0].object.describedObject.kind: Required value",
            "spec.metrics[0].object.describedObject.name: Required value",
        ]
    );
}

#[test]
fn v12_metric_identifier() {
    let pods = |metric: Value| {
        let target = json!({"type": "AverageValue", "averageValue": "1"});
        metrics(json!([{"type": "Pods", "pods": {"metric": metric, "target": target}}]))
    };
    assert_eq!(
        pods(json!({})),
        ["spec.metrics[0].pods.metric.name: Required value: must specify a metric name"]
    );
    assert_eq!(
        pods(json!({"name": "a/b"})),
        ["spec.metrics[0].pods.metric.name: Invalid value: \"a/b\": may not contain '/'"]
    );
    let selector = json!({"matchExpressions": [{"key": "a", "operator": "Near"}]});
    assert_eq!(
        pods(json!({"name": "m", "selector": selector})),
        Vec::<String>::new(),
        "kube-apiserver does not look"
    );
    let metric = json!({"name": "m", "selector": selector});
    let metrics = json!([{"type": "Pods", "pods": {"metric": metric, "target": {"type": "AverageValue", "averageValue": "1"}}}]);
    assert_eq!(
        texts(validate_create(&object(&[("/spec/metrics", metrics)]), STRICT)),
        [
            "spec.metrics[0].pods.metric.selector: Invalid value: {\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Near\"}]}: \"Near\" is not a valid label selector operator"
        ]
    );
}

#[test]
fn v13_object_target() {
    let object = |target: Value| metrics(json!([object_metric(json!({"kind": "S", "name": "s"}), target)]));
    assert_eq!(
        object(json!({"type": "Value"})),
        [
            "spec.metrics[0].object.target.averageValue: Required value: must set either a target value or averageValue"
        ]
    );
    assert_eq!(object(json!({"type": "Value", "value": "1", "averageValue": "1"})), NONE);
}

#[test]
fn v14_external_target() {
    let external = |target: Value| metrics(json!([external_metric(target)]));
    assert_eq!(
        external(json!({"type": "Value"})),
        [
            "spec.metrics[0].external.target.averageValue: Required value: must set either a target value for metric or a per-pod target"
        ]
    );
    assert_eq!(
        external(json!({"type": "Value", "value": "1", "averageValue": "1"})),
        [
            "spec.metrics[0].external.target.value: Forbidden: may not set both a target value for metric and a per-pod target"
        ]
    );
}

#[test]
fn v15_pods_target() {
    let pods = json!({"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue"}}});
    assert_eq!(
        metrics(json!([pods])),
        [
            "spec.metrics[0].pods.target.averageValue: Required value: must specify a positive target averageValue"
        ]
    );
}

#[test]
fn v16_resource_name() {
    let mut unnamed = resource_metric();
    unnamed["resource"]["name"] = json!("");
    assert_eq!(
        metrics(json!([unnamed])),
        ["spec.metrics[0].resource.name: Required value: must specify a resource name"]
    );
    let mut odd = resource_metric();
    odd["resource"]["name"] = json!("anything at all");
    assert_eq!(metrics(json!([odd])), NONE, "not looked at further for whole pods");
    let path = "spec.metrics[0].containerResource.name";
    let container = |name: &str| metrics(json!([container_metric(name, "app")]));
    assert_eq!(container(""), [format!("{path}: Required value: must specify a resource name")]);
    for name in ["cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "example.com/gpu", "kubernetes.io/x"]
    {
        assert_eq!(container(name), NONE, "{name}");
    }
    assert_eq!(
        container("gpu"),
        [
            format!("{path}: Invalid value: \"gpu\": must be a standard resource type or fully qualified"),
            format!("{path}: Invalid value: \"gpu\": must be a standard resource for containers"),
        ]
    );
    assert_eq!(
        container("pods"),
        [format!("{path}: Invalid value: \"pods\": must be a standard resource for containers")]
    );
    assert_eq!(
        container("requests.a.com/b"),
        [format!(
            "{path}: Invalid value: \"requests.a.com/b\": doesn't follow extended resource name standard"
        )]
    );
}

#[test]
fn v17_container_name() {
    let container = |name: &str| metrics(json!([container_metric("cpu", name)]));
    let path = "spec.metrics[0].containerResource.container";
    assert_eq!(container(""), [format!("{path}: Required value: must specify a container")]);
    assert_eq!(container("a.b"), [format!("{path}: Invalid value: \"a.b\": must not contain dots")]);
}

#[test]
fn v18_resource_target() {
    for (type_, member) in [("Resource", "resource"), ("ContainerResource", "containerResource")] {
        let with = |target: Value| {
            metrics(json!([{"type": type_, member: {"name": "cpu", "container": "app", "target": target}}]))
        };
        assert_eq!(
            with(json!({"type": "Utilization"})),
            [format!(
                "spec.metrics[0].{member}.target.averageUtilization: Required value: must set either a target raw value or a target utilization"
            )]
        );
        assert_eq!(
            with(json!({"type": "Utilization", "averageUtilization": 5, "averageValue": "1"})),
            [format!(
                "spec.metrics[0].{member}.target.averageValue: Forbidden: may not set both a target raw value and a target utilization"
            )]
        );
    }
}

#[test]
fn v19_target_type() {
    let path = "spec.metrics[0].external.target.type";
    let rule = "must be either Utilization, Value, or AverageValue";
    assert_eq!(
        metrics(json!([external_metric(json!({"value": "1"}))])),
        [
            format!("{path}: Required value: must specify a metric target type"),
            format!("{path}: Invalid value: \"\": {rule}"),
        ]
    );
    assert_eq!(
        metrics(json!([external_metric(json!({"type": "Sum", "value": "1"}))])),
        [format!("{path}: Invalid value: \"Sum\": {rule}")]
    );
}

#[test]
fn v20_target_quantities_are_positive() {
    let path = "spec.metrics[0].external.target";
    assert_eq!(
        metrics(json!([external_metric(json!({"type": "Value", "value": "0"}))])),
        [format!("{path}.value: Invalid value: \"0\": must be positive")]
    );
    assert_eq!(
        metrics(json!([external_metric(json!({"type": "AverageValue", "averageValue": "-0.5"}))])),
        [format!("{path}.averageValue: Invalid value: \"-500m\": must be positive")]
    );
}

#[test]
fn v21_target_utilization_is_positive() {
    let mut metric = resource_metric();
    metric["resource"]["target"]["averageUtilization"] = json!(0);
    assert_eq!(
        metrics(json!([metric])),
        ["spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0"]
    );
}

fn pods_policy() -> Value {
    json!([{"type": "Pods", "value": 4, "periodSeconds": 15}])
}

#[test]
fn v22_stabilization_window() {
    let with =
        |seconds: i32| scale_up(json!({"stabilizationWindowSeconds": seconds, "policies": pods_policy()}));
    let path = "spec.behavior.scaleUp.stabilizationWindowSeconds";
    assert_eq!(with(-1), [format!("{path}: Invalid value: -1: must be greater than or equal to zero")]);
    assert_eq!(with(3601), [format!("{path}: Invalid value: 3601: must be less than or equal to 3600")]);
    assert_eq!((with(0), with(3600)), (vec![], vec![]));
}

#[test]
fn v23_select_policy() {
    assert_eq!(
        scale_up(json!({"selectPolicy": "Avg", "policies": pods_policy()})),
        [
            "spec.behavior.scaleUp.selectPolicy: Unsupported value: \"Avg\": supported values: \"Disabled\", \"Max\", \"Min\""
        ]
    );
    for select in ["Max", "Min", "Disabled"] {
        assert_eq!(scale_up(json!({"selectPolicy": select, "policies": pods_policy()})), NONE);
    }
}

#[test]
fn v24_at_least_one_policy() {
    let fault = |direction: &str| {
        format!("spec.behavior.{direction}.policies: Required value: must specify at least one Policy")
    };
    assert_eq!(scale_up(json!({})), [fault("scaleUp")]);
    assert_eq!(create(&[("/spec/behavior", json!({"scaleDown": {"policies": []}}))]), [fault("scaleDown")]);
}

#[test]
fn v25_policies() {
    let path = "spec.behavior.scaleUp.policies[1]";
    let with = |policy: Value| scale_up(json!({"policies": [pods_policy()[0], policy]}));
    assert_eq!(
        with(json!({"type": "Nodes", "value": 0, "periodSeconds": 0})),
        [
            format!("{path}.type: Unsupported value: \"Nodes\": supported values: \"Percent\", \"Pods\""),
            format!("{path}.value: Invalid value: 0: must be greater than zero"),
            format!("{path}.periodSeconds: Invalid value: 0: must be greater than zero"),
        ]
    );
    assert_eq!(
        with(json!({"type": "Percent", "value": 1, "periodSeconds": 1801})),
        [format!("{path}.periodSeconds: Invalid value: 1801: must be less than or equal to 1800")]
    );
    assert_eq!(with(json!({"type": "Percent", "value": 1000, "periodSeconds": 1800})), NONE);
}

#[test]
fn v26_tolerance() {
    let with = |tolerance: &str| scale_up(json!({"tolerance": tolerance, "policies": pods_policy()}));
    assert_eq!(
        with("-0.1"),
        ["spec.behavior.scaleUp.tolerance: Invalid value: \"-100m\": must be greater than or equal to 0"]
    );
    assert_eq!((with("0"), with("100")), (vec![], vec![]));
}

/// Updating the status to this.
fn status(status: Value) -> Vec<String> {
    let mut new = object(&[]);
    new.status = serde_json::from_value(status).unwrap();
    texts(validate_status_update(&new, &object(&[])))
}

#[test]
fn v27_status_counts() {
    assert_eq!(
        status(json!({"currentReplicas": -1, "desiredReplicas": -2})),
        [
            "status.currentReplicas: Invalid value: -1: must be greater than or equal to 0",
            "status.desiredReplicas: Invalid value: -2: must be greater than or equal to 0",
        ]
    );
    assert_eq!(status(json!({"currentReplicas": 0, "desiredReplicas": 3})), NONE);
}

#[test]
fn v28_condition_generation() {
    assert_eq!(
        status(json!({"conditions": [{"observedGeneration": 1}, {"observedGeneration": -1}]})),
        ["status.conditions[1].observedGeneration: Invalid value: -1: must be greater than or equal to 0"]
    );
}
