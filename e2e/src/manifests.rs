//! Objects that the tests apply.

use serde_json::{Value, json};

/// A script that waits and ends at once on SIGTERM.
pub const IDLE: &str = "exec sleep 100000";

/// A script that uses all the CPU it gets.
pub const BUSY: &str = "while :; do :; done";

/// A Deployment of pods with one container `app`, from the container's other fields.
#[must_use]
pub fn deployment(name: &str, replicas: u32, container: &Value) -> Value {
    let mut container = container.clone();
    container["name"] = json!("app");
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 5, "containers": [container]},
            },
        },
    })
}

/// The container fields that run `sh -c SCRIPT` of this machine.
#[must_use]
pub fn script(script: &str) -> Value {
    json!({"image": "flyball.io/host", "command": ["sh", "-c", script]})
}

/// A Deployment whose pods run `sh -c SCRIPT`.
#[must_use]
pub fn script_deployment(name: &str, replicas: u32, text: &str) -> Value {
    deployment(name, replicas, &script(text))
}

/// A pod that runs `sh -c SCRIPT` and is not started again.
#[must_use]
pub fn script_pod(name: &str, text: &str) -> Value {
    let mut container = script(text);
    container["name"] = json!("app");
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [container]},
    })
}

/// The arguments of the example server with so many threads that are always busy.
#[must_use]
pub fn burn_arguments(busy_threads: u32) -> Value {
    json!(["--listen=$(POD_IP):8080", format!("--busy-threads={busy_threads}")])
}

/// A Deployment of the example server: `busy_threads` threads that are always busy, limited to 100m CPU.
#[must_use]
pub fn burn_deployment(name: &str, replicas: u32, busy_threads: u32) -> Value {
    let container = json!({
        "image": "flyball.io/burn",
        "args": burn_arguments(busy_threads),
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "ports": [{"name": "http", "containerPort": 8080}],
        "resources": {"requests": {"cpu": "100m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "128Mi"}},
    });
    deployment(name, replicas, &container)
}

/// A Service that maps port 8080 to the port `http` of the pods labelled `app=NAME`.
#[must_use]
pub fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 8080, "targetPort": "http"}]},
    })
}

/// A HorizontalPodAutoscaler on the Deployment `target` with one metric.
#[must_use]
pub fn hpa(name: &str, target: &str, min: u32, max: u32, metric: &Value) -> Value {
    json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
            "minReplicas": min,
            "maxReplicas": max,
            "metrics": [metric],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
        },
    })
}

/// CPU metric with an AverageValue target such as `95m`.
#[must_use]
pub fn cpu_average_value(value: &str) -> Value {
    json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": value}}})
}
