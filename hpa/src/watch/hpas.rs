//! All HPAs, compiled.

use crate::compile::compile;
use crate::decide::Rules;
use flyball_model::autoscaling::{apply_defaults, v2};
use kube::api::DynamicObject;
use kube::runtime::watcher::Event;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Namespace and name.
pub(crate) type Key = (String, String);

/// One HPA as last seen.
#[derive(Debug)]
pub(crate) struct HpaEntry {
    pub(crate) key: Key,
    pub(crate) uid: String,
    pub(crate) resource_version: Option<String>,
    /// The object with defaults filled in.
    pub(crate) hpa: v2::HorizontalPodAutoscaler,
    pub(crate) rules: Rules,
}

impl HpaEntry {
    fn parse(object: &DynamicObject) -> Result<Self, serde_json::Error> {
        let mut hpa: v2::HorizontalPodAutoscaler = serde_json::from_value(serde_json::to_value(object)?)?;
        apply_defaults(&mut hpa);
        let rules = compile(&hpa);
        Ok(HpaEntry {
            key: (hpa.metadata.namespace.clone(), hpa.metadata.name.clone()),
            uid: hpa.metadata.uid.clone().unwrap_or_default(),
            resource_version: hpa.metadata.resource_version.clone(),
            rules,
            hpa,
        })
    }

    /// The resource version as a number, where it is one.
    pub(crate) fn version(&self) -> Option<u64> {
        self.resource_version.as_deref().and_then(|version| version.parse().ok())
    }
}

/// What an event changed.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// A new object, or a spec that differs.
    Spec(Arc<HpaEntry>),
    /// Only status or metadata.
    Status,
    /// Gone.
    Deleted(Arc<HpaEntry>),
}

/// Reflected HPAs.
#[derive(Default)]
pub(crate) struct HpaStore {
    entries: RwLock<HashMap<Key, Arc<HpaEntry>>>,
    relisting: RwLock<Option<HashMap<Key, Arc<HpaEntry>>>>,
    synced: AtomicBool,
}

impl HpaStore {
    /// Whether the first list has arrived.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<HpaEntry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Applies a watch event; gives what changed.
    pub(crate) fn apply(&self, event: Event<DynamicObject>) -> Vec<Change> {
        let relisting = || self.relisting.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => {
                *relisting() = Some(HashMap::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                if let (Some(entry), Some(list)) = (parse(&object), relisting().as_mut()) {
                    list.insert(entry.key.clone(), entry);
                }
                Vec::new()
            }
            Event::InitDone => {
                let list = relisting().take().unwrap_or_default();
                let changes = self.replace(list);
                self.synced.store(true, Ordering::Release);
                changes
            }
            Event::Apply(object) => parse(&object).map(|entry| self.insert(entry)).unwrap_or_default(),
            Event::Delete(object) => {
                let key =
                    (object.metadata.namespace.unwrap_or_default(), object.metadata.name.unwrap_or_default());
                let gone = self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
                gone.map(Change::Deleted).into_iter().collect()
            }
        }
    }

    fn insert(&self, entry: Arc<HpaEntry>) -> Vec<Change> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let old = entries.insert(entry.key.clone(), entry.clone());
        changes_of(old, entry)
    }

    fn replace(&self, list: HashMap<Key, Arc<HpaEntry>>) -> Vec<Change> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let mut old = std::mem::take(&mut *entries);
        let mut changes = Vec::new();
        for (key, entry) in &list {
            changes.extend(changes_of(old.remove(key), entry.clone()));
        }
        changes.extend(old.into_values().map(Change::Deleted));
        *entries = list;
        changes
    }
}

/// An object under an old name but with a new UID is another one.
fn changes_of(old: Option<Arc<HpaEntry>>, new: Arc<HpaEntry>) -> Vec<Change> {
    match old {
        Some(old) if old.uid != new.uid => vec![Change::Deleted(old), Change::Spec(new)],
        Some(old) if old.hpa.spec == new.hpa.spec => vec![Change::Status],
        _ => vec![Change::Spec(new)],
    }
}

fn parse(object: &DynamicObject) -> Option<Arc<HpaEntry>> {
    match HpaEntry::parse(object) {
        Ok(entry) => Some(Arc::new(entry)),
        Err(error) => {
            let (namespace, name) = (&object.metadata.namespace, &object.metadata.name);
            tracing::warn!(?namespace, ?name, %error, "an HPA cannot be read and is left alone");
            None
        }
    }
}
