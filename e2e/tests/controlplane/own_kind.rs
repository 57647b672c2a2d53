//! The autoscaler's own kind on a real API server: its schema refuses what upstream's validation refuses (V1 to V28 of the
//! reference), and names the field.

use flyball_e2e::Kubectl;
use flyball_e2e::plane::{Needs, Plane};
use serde_json::{Value, json};

const CRD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/overlays/hpa-own-kind/crd.yaml");

/// Rule, where the fault is put, what it is, and the field that must be named with words about it.
type Fault = (&'static str, &'static str, Value, &'static str);

/// Removes what is at a path instead of setting it.
const NOTHING: Value = Value::Null;

/// All metric sources, both directions: everything that rules are about, and valid.
fn valid() -> Value {
    let metric = json!({ "name": "queue", "selector": { "matchLabels": { "a": "b" } } });
    let described = json!({ "apiVersion": "v1", "kind": "Service", "name": "web" });
    let rules = json!({
        "stabilizationWindowSeconds": 0, "selectPolicy": "Max", "tolerance": "50m",
        "policies": [{ "type": "Pods", "value": 4, "periodSeconds": 15 }],
    });
    json!({
        "apiVersion": "autoscaling.flyball.io/v1", "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": "web" },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            "minReplicas": 1, "maxReplicas": 10,
            "metrics": [
                { "type": "Resource", "resource": { "name": "cpu",
                    "target": { "type": "Utilization", "averageUtilization": 50 } } },
                { "type": "ContainerResource", "containerResource": { "name": "cpu", "container": "app",
                    "target": { "type": "AverageValue", "averageValue": "100m" } } },
                { "type": "Pods", "pods": { "metric": metric, "target": { "type": "AverageValue", "averageValue": 3 } } },
                { "type": "Object", "object": { "metric": metric, "describedObject": described,
                    "target": { "type": "Value", "value": "10" } } },
                { "type": "External", "external": { "metric": metric, "target": { "type": "Value", "value": "1k" } } },
            ],
            "behavior": { "scaleUp": rules, "scaleDown": rules },
        },
    })
}

