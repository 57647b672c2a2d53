//! What may change on a living pod.

use flyball_model::field_error::FieldError;
use serde_json::{Map, Value};

use super::{Faults, pod_validation};
use crate::registry::json;

const MESSAGE: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) fn validate(new: &Value, old: &Value, faults: &mut Faults) {
    pod_validation::pod(new, faults);
    let bound = !json::text(old, "/spec/nodeName").is_empty();
    if frozen(new, bound) != frozen(old, bound) {
        faults.push(FieldError::forbidden("spec", MESSAGE));
    }
}

/// The specification without what may change. Binding to a node is a change from nothing, once.
fn frozen(pod: &Value, bound: bool) -> Map<String, Value> {
    let mut spec = pod.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
    spec.remove("activeDeadlineSeconds");
    spec.remove("tolerations");
    if !bound {
        spec.remove("nodeName");
    }
    for list in ["containers", "initContainers"] {
        for container in json::maps(&mut spec, list) {
            container.remove("image");
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(node: &str, image: &str, command: &str) -> Value {
        json!({"spec": {"restartPolicy": "Always", "nodeName": node, "containers": [
            {"name": "a", "image": image, "imagePullPolicy": "Always", "command": [command]}]}})
    }

    #[test]
    fn only_the_image_and_the_first_node_may_change() {
        let check = |new: Value, old: Value, allowed: bool| {
            let mut faults = Faults::new();
            validate(&new, &old, &mut faults);
            assert_eq!(faults.is_empty(), allowed, "{faults:?}");
        };
        check(pod("n", "b", "x"), pod("n", "a", "x"), true);
        check(pod("n", "a", "x"), pod("", "a", "x"), true);
        check(pod("m", "a", "x"), pod("n", "a", "x"), false);
        check(pod("n", "a", "y"), pod("n", "a", "x"), false);
    }
}
