//! Upstream's metrics-server on our collector: real containers on a real node, measured by its kubelet and by our
//! collector beside it.

use std::time::{Duration, Instant};

use flyball_e2e::plane::{BUSYBOX_IMAGE, NODE, Needs, Plane};
use flyball_e2e::{Kubectl, Program};
use serde_json::{Value, json};

use super::metrics::{By, MetricsServer, install, upstream_program};
use super::seen::{self, Rows, Seen};
use super::stage::start_loop;

/// Namespace of the workloads.
const NAMESPACE: &str = "swaps-node";

/// Longest time for the HPAs to settle: pods start, kubelets look every 10 to 15 s, and usage needs two looks.
const SETTLE_LIMIT: Duration = Duration::from_secs(180);

/// A kubelet's longest pause between two looks, and a round of the HPA loop.
const STEADY: Duration = Duration::from_secs(20);

/// How far two readings of a steady use may be apart, of the larger one.
const TOLERANCE: f64 = 0.02;

/// And the least, in the units of `kubectl top`: both round.
const ROUNDING: f64 = 1.0;

const BUSY: &str = "while :; do :; done";
const IDLE: &str = "exec sleep 1000000000";
/// Files in /dev/shm count as memory of the container.
const LARGE: &str = "dd if=/dev/zero of=/dev/shm/file bs=1M count=40 && exec sleep 1000000000";

/// The weight of all pods together, on machines with either version of control groups: file and highest value.
const WEIGHTS: [(&str, &str); 2] =
    [("/sys/fs/cgroup/cpu/kubepods/cpu.shares", "262144"), ("/sys/fs/cgroup/kubepods/cpu.weight", "10000")];

/// What a busy loop shows that is allowed a tenth of a core: the kernel gives it that, and a little more or less.
const BUSY_MILLICORES: std::ops::RangeInclusive<f64> = 95.0..=105.0;

/// A workload and its HPA.
struct Workload {
    name: &'static str,
    script: &'static str,
    /// CPU requested; each is allowed 100m.
    request: &'static str,
    /// Target, percent of the request.
    utilization: u32,
    max: u32,
    /// Replicas at the start and at the end.
    replicas: [u32; 2],
}

const WORKLOADS: [Workload; 4] = [
    // Twice its request, and would be with any number of replicas.
    Workload { name: "busy", script: BUSY, request: "50m", utilization: 100, max: 2, replicas: [1, 2] },
    Workload { name: "level", script: BUSY, request: "100m", utilization: 100, max: 5, replicas: [2, 2] },
    Workload { name: "idle", script: IDLE, request: "100m", utilization: 50, max: 5, replicas: [3, 1] },
    Workload { name: "large", script: LARGE, request: "100m", utilization: 50, max: 5, replicas: [2, 1] },
];

/// Where a metrics server takes usage from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Kubelet,
    Collector,
}

impl Source {
    fn flags(self) -> [&'static str; 2] {
        let port = match self {
            Self::Kubelet => "--kubelet-port=10250",
            Self::Collector => "--kubelet-port=4194",
        };
        [port, "--kubelet-insecure-tls"]
    }
}

/// What a chain shows when it has settled.
struct Shown {
    hpas: Seen,
    pods: Rows,
    nodes: Rows,
}

#[test]
fn metrics_server_on_the_collector() {
    if upstream_program().is_none() {
        return;
    }
    let needs = Needs::light().containers().hpa_loop().own_control_plane();
    let Some(plane) = Plane::alone(needs) else { return };
    start_loop(&plane, By::Upstream);
    install(&plane, "metrics-server");
    let _collector = start_collector(&plane);
    let kubectl = plane.namespace(NAMESPACE);
    let objects: Vec<Value> = WORKLOADS.iter().flat_map(Workload::objects).collect();
    kubectl.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}));
    prefer_pods();

    let mut server = MetricsServer::start(&plane, By::Upstream, &Source::Kubelet.flags());
    server.serve(&plane);
    let what = "the HPAs settle with upstream's metrics server on the kubelet";
    let expected = kubectl.eventually(SETTLE_LIMIT, what, unchanged(|| settled(&kubectl)));
    let chains =
        [(By::Upstream, Source::Collector), (By::Ours, Source::Collector), (By::Ours, Source::Kubelet)];
    for (by, source) in chains {
        let next = MetricsServer::start(&plane, by, &source.flags());
        next.take_over(&plane);
        // Ends the one before.
        server = next;
        // What was decided before shall be decided anew.
        for workload in WORKLOADS.iter().filter(|workload| workload.replicas[0] != workload.replicas[1]) {
            let replicas = format!("--replicas={}", workload.replicas[0]);
            kubectl.ok(&["scale", &format!("deployment/{}", workload.name), &replicas]);
        }
        let what =
            format!("{by:?} metrics server on the {source:?} shows what upstream's on the kubelet does");
        kubectl.eventually(SETTLE_LIMIT, &what, || {
            let shown = settled(&kubectl)?;
            same_hpas(&expected.hpas, &shown.hpas)?;
            same_rows(&expected.pods, &shown.pods)?;
            same_memory(&expected.nodes, &shown.nodes)
        });
    }
    drop(server);
}

/// Our collector as a process beside the kubelet, on the node's address.
fn start_collector(plane: &Plane) -> Program {
    install(plane, "collector");
    let path = "jsonpath={.status.addresses[?(@.type=='InternalIP')].address}";
    let address = plane.admin().ok(&["get", "node", NODE, "--output", path]);
    let (node, address) = (format!("--node-name={NODE}"), format!("--bind-address={address}"));
    plane.run_as(
        "flyball-collector",
        "flyball-collector",
        &["collector", &node, &address, "--names=cri,logs,api"],
    )
}

