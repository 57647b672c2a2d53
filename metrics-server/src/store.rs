//! The last points of every node and container, and what can be served from them. No clock: callers give `now`.
//!
//! What the store promises:
//!
//! * A pod is served only when all containers its node reports have usage; else it is missing, with the reason.
//! * A failed scrape takes nothing away: the last good values stay, with their true timestamps, until the node has not
//!   been read for the maximum age ([`StoreSettings::max_age_ms`]). Then node and pods are missing, with the reason.
//! * A pod reported by two nodes (a StatefulSet pod that moved) belongs to the node where its containers started last.
//! * One node's batch never waits for another's.

pub(crate) mod history;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

use flyball_model::batch::{Batch, Outcome, Sink};

use crate::missing::Missing;
use crate::points::{self, NodePoints, PodPoints, Source};
use crate::window::{Point, Policy, SECOND_NS, Series, Usage};

/// How long the last good values of a node are served while its scrapes fail: four rounds of upstream's 15 s.
pub const MAX_AGE_MS: i64 = 60_000;
/// With a slower resolution than that, so many rounds.
const MAX_AGE_ROUNDS: f64 = 2.5;
const MS_NS: i64 = 1_000_000;

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

#[derive(Default)]
struct NodeEntry {
    series: Option<Series>,
    /// Who answered last.
    source: Option<Source>,
    pods: BTreeSet<PodKey>,
    last_good_ms: Option<i64>,
    failure: Option<String>,
}

struct PodEntry {
    node: String,
    containers: BTreeMap<String, Series>,
    incomplete: Vec<String>,
}

impl PodEntry {
    fn newest_start_ns(&self) -> Option<i64> {
        self.containers.values().filter_map(|series| series.last().start_ns).max()
    }
}

type PodKey = (String, String);

#[derive(Default)]
struct State {
    nodes: HashMap<String, NodeEntry>,
    /// Namespace to pod name to entry.
    pods: HashMap<String, HashMap<String, PodEntry>>,
    /// A good batch has come at some time.
    any_good: bool,
    last_batch_ms: Option<i64>,
}

/// The points of all nodes. Shared by the scrape loops, which write, and the API, which reads.
#[derive(Default)]
pub struct Store {
    settings: StoreSettings,
    state: RwLock<State>,
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
                    state.scraped(batch, policy, read);
                });
            }
            Outcome::Failed { reason } => self.write(|state| {
                state.last_batch_ms = Some(batch.finished_ms);
                state.nodes.entry(batch.node.clone()).or_default().failure = Some(reason.clone());
            }),
        }
    }
}

impl Store {
    /// An empty store.
    pub fn new(settings: StoreSettings) -> Store {
        Store { settings, state: RwLock::default() }
    }

    /// Usage of one node.
    pub fn node(&self, name: &str, now_ms: i64) -> Result<Usage, Missing> {
        self.read(|state| {
            let entry = self.fresh_node(state, name, now_ms)?;
            let series = entry.series.as_ref().ok_or(Missing::NodeIncomplete)?;
            series.usage().map_err(Missing::from)
        })
    }

