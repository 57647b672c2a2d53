//! Memory of a collector of 1,000 containers, and of 5,000 at rest: resident, and what the kernel holds for it.
//!
//! The collector runs in a memory group of its own, whose kernel memory is the kernel's answer. All groups are active, so
//! that histories are as full as they can be; sweeps are faster than in service, so that fifteen minutes of them take
//! one and a half.

#![allow(clippy::disallowed_methods, reason = "a benchmark: makes a control group and waits")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::Figure;
use crate::active::Loads;
use crate::process::{descriptors, resident_kb};
use crate::scrapes::names;
use crate::served::{Options, Served};
use crate::sweep::Groups;

const ROW: &str = "collector memory";
const CONTAINERS: usize = 1_000;
/// For the memory of very many, for which nothing is promised.
const MANY_CONTAINERS: usize = 5_000;
const PROMISE: &str = "≤ 25 MB";
/// Time between sweeps here.
const INTERVAL: Duration = Duration::from_millis(100);
/// Sweeps of the history, and some more.
const SWEEPS: u32 = 950;
/// Time between two uses of a load: each sweep finds other values.
const LOAD_PERIOD_MS: u64 = 90;
/// Scrapes of each endpoint.
const SCRAPES: usize = 10;

/// The figures of the row.
#[must_use]
pub fn figures() -> Vec<Figure> {
    measure().unwrap_or_else(|error| {
        vec![Figure::skipped(ROW, "resident memory, 1,000 containers with history", format!("{error:#}"))]
    })
}

/// A group for the collector; removed when dropped.
struct Own(PathBuf);

impl Own {
    fn make() -> anyhow::Result<Own> {
        let path =
            Path::new("/sys/fs/cgroup/memory").join(format!("flyball-bench-own-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Own(path))
    }

    fn kernel_mb(&self) -> anyhow::Result<f64> {
        let text = std::fs::read_to_string(self.0.join("memory.kmem.usage_in_bytes"))?;
        Ok(text.trim().parse::<f64>()? / 1e6)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir(&self.0) {
            eprintln!("cannot remove the control group {}: {error}", self.0.display());
        }
    }
}

fn measure() -> anyhow::Result<Vec<Figure>> {
    let own = Own::make()?;
    let many = {
        let groups = Groups::make(MANY_CONTAINERS)?;
        let names = names(MANY_CONTAINERS)?;
        at_rest(MANY_CONTAINERS, &options(&groups, &names, &own), &own)?
    };
    let groups = Groups::make(CONTAINERS)?;
    let names = names(CONTAINERS)?;
    let options = options(&groups, &names, &own);
    let at_rest = at_rest(CONTAINERS, &options, &own)?.promise(PROMISE);
    let _loads = Loads::start(&groups, CONTAINERS, LOAD_PERIOD_MS)?;
    let served = Served::start(&Options { interval: INTERVAL, ..options })?;
    served.wait_for(CONTAINERS)?;
    std::thread::sleep(INTERVAL * SWEEPS);
    let full = report(CONTAINERS, "all groups active, history full, not scraped", &served, &own)?;
    for _ in 0..SCRAPES {
        served.get("/metrics/resource", true)?;
        served.get("/metrics/cadvisor", true)?;
        served.get("/stats/summary", true)?;
    }
    let scraped = report(CONTAINERS, "the same, scraped on each endpoint with gzip", &served, &own)?;
    Ok(vec![at_rest, full.promise(PROMISE), scraped.promise(PROMISE), many])
}

fn options(groups: &Groups, names: &tempfile::TempDir, own: &Own) -> Options {
    Options {
        cgroup_root: format!("/{}", groups.root),
        interval: Duration::from_secs(1),
        names: Some(names.path().to_owned()),
        joins: Some(own.0.clone()),
    }
}

fn at_rest(containers: usize, options: &Options, own: &Own) -> anyhow::Result<Figure> {
    let idle = Served::start(options)?;
    idle.wait_for(containers)?;
    std::thread::sleep(Duration::from_secs(20));
    report(containers, "idle groups, 20 s, not scraped", &idle, own)
}

fn report(containers: usize, when: &str, served: &Served, own: &Own) -> anyhow::Result<Figure> {
    let resident_mb = resident_kb(served.pid())? as f64 * 1.024e-3;
    let (kernel_mb, held) = (own.kernel_mb()?, descriptors(served.pid())?);
    let what = format!("resident memory, {containers} containers and their pods with history; {when}");
    let beside = format!(
        "kernel memory of the process beside it: {kernel_mb:.1} MB, {held} descriptors held; together {:.1} MB",
        resident_mb + kernel_mb
    );
    Ok(Figure::new(ROW, what, resident_mb, "MB").beside(beside))
}
