//! What the store holds, and how batches change it. Laid out for hundreds of thousands of containers: names are shared,
//! nodes are numbered, and a pod is one row with a list of its containers.

use std::collections::BTreeMap;
use std::sync::Arc;

use flyball_model::batch::Batch;

use super::names::Names;
use super::pods::{PodId, Pods};
use crate::list::usage_bytes;
use crate::points::{ContainerPoint, NodePoints, Order, Reading, Source};
use crate::window::{Point, Policy, Series};

/// Position of a node in [`State::nodes`].
pub(super) type NodeId = u32;

pub(super) struct NodeEntry {
    pub(super) name: Arc<str>,
    pub(super) series: Option<Series>,
    /// Who answered last.
    pub(super) source: Option<Source>,
    /// Sorted by namespace and name; among them may be some that another node has by now.
    pub(super) pods: Vec<PodId>,
    /// How its answers are ordered.
    order: Order,
    pub(super) last_good_ms: Option<i64>,
    pub(super) failure: Option<String>,
}

pub(super) struct PodEntry {
    pub(super) node: NodeId,
    /// Containers that have points, sorted by name.
    pub(super) containers: Box<[(Arc<str>, Series)]>,
    /// A container without which the pod cannot be served.
    pub(super) incomplete: Option<Arc<str>>,
    /// What its usage takes in a list.
    listed_bytes: u32,
}

#[derive(Default)]
pub(super) struct State {
    by_name: BTreeMap<Arc<str>, NodeId>,
    /// `None` where a node is gone.
    nodes: Vec<Option<NodeEntry>>,
    free: Vec<NodeId>,
    pub(super) pods: Pods,
    /// Names of containers.
    pub(super) names: Names,
    /// A good batch has come at some time.
    pub(super) any_good: bool,
    pub(super) last_batch_ms: Option<i64>,
}

impl State {
    pub(super) fn node(&self, name: &str) -> Option<&NodeEntry> {
        self.node_of(*self.by_name.get(name)?)
    }

    pub(super) fn node_of(&self, id: NodeId) -> Option<&NodeEntry> {
        self.nodes.get(id as usize)?.as_ref()
    }

