//! What the slower tier reads of a group: everything beyond CPU usage, memory usage and working set.
//!
//! Plain data. Each value is absent where the machine or the group does not have it, never 0 instead. Counters count
//! since the group was made. All of one group were read within a few hundred microseconds, at [`Details::unix_ms`].

use crate::parse::Limit;
use std::sync::Arc;

/// Everything the slower tier read of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// Middle of the reads, Unix milliseconds; 0 before the first.
    pub unix_ms: i64,
    /// CPU beyond usage.
    pub cpu: CpuDetails,
    /// Time on each CPU, nanoseconds, by its number; v1 only, and only where asked for.
    pub per_cpu_ns: Vec<u64>,
    /// Memory beyond usage.
    pub memory: MemoryDetails,
    /// Waiting for CPU.
    pub cpu_pressure: Option<Pressure>,
    /// Waiting for memory.
    pub memory_pressure: Option<Pressure>,
    /// Waiting for block devices.
    pub io_pressure: Option<Pressure>,
    /// Tasks and processes.
    pub tasks: Tasks,
    /// Block devices it used, sorted by number.
    pub io: Vec<DeviceIo>,
    /// Whole disks; of the machine only.
    pub disks: Vec<DiskTotals>,
    /// Huge pages, one entry per size.
    pub hugetlb: Vec<HugePages>,
    /// Interfaces of its network namespace; only of one group per pod, and never the host's.
    pub network: Vec<Interface>,
}

/// CPU beyond usage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuDetails {
    /// Time in user space, nanoseconds.
    pub user_ns: Option<u64>,
    /// Time in the kernel, nanoseconds.
    pub system_ns: Option<u64>,
    /// Periods of the bandwidth limit in which it wanted to run.
    pub periods: Option<u64>,
    /// Periods in which it was throttled.
    pub throttled_periods: Option<u64>,
    /// Time it was throttled, summed over CPUs, nanoseconds.
    pub throttled_ns: Option<u64>,
    /// Periods in which it used more than its quota.
    pub burst_periods: Option<u64>,
    /// Time used beyond the quota, nanoseconds.
    pub burst_ns: Option<u64>,
    /// Length of a period, microseconds.
    pub period_us: Option<u64>,
    /// CPU time per period, microseconds.
    pub quota_us: Option<Limit>,
    /// Weight in v1's unit; v2's weight converted as cAdvisor does it.
    pub shares: Option<u64>,
}

/// Memory beyond usage. Bytes unless said otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryDetails {
    /// Page cache.
    pub cache_bytes: Option<u64>,
    /// Anonymous memory.
    pub rss_bytes: Option<u64>,
    /// Mapped files.
    pub mapped_file_bytes: Option<u64>,
    /// Kernel memory.
    pub kernel_bytes: Option<u64>,
    /// Highest usage.
    pub max_usage_bytes: Option<u64>,
    /// Times usage met the limit (v1).
    pub limit_hits: Option<u64>,
    /// File pages in active use.
    pub active_file_bytes: Option<u64>,
    /// File pages the kernel takes first.
    pub inactive_file_bytes: Option<u64>,
    /// File pages not written yet.
    pub dirty_bytes: Option<u64>,
    /// File pages being written.
    pub writeback_bytes: Option<u64>,
    /// Page faults of the group itself (v2: with its descendants).
    pub page_faults: Option<u64>,
    /// Page faults that needed a device, likewise.
    pub major_page_faults: Option<u64>,
    /// Page faults with descendants.
    pub page_faults_hierarchical: Option<u64>,
    /// Major page faults with descendants.
    pub major_page_faults_hierarchical: Option<u64>,
    /// Pages looked at by reclaim.
    pub pages_scanned: Option<u64>,
    /// Pages taken by reclaim.
    pub pages_stolen: Option<u64>,
    /// File pages that came back soon after they were taken.
    pub refaults_file: Option<u64>,
    /// Anonymous pages that came back soon after they were taken.
    pub refaults_anon: Option<u64>,
    /// Limit.
    pub limit: Option<Limit>,
    /// v1 soft limit, v2 `memory.min`.
    pub reservation: Option<Limit>,
    /// v1: limit of memory and swap together; v2: of swap.
    pub swap_limit: Option<Limit>,
    /// Times `memory.high` was exceeded (v2).
    pub high_events: Option<u64>,
    /// Times usage met `memory.max` (v2).
    pub max_events: Option<u64>,
    /// Processes killed for want of memory.
    pub oom_kills: Option<u64>,
}

/// Time that tasks waited for a resource, microseconds since the group was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    /// At least one task waited.
    pub some: Stall,
    /// All tasks waited.
    pub full: Option<Stall>,
}

/// One line of a pressure file. Averages are in hundredths of a percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stall {
    /// Over 10 s.
    pub avg10_centipercent: u32,
    /// Over 60 s.
    pub avg60_centipercent: u32,
    /// Over 300 s.
    pub avg300_centipercent: u32,
    /// In all, microseconds.
    pub total_us: u64,
}

