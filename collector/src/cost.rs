#![allow(clippy::disallowed_methods, reason = "asks how much CPU time a thread has used")]
//! What each stage of the collector costs: CPU time, system calls, bytes read.
//!
//! Calls and bytes are counted per thread, where they are made (opening, reading, listing and closing files; asking for
//! their attributes), so that nothing has to be handed through; a [`Meter`] takes the difference between two moments of one
//! thread. Calls for the clock, for waiting and for the network are left out.

use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;

/// What the collector does, as its own metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Finding groups.
    Discover,
    /// Reading what is read with every sweep.
    Read,
    /// Reading what is read more rarely.
    Slow,
    /// Naming groups and handing out the sweep.
    Publish,
    /// Recording the history.
    Record,
    /// Looking between sweeps, at groups that came, went, or became empty.
    Look,
    /// Walking files for their sizes.
    Disk,
    /// Reading the machine for `/metrics/node`.
    Node,
    /// Writing the bodies of `/metrics/cadvisor` and `/stats/summary`.
    Render,
}

/// All stages and their names, in the order of their numbers.
pub const STAGES: [(Stage, &str); 9] = [
    (Stage::Discover, "discover"),
    (Stage::Read, "read"),
    (Stage::Slow, "slow"),
    (Stage::Publish, "publish"),
    (Stage::Record, "record"),
    (Stage::Look, "look"),
    (Stage::Disk, "disk"),
    (Stage::Node, "node"),
    (Stage::Render, "render"),
];

/// What something cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// CPU time of the thread, nanoseconds.
    pub cpu_ns: u64,
    /// System calls.
    pub system_calls: u64,
    /// Bytes that the kernel gave.
    pub read_bytes: u64,
}

impl Cost {
    /// Adds another.
    pub fn add(&mut self, more: Cost) {
        self.cpu_ns += more.cpu_ns;
        self.system_calls += more.system_calls;
        self.read_bytes += more.read_bytes;
    }

    /// Without a part of it.
    #[must_use]
    pub fn less(self, part: Cost) -> Cost {
        Cost {
            cpu_ns: self.cpu_ns.saturating_sub(part.cpu_ns),
            system_calls: self.system_calls.saturating_sub(part.system_calls),
            read_bytes: self.read_bytes.saturating_sub(part.read_bytes),
        }
    }
}

/// What each stage cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Costs([Cost; STAGES.len()]);

impl Costs {
    /// Adds to a stage.
    pub fn add(&mut self, stage: Stage, cost: Cost) {
        if let Some(slot) = self.0.get_mut(stage as usize) {
            slot.add(cost);
        }
    }

    /// Adds everything to one stage.
    pub fn add_all_to(&mut self, stage: Stage, more: &Costs) {
        for cost in more.0 {
            self.add(stage, cost);
        }
    }

    /// By stage.
    pub fn iter(&self) -> impl Iterator<Item = (Stage, Cost)> {
        STAGES.iter().map(|(stage, _)| *stage).zip(self.0)
    }
}

thread_local! {
    /// Calls and bytes of this thread; the CPU time is the kernel's to count.
    static COUNTED: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// So many system calls were made.
pub(crate) fn called(calls: u64) {
    COUNTED.with(|counted| {
        let (before, bytes) = counted.get();
        counted.set((before + calls, bytes));
    });
}

/// One system call gave so many bytes.
pub(crate) fn read(bytes: usize) {
    COUNTED.with(|counted| {
        let (calls, before) = counted.get();
        counted.set((calls + 1, before + bytes as u64));
    });
}

fn so_far() -> Cost {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let cpu_ns = u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or(0);
    let (system_calls, read_bytes) = COUNTED.get();
    Cost { cpu_ns, system_calls, read_bytes }
}

/// Measures one thread.
#[derive(Debug, Clone, Copy)]
pub struct Meter(Cost);

impl Meter {
    /// From now on.
    pub fn start() -> Meter {
        Meter(so_far())
    }

    /// What was spent since the start or the last call.
    pub fn lap(&mut self) -> Cost {
        let now = so_far();
        now.less(std::mem::replace(&mut self.0, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn names_are_in_the_order_of_numbers() {
        assert!(STAGES.iter().enumerate().all(|(at, (stage, _))| *stage as usize == at));
    }

    #[test]
    fn calls_and_bytes_are_those_of_the_thread() {
        let mut meter = Meter::start();
        let proc = crate::files::open_folder(Path::new("/proc")).unwrap();
        meter.lap();
        let length = crate::files::read_at(&proc, "self/stat", &mut [0; 4096]).unwrap().len() as u64;
        std::thread::scope(|scope| {
            scope.spawn(|| crate::files::read_at(&proc, "self/stat", &mut [0; 4096]).unwrap().len());
        });
        let cost = meter.lap();
        assert_eq!((cost.system_calls, cost.read_bytes), (3, length), "open, read, close");
        assert!(cost.cpu_ns > 0);
        let mut costs = Costs::default();
        costs.add(Stage::Slow, cost);
        let mut looks = Costs::default();
        looks.add_all_to(Stage::Look, &costs);
        assert_eq!(looks.iter().find(|(stage, _)| *stage == Stage::Look), Some((Stage::Look, cost)));
    }
}
