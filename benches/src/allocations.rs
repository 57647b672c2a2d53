//! Allocations in the steady state, counted by the allocator: none per sample.

#![allow(clippy::disallowed_methods, reason = "a benchmark: starts loads and waits")]

use std::sync::Arc;
use std::time::Duration;

use flyball_collector::history::Recorder;
use flyball_collector::{Names, Sweeper};

use crate::Figure;
use crate::active::Loads;
use crate::sweep::Groups;

const ROW: &str = "collector allocations";
const CONTAINERS: usize = 1_000;
/// Groups of which each sweep takes a sample.
const GROUPS: f64 = CONTAINERS as f64 * 1.5;
/// Sweeps before the counted ones: a round of the slower tier for idle groups.
const WARM_UP: u32 = 70;
/// Counted sweeps: two such rounds.
const SWEEPS: u32 = 120;
/// Time between two sweeps of active groups.
const PAUSE: Duration = Duration::from_millis(50);

/// The figures of the row. `allocations` counts those of this process so far.
#[must_use]
pub fn figures(allocations: fn() -> u64) -> Vec<Figure> {
    measure(allocations).unwrap_or_else(|error| {
        vec![Figure::skipped(ROW, "allocations in the steady state", format!("{error:#}"))]
    })
}

fn measure(allocations: fn() -> u64) -> anyhow::Result<Vec<Figure>> {
    let groups = Groups::make(CONTAINERS)?;
    let idle = sweeps(&groups, allocations, "idle", Duration::ZERO)?;
    let _loads = Loads::start(&groups, CONTAINERS, 90)?;
    let active = sweeps(&groups, allocations, "active", PAUSE)?;
    Ok([idle, active].concat())
}

fn sweeps(
    groups: &Groups,
    allocations: fn() -> u64,
    state: &str,
    pause: Duration,
) -> anyhow::Result<Vec<Figure>> {
    let names = Arc::new(Names::default());
    let mut sweeper = Sweeper::new(&groups.config(), names.clone())?;
    let recorder = Recorder::new(names);
    let (mut reading, mut storing) = (0, 0);
    for number in 0..WARM_UP + SWEEPS {
        let before = allocations();
        let sweep = sweeper.sweep_once();
        let between = allocations();
        recorder.record(sweep);
        if number >= WARM_UP {
            reading += between - before;
            storing += allocations() - between;
        }
        std::thread::sleep(pause);
    }
    let samples = GROUPS * f64::from(SWEEPS);
    let figure = |what: &str, count: u64| {
        let what = format!("allocations per sample {what}, {state} groups");
        let beside =
            format!("{count} in {SWEEPS} sweeps of {GROUPS} groups: {} a sweep", count / u64::from(SWEEPS));
        Figure::new(ROW, what, count as f64 / samples, "").beside(beside)
    };
    Ok(vec![
        figure("read", reading).promise("none"),
        figure("stored in the history", storing).promise("one per chunk of it"),
    ])
}
