//! The order of a summary: pods by name, each with its containers.

use super::{Extent, Pod};
use crate::disk::DiskUse;
use crate::sample::Sweep;
use std::collections::HashMap;
use std::ops::Range;

/// The named pods of a sweep by name, each with its containers, by their places in the sweep.
pub(super) struct Order {
    pods: Vec<(usize, Range<usize>)>,
    containers: Vec<usize>,
}

impl Order {
    pub(super) fn of(sweep: &Sweep) -> Order {
        let mut by_pod: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, container) in sweep.containers.iter().enumerate() {
            by_pod.entry(&container.pod_uid).or_default().push(at);
        }
        let mut named: Vec<_> = sweep
            .pods
            .iter()
            .enumerate()
            .filter_map(|(at, pod)| {
                let name = pod.name.as_deref()?;
                Some(((&name.namespace, &name.pod, &pod.uid), at))
            })
            .collect();
        named.sort_unstable();
        let mut order = Order { pods: Vec::with_capacity(named.len()), containers: Vec::new() };
        for ((_, _, uid), at) in named {
            let start = order.containers.len();
            order.containers.extend(by_pod.get(&**uid).into_iter().flatten());
            order.pods.push((at, start..order.containers.len()));
        }
        order
    }

    pub(super) fn len(&self) -> usize {
        self.pods.len()
    }

    /// A pod by its place in this order.
    pub(super) fn pod(&self, at: usize, sweep: &Sweep, disk: &DiskUse, extent: Extent) -> Option<Pod> {
        let (pod, containers) = self.pods.get(at)?;
        let pod = sweep.pods.get(*pod)?;
        let places = self.containers.get(containers.clone())?;
        let members: Vec<_> = places.iter().filter_map(|at| sweep.containers.get(*at)).collect();
        Some(Pod::of(pod, pod.name.as_deref()?, &members, disk, extent))
    }
}
