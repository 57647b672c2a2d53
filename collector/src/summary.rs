//! `/stats/summary`: a sweep as the kubelet's summary API has it.
//!
//! Shape, names and units: kubernetes/kubelet `pkg/apis/stats/v1alpha1/types.go`. Times are RFC 3339 in whole seconds. What is
//! not known is absent. `usageNanoCores` is the rate between the last two sweeps, absent in a group's first sweep and when
//! its counter went back. Totals of pressure are microseconds, as the kubelet copies them.

use crate::details::{Details, Interface, Pressure, Stall};
use crate::disk::walk::Amount;
use crate::disk::{DiskUse, PodUse, RuntimeUse, Space, Use, VolumeUse};
use crate::names::PodName;
use crate::parse::Limit;
use crate::sample::{ContainerReading, PodReading, Reading, Sweep};
use jiff::Timestamp;
use serde::Serialize;

mod writing;

use writing::Order;
pub use writing::{Seen, Writing};

/// Interface whose counters are also the pod's own.
const DEFAULT_INTERFACE: &str = "eth0";

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    node: Node,
    pods: Vec<Pod>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    node_name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system_containers: Vec<Container>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<Time>,
    #[serde(flatten)]
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Network>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fs: Option<FsStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<Runtime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rlimit: Option<Rlimit>,
}

/// File systems of the container runtime.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Runtime {
    #[serde(skip_serializing_if = "Option::is_none")]
    image_fs: Option<FsStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_fs: Option<FsStats>,
}

