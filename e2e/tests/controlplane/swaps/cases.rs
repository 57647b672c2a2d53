//! The HPAs of the swaps: workloads, loads and the replicas they must end at.
//!
//! A load is shared by the ready pods of its app, so the count a load settles at is its amount over the target, rounded
//! up, whatever the way there was. Each is chosen a little below a whole multiple of its target, where no neighbouring
//! count lies within the tolerance.

use serde_json::{Value, json};

/// Namespace of everything here.
pub const NAMESPACE: &str = "swaps";

/// How many loads each case has.
pub const STEPS: usize = 3;

/// An HPA, its workload, and what becomes of both.
#[derive(Debug)]
pub struct Case {
    /// Name of the HPA, its workload and the app.
    pub name: &'static str,
    /// Kind of the workload.
    pub kind: &'static str,
    /// Its replicas at the start; `None` makes no workload.
    pub start: Option<u32>,
    /// Containers with their requests.
    pub containers: Vec<(&'static str, Value)>,
    /// `spec` of the HPA without its target.
    pub spec: Value,
    /// What the app uses at each step: CPU, memory.
    pub loads: [Load; STEPS],
    /// Replicas at the end of each step; `None` where there is no workload.
    pub replicas: Option<[u32; STEPS]>,
}

/// What an app uses together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    /// CPU, if it is set.
    pub cpu: Option<&'static str>,
    /// Memory, if it is set.
    pub memory: Option<&'static str>,
}

