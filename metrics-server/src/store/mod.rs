//! The last points of every node and container, and what can be served from them. No clock: callers give `now`.
//!
//! What the store promises:
//!
//! * A pod is served only when all its running containers have usage; else it is missing, with the reason. Those that have
//!   ended are left out.
//! * A failed scrape takes nothing away: the last good values stay, with their true timestamps, until the node has not
//!   been read for the maximum age ([`StoreSettings::max_age_ms`]). Then node and pods are missing, with the reason.
//! * A pod reported by two nodes (a StatefulSet pod that moved) belongs to the node where its containers started last.
//! * One node's batch never waits for another's.

use std::sync::{Arc, PoisonError, RwLock};

use flyball_model::batch::{Batch, Outcome, Sink};
use tokio::sync::watch;

use crate::missing::Missing;
use crate::points::{self, Source};
use crate::window::{NoUsage, Policy, SECOND_NS, Usage};

pub(crate) mod history;
mod names;
mod pods;
mod state;
mod walk;

pub(crate) use pods::Found;
use state::{NodeEntry, PodEntry, State};
pub(crate) use walk::{MeasuredPod, Walk};

/// How long the last good values of a node are served while its scrapes fail: four rounds of upstream's 15 s.
pub const MAX_AGE_MS: i64 = 60_000;
/// With a slower resolution than that, so many rounds.
const MAX_AGE_ROUNDS: f64 = 2.5;
const MS_NS: i64 = 1_000_000;
/// Pods that are counted under one lock, and the rest of their namespace.
const COUNTED_AT_ONCE: usize = 2000;

/// How the store computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreSettings {
    /// How often kubelets are scraped, milliseconds: the age bound of upstream's fresh container rule.
    pub kubelet_resolution_ms: i64,
    /// Fixed usage window for collectors, milliseconds; `None` is the change-aware window.
    pub usage_window_ms: Option<i64>,
    /// How long values outlive the last good scrape, milliseconds.
    pub max_age_ms: i64,
}

impl StoreSettings {
    /// Settings for a kubelet scrape interval and an optional fixed window, both in milliseconds.
    pub fn new(kubelet_resolution_ms: i64, usage_window_ms: Option<i64>) -> StoreSettings {
        let rounds_ms = (kubelet_resolution_ms as f64 * MAX_AGE_ROUNDS) as i64;
        StoreSettings { kubelet_resolution_ms, usage_window_ms, max_age_ms: rounds_ms.max(MAX_AGE_MS) }
    }

    fn policy(&self, source: Source) -> Policy {
        match self.usage_window_ms {
            _ if source == Source::Kubelet => {
                Policy::TwoPoints { resolution_ns: self.kubelet_resolution_ms * MS_NS }
            }
            Some(window_ms) => Policy::Fixed { window_ns: window_ms * MS_NS },
            None => Policy::ChangeAware,
        }
    }
}

impl Default for StoreSettings {
    fn default() -> StoreSettings {
        StoreSettings::new(15_000, None)
    }
}

/// What is known of one pod's usage.
#[derive(Debug, Clone, PartialEq)]
pub struct PodUsage {
    /// Containers by name, sorted.
    pub containers: Vec<(String, Usage)>,
    /// The earliest end of a window among the containers, nanoseconds since the Unix epoch; `None` without containers.
    pub timestamp_ns: Option<i64>,
    /// The window of that container.
    pub window_ns: i64,
}

/// How many points can be served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Nodes.
    pub nodes: u64,
    /// Pods.
    pub pods: u64,
    /// Containers of those pods.
    pub containers: u64,
}

/// The points of all nodes. Shared by the scrape loops, which write, and the API, which reads.
#[derive(Default)]
pub struct Store {
    settings: StoreSettings,
    state: RwLock<State>,
    /// How many batches with samples came in.
    batches: watch::Sender<u64>,
}

