//! Defaults of pods and pod templates.

use serde_json::{Map, Value, json};

use crate::registry::json::{self, child, default, default_text, maps};

/// Mode of files made from configuration: 0644.
const DEFAULT_FILE_MODE: i64 = 0o644;

const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

/// Sources of a volume; a volume without any is an empty directory.
const VOLUME_SOURCES: [&str; 8] = [
    "emptyDir",
    "hostPath",
    "configMap",
    "secret",
    "projected",
    "downwardAPI",
    "persistentVolumeClaim",
    "csi",
];

/// A new pod is pending and has its quality-of-service class for life.
pub(super) fn first_status(pod: &mut Map<String, Value>) {
    let class = qos_class(pod.get("spec").unwrap_or(&Value::Null));
    pod.insert("status".into(), json!({"phase": "Pending", "qosClass": class}));
}

/// Defaults of a pod itself: those of its template, and what admission adds.
pub(super) fn pod(pod: &mut Map<String, Value>) {
    let spec = child(pod, "spec");
    pod_spec(spec);
    default(spec, "enableServiceLinks", true);
    default(spec, "preemptionPolicy", "PreemptLowerPriority");
    default(spec, "priority", 0);
    default_text(spec, "serviceAccountName", "default");
    let account = spec["serviceAccountName"].clone();
    default(spec, "serviceAccount", account);
    for container in ["initContainers", "containers"] {
        maps(spec, container).for_each(requests_from_limits);
    }
}

/// A limit without a request is also the request.
fn requests_from_limits(container: &mut Map<String, Value>) {
    let resources = child(container, "resources");
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let requests = child(resources, "requests");
    for (name, limit) in limits {
        default(requests, &name, limit);
    }
}

/// Defaults of a pod specification, in a pod or in a template.
pub(super) fn pod_spec(spec: &mut Map<String, Value>) {
    default_text(spec, "restartPolicy", "Always");
    default_text(spec, "dnsPolicy", "ClusterFirst");
    default_text(spec, "schedulerName", "default-scheduler");
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "securityContext", Map::new());
    for list in ["initContainers", "containers"] {
        maps(spec, list).for_each(container);
    }
    maps(spec, "volumes").for_each(volume);
}

fn container(container: &mut Map<String, Value>) {
    let latest = is_latest(container.get("image").and_then(Value::as_str).unwrap_or(""));
    default_text(container, "imagePullPolicy", if latest { "Always" } else { "IfNotPresent" });
    default_text(container, "terminationMessagePath", "/dev/termination-log");
    default_text(container, "terminationMessagePolicy", "File");
    default(container, "resources", Map::new());
    for port in maps(container, "ports") {
        default_text(port, "protocol", "TCP");
    }
    for variable in maps(container, "env") {
        if let Some(from) = variable.get_mut("valueFrom").and_then(Value::as_object_mut) {
            field_reference(from);
        }
    }
    for name in PROBES {
        if let Some(probe) = container.get_mut(name).and_then(Value::as_object_mut) {
            default(probe, "timeoutSeconds", 1);
            default(probe, "periodSeconds", 10);
            default(probe, "successThreshold", 1);
            default(probe, "failureThreshold", 3);
            handler(probe);
        }
    }
    if let Some(lifecycle) = container.get_mut("lifecycle").and_then(Value::as_object_mut) {
        lifecycle.values_mut().filter_map(Value::as_object_mut).for_each(handler);
    }
}

/// No tag, or the tag `latest`: the image may change under its name.
fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn handler(handler: &mut Map<String, Value>) {
    if let Some(http) = handler.get_mut("httpGet").and_then(Value::as_object_mut) {
        default_text(http, "path", "/");
        default_text(http, "scheme", "HTTP");
    }
    if let Some(grpc) = handler.get_mut("grpc").and_then(Value::as_object_mut) {
        default(grpc, "service", "");
    }
}

fn field_reference(holder: &mut Map<String, Value>) {
    if let Some(reference) = holder.get_mut("fieldRef").and_then(Value::as_object_mut) {
        default_text(reference, "apiVersion", "v1");
    }
}

fn volume(volume: &mut Map<String, Value>) {
    let named = |volume: &Map<String, Value>| volume.keys().any(|member| member != "name");
    if !VOLUME_SOURCES.iter().any(|source| volume.contains_key(*source)) && !named(volume) {
        volume.insert("emptyDir".into(), json!({}));
    }
    for source in ["configMap", "secret", "projected", "downwardAPI"] {
        if let Some(source) = volume.get_mut(source).and_then(Value::as_object_mut) {
            default(source, "defaultMode", DEFAULT_FILE_MODE);
            maps(source, "items").for_each(field_reference);
        }
    }
    if let Some(path) = volume.get_mut("hostPath").and_then(Value::as_object_mut) {
        default(path, "type", "");
    }
}

/// Guaranteed when every container's CPU and memory limits are set and equal its requests, BestEffort when nothing is
/// set, else Burstable.
fn qos_class(spec: &Value) -> &'static str {
    let containers =
        || ["/initContainers", "/containers"].into_iter().flat_map(|list| json::items(spec, list));
    let amount = |container: &'_ Value, kind: &str, name: &str| {
        container.pointer(&format!("/resources/{kind}/{name}")).cloned()
    };
    let names = ["cpu", "memory"];
    let kinds = ["requests", "limits"];
    let any = containers().any(|container| {
        kinds.iter().any(|kind| names.iter().any(|name| amount(container, kind, name).is_some()))
    });
    if !any {
        return "BestEffort";
    }
    let guaranteed = containers().all(|container| {
        names.iter().all(|name| {
            let limit = amount(container, "limits", name);
            let request = amount(container, "requests", name);
            limit.is_some() && (request.is_none() || request == limit)
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_without_a_fixed_tag_are_always_pulled() {
        for (image, latest) in [
            ("app", true),
            ("app:latest", true),
            ("app:1", false),
            ("host:5000/app", true),
            ("host:5000/app:1", false),
            ("app@sha256:00", false),
        ] {
            assert_eq!(is_latest(image), latest, "{image}");
        }
    }

    #[test]
    fn quality_of_service() {
        let check = |resources: Value, class| {
            assert_eq!(qos_class(&json!({"containers": [{"resources": resources}]})), class);
        };
        check(json!({}), "BestEffort");
        check(json!({"requests": {"cpu": "1"}}), "Burstable");
        check(json!({"limits": {"cpu": "1", "memory": "1Mi"}}), "Guaranteed");
        check(json!({"limits": {"cpu": "1", "memory": "1Mi"}, "requests": {"cpu": "500m"}}), "Burstable");
        check(json!({"limits": {"cpu": "1"}}), "Burstable");
    }

    #[test]
    fn limits_become_requests() {
        let mut object = json!({"spec": {"containers": [
            {"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}}}]}});
        pod(json::object(&mut object));
        assert_eq!(
            object["spec"]["containers"][0]["resources"]["requests"],
            json!({"cpu": "100m", "memory": "1Gi"})
        );
        let once = object.clone();
        pod(json::object(&mut object));
        assert_eq!(object, once);
    }
}
