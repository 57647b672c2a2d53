//! CPU time.

use anyhow::Context;
use flyball_collector::layout::Qos;
use flyball_collector::sample::Reading;

use super::{UID, about, container, cpu_ns, details, id, pod, sum};
use crate::evidence::Evidence;
use crate::groups::{DRIVERS, Driver, Tree};
use crate::kernel;
use crate::running::Load;

/// The quota of the throttled container: a fifth of a processor.
const QUOTA: &str = "20000 100000";
const QUOTA_SHARE: u64 = 5;
const PERIOD_NS: u64 = 100_000_000;

pub fn usage_is_what_processes_used(evidence: &mut Evidence) -> anyhow::Result<()> {
    for driver in DRIVERS {
        let tree = Tree::new("cpu", driver);
        let parent = tree.pod(Qos::Burstable, UID)?;
        let (first, second) = (tree.container(&parent, &id(1))?, tree.container(&parent, &id(2))?);
        let mut busy = Load::start(&first, &["burn", "250"])?;
        let other = Load::start(&second, &["burn", "120"])?;
        let mut sweeper = tree.sweeper()?;
        let other_ns = other.cpu_ns()?;
        let mut last: Option<(Reading, u64)> = None;
        for round in 1..=3 {
            let consumed_ns = busy.cpu_ns()?;
            let sweep = sweeper.sweep_once();
            let what = |of: &str| format!("{driver:?}, round {round}: {of}, ns");
            let shown = container(sweep, &id(1))?;
            evidence.between(&what("busy container"), cpu_ns(&shown), about(&consumed_ns));
            evidence.between(&what("other container"), cpu_ns(&container(sweep, &id(2))?), about(&other_ns));
            let whole = cpu_ns(&pod(sweep, UID)?);
            evidence.between(&what("their pod"), whole, about(&sum(&consumed_ns, &other_ns)));
            let (now, now_ns) = (shown.cpu.context("no CPU")?, *consumed_ns.end());
            if let Some((then, then_ns)) = last.replace((shown, now_ns)) {
                let then = then.cpu.context("no CPU")?;
                // Joining is not between two sweeps, so this is known to the nanosecond.
                let grown_ns = now_ns - then_ns;
                let what = what("busy container, since the last sweep");
                evidence.between(
                    &what,
                    now.usage_ns.checked_sub(then.usage_ns),
                    about(&(grown_ns..=grown_ns)),
                );
                let apart_ms = now.unix_ms - then.unix_ms;
                evidence.holds("its time goes on", apart_ms > 0, format!("{apart_ms} ms"));
            }
            evidence.equal("epoch", shown.epoch, 0);
            busy.again()?;
        }
    }
    Ok(())
}

pub fn a_throttled_container_uses_its_quota(evidence: &mut Evidence) -> anyhow::Result<()> {
    let tree = Tree::new("throttled", Driver::Cgroupfs);
    let parent = tree.pod(Qos::Burstable, UID)?;
    let group = tree.container(&parent, &id(1))?;
    group.set("cpu.max", QUOTA)?;
    let load = Load::start(&group, &["spin", "2500"])?;
    load.cpu_ns()?;
    let mut sweeper = tree.sweeper()?;
    let shown_ns = cpu_ns(&container(sweeper.sweep_once(), &id(1))?).context("no CPU")?;
    evidence.between("container, ns", shown_ns, about(&load.cpu_ns()?));
    // It started, and told, under the same quota; and each processor may finish the slice that it has.
    let allowed_ns = load.told("wall_ns")? / QUOTA_SHARE + 100_000_000;
    evidence.between("within its quota, ns", shown_ns, 1..=allowed_ns);
    let stat = group.file("cpu.stat");
    let waited_us = (load.told("wall_ns")? - load.told("spun_ns")?) / 1_000;
    let periods = kernel::keyed(&stat, "nr_periods")?;
    let throttled = kernel::keyed(&stat, "nr_throttled")?;
    // More than while it spun, for it started under the same quota.
    let spun_periods = load.told("wall_ns")? / PERIOD_NS;
    evidence.between("kernel: periods", periods, spun_periods * 3 / 4..=spun_periods * 2);
    evidence.between("kernel: throttled periods", throttled, spun_periods / 2..=periods);
    evidence.near("kernel: throttled, µs", kernel::keyed(&stat, "throttled_usec")?, waited_us, waited_us / 5);
    // It sleeps meanwhile, but the kernel's timer of periods runs on for one or two before it stops: seen on both sides.
    let details = details(&tree, &id(1))?;
    let until = |key, from| Ok::<_, anyhow::Error>(from..=kernel::keyed(&stat, key)?);
    evidence.between("periods", details.cpu.periods, until("nr_periods", periods)?);
    evidence.between("throttled periods", details.cpu.throttled_periods, until("nr_throttled", throttled)?);
    evidence.near("throttled, µs", details.cpu.throttled_ns.map(|ns| ns / 1_000), waited_us, waited_us / 5);
    let used = (details.cpu.user_ns, details.cpu.system_ns);
    let used_ns = used.0.zip(used.1).map(|(user, system)| user + system);
    evidence.between("user and system, ns", used_ns, about(&load.cpu_ns()?));
    let waited = details.cpu_pressure.map(|pressure| pressure.some.total_us);
    evidence.near("CPU pressure, µs", waited, waited_us, waited_us / 3);
    let stalled_us = kernel::in_line(&group.file("cpu.pressure"), "some", "total")?;
    evidence.near("kernel: CPU pressure, µs", stalled_us, waited_us, waited_us / 3);
    Ok(())
}
