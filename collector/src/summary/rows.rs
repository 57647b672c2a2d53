//! What the fields of the summary are made of, one row each: for `docs/metrics.md` and for explanations.
//!
//! A row is named by the path of its field below a node, a pod or a container, as in `cpu.usageNanoCores`. A part in angle
//! brackets stands for several: `<place>` for `fs`, `runtime.imageFs`, `runtime.containerFs`, `rootfs`, `logs`, `volume` and
//! `ephemeral-storage`. What a field is made of for the node itself stands in [`node_words`].

use crate::table::{Metric, Source};
use flyball_model::exposition::MetricType::{self, Counter, Gauge};

const CPU: Source = Source { v1: "cpuacct.usage", v2: "cpu.stat usage_usec" };
const CPU_SOME: Source = Source { v1: "hybrid: v2 cpu.pressure some", v2: "cpu.pressure some" };
const CPU_FULL: Source = Source { v1: "hybrid: v2 cpu.pressure full", v2: "cpu.pressure full" };
const MEMORY_SOME: Source = Source { v1: "hybrid: v2 memory.pressure some", v2: "memory.pressure some" };
const MEMORY_FULL: Source = Source { v1: "hybrid: v2 memory.pressure full", v2: "memory.pressure full" };
const IO_SOME: Source = Source { v1: "hybrid: v2 io.pressure some", v2: "io.pressure some" };
const IO_FULL: Source = Source { v1: "hybrid: v2 io.pressure full", v2: "io.pressure full" };
const INTERFACE: Source = Source::both("/proc/PID/net/dev of a process of the pod");
const SPACE: Source = Source::both("statfs of the folder");

const fn row(name: &'static str, kind: MetricType, help: &'static str, source: Source) -> Metric {
    Metric::new(name, kind, &[], help, source)
}

