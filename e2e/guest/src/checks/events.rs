//! Victims of the OOM killer, and tasks: the kernel's own counts, and that the collector stands them.

use flyball_collector::layout::Qos;
use flyball_collector::parse::Limit;

use super::{MIB, UID, container, details, id, memory};
use crate::evidence::Evidence;
use crate::groups::{DRIVERS, Driver, Tree};
use crate::kernel;
use crate::running::Load;

const SIGKILL: i32 = 9;
const LIMIT: u64 = 16 * MIB;

pub fn an_oom_victim_is_counted(evidence: &mut Evidence) -> anyhow::Result<()> {
    for driver in DRIVERS {
        let tree = Tree::new("oom", driver);
        let parent = tree.pod(Qos::Burstable, UID)?;
        let (group, spared) = (tree.container(&parent, &id(1))?, tree.container(&parent, &id(2))?);
        group.set("memory.max", &LIMIT.to_string())?;
        group.set("memory.swap.max", "0")?;
        let other = Load::start(&spared, &["idle"])?;
        let mut sweeper = tree.sweeper()?;
        sweeper.sweep_once();
        evidence.equal("signal that ended the victim", Load::doomed(&group, &["memory", "64"])?, SIGKILL);
        let events = |group: &crate::groups::Group, file| kernel::keyed(&group.file(file), "oom_kill");
        evidence.equal("kernel: victims in the container", events(&group, "memory.events")?, 1);
        evidence.equal("kernel: victims in the pod", events(&parent, "memory.events")?, 1);
        evidence.equal("kernel: victims of the pod itself", events(&parent, "memory.events.local")?, 0);
        evidence.equal("kernel: victims in the other container", events(&spared, "memory.events")?, 0);
        let limit_hits = kernel::keyed(&group.file("memory.events"), "max")?;
        evidence.holds("kernel: the limit was hit", limit_hits > 0, limit_hits);
        let seen = details(&tree, &id(1))?.memory;
        evidence.equal("victims", seen.oom_kills, Some(1));
        evidence.holds("limit hits", seen.max_events > Some(0), format!("{:?}", seen.max_events));
        evidence.equal("limit, bytes", seen.limit, Some(Limit::Bytes(LIMIT)));
        evidence.equal("victims in the other container", details(&tree, &id(2))?.memory.oom_kills, Some(0));
        let shown = memory(&container(sweeper.sweep_once(), &id(1))?)?;
        evidence.between("usage afterwards, bytes", shown.usage_bytes, 0..=LIMIT);
        evidence.equal("faults", sweeper.report().faults.iter().sum::<u64>(), 0);
        other.stop()?;
    }
    Ok(())
}

pub fn tasks_are_counted(evidence: &mut Evidence) -> anyhow::Result<()> {
    let tree = Tree::new("tasks", Driver::Cgroupfs);
    let parent = tree.pod(Qos::Burstable, UID)?;
    let group = tree.container(&parent, &id(1))?;
    group.set("pids.max", "50")?;
    let load = Load::start(&group, &["threads", "20"])?;
    evidence.equal(
        "kernel: tasks of the container",
        kernel::number(&group.file("pids.current"))?,
        load.told("tasks")?,
    );
    evidence.equal(
        "kernel: tasks of the pod",
        kernel::number(&parent.file("pids.current"))?,
        load.told("tasks")?,
    );
    evidence.equal("kernel: limit", kernel::number(&group.file("pids.max"))?, 50);
    let tasks = details(&tree, &id(1))?.tasks;
    evidence.equal("tasks", tasks.current, Some(load.told("tasks")?));
    evidence.equal("limit", tasks.limit, Some(Limit::Bytes(50)));
    evidence.equal("processes", tasks.processes, Some(1));
    Ok(())
}
