//! Walking over many pods in order, and one of them as it is met. Nothing is copied on the way.

use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use super::state::{NamespacePods, PodEntry, State};
use super::{PodUsage, Store};
use crate::window::{Series, Usage};

/// How many pods are passed over one by one before the next one is searched for.
const STEPS_BEFORE_SEARCH: usize = 8;

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

/// Finds pods that are asked for in ascending order of namespace and name: a step for each instead of a search.
pub(crate) struct Walk<'s> {
    store: &'s Store,
    state: &'s State,
    now_ms: i64,
    namespace: Option<(&'s str, &'s NamespacePods)>,
    ahead: Option<Peekable<Range<'s>>>,
}

type Range<'s> = std::collections::btree_map::Range<'s, Arc<str>, PodEntry>;

impl<'s> Walk<'s> {
    pub(super) fn new(store: &'s Store, state: &'s State, now_ms: i64) -> Walk<'s> {
        Walk { store, state, now_ms, namespace: None, ahead: None }
    }

    /// The pod, if it has usage. It must come after the one asked for before.
    pub(crate) fn find(&mut self, namespace: &str, name: &str) -> Option<MeasuredPod<'s>> {
        if self.namespace.is_none_or(|(at, _)| at != namespace) {
            let found = self.state.pods.get_key_value(namespace);
            self.namespace = found.map(|(name, pods)| (&**name, pods));
            self.ahead = None;
        }
        let (_, pods) = self.namespace?;
        for _ in 0..STEPS_BEFORE_SEARCH {
            let Some(ahead) = &mut self.ahead else { break };
            let (at, entry) = ahead.peek()?;
            match (***at).cmp(name) {
                std::cmp::Ordering::Less => drop(ahead.next()),
                std::cmp::Ordering::Equal => return self.store.measured(self.state, entry, self.now_ms).ok(),
                std::cmp::Ordering::Greater => return None,
            }
        }
        let ahead =
            self.ahead.insert(pods.range::<str, _>((Bound::Included(name), Bound::Unbounded)).peekable());
        let (_, entry) = ahead.peek().filter(|(at, _)| ***at == *name)?;
        self.store.measured(self.state, entry, self.now_ms).ok()
    }
}
