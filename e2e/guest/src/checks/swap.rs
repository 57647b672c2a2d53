//! Swap, which v2 accounts in files of its own.

use std::path::Path;

use anyhow::Context;
use flyball_collector::group::SLOW_TIER_SWEEPS;
use flyball_collector::layout::Qos;

use super::{MIB, OVERHEAD_BYTES, UID, container, id, memory, pod};
use crate::evidence::Evidence;
use crate::groups::{Driver, Tree};
use crate::kernel;
use crate::running::Load;

const LIMIT: u64 = 64 * MIB;

pub fn usage_and_limit(evidence: &mut Evidence) -> anyhow::Result<()> {
    let tree = Tree::new("swap", Driver::Cgroupfs);
    let group = tree.container(&tree.pod(Qos::Burstable, UID)?, &id(1))?;
    let load = Load::start(&group, &["memory", "40"])?;
    let mut sweeper = tree.sweeper()?;
    let shown = container(sweeper.sweep_once(), &id(1))?.swap.context("no swap")?;
    evidence.equal("before, bytes", (shown.usage_bytes, shown.limit_bytes), (0, None));
    // The kernel answers EAGAIN when it found a little less than asked for.
    let _ = group.set("memory.reclaim", "20M");
    let swapped = 1024 * kernel::keyed(Path::new(&format!("/proc/{}/status", load.pid())), "VmSwap")?;
    let sweep = sweeper.sweep_once();
    let shown = container(sweep, &id(1))?;
    let usage = shown.swap.map(|swap| swap.usage_bytes);
    evidence.holds(
        "something was swapped out",
        swapped > 10 * MIB,
        format!("{swapped} bytes of the process"),
    );
    evidence.near("usage, bytes", usage, swapped, MIB);
    evidence.near("usage, kernel, bytes", usage, kernel::number(&group.file("memory.swap.current"))?, 0);
    evidence.near(
        "usage of the pod, bytes",
        pod(sweep, UID)?.swap.map(|swap| swap.usage_bytes),
        swapped,
        MIB,
    );
    let resident = load.told("bytes")? - swapped;
    // Pages that are in swap and in memory count in both.
    evidence.near("RSS, bytes", memory(&shown)?.rss_bytes, resident, OVERHEAD_BYTES);
    group.set("memory.swap.max", &LIMIT.to_string())?;
    let mut limit = None;
    for _ in 0..=SLOW_TIER_SWEEPS {
        limit = container(sweeper.sweep_once(), &id(1))?.swap.and_then(|swap| swap.limit_bytes);
    }
    evidence.equal("limit, bytes", limit, Some(LIMIT));
    let node = sweeper.sweep_once().node.swap.context("the node has no swap")?;
    let total = 1024 * kernel::keyed(Path::new("/proc/meminfo"), "SwapTotal")?;
    evidence.equal("of the node, bytes", node.limit_bytes, Some(total));
    evidence.near("used of the node, bytes", node.usage_bytes, swapped, 4 * MIB);
    Ok(())
}
