//! All objects in memory under one lock, the version counter, and the hand-over of each change to watchers and disk.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use super::disk::Journal;
use super::json;
use super::kinds::{self, Resource};
use super::watch::{Ring, WatchEvent, WatchKind};

/// Namespace (empty for cluster-scoped objects) and name.
pub(super) type Key = (String, String);

/// One kind's objects and recent changes.
pub(super) struct Shelf {
    pub(super) objects: BTreeMap<Key, Arc<Value>>,
    pub(super) ring: Ring,
    changed: watch::Sender<u64>,
}

impl Shelf {
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The objects of one namespace, or all of them, in key order.
    pub(super) fn scan<'a>(
        &'a self,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        let from = (namespace.unwrap_or("").to_owned(), String::new());
        self.objects.range(from..).take_while(move |((ns, _), _)| namespace.is_none_or(|wanted| wanted == ns))
    }
}

/// Everything behind the lock.
pub(super) struct State {
    /// The version of the newest change, of whatever kind.
    pub(super) version: u64,
    shelves: Vec<Shelf>,
    pub(super) service_addresses: RangeInclusive<Ipv4Addr>,
    /// When expired Events were last looked for, unix milliseconds.
    pub(super) events_swept_ms: i64,
}

/// The state and its journal, shared by every handle and watcher.
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) journal: Option<Journal>,
}

impl Shared {
    pub(super) fn new(
        version: u64,
        objects: Vec<(&'static Resource, Value)>,
        journal: Option<Journal>,
    ) -> Self {
        let mut shelves: Vec<Shelf> = kinds::ALL
            .iter()
            .map(|_| Shelf {
                objects: BTreeMap::new(),
                ring: Ring::new(version),
                changed: watch::Sender::new(version),
            })
            .collect();
        for (resource, object) in objects {
            let key = (json::namespace(&object).to_owned(), json::name(&object).to_owned());
            shelves[resource.index].objects.insert(key, Arc::new(object));
        }
        let service_addresses = super::service::DEFAULT_ADDRESSES;
        let state = State { version, shelves, service_addresses, events_swept_ms: 0 };
        Self { state: Mutex::new(state), journal }
    }

    /// A panic while the lock was held cannot leave a half-made change: changes are published last.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn shelf(&self, resource: &Resource) -> &Shelf {
        &self.shelves[resource.index]
    }

    pub(super) fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.shelf(resource).objects.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Stores the object under a new version and tells watchers and the journal.
    pub(super) fn put(
        &mut self,
        journal: Option<&Journal>,
        resource: &'static Resource,
        mut object: Value,
    ) -> Arc<Value> {
        let version = self.stamp(&mut object);
        let key = (json::namespace(&object).to_owned(), json::name(&object).to_owned());
        let object = Arc::new(object);
        let previous = self.shelves[resource.index].objects.insert(key.clone(), object.clone());
        let kind = if previous.is_some() { WatchKind::Modified } else { WatchKind::Added };
        if let Some(journal) = journal {
            journal.record(version, resource, &key, Some(object.clone()));
        }
        self.publish(
            resource,
            WatchEvent { kind, object: object.clone(), previous, resource_version: version },
        );
        object
    }

    /// Removes the object; its last state carries the version of its removal, as upstream's DELETED events do.
    pub(super) fn remove(
        &mut self,
        journal: Option<&Journal>,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Value>> {
        let key = (namespace.to_owned(), name.to_owned());
        let previous = self.shelves[resource.index].objects.remove(&key)?;
        let mut last = (*previous).clone();
        let version = self.stamp(&mut last);
        let object = Arc::new(last);
        if let Some(journal) = journal {
            journal.record(version, resource, &key, None);
        }
        let event = WatchEvent {
            kind: WatchKind::Deleted,
            object: object.clone(),
            previous: Some(previous),
            resource_version: version,
        };
        self.publish(resource, event);
        Some(object)
    }

    fn stamp(&mut self, object: &mut Value) -> u64 {
        self.version += 1;
        json::metadata(object).insert("resourceVersion".into(), Value::from(self.version.to_string()));
        self.version
    }

    fn publish(&mut self, resource: &Resource, event: WatchEvent) {
        let version = event.resource_version;
        let shelf = &mut self.shelves[resource.index];
        shelf.ring.push(event);
        shelf.changed.send_replace(version);
    }
}
