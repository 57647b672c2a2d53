//! The objects of the cluster: what may be stored, how it changes, who hears of it, and that it survives.
//!
//! Promise: every change goes through one lock, gets the next resourceVersion, obeys upstream's rules for its kind
//! (defaults, validation, generation, finalizers, graceful deletion), reaches every watcher in order, and is on disk once
//! [`Registry::durable`] resolves. Objects are JSON values, so fields this program does not know survive.

mod bootstrap;
pub mod clock;
mod delete;
mod disk;
pub mod errors;
mod events;
pub mod json;
pub mod kinds;
mod record;
pub(crate) mod rules;
mod service;
mod store;
pub mod strict;
mod watch;
mod write;

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

pub use delete::{DeleteOptions, Deleted, Propagation};
pub use disk::StoreError;
pub use events::{EVENT_LIFETIME_MS, MAX_EVENTS};
pub use flyball_apiserver::status::Status;
pub use kinds::Resource;
pub use watch::{RING_EVENTS, WatchEvent, WatchKind, WatchStream};
pub use write::Part;

use store::Shared;

/// Added to the last stored version at each start: versions that were handed out but not yet on disk when the process
/// was killed are never given to other changes.
const RESTART_GAP: u64 = 1_000_000;

/// All objects; clones share them.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

/// What a list returns: one consistent moment.
#[derive(Clone, Debug)]
pub struct Listing {
    /// By namespace, then name, in byte order.
    pub items: Vec<Arc<Value>>,
    /// The version of that moment; a watch from here misses nothing.
    pub resource_version: u64,
}

impl Registry {
    /// Opens or creates the data folder and holds it until [`Registry::close`] or the last clone's end.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with_reserve(dir, None)
    }

    /// Like [`Registry::open`], keeping `reserve_bytes` of the disk free instead of the default.
    pub fn open_with_reserve(dir: &Path, reserve_bytes: Option<u64>) -> Result<Self, StoreError> {
        let opened = disk::open(dir, reserve_bytes)?;
        let newest = opened.objects.iter().filter_map(|(_, object)| json::resource_version(object)).max();
        let version = newest.map_or(1, |newest| newest + RESTART_GAP);
        let registry = Self { shared: Arc::new(Shared::new(version, opened.objects, Some(opened.journal))) };
        registry.bootstrap();
        Ok(registry)
    }

    /// A registry that forgets everything at the end of the process.
    pub fn in_memory() -> Self {
        let registry = Self { shared: Arc::new(Shared::new(1, Vec::new(), None)) };
        registry.bootstrap();
        registry
    }

    /// One object; `namespace` is empty for cluster-scoped kinds.
    pub fn get(&self, resource: &'static Resource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.shared.lock().get(resource, namespace, name).cloned()
    }

    /// The objects of a namespace, or all of them.
    pub fn list(&self, resource: &'static Resource, namespace: Option<&str>) -> Listing {
        let state = self.shared.lock();
        let items = state.shelf(resource).scan(namespace).map(|(_, object)| object.clone()).collect();
        Listing { items, resource_version: state.version }
    }

    /// Changes from `since` on (exclusive), or from now on. `Err` is 410 when `since` is older than what is remembered, or
    /// has not been reached.
    pub fn watch(
        &self,
        resource: &'static Resource,
        namespace: Option<&str>,
        since: Option<u64>,
    ) -> Result<WatchStream, Status> {
        let state = self.shared.lock();
        let shelf = state.shelf(resource);
        let position = since.unwrap_or(state.version);
        if !shelf.ring.covers(position) {
            return Err(errors::expired(format!("too old resource version: {position} ({})", state.version)));
        }
        if position > state.version {
            // Of another life of this data folder. As good as forgotten: only a new list helps, and 410 asks for one.
            let message = format!("Too large resource version: {position}, current: {}", state.version);
            return Err(errors::expired(message));
        }
        let changed = shelf.subscribe();
        Ok(WatchStream::new(self.shared.clone(), resource, namespace.map(str::to_owned), position, changed))
    }

    /// The objects of this moment and the changes after it, with nothing in between lost.
    pub fn list_and_watch(
        &self,
        resource: &'static Resource,
        namespace: Option<&str>,
    ) -> (Listing, WatchStream) {
        let state = self.shared.lock();
        let shelf = state.shelf(resource);
        let items = shelf.scan(namespace).map(|(_, object)| object.clone()).collect();
        let namespace = namespace.map(str::to_owned);
        let watch =
            WatchStream::new(self.shared.clone(), resource, namespace, state.version, shelf.subscribe());
        (Listing { items, resource_version: state.version }, watch)
    }

    /// The version of the newest change.
    pub fn resource_version(&self) -> u64 {
        self.shared.lock().version
    }

    /// Resolves when all writes so far are on disk; `Err` is 507 when the disk refuses them. One flush serves all waiters.
    pub async fn durable(&self) -> Result<(), Status> {
        match &self.shared.journal {
            Some(journal) => journal.durable().await.map_err(|failure| errors::storage(&failure)),
            None => Ok(()),
        }
    }

    /// Flushes and stops writing; blocks for one flush. Reads go on, later writes are refused.
    pub fn close(&self) {
        if let Some(journal) = &self.shared.journal {
            journal.close();
        }
    }

    /// Services get their addresses from here; addresses already given stay as they are.
    pub fn set_service_addresses(&self, addresses: RangeInclusive<Ipv4Addr>) {
        self.shared.lock().service_addresses = addresses;
    }
}
