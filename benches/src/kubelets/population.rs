//! All nodes, pods and apps of a simulation, and who uses how much.
//!
//! The amount an app is to use is shared evenly by its pods that take load. Whenever one comes, goes, or the amount
//! changes, every share changes from that moment on, exactly.

use std::collections::{BTreeMap, HashMap};

use super::demand::{Amount, DEFAULT, Demand};
use super::meter::{Meter, Usage};
use super::node::{Container, Node, PodKey};
use super::pod::{Running, SimulatedPod};

/// Namespace and app.
type GroupKey = (String, String);

/// The whole simulation's state.
#[derive(Debug)]
pub struct Population {
    nodes: Vec<Node>,
    by_name: HashMap<String, usize>,
    pods: BTreeMap<PodKey, SimulatedPod>,
    /// What the handle said; it has precedence over annotations.
    loads: HashMap<GroupKey, Demand>,
    members: HashMap<GroupKey, Vec<PodKey>>,
    changed_ms: i64,
}

impl Population {
    /// Nodes with these names and no pods.
    #[must_use]
    pub fn new(names: Vec<String>, now_ms: i64) -> Self {
        let by_name = names.iter().cloned().zip(0..).collect();
        let nodes = names.into_iter().map(|name| Node::new(name, now_ms)).collect();
        let empty = (BTreeMap::new(), HashMap::new(), HashMap::new());
        Self { nodes, by_name, pods: empty.0, loads: empty.1, members: empty.2, changed_ms: now_ms }
    }

    /// The node with this index.
    #[must_use]
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// The index of a node.
    #[must_use]
    pub fn index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// When any usage last changed, Unix milliseconds.
    #[must_use]
    pub fn changed_ms(&self) -> i64 {
        self.changed_ms
    }

    /// Takes note of a pod as it is now. One that is on no node of ours is forgotten.
    pub fn observe(&mut self, now_ms: i64, pod: SimulatedPod) {
        let key = pod.key();
        if self.pods.get(&key) == Some(&pod) {
            return;
        }
        let Some(index) = self.index(&pod.node) else { return self.forget(now_ms, &key) };
        let former = self.pods.insert(key.clone(), pod.clone());
        if let Some(former) = &former
            && (former.node != pod.node || former.group() != pod.group())
        {
            self.leave(now_ms, former);
        }
        let members = self.members.entry(pod.group()).or_default();
        if !members.contains(&key) {
            members.push(key.clone());
        }
        self.start(now_ms, index, &pod);
        self.share(now_ms, &pod.group());
    }

    /// A pod is gone.
    pub fn forget(&mut self, now_ms: i64, key: &PodKey) {
        if let Some(pod) = self.pods.remove(key) {
            self.leave(now_ms, &pod);
        }
    }

    /// Changes what an app uses; what `demand` leaves open stays as it was.
    pub fn set_load(&mut self, now_ms: i64, group: GroupKey, demand: &Demand) {
        let load = self.loads.entry(group.clone()).or_default();
        *load = demand.or(load);
        self.share(now_ms, &group);
    }

    /// Leaves a container out of the answers, or shows it again; `false` when there is none.
    pub fn hide(&mut self, now_ms: i64, pod: &PodKey, container: &str, hidden: bool) -> bool {
        self.change(now_ms, pod, container, |one| one.hidden = hidden)
    }

    /// Lets a container's counter begin anew; `started_ms` is the start time it then shows. `false` when there is none.
    pub fn reset(&mut self, now_ms: i64, pod: &PodKey, container: &str) -> bool {
        self.change(now_ms, pod, container, |one| one.meter = Meter::new(now_ms, one.meter.usage()))
    }

    /// What the containers of each pod of a namespace use now.
    #[must_use]
    pub fn usage(&self, namespace: &str) -> BTreeMap<String, BTreeMap<String, Usage>> {
        let pods = self.pods.values().filter(|pod| pod.namespace == namespace);
        let all = pods.filter_map(|pod| {
            let node = &self.nodes[self.index(&pod.node)?];
            let containers = node.containers(&pod.key()).iter();
            Some((pod.name.clone(), containers.map(|one| (one.name.clone(), one.meter.usage())).collect()))
        });
        all.collect()
    }

