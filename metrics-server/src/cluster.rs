//! Which nodes and running pods exist, with their labels: what the watches have seen. No I/O.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Labels of one object, shared between the cache and answers.
pub type ObjectLabels = Arc<BTreeMap<String, String>>;

/// One thing a watch of nodes has seen.
#[derive(Debug, Clone)]
pub enum NodeChange {
    /// All nodes there are, by name.
    All(BTreeMap<String, ObjectLabels>),
    /// A new or changed node.
    Set(String, ObjectLabels),
    /// A node that is gone.
    Gone(String),
}

/// One thing a watch of running pods has seen. A pod that leaves phase Running is gone.
#[derive(Debug, Clone)]
pub enum PodChange {
    /// All running pods, by namespace and name.
    All(BTreeMap<String, BTreeMap<String, ObjectLabels>>),
    /// A new or changed pod: namespace, name, labels.
    Set(String, String, ObjectLabels),
    /// A pod that is gone: namespace, name.
    Gone(String, String),
}

/// Namespace, name and labels of a pod.
pub(crate) type ListedPod<'a> = (&'a str, &'a str, &'a ObjectLabels);

#[derive(Debug, Default)]
struct State {
    /// `None` until the first complete list.
    nodes: Option<BTreeMap<String, ObjectLabels>>,
    pods: Option<BTreeMap<String, BTreeMap<String, ObjectLabels>>>,
}

/// The caches. Written by the watches, read by requests.
#[derive(Debug, Default)]
pub struct Cluster {
    state: RwLock<State>,
    shared: Mutex<SharedLabels>,
}

/// Sets of labels in use: the pods of one workload mostly have the same ones.
#[derive(Debug, Default)]
struct SharedLabels {
    all: HashSet<ObjectLabels>,
    in_use: usize,
}

/// Sets are looked through for unused ones when there are twice as many as were in use the last time, and this many.
const LEAST_SHARED: usize = 1024;

impl SharedLabels {
    fn share(&mut self, labels: BTreeMap<String, String>) -> ObjectLabels {
        if let Some(known) = self.all.get(&labels) {
            return known.clone();
        }
        if self.all.len() >= LEAST_SHARED.max(2 * self.in_use) {
            self.all.retain(|labels| Arc::strong_count(labels) > 1);
            self.in_use = self.all.len();
        }
        let labels = Arc::new(labels);
        self.all.insert(labels.clone());
        labels
    }
}

