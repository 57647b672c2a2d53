//! The machine's own values.

use std::path::Path;

use anyhow::Context;
use flyball_collector::layout::Qos;

use super::{MIB, OVERHEAD_BYTES, UID, cpu_ns, id, memory};
use crate::evidence::Evidence;
use crate::groups::{Driver, Tree};
use crate::kernel;
use crate::machine::CGROUPS;
use crate::running::Load;

/// What `/proc/stat` rounds away: a tick for each of eight states of each processor.
const TICKS_SLACK_NS: u64 = 8 * 2 * 10_000_000;

pub fn cpu(evidence: &mut Evidence) -> anyhow::Result<()> {
    let tree = Tree::new("nodecpu", Driver::Cgroupfs);
    let group = tree.container(&tree.pod(Qos::Burstable, UID)?, &id(1))?;
    let mut load = Load::start(&group, &["burn", "10"])?;
    let mut sweeper = tree.sweeper()?;
    let mut last: Option<u64> = None;
    for round in 1..=2 {
        let before_ns = busy_ns()?;
        let shown_ns = cpu_ns(&sweeper.sweep_once().node).context("no CPU of the node")?;
        let after_ns = busy_ns()?;
        let low_ns = before_ns.saturating_sub(TICKS_SLACK_NS);
        evidence.between(&format!("round {round}, ns"), shown_ns, low_ns..=after_ns + TICKS_SLACK_NS);
        if let Some(last_ns) = last.replace(shown_ns) {
            let grown_ns = shown_ns - last_ns;
            evidence.holds("grew by the load at least", grown_ns >= 300_000_000, format!("{grown_ns} ns"));
        }
        for _ in 0..30 {
            load.again()?;
        }
    }
    Ok(())
}

pub fn memory_use(evidence: &mut Evidence) -> anyhow::Result<()> {
    let tree = Tree::new("nodememory", Driver::Cgroupfs);
    let group = tree.container(&tree.pod(Qos::Burstable, UID)?, &id(1))?;
    let mut sweeper = tree.sweeper()?;
    let root = Path::new(CGROUPS).join("memory.stat");
    let mut before = None;
    let mut load = None;
    for _ in 0..2 {
        let shown = memory(&sweeper.sweep_once().node)?;
        let truly = |key| kernel::keyed(&root, key);
        let usage = truly("anon")? + truly("file")?;
        evidence.near("usage, by the root's memory.stat, bytes", shown.usage_bytes, usage, 2 * MIB);
        evidence.near("RSS, by the root's memory.stat, bytes", shown.rss_bytes, truly("anon")?, 2 * MIB);
        let working_set = usage - truly("inactive_file")?;
        evidence.near("working set, bytes", shown.working_set_bytes, working_set, 2 * MIB);
        if let Some(before) = before.replace(shown.rss_bytes.context("no RSS")?) {
            let grown = shown.rss_bytes.and_then(|now| now.checked_sub(before));
            evidence.near("RSS grew by the load, bytes", grown, 64 * MIB, OVERHEAD_BYTES);
        }
        if load.is_none() {
            load = Some(Load::start(&group, &["memory", "64"])?);
        }
    }
    Ok(())
}

/// Time that the processors were not idle, by `/proc/stat`: user, nice, system, irq, softirq, steal.
fn busy_ns() -> anyhow::Result<u64> {
    let text = kernel::text(Path::new("/proc/stat"))?;
    let fields = text.lines().next().unwrap_or("").split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().context("/proc/stat")?;
    let busy = [0, 1, 2, 5, 6, 7].into_iter().filter_map(|at| ticks.get(at)).sum::<u64>();
    Ok(busy * 10_000_000)
}
