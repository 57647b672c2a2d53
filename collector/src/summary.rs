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
use serde::Serialize;

mod order;
mod rows;
mod shape;

use order::Order;
pub use rows::{ROWS, node_words};
use shape::{
    Container, Cpu, FsSpace, FsStats, InterfaceStats, Io, Memory, Network, Node, Pod, PodRef, ProcessStats,
    Psi, PsiData, PvcRef, Runtime, Swap, Usage, Volume,
};
pub use shape::{Rlimit, Time};

/// Interface whose counters are also the pod's own.
const DEFAULT_INTERFACE: &str = "eth0";

/// The whole answer: made while it is written, pod after pod.
#[derive(Serialize)]
pub struct Summary<'a> {
    node: Node,
    #[serde(serialize_with = "in_order")]
    pods: Pods<'a>,
}

struct Pods<'a> {
    order: Order,
    sweep: &'a Sweep,
    disk: &'a DiskUse,
    extent: Extent,
}

fn in_order<S: serde::Serializer>(pods: &Pods<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    let Pods { order, sweep, disk, extent } = pods;
    serializer.collect_seq((0..order.len()).filter_map(|at| order.pod(at, sweep, disk, *extent)))
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
pub fn summary<'a>(
    sweep: &'a Sweep,
    disk: &'a DiskUse,
    node_name: &str,
    rlimit: Option<Rlimit>,
    extent: Extent,
) -> Summary<'a> {
    let node = Node::of(sweep, disk, node_name, rlimit, extent);
    Summary { node, pods: Pods { order: Order::of(sweep), sweep, disk, extent } }
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
        FsStats { time: Time(unix_ms), space: fs_space(space), used_bytes: bytes, inodes_used: Some(inodes) }
    }

    fn add(&mut self, amount: Amount) {
        self.used_bytes = both(self.used_bytes, Some(amount.bytes));
        self.inodes_used = both(self.inodes_used, amount.inodes);
    }
}

/// The sum, where both parts are known.
fn both(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.zip(other).map(|(one, other)| one + other)
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
        used_bytes: both(sum.used_bytes, part.used_bytes),
        inodes_used: both(sum.inodes_used, part.inodes_used),
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
mod tests;
