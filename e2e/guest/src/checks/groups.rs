//! Which groups there are, and since when.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use flyball_collector::layout::Qos;
use flyball_collector::{Config, Names, Sweeper, detect, files};

use super::{UID, about, container, cpu_ns, id, pod, sum};
use crate::evidence::Evidence;
use crate::groups::{DRIVERS, Driver, Group, Tree};
use crate::machine::CGROUPS;
use crate::running::Load;

/// UID of a static pod.
const STATIC_UID: &str = "0123456789abcdef0123456789abcdef";
/// Difference that start times may have: they are rounded to clock ticks, twice, and the clocks that they are made of
/// are read one after the other, between which an emulated processor may stand still for a while.
const START_SLACK_MS: i64 = 200;

pub fn the_hierarchy_is_recognised(evidence: &mut Evidence) -> anyhow::Result<()> {
    let found = detect::on_this_machine()?;
    let by_mounts = detect::below(Path::new("/"))?;
    evidence.equal("hierarchies", found.plan(&[]).trees.len(), 1);
    evidence.equal("hierarchies, by statfs and by mountinfo", found, by_mounts);
    let on_cgroups = files::is_cgroup_fs(files::open_folder(Path::new(CGROUPS))?);
    evidence.holds("the mount point is a control group file system", on_cgroups, on_cgroups);
    let sweeper = Sweeper::new(&Config::new("vm"), Names::default().into())?;
    evidence.equal("source", sweeper.source().to_string().as_str(), "cgroup v2");
    Ok(())
}

/// Both drivers, all classes, a static pod, and a kubelet that is itself in a container, all seen from the top.
pub fn every_layout_is_found(evidence: &mut Evidence) -> anyhow::Result<()> {
    for driver in DRIVERS {
        let tree = Tree::new("layouts", driver);
        let mut expected = Vec::new();
        for (number, (qos, uid)) in
            [(Qos::Guaranteed, UID), (Qos::Burstable, STATIC_UID), (Qos::BestEffort, UID)]
                .into_iter()
                .enumerate()
        {
            // Distinct UIDs, as of three pods.
            let uid = uid.replacen('0', &number.to_string(), 1).replacen('2', &number.to_string(), 1);
            let group = tree.pod(qos, &uid)?;
            tree.container(&group, &id(number as u8))?;
            expected.push((uid, qos.to_string()));
        }
        let mut sweeper = tree.sweeper()?;
        let sweep = sweeper.sweep_once();
        let mut found: Vec<_> =
            sweep.pods.iter().map(|pod| (pod.uid.to_string(), pod.qos.to_string())).collect();
        found.sort();
        expected.sort();
        evidence.equal(&format!("{driver:?}: pods"), found, expected);
        evidence.equal(&format!("{driver:?}: containers"), sweep.containers.len(), 3);
        evidence.equal(&format!("{driver:?}: faults"), sweeper.report().faults.iter().sum::<u64>(), 0);
    }
    let node = Group::top("node.slice")?;
    let outcome = nested(&node, evidence);
    node.remove();
    outcome
}

/// A kind node, seen from its host.
fn nested(node: &Group, evidence: &mut Evidence) -> anyhow::Result<()> {
    let uid = UID.replace('-', "_");
    let mut group = node.clone();
    for name in [
        format!("docker-{}.scope", id(1)),
        "kubelet.slice".to_owned(),
        "kubelet-kubepods.slice".to_owned(),
        format!("kubelet-kubepods-pod{uid}.slice"),
        format!("cri-containerd-{}.scope", id(2)),
    ] {
        group.enable_all()?;
        group = group.child(&name)?;
    }
    let mut sweeper = Sweeper::new(&Config::new("vm"), Names::default().into())?;
    let sweep = sweeper.sweep_once();
    evidence.equal("nested: containers", sweep.containers.len(), 1);
    evidence.holds("nested: the container is found", container(sweep, &id(2)).is_ok(), "by its id");
    evidence.holds("nested: its pod is found", pod(sweep, UID).is_ok(), "by its UID");
    Ok(())
}

