//! The last [`DEPTH_SWEEPS`] sweeps (15 minutes at 1 s) of the main values of every pod, every container and the node, and
//! what happened to them.
//!
//! * Values: CPU rate since the reading before, within 0.05 % or half a microcore; working set and RSS in pages of
//!   4 KiB, exact for the kernel's counters. A value that was absent is a gap, never 0, and so is a missed sweep.
//! * A history outlives its group until its last sample is too old.
//! * Memory: at most [`LIMIT_BYTES`] for all samples and groups. Beyond it the longest histories are shortened, to
//!   [`LEAST_DEPTH_SWEEPS`] in the end; if that is not enough, groups that are new have none. Both are counted.
//! * Events: OOM kills ([`oom`]) and heavy throttling ([`throttling`]) of containers; the newest
//!   [`EVENTS_LIMIT`](events::EVENTS_LIMIT) of them outlive container and pod.
//!
//! The sweeping thread records each sweep after it handed it out, so a request that holds the lock for its copy delays no
//! sweep. `answer` turns such copies into what `/stats/history` and `/stats/events` say.

pub mod answer;
pub mod chunk;
pub mod events;
mod group;
pub mod oom;
pub mod quantity;
mod series;
pub mod statistics;
pub mod store;
pub mod throttling;

use crate::names::Names;
use crate::sample::Sweep;
use events::KINDS;
use std::sync::{Arc, Mutex, PoisonError};
use store::Store;

/// Sweeps for which samples are kept.
pub const DEPTH_SWEEPS: u64 = 900;
/// To how many they are lowered where memory is short.
pub const LEAST_DEPTH_SWEEPS: u64 = 60;
/// Most bytes of all histories together.
pub const LIMIT_BYTES: usize = 24 << 20;

/// How things stand after a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Groups with a history, those that ended included.
    pub groups: usize,
    /// Groups of the last sweep without one, for want of memory.
    pub left_out: usize,
    /// Bytes of all histories.
    pub cost_bytes: usize,
    /// Sweeps for which samples are kept now.
    pub depth_sweeps: u64,
    /// Parts of histories forgotten before their time, ever.
    pub forgotten_early: u64,
    /// Events ever, in the order of [`KINDS`].
    pub events: [u64; KINDS.len()],
}

/// The store, shared between the sweeping thread and requests.
#[derive(Debug)]
pub struct Recorder {
    names: Arc<Names>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    store: Store,
    names_generation: Option<u64>,
}

impl Recorder {
    /// Empty. What pods' statuses say of kills comes with their names.
    pub fn new(names: Arc<Names>) -> Recorder {
        Recorder { names, inner: Mutex::default() }
    }

    /// Takes a finished sweep.
    pub fn record(&self, sweep: &Sweep) -> Recorded {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.store.record(sweep);
        let generation = self.names.generation();
        if inner.names_generation.replace(generation) != Some(generation) {
            oom::take_statuses(&mut inner.store, &self.names.table());
        }
        inner.store.recorded()
    }

    /// What `read` makes of the store. The sweeping thread waits meanwhile, so it only copies.
    pub fn read<T>(&self, read: impl FnOnce(&Store) -> T) -> T {
        read(&self.inner.lock().unwrap_or_else(PoisonError::into_inner).store)
    }
}

#[cfg(test)]
mod tests;