    /// Usage of one pod.
    pub fn pod(&self, namespace: &str, name: &str, now_ms: i64) -> Result<PodUsage, Missing> {
        self.read(|state| self.pod_in(state, namespace, name, now_ms))
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
                let usage = self.pod_in(state, namespace, name, now_ms).ok()?;
                Some((item, usage))
            };
            items.into_iter().filter_map(usage).collect()
        })
    }

    /// Whether at least one pod has usage.
    pub fn any_pod(&self, now_ms: i64) -> bool {
        self.read(|state| {
            let mut all = state
                .pods
                .iter()
                .flat_map(|(namespace, pods)| pods.keys().map(move |name| (namespace, name)));
            all.any(|(namespace, name)| self.pod_in(state, namespace, name, now_ms).is_ok())
        })
    }

    /// When the last attempt at any node ended, good or not; `None` before the first.
    pub fn last_batch_ms(&self) -> Option<i64> {
        self.read(|state| state.last_batch_ms)
    }

    /// What can be served now.
    pub fn counts(&self, now_ms: i64) -> Counts {
        self.read(|state| {
            let mut counts = Counts::default();
            for name in state.nodes.keys() {
                let node = self.fresh_node(state, name, now_ms);
                counts.nodes +=
                    u64::from(node.is_ok_and(|node| node.series.as_ref().is_some_and(|s| s.usage().is_ok())));
            }
            for (namespace, pods) in &state.pods {
                for name in pods.keys() {
                    if let Ok(usage) = self.pod_in(state, namespace, name, now_ms) {
                        counts.pods += 1;
                        counts.containers += usage.containers.len() as u64;
                    }
                }
            }
            counts
        })
    }

    /// Why nothing can be served although nodes are known: the first failure by node name, or that data is on its way.
    /// `None` as soon as one node has usage.
    pub fn why_nothing(&self, now_ms: i64) -> Option<String> {
        self.read(|state| {
            let mut failures = BTreeMap::new();
            for (name, entry) in &state.nodes {
                match self.fresh_node(state, name, now_ms) {
                    Ok(node) if node.series.as_ref().is_some_and(|series| series.usage().is_ok()) => {
                        return None;
                    }
                    _ => drop(failures.insert(name, entry.failure.as_deref())),
                }
            }
            let failure = failures.iter().find_map(|(name, reason)| reason.map(|reason| (name, reason)));
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
            let mut failing = BTreeMap::new();
            for (name, entry) in &state.nodes {
                if let Some(reason) = &entry.failure {
                    failing.insert(name, (self.fresh_node(state, name, now_ms).is_ok(), reason));
                }
            }
            let (name, (fresh, reason)) = failing.first_key_value()?;
            let values = if *fresh { "its last values are served" } else { "it has no values" };
            Some(format!(
                "{} of {} nodes cannot be read; the first is {name} ({values}): {reason}",
                failing.len(),
                state.nodes.len()
            ))
        })
    }

    /// Forgets nodes that are no longer there, with their pods.
    pub fn retain_nodes(&self, known: impl Fn(&str) -> bool) {
        self.write(|state| {
            let gone: Vec<String> = state.nodes.keys().filter(|name| !known(name)).cloned().collect();
            for name in gone {
                let entry = state.nodes.remove(&name).unwrap_or_default();
                entry.pods.iter().for_each(|key| state.remove_pod(key, &name));
            }
        });
    }

    fn fresh_node<'s>(&self, state: &'s State, name: &str, now_ms: i64) -> Result<&'s NodeEntry, Missing> {
        let entry = state.nodes.get(name).ok_or_else(|| Missing::NotScraped { node: name.to_owned() })?;
        let reason = || entry.failure.clone().unwrap_or_else(|| "no scrape since".to_owned());
        match entry.last_good_ms {
            None => Err(Missing::NeverGood { node: name.to_owned(), reason: reason() }),
            Some(at) if now_ms - at > self.settings.max_age_ms => {
                Err(Missing::Stale { node: name.to_owned(), seconds: (now_ms - at) / 1000, reason: reason() })
            }
            Some(_) => Ok(entry),
        }
    }

    fn pod_in(&self, state: &State, namespace: &str, name: &str, now_ms: i64) -> Result<PodUsage, Missing> {
        let entry = state.pods.get(namespace).and_then(|pods| pods.get(name)).ok_or(Missing::NotReported)?;
        self.fresh_node(state, &entry.node, now_ms)?;
        if let Some(container) = entry.incomplete.first() {
            return Err(Missing::ContainerIncomplete {
                container: container.clone(),
                node: entry.node.clone(),
            });
        }
        pod_usage(entry)
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Upstream: one container without its second point withholds the pod; one whose counter went back is left out of it.
fn pod_usage(entry: &PodEntry) -> Result<PodUsage, Missing> {
    let mut containers = Vec::with_capacity(entry.containers.len());
    for (name, series) in &entry.containers {
        match series.usage() {
            Ok(usage) => containers.push((name.clone(), usage)),
            Err(crate::window::NoUsage::OneSample) => {
                return Err(Missing::OneSample { container: Some(name.clone()) });
            }
            Err(_) => {}
        }
    }
    let earliest = containers.iter().map(|(_, usage)| usage).min_by_key(|usage| usage.timestamp_ns).copied();
    Ok(PodUsage {
        timestamp_ns: earliest.map(|usage| usage.timestamp_ns),
        window_ns: earliest.map_or(0, |usage| usage.window_ns),
        containers,
    })
}

impl State {
    fn scraped(&mut self, batch: &Batch, policy: Policy, read: NodePoints) {
        self.any_good = true;
        let before = self.node_scraped(batch, policy, read.node);
        let mut now = BTreeSet::new();
        for (key, pod) in read.pods {
            if self.pod_scraped(&batch.node, policy, &key, pod) {
                now.insert(key);
            }
        }
        before.difference(&now).for_each(|key| self.remove_pod(key, &batch.node));
        if let Some(node) = self.nodes.get_mut(&batch.node) {
            node.pods = now;
        }
    }

    /// Takes the node's own point; returns the pods it had.
    fn node_scraped(&mut self, batch: &Batch, policy: Policy, point: Option<Point>) -> BTreeSet<PodKey> {
        let entry = self.nodes.entry(batch.node.clone()).or_default();
        entry.last_good_ms = Some(batch.finished_ms);
        entry.failure = None;
        entry.source = Some(match policy {
            Policy::TwoPoints { .. } => Source::Kubelet,
            Policy::ChangeAware | Policy::Fixed { .. } => Source::Collector,
        });
        entry.series = point.map(|point| grown(entry.series.take(), policy, point));
        std::mem::take(&mut entry.pods)
    }

    /// Takes one pod's points; false if the pod belongs to another node.
    fn pod_scraped(&mut self, node: &str, policy: Policy, key: &PodKey, pod: PodPoints) -> bool {
        let pods = self.pods.entry(key.0.clone()).or_default();
        let old = pods.remove(&key.1);
        if let Some(other) = old.as_ref().filter(|old| old.node != node) {
            let newest = pod.containers.values().filter_map(|point| point.start_ns).max();
            if newest <= other.newest_start_ns() {
                tracing::debug!(
                    namespace = key.0,
                    pod = key.1,
                    node,
                    other = other.node,
                    "pod reported by two nodes"
                );
                pods.extend(old.map(|old| (key.1.clone(), old)));
                return false;
            }
        }
        let mut series = old.filter(|old| old.node == node).map(|old| old.containers).unwrap_or_default();
        // Upstream forgets a withheld pod; a collector's short history is worth keeping for the next second.
        let forget = matches!(policy, Policy::TwoPoints { .. }) && !pod.incomplete.is_empty();
        let mut containers = BTreeMap::new();
        if !forget {
            for (name, point) in pod.containers {
                let grown = grown(series.remove(&name), policy, point);
                containers.insert(name, grown);
            }
            containers.extend(pod.incomplete.iter().filter_map(|name| series.remove_entry(name)));
        }
        let entry = PodEntry { node: node.to_owned(), containers, incomplete: pod.incomplete };
        pods.insert(key.1.clone(), entry);
        true
    }

    fn remove_pod(&mut self, (namespace, name): &PodKey, node: &str) {
        let Some(pods) = self.pods.get_mut(namespace) else { return };
        if pods.get(name).is_some_and(|entry| entry.node == node) {
            pods.remove(name);
        }
        if pods.is_empty() {
            self.pods.remove(namespace);
        }
    }
}

fn grown(series: Option<Series>, policy: Policy, point: Point) -> Series {
    match series {
        Some(mut series) => {
            series.push(policy, point);
            series
        }
        None => Series::new(policy, point),
    }
}

const _: () = assert!(SECOND_NS == 1000 * MS_NS);