pub fn starts_are_those_of_the_first_process(evidence: &mut Evidence) -> anyhow::Result<()> {
    let tree = Tree::new("starts", Driver::Cgroupfs);
    let group = tree.container(&tree.pod(Qos::Burstable, UID)?, &id(1))?;
    let mut sweeper = tree.sweeper()?;
    let empty = container(sweeper.sweep_once(), &id(1))?;
    evidence.equal("start while no process runs", empty.start_unix_ms, None);
    let before_ms = now_unix_ms()?;
    let first = Load::start(&group, &["idle"])?;
    let after_ms = now_unix_ms()?;
    std::thread::sleep(std::time::Duration::from_millis(1_000));
    let second = Load::start(&group, &["idle"])?;
    let shown = container(sweeper.sweep_once(), &id(1))?.start_unix_ms.context("no start")?;
    let right = (before_ms - START_SLACK_MS..=after_ms + START_SLACK_MS).contains(&shown);
    let seen = format!("shown {shown}, truly {before_ms} to {after_ms} (± {START_SLACK_MS}), Unix ms");
    evidence.holds("start of the first of two processes", right, seen);
    first.stop()?;
    second.stop()?;
    let left = container(sweeper.sweep_once(), &id(1))?;
    evidence.equal("start after its processes ended", left.start_unix_ms, Some(shown));
    let boot_ms = sweeper.sweep_once().node.start_unix_ms.context("no boot time")?;
    let uptime: f64 =
        crate::kernel::text(Path::new("/proc/uptime"))?.split(' ').next().unwrap_or("").parse()?;
    let booted_ms = now_unix_ms()? - (uptime * 1000.0) as i64;
    // /proc/stat tells it in whole seconds.
    let right = (booted_ms - boot_ms).abs() <= 1_100;
    evidence.holds("boot", right, format!("shown {boot_ms}, truly {booted_ms} (± 1100), Unix ms"));
    Ok(())
}

pub fn a_removed_group_is_gone_at_the_next_sweep(evidence: &mut Evidence) -> anyhow::Result<()> {
    for driver in DRIVERS {
        let tree = Tree::new("removal", driver);
        let parent = tree.pod(Qos::Burstable, UID)?;
        let (first, second) = (tree.container(&parent, &id(1))?, tree.container(&parent, &id(2))?);
        let load = Load::start(&first, &["burn", "20"])?;
        let mut sweeper = tree.sweeper()?;
        evidence.equal("containers before", sweeper.sweep_once().containers.len(), 2);
        load.stop()?;
        evidence.equal("containers while one is empty", sweeper.sweep_once().containers.len(), 2);
        first.remove();
        let sweep = sweeper.sweep_once();
        evidence.holds("the removed one is gone", container(sweep, &id(1)).is_err(), "not in the sweep");
        evidence.holds("the other one stays", container(sweep, &id(2)).is_ok(), "in the sweep");
        evidence.equal("removals", sweeper.report().removed, 1);
        second.remove();
        parent.remove();
        let sweep = sweeper.sweep_once();
        evidence.equal("pods and containers at the end", (sweep.pods.len(), sweep.containers.len()), (0, 0));
        evidence.equal("faults", sweeper.report().faults.iter().sum::<u64>(), 0);
    }
    Ok(())
}

/// A path is not a group: what is made again in its place starts from nothing.
pub fn a_group_made_again_is_another(evidence: &mut Evidence) -> anyhow::Result<()> {
    let tree = Tree::new("again", Driver::Systemd);
    let parent = tree.pod(Qos::Burstable, UID)?;
    let group = tree.container(&parent, &id(1))?;
    Load::start(&group, &["burn", "200"])?.stop()?;
    let mut sweeper = tree.sweeper()?;
    let before = container(sweeper.sweep_once(), &id(1))?;
    group.remove();
    let group = tree.container(&parent, &id(1))?;
    let load = Load::start(&group, &["burn", "50"])?;
    let consumed_ns = load.cpu_ns()?;
    let after = container(sweeper.sweep_once(), &id(1))?;
    evidence.between("CPU of the new one, ns", cpu_ns(&after), about(&consumed_ns));
    evidence.holds(
        "less than the old one's",
        cpu_ns(&after) < cpu_ns(&before),
        format!("{:?}", cpu_ns(&before)),
    );
    evidence.equal("epoch of a group that never went back", after.epoch, 0);
    let report = sweeper.report();
    evidence.equal("added, removed, reset", (report.added, report.removed, report.resets), (1, 1, 0));
    let parent_after = pod(sweeper.sweep_once(), UID)?;
    let before_ns = cpu_ns(&before).context("no CPU")?;
    let both_ns = sum(&consumed_ns, &(before_ns..=before_ns));
    evidence.between("CPU of the pod goes on, ns", cpu_ns(&parent_after), about(&both_ns));
    Ok(())
}

fn now_unix_ms() -> anyhow::Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}
