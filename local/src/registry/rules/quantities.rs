//! Quantities in their canonical form, as upstream stores them: `cpu: 0.5` becomes `500m`, `memory: 1024Mi` becomes `1Gi`.

use flyball_model::quantity::Quantity;
use serde_json::Value;

use crate::registry::kinds::Resource;

/// Rewrites every quantity of an object. What does not parse stays as it is and is refused by validation.
pub(crate) fn canonical(resource: &Resource, object: &mut Value) {
    let walk: fn(&str, &str, &mut Value) = match resource.kind {
        "Pod" | "Deployment" | "ReplicaSet" => in_pod,
        "HorizontalPodAutoscaler" => in_autoscaler,
        "Node" => in_node,
        _ => return,
    };
    for part in ["spec", "status"] {
        if let Some(value) = object.get_mut(part) {
            descend(part, value, walk);
        }
    }
}

/// Calls `visit(parent, name, value)` for every member of every map below.
fn descend(name: &str, value: &mut Value, visit: fn(&str, &str, &mut Value)) {
    match value {
        Value::Object(map) => {
            for (member, value) in map {
                visit(name, member, value);
                descend(member, value, visit);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| descend(name, value, visit)),
        _ => {}
    }
}

fn in_pod(parent: &str, name: &str, value: &mut Value) {
    match (parent, name) {
        ("resources", "limits" | "requests") => each(value),
        ("emptyDir", "sizeLimit") | ("resourceFieldRef", "divisor") => one(value),
        _ => {}
    }
}

fn in_autoscaler(parent: &str, name: &str, value: &mut Value) {
    match (parent, name) {
        ("target" | "current", "value" | "averageValue") | ("scaleUp" | "scaleDown", "tolerance") => {
            one(value)
        }
        _ => {}
    }
}

fn in_node(_: &str, name: &str, value: &mut Value) {
    if matches!(name, "capacity" | "allocatable") {
        each(value);
    }
}

fn each(amounts: &mut Value) {
    amounts.as_object_mut().into_iter().flatten().for_each(|(_, amount)| one(amount));
}

fn one(amount: &mut Value) {
    if let Ok(quantity) = serde_json::from_value::<Quantity>(amount.clone()) {
        *amount = quantity.to_string().into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds;
    use serde_json::json;

    #[test]
    fn numbers_and_odd_forms_become_canonical() {
        let mut pod = json!({"spec": {"containers": [{"resources": {
            "limits": {"cpu": 0.5, "memory": "1024Mi"}, "requests": {"cpu": 1}}}],
            "nodeSelector": {"limits": "1024Mi"}}});
        canonical(&kinds::PODS, &mut pod);
        let resources = &pod["spec"]["containers"][0]["resources"];
        assert_eq!(resources["limits"], json!({"cpu": "500m", "memory": "1Gi"}));
        assert_eq!(resources["requests"], json!({"cpu": "1"}));
        assert_eq!(pod["spec"]["nodeSelector"]["limits"], "1024Mi");
    }
}