/// Lets the pods have what they are allowed, however busy the machine is with other things.
fn prefer_pods() {
    let written = WEIGHTS.iter().any(|(file, highest)| std::fs::write(file, highest).is_ok());
    assert!(written, "none of {WEIGHTS:?} can be written");
}

impl Workload {
    fn objects(&self) -> [Value; 2] {
        let container = json!({
            "name": "main",
            "image": BUSYBOX_IMAGE,
            "imagePullPolicy": "Never",
            "command": ["sh", "-c", self.script],
            "resources": {"requests": {"cpu": self.request}, "limits": {"cpu": "100m"}},
        });
        let labels = json!({"app": self.name});
        let target = json!({"type": "Utilization", "averageUtilization": self.utilization});
        [
            json!({
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": self.name},
                "spec": {
                    "replicas": self.replicas[0],
                    "selector": {"matchLabels": labels},
                    "template": {
                        "metadata": {"labels": labels},
                        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
                    },
                },
            }),
            json!({
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": self.name},
                "spec": {
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.name},
                    "minReplicas": 1,
                    "maxReplicas": self.max,
                    "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
                },
            }),
        ]
    }
}

/// What `look` returns, once it has returned the same for [`STEADY`].
fn unchanged(look: impl Fn() -> Result<Shown, String>) -> impl FnMut() -> Result<Shown, String> {
    let mut since: Option<(Instant, Shown)> = None;
    move || {
        let shown = look().inspect_err(|_| since = None)?;
        match &since {
            Some((start, former)) if same_hpas(&former.hpas, &shown.hpas).is_ok() => {
                let time = start.elapsed();
                if time >= STEADY { Ok(shown) } else { Err(format!("the same for {} s", time.as_secs())) }
            }
            _ => {
                since = Some((Instant::now(), shown));
                Err("just changed".to_owned())
            }
        }
    }
}

/// What is shown, once every workload has its replicas, `kubectl top` lists each pod, and the busy ones are as busy as
/// they may be.
fn settled(kubectl: &Kubectl) -> Result<Shown, String> {
    let hpas = seen::hpas(kubectl);
    for workload in &WORKLOADS {
        let seen = hpas.get(workload.name).ok_or_else(|| format!("no HPA {}", workload.name))?;
        let replicas = workload.replicas[1];
        if seen["currentReplicas"] != replicas || seen["desiredReplicas"] != replicas {
            return Err(format!("{} shall have {replicas} replicas: {seen}", workload.name));
        }
    }
    let finished = kubectl.run(&["top", "pods", "--containers", "--no-headers"]);
    let nodes = kubectl.run(&["top", "nodes", "--no-headers"]);
    if !finished.success() || !nodes.success() {
        return Err(format!("{finished}{nodes}"));
    }
    let (pods, nodes) = (seen::by_app(&finished.stdout), seen::rows(&nodes.stdout));
    let wanted: u32 = WORKLOADS.iter().map(|workload| workload.replicas[1]).sum();
    let idle = |row: &Vec<String>| {
        let busy = WORKLOADS.iter().any(|workload| workload.script == BUSY && workload.name == row[0]);
        busy && !BUSY_MILLICORES.contains(&number(&row[2]))
    };
    if pods.len() != wanted as usize || pods.iter().any(idle) {
        return Err(format!("kubectl top shows {pods:?}"));
    }
    Ok(Shown { hpas, pods, nodes })
}

/// Replicas and conditions are equal, the metrics close.
fn same_hpas(expected: &Seen, seen: &Seen) -> Result<(), String> {
    let without_metrics = |seen: &Seen| {
        let mut seen = seen.clone();
        seen.values_mut().for_each(|hpa| hpa["currentMetrics"] = Value::Null);
        seen
    };
    let differences = seen::differences(&without_metrics(expected), &without_metrics(seen));
    if !differences.is_empty() {
        return Err(differences.join("\n"));
    }
    let utilization = |seen: &Seen| -> Vec<f64> {
        let path = "/currentMetrics/0/resource/current/averageUtilization";
        seen.values().map(|hpa| hpa.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN)).collect()
    };
    let (expected, seen) = (utilization(expected), utilization(seen));
    let same = expected.iter().zip(&seen).all(|(&one, &other)| close(one, other));
    if same { Ok(()) } else { Err(format!("utilizations {expected:?} and {seen:?}")) }
}

/// The same names, and numbers that are close.
fn same_rows(expected: &Rows, seen: &Rows) -> Result<(), String> {
    let same = |one: &Vec<String>, other: &Vec<String>| {
        one[..2] == other[..2] && one[2..].iter().zip(&other[2..]).all(|(a, b)| close(number(a), number(b)))
    };
    let all = expected.len() == seen.len() && expected.iter().zip(seen).all(|(one, other)| same(one, other));
    if all { Ok(()) } else { Err(format!("kubectl top shows {seen:?} and not {expected:?}")) }
}

/// The node's memory is close. Its CPU is what the whole machine does, another thing each minute.
fn same_memory(expected: &Rows, seen: &Rows) -> Result<(), String> {
    let memory = |rows: &Rows| rows.first().map_or(f64::NAN, |row| number(&row[3]));
    let (expected, seen) = (memory(expected), memory(seen));
    if (expected - seen).abs() <= 0.2 * expected {
        Ok(())
    } else {
        Err(format!("{seen}Mi and not {expected}Mi"))
    }
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= TOLERANCE * one.max(other) + ROUNDING
}

/// The number before its unit.
fn number(text: &str) -> f64 {
    text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(f64::NAN)
}
