//! Everything with a scale subresource is scaled: the built-in kinds, and kinds that a CRD defines.

use flyball_e2e::plane::Plane;
use flyball_e2e::{Kubectl, MINUTE};
use serde_json::{Value, json};

use super::stage::Stage;
use super::workload::{SCALE_LIMIT, autoscaler, condition, replicas, workload};
use super::{alone_at_scaling, holds};

const PLACE: &str = "behaviour-targets";

/// The built-in kinds; their objects are named after them.
const KINDS: [&str; 3] = ["Deployment", "ReplicaSet", "StatefulSet"];

/// Group of the kind that only a CRD defines.
const GROUP: &str = "e2e.flyball.io";

/// A kind with its replicas at unusual places.
fn definition() -> Value {
    let integer = json!({"type": "integer", "format": "int32"});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("rigs.{GROUP}")},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": "rigs", "singular": "rig", "kind": "Rig"},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"crew": {"type": "object", "properties": {"size": integer}}}},
                    "status": {"type": "object", "properties": {"size": integer, "selector": {"type": "string"}}},
                }}},
                "subresources": {"status": {}, "scale": {
                    "specReplicasPath": ".spec.crew.size",
                    "statusReplicasPath": ".status.size",
                    "labelSelectorPath": ".status.selector",
                }},
            }],
        },
    })
}

/// What the controller of rigs does, once: the ReplicaSet behind it follows, and the status tells.
fn control(place: &Kubectl) {
    let size = rig_size(place).to_string();
    place.ok(&["scale", "replicaset/rig", "--replicas", &size]);
    let pods = place.json(&["get", "replicaset", "rig"])["status"]["replicas"].as_i64().unwrap_or(0);
    let patch = json!({"status": {"size": pods, "selector": "app=rig"}}).to_string();
    place.ok(&["patch", "rig", "rig", "--subresource=status", "--type=merge", "--patch", &patch]);
}

fn rig_size(place: &Kubectl) -> i64 {
    place.json(&["get", "rig", "rig"])["spec"]["crew"]["size"].as_i64().unwrap_or(-1)
}

/// Waits until all have so many replicas.
#[track_caller]
fn all_have(place: &Kubectl, wanted: i64) {
    place.eventually(SCALE_LIMIT, &format!("all targets have {wanted} replicas"), || {
        control(place);
        let built_in = KINDS.map(|kind| (kind, replicas(place, &format!("{kind}/{}", kind.to_lowercase()))));
        let mut counts = built_in.to_vec();
        counts.push(("Rig", rig_size(place)));
        if counts.iter().all(|(_, count)| *count == wanted) { Ok(()) } else { Err(format!("{counts:?}")) }
    });
}

#[test]
fn every_kind_with_a_scale_is_scaled() {
    let Some(plane) = Plane::shared(alone_at_scaling()) else { return };
    let stage = Stage::set(&plane, 2);
    let place = stage.place(PLACE);
    place.apply(&definition());
    place.eventually_prints(MINUTE, &["get", "--raw", &format!("/apis/{GROUP}/v1")], "rigs/scale");
    let mut server = stage.metrics();
    let mut hpa = stage.hpa(&["--mode=replace"]).ready();

    // Three pods with nearly half of their request each.
    for kind in KINDS {
        let name = kind.to_lowercase();
        place.apply(&workload(kind, &name, 1, "140m"));
        place.apply(&autoscaler("apps/v1", kind, &name, 5, 0));
    }
    place.apply(&workload("ReplicaSet", "rig", 1, "140m"));
    place.apply(&json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "Rig", "metadata": {"name": "rig"}, "spec": {"crew": {"size": 1}},
    }));
    place.apply(&autoscaler(&format!("{GROUP}/v1"), "Rig", "rig", 5, 0));
    all_have(&place, 3);
    for name in ["deployment", "replicaset", "statefulset", "rig"] {
        for kind in ["AbleToScale", "ScalingActive"] {
            place.eventually(MINUTE, &format!("{name}: {kind}"), || {
                let (status, reason) = condition(&place, name, kind);
                if status == "True" { Ok(()) } else { Err(format!("{status} {reason}")) }
            });
        }
        let text = place.eventually_prints(MINUTE, &["describe", "hpa", name], "SuccessfulRescale");
        holds(&text, &["New size: 3; reason: cpu resource utilization (percentage of request) above target"]);
        holds(&place.ok(&["get", "hpa", name]), &["%/50%"]);
    }

    for app in ["deployment", "replicaset", "statefulset", "rig"] {
        stage.sim.set_load_cpu(PLACE, app, "40m").expect("an amount");
    }
    all_have(&place, 1);
    for name in ["deployment", "rig"] {
        let text = place.eventually_prints(MINUTE, &["describe", "hpa", name], "New size: 1");
        holds(&text, &["reason: All metrics below target"]);
    }
    server.still_runs();
    hpa.still_runs();
    place.ok(&["delete", "hpa", "--all"]);
    plane.admin().ok(&["delete", "crd", &format!("rigs.{GROUP}"), "--wait=false"]);
}
