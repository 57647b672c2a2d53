//! Pods as lists meet them: references into the store, under one lock.

use std::hint::black_box;
use std::sync::Arc;

use super::pods::Found;
use super::state::{PodEntry, State};
use super::{PodUsage, Store};
use crate::window::{Series, Usage};

/// A pod that has usage.
#[derive(Clone, Copy)]
pub(crate) struct MeasuredPod<'s> {
    entry: &'s PodEntry,
    /// Usage of the container whose window ends first.
    earliest: Option<Usage>,
}

impl<'s> MeasuredPod<'s> {
    pub(super) fn new(entry: &'s PodEntry, earliest: Option<Usage>) -> MeasuredPod<'s> {
        MeasuredPod { entry, earliest }
    }

    /// As [`PodUsage::timestamp_ns`].
    pub(crate) fn timestamp_ns(&self) -> Option<i64> {
        self.earliest.map(|usage| usage.timestamp_ns)
    }

    /// As [`PodUsage::window_ns`].
    pub(crate) fn window_ns(&self) -> i64 {
        self.earliest.map_or(0, |usage| usage.window_ns)
    }

    /// Containers by name.
    pub(crate) fn containers(&self) -> impl Iterator<Item = (&'s str, Usage)> + use<'s> {
        let usage = |(name, series): &'s (Arc<str>, Series)| Some((&**name, series.usage().ok()?));
        self.entry.containers.iter().filter_map(usage)
    }

    /// A copy.
    pub(super) fn to_usage(self) -> PodUsage {
        PodUsage {
            containers: self.containers().map(|(name, usage)| (name.to_owned(), usage)).collect(),
            timestamp_ns: self.timestamp_ns(),
            window_ns: self.window_ns(),
        }
    }
}

/// Finds pods one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'s> {
    store: &'s Store,
    state: &'s State,
    now_ms: i64,
}

impl<'s> Walk<'s> {
    pub(super) fn new(store: &'s Store, state: &'s State, now_ms: i64) -> Walk<'s> {
        Walk { store, state, now_ms }
    }

    /// How many pods the store has, and what the usage of all of them takes in a list.
    pub(crate) fn listed(&self) -> (usize, usize) {
        self.state.pods.listed()
    }

    /// The usage of pods in their order, for those that have it; each with its own place to be found at.
    ///
    /// What is known of them lies scattered, and waiting for memory takes longer than all else: so one step is done for all of
    /// them, then the next, and the processor waits for several at once.
    pub(crate) fn find_all<'p>(
        &self,
        pods: impl Iterator<Item = (&'p str, &'p str, &'p Found)>,
    ) -> Vec<Option<MeasuredPod<'s>>> {
        let rows = pods.map(|(namespace, name, found)| self.state.pods.get_again(namespace, name, found));
        let entries: Vec<Option<&PodEntry>> = rows.collect();
        for entry in entries.iter().flatten() {
            black_box(entry.containers.first().map(|(_, series)| series.last().timestamp_ns));
        }
        entries.into_iter().map(|entry| self.store.measured(self.state, entry?, self.now_ms).ok()).collect()
    }
}
