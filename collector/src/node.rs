#![allow(clippy::disallowed_methods, reason = "reads /proc")]
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

use crate::files;
use crate::group::{GroupFiles, SweepContext};
use crate::node_exporter::cpu::stat_number;
use crate::node_exporter::memory::meminfo;
use crate::node_exporter::text;
use crate::sample::{Cpu, Memory, Reading, Swap, working_set_bytes};
use crate::summary::{Rlimit, Time};
use procfs::{FromRead, LoadAverage};
use rustix::fd::OwnedFd;
use std::path::Path;

/// Nanoseconds in a second.
const SECOND_NS: u64 = 1_000_000_000;

/// Reads the machine's values.
pub struct NodeReader {
    /// The root group, where the source has one.
    root_group: Option<GroupFiles>,
    memory_from_group: bool,
    boot_unix_ms: Option<i64>,
}

impl NodeReader {
    /// `root_group`: the group whose CPU counter is the machine's. `memory_from_group`: the root is a group like any
    /// other, so memory too is its own.
    pub fn new(root_group: Option<GroupFiles>, memory_from_group: bool) -> NodeReader {
        NodeReader { root_group, memory_from_group, boot_unix_ms: None }
    }

    /// One reading. What cannot be read is absent.
    pub fn read(&mut self, proc_root: &OwnedFd, ctx: &mut SweepContext<'_>) -> Reading {
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
            self.read_stat(proc_root, ctx, &mut reading);
        }
        if reading.memory.is_none() {
            read_meminfo(proc_root, ctx, &mut reading);
        }
        reading.start_unix_ms = self.boot_unix_ms;
        reading
    }

    fn read_stat(&mut self, proc_root: &OwnedFd, ctx: &mut SweepContext<'_>, reading: &mut Reading) {
        let before = ctx.clock.monotonic_ns();
        let Ok(stat) = files::read_at(proc_root, "stat", ctx.buffer) else { return };
        let unix_ms = ctx.anchor.middle_unix_ms(before, ctx.clock.monotonic_ns());
        let boot_s = stat_number(stat, b"btime").and_then(|seconds| i64::try_from(seconds).ok());
        self.boot_unix_ms = boot_s.and_then(|seconds| seconds.checked_mul(1_000));
        if reading.cpu.is_none() {
            reading.cpu = busy_ticks(stat).map(|ticks| Cpu { usage_ns: ticks_to_ns(ticks), unix_ms });
        }
    }
}

/// The sum the kernel itself takes for the root of v2: busy time and stolen time. Guests are within user.
fn busy_ticks(stat: &[u8]) -> Option<u64> {
    const IDLE_AND_IOWAIT: [usize; 2] = [3, 4];
    const STEAL: usize = 7;
    let line = text::lines(stat).find_map(|line| line.strip_prefix(b"cpu "))?;
    let modes = text::fields(line).take(STEAL + 1).enumerate();
    modes
        .filter(|(mode, _)| !IDLE_AND_IOWAIT.contains(mode))
        .try_fold(0_u64, |sum, (_, field)| sum.checked_add(text::number(field)?))
}

fn read_meminfo(proc_root: &OwnedFd, ctx: &mut SweepContext<'_>, reading: &mut Reading) {
    let before = ctx.clock.monotonic_ns();
    let Ok(info) = files::read_at(proc_root, "meminfo", ctx.buffer) else { return };
    let unix_ms = ctx.anchor.middle_unix_ms(before, ctx.clock.monotonic_ns());
    let of = |wanted: &str| meminfo(info).find(|(name, ..)| *name == wanted).map(|(_, bytes, _)| bytes);
    let rss_bytes = of("AnonPages");
    let parts = [rss_bytes, of("Cached"), of("Buffers"), of("SwapCached")];
    let usage_bytes = parts.into_iter().try_fold(0_u64, |sum, part| sum.checked_add(part?));
    let inactive = of("Inactive(file)");
    reading.memory = Some(Memory {
        usage_bytes,
        working_set_bytes: usage_bytes
            .zip(inactive)
            .map(|(usage, inactive)| working_set_bytes(usage, inactive)),
        rss_bytes,
        unix_ms,
    });
    reading.swap = of("SwapTotal").zip(of("SwapFree")).map(|(total, free)| Swap {
        usage_bytes: total.saturating_sub(free),
        limit_bytes: Some(total),
        unix_ms,
    });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_time_is_all_but_waiting() {
        let stat = b"cpu  1 2 3 1000 500 4 5 6 70 80\ncpu0 9 9 9 9 9 9 9 9 9 9\nbtime 7\n";
        assert_eq!(busy_ticks(stat), Some(1 + 2 + 3 + 4 + 5 + 6));
        assert_eq!(busy_ticks(b"cpu  1 2 3 1000\n"), Some(6), "kernels without the later modes");
        assert_eq!((busy_ticks(b"cpu  1 x 3\n"), busy_ticks(b"cpu0 1 2 3 4\n")), (None, None));
    }
}