/// Number of tasks of the machine and the most there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rlimit {
    /// When.
    pub time: Time,
    /// Most process ids.
    pub maxpid: u64,
    /// Tasks now.
    pub curproc: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pod {
    pod_ref: PodRef,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<Time>,
    containers: Vec<Container>,
    #[serde(flatten)]
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Network>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volume: Vec<Volume>,
    #[serde(rename = "ephemeral-storage", skip_serializing_if = "Option::is_none")]
    ephemeral_storage: Option<FsStats>,
    #[serde(rename = "process_stats", skip_serializing_if = "Option::is_none")]
    process_stats: Option<ProcessStats>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct PodRef {
    name: String,
    namespace: String,
    uid: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<Time>,
    #[serde(flatten)]
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    rootfs: Option<FsStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logs: Option<FsStats>,
}

/// Use of a folder, and the file system it is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct FsStats {
    time: Time,
    #[serde(flatten)]
    space: Option<FsSpace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    used_bytes: Option<u64>,
    inodes_used: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct FsSpace {
    available_bytes: u64,
    capacity_bytes: u64,
    inodes_free: u64,
    inodes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    #[serde(flatten)]
    stats: FsStats,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pvc_ref: Option<PvcRef>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct PvcRef {
    name: String,
    namespace: String,
}

/// What every level has.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Usage {
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<Cpu>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    io: Option<Io>,
    #[serde(skip_serializing_if = "Option::is_none")]
    swap: Option<Swap>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cpu {
    time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_nano_cores: Option<u64>,
    usage_core_nano_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Psi>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_set_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rss_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_faults: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    major_page_faults: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Psi>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Io {
    time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Psi>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Swap {
    time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    swap_available_bytes: Option<u64>,
    swap_usage_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Psi {
    full: PsiData,
    some: PsiData,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct PsiData {
    total: u64,
    avg10: f64,
    avg60: f64,
    avg300: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Network {
    time: Time,
    /// Of the default interface; all zero and without a name where there is none, as the kubelet has it.
    #[serde(flatten)]
    default: InterfaceStats,
    interfaces: Vec<InterfaceStats>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct InterfaceStats {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rx_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rx_errors: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_errors: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename = "process_stats")]
struct ProcessStats {
    process_count: u64,
}

/// Unix milliseconds, written as RFC 3339 in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub i64);

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let whole = Timestamp::from_second(self.0.div_euclid(1_000)).unwrap_or_default();
        serializer.collect_str(&whole)
    }
}

/// How much of the summary is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    All,
    /// `only_cpu_and_memory=true`: CPU, memory and swap.
    CpuAndMemory,
}

/// The summary of a finished sweep. Pods and containers without a name are left out; sandboxes too.
pub fn summary(
    sweep: &Sweep,
    disk: &DiskUse,
    node_name: &str,
    rlimit: Option<Rlimit>,
    extent: Extent,
) -> Summary {
    let order = Order::of(sweep);
    let pods = (0..order.len()).filter_map(|at| order.pod(at, sweep, disk, extent)).collect();
    Summary { node: Node::of(sweep, disk, node_name, rlimit, extent), pods }
}

impl Node {
    fn of(sweep: &Sweep, disk: &DiskUse, node_name: &str, rlimit: Option<Rlimit>, extent: Extent) -> Node {
        let all = extent == Extent::All;
        let details = &sweep.node_details;
        let has_network = all && !details.network.is_empty();
        let of_runtime = |used: Option<RuntimeUse>| used.filter(|_| all).map(FsStats::of_runtime);
        let runtime = Runtime {
            image_fs: of_runtime(disk.node.images),
            container_fs: of_runtime(disk.node.containers),
        };
        Node {
            node_name: node_name.to_owned(),
            system_containers: system_containers(sweep, extent),
            start_time: sweep.node.start_unix_ms.map(Time),
            usage: Usage::of(&sweep.node, details, extent),
            network: has_network.then(|| Network::of(&details.network, details.unix_ms)),
            fs: disk.node.kubelet.filter(|_| all).map(FsStats::of),
            runtime: Some(runtime).filter(|fs| fs.image_fs.is_some() || fs.container_fs.is_some()),
            rlimit: rlimit.filter(|_| all),
        }
    }
}

/// The groups that a kubelet lists by name: `kubelet`, `pods`, `runtime`, each once.
fn system_containers(sweep: &Sweep, extent: Extent) -> Vec<Container> {
    let mut found: Vec<Container> = Vec::new();
    for system in &sweep.system {
        let Some(name) = system.whose.summary_name() else { continue };
        if found.iter().all(|known| known.name != name) {
            found.push(Container {
                name: name.to_owned(),
                start_time: system.reading.start_unix_ms.map(Time),
                usage: Usage::of(&system.reading, &system.details, extent),
                rootfs: None,
                logs: None,
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

impl Pod {
    fn of(
        pod: &PodReading,
        name: &PodName,
        members: &[&ContainerReading],
        disk: &DiskUse,
        extent: Extent,
    ) -> Pod {
        let all = extent == Extent::All;
        let of_container = |(name, container): &(&str, &ContainerReading)| {
            let used = disk.containers.get(&container.id).filter(|_| all);
            Container {
                rootfs: used.and_then(|used| used.root).map(FsStats::of),
                logs: used.and_then(|used| used.logs).map(FsStats::of),
                name: (*name).to_owned(),
                start_time: container.reading.start_unix_ms.map(Time),
                usage: Usage::of(&container.reading, &container.details, extent),
            }
        };
        let containers: Vec<Container> = youngest_of_each(members).iter().map(of_container).collect();
        let used = disk.pods.get(&pod.uid).filter(|_| all);
        let volumes = used.map_or(&[][..], |used| &used.volumes);
        let node_fs = disk.node.kubelet.and_then(|used| used.space);
        let starts = members.iter().filter_map(|container| container.reading.start_unix_ms);
        let processes = members.iter().filter_map(|container| container.details.tasks.processes);
        let carrier = members.iter().find(|container| !container.details.network.is_empty());
        Pod {
            pod_ref: PodRef {
                name: name.pod.clone(),
                namespace: name.namespace.clone(),
                uid: pod.uid.to_string(),
            },
            // The sandbox is the first to start.
            start_time: starts.min().map(Time),
            usage: Usage::of(&pod.reading, &pod.details, extent),
            ephemeral_storage: ephemeral_storage(&containers, used, node_fs),
            containers,
            volume: volumes.iter().map(|used| Volume::of(used, &name.namespace)).collect(),
            network: carrier
                .filter(|_| all)
                .map(|carrier| Network::of(&carrier.details.network, carrier.details.unix_ms)),
            process_stats: processes
                .reduce(|a, b| a + b)
                .filter(|_| all)
                .map(|process_count| ProcessStats { process_count }),
        }
    }
}

/// Containers that have a name, sorted by it, one of each: where two groups bear one (a container ended, its successor runs),
/// the younger.
fn youngest_of_each<'a>(members: &[&'a ContainerReading]) -> Vec<(&'a str, &'a ContainerReading)> {
    let named = members.iter().filter_map(|one| Some((one.name.as_deref()?.container.as_str(), *one)));
    let mut named: Vec<(&str, &ContainerReading)> = named.collect();
    named.sort_by_key(|(name, container)| (*name, std::cmp::Reverse(container.reading.start_unix_ms)));
    named.dedup_by_key(|(name, _)| *name);
    named
}

impl Usage {
    fn of(reading: &Reading, details: &Details, extent: Extent) -> Usage {
        let limit = bytes(details.memory.limit);
        let cpu = reading.cpu.map(|cpu| Cpu {
            time: Time(cpu.unix_ms),
            usage_nano_cores: reading.cpu_rate_nanocores,
            usage_core_nano_seconds: cpu.usage_ns,
            psi: psi(details.cpu_pressure),
        });
        let memory = reading.memory.map(|memory| Memory {
            time: Time(memory.unix_ms),
            available_bytes: limit
                .zip(memory.working_set_bytes)
                .map(|(limit, working_set)| limit.saturating_sub(working_set)),
            usage_bytes: memory.usage_bytes,
            working_set_bytes: memory.working_set_bytes,
            rss_bytes: memory.rss_bytes,
            page_faults: details.memory.page_faults,
            major_page_faults: details.memory.major_page_faults,
            psi: psi(details.memory_pressure),
        });
        let io = details.io_pressure.filter(|_| extent == Extent::All);
        let swap = reading.swap.map(|swap| Swap {
            time: Time(swap.unix_ms),
            swap_available_bytes: swap.limit_bytes.map(|limit| limit.saturating_sub(swap.usage_bytes)),
            swap_usage_bytes: swap.usage_bytes,
        });
        Usage {
            cpu,
            memory,
            io: io.map(|pressure| Io { time: Time(details.unix_ms), psi: psi(Some(pressure)) }),
            swap,
        }
    }
}

impl Network {
    fn of(interfaces: &[Interface], unix_ms: i64) -> Network {
        let stats = |interface: &Interface| InterfaceStats {
            name: interface.name.to_string(),
            rx_bytes: Some(interface.receive.bytes),
            rx_errors: Some(interface.receive.errors),
            tx_bytes: Some(interface.transmit.bytes),
            tx_errors: Some(interface.transmit.errors),
        };
        let interfaces: Vec<InterfaceStats> = interfaces.iter().map(stats).collect();
        let default = interfaces.iter().find(|stats| stats.name == DEFAULT_INTERFACE).cloned();
        Network { time: Time(unix_ms), default: default.unwrap_or_default(), interfaces }
    }
}

impl FsStats {
    fn of(used: Use) -> FsStats {
        FsStats::new(used.amount, used.space, used.unix_ms)
    }

    fn new(amount: Amount, space: Option<Space>, unix_ms: i64) -> FsStats {
        let used_bytes = Some(amount.bytes);
        FsStats { time: Time(unix_ms), space: fs_space(space), used_bytes, inodes_used: amount.inodes }
    }

    fn of_runtime(used: RuntimeUse) -> FsStats {
        let RuntimeUse { bytes, inodes, space, unix_ms } = used;
        FsStats { time: Time(unix_ms), space: fs_space(space), used_bytes: bytes, inodes_used: inodes }
    }

    fn add(&mut self, amount: Amount) {
        self.used_bytes = Some(self.used_bytes.unwrap_or(0) + amount.bytes);
        self.inodes_used += amount.inodes;
    }
}

fn fs_space(space: Option<Space>) -> Option<FsSpace> {
    space.map(|space| FsSpace {
        available_bytes: space.available_bytes,
        capacity_bytes: space.capacity_bytes,
        inodes_free: space.inodes_free,
        inodes: space.inodes,
    })
}

impl Volume {
    fn of(used: &VolumeUse, namespace: &str) -> Volume {
        let claim = used.claim.as_ref();
        Volume {
            stats: FsStats::new(used.amount, used.space, used.unix_ms),
            name: used.name.clone(),
            pvc_ref: claim.map(|claim| PvcRef { name: claim.clone(), namespace: namespace.to_owned() }),
        }
    }
}

/// Writable layers, logs, ephemeral volumes on disk and the file of hosts of a pod together. Absent while any container's
/// layer is: a part would be taken for the whole. The file system is the kubelet's own.
fn ephemeral_storage(
    containers: &[Container],
    used: Option<&PodUse>,
    node_fs: Option<Space>,
) -> Option<FsStats> {
    if containers.iter().any(|container| container.rootfs.is_none()) {
        return None;
    }
    let parts = containers.iter().flat_map(|container| [container.rootfs, container.logs]).flatten();
    let sum = parts.reduce(|sum, part| FsStats {
        time: Time(sum.time.0.max(part.time.0)),
        space: sum.space,
        used_bytes: sum.used_bytes.zip(part.used_bytes).map(|(a, b)| a + b),
        inodes_used: sum.inodes_used + part.inodes_used,
    });
    let mut sum = FsStats { space: fs_space(node_fs), ..sum? };
    if let Some(used) = used {
        for volume in used.volumes.iter().filter(|volume| volume.is_ephemeral) {
            sum.time = Time(sum.time.0.max(volume.unix_ms));
            sum.add(volume.amount);
        }
        [used.logs, used.hosts].into_iter().flatten().for_each(|amount| sum.add(amount));
    }
    Some(sum)
}

fn bytes(limit: Option<Limit>) -> Option<u64> {
    match limit? {
        Limit::Bytes(bytes) => Some(bytes),
        Limit::Unlimited => None,
    }
}

fn psi(pressure: Option<Pressure>) -> Option<Psi> {
    let data = |stall: Stall| PsiData {
        total: stall.total_us,
        avg10: f64::from(stall.avg10_centipercent) / 100.0,
        avg60: f64::from(stall.avg60_centipercent) / 100.0,
        avg300: f64::from(stall.avg300_centipercent) / 100.0,
    };
    let pressure = pressure?;
    Some(Psi { full: data(pressure.full?), some: data(pressure.some) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::details::{MemoryDetails, Traffic};
    use crate::disk::walk::Amount;
    use crate::disk::{ContainerUse, NodeUse, Space};
    use crate::layout::{Qos, SystemGroup};
    use crate::names::ContainerName;
    use crate::sample;
    use std::collections::HashMap;
    use std::sync::Arc;

    fn sweep() -> Sweep {
        let name = Arc::new(PodName { namespace: "shop".to_owned(), pod: "web-1".to_owned() });
        let reading = Reading {
            cpu: Some(sample::Cpu { usage_ns: 5_000_000_000, unix_ms: 1_767_225_607_900 }),
            cpu_rate_nanocores: Some(250_000_000),
            memory: Some(sample::Memory {
                usage_bytes: Some(300),
                working_set_bytes: Some(200),
                rss_bytes: Some(100),
                unix_ms: 1_767_225_607_900,
            }),
            start_unix_ms: Some(1_767_225_600_000),
            ..Reading::default()
        };
        let traffic = Traffic { bytes: 7, packets: 1, errors: 2, dropped: 0 };
        let details = Arc::new(Details {
            unix_ms: 1_767_225_606_000,
            memory: MemoryDetails { limit: Some(Limit::Bytes(1_000)), ..MemoryDetails::default() },
            cpu_pressure: Some(Pressure {
                some: Stall { avg10_centipercent: 125, total_us: 9, ..Stall::default() },
                full: Some(Stall::default()),
            }),
            network: vec![Interface { name: "eth0".into(), receive: traffic, transmit: traffic }],
            ..Details::default()
        });
        let container = |container_name: Option<&str>, details: &Arc<Details>| ContainerReading {
            id: "id".into(),
            pod_uid: "uid".into(),
            name: container_name.map(|container| {
                Arc::new(ContainerName {
                    container: container.to_owned(),
                    pod: name.clone(),
                    image: String::new(),
                    started_unix_ms: None,
                })
            }),
            pod_name: Some(name.clone()),
            looks_like_sandbox: container_name.is_none(),
            reading,
            path: "/kubepods/poduid/id".into(),
            details: details.clone(),
        };
        let pod = |uid: &str, name| PodReading {
            uid: uid.into(),
            qos: Qos::Guaranteed,
            name,
            reading,
            path: "/kubepods/poduid".into(),
            details: Arc::default(),
        };
        let system = |whose, path: &str| sample::SystemReading {
            whose,
            reading: Reading { start_unix_ms: None, ..reading },
            path: path.into(),
            details: Arc::default(),
        };
        Sweep {
            system: vec![
                system(SystemGroup::Runtime, "/system.slice/containerd.service"),
                system(SystemGroup::Runtime, "/system.slice/docker.service"),
                system(SystemGroup::Pods, "/kubepods"),
                system(SystemGroup::Class(Qos::Burstable), "/kubepods/burstable"),
            ],
            pods: vec![pod("uid", Some(name.clone())), pod("unnamed", None)],
            containers: vec![container(Some("app"), &Arc::default()), container(None, &details)],
            node: reading,
            node_details: details.clone(),
            ..Sweep::default()
        }
    }

    /// Of every container of [`sweep`], and one volume.
    fn disk() -> DiskUse {
        let used = |bytes| Use {
            amount: Amount { bytes, inodes: 2 },
            space: Some(Space { capacity_bytes: 900, available_bytes: 800, inodes: 70, inodes_free: 60 }),
            device: (8, 1),
            unix_ms: 1_767_225_605_000,
        };
        let container = ContainerUse { root: Some(used(10)), logs: Some(used(20)) };
        let volume = |name: &str, bytes, is_ephemeral, claim: Option<&str>| VolumeUse {
            name: name.to_owned(),
            claim: claim.map(str::to_owned),
            is_ephemeral,
            amount: used(bytes).amount,
            space: used(bytes).space,
            unix_ms: used(bytes).unix_ms,
        };
        let pod = PodUse {
            volumes: vec![
                volume("cache", 30, true, None),
                volume("data", 4_000, false, Some("web-data")),
                volume("token", 5_000, false, None),
            ],
            logs: Some(Amount { bytes: 100, inodes: 1 }),
            hosts: Some(Amount { bytes: 200, inodes: 1 }),
        };
        let runtime = RuntimeUse { bytes: None, inodes: 2, space: used(0).space, unix_ms: used(0).unix_ms };
        DiskUse {
            containers: HashMap::from([(Arc::from("id"), container)]),
            pods: HashMap::from([(Arc::from("uid"), pod)]),
            node: NodeUse {
                kubelet: Some(used(500)),
                images: Some(RuntimeUse { bytes: Some(600), ..runtime }),
                containers: Some(RuntimeUse { bytes: None, ..runtime }),
            },
        }
    }

    #[test]
    fn shape_and_units() {
        let rlimit = Rlimit { time: Time(1_767_225_607_000), maxpid: 4_194_304, curproc: 321 };
        let found =
            serde_json::to_value(summary(&sweep(), &disk(), "node1", Some(rlimit), Extent::All)).unwrap();
        let cpu = serde_json::json!({
            "time": "2026-01-01T00:00:07Z", "usageNanoCores": 250_000_000, "usageCoreNanoSeconds": 5_000_000_000_u64
        });
        let memory = serde_json::json!({
            "time": "2026-01-01T00:00:07Z", "usageBytes": 300, "workingSetBytes": 200, "rssBytes": 100
        });
        let mut node_cpu = cpu.clone();
        node_cpu["psi"] = serde_json::json!({
            "full": {"total": 0, "avg10": 0.0, "avg60": 0.0, "avg300": 0.0},
            "some": {"total": 9, "avg10": 1.25, "avg60": 0.0, "avg300": 0.0}
        });
        let mut node_memory = memory.clone();
        node_memory["availableBytes"] = 800.into();
        let eth0 =
            serde_json::json!({"name": "eth0", "rxBytes": 7, "rxErrors": 2, "txBytes": 7, "txErrors": 2});
        let mut network = eth0.clone();
        network["time"] = "2026-01-01T00:00:06Z".into();
        network["interfaces"] = serde_json::json!([eth0]);
        let fs = |bytes: u64, inodes: u64| {
            serde_json::json!({
                "time": "2026-01-01T00:00:05Z", "availableBytes": 800, "capacityBytes": 900, "inodesFree": 60,
                "inodes": 70, "usedBytes": bytes, "inodesUsed": inodes
            })
        };
        let mut layers = fs(0, 2);
        layers.as_object_mut().unwrap().remove("usedBytes");
        let volume = |name: &str, bytes| {
            let mut volume = fs(bytes, 2);
            volume["name"] = name.into();
            volume
        };
        let mut data = volume("data", 4_000);
        data["pvcRef"] = serde_json::json!({"name": "web-data", "namespace": "shop"});
        let expected = serde_json::json!({
            "node": {
                "nodeName": "node1", "startTime": "2026-01-01T00:00:00Z", "cpu": node_cpu, "memory": node_memory,
                "systemContainers": [
                    {"name": "pods", "cpu": cpu, "memory": memory},
                    {"name": "runtime", "cpu": cpu, "memory": memory}
                ],
                "network": network, "fs": fs(500, 2), "runtime": {"imageFs": fs(600, 2), "containerFs": layers},
                "rlimit": {"time": "2026-01-01T00:00:07Z", "maxpid": 4_194_304, "curproc": 321}
            },
            "pods": [{
                "podRef": {"name": "web-1", "namespace": "shop", "uid": "uid"},
                "startTime": "2026-01-01T00:00:00Z",
                "containers": [{"name": "app", "startTime": "2026-01-01T00:00:00Z", "cpu": cpu, "memory": memory,
                    "rootfs": fs(10, 2), "logs": fs(20, 2)}],
                "cpu": cpu, "memory": memory, "network": network,
                "volume": [volume("cache", 30), data, volume("token", 5_000)],
                "ephemeral-storage": fs(10 + 20 + 30 + 100 + 200, 8)
            }]
        });
        assert_eq!(found, expected, "{found:#}");
    }

    #[test]
    fn the_text_in_pieces_is_the_summary() {
        let mut sweep = sweep();
        let name = |pod: &str| Some(Arc::new(PodName { namespace: "a".to_owned(), pod: pod.to_owned() }));
        for (uid, pod) in [("uid3", "second"), ("uid2", "first"), ("uid1", "second")] {
            let named = PodReading { uid: uid.into(), name: name(pod), ..sweep.pods[0].clone() };
            sweep.pods.push(named);
        }
        let disk = disk();
        let rlimit = Some(Rlimit { time: Time(1_767_225_607_000), maxpid: 4_194_304, curproc: 321 });
        for extent in [Extent::All, Extent::CpuAndMemory] {
            let whole = serde_json::to_string(&summary(&sweep, &disk, "node1", rlimit, extent)).unwrap();
            let seen = Seen { sweep: &sweep, disk: &disk, node_name: "node1", rlimit, extent };
            for bytes in [0, 1, 3_000, usize::MAX] {
                let (mut writing, mut text, mut pieces) = (Writing::new(&sweep), Vec::new(), 0);
                let mut more = true;
                while more && pieces < 10 {
                    let mut piece = Vec::new();
                    more = writing.piece(&seen, bytes.max(1), &mut piece);
                    text.append(&mut piece);
                    pieces += 1;
                }
                assert_eq!(String::from_utf8(text).unwrap(), whole, "pieces of {bytes}");
                assert_eq!(pieces > 1, bytes < 3_000, "{pieces} pieces of {bytes}");
            }
        }
        let none = Sweep { pods: Vec::new(), ..sweep };
        let seen = Seen { sweep: &none, disk: &disk, node_name: "node1", rlimit, extent: Extent::All };
        let mut text = Vec::new();
        assert!(!Writing::new(&none).piece(&seen, 1, &mut text));
        assert!(text.ends_with(b",\"pods\":[]}"));
    }

    #[test]
    fn a_container_that_ended_makes_way_for_its_successor() {
        let mut sweep = sweep();
        let (mut old, mut new) = (sweep.containers[0].clone(), sweep.containers[0].clone());
        (old.id, old.reading.start_unix_ms) = ("old".into(), Some(1_767_225_500_000));
        (new.id, new.reading.start_unix_ms) = ("new".into(), Some(1_767_225_700_000));
        new.reading.cpu = Some(sample::Cpu { usage_ns: 7, unix_ms: 1_767_225_707_000 });
        sweep.containers.extend([new, old]);
        let found = serde_json::to_value(summary(&sweep, &disk(), "node1", None, Extent::All)).unwrap();
        let containers = found["pods"][0]["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 1, "{found:#}");
        assert_eq!(containers[0]["cpu"]["usageCoreNanoSeconds"], 7);
    }

    #[test]
    fn the_reduced_form_has_cpu_and_memory_only() {
        let found =
            serde_json::to_value(summary(&sweep(), &disk(), "node1", None, Extent::CpuAndMemory)).unwrap();
        let pod = &found["pods"][0];
        assert!(pod.get("network").is_none() && found["node"].get("rlimit").is_none(), "{found:#}");
        for field in ["network", "fs", "runtime"] {
            assert!(found["node"].get(field).is_none(), "{found:#}");
        }
        assert_eq!(found["node"]["systemContainers"][0]["name"], "pods");
        assert!(pod.get("cpu").is_some() && pod.get("memory").is_some());
    }
}