fn faults() -> Vec<Fault> {
    let long = "x".repeat(254);
    vec![
        ("V1", "/metadata/name", json!("Web_1"), "metadata.name: Invalid value"),
        ("V2", "/spec/minReplicas", json!(-1), "spec.minReplicas: Invalid value"),
        ("V3", "/spec/maxReplicas", NOTHING, "spec.maxReplicas: Required value"),
        ("V3", "/spec/maxReplicas", json!(-3), "spec.maxReplicas: Invalid value"),
        ("V4", "/spec/minReplicas", json!(11), "spec.maxReplicas: Invalid value"),
        ("V5", "/spec/scaleTargetRef/kind", NOTHING, "spec.scaleTargetRef.kind: Required value"),
        ("V5", "/spec/scaleTargetRef/kind", json!(".."), "spec.scaleTargetRef.kind: Invalid value"),
        ("V5", "/spec/scaleTargetRef/name", NOTHING, "spec.scaleTargetRef.name: Required value"),
        ("V5", "/spec/scaleTargetRef/name", json!("a/b"), "spec.scaleTargetRef.name: Invalid value"),
        ("V5", "/spec/scaleTargetRef/name", json!("a%b"), "spec.scaleTargetRef.name: Invalid value"),
        (
            "V6",
            "/spec/scaleTargetRef/apiVersion",
            json!("a/b/c"),
            "spec.scaleTargetRef.apiVersion: Invalid value",
        ),
        (
            "V7",
            "/spec/scaleTargetRef/apiVersion",
            json!("v1"),
            "spec.scaleTargetRef.apiVersion: Invalid value",
        ),
        ("V9", "/spec/metrics/0/type", NOTHING, "spec.metrics[0].type: Required value"),
        ("V9", "/spec/metrics/0/type", json!("Odd"), "spec.metrics[0].type: Unsupported value"),
        (
            "V10",
            "/spec/metrics/0/pods",
            valid()["spec"]["metrics"][2]["pods"].clone(),
            "spec.metrics[0]: Invalid value",
        ),
        ("V10", "/spec/metrics/0/type", json!("Pods"), "spec.metrics[0].pods: Invalid value"),
        (
            "V11",
            "/spec/metrics/3/object/describedObject/kind",
            NOTHING,
            "spec.metrics[3].object.describedObject.kind: Required value",
        ),
        (
            "V11",
            "/spec/metrics/3/object/describedObject/name",
            json!("."),
            "spec.metrics[3].object.describedObject.name: Invalid value",
        ),
        (
            "V11",
            "/spec/metrics/3/object/describedObject/apiVersion",
            json!("a/b/c"),
            "spec.metrics[3].object.describedObject.apiVersion: Invalid value",
        ),
        (
            "V12",
            "/spec/metrics/2/pods/metric/name",
            NOTHING,
            "spec.metrics[2].pods.metric.name: Required value",
        ),
        (
            "V12",
            "/spec/metrics/3/object/metric/name",
            json!("a/b"),
            "spec.metrics[3].object.metric.name: Invalid value",
        ),
        (
            "V12",
            "/spec/metrics/4/external/metric/name",
            json!(long),
            "spec.metrics[4].external.metric.name: Too long",
        ),
        (
            "V12",
            "/spec/metrics/4/external/metric/selector",
            json!({ "matchExpressions": [{ "key": "a", "operator": "Near", "values": ["b"] }] }),
            "spec.metrics[4].external.metric.selector.matchExpressions[0].operator: Unsupported value",
        ),
        ("V13", "/spec/metrics/3/object/target/value", NOTHING, "spec.metrics[3].object.target"),
        (
            "V14",
            "/spec/metrics/4/external/target/averageValue",
            json!("1"),
            "spec.metrics[4].external.target",
        ),
        ("V14", "/spec/metrics/4/external/target/value", NOTHING, "spec.metrics[4].external.target"),
        (
            "V15",
            "/spec/metrics/2/pods/target/averageValue",
            NOTHING,
            "spec.metrics[2].pods.target.averageValue",
        ),
        (
            "V15",
            "/spec/metrics/2/pods/target/averageValue",
            json!(0),
            "spec.metrics[2].pods.target.averageValue: Invalid value",
        ),
        ("V16", "/spec/metrics/0/resource/name", NOTHING, "spec.metrics[0].resource.name: Required value"),
        (
            "V16",
            "/spec/metrics/1/containerResource/name",
            json!(""),
            "spec.metrics[1].containerResource.name: Invalid value",
        ),
        (
            "V17",
            "/spec/metrics/1/containerResource/container",
            NOTHING,
            "spec.metrics[1].containerResource.container: Required value",
        ),
        (
            "V17",
            "/spec/metrics/1/containerResource/container",
            json!("App_1"),
            "spec.metrics[1].containerResource.container: Invalid value",
        ),
        (
            "V18",
            "/spec/metrics/0/resource/target/averageUtilization",
            NOTHING,
            "spec.metrics[0].resource.target",
        ),
        (
            "V18",
            "/spec/metrics/0/resource/target/averageValue",
            json!("1"),
            "spec.metrics[0].resource.target",
        ),
        (
            "V19",
            "/spec/metrics/0/resource/target/type",
            NOTHING,
            "spec.metrics[0].resource.target.type: Required value",
        ),
        (
            "V19",
            "/spec/metrics/4/external/target/type",
            json!("Odd"),
            "spec.metrics[4].external.target.type: Unsupported value",
        ),
        (
            "V20",
            "/spec/metrics/3/object/target/value",
            json!("-1"),
            "spec.metrics[3].object.target.value: Invalid value",
        ),
        (
            "V20",
            "/spec/metrics/4/external/target/value",
            json!("much"),
            "spec.metrics[4].external.target.value: Invalid value",
        ),
        (
            "V20",
            "/spec/metrics/1/containerResource/target/averageValue",
            json!("0"),
            "spec.metrics[1].containerResource.target.averageValue: Invalid value",
        ),
        (
            "V21",
            "/spec/metrics/0/resource/target/averageUtilization",
            json!(0),
            "spec.metrics[0].resource.target.averageUtilization: Invalid value",
        ),
        (
            "V22",
            "/spec/behavior/scaleUp/stabilizationWindowSeconds",
            json!(-1),
            "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value",
        ),
        (
            "V22",
            "/spec/behavior/scaleDown/stabilizationWindowSeconds",
            json!(3601),
            "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value",
        ),
        (
            "V23",
            "/spec/behavior/scaleDown/selectPolicy",
            json!("Most"),
            "spec.behavior.scaleDown.selectPolicy: Unsupported value",
        ),
        (
            "V24",
            "/spec/behavior/scaleUp/policies",
            json!([]),
            "spec.behavior.scaleUp.policies: Invalid value",
        ),
        (
            "V25",
            "/spec/behavior/scaleUp/policies/0/type",
            json!("Nodes"),
            "spec.behavior.scaleUp.policies[0].type: Unsupported value",
        ),
        (
            "V25",
            "/spec/behavior/scaleUp/policies/0/value",
            json!(0),
            "spec.behavior.scaleUp.policies[0].value: Invalid value",
        ),
        (
            "V25",
            "/spec/behavior/scaleDown/policies/0/periodSeconds",
            json!(0),
            "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value",
        ),
        (
            "V25",
            "/spec/behavior/scaleDown/policies/0/periodSeconds",
            json!(1801),
            "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value",
        ),
        (
            "V26",
            "/spec/behavior/scaleUp/tolerance",
            json!("-1m"),
            "spec.behavior.scaleUp.tolerance: Invalid value",
        ),
    ]
}

