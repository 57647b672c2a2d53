//! Churn: containers come and go at 1,000 a second for a minute, and nothing of them stays in the collector.
//!
//! Containers are made and removed in every hierarchy of the machine, a hundred at a time in ten pods of their own. The
//! collector runs in a process of its own; what it held before and what it holds after are compared when it has had time
//! to see that all are gone.

#![allow(clippy::disallowed_methods, reason = "a benchmark: makes control groups and waits")]

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::Figure;
use crate::process::{descriptors, resident_kb, watches};
use crate::scrapes::names;
use crate::served::{Options, Served};
use crate::sweep::Groups;

const ROW: &str = "collector churn";
/// Containers that stay.
const STAYING: usize = 100;
/// Pods that come and go, and containers of each.
const PODS: usize = 10;
const CONTAINERS_PER_POD: usize = 10;
/// Rounds of them that are there at once: each lives half a second.
const LIVING_ROUNDS: usize = 5;
/// Made and removed each second.
const PER_SECOND: f64 = 1_000.0;
/// The same before the measured minute, so that buffers are as large as they will be, and the histories of what is gone,
/// which are kept for a while, have come to their limit.
const WARM_UP: Duration = Duration::from_secs(60);
const CHURN: Duration = Duration::from_secs(60);
/// Time to see that all are gone: each folder is listed at least every sixteen sweeps.
const SETTLE: Duration = Duration::from_secs(20);

/// The figures of the row.
#[must_use]
pub fn figures() -> Vec<Figure> {
    measure().unwrap_or_else(|error| {
        vec![Figure::skipped(ROW, "churn of 1,000 containers a second", format!("{error:#}"))]
    })
}

/// What the collector holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    resident_kb: u64,
    descriptors: usize,
    watches: usize,
}

impl Held {
    fn of(pid: u32) -> anyhow::Result<Held> {
        Ok(Held { resident_kb: resident_kb(pid)?, descriptors: descriptors(pid)?, watches: watches(pid)? })
    }
}

fn measure() -> anyhow::Result<Vec<Figure>> {
    let groups = Groups::make(STAYING)?;
    let names = names(STAYING)?;
    let served = Served::start(&Options {
        cgroup_root: format!("/{}", groups.root),
        interval: Duration::from_secs(1),
        names: Some(names.path().to_owned()),
        joins: None,
    })?;
    served.wait_for(STAYING)?;
    churn(&groups, WARM_UP)?;
    std::thread::sleep(SETTLE);
    let told_before = Told::by(&served)?;
    let before = Held::of(served.pid())?;
    let rate = churn(&groups, CHURN)?;
    std::thread::sleep(SETTLE);
    let told = Told::by(&served)?;
    let after = Held::of(served.pid())?;
    let seen = told.added - told_before.added;
    let troubles = served.troubles();
    let figure = |what: &str, value: f64, unit, promise, beside: String| {
        Figure::new(ROW, format!("churn for {} s: {what}", CHURN.as_secs()), value, unit)
            .promise(promise)
            .beside(beside)
    };
    let more = |before: usize, after: usize| after as f64 - before as f64;
    Ok(vec![
        figure(
            "containers made and removed a second",
            rate,
            "/s",
            "1,000 /s",
            format!("in each of {} hierarchies; the collector saw {seen:.0} come", groups.trees.len()),
        ),
        figure(
            "watches that stay",
            more(before.watches, after.watches),
            "",
            "none",
            format!("{} before, {} after", before.watches, after.watches),
        ),
        figure(
            "descriptors that stay",
            more(before.descriptors, after.descriptors),
            "",
            "none",
            format!("{} before, {} after", before.descriptors, after.descriptors),
        ),
        figure(
            "resident memory that stays",
            (after.resident_kb as f64 - before.resident_kb as f64) * 1.024e-3,
            "MB",
            "none",
            format!(
                "{:.1} MB before, {:.1} after; histories of what is and was there in it: {:.1} and {:.1} MB",
                mb(before.resident_kb),
                mb(after.resident_kb),
                told_before.history_bytes * 1e-6,
                told.history_bytes * 1e-6,
            ),
        ),
        figure(
            "warnings and errors logged",
            troubles.len() as f64,
            "",
            "none",
            troubles.first().cloned().unwrap_or_default(),
        ),
    ])
}

fn mb(kilobytes: u64) -> f64 {
    kilobytes as f64 * 1.024e-3
}

/// What the collector says of itself.
struct Told {
    /// Groups that it saw come.
    added: f64,
    /// What its histories take.
    history_bytes: f64,
}

impl Told {
    fn by(served: &Served) -> anyhow::Result<Told> {
        let body = served.get("/metrics", false)?;
        let body = String::from_utf8_lossy(&body);
        let value = |series: &str| {
            let line = body.lines().find(|line| line.starts_with(series));
            let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
            value.with_context(|| format!("the collector does not tell {series}"))
        };
        let added = value("flyball_collector_group_changes_total{kind=\"added\"}")?;
        Ok(Told { added, history_bytes: value("flyball_collector_history_size_bytes")? })
    }
}

/// Makes and removes containers for so long; how many a second.
fn churn(groups: &Groups, time: Duration) -> anyhow::Result<f64> {
    let (started, mut made, mut round) = (Instant::now(), 0, 0);
    let mut living = VecDeque::new();
    while started.elapsed() < time {
        let folders = folders(groups, round);
        for folder in &folders {
            std::fs::create_dir(folder)?;
        }
        living.push_back(folders);
        if living.len() > LIVING_ROUNDS {
            living.pop_front().map_or(Ok(()), |folders| remove(&folders))?;
        }
        made += PODS * CONTAINERS_PER_POD;
        round += 1;
        let due = started + Duration::from_secs_f64(made as f64 / PER_SECOND);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let rate = made as f64 / started.elapsed().as_secs_f64();
    living.iter().try_for_each(|folders| remove(folders))?;
    Ok(rate)
}

fn remove(folders: &[PathBuf]) -> anyhow::Result<()> {
    Ok(folders.iter().rev().try_for_each(std::fs::remove_dir)?)
}

/// Pods and their containers in all hierarchies, parents first. No path comes twice.
fn folders(groups: &Groups, round: usize) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for tree in &groups.trees {
        let class = tree.join(&groups.root).join("kubepods/besteffort");
        for number in 0..PODS {
            let uid = format!("11111111-{number:04x}-4000-8000-{round:012x}");
            let pod = class.join(format!("pod{uid}"));
            folders.push(pod.clone());
            folders.extend(
                (0..CONTAINERS_PER_POD).map(|at| pod.join(format!("{round:056x}{number:04x}{at:04x}"))),
            );
        }
    }
    folders
}
