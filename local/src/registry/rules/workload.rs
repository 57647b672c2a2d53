//! Deployments and ReplicaSets.

use flyball_model::field_error::FieldError;
use flyball_model::selector::LabelSelector;
use serde_json::{Map, Value, json};

use super::{Faults, meta, not_negative, one_of, pod_defaults, pod_validation, spec};
use crate::registry::json::{child, default, default_text, int, text};

pub(super) fn deployment_defaults(object: &mut Map<String, Value>) {
    let spec = child(object, "spec");
    default(spec, "replicas", 1);
    default(spec, "revisionHistoryLimit", 10);
    default(spec, "progressDeadlineSeconds", 600);
    let strategy = child(spec, "strategy");
    default_text(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = child(strategy, "rollingUpdate");
        default(rolling, "maxUnavailable", "25%");
        default(rolling, "maxSurge", "25%");
    }
    template_defaults(spec);
}

pub(super) fn replicaset_defaults(object: &mut Map<String, Value>) {
    let spec = child(object, "spec");
    default(spec, "replicas", 1);
    template_defaults(spec);
}

fn template_defaults(spec: &mut Map<String, Value>) {
    pod_defaults::pod_spec(child(child(spec, "template"), "spec"));
}

pub(super) fn validate_deployment(object: &Value, faults: &mut Faults) {
    let spec = spec(object);
    validate_replicaset(object, faults);
    not_negative(int(spec, "/revisionHistoryLimit"), "spec.revisionHistoryLimit", faults);
    let deadline_seconds = int(spec, "/progressDeadlineSeconds");
    not_negative(deadline_seconds, "spec.progressDeadlineSeconds", faults);
    let ready_seconds = int(spec, "/minReadySeconds").unwrap_or(0);
    if let Some(deadline_seconds) = deadline_seconds.filter(|deadline| *deadline <= ready_seconds) {
        let detail = "must be greater than minReadySeconds";
        faults.push(FieldError::invalid("spec.progressDeadlineSeconds", deadline_seconds, detail));
    }
    strategy(spec, faults);
}

fn strategy(spec: &Value, faults: &mut Faults) {
    let kind = text(spec, "/strategy/type");
    one_of(kind, "spec.strategy.type", &["Recreate", "RollingUpdate"], faults);
    let Some(rolling) = spec.pointer("/strategy/rollingUpdate") else { return };
    if kind == "Recreate" {
        let detail = "may not be specified when strategy `type` is 'Recreate'";
        faults.push(FieldError::forbidden("spec.strategy.rollingUpdate", detail));
        return;
    }
    let amounts = ["maxUnavailable", "maxSurge"].map(|member| {
        let value = rolling.get(member).cloned().unwrap_or(Value::Null);
        let amount = int_or_percent(&value);
        if amount.is_none() {
            let path = format!("spec.strategy.rollingUpdate.{member}");
            let detail = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or \
                          '93%', regex used for validation is '[0-9]+%')";
            faults.push(FieldError::invalid(path, value, detail));
        }
        amount
    });
    if amounts == [Some(0), Some(0)] {
        let path = "spec.strategy.rollingUpdate.maxUnavailable";
        faults.push(FieldError::invalid(
            path,
            rolling["maxUnavailable"].clone(),
            "may not be 0 when `maxSurge` is 0",
        ));
    }
}

/// A whole number of pods, or a percentage.
fn int_or_percent(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().filter(|number| *number >= 0),
        Value::String(text) => text.strip_suffix('%')?.parse().ok().filter(|percent| *percent >= 0),
        _ => None,
    }
}

pub(super) fn validate_replicaset(object: &Value, faults: &mut Faults) {
    let spec = spec(object);
    not_negative(int(spec, "/replicas"), "spec.replicas", faults);
    not_negative(int(spec, "/minReadySeconds"), "spec.minReadySeconds", faults);
    selector(spec, faults);
    let labels = spec.pointer("/template/metadata/labels");
    meta::labels(labels, "spec.template.metadata.labels", faults);
    let template = spec.pointer("/template/spec").unwrap_or(&Value::Null);
    pod_validation::pod_spec(template, "spec.template.spec", faults);
    let policy = text(template, "/restartPolicy");
    if !policy.is_empty() && policy != "Always" {
        let path = "spec.template.spec.restartPolicy";
        faults.push(FieldError::not_supported(path, policy, &["Always"]));
    }
}

fn selector(spec: &Value, faults: &mut Faults) {
    let Some(value) = spec.get("selector") else {
        faults.push(FieldError::required("spec.selector", ""));
        return;
    };
    let empty = |member: &str| match value.get(member) {
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        _ => true,
    };
    if empty("matchLabels") && empty("matchExpressions") {
        let detail = "empty selector is invalid for deployment";
        faults.push(FieldError::invalid("spec.selector", value.clone(), detail));
        return;
    }
    match LabelSelector::from_json(value) {
        Err(error) => faults.push(FieldError::invalid("spec.selector", value.clone(), error.to_string())),
        Ok(selector) => {
            let labels = spec.pointer("/template/metadata/labels").cloned().unwrap_or_else(|| json!({}));
            if !selector.matches(|name| labels.get(name).and_then(Value::as_str)) {
                let detail = "`selector` does not match template `labels`";
                faults.push(FieldError::invalid("spec.template.metadata.labels", labels, detail));
            }
        }
    }
}

/// A selector chosen once holds for life: changing it would orphan the pods.
pub(super) fn selector_unchanged(new: &Value, old: &Value, faults: &mut Faults) {
    let selector = |object: &Value| spec(object).get("selector").cloned().unwrap_or(Value::Null);
    if selector(new) != selector(old) {
        faults.push(FieldError::invalid("spec.selector", selector(new), "field is immutable"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::json;

    fn deployment() -> Value {
        let mut object = json!({"spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "flyball.io/host"}]}}}});
        deployment_defaults(json::object(&mut object));
        object
    }

    fn faults(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut object = deployment();
        change(&mut object);
        let mut faults = Faults::new();
        validate_deployment(&object, &mut faults);
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn defaults_are_upstreams() {
        let spec = &deployment()["spec"];
        assert_eq!(spec["replicas"], 1);
        assert_eq!(
            spec["strategy"],
            json!({
            "type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
        );
        assert_eq!(spec["template"]["spec"]["restartPolicy"], "Always");
        assert_eq!(faults(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn refusals_use_upstreams_words() {
        assert_eq!(
            faults(|object| object["spec"]["template"]["metadata"]["labels"] = json!({"app": "other"})),
            [
                "spec.template.metadata.labels: Invalid value: {\"app\":\"other\"}: `selector` does not match template \
              `labels`"
            ]
        );
        assert_eq!(
            faults(|object| object["spec"]["replicas"] = json!(-1)),
            ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]
        );
        assert_eq!(
            faults(|object| object["spec"]["template"]["spec"]["containers"] = json!([])),
            ["spec.template.spec.containers: Required value"]
        );
    }
}
