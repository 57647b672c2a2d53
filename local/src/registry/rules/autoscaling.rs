//! HorizontalPodAutoscalers: the model's rules, applied to JSON so that fields the model does not know survive.

use flyball_model::autoscaling::{self, Gates, v2};
use flyball_model::field_error::FieldError;
use serde_json::{Map, Value, json};

use super::Faults;

/// Scaling to zero is on, as it is by default upstream since 1.37.
const GATES: Gates = Gates { scale_to_zero: true, metric_selectors: false };

pub(super) fn first_status(object: &mut Map<String, Value>) {
    object.insert("status".into(), json!({"currentMetrics": null, "desiredReplicas": 0}));
}

pub(super) fn defaults(object: &mut Value) {
    let Ok(mut typed) = typed(object) else { return };
    autoscaling::apply_defaults(&mut typed);
    if let Ok(filled) = serde_json::to_value(&typed.spec) {
        fill(&mut object["spec"], &filled);
    }
}

/// Adds what `filled` has and `value` lacks; keeps everything `value` says.
fn fill(value: &mut Value, filled: &Value) {
    match (value, filled) {
        (Value::Object(value), Value::Object(filled)) => {
            for (name, member) in filled {
                match value.get_mut(name) {
                    Some(known) => fill(known, member),
                    None => drop(value.insert(name.clone(), member.clone())),
                }
            }
        }
        (Value::Array(value), Value::Array(filled)) if value.len() == filled.len() => {
            value.iter_mut().zip(filled).for_each(|(value, filled)| fill(value, filled));
        }
        // Upstream treats an empty list of metrics as none at all.
        (value @ Value::Array(_), Value::Array(filled)) if value.as_array().is_some_and(Vec::is_empty) => {
            *value = filled.clone().into();
        }
        _ => {}
    }
}

pub(super) fn validate_create(object: &Value, faults: &mut Faults) {
    check(object, faults, |new| autoscaling::validate_create(new, GATES));
}

pub(super) fn validate_update(new: &Value, old: &Value, faults: &mut Faults) {
    let Ok(old) = typed(old) else { return validate_create(new, faults) };
    check(new, faults, |new| autoscaling::validate_update(new, &old, GATES));
}

pub(super) fn validate_status(new: &Value, old: &Value, faults: &mut Faults) {
    let Ok(old) = typed(old) else { return };
    check(new, faults, |new| autoscaling::validate_status_update(new, &old));
}

fn check(
    object: &Value,
    faults: &mut Faults,
    rules: impl FnOnce(&v2::HorizontalPodAutoscaler) -> Vec<FieldError>,
) {
    match typed(object) {
        Ok(typed) => {
            // The name is checked with all other metadata.
            faults.extend(rules(&typed).into_iter().filter(|fault| !fault.path.starts_with("metadata.")));
        }
        Err(error) => faults.push(FieldError::invalid("spec", object["spec"].clone(), error.to_string())),
    }
}

fn typed(object: &Value) -> Result<v2::HorizontalPodAutoscaler, serde_json::Error> {
    serde_json::from_value(object.clone())
}
