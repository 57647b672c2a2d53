//! Which files the slower tier reads, and what each gives: settled once per machine, so that reading a group is one walk
//! over a list, with no question of versions.
//!
//! Formulas and units are those of the collector's reference readers (cAdvisor, opencontainers/cgroups), with two
//! exceptions: what a machine does not have is absent, never 0, and devices come from the kernel's numbers, so none is
//! left out for its name.

use crate::details::{Details, DeviceIo, HugePages, MemoryDetails};
use crate::parse::{self, Limit};

/// Clock ticks of `cpuacct.stat` in nanoseconds: USER_HZ is 100 on every architecture.
const TICK_NS: u64 = 10_000_000;
/// Most CPUs of a machine: what Linux can be built for.
const CPUS_LIMIT: usize = 8_192;
/// Most block devices followed per group.
pub const DEVICES_LIMIT: usize = 256;

/// How often a file is read; see [`crate::slow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// With every pass of the slower tier in which the group may have done something: these values move only when its own
    /// processes run or memory is charged to it, which each sweep sees in the two values it reads.
    Active,
    /// With every pass of the slower tier: others move these values, or waiting does.
    Slow,
    /// Limits, which only the kubelet changes: with every few passes.
    Rare,
}

/// Puts the values of a file's text where they belong; the number is [`Reader::argument`].
pub type Take = fn(&[u8], usize, &mut Details);

/// One file of a group and where its values go.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Index into [`FilePlan::trees`](crate::mounts::FilePlan::trees).
    pub tree: usize,
    /// Name in the group's folder.
    pub file: String,
    /// How often.
    pub pace: Pace,
    /// What takes the text.
    pub take: Take,
    /// For the files of huge pages the size's index, else 0.
    pub argument: usize,
}

/// Where a controller is: the tree, and whether it is v2's.
pub type Place = Option<(usize, bool)>;

/// Where all controllers are.
pub struct Places<'a> {
    /// CPU accounting.
    pub cpu: Place,
    /// Memory.
    pub memory: Place,
    /// CPU limits.
    pub cpu_limits: Place,
    /// Tasks.
    pub pids: Place,
    /// Block devices.
    pub block_io: Place,
    /// Huge pages.
    pub hugetlb: Place,
    /// Pressure; always v2's tree.
    pub pressure: Place,
    /// Names of the sizes of huge pages.
    pub huge_page_sizes: &'a [String],
}

/// The files of a machine.
pub fn plan(places: &Places<'_>) -> Vec<Reader> {
    let mut plan = Plan(Vec::new());
    plan.cpu(places.cpu, places.cpu_limits);
    plan.memory(places.memory);
    if let Some((tree, _)) = places.pids {
        plan.slow(tree, "pids.current", |text, _, to| to.tasks.current = parse::number(text));
        plan.rare(tree, "pids.max", |text, _, to| to.tasks.limit = parse::limit(text));
    }
    plan.block_io(places.block_io);
    plan.hugetlb(places.hugetlb, places.huge_page_sizes);
    if let Some((tree, _)) = places.pressure {
        plan.slow(tree, "cpu.pressure", |text, _, to| to.cpu_pressure = parse::pressure(text));
        plan.slow(tree, "memory.pressure", |text, _, to| to.memory_pressure = parse::pressure(text));
        plan.slow(tree, "io.pressure", |text, _, to| to.io_pressure = parse::pressure(text));
    }
    // Every hierarchy has it; the first is the one whose folders are listed.
    plan.slow(0, "cgroup.procs", |text, _, to| to.tasks.processes = parse::processes(text));
    plan.0
}

/// CPU time by CPU, of v1's accounting in this tree.
pub fn per_cpu(tree: usize) -> Reader {
    let take: Take = |text, _, to| {
        to.per_cpu_ns.clear();
        to.per_cpu_ns.extend(parse::numbers(text).take(CPUS_LIMIT));
    };
    Reader { tree, file: "cpuacct.usage_percpu".to_owned(), pace: Pace::Active, take, argument: 0 }
}

struct Plan(Vec<Reader>);

