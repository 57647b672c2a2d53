use serde_json::{Value, json};

use super::*;

fn converted(result: Result<Value, ConvertError>) -> Value {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn v1_object() -> Value {
    json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "ns", "uid": "u", "annotations": {"mine": "kept"},
            "finalizers": ["a/b"], "managedFields": [{"manager": "kubectl"}]},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"},
            "minReplicas": 2, "maxReplicas": 5, "targetCPUUtilizationPercentage": 60},
        "status": {"currentReplicas": 2, "desiredReplicas": 3, "currentCPUUtilizationPercentage": 70,
            "lastScaleTime": "2026-11-22T11:05:36Z", "observedGeneration": 4},
    })
}

fn cpu(percent: i32) -> Value {
    json!({"type": "Resource", "resource":
        {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}})
}

fn v2_object(metrics: Value) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "ns"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"},
            "maxReplicas": 5, "metrics": metrics},
        "status": {"currentMetrics": null, "desiredReplicas": 0},
    })
}

/// To v1 and back.
fn round_trip(object: Value) -> Value {
    converted(v1_to_v2(converted(v2_to_v1(object))))
}

#[test]
fn v1_becomes_a_cpu_metric_and_loses_nothing() {
    let v2 = converted(v1_to_v2(v1_object()));
    assert_eq!(
        v2,
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": v1_object()["metadata"],
            "spec": {"scaleTargetRef": v1_object()["spec"]["scaleTargetRef"],
                "minReplicas": 2, "maxReplicas": 5, "metrics": [cpu(60)]},
            "status": {"currentReplicas": 2, "desiredReplicas": 3, "lastScaleTime": "2026-11-22T11:05:36Z",
                "observedGeneration": 4, "currentMetrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 70}}}]},
        })
    );
    let mut back = converted(v2_to_v1(v2));
    let annotations = back["metadata"]["annotations"].as_object_mut().unwrap();
    assert!(annotations.remove(CURRENT_METRICS_ANNOTATION).is_some());
    assert_eq!(back, v1_object());
}

#[test]
fn v1_without_metrics_gets_80_percent() {
    let mut object = v1_object();
    object["spec"].as_object_mut().unwrap().remove("targetCPUUtilizationPercentage");
    assert_eq!(converted(v1_to_v2(object))["spec"]["metrics"], json!([cpu(80)]));
}

#[test]
fn other_metrics_travel_in_an_annotation_and_come_first() {
    let selector = json!({"matchLabels": {"a": "b"}});
    let described = json!({"kind": "Service", "name": "s", "apiVersion": "v1"});
    let others = [
        json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "64Mi"}}}),
        json!({"type": "ContainerResource", "containerResource":
            {"name": "cpu", "container": "app", "target": {"type": "Utilization", "averageUtilization": 5}}}),
        json!({"type": "Pods", "pods": {"metric": {"name": "p", "selector": selector},
            "target": {"type": "AverageValue", "averageValue": "1500m"}}}),
        json!({"type": "Object", "object": {"describedObject": described, "metric": {"name": "o"},
            "target": {"type": "Value", "value": "3"}}}),
        json!({"type": "Object", "object": {"describedObject": described, "metric": {"name": "o"},
            "target": {"type": "AverageValue", "averageValue": "3"}}}),
        json!({"type": "External", "external": {"metric": {"name": "e", "selector": selector},
            "target": {"type": "AverageValue", "averageValue": "30"}}}),
        json!({"type": "External", "external": {"metric": {"name": "e"}, "target": {"type": "Value", "value": "30"}}}),
    ];
    let mut given = vec![cpu(60)];
    given.extend(others.clone());
    let object = v2_object(json!(given));
    let v1 = converted(v2_to_v1(object.clone()));
    assert_eq!(v1["spec"]["targetCPUUtilizationPercentage"], 60);
    let annotation = v1["metadata"]["annotations"][METRICS_ANNOTATION].as_str().unwrap();
    assert!(
        annotation.starts_with(r#"[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"64Mi"}},{"type":"ContainerResource","containerResource":{"name":"cpu","targetAverageUtilization":5,"container":"app"}},{"type":"Pods","pods":{"metricName":"p","targetAverageValue":"1500m","selector":{"matchLabels":{"a":"b"}}}},{"type":"Object","object":{"target":{"kind":"Service","name":"s","apiVersion":"v1"},"metricName":"o","targetValue":"3"}},"#),
        "{annotation}"
    );
    let mut moved = others.to_vec();
    moved.push(cpu(60));
    assert_eq!(round_trip(object), v2_object(json!(moved)));
}

