//! Random HPAs, as JSON is written by people: valid, with few exceptions that only old objects can have.

use fastrand::Rng;
use flyball_model::autoscaling::{apply_defaults, v2::HorizontalPodAutoscaler};
use serde_json::{Value, json};

use super::{percent, pick};

pub fn hpa(rng: &mut Rng) -> HorizontalPodAutoscaler {
    let min = match rng.u32(..10) {
        0 | 1 => Some(0),
        2 | 3 => None,
        _ => Some(rng.i32(1..6)),
    };
    let max = min.unwrap_or(1).max(1)
        + match rng.u32(..5) {
            0 => rng.i32(0..3),
            1 => pick(rng, &[100, 1_000, 6_000]),
            _ => rng.i32(0..20),
        };
    let count = pick(rng, &[1, 1, 1, 1, 2, 2, 3]);
    let metrics: Vec<Value> = (0..count).map(|_| metric(rng)).collect();
    let mut spec = json!({
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
        "maxReplicas": max,
        "metrics": metrics,
    });
    if let Some(min) = min {
        spec["minReplicas"] = json!(min);
    }
    if percent(rng, 60) {
        spec["behavior"] = behavior(rng);
    }
    let mut object = json!({
        "metadata": { "name": "web", "namespace": "ns", "generation": 3, "resourceVersion": "1" },
        "spec": spec,
    });
    if percent(rng, 50) {
        object["status"] = status(rng);
    }
    let mut hpa: HorizontalPodAutoscaler = serde_json::from_value(object).unwrap_or_default();
    apply_defaults(&mut hpa);
    hpa
}

/// What earlier reconciles left.
fn status(rng: &mut Rng) -> Value {
    let condition = |kind: &str, is_true: bool| {
        json!({ "type": kind, "status": if is_true { "True" } else { "False" }, "reason": "Old", "message": "old",
            "lastTransitionTime": "1999-12-31T00:00:00Z" })
    };
    let mut conditions = vec![condition("AbleToScale", rng.bool())];
    if percent(rng, 80) {
        conditions.push(condition("ScaledToZero", percent(rng, 80)));
    }
    if rng.bool() {
        conditions.push(condition("ScalingLimited", rng.bool()));
    }
    json!({ "currentReplicas": rng.i32(0..9), "desiredReplicas": rng.i32(0..9), "conditions": conditions,
        "currentMetrics": [], "lastScaleTime": "1999-12-31T00:00:00Z" })
}

fn quantity(rng: &mut Rng) -> String {
    match rng.u32(..4) {
        0 => format!("{}m", rng.i64(1..3_000)),
        1 => format!("{}", rng.i64(1..500)),
        2 => pick(rng, &["100Mi", "1k", "1500m", "100m", "1", "10", "33333333u"]).to_owned(),
        _ => format!("{}m", pick(rng, &[100, 1_000, 10_000, 15_000, 999, 7])),
    }
}

fn metric(rng: &mut Rng) -> Value {
    match rng.u32(..100) {
        0..40 => {
            let name = pick(rng, &["cpu", "cpu", "cpu", "memory", "nvidia.com/gpu"]);
            json!({ "type": "Resource", "resource": { "name": name, "target": per_pod_target(rng) } })
        }
        40..55 => {
            let name = pick(rng, &["cpu", "cpu", "memory"]);
            let container = pick(rng, &["app", "app", "app", "side", "nobody"]);
            json!({ "type": "ContainerResource",
                "containerResource": { "name": name, "container": container, "target": per_pod_target(rng) } })
        }
        55..70 => json!({ "type": "Pods", "pods": { "metric": identifier(rng, "rps"),
            "target": { "type": "AverageValue", "averageValue": quantity(rng) } } }),
        70..84 => json!({ "type": "Object", "object": { "metric": identifier(rng, "hits"),
            "describedObject": { "apiVersion": "v1", "kind": "Service", "name": "web" },
            "target": whole_target(rng) } }),
        84..99 => json!({ "type": "External",
            "external": { "metric": identifier(rng, "queue"), "target": whole_target(rng) } }),
        _ => json!({ "type": "Bogus" }),
    }
}

fn identifier(rng: &mut Rng, name: &str) -> Value {
    match rng.u32(..12) {
        0 => json!({ "name": name, "selector": { "matchLabels": { "b": "2", "a": "1" } } }),
        1 => json!({ "name": name, "selector": {
            "matchExpressions": [{ "key": "a", "operator": "In", "values": ["x", "y"] },
                { "key": "b", "operator": "Exists" }] } }),
        2 if percent(rng, 40) => json!({ "name": name, "selector": {
            "matchExpressions": [{ "key": "a", "operator": "Bogus", "values": ["x"] }] } }),
        _ => json!({ "name": name }),
    }
}

fn per_pod_target(rng: &mut Rng) -> Value {
    match rng.u32(..40) {
        0 => json!({ "type": "Utilization" }),
        1..12 => json!({ "type": "AverageValue", "averageValue": quantity(rng) }),
        _ => {
            let target = pick(rng, &[50, 80, 30, 70, 60, 100, 1, 99, 101, 150, 300, 75]);
            json!({ "type": "Utilization", "averageUtilization": target })
        }
    }
}

fn whole_target(rng: &mut Rng) -> Value {
    let kind = if rng.bool() { "Value" } else { "AverageValue" };
    match rng.u32(..30) {
        0 => json!({ "type": kind }),
        1 => json!({ "type": kind, "value": quantity(rng), "averageValue": quantity(rng) }),
        // An Object whose type names the other field.
        2 => json!({ "type": "Value", "averageValue": quantity(rng) }),
        _ if kind == "Value" => json!({ "type": kind, "value": quantity(rng) }),
        _ => json!({ "type": kind, "averageValue": quantity(rng) }),
    }
}

fn behavior(rng: &mut Rng) -> Value {
    let mut behavior = json!({});
    for name in ["scaleUp", "scaleDown"] {
        if percent(rng, 75) {
            behavior[name] = direction(rng);
        }
    }
    behavior
}

fn direction(rng: &mut Rng) -> Value {
    let mut rules = json!({});
    if percent(rng, 60) {
        rules["stabilizationWindowSeconds"] = json!(pick(rng, &[0, 0, 15, 30, 60, 120, 300, 600, 3_600]));
    }
    if percent(rng, 60) {
        rules["selectPolicy"] = json!(pick(rng, &["Max", "Max", "Min", "Min", "Disabled"]));
    }
    if percent(rng, 70) {
        let count = 1 + rng.usize(..3);
        rules["policies"] = (0..count).map(|_| policy(rng)).collect();
    }
    if percent(rng, 30) {
        rules["tolerance"] =
            json!(pick(rng, &["0", "50m", "0.1", "200m", "1", "15m", "570m", "2", "0.015", "1e-1"]));
    }
    rules
}

fn policy(rng: &mut Rng) -> Value {
    let period = pick(rng, &[1, 15, 15, 30, 60, 60, 120, 300, 1_800]);
    if rng.bool() {
        json!({ "type": "Pods", "value": pick(rng, &[1, 2, 3, 4, 5, 10, 100, 3_000]), "periodSeconds": period })
    } else {
        let value = pick(rng, &[1, 10, 10, 20, 33, 50, 90, 100, 100, 150, 200, 700, 1_000]);
        json!({ "type": "Percent", "value": value, "periodSeconds": period })
    }
}
