#![allow(clippy::disallowed_methods, reason = "reads /proc through the procfs crate")]
//! The machine's own values.
//!
//! CPU: the root group's counter, as a kubelet takes it; where there is none, `/proc/stat`.
//!
//! Memory: from `/proc/meminfo` by the formula with which the kernel answers for a root group, on v1
//! (`memory.usage_in_bytes`) and v2 (`memory.stat` `anon` + `file`) alike, so that no sweep has to make the kernel
//! sum up every group below the root:
//!
//! * usage = AnonPages + Cached + Buffers + SwapCached
//! * working set = usage − Inactive(file)
//! * RSS = AnonPages
//!
//! Where the visible root is itself a group (a node that is a container), its own files are read instead.

use crate::group::{GroupFiles, SweepContext};
use crate::sample::{Cpu, Memory, Reading, Swap, working_set_bytes};
use crate::summary::{Rlimit, Time};
use procfs::{FromRead, FromReadSI, KernelStats, LoadAverage, LocalSystemInfo, Meminfo};
use std::path::{Path, PathBuf};

/// Nanoseconds in a second.
const SECOND_NS: u64 = 1_000_000_000;

/// Reads the machine's values.
pub struct NodeReader {
    proc_root: PathBuf,
    /// The root group, where the source has one.
    root_group: Option<GroupFiles>,
    memory_from_group: bool,
    boot_unix_ms: Option<i64>,
}

impl NodeReader {
    /// `root_group`: the group whose CPU counter is the machine's. `memory_from_group`: the root is a group like any
    /// other, so memory too is its own.
    pub fn new(proc_root: &Path, root_group: Option<GroupFiles>, memory_from_group: bool) -> NodeReader {
        NodeReader { proc_root: proc_root.to_owned(), root_group, memory_from_group, boot_unix_ms: None }
    }

    /// One reading. What cannot be read is absent.
    pub fn read(&mut self, ctx: &mut SweepContext<'_>) -> Reading {
        let mut reading = Reading::default();
        let mut gone = false;
        if let Some(group) = &mut self.root_group {
            if self.memory_from_group {
                let values = group.read(ctx);
                reading.cpu = values.cpu;
                reading.memory = values.memory;
                reading.swap = values.swap;
            } else {
                let before = ctx.clock.monotonic_ns();
                let usage_ns = group.cpu_ns(ctx, &mut gone);
                let unix_ms = ctx.anchor.middle_unix_ms(before, ctx.clock.monotonic_ns());
                reading.cpu = usage_ns.map(|usage_ns| Cpu { usage_ns, unix_ms });
            }
        }
        if reading.cpu.is_none() || self.boot_unix_ms.is_none() {
            self.read_stat(ctx, &mut reading);
        }
        if reading.memory.is_none() {
            self.read_meminfo(ctx, &mut reading);
        }
        reading.start_unix_ms = self.boot_unix_ms;
        reading
    }

    fn read_stat(&mut self, ctx: &SweepContext<'_>, reading: &mut Reading) {
        let before = ctx.clock.monotonic_ns();
        let Ok(stat) = KernelStats::from_file(self.proc_root.join("stat"), &LocalSystemInfo) else {
            return;
        };
        let unix_ms = ctx.anchor.middle_unix_ms(before, ctx.clock.monotonic_ns());
        self.boot_unix_ms = i64::try_from(stat.btime).ok().and_then(|seconds| seconds.checked_mul(1_000));
        if reading.cpu.is_none() {
            // The sum the kernel itself takes for the root of v2: busy time and stolen time. Guests are within user.
            let optional = [stat.total.irq, stat.total.softirq, stat.total.steal];
            let ticks = stat.total.user
                + stat.total.nice
                + stat.total.system
                + optional.into_iter().flatten().sum::<u64>();
            reading.cpu = Some(Cpu { usage_ns: ticks_to_ns(ticks), unix_ms });
        }
    }

    fn read_meminfo(&self, ctx: &SweepContext<'_>, reading: &mut Reading) {
        let before = ctx.clock.monotonic_ns();
        let Ok(info) = Meminfo::from_file(self.proc_root.join("meminfo")) else { return };
        let unix_ms = ctx.anchor.middle_unix_ms(before, ctx.clock.monotonic_ns());
        let usage_bytes = info.anon_pages.map(|anon| anon + info.cached + info.buffers + info.swap_cached);
        reading.memory = Some(Memory {
            usage_bytes,
            working_set_bytes: usage_bytes
                .zip(info.inactive_file)
                .map(|(usage, inactive)| working_set_bytes(usage, inactive)),
            rss_bytes: info.anon_pages,
            unix_ms,
        });
        let usage_bytes = info.swap_total.saturating_sub(info.swap_free);
        reading.swap = Some(Swap { usage_bytes, limit_bytes: Some(info.swap_total), unix_ms });
    }
}

/// Tasks of the machine and the most there can be: `/proc/loadavg` and `/proc/sys/kernel/pid_max`.
pub fn rlimit(proc_root: &Path, unix_ms: i64) -> Option<Rlimit> {
    let maxpid = std::fs::read_to_string(proc_root.join("sys/kernel/pid_max")).ok()?.trim().parse().ok()?;
    let load = LoadAverage::from_file(proc_root.join("loadavg")).ok()?;
    Some(Rlimit { time: Time(unix_ms), maxpid, curproc: u64::from(load.max) })
}

/// Clock ticks as /proc counts them, in nanoseconds.
pub fn ticks_to_ns(ticks: u64) -> u64 {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    ticks.saturating_mul(SECOND_NS / per_second)
}
