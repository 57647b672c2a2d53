//! The objects of trials.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::checks::OWN_GROUP;
use super::grants::{Bound, Grant};
use super::scene::{COLLECTED_NODE, COMMON, HOLLOW_NODE, Scene};
use super::subject::Subject;
use super::trial::{Situation, Trial};

/// Control group of the collected node's pods.
pub const CGROUP_ROOT: &str = "/flyball-e2e-permissions";

/// A target that gets an owner of the built-in kind late.
pub const OWNED: &str = "owned";

/// How many ConfigMaps hold history.
const SHARDS: u32 = 16;

const RBAC: &str = "rbac.authorization.k8s.io";

/// A namespace of a trial.
pub fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"trial": "true"}}})
}

/// A service account.
pub fn account(name: &str, namespace: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}})
}

/// Roles and bindings for what is bound to the subject, without what is missing.
pub fn rights(
    trial: &Trial,
    subject: &Subject,
    index: usize,
    bound: &Bound,
    missing: &[Grant],
) -> Vec<Value> {
    let name = format!("{}-{index}", trial.namespace);
    let subjects = json!([
        {"kind": "ServiceAccount", "name": subject.account, "namespace": trial.namespace},
    ]);
    if !bound.shipped && missing.is_empty() {
        return vec![binding(&name, bound.namespace.as_deref(), &bound.kind, &bound.name, &subjects)];
    }
    let left: Vec<_> = bound.grants.iter().filter(|grant| !missing.contains(grant)).collect();
    let rules = |keep: fn(&Grant) -> bool| -> Vec<Value> {
        left.iter().filter(|grant| keep(grant)).map(|grant| trial.renamed(grant).rule()).collect()
    };
    let place = match bound.namespace.as_deref() {
        Some(namespace) if !bound.shipped => Some(namespace.to_owned()),
        Some(namespace) if namespace == subject.namespace => Some(trial.namespace.clone()),
        Some(_) => Some(trial.nodes_namespace()),
        None => None,
    };
    if place.is_some() || !bound.shipped {
        return role(&name, place.as_deref(), &rules(|_| true), &subjects).into();
    }
    // Trials beside each other see all of the cluster, but each writes in its own namespace only.
    let writing = format!("{name}-writing");
    let mut all = role(&name, None, &rules(Grant::reads), &subjects).to_vec();
    all.extend(role(&writing, Some(&trial.namespace), &rules(|grant| !grant.reads()), &subjects));
    all
}

/// A role and its binding, in a namespace or for all of the cluster.
pub fn role(name: &str, namespace: Option<&str>, rules: &[Value], subjects: &Value) -> [Value; 2] {
    let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
    let mut role = json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": kind, "metadata": {"name": name}, "rules": rules,
    });
    if let Some(namespace) = namespace {
        role["metadata"]["namespace"] = json!(namespace);
    }
    [role, binding(name, namespace, kind, name, subjects)]
}

fn binding(name: &str, namespace: Option<&str>, kind: &str, role: &str, subjects: &Value) -> Value {
    let own_kind = if namespace.is_some() { "RoleBinding" } else { "ClusterRoleBinding" };
    let mut binding = json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": own_kind, "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role}, "subjects": subjects,
    });
    if let Some(namespace) = namespace {
        binding["metadata"]["namespace"] = json!(namespace);
    }
    binding
}

/// What the program of a trial works on.
pub fn surroundings(trial: &Trial, subject: &Subject) -> Vec<Value> {
    match subject.part.as_str() {
        "hpa" => {
            let mut all = workload(trial);
            if subject.has_own_kind() {
                all.extend([
                    deployment(OWNED, &trial.namespace, "10m"),
                    hpa(OWNED, OWNED, &trial.namespace, 2, &[cpu("1")]),
                ]);
                all.iter_mut().for_each(of_own_kind);
            }
            match trial.situation {
                Situation::Remembering => all.extend((0..SHARDS).map(|shard| history(trial, shard))),
                Situation::Rivalry => all.push(rival(trial)),
                Situation::Ordinary | Situation::Asking => {}
            }
            all
        }
        "metrics-server" | "server" => vec![json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": "flyball-collector-tls", "namespace": trial.nodes_namespace()},
        })],
        _ => Vec::new(),
    }
}

/// What comes when the program has worked for a while.
pub fn late(trial: &Trial, subject: &Subject) -> Vec<Value> {
    if subject.part != "hpa" {
        return Vec::new();
    }
    let metric = cpu("50m");
    let mut late = hpa("late", "late", &trial.namespace, 2, &[metric]);
    let mut all = vec![deployment("late", &trial.namespace, "100m")];
    if subject.has_own_kind() {
        of_own_kind(&mut late);
        all.push(hpa("owner", OWNED, &trial.namespace, 2, &[cpu("1")]));
    }
    all.push(late);
    all
}

/// An HPA of the kind that only ours acts on; other objects stay what they are.
fn of_own_kind(object: &mut Value) {
    if object["kind"] == "HorizontalPodAutoscaler" {
        object["apiVersion"] = json!(format!("{OWN_GROUP}/v1"));
    }
}