/// Sets or removes what is at a path.
fn put(object: &mut Value, path: &str, value: Value) {
    let (parent, name) = path.rsplit_once('/').expect("a path");
    let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("{path} is in the manifest"));
    match (parent, value) {
        (Value::Object(members), Value::Null) => drop(members.remove(name)),
        (parent, value) => parent[name] = value,
    }
}

/// What the API server says about an object; it keeps none.
fn refusal(kubectl: &Kubectl, object: &Value) -> Option<String> {
    let finished = kubectl.run_with_input(&["create", "--dry-run=server", "-f", "-"], &object.to_string());
    (!finished.success()).then(|| finished.stderr.clone())
}

#[test]
fn the_schema_refuses_what_upstream_refuses() {
    let Some(plane) = Plane::shared(Needs::light()) else { return };
    let kubectl = plane.namespace("own-kind");
    plane.admin().ok(&["apply", "-f", CRD]);
    plane.admin().ok(&[
        "wait",
        "--for=condition=Established",
        "crd/horizontalpodautoscalers.autoscaling.flyball.io",
    ]);
    kubectl.eventually(flyball_e2e::SHORT, "the kind is served", || {
        refusal(&kubectl, &valid()).map_or(Ok(()), Err)
    });
    let mut wrong = Vec::new();
    for (rule, path, value, expected) in faults() {
        let mut object = valid();
        put(&mut object, path, value);
        match refusal(&kubectl, &object) {
            None => wrong.push(format!("{rule} {path}: accepted")),
            Some(text) if text.contains(expected) => {}
            Some(text) => wrong.push(format!("{rule} {path}: not {expected:?}, but {text}")),
        }
    }
    zero_needs_another_metric(&kubectl, &mut wrong);
    status_is_validated(&kubectl, &mut wrong);
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// V8, and what V2 and V7 allow.
fn zero_needs_another_metric(kubectl: &Kubectl, wrong: &mut Vec<String>) {
    let mut zero = valid();
    zero["spec"]["minReplicas"] = json!(0);
    if let Some(text) = refusal(kubectl, &zero) {
        wrong.push(format!("V2: zero with an Object metric is refused: {text}"));
    }
    zero["spec"]["metrics"] = json!([zero["spec"]["metrics"][0]]);
    match refusal(kubectl, &zero) {
        Some(text) if text.contains("spec.metrics: Invalid value") => {}
        other => wrong.push(format!("V8: {other:?}")),
    }
    let mut core = valid();
    core["spec"]["scaleTargetRef"] =
        json!({ "apiVersion": "v1", "kind": "ReplicationController", "name": "web" });
    if let Some(text) = refusal(kubectl, &core) {
        wrong.push(format!("V7: a ReplicationController is refused: {text}"));
    }
    let least = json!({ "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" }, "maxReplicas": 3 });
    let mut defaulted = valid();
    defaulted["spec"] = least;
    if let Some(text) = refusal(kubectl, &defaulted) {
        wrong.push(format!("defaults: {text}"));
    }
}

/// V27 and V28.
fn status_is_validated(kubectl: &Kubectl, wrong: &mut Vec<String>) {
    kubectl.apply(&valid());
    let condition = json!({ "type": "AbleToScale", "status": "True", "observedGeneration": -1 });
    for (rule, status, expected) in [
        ("V27", json!({ "currentReplicas": -1 }), "status.currentReplicas: Invalid value"),
        ("V27", json!({ "desiredReplicas": -1 }), "status.desiredReplicas: Invalid value"),
        (
            "V28",
            json!({ "conditions": [condition] }),
            "status.conditions[0].observedGeneration: Invalid value",
        ),
    ] {
        let patch = json!({ "status": status }).to_string();
        let kind = "horizontalpodautoscalers.autoscaling.flyball.io";
        let arguments = ["patch", kind, "web", "--subresource=status", "--type=merge", "-p", &patch];
        let finished = kubectl.run(&arguments);
        if finished.success() || !finished.stderr.contains(expected) {
            wrong.push(format!("{rule}: not {expected:?}, but {}{}", finished.stdout, finished.stderr));
        }
    }
}
