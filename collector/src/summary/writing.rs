//! The summary as text, pod after pod, so that it takes the memory of one piece while it is sent.

use super::{Extent, Node, Pod, Rlimit};
use crate::disk::DiskUse;
use crate::sample::Sweep;
use std::collections::HashMap;
use std::ops::Range;

/// What a summary is made of.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// A finished sweep.
    pub sweep: &'a Sweep,
    /// What was walked.
    pub disk: &'a DiskUse,
    /// The node's name.
    pub node_name: &'a str,
    /// Its tasks.
    pub rlimit: Option<Rlimit>,
    /// How much is wanted.
    pub extent: Extent,
}

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

/// A summary in the making: everything in it is of the one sweep that it is begun and gone on with.
pub struct Writing {
    order: Order,
    /// The pod that comes next; `None` before the node.
    next: Option<usize>,
}

impl Writing {
    /// Nothing written yet.
    pub fn new(sweep: &Sweep) -> Writing {
        Writing { order: Order::of(sweep), next: None }
    }

    /// Appends the next piece, until there are about so many bytes; whether more is to come.
    pub fn piece(&mut self, seen: &Seen<'_>, bytes: usize, out: &mut Vec<u8>) -> bool {
        let Seen { sweep, disk, node_name, rlimit, extent } = *seen;
        let mut at = self.next.unwrap_or_else(|| {
            out.extend_from_slice(b"{\"node\":");
            put(out, &Node::of(sweep, disk, node_name, rlimit, extent));
            out.extend_from_slice(b",\"pods\":[");
            0
        });
        while at < self.order.len() && out.len() < bytes {
            if at > 0 {
                out.push(b',');
            }
            put(out, &self.order.pod(at, sweep, disk, extent));
            at += 1;
        }
        self.next = Some(at);
        let more = at < self.order.len();
        if !more {
            out.extend_from_slice(b"]}");
        }
        more
    }
}

fn put(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    // Numbers and text only, into memory: nothing that could fail.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "a summary could not be written");
}
