//! The loop over the pods of this node: a worker for each, told what to do by what happens to its object.
#![allow(clippy::disallowed_methods, reason = "edge: one task per pod")]

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::pod::{self, Order};
use crate::controllers::object;
use crate::registry::kinds::PODS;
use crate::registry::{WatchEvent, WatchKind};

/// Longest time for all pods to stop when the cluster stops.
const HALT_TIMEOUT: Duration = Duration::from_secs(5);

/// Starts the loop.
pub(super) fn start(shared: Arc<Shared>, stop: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(Pods { shared, workers: HashMap::new(), tasks: JoinSet::new() }.run(stop))
}

struct Pods {
    shared: Arc<Shared>,
    /// By pod UID.
    workers: HashMap<String, watch::Sender<Order>>,
    tasks: JoinSet<String>,
}

impl Pods {
    async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let (listing, mut events) = self.shared.registry.list_and_watch(&PODS, None);
            self.catch_up(&listing.items);
            loop {
                let event = tokio::select! {
                    () = stop.cancelled() => break,
                    Some(ended) = self.tasks.join_next() => {
                        if let Ok(uid) = ended {
                            self.workers.remove(&uid);
                        }
                        continue;
                    }
                    event = events.next() => event,
                };
                match event {
                    Some(Ok(event)) => self.take(&event),
                    // Expired: list again.
                    Some(Err(_)) => break,
                    None => return self.halt().await,
                }
            }
        }
        self.halt().await;
    }

    /// Brings the workers in line with a fresh list.
    fn catch_up(&mut self, pods: &[Arc<Value>]) {
        let present: BTreeSet<String> = pods.iter().map(|pod| object::uid(pod).to_owned()).collect();
        self.shared.logs.retain(&present);
        for (uid, orders) in &self.workers {
            if !present.contains(uid) {
                orders.send_replace(Order::Gone);
            }
        }
        for pod in pods {
            self.look_after(pod);
        }
    }

    fn take(&mut self, event: &WatchEvent) {
        if event.kind != WatchKind::Deleted {
            return self.look_after(&event.object);
        }
        if let Some(orders) = self.workers.get(object::uid(&event.object)) {
            orders.send_replace(Order::Gone);
        }
    }

    fn look_after(&mut self, pod: &Arc<Value>) {
        if object::text(pod, "/spec/nodeName") != self.shared.config.node_name {
            return;
        }
        let order = if object::is_deleting(pod) {
            let seconds = object::number(pod, "/metadata/deletionGracePeriodSeconds").unwrap_or(0);
            Order::Delete(Instant::now() + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
        } else {
            Order::Run
        };
        let uid = object::uid(pod);
        match self.workers.get(uid) {
            Some(orders) => {
                orders.send_if_modified(|known| {
                    let closer = match (*known, order) {
                        (Order::Run, Order::Delete(_)) => true,
                        (Order::Delete(known), Order::Delete(by)) => by < known,
                        _ => false,
                    };
                    if closer {
                        *known = order;
                    }
                    closer
                });
            }
            None => {
                let (sender, orders) = watch::channel(order);
                self.workers.insert(uid.to_owned(), sender);
                let (shared, pod, uid) = (self.shared.clone(), pod.clone(), uid.to_owned());
                self.tasks.spawn(async move {
                    pod::work(shared, pod, orders).await;
                    uid
                });
            }
        }
    }

    async fn halt(mut self) {
        for orders in self.workers.values() {
            orders.send_replace(Order::Halt);
        }
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(HALT_TIMEOUT, all).await.is_err() {
            tracing::warn!("some containers do not end, they are killed");
        }
    }
}
