//! The containers of one node and what they have used.

use std::collections::BTreeMap;

use super::meter::{Meter, Reading, Usage};

/// What a node uses beside its pods.
pub const SYSTEM: Usage = Usage { nanocores: 100_000_000, bytes: 512 * 1024 * 1024 };

/// Namespace and name of a pod.
pub type PodKey = (String, String);

/// One container.
#[derive(Debug, Clone)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// What it has used.
    pub meter: Meter,
    /// Whether it is left out of the answers.
    pub hidden: bool,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    meter: Meter,
    pods: BTreeMap<PodKey, Vec<Container>>,
}

/// A container as a kubelet lists it.
#[derive(Debug, PartialEq)]
pub struct ContainerRow<'a> {
    /// Its name.
    pub container: &'a str,
    /// Its pod.
    pub pod: &'a PodKey,
    /// Its reading.
    pub reading: Reading,
    /// Start of the container, Unix milliseconds.
    pub started_ms: i64,
}

impl Node {
    /// A node without pods that was started at `started_ms`.
    #[must_use]
    pub fn new(name: String, started_ms: i64) -> Self {
        Self { name, meter: Meter::new(started_ms, SYSTEM), pods: BTreeMap::new() }
    }

    /// Adds a pod, or replaces it.
    pub fn put(&mut self, now_ms: i64, pod: PodKey, containers: Vec<Container>) {
        self.pods.insert(pod, containers);
        self.sum_up(now_ms);
    }

    /// Takes a pod away; the node's own counter keeps what it used.
    pub fn remove(&mut self, now_ms: i64, pod: &PodKey) {
        if self.pods.remove(pod).is_some() {
            self.sum_up(now_ms);
        }
    }

    /// The containers of a pod; empty when it is not here.
    #[must_use]
    pub fn containers(&self, pod: &PodKey) -> &[Container] {
        self.pods.get(pod).map_or(&[], Vec::as_slice)
    }

    /// Changes one container; `false` when it is not here.
    pub fn change(
        &mut self,
        now_ms: i64,
        pod: &PodKey,
        container: &str,
        how: impl FnOnce(&mut Container),
    ) -> bool {
        let found = self.pods.get_mut(pod).and_then(|all| all.iter_mut().find(|one| one.name == container));
        let Some(found) = found else { return false };
        how(found);
        self.sum_up(now_ms);
        true
    }

    /// Sets what each container of a pod uses from now on; returns whether anything changed.
    pub fn set(&mut self, now_ms: i64, pod: &PodKey, usage: impl Fn(&str) -> Usage) -> bool {
        let Some(containers) = self.pods.get_mut(pod) else { return false };
        let changes =
            containers.iter_mut().filter_map(|one| one.meter.set(now_ms, usage(&one.name)).then_some(()));
        let changed = changes.count() > 0;
        if changed {
            self.sum_up(now_ms);
        }
        changed
    }

    /// What the whole node uses now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.meter.usage()
    }

    /// The node's own reading.
    #[must_use]
    pub fn reading(&self, at_ms: i64) -> Option<Reading> {
        self.meter.read(at_ms)
    }

    /// Its containers at `at_ms`, in the order of a kubelet's series: by container, namespace, pod.
    #[must_use]
    pub fn rows(&self, at_ms: i64) -> Vec<ContainerRow<'_>> {
        let mut rows: Vec<_> = self
            .pods
            .iter()
            .flat_map(|(pod, containers)| containers.iter().map(move |container| (pod, container)))
            .filter(|(_, container)| !container.hidden)
            .filter_map(|(pod, container)| {
                let (reading, started_ms) = (container.meter.read(at_ms)?, container.meter.started_ms());
                Some(ContainerRow { container: &container.name, pod, reading, started_ms })
            })
            .collect();
        rows.sort_by_key(|row| (row.container, row.pod));
        rows
    }

    /// Its pods at `at_ms`, by namespace and name: the sums of their containers, the hidden ones too, since a kubelet
    /// reads these from the pod's own group.
    #[must_use]
    pub fn pod_rows(&self, at_ms: i64) -> Vec<(&PodKey, Reading)> {
        let sum = |containers: &[Container]| {
            let readings = containers.iter().filter_map(|container| container.meter.read(at_ms));
            readings.reduce(|a, b| Reading { cpu_ns: a.cpu_ns + b.cpu_ns, bytes: a.bytes + b.bytes })
        };
        self.pods.iter().filter_map(|(pod, containers)| Some((pod, sum(containers)?))).collect()
    }

    /// The node uses what its system and its containers use.
    fn sum_up(&mut self, now_ms: i64) {
        let all = self.pods.values().flatten().map(|container| container.meter.usage());
        let total = all.fold(SYSTEM, |sum, one| Usage {
            nanocores: sum.nanocores.saturating_add(one.nanocores),
            bytes: sum.bytes.saturating_add(one.bytes),
        });
        self.meter.set(now_ms, total);
    }
}