    fn change(
        &mut self,
        now_ms: i64,
        pod: &PodKey,
        container: &str,
        how: impl FnOnce(&mut Container),
    ) -> bool {
        let index = self.pods.get(pod).and_then(|known| self.index(&known.node));
        let Some(index) = index else { return false };
        self.changed_ms = now_ms;
        self.nodes[index].change(now_ms, pod, container, how)
    }

    fn leave(&mut self, now_ms: i64, pod: &SimulatedPod) {
        let (key, group) = (pod.key(), pod.group());
        if let Some(index) = self.index(&pod.node) {
            self.nodes[index].remove(now_ms, &key);
            self.changed_ms = now_ms;
        }
        if let Some(members) = self.members.get_mut(&group) {
            members.retain(|member| *member != key);
            if members.is_empty() {
                self.members.remove(&group);
            }
        }
        self.share(now_ms, &group);
    }

    /// Meters for the pod's containers: those that run on keep theirs.
    fn start(&mut self, now_ms: i64, index: usize, pod: &SimulatedPod) {
        let node = &mut self.nodes[index];
        let key = pod.key();
        let present = node.containers(&key);
        let same = |one: &Container, running: &Running| {
            one.name == running.name && one.meter.started_ms() >= running.started_ms
        };
        let unchanged = present.len() == pod.containers.len()
            && present.iter().zip(&pod.containers).all(|(one, running)| same(one, running));
        if unchanged {
            return;
        }
        let count = pod.containers.len();
        let containers = pod.containers.iter().map(|running| {
            let kept = present.iter().find(|one| same(one, running)).cloned();
            kept.unwrap_or_else(|| Container {
                name: running.name.clone(),
                // What it uses by itself it has used from its start; a share of a load only from now on.
                meter: Meter::new(running.started_ms, own_usage(pod, &running.name, count)),
                hidden: false,
            })
        });
        let containers = containers.collect();
        node.put(now_ms, key, containers);
        self.changed_ms = now_ms;
    }

    /// Gives every pod of an app its usage.
    fn share(&mut self, now_ms: i64, group: &GroupKey) {
        let members = self.members.get(group).cloned().unwrap_or_default();
        let takers = members.iter().filter(|key| self.pods[*key].takes_load).count();
        let said = self.loads.get(group).cloned().unwrap_or_default();
        for key in members {
            let pod = &self.pods[&key];
            let load = said.or(&pod.load);
            let count = pod.containers.len();
            let sharers = if pod.takes_load { Some(takers) } else { None };
            let usage = |container: &str| {
                let own = own_usage(pod, container, count);
                Usage {
                    nanocores: part(load.cpu.as_ref(), container, count, sharers).unwrap_or(own.nanocores),
                    bytes: part(load.memory.as_ref(), container, count, sharers).unwrap_or(own.bytes),
                }
            };
            let Some(index) = self.by_name.get(&pod.node).copied() else { continue };
            if self.nodes[index].set(now_ms, &key, usage) {
                self.changed_ms = now_ms;
            }
        }
    }
}

/// A container's part of an app's load; `None` when there is no load. A pod that takes none has what it has by itself.
fn part(load: Option<&Amount>, container: &str, containers: usize, sharers: Option<usize>) -> Option<u64> {
    load.and_then(|amount| Some(amount.share(container, containers, sharers?)))
}

fn own_usage(pod: &SimulatedPod, container: &str, containers: usize) -> Usage {
    let share =
        |amount: &Option<Amount>| amount.as_ref().map(|amount| amount.share(container, containers, 1));
    Usage {
        nanocores: share(&pod.own.cpu).unwrap_or(DEFAULT.nanocores),
        bytes: share(&pod.own.memory).unwrap_or(DEFAULT.bytes),
    }
}

#[cfg(test)]
#[path = "population_tests.rs"]
mod tests;
