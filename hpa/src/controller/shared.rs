//! What all parts of the running autoscaler share, and the one answer to "may this HPA be written?".

use super::answers::Answers;
use super::state::States;
use super::values::CustomAnswers;
use crate::cluster::{
    About, Api, Checkpoints, CustomMetrics, Discovery, Events, ResourceMetrics, Scales, Statuses, Subject,
};
use crate::config::Config;
use crate::decisions::Book;
use crate::elector::{LeaseFacts, Term};
use crate::fence::Fence;
use crate::own_metrics::Metrics;
use crate::ownership::Ownership;
use crate::report;
use crate::sentinel::{self, Written};
use crate::warden::Missing;
use crate::watch::{HpaEntry, HpaStore, OwnedTargets, PodStore, Selectors, TargetStore};
use kube::Client;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Type of the condition that names another controller of the same autoscaler.
pub(crate) const SECOND_WRITER: &str = "SecondWriter";

/// What all parts share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// Namespace of the checkpoints, of the probe and, unless it is set apart, of the lease.
    pub(crate) namespace: String,
    pub(crate) api: Api,
    pub(crate) fence: Fence,
    pub(crate) metrics: Metrics,
    pub(crate) hpas: HpaStore,
    pub(crate) pods: PodStore,
    pub(crate) selectors: Selectors,
    pub(crate) targets: TargetStore,
    /// Targets of the built-in kind, where we act on our own.
    pub(crate) owned: OwnedTargets,
    pub(crate) discovery: Arc<Discovery>,
    pub(crate) scales: Scales,
    pub(crate) statuses: Statuses,
    pub(crate) events: Events,
    pub(crate) answers: Answers,
    pub(crate) values: CustomAnswers,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) states: States,
    /// The last decisions, for those who ask about them.
    pub(crate) book: Book,
    /// When the loop last turned, by the steady clock; 0 before the first.
    pub(crate) turned_ms: AtomicI64,
    pub(crate) missing: Missing,
    pub(crate) lease: Arc<LeaseFacts>,
    /// A probe of ours is in the cluster.
    pub(crate) asked: AtomicBool,
    ownership: Mutex<Ownership>,
    pub(super) term: watch::Receiver<Term>,
    /// When the term began, milliseconds of uptime.
    pub(super) term_began_ms: AtomicU64,
    /// Wakes all HPAs, since now they may be written.
    pub(super) wake: Notify,
    started: Instant,
}

impl Shared {
    pub(crate) fn new(client: Client, config: Config, term: watch::Receiver<Term>) -> Self {
        let namespace = config.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let fence = if config.election.is_some() { Fence::closed() } else { Fence::open() };
        let api = Api::new(client, fence.clone());
        let discovery = Arc::new(Discovery::new(api.clone()));
        let metrics = Metrics::default();
        let answers = Answers::new(
            ResourceMetrics::new(api.clone(), discovery.clone()),
            metrics.sample_watches.clone(),
        );
        Shared {
            metrics,
            hpas: HpaStore::with_probe_in(namespace.clone()),
            pods: PodStore::default(),
            selectors: Selectors::default(),
            targets: TargetStore::default(),
            owned: OwnedTargets::default(),
            scales: Scales::new(api.clone()),
            statuses: Statuses::new(api.clone(), config.kind()),
            events: Events::new(api.clone(), config.kind(), config.sync_period_ms(), config.steady.clone()),
            answers,
            values: CustomAnswers::new(CustomMetrics::new(api.clone(), discovery.clone())),
            checkpoints: Checkpoints::new(api.clone(), namespace.clone()),
            states: States::default(),
            book: Book::default(),
            discovery,
            turned_ms: AtomicI64::new(0),
            missing: Missing::default(),
            lease: Arc::default(),
            asked: AtomicBool::new(false),
            ownership: Mutex::new(sentinel::ownership(&config)),
            term,
            term_began_ms: AtomicU64::new(0),
            wake: Notify::new(),
            started: Instant::now(),
            namespace,
            api,
            fence,
            config,
        }
    }

    /// Time since the process started, by a clock that never jumps.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The term of leadership, or the absence of one.
    pub(crate) fn term(&self) -> Term {
        *self.term.borrow()
    }

    /// Time since the term of leadership began.
    pub(crate) fn term_age(&self) -> Duration {
        let began = Duration::from_millis(self.term_began_ms.load(Ordering::Acquire));
        self.uptime().saturating_sub(began)
    }

    /// Asks or tells the evidence about others.
    pub(crate) fn ownership<T>(&self, f: impl FnOnce(&mut Ownership) -> T) -> T {
        f(&mut self.ownership.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether this HPA may be written, by this replica and now.
    pub(crate) fn acts(&self, uid: &str) -> bool {
        self.term().leads && self.ownership(|ownership| ownership.acts(uid))
    }

    /// All HPAs are evaluated at once, since now they may be written.
    pub(crate) fn start_acting(&self) {
        self.wake.notify_one();
    }

    /// Another controller writes what is ours to write of an HPA: it is left alone from now on.
    pub(crate) async fn leave_alone(&self, entry: &HpaEntry, manager: &str, written: Written) {
        if !self.ownership(|ownership| ownership.marked(&entry.uid, manager, self.uptime())) {
            return;
        }
        let note = sentinel::left_note(manager, written);
        tracing::warn!(namespace = entry.key.0, name = entry.key.1, "{}", note.message);
        let now_ms = self.now_ms();
        self.events.record(&subject_of(entry), &note, now_ms).await;
        // One condition, once, and only into the version that was seen: nothing of the other's is overwritten.
        let mut conditions = entry.hpa.status.conditions.clone();
        report::set_condition(&mut conditions, SECOND_WRITER, Some((note.reason, note.message)), now_ms);
        let (namespace, name) = &entry.key;
        let seen = entry.resource_version.as_deref();
        if let Err(error) = self.statuses.write_conditions(namespace, name, seen, &conditions).await {
            tracing::debug!(namespace, name, %error, "the condition about another controller was not written");
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        (self.config.clock)()
    }

    /// For schedules and ages: a clock that never jumps.
    pub(crate) fn steady_ms(&self) -> i64 {
        (self.config.steady)()
    }
}

/// The HPA as the object of an event.
pub(crate) fn subject_of(entry: &HpaEntry) -> Subject {
    Subject {
        about: About::Hpa,
        namespace: entry.key.0.clone(),
        name: entry.key.1.clone(),
        uid: entry.uid.clone(),
        resource_version: entry.resource_version.clone(),
    }
}