impl Plan {
    fn active(&mut self, tree: usize, file: &str, take: Take) {
        self.0.push(Reader { tree, file: file.to_owned(), pace: Pace::Active, take, argument: 0 });
    }

    fn slow(&mut self, tree: usize, file: &str, take: Take) {
        self.0.push(Reader { tree, file: file.to_owned(), pace: Pace::Slow, take, argument: 0 });
    }

    fn rare(&mut self, tree: usize, file: &str, take: Take) {
        self.0.push(Reader { tree, file: file.to_owned(), pace: Pace::Rare, take, argument: 0 });
    }

    fn cpu(&mut self, accounting: Place, limits: Place) {
        match accounting {
            // With the cpu controller it has the throttling too.
            Some((tree, true)) => self.active(tree, "cpu.stat", cpu_stat_v2),
            Some((tree, false)) => self.active(tree, "cpuacct.stat", cpuacct_stat),
            None => {}
        }
        match limits {
            Some((tree, true)) => {
                self.rare(tree, "cpu.max", |text, _, to| {
                    (to.cpu.quota_us, to.cpu.period_us) = parse::cpu_max(text).unzip();
                });
                self.rare(tree, "cpu.weight", |text, _, to| {
                    to.cpu.shares = parse::number(text).and_then(weight_to_shares);
                });
            }
            Some((tree, false)) => {
                self.active(tree, "cpu.stat", cpu_stat_v1);
                self.rare(tree, "cpu.cfs_period_us", |text, _, to| to.cpu.period_us = parse::number(text));
                self.rare(tree, "cpu.cfs_quota_us", |text, _, to| to.cpu.quota_us = parse::limit_v1(text));
                self.rare(tree, "cpu.shares", |text, _, to| to.cpu.shares = parse::number(text));
            }
            None => {}
        }
    }

    fn memory(&mut self, place: Place) {
        let Some((tree, unified)) = place else { return };
        if unified {
            self.slow(tree, "memory.stat", memory_stat_v2);
            self.active(tree, "memory.events", memory_events);
            self.active(tree, "memory.peak", |text, _, to| to.memory.max_usage_bytes = parse::number(text));
            self.rare(tree, "memory.max", |text, _, to| to.memory.limit = parse::limit(text));
            self.rare(tree, "memory.min", |text, _, to| to.memory.reservation = parse::limit(text));
            self.rare(tree, "memory.swap.max", |text, _, to| to.memory.swap_limit = parse::limit(text));
            return;
        }
        self.slow(tree, "memory.stat", memory_stat_v1);
        self.active(tree, "memory.oom_control", |text, _, to| {
            to.memory.oom_kills = parse::keyed(text, b"oom_kill");
        });
        self.active(tree, "memory.max_usage_in_bytes", |text, _, to| {
            to.memory.max_usage_bytes = parse::number(text);
        });
        self.active(tree, "memory.failcnt", |text, _, to| to.memory.limit_hits = parse::number(text));
        self.active(tree, "memory.kmem.usage_in_bytes", |text, _, to| {
            to.memory.kernel_bytes = parse::number(text);
        });
        self.rare(tree, "memory.limit_in_bytes", |text, _, to| to.memory.limit = parse::limit_v1(text));
        self.rare(tree, "memory.soft_limit_in_bytes", |text, _, to| {
            to.memory.reservation = parse::limit_v1(text);
        });
        self.rare(tree, "memory.memsw.limit_in_bytes", |text, _, to| {
            to.memory.swap_limit = parse::limit_v1(text);
        });
    }

    fn block_io(&mut self, place: Place) {
        let Some((tree, unified)) = place else { return };
        if unified {
            self.slow(tree, "io.stat", |text, _, to| {
                to.io.clear();
                to.io.extend(parse::io_stat(text).take(DEVICES_LIMIT));
                to.io.sort_unstable_by_key(|io| io.device);
            });
            return;
        }
        // A device is counted by its scheduler or by the throttling layer, and some kernels print a file for both.
        for file in ["blkio.bfq.io_service_bytes_recursive", "blkio.throttle.io_service_bytes_recursive"] {
            self.slow(tree, file, blkio_bytes);
        }
        for file in ["blkio.bfq.io_serviced_recursive", "blkio.throttle.io_serviced_recursive"] {
            self.slow(tree, file, blkio_requests);
        }
    }