impl Cluster {
    /// The one copy of a set of labels. Changes are best made of such.
    pub fn share(&self, labels: BTreeMap<String, String>) -> ObjectLabels {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).share(labels)
    }

    /// Takes a change of the nodes. A change before the first complete list counts as part of that list.
    pub fn node(&self, change: NodeChange) {
        // Dropped after the lock: taking apart a long list takes a while.
        let _old;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match change {
            NodeChange::All(all) => _old = state.nodes.replace(all),
            NodeChange::Set(name, labels) => drop(state.nodes.get_or_insert_default().insert(name, labels)),
            NodeChange::Gone(name) => {
                state.nodes.get_or_insert_default().remove(&name);
            }
        }
    }

    /// Takes a change of the running pods.
    pub fn pod(&self, change: PodChange) {
        let _old;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match change {
            PodChange::All(all) => _old = state.pods.replace(all),
            PodChange::Set(namespace, name, labels) => {
                let pods = state.pods.get_or_insert_default();
                pods.entry(namespace).or_default().insert(name, labels);
            }
            PodChange::Gone(namespace, name) => {
                let pods = state.pods.get_or_insert_default();
                if let Some(of_namespace) = pods.get_mut(&namespace) {
                    of_namespace.remove(&name);
                    if of_namespace.is_empty() {
                        pods.remove(&namespace);
                    }
                }
            }
        }
    }

    /// What the caches still wait for; `None` when both are complete.
    pub fn waiting_for(&self) -> Option<&'static str> {
        self.read(|state| match (&state.nodes, &state.pods) {
            (None, _) => Some("the list of nodes"),
            (_, None) => Some("the list of pods"),
            _ => None,
        })
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.read(|state| state.nodes.as_ref().is_none_or(BTreeMap::is_empty))
    }

    /// Whether no pod runs.
    pub fn has_no_pods(&self) -> bool {
        self.read(|state| state.pods.as_ref().is_none_or(BTreeMap::is_empty))
    }

    /// Whether the node exists.
    pub fn has_node(&self, name: &str) -> bool {
        self.read(|state| state.nodes.as_ref().is_some_and(|nodes| nodes.contains_key(name)))
    }

    /// Labels of a node.
    pub fn node_labels(&self, name: &str) -> Option<ObjectLabels> {
        self.read(|state| state.nodes.as_ref()?.get(name).cloned())
    }

    /// Labels of a running pod.
    pub fn pod_labels(&self, namespace: &str, name: &str) -> Option<ObjectLabels> {
        self.read(|state| state.pods.as_ref()?.get(namespace)?.get(name).cloned())
    }

    /// The nodes that `wanted` accepts, sorted by name.
    pub fn nodes(
        &self,
        wanted: impl Fn(&str, &BTreeMap<String, String>) -> bool,
    ) -> Vec<(String, ObjectLabels)> {
        self.read(|state| {
            let all = state.nodes.iter().flatten().filter(|(name, labels)| wanted(name, labels));
            all.map(|(name, labels)| (name.clone(), labels.clone())).collect()
        })
    }

    /// The running pods of one namespace or all that `wanted` accepts, as namespace, name and labels, sorted.
    pub fn pods(
        &self,
        namespace: Option<&str>,
        wanted: impl Fn(&str, &str, &BTreeMap<String, String>) -> bool,
    ) -> Vec<(String, String, ObjectLabels)> {
        self.read(|state| {
            let Some(all) = &state.pods else { return Vec::new() };
            let mut found = Vec::new();
            let mut take = |namespace: &String, pods: &BTreeMap<String, ObjectLabels>| {
                let wanted = pods.iter().filter(|(name, labels)| wanted(namespace, name, labels));
                found.extend(wanted.map(|(name, labels)| (namespace.clone(), name.clone(), labels.clone())));
            };
            match namespace {
                Some(namespace) => {
                    all.get_key_value(namespace)
                        .into_iter()
                        .for_each(|(namespace, pods)| take(namespace, pods));
                }
                None => all.iter().for_each(|(namespace, pods)| take(namespace, pods)),
            }
            found
        })
    }

    /// Walks over the running pods of one namespace or all, sorted by namespace and name, from behind a place on. The
    /// caches are locked meanwhile.
    pub(crate) fn walk_pods<T>(
        &self,
        namespace: Option<&str>,
        behind: Option<(&str, &str)>,
        look: impl FnOnce(&mut dyn Iterator<Item = ListedPod<'_>>) -> T,
    ) -> T {
        self.read(|state| {
            let Some(all) = &state.pods else { return look(&mut std::iter::empty()) };
            let first = match (namespace, behind) {
                (Some(namespace), _) | (None, Some((namespace, _))) => Bound::Included(namespace),
                (None, None) => Bound::Unbounded,
            };
            let namespaces = all
                .range::<str, _>((first, Bound::Unbounded))
                .take_while(|(name, _)| namespace.is_none_or(|only| only == name.as_str()));
            let mut pods = namespaces.flat_map(|(namespace, pods)| {
                let from = match behind {
                    Some((at, name)) if at == namespace => Bound::Excluded(name),
                    _ => Bound::Unbounded,
                };
                let listed = pods.range::<str, _>((from, Bound::Unbounded));
                listed.map(move |(name, labels)| (namespace.as_str(), name.as_str(), labels))
            });
            look(&mut pods)
        })
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}
