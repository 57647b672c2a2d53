#![allow(clippy::disallowed_methods, reason = "reads /proc")]
//! Containers as families of processes, on a machine where no control groups can be made.
//!
//! One pass over /proc per sweep fills a [`ProcessTable`]; [`Lineage`] keeps each container's family. Values:
//!
//! * CPU: own and waited-for CPU time summed over the family (see [`crate::lineage`]), at 10 ms resolution;
//! * memory: usage = working set = RSS = resident pages of `/proc/PID/statm` × page size, summed over the family.
//!   Pages shared by several processes count once in each.

use crate::files::{self, ReadFault};
use crate::group::{GroupValues, SweepContext};
use crate::lineage::{Lineage, Process, ProcessTable};
use crate::node::ticks_to_ns;
use crate::parse;
use crate::sample::{Cpu, Memory};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, RawDir};
use std::fmt::Write as _;
use std::mem::MaybeUninit;

/// Most processes followed.
const PROCESSES_LIMIT: usize = 100_000;

/// The machine's processes.
pub struct Processes {
    table: ProcessTable,
    found: Vec<Process>,
    listing: Vec<MaybeUninit<u8>>,
    /// When the pass was made: monotonic nanoseconds before and after it.
    taken: (u64, u64),
}

impl Default for Processes {
    fn default() -> Processes {
        Processes::new()
    }
}

impl Processes {
    /// Knows none yet.
    pub fn new() -> Processes {
        Processes {
            table: ProcessTable::default(),
            found: Vec::new(),
            listing: vec![MaybeUninit::uninit(); 16 * 1024],
            taken: (0, 0),
        }
    }

    /// Reads all processes of `proc_root`, in ascending order of pid, so parents mostly before their children.
    pub fn refresh(&mut self, proc_root: &OwnedFd, ctx: &mut SweepContext<'_>) {
        let before = ctx.clock.monotonic_ns();
        self.found.clear();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(proc_root, ".", flags, Mode::empty()) {
            Ok(open) => {
                let mut entries = RawDir::new(open, &mut self.listing);
                while let Some(Ok(entry)) = entries.next() {
                    let name = entry.file_name().to_str().ok();
                    let Some(pid) = name.and_then(|name| name.parse::<u32>().ok()) else { continue };
                    ctx.path.clear();
                    let _ = write!(ctx.path, "{pid}/stat");
                    if self.found.len() < PROCESSES_LIMIT
                        && let Ok(text) = files::read_at(proc_root, ctx.path.as_str(), ctx.buffer)
                        && let Some(stat) = parse::process_stat(text)
                    {
                        self.found.push(Process {
                            pid,
                            parent_pid: stat.parent_pid,
                            start_ticks: stat.start_ticks,
                            ticks: stat.own_ticks.saturating_add(stat.reaped_ticks),
                        });
                    }
                }
            }
            Err(errno) => (ctx.faults)(errno.into()),
        }
        self.table.fill(self.found.drain(..));
        self.taken = (before, ctx.clock.monotonic_ns());
    }

    /// One container's values, its roots being the pids in `<path>/cgroup.procs` of the first tree.
    pub fn read(
        &self,
        path: &str,
        family: &mut Lineage,
        proc_root: &OwnedFd,
        ctx: &mut SweepContext<'_>,
    ) -> GroupValues {
        let mut values = GroupValues::default();
        let Some(tree) = ctx.trees.first() else { return values };
        let text = files::join(ctx.path, path, "cgroup.procs")
            .and_then(|list| files::read_at(tree, list, ctx.buffer));
        let used_ticks = match text {
            Ok(text) => family.update(parse::pids(text), &self.table),
            Err(ReadFault::Missing) => {
                values.gone = files::inode_and_links(tree, path).is_err();
                family.update(std::iter::empty(), &self.table)
            }
            Err(fault) => {
                (ctx.faults)(fault);
                family.update(std::iter::empty(), &self.table)
            }
        };
        let Some(ticks) = used_ticks else { return values };
        let unix_ms = ctx.anchor.middle_unix_ms(self.taken.0, self.taken.1);
        values.cpu = Some(Cpu { usage_ns: ticks_to_ns(ticks), unix_ms });
        values.memory = Some(resident(family, proc_root, ctx));
        values
    }
}

fn resident(family: &Lineage, proc_root: &OwnedFd, ctx: &mut SweepContext<'_>) -> Memory {
    let before = ctx.clock.monotonic_ns();
    let pages: u64 = family
        .members()
        .filter_map(|pid| {
            // A process that ended meanwhile holds no memory.
            ctx.path.clear();
            let _ = write!(ctx.path, "{pid}/statm");
            let text = files::read_at(proc_root, ctx.path.as_str(), ctx.buffer).ok()?;
            parse::statm_resident_pages(text)
        })
        .sum();
    let unix_ms = ctx.anchor.middle_unix_ms(before, ctx.clock.monotonic_ns());
    let bytes = Some(pages.saturating_mul(rustix::param::page_size() as u64));
    Memory { usage_bytes: bytes, working_set_bytes: bytes, rss_bytes: bytes, unix_ms }
}