/// One object of each kind that an adapter may list, in the namespace of what is no trial's own; nothing of it runs.
pub fn of_every_kind() -> Vec<Value> {
    let labels = json!({"app": "idle"});
    let metadata = json!({"name": "idle", "namespace": COMMON, "labels": labels});
    let template = |restart: &str| {
        json!({"metadata": {"labels": labels}, "spec": {
            "restartPolicy": restart, "containers": [{"name": "app", "image": "flyball.io/none"}],
            "nodeSelector": {"no-such-node": "true"}}})
    };
    let selector = json!({"matchLabels": labels});
    let workload = |kind: &str, spec: Value| {
        let mut object = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec});
        object["spec"]["selector"] = selector.clone();
        object["spec"]["template"] = template("Always");
        object
    };
    let claim = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "none",
        "resources": {"requests": {"storage": "1Mi"}}});
    let backend = json!({"service": {"name": "idle", "port": {"number": 80}}});
    vec![
        workload("Deployment", json!({"replicas": 0})),
        workload("ReplicaSet", json!({"replicas": 0})),
        workload("StatefulSet", json!({"replicas": 0, "serviceName": "idle"})),
        workload("DaemonSet", json!({})),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata,
            "spec": {"suspend": true, "template": template("Never")}}),
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata,
            "spec": {"suspend": true, "schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template("Never")}}}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80}]}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata,
            "spec": {"defaultBackend": backend}}),
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim}),
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "idle"}, "spec": {
            "capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "other",
            "hostPath": {"path": "/nowhere"}}}),
    ]
}

/// A pod on a node of the scene; its container uses next to nothing.
pub fn pod(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": COMMON},
        "spec": {
            "nodeName": node,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "app", "image": "flyball.io/none"}],
        },
    })
}

/// Names of the nodes that pods are put on by name.
pub const POD_NODES: [&str; 2] = [HOLLOW_NODE, COLLECTED_NODE];

fn deployment(name: &str, namespace: &str, cpu: &str) -> Value {
    let labels = json!({"app": name});
    let template = json!({
        "metadata": {"labels": labels, "annotations": {"sim.flyball.io/cpu": cpu}},
        "spec": {"containers": [{"name": "app", "image": "flyball.io/none"}]},
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    })
}

fn cpu(average: &str) -> Value {
    json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": average}}})
}

fn hpa(name: &str, target: &str, namespace: &str, max: u32, metrics: &[Value]) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
            "minReplicas": 1, "maxReplicas": max, "metrics": metrics,
        },
    })
}

/// A Deployment with an HPA whose External metric wants three pods, metrics of two other types, and an HPA whose target
/// does not exist, which is told about again and again; of each kind of target that is watched there is one.
fn workload(trial: &Trial) -> Vec<Value> {
    let place = &trial.namespace;
    let described = json!({"apiVersion": "v1", "kind": "Service", "name": "web"});
    let object = json!({"type": "Object", "object": {
        "describedObject": described, "metric": {"name": "orders"},
        "target": {"type": "AverageValue", "averageValue": "1"},
    }});
    let external = json!({"type": "External", "external": {
        "metric": {"name": "orders"}, "target": {"type": "AverageValue", "averageValue": "1"},
    }});
    let timestamp = "2026-01-01T00:00:00Z";
    vec![
        deployment("web", place, "10m"),
        json!({
            "apiVersion": "external.metrics.k8s.io/v1beta1", "kind": "Order",
            "metadata": {"name": "all", "namespace": place},
            "metricName": "orders", "timestamp": timestamp, "value": "3",
        }),
        hpa("web", "web", place, 5, &[external, object, cpu("1")]),
        hpa("lost", "nothing", place, 5, &[cpu("1")]),
        of_kind(hpa("lost-set", "nothing", place, 5, &[cpu("1")]), "ReplicaSet"),
        of_kind(hpa("lost-stateful", "nothing", place, 5, &[cpu("1")]), "StatefulSet"),
    ]
}

/// The same for a target of another kind.
fn of_kind(mut hpa: Value, kind: &str) -> Value {
    hpa["spec"]["scaleTargetRef"]["kind"] = json!(kind);
    hpa
}

/// Stored history of HPAs that are gone.
fn history(trial: &Trial, shard: u32) -> Value {
    // An entry is looked for in one ConfigMap only; each holds enough of them that some are its own.
    let entries: Map<_, _> =
        (0..Trial::STALE_ENTRIES).map(|entry| (format!("gone-{entry}"), json!("{}"))).collect();
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": entries,
        "metadata": {"name": format!("flyball-hpa-history-{shard}"), "namespace": trial.namespace},
    })
}

/// The Lease of a second Flyball that scales.
fn rival(trial: &Trial) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": trial.namespace, "namespace": trial.nodes_namespace(),
            "annotations": {"hpa.flyball.io/acting": "true"},
        },
        "spec": {"holderIdentity": "another", "leaseDurationSeconds": 3600, "renewTime": "2026-01-01T00:00:00.000000Z"},
    })
}

/// Certificate and key of collectors that stand in for a kubelet.
pub fn collector_files(scene: &Scene<'_>) -> [PathBuf; 2] {
    let files = ["collector.crt", "collector.key"].map(|name| scene.plane.folder().join(name));
    if !files[1].exists() {
        let issued = scene.plane.pki().server(&[COLLECTED_NODE], &[scene.address.into()]);
        std::fs::write(&files[0], &issued.certificate_pem).expect("the certificate is written");
        std::fs::write(&files[1], &issued.key_pem).expect("the key is written");
    }
    files
}