impl Sink for Store {
    fn accept(&self, batch: &Batch) {
        match &batch.outcome {
            Outcome::Scraped { samples, sweep_interval_ms } => {
                let source = if sweep_interval_ms.is_some() { Source::Collector } else { Source::Kubelet };
                let read = points::read(samples, batch.started_ms, source);
                let policy = self.settings.policy(source);
                self.write(|state| {
                    state.last_batch_ms = Some(batch.finished_ms);
                    state.scraped(batch, policy, &read);
                });
                self.batches.send_modify(|count| *count = count.wrapping_add(1));
            }
            Outcome::Failed { reason } => self.write(|state| {
                state.last_batch_ms = Some(batch.finished_ms);
                state.failed(&batch.node, reason);
            }),
        }
    }
}

impl Store {
    /// An empty store.
    pub fn new(settings: StoreSettings) -> Store {
        Store { settings, ..Store::default() }
    }

    /// Tells when samples come in.
    pub fn batches(&self) -> watch::Receiver<u64> {
        self.batches.subscribe()
    }

    /// Usage of one node.
    pub fn node(&self, name: &str, now_ms: i64) -> Result<Usage, Missing> {
        self.read(|state| {
            let entry = self.known_node(state, name)?;
            self.check_fresh(entry, now_ms)?;
            let series = entry.series.as_ref().ok_or(Missing::NodeIncomplete)?;
            series.usage().map_err(Missing::from)
        })
    }

    /// Usage of one pod.
    pub fn pod(&self, namespace: &str, name: &str, now_ms: i64) -> Result<PodUsage, Missing> {
        self.read(|state| Ok(self.pod_in(state, namespace, name, now_ms)?.to_usage()))
    }

    /// Usage of many pods under one lock, in the order asked for; pods without usage are left out.
    pub fn pods<K>(
        &self,
        items: Vec<K>,
        namespace_and_name: impl Fn(&K) -> (&str, &str),
        now_ms: i64,
    ) -> Vec<(K, PodUsage)> {
        self.read(|state| {
            let usage = |item: K| {
                let (namespace, name) = namespace_and_name(&item);
                let usage = self.pod_in(state, namespace, name, now_ms).ok()?.to_usage();
                Some((item, usage))
            };
            items.into_iter().filter_map(usage).collect()
        })
    }

