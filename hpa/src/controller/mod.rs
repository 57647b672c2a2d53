//! The running autoscaler: watches feed it, the schedule wakes it, workers evaluate.

mod answers;
mod inputs;
mod queue;
mod reconcile;
mod state;

#[cfg(test)]
mod tests;

use crate::cluster::{Api, Checkpoints, CustomMetrics, Discovery, Events, ResourceMetrics, Scales, Statuses};
use crate::config::Config;
use crate::own_metrics::Metrics;
use crate::watch::{Change, HpaStore, Key, PodStore, Selectors, hpa_events, pod_events};
use answers::{Answers, MetricsKey};
use futures_util::StreamExt;
use kube::Client;
use queue::Queue;
use state::States;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

/// Resolution of the schedule.
const TICK: Duration = Duration::from_millis(100);
/// Questions about metrics in flight.
const MAX_POLLS: usize = 32;
/// Time for evaluations in progress to end after the order to stop.
const DRAIN: Duration = Duration::from_secs(15);
/// Pause before history is asked for again when the API server does not answer at start.
const LOAD_RETRY: Duration = Duration::from_secs(2);

/// What all parts share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) metrics: Metrics,
    pub(crate) hpas: HpaStore,
    pub(crate) pods: PodStore,
    pub(crate) selectors: Selectors,
    pub(crate) discovery: Arc<Discovery>,
    pub(crate) scales: Scales,
    pub(crate) statuses: Statuses,
    pub(crate) events: Events,
    pub(crate) answers: Answers,
    pub(crate) custom: CustomMetrics,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) states: States,
    /// Unix milliseconds of the loop's last turn; 0 before the first.
    pub(crate) turned_ms: AtomicI64,
}

impl Shared {
    pub(crate) fn new(client: Client, config: Config) -> Self {
        let namespace = config.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let api = Api::new(client);
        let discovery = Arc::new(Discovery::new(api.clone()));
        Shared {
            metrics: Metrics::default(),
            hpas: HpaStore::default(),
            pods: PodStore::default(),
            selectors: Selectors::default(),
            scales: Scales::new(api.clone()),
            statuses: Statuses::new(api.clone()),
            events: Events::new(api.clone(), config.sync_period_ms()),
            answers: Answers::new(ResourceMetrics::new(api.clone(), discovery.clone())),
            custom: CustomMetrics::new(api.clone(), discovery.clone()),
            checkpoints: Checkpoints::new(api, namespace),
            states: States::default(),
            discovery,
            turned_ms: AtomicI64::new(0),
            config,
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        (self.config.clock)()
    }
}

/// What a task did.
enum Finished {
    Evaluated { key: Key, metrics_key: Option<MetricsKey> },
    Polled { key: MetricsKey, newest_ms: Option<i64>, pods: usize },
}

/// The loop and its bookkeeping.
pub(crate) struct Controller {
    shared: Arc<Shared>,
    queue: Queue,
    tasks: JoinSet<Finished>,
    evaluating: HashMap<Id, Key>,
    polling: HashMap<Id, MetricsKey>,
    /// Namespaces with changed pods since the last tick.
    changed_pods: HashSet<String>,
}

impl Controller {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Controller {
            queue: Queue::new(shared.config.sync_period_ms(), shared.config.compat_upstream),
            shared,
            tasks: JoinSet::new(),
            evaluating: HashMap::new(),
            polling: HashMap::new(),
            changed_pods: HashSet::new(),
        }
    }