    fn hugetlb(&mut self, place: Place, sizes: &[String]) {
        let Some((tree, unified)) = place else { return };
        for (argument, size) in sizes.iter().enumerate() {
            let mut add = |suffix: &str, take: Take| {
                self.0.push(Reader {
                    tree,
                    file: format!("hugetlb.{size}.{suffix}"),
                    pace: Pace::Active,
                    take,
                    argument,
                });
            };
            if unified {
                add("current", |text, at, to| huge(to, at, |pages| pages.usage_bytes = parse::number(text)));
                add("events", |text, at, to| {
                    huge(to, at, |pages| pages.limit_hits = parse::keyed(text, b"max"));
                });
            } else {
                add("usage_in_bytes", |text, at, to| {
                    huge(to, at, |pages| pages.usage_bytes = parse::number(text));
                });
                add("max_usage_in_bytes", |text, at, to| {
                    huge(to, at, |pages| pages.max_usage_bytes = parse::number(text));
                });
                add("failcnt", |text, at, to| huge(to, at, |pages| pages.limit_hits = parse::number(text)));
            }
        }
    }
}

fn huge(details: &mut Details, at: usize, set: impl FnOnce(&mut HugePages)) {
    if let Some(pages) = details.hugetlb.get_mut(at) {
        set(pages);
    }
}

fn cpuacct_stat(text: &[u8], _: usize, to: &mut Details) {
    to.cpu.user_ns = parse::keyed(text, b"user").map(|ticks| ticks.saturating_mul(TICK_NS));
    to.cpu.system_ns = parse::keyed(text, b"system").map(|ticks| ticks.saturating_mul(TICK_NS));
}

fn cpu_stat_v1(text: &[u8], _: usize, to: &mut Details) {
    to.cpu.periods = parse::keyed(text, b"nr_periods");
    to.cpu.throttled_periods = parse::keyed(text, b"nr_throttled");
    to.cpu.throttled_ns = parse::keyed(text, b"throttled_time");
    to.cpu.burst_periods = parse::keyed(text, b"nr_bursts");
    to.cpu.burst_ns = parse::keyed(text, b"burst_time");
}

fn cpu_stat_v2(text: &[u8], _: usize, to: &mut Details) {
    let microseconds = |key: &[u8]| parse::keyed(text, key)?.checked_mul(1_000);
    to.cpu.user_ns = microseconds(b"user_usec");
    to.cpu.system_ns = microseconds(b"system_usec");
    to.cpu.periods = parse::keyed(text, b"nr_periods");
    to.cpu.throttled_periods = parse::keyed(text, b"nr_throttled");
    to.cpu.throttled_ns = microseconds(b"throttled_usec");
    to.cpu.burst_periods = parse::keyed(text, b"nr_bursts");
    to.cpu.burst_ns = microseconds(b"burst_usec");
}

/// v2's weight in v1's unit as cAdvisor converts it: the inverse of the linear form, whatever form the runtime used.
fn weight_to_shares(weight: u64) -> Option<u64> {
    Some(2 + weight.checked_sub(1)?.checked_mul(262_142)? / 9_999)
}

/// `memory.stat` as if it had no line: values that it does not print now are absent.
fn without_stat(memory: &mut MemoryDetails) {
    *memory = MemoryDetails {
        kernel_bytes: memory.kernel_bytes,
        max_usage_bytes: memory.max_usage_bytes,
        limit_hits: memory.limit_hits,
        limit: memory.limit,
        reservation: memory.reservation,
        swap_limit: memory.swap_limit,
        high_events: memory.high_events,
        max_events: memory.max_events,
        oom_kills: memory.oom_kills,
        ..MemoryDetails::default()
    };
}