#[test]
fn behavior_travels_with_capitalised_keys() {
    let mut object = v2_object(json!([cpu(60)]));
    object["spec"]["behavior"] = json!({"scaleDown": {"stabilizationWindowSeconds": 60, "selectPolicy": "Min",
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 30}], "tolerance": "50m"}});
    let v1 = converted(v2_to_v1(object.clone()));
    assert_eq!(
        v1["metadata"]["annotations"][BEHAVIOR_ANNOTATION],
        r#"{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":60,"SelectPolicy":"Min","Policies":[{"Type":"Pods","Value":1,"PeriodSeconds":30}],"Tolerance":"50m"}}"#
    );
    assert_eq!(round_trip(object), {
        let mut same = v2_object(json!([cpu(60)]));
        same["spec"]["behavior"] = json!({"scaleDown": {"stabilizationWindowSeconds": 60, "selectPolicy": "Min",
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 30}], "tolerance": "50m"}});
        same
    });
    let mut camel = v1_object();
    camel["metadata"]["annotations"][BEHAVIOR_ANNOTATION] = json!(r#"{"scaleUp":{"selectPolicy":"Max"}}"#);
    assert_eq!(converted(v1_to_v2(camel))["spec"]["behavior"], json!({"scaleUp": {"selectPolicy": "Max"}}));
}

#[test]
fn status_travels_in_annotations() {
    let mut object = v2_object(json!([cpu(60)]));
    object["status"] = json!({
        "currentReplicas": 2, "desiredReplicas": 3,
        "currentMetrics": [
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageValue": "70m", "averageUtilization": 70}}},
            {"type": "ContainerResource", "containerResource":
                {"name": "cpu", "container": "app", "current": {"averageValue": "7m", "averageUtilization": 7}}},
            {"type": "Pods", "pods": {"metric": {"name": "p"}, "current": {"averageValue": "1"}}},
            {"type": "Object", "object": {"describedObject": {"kind": "S", "name": "s"},
                "metric": {"name": "o"}, "current": {"value": "5", "averageValue": "2"}}},
            {"type": "External", "external": {"metric": {"name": "e"}, "current": {"value": "9"}}},
            {"type": ""},
        ],
        "conditions": [{"type": "AbleToScale", "status": "True", "lastTransitionTime": "2026-11-22T11:05:36Z",
            "reason": "ReadyForNewScale", "message": "recommended size matches current size"}],
    });
    let v1 = converted(v2_to_v1(object.clone()));
    assert_eq!(v1["status"]["currentCPUUtilizationPercentage"], 70);
    assert_eq!(
        v1["metadata"]["annotations"][CONDITIONS_ANNOTATION],
        r#"[{"type":"AbleToScale","status":"True","lastTransitionTime":"2026-11-22T11:05:36Z","reason":"ReadyForNewScale","message":"recommended size matches current size"}]"#
    );
    assert_eq!(round_trip(object.clone()), object);
}

#[test]
fn annotations_of_conversion_never_stay() {
    let mut annotations: Vec<(&str, Value)> =
        ALL_ANNOTATIONS.iter().map(|name| (*name, json!("not json"))).collect();
    annotations.push(("mine", json!("kept")));
    let annotations: Value = annotations.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
    let mut v1 = v1_object();
    v1["metadata"]["annotations"] = annotations.clone();
    let upgraded = converted(v1_to_v2(v1));
    assert_eq!(upgraded["metadata"]["annotations"], json!({"mine": "kept"}));
    assert_eq!(upgraded["spec"]["metrics"], json!([cpu(60)]), "what does not decode is ignored");
    assert_eq!(upgraded["spec"].get("behavior"), None);
    let mut v2 = v2_object(json!([cpu(60)]));
    v2["metadata"]["annotations"] = annotations;
    assert_eq!(converted(v2_to_v1(v2))["metadata"]["annotations"], json!({"mine": "kept"}));
}

#[test]
fn an_empty_behavior_annotation_is_no_behavior() {
    for text in ["{}", "null", r#"{"ScaleUp":null,"ScaleDown":null}"#] {
        let mut object = v1_object();
        object["metadata"]["annotations"][BEHAVIOR_ANNOTATION] = json!(text);
        assert_eq!(converted(v1_to_v2(object))["spec"].get("behavior"), None, "{text}");
    }
}

#[test]
fn another_shape_is_an_error() {
    let error = v1_to_v2(json!({"spec": {"maxReplicas": "many"}})).unwrap_err().to_string();
    assert!(
        error.starts_with("not a HorizontalPodAutoscaler of autoscaling/v1: invalid type: string \"many\""),
        "{error}"
    );
    assert!(v2_to_v1(json!("web")).is_err());
}
