//! Memory: what processes hold, what files keep, and what counts as in use.

use flyball_collector::layout::Qos;

use super::{MIB, OVERHEAD_BYTES, UID, about, container, cpu_ns, id, memory, pod};
use crate::evidence::Evidence;
use crate::groups::{DRIVERS, Driver, Tree};
use crate::kernel;
use crate::machine::DISK;
use crate::running::Load;

pub fn anonymous(evidence: &mut Evidence) -> anyhow::Result<()> {
    for driver in DRIVERS {
        let tree = Tree::new("anonymous", driver);
        let parent = tree.pod(Qos::Burstable, UID)?;
        let (first, second) = (tree.container(&parent, &id(1))?, tree.container(&parent, &id(2))?);
        let mut growing = Load::start(&first, &["memory", "48"])?;
        let steady = Load::start(&second, &["memory", "16"])?;
        let mut sweeper = tree.sweeper()?;
        for round in 1..=2 {
            let sweep = sweeper.sweep_once();
            let shown = memory(&container(sweep, &id(1))?)?;
            let consumed = growing.told("bytes")?;
            let what = |value: &str| format!("{driver:?}, round {round}: {value}, bytes");
            evidence.near(&what("usage"), shown.usage_bytes, consumed, OVERHEAD_BYTES);
            evidence.near(&what("RSS"), shown.rss_bytes, consumed, OVERHEAD_BYTES);
            evidence.near(&what("working set"), shown.working_set_bytes, consumed, OVERHEAD_BYTES);
            evidence.near(
                &what("usage, kernel"),
                shown.usage_bytes,
                kernel::number(&first.file("memory.current"))?,
                MIB,
            );
            evidence.near(
                &what("RSS, kernel"),
                shown.rss_bytes,
                kernel::keyed(&first.file("memory.stat"), "anon")?,
                MIB,
            );
            let whole = memory(&pod(sweep, UID)?)?;
            let sum = consumed + steady.told("bytes")?;
            evidence.near(&what("RSS of the pod"), whole.rss_bytes, sum, 2 * OVERHEAD_BYTES);
            evidence.near(&what("working set of the pod"), whole.working_set_bytes, sum, 2 * OVERHEAD_BYTES);
            growing.again()?;
        }
        growing.stop()?;
        let left = memory(&container(sweeper.sweep_once(), &id(1))?)?;
        evidence.near("RSS after its process ended, bytes", left.rss_bytes, 0, MIB);
    }
    Ok(())
}

pub fn file_cache_is_not_in_the_working_set(evidence: &mut Evidence) -> anyhow::Result<()> {
    let tree = Tree::new("cache", Driver::Cgroupfs);
    let group = tree.container(&tree.pod(Qos::Burstable, UID)?, &id(1))?;
    let path = format!("{DISK}/cache");
    let load = Load::start(&group, &["file", &path, "40"])?;
    let mut sweeper = tree.sweeper()?;
    let shown = memory(&container(sweeper.sweep_once(), &id(1))?)?;
    let consumed = load.told("bytes")?;
    evidence.near("usage, bytes", shown.usage_bytes, consumed, 2 * OVERHEAD_BYTES);
    evidence.near("working set, bytes", shown.working_set_bytes, 0, 2 * OVERHEAD_BYTES);
    evidence.near("RSS, bytes", shown.rss_bytes, 0, OVERHEAD_BYTES);
    let stat = group.file("memory.stat");
    let inactive = kernel::keyed(&stat, "inactive_file")?;
    evidence.near("kernel: file, bytes", kernel::keyed(&stat, "file")?, consumed, OVERHEAD_BYTES);
    let apart = shown.usage_bytes.zip(shown.working_set_bytes).map(|(usage, set)| usage - set);
    evidence.near("usage less working set, bytes", apart, inactive, MIB);
    drop(load);
    std::fs::remove_file(&path)?;
    Ok(())
}

/// Such as `emptyDir` in memory, and `/dev/shm`: nobody can take it back, so it counts.
pub fn tmpfs_is_in_the_working_set(evidence: &mut Evidence) -> anyhow::Result<()> {
    let tree = Tree::new("tmpfs", Driver::Systemd);
    let parent = tree.pod(Qos::Burstable, UID)?;
    let group = tree.container(&parent, &id(1))?;
    let path = "/dev/shm/held";
    let load = Load::start(&group, &["file", path, "24"])?;
    let mut sweeper = tree.sweeper()?;
    let sweep = sweeper.sweep_once();
    let shown = memory(&container(sweep, &id(1))?)?;
    let consumed = load.told("bytes")?;
    evidence.near("usage, bytes", shown.usage_bytes, consumed, OVERHEAD_BYTES);
    evidence.near("working set, bytes", shown.working_set_bytes, consumed, OVERHEAD_BYTES);
    evidence.near("RSS, bytes", shown.rss_bytes, 0, OVERHEAD_BYTES);
    let shmem = kernel::keyed(&group.file("memory.stat"), "shmem")?;
    evidence.near("kernel: shmem, bytes", shmem, consumed, MIB);
    load.stop()?;
    let left = memory(&container(sweeper.sweep_once(), &id(1))?)?;
    evidence.near("usage after its process ended, bytes", left.usage_bytes, consumed, OVERHEAD_BYTES);
    // The charge of files stays when the container goes: the pod has it.
    group.remove();
    let whole = memory(&pod(sweeper.sweep_once(), UID)?)?;
    evidence.near(
        "usage of the pod without the container, bytes",
        whole.usage_bytes,
        consumed,
        OVERHEAD_BYTES,
    );
    std::fs::remove_file(path)?;
    Ok(())
}

/// A group whose parent gives it no memory controller has no memory files: absent, and not 0.
pub fn absent_without_the_controller(evidence: &mut Evidence) -> anyhow::Result<()> {
    let tree = Tree::new("partial", Driver::Cgroupfs);
    let parent = tree.pod(Qos::Burstable, UID)?;
    parent.set("cgroup.subtree_control", "-memory")?;
    let group = tree.container(&parent, &id(1))?;
    let load = Load::start(&group, &["burn", "30"])?;
    let mut sweeper = tree.sweeper()?;
    let consumed_ns = load.cpu_ns()?;
    let shown = container(sweeper.sweep_once(), &id(1))?;
    evidence.between("CPU, ns", cpu_ns(&shown), about(&consumed_ns));
    evidence.equal("memory", shown.memory, None);
    evidence.equal("swap", shown.swap, None);
    evidence.equal("removals", sweeper.report().removed, 0);
    parent.set("cgroup.subtree_control", "+memory")?;
    let shown = container(sweeper.sweep_once(), &id(1))?;
    evidence.holds(
        "memory once there is the controller",
        shown.memory.is_some(),
        format!("{:?}", shown.memory),
    );
    evidence.equal("swap then", shown.swap.map(|swap| swap.usage_bytes), Some(0));
    Ok(())
}
