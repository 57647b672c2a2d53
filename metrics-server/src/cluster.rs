//! Which nodes and running pods exist, with their labels: what the watches have seen. No I/O.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::list::metadata_bytes;
use crate::store::Found;

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

/// What is known of a running pod.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) labels: ObjectLabels,
    /// Where the store has it.
    pub(crate) found: Found,
}

impl Pod {
    fn new(labels: ObjectLabels) -> Pod {
        Pod { labels, found: Found::default() }
    }
}

/// Pods of one namespace, by name.
type NamespacePods = BTreeMap<String, Pod>;

/// What the watches have seen.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// `None` until the first complete list.
    nodes: Option<BTreeMap<String, ObjectLabels>>,
    pods: Option<BTreeMap<String, NamespacePods>>,
    /// What all of them take in a list, without their usage.
    listed: Listed,
}

/// How many pods there are, and what of them is in every list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) pods: usize,
    /// Of their metadata, as [`crate::list::metadata_bytes`] counts them.
    pub(crate) bytes: usize,
}

impl Listed {
    fn come(&mut self, namespace: &str, name: &str, labels: &ObjectLabels) {
        self.pods += 1;
        self.bytes += metadata_bytes(namespace, name, labels);
    }

    fn go(&mut self, namespace: &str, name: &str, labels: &ObjectLabels) {
        self.pods -= 1;
        self.bytes -= metadata_bytes(namespace, name, labels);
    }
}

impl State {
    /// What all pods take in a list, without their usage.
    pub(crate) fn listed(&self) -> Listed {
        self.listed
    }

    /// Looks at the pods of one namespace or all behind a place, by namespace and name, until it has seen enough.
    pub(crate) fn pods_after<'s>(
        &'s self,
        namespace: Option<&str>,
        after: Option<(&str, &str)>,
        mut look: impl FnMut(&'s str, &'s str, &'s Pod) -> ControlFlow<()>,
    ) {
        let from = match (namespace, after) {
            (Some(namespace), _) => Bound::Included(namespace),
            (None, Some((namespace, _))) => Bound::Included(namespace),
            (None, None) => Bound::Unbounded,
        };
        let to = namespace.map_or(Bound::Unbounded, Bound::Included);
        for (namespace, pods) in self.pods.iter().flat_map(|all| all.range::<str, _>((from, to))) {
            let first = match after {
                Some((of, name)) if of == namespace => Bound::Excluded(name),
                // The whole namespace came before.
                Some((of, _)) if of > namespace.as_str() => continue,
                _ => Bound::Unbounded,
            };
            for (name, pod) in pods.range::<str, _>((first, Bound::Unbounded)) {
                if look(namespace, name, pod).is_break() {
                    return;
                }
            }
        }
    }
}

