//! The loop that all controllers share: changes of objects make keys due, a due key is synced, a failed one is retried
//! with growing delay, and every key is looked at again every [`RESYNC`].
//!
//! Level-triggered: a sync reads the present state from the registry and never relies on having seen every change. The
//! number of keys is bounded by the number of objects, since a key stands for one object.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::registry::clock::now_ms;
use crate::registry::kinds::Resource;
use crate::registry::{Registry, Status, WatchEvent};

/// Time after which every key is looked at again, whatever happened.
const RESYNC: Duration = Duration::from_secs(60);
/// First delay after a failed sync; it doubles with every further failure.
const RETRY_FIRST: Duration = Duration::from_millis(20);
/// Longest delay between attempts.
const RETRY_LONGEST: Duration = Duration::from_secs(30);
/// Changes taken from the watches at once.
const BATCH_EVENTS: usize = 64;

/// Namespace (empty for cluster-scoped objects) and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Object name.
    pub name: String,
}

impl Key {
    /// Key of an object.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// What one controller does; the loop does the rest.
pub(super) trait Controller: Send + 'static {
    /// Name for logs.
    const NAME: &'static str;

    /// Kinds whose changes matter.
    fn watches(&self) -> &'static [&'static Resource];

    /// Keys to look at after a change.
    fn affected(&self, registry: &Registry, resource: &'static Resource, event: &WatchEvent) -> Vec<Key>;

    /// All keys, for the first round and each resync.
    fn all(&self, registry: &Registry) -> Vec<Key>;

    /// Brings the world closer to what the object asks for. `Some(delay)`: look again after that time at the latest.
    fn sync(&mut self, registry: &Registry, key: &Key, now_ms: i64) -> Result<Option<Duration>, Status>;
}

type Changes = BoxStream<'static, Vec<(&'static Resource, Result<WatchEvent, Status>)>>;

fn watch(registry: &Registry, resources: &[&'static Resource]) -> Result<Changes, Status> {
    let tagged = resources.iter().map(|resource| {
        let resource: &'static Resource = resource;
        let events = registry.watch(resource, None, None)?.into_stream();
        Ok(events.map(move |event| (resource, event)).boxed())
    });
    let streams = tagged.collect::<Result<Vec<_>, Status>>()?;
    Ok(stream::select_all(streams).ready_chunks(BATCH_EVENTS).boxed())
}

/// Runs a controller until shutdown, or until the registry closes.
pub(super) async fn drive<C: Controller>(mut controller: C, registry: Registry, shutdown: CancellationToken) {
    let mut due = Due::default();
    let Ok(mut changes) = watch(&registry, controller.watches()) else { return };
    let mut resync_at = Instant::now();
    loop {
        if Instant::now() >= resync_at {
            due.add_all(controller.all(&registry));
            resync_at = Instant::now() + RESYNC;
        }
        for key in due.take() {
            let outcome = controller.sync(&registry, &key, now_ms());
            if let Err(status) = &outcome {
                tracing::debug!(controller = C::NAME, ?key, ?status, "sync failed, will retry");
            }
            due.settle(key, outcome.ok());
            tokio::task::yield_now().await;
        }
        let wake_at = due.next().map_or(resync_at, |next| next.min(resync_at));
        let batch = tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep_until(wake_at) => continue,
            batch = changes.next() => batch,
        };
        let Some(batch) = batch else { return };
        for (resource, event) in batch {
            match event {
                Ok(event) => due.add_all(controller.affected(&registry, resource, &event)),
                Err(_expired) => {
                    let Ok(fresh) = watch(&registry, controller.watches()) else { return };
                    changes = fresh;
                    resync_at = Instant::now();
                    break;
                }
            }
        }
    }
}

/// Keys and when they are due, with the count of failures in a row.
#[derive(Default)]
struct Due {
    at: BTreeMap<Key, Instant>,
    failures: HashMap<Key, u32>,
}

impl Due {
    fn add_all(&mut self, keys: Vec<Key>) {
        let now = Instant::now();
        for key in keys {
            self.at.insert(key, now);
        }
    }

    fn take(&mut self) -> Vec<Key> {
        let now = Instant::now();
        let keys: Vec<Key> =
            self.at.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
        for key in &keys {
            self.at.remove(key);
        }
        keys
    }

    fn next(&self) -> Option<Instant> {
        self.at.values().min().copied()
    }

    /// Notes the outcome of a sync: `None` is a failure.
    fn settle(&mut self, key: Key, outcome: Option<Option<Duration>>) {
        let delay = match outcome {
            Some(again) => {
                self.failures.remove(&key);
                again
            }
            None => {
                let failures = self.failures.entry(key.clone()).or_insert(0);
                *failures += 1;
                Some(retry_delay(*failures))
            }
        };
        if let Some(delay) = delay {
            self.at.entry(key).or_insert(Instant::now() + delay);
        }
    }
}

/// Delay before the next attempt after so many failures in a row.
fn retry_delay(failures: u32) -> Duration {
    RETRY_FIRST.saturating_mul(1_u32 << failures.saturating_sub(1).min(20)).min(RETRY_LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_double_up_to_the_longest() {
        let delays: Vec<u128> = [1, 2, 3, 12, 40].map(|failures| retry_delay(failures).as_millis()).to_vec();
        assert_eq!(delays, vec![20, 40, 80, 30_000, 30_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn failed_key_comes_back_and_success_forgets() {
        let mut due = Due::default();
        let key = Key::new("ns", "a");
        due.add_all(vec![key.clone()]);
        assert_eq!(due.take(), vec![key.clone()]);
        due.settle(key.clone(), None);
        assert!(due.take().is_empty());
        tokio::time::advance(RETRY_FIRST).await;
        assert_eq!(due.take(), vec![key.clone()]);
        due.settle(key, Some(None));
        assert!(due.next().is_none() && due.failures.is_empty());
    }
}