/// Tasks and processes of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tasks {
    /// Tasks (threads), with descendants.
    pub current: Option<u64>,
    /// Most tasks it may have.
    pub limit: Option<Limit>,
    /// Processes, without descendants.
    pub processes: Option<u64>,
    /// Open descriptors of these processes; only where asked for.
    pub descriptors: Option<u64>,
    /// Those of them that are sockets; only where asked for.
    pub sockets: Option<u64>,
    /// Most descriptors its first process may open (`ulimit -n`, soft); only where asked for.
    pub descriptors_soft_limit: Option<Limit>,
}

/// Traffic of one block device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceIo {
    /// Major and minor number.
    pub device: (u32, u32),
    /// Bytes read.
    pub read_bytes: Option<u64>,
    /// Bytes written.
    pub written_bytes: Option<u64>,
    /// Read requests.
    pub reads: Option<u64>,
    /// Write requests.
    pub writes: Option<u64>,
}

/// What `/proc/diskstats` says of a whole disk beyond bytes and requests. Absent where the kernel does not print it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskTotals {
    /// Major and minor number.
    pub device: (u32, u32),
    /// Reads merged into others.
    pub reads_merged: Option<u64>,
    /// Sectors of 512 bytes read.
    pub sectors_read: Option<u64>,
    /// Time of all reads, milliseconds.
    pub read_ms: Option<u64>,
    /// Writes merged into others.
    pub writes_merged: Option<u64>,
    /// Sectors of 512 bytes written.
    pub sectors_written: Option<u64>,
    /// Time of all writes, milliseconds.
    pub write_ms: Option<u64>,
    /// Requests in progress.
    pub in_progress: Option<u64>,
    /// Time in which there were any, milliseconds.
    pub io_ms: Option<u64>,
    /// That time, weighted by their number, milliseconds.
    pub weighted_io_ms: Option<u64>,
}

/// Huge pages of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HugePages {
    /// As the kernel names it: `2MB`, `1GB`.
    pub page_size: Arc<str>,
    /// In use, bytes.
    pub usage_bytes: Option<u64>,
    /// Highest use, bytes (v1).
    pub max_usage_bytes: Option<u64>,
    /// Times the limit was met.
    pub limit_hits: Option<u64>,
}

/// Counters of one network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: Arc<str>,
    /// Received.
    pub receive: Traffic,
    /// Sent.
    pub transmit: Traffic,
}

/// One direction of an interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Errors.
    pub errors: u64,
    /// Packets dropped.
    pub dropped: u64,
}

impl Details {
    /// Nothing read yet, with an entry for each size of huge pages.
    pub fn new(huge_page_sizes: &[Arc<str>]) -> Details {
        let empty = |size: &Arc<str>| HugePages {
            page_size: size.clone(),
            usage_bytes: None,
            max_usage_bytes: None,
            limit_hits: None,
        };
        Details { hugetlb: huge_page_sizes.iter().map(empty).collect(), ..Details::default() }
    }

    /// Becomes the same as another, and keeps its own buffers for it.
    pub fn copy_from(&mut self, other: &Details) {
        let Details {
            unix_ms,
            cpu,
            per_cpu_ns,
            memory,
            cpu_pressure,
            memory_pressure,
            io_pressure,
            tasks,
            io,
            disks,
            hugetlb,
            network,
        } = other;
        (self.unix_ms, self.cpu, self.memory, self.tasks) = (*unix_ms, *cpu, *memory, *tasks);
        self.cpu_pressure = *cpu_pressure;
        self.memory_pressure = *memory_pressure;
        self.io_pressure = *io_pressure;
        self.per_cpu_ns.clone_from(per_cpu_ns);
        self.io.clone_from(io);
        self.disks.clone_from(disks);
        self.hugetlb.clone_from(hugetlb);
        self.network.clone_from(network);
    }

    /// Forgets what is added up or listed by each pass, whichever files it reads.
    pub fn clear_lists(&mut self) {
        self.io.clear();
        self.disks.clear();
        self.network.clear();
    }

    /// Forgets everything but limits, which are read more rarely. Keeps its buffers.
    pub fn clear_all_but_limits(&mut self) {
        let CpuDetails { period_us, quota_us, shares, .. } = self.cpu;
        self.cpu = CpuDetails { period_us, quota_us, shares, ..CpuDetails::default() };
        let MemoryDetails { limit, reservation, swap_limit, .. } = self.memory;
        self.memory = MemoryDetails { limit, reservation, swap_limit, ..MemoryDetails::default() };
        let Tasks { limit, descriptors_soft_limit, .. } = self.tasks;
        self.tasks = Tasks { limit, descriptors_soft_limit, ..Tasks::default() };
        self.per_cpu_ns.clear();
        self.cpu_pressure = None;
        self.memory_pressure = None;
        self.io_pressure = None;
        self.clear_lists();
        for pages in &mut self.hugetlb {
            (pages.usage_bytes, pages.max_usage_bytes, pages.limit_hits) = (None, None, None);
        }
    }
}