fn behind(after: Option<&str>) -> Bound<&str> {
    after.map_or(Bound::Unbounded, Bound::Excluded)
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
        match change {
            PodChange::All(all) => {
                let of_namespace = |pods: BTreeMap<String, ObjectLabels>| -> NamespacePods {
                    pods.into_iter().map(|(name, labels)| (name, Pod::new(labels))).collect()
                };
                let all = all.into_iter().map(|(namespace, pods)| (namespace, of_namespace(pods)));
                let all: BTreeMap<String, NamespacePods> = all.collect();
                let mut listed = Listed::default();
                for (namespace, pods) in &all {
                    pods.iter().for_each(|(name, pod)| listed.come(namespace, name, &pod.labels));
                }
                // Dropped after the lock, as it is made before it.
                let _old = self.write(|state| {
                    state.listed = listed;
                    state.pods.replace(all)
                });
            }
            PodChange::Set(namespace, name, labels) => self.write(|state| {
                state.listed.come(&namespace, &name, &labels);
                let pods = state.pods.get_or_insert_default();
                let of_namespace = pods.entry(namespace.clone()).or_default();
                if let Some(old) = of_namespace.insert(name.clone(), Pod::new(labels)) {
                    state.listed.go(&namespace, &name, &old.labels);
                }
            }),
            PodChange::Gone(namespace, name) => self.write(|state| {
                let pods = state.pods.get_or_insert_default();
                if let Some(of_namespace) = pods.get_mut(&namespace) {
                    if let Some(old) = of_namespace.remove(&name) {
                        state.listed.go(&namespace, &name, &old.labels);
                    }
                    if of_namespace.is_empty() {
                        pods.remove(&namespace);
                    }
                }
            }),
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
        self.read(|state| Some(state.pods.as_ref()?.get(namespace)?.get(name)?.labels.clone()))
    }

    /// The first `count` nodes after `after` that `wanted` accepts, sorted by name.
    pub fn nodes(
        &self,
        after: Option<&str>,
        count: usize,
        wanted: impl Fn(&str, &BTreeMap<String, String>) -> bool,
    ) -> Vec<(String, ObjectLabels)> {
        self.read(|state| {
            let Some(nodes) = &state.nodes else { return Vec::new() };
            let rest = nodes.range::<str, _>((behind(after), Bound::Unbounded));
            let wanted = rest.filter(|(name, labels)| wanted(name, labels)).take(count);
            wanted.map(|(name, labels)| (name.clone(), labels.clone())).collect()
        })
    }

    /// The first `count` running pods, of one namespace or all, after the namespace and name `after` that `wanted`
    /// accepts, as namespace, name and labels, sorted.
    pub fn pods(
        &self,
        namespace: Option<&str>,
        after: Option<(&str, &str)>,
        count: usize,
        wanted: impl Fn(&str, &str, &BTreeMap<String, String>) -> bool,
    ) -> Vec<(String, String, ObjectLabels)> {
        let mut found = Vec::new();
        self.read(|state| {
            state.pods_after(namespace, after, |namespace, name, pod| {
                if found.len() == count {
                    return ControlFlow::Break(());
                }
                if wanted(namespace, name, &pod.labels) {
                    found.push((namespace.to_owned(), name.to_owned(), pod.labels.clone()));
                }
                ControlFlow::Continue(())
            });
        });
        found
    }

    /// How many nodes come after this one.
    pub fn nodes_after(&self, name: &str) -> usize {
        self.read(|state| {
            let range = (behind(Some(name)), Bound::Unbounded);
            state.nodes.as_ref().map_or(0, |nodes| nodes.range::<str, _>(range).count())
        })
    }

    /// How many running pods, of one namespace or all, come after this namespace and name.
    pub fn pods_after(&self, namespace: Option<&str>, after: (&str, &str)) -> usize {
        let mut count = 0;
        self.read(|state| {
            state.pods_after(namespace, Some(after), |_, _, _| {
                count += 1;
                ControlFlow::Continue(())
            });
        });
        count
    }

    /// Looks at the caches, which are locked meanwhile.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(
        cluster: &Cluster,
        namespace: Option<&str>,
        after: Option<(&str, &str)>,
        count: usize,
    ) -> Vec<String> {
        let found = cluster.pods(namespace, after, count, |_, name, _| name != "unwanted");
        found.into_iter().map(|(namespace, name, _)| format!("{namespace}/{name}")).collect()
    }

    #[test]
    fn pieces_follow_one_another() {
        let cluster = Cluster::default();
        for (namespace, name) in
            [("b", "1"), ("b", "unwanted"), ("b", "2"), ("a", "9"), ("c", "0"), ("b-b", "1")]
        {
            cluster.pod(PodChange::Set(namespace.to_owned(), name.to_owned(), ObjectLabels::default()));
        }
        assert_eq!(pods(&cluster, None, None, 9), ["a/9", "b/1", "b/2", "b-b/1", "c/0"]);
        assert_eq!(pods(&cluster, None, None, 2), ["a/9", "b/1"]);
        assert_eq!(pods(&cluster, None, Some(("b", "1")), 2), ["b/2", "b-b/1"]);
        assert_eq!(pods(&cluster, None, Some(("b", "5")), 9), ["b-b/1", "c/0"]);
        assert_eq!(pods(&cluster, Some("b"), Some(("b", "1")), 9), ["b/2"]);
        assert_eq!(pods(&cluster, Some("b"), Some(("a", "z")), 1), ["b/1"]);
        assert_eq!(pods(&cluster, Some("b"), Some(("c", "")), 9), Vec::<String>::new());
        assert_eq!(pods(&cluster, Some("none"), None, 9), Vec::<String>::new());
        assert_eq!((cluster.pods_after(None, ("b", "1")), cluster.pods_after(Some("b"), ("b", "1"))), (4, 2));
        for name in ["n1", "n2", "n3"] {
            cluster.node(NodeChange::Set(name.to_owned(), ObjectLabels::default()));
        }
        let nodes = cluster.nodes(Some("n1"), 1, |_, _| true);
        assert_eq!((nodes[0].0.as_str(), nodes.len(), cluster.nodes_after("n1")), ("n2", 1, 2));
    }
}
