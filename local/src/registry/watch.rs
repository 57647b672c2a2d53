//! The memory of past changes and the watchers that read it.
//!
//! Each kind keeps its last [`RING_EVENTS`] changes. A watcher holds a position, not a queue: it reads what lies behind
//! its position whenever it is asked for the next event, so a slow reader costs nothing and, once the ring has moved
//! past it, is told `410 Expired` and has to list again.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use serde_json::Value;
use tokio::sync::watch;

use super::Status;
use super::errors;
use super::kinds::Resource;
use super::store::Shared;

/// Changes remembered per kind.
pub const RING_EVENTS: usize = 1000;

/// Changes a watcher takes out of the ring at a time, so that the lock is held briefly.
const BATCH_EVENTS: usize = 64;

/// What happened to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchKind {
    /// It did not exist before.
    Added,
    /// It changed.
    Modified,
    /// It is gone; the event carries its last state.
    Deleted,
}

/// One change of one object.
#[derive(Clone, Debug)]
pub struct WatchEvent {
    /// What happened.
    pub kind: WatchKind,
    /// The object after the change (its last state when deleted), carrying `resource_version`.
    pub object: Arc<Value>,
    /// The object before the change; selectors need it to tell "left the selection" from "was never in it".
    pub previous: Option<Arc<Value>>,
    /// The version the change made.
    pub resource_version: u64,
}

/// The remembered changes of one kind, oldest first.
pub(super) struct Ring {
    events: VecDeque<WatchEvent>,
    /// Changes at or before this version are forgotten.
    floor: u64,
}

impl Ring {
    pub(super) fn new(floor: u64) -> Self {
        Self { events: VecDeque::new(), floor }
    }

    pub(super) fn push(&mut self, event: WatchEvent) {
        if self.events.len() == RING_EVENTS
            && let Some(oldest) = self.events.pop_front()
        {
            self.floor = oldest.resource_version;
        }
        self.events.push_back(event);
    }

    /// Whether a watch can start after `version` without missing a change.
    pub(super) fn covers(&self, version: u64) -> bool {
        version >= self.floor
    }

    fn after(&self, version: u64) -> impl Iterator<Item = &WatchEvent> {
        let start = self.events.partition_point(|event| event.resource_version <= version);
        self.events.range(start..)
    }
}

/// A watch over one kind, from a version on. Cancelling [`WatchStream::next`] loses nothing.
pub struct WatchStream {
    shared: Arc<Shared>,
    resource: &'static Resource,
    namespace: Option<String>,
    position: u64,
    batch: VecDeque<WatchEvent>,
    changed: watch::Receiver<u64>,
}

impl WatchStream {
    pub(super) fn new(
        shared: Arc<Shared>,
        resource: &'static Resource,
        namespace: Option<String>,
        position: u64,
        changed: watch::Receiver<u64>,
    ) -> Self {
        Self { shared, resource, namespace, position, batch: VecDeque::new(), changed }
    }

    /// The next change. `Err` (410) once, then the watch is over: list again and watch from there.
    pub async fn next(&mut self) -> Option<Result<WatchEvent, Status>> {
        loop {
            if let Some(event) = self.batch.pop_front() {
                return Some(Ok(event));
            }
            self.changed.borrow_and_update();
            if let Err(status) = self.refill() {
                return Some(Err(status));
            }
            if self.batch.is_empty() && self.changed.changed().await.is_err() {
                return None;
            }
        }
    }

    /// The version up to which every change of this kind has been handed out: what a bookmark may carry.
    pub fn position(&self) -> u64 {
        self.batch.front().map_or(self.position, |event| event.resource_version.saturating_sub(1))
    }

    /// Moves the position to the newest version when nothing is waiting to be read. For bookmarks on a quiet kind.
    pub fn catch_up(&mut self) {
        if self.batch.is_empty() {
            // An expired position is reported by the next call of `next`.
            let _ = self.refill();
        }
    }

    /// The same watch as a `Stream`.
    pub fn into_stream(self) -> BoxStream<'static, Result<WatchEvent, Status>> {
        stream::unfold(self, |mut watch| async move { watch.next().await.map(|event| (event, watch)) })
            .boxed()
    }

    fn refill(&mut self) -> Result<(), Status> {
        let state = self.shared.lock();
        let ring = &state.shelf(self.resource).ring;
        if !ring.covers(self.position) {
            let message = format!("too old resource version: {} ({})", self.position, ring.floor);
            return Err(errors::expired(message));
        }
        let mut taken = 0;
        let mut last = state.version;
        for event in ring.after(self.position) {
            if taken == BATCH_EVENTS {
                break;
            }
            taken += 1;
            last = event.resource_version;
            let wanted = self.namespace.as_deref();
            if wanted.is_none_or(|namespace| super::json::namespace(&event.object) == namespace) {
                self.batch.push_back(event.clone());
            }
        }
        self.position = if taken == BATCH_EVENTS { last } else { state.version };
        Ok(())
    }
}