/// The rows.
pub const ROWS: [Metric; 42] = [
    row(
        "startTime",
        Gauge,
        "When it started.",
        Source::both("/proc/PID/stat starttime of its first process; pod status where that cannot be seen"),
    ),
    row(
        "cpu.usageNanoCores",
        Gauge,
        "CPU time per time between the last two sweeps, billionths of a core.",
        CPU,
    ),
    row("cpu.usageCoreNanoSeconds", Counter, "CPU time since it was made, nanoseconds.", CPU),
    row("cpu.psi.some.total", Counter, "Time that some task waited for CPU, microseconds.", CPU_SOME),
    row(
        "cpu.psi.some.<average>",
        Gauge,
        "Part of the time that some task waited for CPU, percent.",
        CPU_SOME,
    ),
    row("cpu.psi.full.total", Counter, "Time that all tasks waited for CPU, microseconds.", CPU_FULL),
    row(
        "cpu.psi.full.<average>",
        Gauge,
        "Part of the time that all tasks waited for CPU, percent.",
        CPU_FULL,
    ),
    row(
        "memory.availableBytes",
        Gauge,
        "What the limit leaves beyond the working set.",
        Source {
            v1: "memory.limit_in_bytes less memory.usage_in_bytes + memory.stat total_inactive_file",
            v2: "memory.max less memory.current + memory.stat inactive_file",
        },
    ),
    row(
        "memory.usageBytes",
        Gauge,
        "Memory in use, page cache included.",
        Source { v1: "memory.usage_in_bytes", v2: "memory.current" },
    ),
    row(
        "memory.workingSetBytes",
        Gauge,
        "Memory in use without the page cache that the kernel takes first.",
        Source {
            v1: "memory.usage_in_bytes less memory.stat total_inactive_file",
            v2: "memory.current less memory.stat inactive_file",
        },
    ),
    row(
        "memory.rssBytes",
        Gauge,
        "Anonymous memory.",
        Source { v1: "memory.stat total_rss", v2: "memory.stat anon" },
    ),
    row("memory.pageFaults", Counter, "Page faults.", Source::both("memory.stat pgfault")),
    row(
        "memory.majorPageFaults",
        Counter,
        "Page faults that needed a device.",
        Source::both("memory.stat pgmajfault"),
    ),
    row(
        "memory.psi.some.total",
        Counter,
        "Time that some task waited for memory, microseconds.",
        MEMORY_SOME,
    ),
    row(
        "memory.psi.some.<average>",
        Gauge,
        "Part of the time that some task waited for memory, percent.",
        MEMORY_SOME,
    ),
    row(
        "memory.psi.full.total",
        Counter,
        "Time that all tasks waited for memory, microseconds.",
        MEMORY_FULL,
    ),
    row(
        "memory.psi.full.<average>",
        Gauge,
        "Part of the time that all tasks waited for memory, percent.",
        MEMORY_FULL,
    ),
    row("io.psi.some.total", Counter, "Time that some task waited for block devices, microseconds.", IO_SOME),
    row(
        "io.psi.some.<average>",
        Gauge,
        "Part of the time that some task waited for block devices, percent.",
        IO_SOME,
    ),
    row("io.psi.full.total", Counter, "Time that all tasks waited for block devices, microseconds.", IO_FULL),
    row(
        "io.psi.full.<average>",
        Gauge,
        "Part of the time that all tasks waited for block devices, percent.",
        IO_FULL,
    ),
    row(
        "swap.swapUsageBytes",
        Gauge,
        "Memory that is swapped out.",
        Source { v1: "memory.stat total_swap", v2: "memory.swap.current" },
    ),
    row(
        "swap.swapAvailableBytes",
        Gauge,
        "What the limit of swap leaves.",
        Source { v1: "none", v2: "memory.swap.max less memory.swap.current" },
    ),
    row("network.rxBytes", Counter, "Bytes received at eth0.", INTERFACE),
    row("network.rxErrors", Counter, "Errors while receiving at eth0.", INTERFACE),
    row("network.txBytes", Counter, "Bytes sent at eth0.", INTERFACE),
    row("network.txErrors", Counter, "Errors while sending at eth0.", INTERFACE),
    row("network.interfaces.rxBytes", Counter, "Bytes received, by interface.", INTERFACE),
    row("network.interfaces.rxErrors", Counter, "Errors while receiving, by interface.", INTERFACE),
    row("network.interfaces.txBytes", Counter, "Bytes sent, by interface.", INTERFACE),
    row("network.interfaces.txErrors", Counter, "Errors while sending, by interface.", INTERFACE),
    row(
        "runtime.imageFs.usedBytes",
        Gauge,
        "What images take.",
        Source::both("ImageFsInfo of the container runtime"),
    ),
    row(
        "ephemeral-storage.usedBytes",
        Gauge,
        "What the pod takes of the node's own disk.",
        Source::both(
            "its containers' rootfs and logs, its volumes on that disk, its folder of logs and file of hosts, together",
        ),
    ),
    row(
        "<place>.usedBytes",
        Gauge,
        "What its files take.",
        Source::both("walk of the folder; statfs of a mount"),
    ),
    row(
        "<place>.inodesUsed",
        Gauge,
        "Its files and folders.",
        Source::both("walk of the folder; statfs of a mount"),
    ),
    row("<place>.capacityBytes", Gauge, "Size of the file system.", SPACE),
    row("<place>.availableBytes", Gauge, "What users may still take of it.", SPACE),
    row("<place>.inodes", Gauge, "Inodes of the file system.", SPACE),
    row("<place>.inodesFree", Gauge, "Inodes that are left.", SPACE),
    row("process_stats.process_count", Gauge, "Processes of its containers.", Source::both("cgroup.procs")),
    row("rlimit.maxpid", Gauge, "Most process ids there can be.", Source::both("/proc/sys/kernel/pid_max")),
    row("rlimit.curproc", Gauge, "Tasks there are.", Source::both("/proc/loadavg")),
];

/// For the node some fields come from elsewhere, see [`crate::node`].
pub fn node_words(name: &str) -> Option<&'static str> {
    Some(match name {
        "startTime" => "/proc/stat btime",
        "memory.usageBytes" => "/proc/meminfo AnonPages + Cached + Buffers + SwapCached",
        "memory.workingSetBytes" => {
            "/proc/meminfo AnonPages + Cached + Buffers + SwapCached - Inactive(file)"
        }
        "memory.availableBytes" => {
            "/proc/meminfo MemTotal - AnonPages - Cached - Buffers - SwapCached + Inactive(file)"
        }
        "memory.rssBytes" => "/proc/meminfo AnonPages",
        "swap.swapUsageBytes" => "/proc/meminfo SwapTotal - SwapFree",
        "swap.swapAvailableBytes" => "/proc/meminfo SwapFree",
        name if name.starts_with("network.") => "/proc/1/net/dev",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_one_row() {
        // Rows with an open part stand last, for they take the names of those before.
        let of = |name: &str| ROWS.iter().find(|row| row.names(name)).map(|row| row.name);
        assert_eq!(of("cpu.psi.some.total"), Some("cpu.psi.some.total"));
        assert_eq!(of("cpu.psi.some.avg300"), Some("cpu.psi.some.<average>"));
        assert_eq!(of("memory.availableBytes"), Some("memory.availableBytes"));
        assert_eq!(of("rootfs.availableBytes"), Some("<place>.availableBytes"));
        assert_eq!(of("memory.nothing"), None);
        for (at, row) in ROWS.iter().enumerate() {
            assert!(
                !row.help.is_empty() && ROWS[..at].iter().all(|other| other.name != row.name),
                "{}",
                row.name
            );
        }
    }
}