    /// Runs until shutdown, then stores all histories.
    pub(crate) async fn run(mut self, client: Client, shutdown: CancellationToken) {
        if shutdown.run_until_cancelled(self.load_histories()).await.is_none() {
            return;
        }
        let mut hpas = std::pin::pin!(hpa_events(client.clone()));
        let mut pods = std::pin::pin!(pod_events(client));
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(event) = hpas.next() => {
                    let changes = self.shared.hpas.apply(event);
                    for change in changes {
                        self.apply(change).await;
                    }
                }
                Some(event) = pods.next() => {
                    // The first list changes nothing: nobody was evaluated before it.
                    let is_first = !self.shared.pods.is_synced();
                    let changed = self.shared.pods.apply(event);
                    self.changed_pods.extend(changed.into_iter().filter(|_| !is_first));
                }
                Some(done) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.finished(done),
                _ = tick.tick() => self.turn(),
            }
            self.start_evaluations();
        }
        self.stop().await;
    }

    /// Reads histories; waits for an API server that does not answer, goes on without if it refuses.
    async fn load_histories(&self) {
        if !self.shared.config.keeps_history() {
            return;
        }
        loop {
            match self.shared.checkpoints.load().await {
                Ok(entries) => {
                    tracing::info!(entries = entries.len(), "history read");
                    return self.shared.states.restore(entries);
                }
                Err(error) if matches!(error.code, 401 | 403) => {
                    return tracing::warn!(%error, "history cannot be read and starts empty");
                }
                Err(error) => tracing::warn!(%error, "history cannot be read yet"),
            }
            tokio::time::sleep(LOAD_RETRY).await;
        }
    }

    async fn apply(&mut self, change: Change) {
        let shared = self.shared.clone();
        let now_ms = shared.now_ms();
        match change {
            Change::Spec(entry) => {
                shared.selectors.register(&entry.key);
                self.queue.want(&entry.key, now_ms);
            }
            Change::Status => {}
            Change::Deleted(entry) => {
                self.queue.remove(&entry.key);
                shared.selectors.remove(&entry.key);
                shared.metrics.forget(&entry.key);
                shared.states.remove(&entry, &shared.config);
                if shared.config.keeps_history() {
                    shared.checkpoints.queue(&entry.uid, None).await;
                }
            }
        }
        shared.metrics.autoscalers(shared.hpas.len());
    }

    /// One turn of the schedule: what is due by time or by changed pods, and questions about metrics.
    fn turn(&mut self) {
        let now_ms = self.shared.now_ms();
        self.shared.turned_ms.store(now_ms, Ordering::Release);
        if !self.shared.hpas.is_synced() || !self.shared.pods.is_synced() {
            return;
        }
        for namespace in std::mem::take(&mut self.changed_pods) {
            self.queue.pods_changed(&namespace);
        }
        self.queue.due(now_ms);
        for key in self.queue.polls(now_ms, MAX_POLLS.saturating_sub(self.polling.len())) {
            let (shared, polled) = (self.shared.clone(), key.clone());
            let handle = self.tasks.spawn(async move {
                let answer = shared.answers.refresh(&polled, shared.now_ms()).await;
                let pods = answer.samples.as_ref().map_or(0, |samples| samples.len());
                Finished::Polled { key: polled, newest_ms: answer.newest_ms(), pods }
            });
            self.polling.insert(handle.id(), key);
        }
    }

    fn start_evaluations(&mut self) {
        if !self.shared.hpas.is_synced() || !self.shared.pods.is_synced() {
            return;
        }
        while self.evaluating.len() < self.shared.config.concurrent_syncs {
            let Some(key) = self.queue.next() else { return };
            let Some(entry) = self.shared.hpas.get(&key) else {
                self.queue.remove(&key);
                continue;
            };
            let shared = self.shared.clone();
            let handle = self.tasks.spawn(async move {
                let metrics_key = reconcile::reconcile(&shared, &entry).await;
                Finished::Evaluated { key: entry.key.clone(), metrics_key }
            });
            self.evaluating.insert(handle.id(), key);
        }
    }

    fn finished(&mut self, done: Result<(Id, Finished), tokio::task::JoinError>) {
        let now_ms = self.shared.now_ms();
        match done {
            Ok((id, Finished::Evaluated { key, metrics_key })) => {
                self.evaluating.remove(&id);
                let unused = self.queue.evaluated(&key, metrics_key, now_ms);
                if let Some(unused) = unused {
                    self.shared.answers.forget(&unused);
                }
            }
            Ok((id, Finished::Polled { key, newest_ms, pods })) => {
                self.polling.remove(&id);
                self.queue.polled(&key, newest_ms, pods, now_ms);
            }
            // A panic is one HPA's evaluation, or one question; the others go on.
            Err(error) => {
                self.shared.metrics.panicked();
                if let Some(key) = self.evaluating.remove(&error.id()) {
                    tracing::error!(namespace = key.0, name = key.1, %error, "an evaluation panicked");
                    self.queue.evaluated(&key, None, now_ms);
                }
                if let Some(key) = self.polling.remove(&error.id()) {
                    self.queue.polled(&key, None, 0, now_ms);
                }
            }
        }
    }

    async fn stop(mut self) {
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("evaluations in progress are broken off");
            self.tasks.shutdown().await;
        }
        if !self.shared.config.keeps_history() {
            return;
        }
        for (uid, entry) in self.shared.states.exact_entries() {
            self.shared.checkpoints.queue(&uid, Some(entry)).await;
        }
        if let Err(error) = self.shared.checkpoints.flush_all().await {
            self.shared.metrics.checkpoint_failed();
            tracing::warn!(%error, "history was not stored on shutdown; the last checkpoint holds");
        }
    }
}