fn memory_stat_v1(text: &[u8], _: usize, to: &mut Details) {
    let memory = &mut to.memory;
    without_stat(memory);
    for (key, value) in parse::key_values(text) {
        let slot = match key {
            b"total_cache" => &mut memory.cache_bytes,
            b"total_rss" => &mut memory.rss_bytes,
            b"total_mapped_file" => &mut memory.mapped_file_bytes,
            b"total_active_file" => &mut memory.active_file_bytes,
            b"total_inactive_file" => &mut memory.inactive_file_bytes,
            b"total_dirty" => &mut memory.dirty_bytes,
            b"total_writeback" => &mut memory.writeback_bytes,
            b"pgfault" => &mut memory.page_faults,
            b"pgmajfault" => &mut memory.major_page_faults,
            b"total_pgfault" => &mut memory.page_faults_hierarchical,
            b"total_pgmajfault" => &mut memory.major_page_faults_hierarchical,
            b"total_workingset_refault_file" => &mut memory.refaults_file,
            b"total_workingset_refault_anon" => &mut memory.refaults_anon,
            _ => continue,
        };
        *slot = Some(value);
    }
}

fn memory_stat_v2(text: &[u8], _: usize, to: &mut Details) {
    let memory = &mut to.memory;
    without_stat(memory);
    memory.kernel_bytes = None;
    for (key, value) in parse::key_values(text) {
        let slot = match key {
            b"file" => &mut memory.cache_bytes,
            b"anon" => &mut memory.rss_bytes,
            b"file_mapped" => &mut memory.mapped_file_bytes,
            b"kernel" => &mut memory.kernel_bytes,
            b"active_file" => &mut memory.active_file_bytes,
            b"inactive_file" => &mut memory.inactive_file_bytes,
            b"file_dirty" => &mut memory.dirty_bytes,
            b"file_writeback" => &mut memory.writeback_bytes,
            b"pgfault" => &mut memory.page_faults,
            b"pgmajfault" => &mut memory.major_page_faults,
            b"pgscan" => &mut memory.pages_scanned,
            b"pgsteal" => &mut memory.pages_stolen,
            b"workingset_refault_file" => &mut memory.refaults_file,
            b"workingset_refault_anon" => &mut memory.refaults_anon,
            _ => continue,
        };
        *slot = Some(value);
    }
    memory.page_faults_hierarchical = memory.page_faults;
    memory.major_page_faults_hierarchical = memory.major_page_faults;
}

fn memory_events(text: &[u8], _: usize, to: &mut Details) {
    to.memory.high_events = parse::keyed(text, b"high");
    to.memory.max_events = parse::keyed(text, b"max");
    to.memory.oom_kills = parse::keyed(text, b"oom_kill");
}

fn blkio_bytes(text: &[u8], _: usize, to: &mut Details) {
    blkio(text, to, |io| (&mut io.read_bytes, &mut io.written_bytes));
}

fn blkio_requests(text: &[u8], _: usize, to: &mut Details) {
    blkio(text, to, |io| (&mut io.reads, &mut io.writes));
}

/// Takes the greater of what two files say of a device: one of them counts it, the other prints 0.
fn blkio(text: &[u8], to: &mut Details, slots: fn(&mut DeviceIo) -> (&mut Option<u64>, &mut Option<u64>)) {
    for (device, operation, value) in parse::blkio(text) {
        let at = match to.io.binary_search_by_key(&device, |io| io.device) {
            Ok(at) => at,
            Err(_) if to.io.len() >= DEVICES_LIMIT => continue,
            Err(at) => {
                to.io.insert(at, DeviceIo { device, ..DeviceIo::default() });
                at
            }
        };
        let Some(io) = to.io.get_mut(at) else { continue };
        let (read, written) = slots(io);
        let slot = match operation {
            b"Read" => read,
            b"Write" => written,
            _ => continue,
        };
        *slot = Some(slot.unwrap_or(0).max(value));
    }
}

/// Whether a limit is one: absent and unlimited are not.
pub fn finite(limit: Option<Limit>) -> Option<u64> {
    match limit? {
        Limit::Bytes(value) => Some(value),
        Limit::Unlimited => None,
    }
}