fn cpu(amounts: [&'static str; STEPS]) -> [Load; STEPS] {
    amounts.map(|amount| Load { cpu: Some(amount), memory: None })
}

fn memory(amounts: [&'static str; STEPS]) -> [Load; STEPS] {
    amounts.map(|amount| Load { cpu: None, memory: Some(amount) })
}

fn resource(name: &str, target: Value) -> Value {
    json!({"type": "Resource", "resource": {"name": name, "target": target}})
}

fn utilization(percent: u32) -> Value {
    json!({"type": "Utilization", "averageUtilization": percent})
}

fn average(amount: &str) -> Value {
    json!({"type": "AverageValue", "averageValue": amount})
}

fn spec(min: u32, max: u32, metrics: Value) -> Value {
    json!({"minReplicas": min, "maxReplicas": max, "metrics": metrics})
}

fn requests(cpu: &str, memory: &str) -> Value {
    json!({"cpu": cpu, "memory": memory})
}

fn deployment(
    name: &'static str,
    requested: Value,
    spec: Value,
    loads: [Load; STEPS],
    replicas: [u32; STEPS],
) -> Case {
    Case {
        name,
        kind: "Deployment",
        start: Some(1),
        containers: vec![("main", requested)],
        spec,
        loads,
        replicas: Some(replicas),
    }
}

/// All cases.
#[must_use]
pub fn all() -> Vec<Case> {
    let mut cases = resources();
    cases.extend(limits());
    cases.extend(without_metrics());
    cases
}

fn resources() -> Vec<Case> {
    let mut behavior = spec(1, 10, json!([resource("cpu", utilization(50))]));
    behavior["behavior"] = json!({
        "scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 5}]},
        "scaleDown": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Min",
            "policies": [
                {"type": "Pods", "value": 2, "periodSeconds": 5},
                {"type": "Percent", "value": 50, "periodSeconds": 5},
            ],
        },
    });
    let both = json!([resource("cpu", utilization(50)), resource("memory", utilization(50))]);
    let both_loads = [("190m", "310Mi"), ("490m", "310Mi"), ("190m", "120Mi")]
        .map(|(cpu, memory)| Load { cpu: Some(cpu), memory: Some(memory) });
    let container = json!([{
        "type": "ContainerResource",
        "containerResource": {"name": "cpu", "container": "main", "target": utilization(80)},
    }]);
    vec![
        deployment(
            "utilization",
            requests("200m", "64Mi"),
            spec(1, 10, json!([resource("cpu", utilization(50))])),
            cpu(["390m", "690m", "190m"]),
            [4, 7, 2],
        ),
        Case {
            kind: "StatefulSet",
            ..deployment(
                "average-value",
                requests("200m", "64Mi"),
                spec(1, 10, json!([resource("cpu", average("100m"))])),
                cpu(["290m", "490m", "290m"]),
                [3, 5, 3],
            )
        },
        Case {
            kind: "ReplicaSet",
            containers: vec![("main", requests("100m", "32Mi")), ("side", requests("100m", "32Mi"))],
            ..deployment(
                "container",
                Value::Null,
                spec(1, 10, container),
                cpu(["main=230m,side=500m", "main=390m,side=10m", "main=230m,side=10m"]),
                [3, 5, 3],
            )
        },
        deployment(
            "memory",
            requests("100m", "128Mi"),
            spec(1, 10, json!([resource("memory", utilization(50))])),
            memory(["190Mi", "310Mi", "120Mi"]),
            [3, 5, 2],
        ),
        deployment("both", requests("200m", "128Mi"), spec(1, 10, both), both_loads, [5, 5, 2]),
        deployment("behavior", requests("100m", "64Mi"), behavior, cpu(["95m", "240m", "95m"]), [2, 5, 2]),
    ]
}

fn limits() -> Vec<Case> {
    let half = || json!([resource("cpu", utilization(50))]);
    vec![
        deployment(
            "at-least",
            requests("200m", "64Mi"),
            spec(3, 6, half()),
            cpu(["50m", "390m", "50m"]),
            [3, 4, 3],
        ),
        deployment(
            "at-most",
            requests("200m", "64Mi"),
            spec(1, 2, half()),
            cpu(["900m", "1400m", "150m"]),
            [2, 2, 2],
        ),
        Case {
            start: Some(0),
            ..deployment(
                "switched-off",
                requests("200m", "64Mi"),
                spec(1, 5, half()),
                cpu(["1", "2", "1"]),
                [0, 0, 0],
            )
        },
    ]
}

/// HPAs that cannot know what to do.
fn without_metrics() -> Vec<Case> {
    let half = || json!([resource("cpu", utilization(50))]);
    let pods = json!([{
        "type": "Pods",
        "pods": {"metric": {"name": "requests_per_second"}, "target": average("10")},
    }]);
    let external = json!([{
        "type": "External",
        "external": {"metric": {"name": "queue_length"}, "target": average("10")},
    }]);
    let absent = json!([{
        "type": "ContainerResource",
        "containerResource": {"name": "cpu", "container": "absent", "target": utilization(80)},
    }]);
    let requested = || requests("200m", "64Mi");
    let loads = || cpu(["150m", "250m", "150m"]);
    vec![
        deployment("no-requests", json!({}), spec(1, 5, half()), loads(), [1, 1, 1]),
        deployment("no-pods-metric", requested(), spec(1, 5, pods), loads(), [1, 1, 1]),
        deployment("no-external-metric", requested(), spec(1, 5, external), loads(), [1, 1, 1]),
        Case {
            kind: "StatefulSet",
            ..deployment("no-container", requested(), spec(1, 5, absent), loads(), [1, 1, 1])
        },
        Case {
            start: None,
            replicas: None,
            ..deployment("no-target", requested(), spec(1, 5, half()), loads(), [0, 0, 0])
        },
    ]
}

impl Case {
    /// The workload and the HPA.
    #[must_use]
    pub fn objects(&self) -> Vec<Value> {
        let hpa = self.hpa();
        match self.start {
            Some(replicas) => vec![self.workload(replicas), hpa],
            None => vec![hpa],
        }
    }

    fn hpa(&self) -> Value {
        let mut spec = self.spec.clone();
        spec["scaleTargetRef"] = json!({"apiVersion": "apps/v1", "kind": self.kind, "name": self.name});
        json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": spec,
        })
    }

    fn workload(&self, replicas: u32) -> Value {
        let containers: Vec<_> = self
            .containers
            .iter()
            .map(
                |(name, requests)| json!({"name": name, "image": "any", "resources": {"requests": requests}}),
            )
            .collect();
        let labels = json!({"app": self.name});
        let mut spec = json!({
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": containers, "terminationGracePeriodSeconds": 0},
            },
        });
        if self.kind == "StatefulSet" {
            spec["serviceName"] = self.name.into();
            // One after the other would make the way longer and not different.
            spec["podManagementPolicy"] = "Parallel".into();
        }
        json!({
            "apiVersion": "apps/v1",
            "kind": self.kind,
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": spec,
        })
    }
}
