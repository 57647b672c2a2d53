//! Every other number of v2, each beside the kernel's file: a container does a little of everything and then stands still, so
//! that what the collector shows lies between two readings of the file.

use flyball_collector::details::{Details, Pressure, Stall};
use flyball_collector::layout::Qos;
use flyball_collector::parse::Limit;

use super::{MIB, UID, details, id};
use crate::evidence::Evidence;
use crate::groups::{Driver, Group, Tree};
use crate::kernel;
use crate::machine::DISK;
use crate::running::Load;

/// What is shown of the details; nothing where nothing is.
type Shown = fn(&Details) -> Option<u64>;

/// The same of pressure.
type Stalled = fn(&Details) -> Option<Stall>;

/// Keys of files, and how many of the shown unit one of them is.
const KEYED: &[(&str, &str, u64, Shown)] = &[
    ("cpu.stat", "user_usec", 1_000, |d| d.cpu.user_ns),
    ("cpu.stat", "system_usec", 1_000, |d| d.cpu.system_ns),
    ("cpu.stat", "nr_periods", 1, |d| d.cpu.periods),
    ("cpu.stat", "nr_throttled", 1, |d| d.cpu.throttled_periods),
    ("cpu.stat", "throttled_usec", 1_000, |d| d.cpu.throttled_ns),
    ("cpu.stat", "nr_bursts", 1, |d| d.cpu.burst_periods),
    ("cpu.stat", "burst_usec", 1_000, |d| d.cpu.burst_ns),
    ("memory.stat", "file", 1, |d| d.memory.cache_bytes),
    ("memory.stat", "anon", 1, |d| d.memory.rss_bytes),
    ("memory.stat", "file_mapped", 1, |d| d.memory.mapped_file_bytes),
    ("memory.stat", "kernel", 1, |d| d.memory.kernel_bytes),
    ("memory.stat", "active_file", 1, |d| d.memory.active_file_bytes),
    ("memory.stat", "inactive_file", 1, |d| d.memory.inactive_file_bytes),
    ("memory.stat", "file_dirty", 1, |d| d.memory.dirty_bytes),
    ("memory.stat", "file_writeback", 1, |d| d.memory.writeback_bytes),
    ("memory.stat", "pgfault", 1, |d| d.memory.page_faults),
    ("memory.stat", "pgfault", 1, |d| d.memory.page_faults_hierarchical),
    ("memory.stat", "pgmajfault", 1, |d| d.memory.major_page_faults),
    ("memory.stat", "pgscan", 1, |d| d.memory.pages_scanned),
    ("memory.stat", "pgsteal", 1, |d| d.memory.pages_stolen),
    ("memory.stat", "workingset_refault_file", 1, |d| d.memory.refaults_file),
    ("memory.stat", "workingset_refault_anon", 1, |d| d.memory.refaults_anon),
    ("memory.events", "high", 1, |d| d.memory.high_events),
    ("memory.events", "max", 1, |d| d.memory.max_events),
    ("memory.events", "oom_kill", 1, |d| d.memory.oom_kills),
];

/// Totals of pressure by file and line.
const STALLS: &[(&str, &str, Stalled)] = &[
    ("cpu.pressure", "some", |d| some(d.cpu_pressure)),
    ("cpu.pressure", "full", |d| full(d.cpu_pressure)),
    ("memory.pressure", "some", |d| some(d.memory_pressure)),
    ("memory.pressure", "full", |d| full(d.memory_pressure)),
    ("io.pressure", "some", |d| some(d.io_pressure)),
    ("io.pressure", "full", |d| full(d.io_pressure)),
];

const QUOTA_US: u64 = 60_000;
const PERIOD_US: u64 = 100_000;
const HIGH: u64 = 24 * MIB;
const MAX: u64 = 64 * MIB;
const MIN: u64 = 4 * MIB;
const SWAP_MAX: u64 = 8 * MIB;

fn some(pressure: Option<Pressure>) -> Option<Stall> {
    pressure.map(|pressure| pressure.some)
}

fn full(pressure: Option<Pressure>) -> Option<Stall> {
    pressure.and_then(|pressure| pressure.full)
}

pub fn every_number_is_the_kernels(evidence: &mut Evidence) -> anyhow::Result<()> {
    let tree = Tree::new("numbers", Driver::Systemd);
    let group = tree.container(&tree.pod(Qos::Burstable, UID)?, &id(1))?;
    for (file, text) in [
        ("cpu.max", format!("{QUOTA_US} {PERIOD_US}")),
        ("cpu.weight", "100".to_owned()),
        ("memory.high", HIGH.to_string()),
        ("memory.max", MAX.to_string()),
        ("memory.min", MIN.to_string()),
        ("memory.swap.max", SWAP_MAX.to_string()),
    ] {
        group.set(file, &text)?;
    }
    let path = format!("{DISK}/numbers");
    // More pages of files than may stay, and more CPU than the quota gives.
    let files = Load::start(&group, &["file", &path, "32"])?;
    let cpu = Load::start(&group, &["spin", "400"])?;
    let held = Load::start(&group, &["memory", "6"])?;
    let before = readings(&group)?;
    let shown = details(&tree, &id(1))?;
    let after = readings(&group)?;
    let truly = before.into_iter().zip(after).map(|(before, after)| before.min(after)..=before.max(after));
    let keyed = KEYED.iter().map(|(file, key, _, value)| (format!("{file} {key}"), value(&shown)));
    let stalls = STALLS
        .iter()
        .map(|(file, line, value)| (format!("{file} {line}, µs"), value(&shown).map(|stall| stall.total_us)));
    let highest = std::iter::once(("memory.peak".to_owned(), shown.memory.max_usage_bytes));
    for ((what, seen), truly) in keyed.chain(stalls).chain(highest).zip(truly) {
        evidence.between(&what, seen, truly);
    }
    let told = |what: &str, seen: Option<u64>| (what.to_owned(), seen);
    for (what, seen) in [
        told("memory.high was met", shown.memory.high_events),
        told("periods were throttled", shown.cpu.throttled_periods),
        told("some task waited for CPU", some(shown.cpu_pressure).map(|stall| stall.total_us)),
        told("pages were taken", shown.memory.pages_stolen),
        told("page faults", shown.memory.page_faults),
    ] {
        evidence.holds(&what, seen > Some(0), format!("{seen:?}"));
    }
    evidence.equal("quota, µs", shown.cpu.quota_us, Some(Limit::Bytes(QUOTA_US)));
    evidence.equal("period, µs", shown.cpu.period_us, Some(PERIOD_US));
    evidence.equal("shares of weight 100", shown.cpu.shares, Some(2_597));
    evidence.equal("limit, bytes", shown.memory.limit, Some(Limit::Bytes(MAX)));
    evidence.equal("reservation, bytes", shown.memory.reservation, Some(Limit::Bytes(MIN)));
    evidence.equal("limit of swap, bytes", shown.memory.swap_limit, Some(Limit::Bytes(SWAP_MAX)));
    evidence.equal("processes", shown.tasks.processes, Some(3));
    for load in [files, cpu, held] {
        load.stop()?;
    }
    std::fs::remove_file(path)?;
    Ok(())
}

/// In the order of the tables, and the highest usage.
fn readings(group: &Group) -> anyhow::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for (file, key, factor, _) in KEYED {
        numbers.push(kernel::keyed(&group.file(file), key)? * factor);
    }
    for (file, line, _) in STALLS {
        numbers.push(kernel::in_line(&group.file(file), line, "total")?);
    }
    numbers.push(kernel::number(&group.file("memory.peak"))?);
    Ok(numbers)
}
