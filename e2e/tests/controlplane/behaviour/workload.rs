//! Workloads on simulated nodes, and their autoscalers.

use std::time::Duration;

use flyball_e2e::Kubectl;
use serde_json::{Value, json};

/// Longest way of a change of load to the replicas it asks for, with the usual limits of growth.
pub const SCALE_LIMIT: Duration = Duration::from_secs(90);

/// What every pod requests, and half of which every autoscaler aims at.
const REQUEST: &str = "100m";

/// An object of group `apps` with pods named after it that share so much CPU.
pub fn workload(kind: &str, name: &str, replicas: u32, load: &str) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": {"sim.flyball.io/load-cpu": load}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "app",
                        "image": "example.com/app",
                        "resources": {"requests": {"cpu": REQUEST, "memory": "64Mi"}},
                    }],
                },
            },
        },
    });
    if kind == "StatefulSet" {
        object["spec"]["serviceName"] = json!(name);
        object["spec"]["podManagementPolicy"] = json!("Parallel");
    }
    object
}

/// An autoscaler named after its target, aiming at half of the requested CPU; it waits so many seconds before it takes
/// replicas away.
pub fn autoscaler(api_version: &str, kind: &str, name: &str, max: u32, wait_seconds: u32) -> Value {
    json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": api_version, "kind": kind, "name": name},
            "minReplicas": 1,
            "maxReplicas": max,
            "metrics": [{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": wait_seconds}},
        },
    })
}

/// `spec.replicas` of an object such as `deployment/web`.
pub fn replicas(place: &Kubectl, object: &str) -> i64 {
    place.json(&["get", object])["spec"]["replicas"].as_i64().unwrap_or(-1)
}

/// Waits until an object has so many replicas by its spec.
#[track_caller]
pub fn eventually_replicas(place: &Kubectl, limit: Duration, object: &str, wanted: i64) {
    place.eventually(limit, &format!("{object} has {wanted} replicas"), || {
        let count = replicas(place, object);
        if count == wanted { Ok(()) } else { Err(format!("{count} replicas")) }
    });
}

/// A condition of an autoscaler: its status and its reason.
pub fn condition(place: &Kubectl, hpa: &str, kind: &str) -> (String, String) {
    let object = place.json(&["get", "hpa", hpa]);
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.into_iter().find(|it| it["type"] == kind).unwrap_or_default();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}
