//! The roles for users: what each line of them lets a user read.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::grants::{Grant, for_users};
use super::objects;
use super::scene::{COMMON, HOLLOW_NODE, Scene};
use crate::behaviour::direct::Caller;

/// What a user asks for that needs the grant: whom, and the path.
fn request(scene: &Scene<'_>, grant: &Grant) -> Option<(SocketAddr, String)> {
    let api = "/apis/metrics.k8s.io/v1beta1";
    let path = match (grant.group.as_str(), grant.resource.as_str(), grant.verb.as_str()) {
        ("metrics.k8s.io", resource, "list") => format!("{api}/{resource}"),
        ("metrics.k8s.io", resource, "watch") => format!("{api}/{resource}?watch=true&timeoutSeconds=1"),
        ("metrics.k8s.io", "nodes", "get") => format!("{api}/nodes/{HOLLOW_NODE}"),
        ("metrics.k8s.io", "pods", "get") => format!("{api}/namespaces/{COMMON}/pods/early-hollow"),
        ("decisions.flyball.io", "decisions", "list") => "/apis/decisions.flyball.io/v1/decisions".to_owned(),
        ("decisions.flyball.io", "decisions", "get") => {
            format!("/apis/decisions.flyball.io/v1/namespaces/{}/decisions/web", scene.namespace_of("hpa"))
        }
        ("", "/metrics", "get") => return Some((scene.program("metrics-server"), "/metrics".to_owned())),
        ("", "nodes/metrics", "get") => {
            return Some((scene.program("collector"), "/metrics/resource".to_owned()));
        }
        _ => return None,
    };
    Some((scene.api_server(), path))
}

/// Tries each role of `objects` whole, and without each of its lines; returns what is not as it should be.
pub fn judge(scene: &Scene<'_>, objects: &[Value]) -> Vec<String> {
    let mut faults = Vec::new();
    for (role, grants) in for_users(objects) {
        let whole = user(scene, &format!("{}-whole", role.replace(':', "-")), &grants);
        for (index, grant) in grants.iter().enumerate() {
            let Some((server, path)) = request(scene, grant) else {
                faults.push(format!("ClusterRole {role}: {grant}: no request needs it"));
                continue;
            };
            let others: Vec<_> = grants.iter().filter(|other| *other != grant).cloned().collect();
            let without = user(scene, &format!("{}-{index}", role.replace(':', "-")), &others);
            for (caller, wanted) in [(&whole, 200), (&without, 403)] {
                match caller.get(server, &path) {
                    Ok(answer) if answer.status == wanted => {}
                    other => faults
                        .push(format!("ClusterRole {role}: {grant}: {path}: {wanted} wanted: {other:?}")),
                }
            }
        }
    }
    faults
}

/// A user with exactly these rights.
fn user(scene: &Scene<'_>, name: &str, grants: &[Grant]) -> Caller {
    let rules: Vec<_> = grants.iter().map(Grant::rule).collect();
    let subjects = json!([{"kind": "ServiceAccount", "name": name, "namespace": COMMON}]);
    let mut items = objects::role(name, None, &rules, &subjects).to_vec();
    items.push(objects::account(name, COMMON));
    scene.kubectl().apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}));
    Caller::default().token(&scene.plane.token_of(COMMON, name, &[]))
}