    /// All nodes by name.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &NodeEntry> {
        self.by_name.values().filter_map(|id| self.node_of(*id))
    }

    pub(super) fn node_count(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn id_of(&mut self, name: &str) -> NodeId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let name: Arc<str> = name.into();
        let entry = NodeEntry {
            name: name.clone(),
            series: None,
            source: None,
            pods: Vec::new(),
            order: Order::default(),
            last_good_ms: None,
            failure: None,
        };
        let id = self.free.pop().unwrap_or(self.nodes.len() as NodeId);
        match self.nodes.get_mut(id as usize) {
            Some(slot) => *slot = Some(entry),
            None => self.nodes.push(Some(entry)),
        }
        self.by_name.insert(name, id);
        id
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> Option<&mut NodeEntry> {
        self.nodes.get_mut(id as usize)?.as_mut()
    }

    pub(super) fn failed(&mut self, node: &str, reason: &str) {
        let id = self.id_of(node);
        if let Some(entry) = self.node_mut(id) {
            entry.failure = Some(reason.to_owned());
        }
    }

    pub(super) fn scraped(&mut self, batch: &Batch, policy: Policy, read: &NodePoints<'_>) {
        self.any_good = true;
        let id = self.id_of(&batch.node);
        let mut before = self.node_scraped(id, batch.finished_ms, policy, read.node);
        before.retain(|pod| self.is_of(*pod, id));
        let mut now = Vec::with_capacity(before.len());
        let mut known = before.into_iter().peekable();
        let points = self.node_mut(id).map(|node| read.sorted(&mut node.order)).unwrap_or_default();
        for pod in points.pods() {
            let Some(first) = pod.first() else { continue };
            // Both lists are sorted, so a pod that was there before stands next, behind those that are gone. Mostly none is.
            let name = (first.namespace, first.pod);
            let mut same = known.next_if(|known| self.name_of(*known) == name);
            while same.is_none()
                && let Some(gone) = known.next_if(|known| self.name_of(*known) < name)
            {
                self.pods.remove(gone);
                same = known.next_if(|known| self.name_of(*known) == name);
            }
            now.extend(match same {
                Some(pod_id) => self.pod_grows(pod_id, policy, pod),
                None => self.pod_comes(id, policy, pod),
            });
        }
        known.for_each(|gone| self.pods.remove(gone));
        if let Some(node) = self.node_mut(id) {
            node.pods = now;
        }
    }

    pub(super) fn is_of(&self, pod: PodId, node: NodeId) -> bool {
        self.pods.of(pod).is_some_and(|entry| entry.node == node)
    }

    fn name_of(&self, pod: PodId) -> (&str, &str) {
        self.pods.named(pod).map_or(("", ""), |((namespace, name), _)| (namespace, name))
    }

    /// Takes the node's own point; returns the pods it had.
    fn node_scraped(
        &mut self,
        id: NodeId,
        finished_ms: i64,
        policy: Policy,
        point: Option<Point>,
    ) -> Vec<PodId> {
        let Some(entry) = self.node_mut(id) else { return Vec::new() };
        entry.last_good_ms = Some(finished_ms);
        entry.failure = None;
        entry.source = Some(match policy {
            Policy::TwoPoints { .. } => Source::Kubelet,
            Policy::ChangeAware | Policy::Fixed { .. } => Source::Collector,
        });
        entry.series = point.map(|point| grown(entry.series.take(), policy, point));
        std::mem::take(&mut entry.pods)
    }

    /// Takes the points of a pod that the node had before.
    fn pod_grows(&mut self, id: PodId, policy: Policy, points: &[ContainerPoint<'_>]) -> Option<PodId> {
        self.pods.change(id, |entry| entry.grow(policy, points, &mut self.names)).then_some(id)
    }

    /// Takes the points of a pod that is new to the node; `None` if it belongs to another one.
    fn pod_comes(&mut self, node: NodeId, policy: Policy, points: &[ContainerPoint<'_>]) -> Option<PodId> {
        let first = points.first()?;
        if let Some(entry) = self.pods.get(first.namespace, first.pod)
            && entry.node != node
        {
            let newest = points.iter().filter_map(ContainerPoint::start_ns).max();
            if newest <= entry.newest_start_ns() {
                tracing::debug!(namespace = first.namespace, pod = first.pod, "pod reported by two nodes");
                return None;
            }
        }
        let entry = PodEntry::new(node, policy, points, &mut self.names);
        Some(self.pods.insert(first.namespace, first.pod, entry))
    }

    /// Forgets the nodes that `known` does not know, with their pods.
    pub(super) fn retain_nodes(&mut self, known: impl Fn(&str) -> bool) {
        let gone: Vec<(Arc<str>, NodeId)> = self
            .by_name
            .iter()
            .filter(|(name, _)| !known(name))
            .map(|(name, id)| (name.clone(), *id))
            .collect();
        for (name, id) in gone {
            self.by_name.remove(&name);
            let entry = self.nodes[id as usize].take();
            self.free.push(id);
            for pod in entry.into_iter().flat_map(|entry| entry.pods) {
                if self.is_of(pod, id) {
                    self.pods.remove(pod);
                }
            }
        }
    }
}

impl ContainerPoint<'_> {
    fn start_ns(&self) -> Option<i64> {
        match self.reading {
            Reading::Complete(point) => point.start_ns,
            Reading::Ended | Reading::Half => None,
        }
    }
}

impl PodEntry {
    /// A pod of which nothing is known.
    pub(super) fn empty(node: NodeId) -> PodEntry {
        PodEntry { node, containers: Box::default(), incomplete: None, listed_bytes: 0 }
    }

    fn new(node: NodeId, policy: Policy, points: &[ContainerPoint<'_>], names: &mut Names) -> PodEntry {
        let mut entry = PodEntry::empty(node);
        entry.grow(policy, points, names);
        entry
    }

    /// As [`PodEntry::measure`] found it last.
    pub(super) fn listed_bytes(&self) -> usize {
        self.listed_bytes as usize
    }

    /// Finds out what its usage takes in a list: now, when it was just read or written, it costs next to nothing.
    pub(super) fn measure(&mut self) {
        let usages =
            self.containers.iter().filter_map(|(name, series)| Some((&**name, series.usage().ok()?)));
        let bytes = if self.incomplete.is_some() { 0 } else { usage_bytes(usages) };
        self.listed_bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    }

    fn newest_start_ns(&self) -> Option<i64> {
        self.containers.iter().filter_map(|(_, series)| series.last().start_ns).max()
    }

    /// Takes the next points of the pod, sorted by container.
    fn grow(&mut self, policy: Policy, points: &[ContainerPoint<'_>], names: &mut Names) {
        self.incomplete = incomplete(points).map(|name| names.share(name));
        // Upstream forgets a withheld pod; a collector's short history is worth keeping for the next second.
        if self.incomplete.is_some() && matches!(policy, Policy::TwoPoints { .. }) {
            self.containers = Box::default();
            return;
        }
        let kept = |reading| matches!(reading, Reading::Complete(_) | Reading::Half);
        let present = || points.iter().filter(|point| kept(point.reading));
        if !present().map(|point| point.name).eq(self.containers.iter().map(|(name, _)| &**name)) {
            self.rebuild(policy, present(), names);
            return;
        }
        for ((_, series), point) in self.containers.iter_mut().zip(present()) {
            if let Reading::Complete(point) = point.reading {
                series.push(policy, point);
            }
        }
    }

    /// The same when containers came or went.
    fn rebuild<'a>(
        &mut self,
        policy: Policy,
        present: impl Iterator<Item = &'a ContainerPoint<'a>>,
        names: &mut Names,
    ) {
        let mut old: BTreeMap<Arc<str>, Series> = std::mem::take(&mut self.containers).into_iter().collect();
        let series = present.filter_map(|point| {
            let former = old.remove(point.name);
            let series = match point.reading {
                Reading::Complete(point) => grown(former, policy, point),
                Reading::Ended | Reading::Half => former?,
            };
            Some((names.share(point.name), series))
        });
        self.containers = series.collect();
    }
}

/// The container for which the pod is withheld: one that was half read, or any when none runs.
fn incomplete<'a>(points: &'a [ContainerPoint<'_>]) -> Option<&'a str> {
    let half = points.iter().find(|point| point.reading == Reading::Half);
    let none_runs = points.iter().all(|point| point.reading == Reading::Ended);
    half.or(points.first().filter(|_| none_runs)).map(|point| point.name)
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
