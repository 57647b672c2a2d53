//! Pods as lists meet them: references into the store, under one lock.

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

    /// The pod, if it has usage. `found` is this pod's own.
    pub(crate) fn find(&self, namespace: &str, name: &str, found: &Found) -> Option<MeasuredPod<'s>> {
        let entry = self.state.pods.get_again(namespace, name, found)?;
        self.store.measured(self.state, entry, self.now_ms).ok()
    }
}
