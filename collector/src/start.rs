//! When a container started: the start of its first process, from /proc.
//!
//! The times of cgroup folders do not tell (the kernel sets them when a folder is first looked at).

use crate::files;
use crate::group::{GroupFiles, SweepContext};
use crate::members::Members;
use crate::parse;
use rustix::fd::OwnedFd;
use std::fmt::Write as _;

/// Processes looked at per container; the first one is almost always the oldest.
const PIDS_LIMIT: usize = 64;

/// What the first process of a container tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstProcess {
    /// Its start, Unix milliseconds, to 10 ms.
    pub start_unix_ms: i64,
    /// It calls itself `pause`, as the processes of sandboxes do.
    pub is_pause: bool,
}

/// Looks for the oldest process of a group. `None` while there is none or it cannot be read.
///
/// The start is now − uptime + start ticks, which is finer than the whole seconds of the boot time in `/proc/stat`.
pub fn first_process(
    group: &GroupFiles,
    proc_root: &OwnedFd,
    ctx: &mut SweepContext<'_>,
) -> Option<FirstProcess> {
    ctx.path.clear();
    ctx.path.push_str(group.path());
    let members = Members::of(ctx.trees.first()?, ctx.path, ctx.buffer).ok()?;
    let mut first: Option<(u64, bool)> = None;
    for pid in members.pids().iter().take(PIDS_LIMIT) {
        ctx.path.clear();
        let _ = write!(ctx.path, "{pid}/stat");
        let Ok(text) = files::read_at(proc_root, ctx.path.as_str(), ctx.buffer) else { continue };
        let Some(stat) = parse::process_stat(text) else { continue };
        if first.is_none_or(|(ticks, _)| stat.start_ticks < ticks) {
            first = Some((stat.start_ticks, stat.comm == b"pause"));
        }
    }
    let (start_ticks, is_pause) = first?;
    Some(FirstProcess { start_unix_ms: ticks_to_unix_ms(start_ticks, proc_root, ctx)?, is_pause })
}

/// A start time of /proc, in ticks since boot, as Unix milliseconds.
pub fn ticks_to_unix_ms(start_ticks: u64, proc_root: &OwnedFd, ctx: &mut SweepContext<'_>) -> Option<i64> {
    let uptime_ms = parse::uptime_ms(files::read_at(proc_root, "uptime", ctx.buffer).ok()?)?;
    let now_unix_ms = ctx.anchor.unix_ms(ctx.clock.monotonic_ns());
    let start_ms = start_ticks.saturating_mul(1_000 / rustix::param::clock_ticks_per_second().max(1));
    let ago_ms = uptime_ms.saturating_sub(start_ms);
    Some(now_unix_ms - i64::try_from(ago_ms).ok()?)
}
