//! HorizontalPodAutoscalers: upstream's `printHorizontalPodAutoscaler`.

use flyball_apiserver::table::Column;
use serde_json::Value;

use super::cells::{AGE, NAME, age, count, name};
use crate::registry::json::{items, text};

/// Metrics shown before `+ n more...`.
const SHOWN: usize = 2;

const UNKNOWN: &str = "<unknown>";

pub(super) fn columns() -> Vec<Column> {
    vec![
        NAME,
        Column::new("Reference", "", "What is scaled."),
        Column::new("Targets", "", "Current and target value of each metric."),
        Column::new("MinPods", "", "Lower limit of the number of pods."),
        Column::new("MaxPods", "", "Upper limit of the number of pods.").of_type("integer"),
        Column::new("Replicas", "", "Current number of pods.").of_type("integer"),
        AGE,
    ]
}

pub(super) fn cells(object: &Value, now_ms: i64) -> Vec<Value> {
    let kind = text(object, "/spec/scaleTargetRef/kind");
    let reference = format!("{kind}/{}", text(object, "/spec/scaleTargetRef/name"));
    let least = object.pointer("/spec/minReplicas").and_then(Value::as_i64);
    vec![
        name(object),
        reference.into(),
        targets(object).into(),
        least.map_or("<unset>".to_owned(), |least| least.to_string()).into(),
        count(object, "/spec/maxReplicas").into(),
        count(object, "/status/currentReplicas").into(),
        age(object, now_ms),
    ]
}

fn targets(object: &Value) -> String {
    let specs = items(object, "/spec/metrics");
    if specs.is_empty() {
        return "<none>".to_owned();
    }
    let statuses = items(object, "/status/currentMetrics");
    let shown: Vec<String> = specs
        .iter()
        .enumerate()
        .take(SHOWN)
        .map(|(index, spec)| target(spec, statuses.get(index).unwrap_or(&Value::Null)))
        .collect();
    let shown = shown.join(", ");
    match specs.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

fn target(spec: &Value, status: &Value) -> String {
    let (member, named) = match text(spec, "/type") {
        "External" => ("external", false),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".to_owned(),
    };
    let target = |name: &str| spec.pointer(&format!("/{member}/target/{name}"));
    let current = |name: &str| status.pointer(&format!("/{member}/current/{name}"));
    let prefix = if named { format!("{}: ", text(spec, &format!("/{member}/name"))) } else { String::new() };
    // Upstream tells the forms apart by which field is set, in this order.
    if let Some(average) = target("averageValue") {
        let now = current("averageValue").map_or(UNKNOWN.to_owned(), plain);
        let mark = if matches!(member, "external" | "object") { " (avg)" } else { "" };
        return format!("{prefix}{now}/{}{mark}", plain(average));
    }
    if named {
        let now =
            current("averageUtilization").map_or(UNKNOWN.to_owned(), |value| format!("{}%", plain(value)));
        let wanted =
            target("averageUtilization").map_or("<auto>".to_owned(), |value| format!("{}%", plain(value)));
        return format!("{prefix}{now}/{wanted}");
    }
    let now = current("value").map_or(UNKNOWN.to_owned(), plain);
    format!("{now}/{}", target("value").map_or(UNKNOWN.to_owned(), plain))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn targets_read_like_upstreams() {
        let object = json!({
            "spec": {"metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 60}}},
                {"type": "Pods", "pods": {"target": {"averageValue": "10"}}},
                {"type": "External", "external": {"target": {"value": "5"}}}]},
            "status": {"currentMetrics": [
                {"resource": {"current": {"averageUtilization": 50, "averageValue": "50m"}}}]}});
        assert_eq!(targets(&object), "cpu: 50%/60%, <unknown>/10 + 1 more...");
        assert_eq!(targets(&json!({})), "<none>");
    }
}
