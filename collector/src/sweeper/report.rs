//! What a sweep is made of, where it is found, and what it cost.

use crate::cost::{Costs, Stage};
use crate::files::{READ_FAULTS, ReadFault};
use crate::mounts::Version;
use crate::sample::Sweep;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What values are made of on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Control groups.
    Cgroups(Version),
    /// Processes of /proc.
    Processes,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Cgroups(Version::V1) => "cgroup v1",
            Source::Cgroups(Version::V2) => "cgroup v2",
            Source::Cgroups(Version::Hybrid) => "cgroup v1 (hybrid)",
            Source::Processes => "processes",
        })
    }
}

/// The last finished sweep, for any number of readers.
#[derive(Debug, Default)]
pub struct Latest(Mutex<Arc<Sweep>>);

impl Latest {
    /// The last finished sweep; [`Sweep::sequence`] is 0 before the first.
    pub fn get(&self) -> Arc<Sweep> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn put(&self, sweep: Arc<Sweep>) -> Arc<Sweep> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), sweep)
    }
}

/// What one sweep cost and met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Wall time from start to end, nanoseconds.
    pub duration_ns: u64,
    /// Pod groups.
    pub pods: usize,
    /// Container groups.
    pub containers: usize,
    /// Containers without a name that do not look like sandboxes.
    pub unnamed_containers: usize,
    /// Groups that appeared.
    pub added: u64,
    /// Groups that went.
    pub removed: u64,
    /// CPU counters that went back.
    pub resets: u64,
    /// Folders watched for groups that come and go.
    pub watches: usize,
    /// Watches that the kernel did not give, since the start.
    pub watches_refused: u64,
    /// Containers whose first process was found, or that turned out to be sandboxes.
    pub started: u64,
    /// Groups read because their last process ended, or their first came.
    pub emptied: u64,
    /// Pods and containers that are not followed, for there are too many.
    pub left_out: u64,
    /// What it cost, by stage.
    pub costs: Costs,
    /// Files that could not be read, in the order of [`READ_FAULTS`].
    pub faults: [u64; READ_FAULTS.len()],
}

impl SweepReport {
    /// A file could not be read.
    pub(super) fn count(&mut self, fault: ReadFault) {
        if let Some(at) = READ_FAULTS.iter().position(|(kind, _)| *kind == fault) {
            self.faults[at] += 1;
        }
    }

    /// Adds what is counted, not what is measured.
    pub(super) fn add_counts(&mut self, other: &SweepReport) {
        self.added += other.added;
        self.removed += other.removed;
        self.resets += other.resets;
        self.started += other.started;
        self.emptied += other.emptied;
        self.costs.add_all_to(Stage::Look, &other.costs);
        for (count, more) in self.faults.iter_mut().zip(other.faults) {
            *count += more;
        }
    }
}
