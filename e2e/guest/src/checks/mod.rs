//! The checks, by name. Each starts loads, sweeps with the real collector, and lays what it shows beside what the loads
//! used and what the kernel's files say.
//!
//! To add one: a function in the module of its subject, and a line in [`COLLECTOR`].

mod cpu;
mod disk;
mod events;
mod export;
mod groups;
mod memory;
mod node;
mod numbers;
mod program;
mod swap;

use std::ops::RangeInclusive;
use std::sync::Arc;

use anyhow::Context;
use flyball_collector::Sweep;
use flyball_collector::details::Details;
use flyball_collector::sample::{Memory, Reading};

use crate::evidence::Evidence;
use crate::groups::Tree;

/// A check. What does not hold is noted in the evidence; an error is something that could not be done at all.
pub type Check = fn(&mut Evidence) -> anyhow::Result<()>;

/// Those of the collector, in the order in which they run.
pub const COLLECTOR: &[(&str, Check)] = &[
    ("groups::the_hierarchy_is_recognised", groups::the_hierarchy_is_recognised),
    ("groups::every_layout_is_found", groups::every_layout_is_found),
    ("groups::starts_are_those_of_the_first_process", groups::starts_are_those_of_the_first_process),
    ("groups::a_removed_group_is_gone_at_the_next_sweep", groups::a_removed_group_is_gone_at_the_next_sweep),
    ("groups::a_group_made_again_is_another", groups::a_group_made_again_is_another),
    ("cpu::usage_is_what_processes_used", cpu::usage_is_what_processes_used),
    ("cpu::a_throttled_container_uses_its_quota", cpu::a_throttled_container_uses_its_quota),
    ("memory::anonymous", memory::anonymous),
    ("memory::file_cache_is_not_in_the_working_set", memory::file_cache_is_not_in_the_working_set),
    ("memory::tmpfs_is_in_the_working_set", memory::tmpfs_is_in_the_working_set),
    ("memory::absent_without_the_controller", memory::absent_without_the_controller),
    ("swap::usage_and_limit", swap::usage_and_limit),
    ("events::an_oom_victim_is_counted", events::an_oom_victim_is_counted),
    ("events::tasks_are_counted", events::tasks_are_counted),
    ("disk::bytes_past_the_cache", disk::bytes_past_the_cache),
    ("disk::bytes_written_back", disk::bytes_written_back),
    ("numbers::every_number_is_the_kernels", numbers::every_number_is_the_kernels),
    ("node::cpu", node::cpu),
    ("node::memory_use", node::memory_use),
    ("export::named_series_hold_the_numbers", export::named_series_hold_the_numbers),
];

/// Those of the program.
pub const PROGRAM: &[(&str, Check)] = &[
    ("program::demo_as_root", program::demo_as_root),
    ("program::demo_in_a_delegated_group", program::demo_in_a_delegated_group),
];

const MIB: u64 = 1 << 20;
/// UID of the pods of most checks.
const UID: &str = "2fc932ce-fdcc-454b-97bd-aadfdeb4c340";
/// What a process needs beside the memory that it is asked to hold, and what the kernel needs for it; and what charging
/// in batches leaves out or adds.
const OVERHEAD_BYTES: u64 = 3 * MIB;

/// A container id.
fn id(number: u8) -> String {
    format!("{number:02x}").repeat(32)
}

/// What processes used, less and more 1 % and a clock tick.
fn about(consumed_ns: &RangeInclusive<u64>) -> RangeInclusive<u64> {
    let slack = |ns: u64| ns / 100 + 10_000_000;
    let (low, high) = (*consumed_ns.start(), *consumed_ns.end());
    low.saturating_sub(slack(low))..=high + slack(high)
}

/// What two processes used together.
fn sum(one: &RangeInclusive<u64>, other: &RangeInclusive<u64>) -> RangeInclusive<u64> {
    one.start() + other.start()..=one.end() + other.end()
}

/// What a sweep read of a container.
fn container(sweep: &Sweep, id: &str) -> anyhow::Result<Reading> {
    let found = sweep.containers.iter().find(|container| *container.id == *id);
    found.map(|container| container.reading).with_context(|| format!("the sweep has no container {id}"))
}

/// What the slower tier read of a container in a first sweep, which reads everything.
fn details(tree: &Tree, id: &str) -> anyhow::Result<Arc<Details>> {
    let mut sweeper = tree.sweeper()?;
    let found = sweeper.sweep_once().containers.iter().find(|container| *container.id == *id);
    found
        .map(|container| container.details.clone())
        .with_context(|| format!("the sweep has no container {id}"))
}

/// What a sweep read of a pod.
fn pod(sweep: &Sweep, uid: &str) -> anyhow::Result<Reading> {
    let found = sweep.pods.iter().find(|pod| *pod.uid == *uid);
    found.map(|pod| pod.reading).with_context(|| format!("the sweep has no pod {uid}"))
}

fn cpu_ns(reading: &Reading) -> Option<u64> {
    reading.cpu.map(|cpu| cpu.usage_ns)
}

fn memory(reading: &Reading) -> anyhow::Result<Memory> {
    reading.memory.context("the sweep has no memory of the group")
}
