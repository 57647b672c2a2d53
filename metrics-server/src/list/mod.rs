//! Lists of pods, written straight from the caches and the store while they are sent.
//!
//! What this promises: the bytes are those of the objects written one by one ([`crate::objects`]); neither lock is held
//! longer than one piece takes; memory is that of a piece, whatever the length of the list. A list that takes several
//! pieces shows each pod as it is when its piece is written.

mod json;
mod protobuf;
mod text;

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::api::page::Selection;
use crate::cluster::{Cluster, ObjectLabels, Pod};
use crate::options::Selectors;
use crate::own_metrics::ServedMetrics;
use crate::store::{MeasuredPod, Store, Walk};

pub(crate) use json::JsonList;
pub(crate) use protobuf::{ProtobufList, metadata_bytes, usage_bytes};

/// A piece ends with the pods that make it this long; with them it is mostly one write of the connection.
const PIECE_BYTES: usize = 48 * 1024;
/// Room for a piece.
const PIECE_ROOM_BYTES: usize = 64 * 1024;
/// Pods that are looked up together.
const TOGETHER: usize = 32;
/// Or after so many pods, wanted or not.
const PIECE_PODS: usize = 2048;
const MS_NS: i64 = 1_000_000;
/// So small a part of the pods without usage is few.
const FEW_PART: usize = 8;

/// Which pods, and where they are found.
pub(crate) struct PodSource {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) store: Arc<Store>,
    pub(crate) metrics: ServedMetrics,
    pub(crate) selection: Selection,
    pub(crate) now_ms: i64,
}

/// Writes one pod.
trait WritePod {
    fn pod(&mut self, out: &mut Vec<u8>, pod: &ListedPod<'_>);
    /// A piece begins: what was remembered of labels by their address counts no longer.
    fn piece_begins(&mut self);
}

/// A pod as it is met.
struct ListedPod<'a> {
    namespace: &'a str,
    name: &'a str,
    labels: &'a ObjectLabels,
    usage: MeasuredPod<'a>,
}

/// A place in the list: behind this pod.
type Place = Option<(String, String)>;

/// A pod whose usage is still to be looked up.
struct Met<'s> {
    namespace: &'s str,
    name: &'s str,
    pod: &'s Pod,
}

impl PodSource {
    /// Appends pods behind `place` until the piece is full, and moves `place`; whether more may come.
    fn piece(&self, place: &mut Place, out: &mut Vec<u8>, write: &mut impl WritePod, count: bool) -> bool {
        write.piece_begins();
        out.reserve(PIECE_ROOM_BYTES);
        let begin = out.len();
        let before = place.take();
        let behind = before.as_ref().map(|(namespace, name)| (namespace.as_str(), name.as_str()));
        let mut wanted = Wanted { selectors: &self.selection.selectors, by_labels: None };
        let mut passed = 0;
        let namespace = self.selection.namespace.as_deref();
        self.cluster.read(|cluster| {
            self.store.walk(self.now_ms, |walk| {
                let mut met: Vec<Met<'_>> = Vec::with_capacity(TOGETHER);
                cluster.pods_after(namespace, behind, |namespace, name, pod| {
                    passed += 1;
                    if wanted.pod(namespace, name, &pod.labels) {
                        met.push(Met { namespace, name, pod });
                    }
                    if met.len() < TOGETHER && passed < PIECE_PODS {
                        return ControlFlow::Continue(());
                    }
                    self.write_all(walk, &mut met, out, write, count);
                    if out.len() - begin >= PIECE_BYTES || passed >= PIECE_PODS {
                        *place = Some((namespace.to_owned(), name.to_owned()));
                        return ControlFlow::Break(());
                    }
                    ControlFlow::Continue(())
                });
                self.write_all(walk, &mut met, out, write, count);
            });
        });
        place.is_some()
    }

    /// Writes those that have usage.
    fn write_all(
        &self,
        walk: Walk<'_>,
        met: &mut Vec<Met<'_>>,
        out: &mut Vec<u8>,
        write: &mut impl WritePod,
        count: bool,
    ) {
        let usages = walk.find_all(met.iter().map(|one| (one.namespace, one.name, &one.pod.found)));
        for (one, usage) in met.iter().zip(usages) {
            let Some(usage) = usage else { continue };
            if count {
                let timestamp_ms = usage.timestamp_ns().map(|ns| ns.div_euclid(MS_NS));
                self.metrics.served(self.now_ms, timestamp_ms);
            }
            let (namespace, name, labels) = (one.namespace, one.name, &one.pod.labels);
            write.pod(out, &ListedPod { namespace, name, labels, usage });
        }
        met.clear();
    }

    /// What the items of a list of everything take at most, if that is known without looking at each pod. It is not when many
    /// pods have no usage, for theirs is counted too.
    fn bytes_of_all(&self, created: i64) -> Option<usize> {
        if self.selection.namespace.is_some() || !self.selection.selectors.wants_all() {
            return None;
        }
        let all = self.cluster.read(crate::cluster::State::listed);
        let (pods, bytes) = self.store.walk(self.now_ms, |walk| walk.listed());
        let few_without = |some: usize, others: usize| some.saturating_sub(others) <= some / FEW_PART;
        let comparable = few_without(all.pods, pods) && few_without(pods, all.pods);
        comparable.then(|| all.bytes + bytes + all.pods * protobuf::created_bytes(created))
    }
}

/// Where labels lie: a sign of sameness as long as they live.
type Address = usize;

fn address(labels: &ObjectLabels) -> Address {
    Arc::as_ptr(labels).addr()
}

/// Neighbours mostly share their labels, so what a selector says of them is asked once.
struct Wanted<'a> {
    selectors: &'a Selectors,
    by_labels: Option<(Address, bool)>,
}

impl Wanted<'_> {
    fn pod(&mut self, namespace: &str, name: &str, labels: &ObjectLabels) -> bool {
        let address = address(labels);
        let by_labels = match self.by_labels {
            Some((known, wanted)) if known == address => wanted,
            _ => self.selectors.wants_labels(labels),
        };
        self.by_labels = Some((address, by_labels));
        by_labels && self.selectors.wants_name(namespace, name)
    }
}

#[cfg(test)]
mod tests;
