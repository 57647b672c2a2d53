//! The pods of all nodes: rows that are found by name, and by number without a search.
//!
//! A number stands for one pod until that is removed, and may then be another's: who keeps one looks whether the row is
//! still its own.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::state::PodEntry;

/// Position of a pod.
pub(super) type PodId = u32;
/// Namespace and name.
pub(super) type PodKey = (Arc<str>, Arc<str>);
/// Pods of one namespace, by name.
pub(super) type NamespacePods = BTreeMap<Arc<str>, PodId>;

#[derive(Default)]
pub(super) struct Pods {
    by_name: BTreeMap<Arc<str>, NamespacePods>,
    /// `None` where a pod is gone.
    rows: Vec<Option<Row>>,
    free: Vec<PodId>,
    /// The last serial that was given.
    serial: u32,
    /// What the usage of all of them takes in a list.
    listed_bytes: usize,
}

struct Row {
    key: PodKey,
    /// Each row gets another one, so that a number with it tells whether the row is still that pod's.
    serial: u32,
    entry: PodEntry,
}

/// Where a pod's row was found the last time, kept by who asks for the same pod again: then nothing is searched for.
/// A row is another pod's one that comes after four billion others at the soonest.
#[derive(Debug, Default)]
pub(crate) struct Found(AtomicU64);

impl Found {
    fn remember(&self, id: PodId, serial: u32) {
        self.0.store(u64::from(serial) << 32 | u64::from(id), Ordering::Relaxed);
    }

    fn last(&self) -> (PodId, u32) {
        let both = self.0.load(Ordering::Relaxed);
        (both as u32, (both >> 32) as u32)
    }
}

impl Pods {
    pub(super) fn of(&self, id: PodId) -> Option<&PodEntry> {
        self.rows.get(id as usize)?.as_ref().map(|row| &row.entry)
    }

    /// Changes a row; whether there is one.
    pub(super) fn change(&mut self, id: PodId, change: impl FnOnce(&mut PodEntry)) -> bool {
        let Some(row) = self.rows.get_mut(id as usize).and_then(Option::as_mut) else { return false };
        let before = row.entry.listed_bytes();
        change(&mut row.entry);
        row.entry.measure();
        self.listed_bytes = self.listed_bytes - before + row.entry.listed_bytes();
        true
    }

    /// How many there are, and what the usage of all of them takes in a list.
    pub(super) fn listed(&self) -> (usize, usize) {
        (self.rows.len() - self.free.len(), self.listed_bytes)
    }

    /// Names and row of a pod.
    pub(super) fn named(&self, id: PodId) -> Option<(&PodKey, &PodEntry)> {
        self.rows.get(id as usize)?.as_ref().map(|row| (&row.key, &row.entry))
    }

    pub(super) fn id(&self, namespace: &str, name: &str) -> Option<PodId> {
        self.by_name.get(namespace)?.get(name).copied()
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<&PodEntry> {
        self.of(self.id(namespace, name)?)
    }

    /// The same for a pod that was found before, at the place that is remembered.
    pub(super) fn get_again(&self, namespace: &str, name: &str, found: &Found) -> Option<&PodEntry> {
        let (id, serial) = found.last();
        let row = self.rows.get(id as usize).and_then(Option::as_ref).filter(|row| row.serial == serial);
        if let Some(row) = row.filter(|_| serial != 0) {
            return Some(&row.entry);
        }
        let id = self.id(namespace, name)?;
        let row = self.rows.get(id as usize)?.as_ref()?;
        found.remember(id, row.serial);
        Some(&row.entry)
    }

    /// All of them, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &PodEntry> {
        self.rows.iter().flatten().map(|row| &row.entry)
    }

    /// The namespaces behind one.
    pub(super) fn behind(
        &self,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = (&Arc<str>, &NamespacePods)> {
        let from = namespace.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_name.range::<str, _>((from, Bound::Unbounded))
    }

    /// Adds a pod, in the place of one with its name.
    pub(super) fn insert(&mut self, namespace: &str, name: &str, entry: PodEntry) -> PodId {
        if let Some(id) = self.id(namespace, name) {
            self.change(id, |known| *known = entry);
            return id;
        }
        let known = self.by_name.get_key_value(namespace);
        let namespace = known.map_or_else(|| namespace.into(), |(shared, _)| shared.clone());
        let key: PodKey = (namespace, name.into());
        let id = self.free.pop().unwrap_or(self.rows.len() as PodId);
        self.by_name.entry(key.0.clone()).or_default().insert(key.1.clone(), id);
        // Zero is that of nothing found yet.
        self.serial = self.serial.checked_add(1).unwrap_or(1);
        let row = Some(Row { key, serial: self.serial, entry: PodEntry::empty(entry.node) });
        match self.rows.get_mut(id as usize) {
            Some(slot) => *slot = row,
            None => self.rows.push(row),
        }
        self.change(id, |known| *known = entry);
        id
    }

    pub(super) fn remove(&mut self, id: PodId) {
        let Some(Row { key: (namespace, name), entry, .. }) =
            self.rows.get_mut(id as usize).and_then(Option::take)
        else {
            return;
        };
        self.listed_bytes -= entry.listed_bytes();
        self.free.push(id);
        let Some(pods) = self.by_name.get_mut(&namespace) else { return };
        pods.remove(&name);
        if pods.is_empty() {
            self.by_name.remove(&namespace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(node: u32) -> PodEntry {
        PodEntry::empty(node)
    }

    #[test]
    fn what_was_found_is_found_again_and_never_another() {
        let mut pods = Pods::default();
        let (one, two) = (Found::default(), Found::default());
        assert!(pods.get_again("n", "one", &one).is_none());
        let id = pods.insert("n", "one", entry(1));
        assert_eq!(pods.get_again("n", "one", &one).map(|entry| entry.node), Some(1));
        assert_eq!(pods.get_again("n", "one", &one).map(|entry| entry.node), Some(1));
        pods.remove(id);
        assert!(pods.get_again("n", "one", &one).is_none());
        assert_eq!(pods.insert("n", "two", entry(2)), id, "rows are used again");
        assert!(pods.get_again("n", "one", &one).is_none());
        assert_eq!(pods.get_again("n", "two", &two).map(|entry| entry.node), Some(2));
        pods.insert("n", "one", entry(3));
        assert_eq!(pods.get_again("n", "one", &one).map(|entry| entry.node), Some(3));
        pods.insert("n", "one", entry(4));
        assert_eq!(pods.get_again("n", "one", &one).map(|entry| entry.node), Some(4));
    }
}