    /// Walks over pods under one lock; see [`Walk`].
    pub(crate) fn walk<T>(&self, now_ms: i64, look: impl FnOnce(Walk<'_>) -> T) -> T {
        self.read(|state| look(Walk::new(self, state, now_ms)))
    }

    /// Whether at least one pod has usage.
    pub fn any_pod(&self, now_ms: i64) -> bool {
        self.read(|state| state.pods.all().any(|entry| self.measured(state, entry, now_ms).is_ok()))
    }

    /// When the last attempt at any node ended, good or not; `None` before the first.
    pub fn last_batch_ms(&self) -> Option<i64> {
        self.read(|state| state.last_batch_ms)
    }

    /// What can be served now. Counted in parts, so that nobody waits for the whole.
    pub fn counts(&self, now_ms: i64) -> Counts {
        let nodes = self.read(|state| state.nodes().filter(|node| self.has_usage(node, now_ms)).count());
        let mut counts = Counts { nodes: nodes as u64, ..Counts::default() };
        let mut behind = None;
        while let Some(last) = self.count_behind(behind.as_deref(), now_ms, &mut counts) {
            behind = Some(last);
        }
        counts
    }

    /// Counts pods of the namespaces behind one, until they are enough for one part; gives the last one counted.
    fn count_behind(&self, behind: Option<&str>, now_ms: i64, counts: &mut Counts) -> Option<Arc<str>> {
        self.read(|state| {
            let mut looked_at = 0;
            let mut last = None;
            for (namespace, pods) in state.pods.behind(behind) {
                let entries = pods.values().filter_map(|id| state.pods.of(*id));
                for pod in entries.filter_map(|entry| self.measured(state, entry, now_ms).ok()) {
                    counts.pods += 1;
                    counts.containers += pod.containers().count() as u64;
                }
                last = Some(namespace.clone());
                looked_at += pods.len();
                if looked_at >= COUNTED_AT_ONCE {
                    break;
                }
            }
            last
        })
    }

    /// Why nothing can be served although nodes are known: the first failure by node name, or that data is on its way.
    /// `None` as soon as one node has usage.
    pub fn why_nothing(&self, now_ms: i64) -> Option<String> {
        self.read(|state| {
            let mut failure = None;
            for node in state.nodes() {
                if self.has_usage(node, now_ms) {
                    return None;
                }
                failure = failure.or(node.failure.as_deref().map(|reason| (&node.name, reason)));
            }
            Some(match failure {
                Some((name, reason)) => format!(
                    "no node has been measured in the last {} s; node {name}: {reason}",
                    self.settings.max_age_ms / 1000
                ),
                None if state.any_good => {
                    "usage needs two samples of a node, and there is one so far".to_owned()
                }
                None => "no node has been scraped yet".to_owned(),
            })
        })
    }

    /// How many nodes fail at present, with the first of them by name and its reason; `None` when none does.
    pub fn failing(&self, now_ms: i64) -> Option<String> {
        self.read(|state| {
            let failing = || state.nodes().filter_map(|node| Some((node, node.failure.as_deref()?)));
            let (node, reason) = failing().next()?;
            let fresh = self.check_fresh(node, now_ms).is_ok();
            let values = if fresh { "its last values are served" } else { "it has no values" };
            Some(format!(
                "{} of {} nodes cannot be read; the first is {} ({values}): {reason}",
                failing().count(),
                state.node_count(),
                node.name
            ))
        })
    }

    /// Forgets nodes that are no longer there, with their pods. `known` is asked while the store is locked.
    pub fn retain_nodes(&self, known: impl Fn(&str) -> bool) {
        self.write(|state| state.retain_nodes(known));
    }

    fn known_node<'s>(&self, state: &'s State, name: &str) -> Result<&'s NodeEntry, Missing> {
        state.node(name).ok_or_else(|| Missing::NotScraped { node: name.to_owned() })
    }

    fn check_fresh(&self, entry: &NodeEntry, now_ms: i64) -> Result<(), Missing> {
        let node = || entry.name.to_string();
        let reason = || entry.failure.clone().unwrap_or_else(|| "no scrape since".to_owned());
        match entry.last_good_ms {
            None => Err(Missing::NeverGood { node: node(), reason: reason() }),
            Some(at) if now_ms - at > self.settings.max_age_ms => {
                Err(Missing::Stale { node: node(), seconds: (now_ms - at) / 1000, reason: reason() })
            }
            Some(_) => Ok(()),
        }
    }

    fn has_usage(&self, node: &NodeEntry, now_ms: i64) -> bool {
        let measured = node.series.as_ref().is_some_and(|series| series.usage().is_ok());
        measured && self.check_fresh(node, now_ms).is_ok()
    }

    fn pod_in<'s>(
        &self,
        state: &'s State,
        namespace: &str,
        name: &str,
        now_ms: i64,
    ) -> Result<MeasuredPod<'s>, Missing> {
        let entry = state.pods.get(namespace, name).ok_or(Missing::NotReported)?;
        self.measured(state, entry, now_ms)
    }

    /// Upstream: one container without its second point withholds the pod; one whose counter went back is left out.
    fn measured<'s>(
        &self,
        state: &'s State,
        entry: &'s PodEntry,
        now_ms: i64,
    ) -> Result<MeasuredPod<'s>, Missing> {
        let node = state.node_of(entry.node).ok_or(Missing::NotReported)?;
        self.check_fresh(node, now_ms)?;
        if let Some(container) = &entry.incomplete {
            let (container, node) = (container.to_string(), node.name.to_string());
            return Err(Missing::ContainerIncomplete { container, node });
        }
        let mut earliest: Option<Usage> = None;
        for (name, series) in &entry.containers {
            match series.usage() {
                Ok(usage) if earliest.is_none_or(|least| usage.timestamp_ns < least.timestamp_ns) => {
                    earliest = Some(usage);
                }
                Err(NoUsage::OneSample) => {
                    return Err(Missing::OneSample { container: Some(name.to_string()) });
                }
                Err(NoUsage::ShortWindow) => {
                    return Err(Missing::ShortWindow { container: Some(name.to_string()) });
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(MeasuredPod::new(entry, earliest))
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

const _: () = assert!(SECOND_NS == 1000 * MS_NS);
