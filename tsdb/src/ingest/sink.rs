//! Where the scrape loops put the nodes' batches.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use flyball_model::batch::{Batch, Outcome, Sink};

use super::counts::Counts;
use super::queue::{Queue, Weight};
use super::thin::Thinner;

/// Batches that may wait for the store.
const BATCHES_MAX: usize = 20_000;

/// Samples in them: some 200 bytes each.
const SAMPLES_MAX: usize = 250_000;

/// What waits for the store.
pub(crate) enum Job {
    /// A node's batch.
    Node(Batch),
    /// The nodes that there are; what others had ends.
    Nodes(BTreeSet<String>),
}

impl Weight for Job {
    fn samples(&self) -> usize {
        match self {
            Job::Node(batch) => samples_of(batch),
            Job::Nodes(_) => 0,
        }
    }
}

pub(super) fn samples_of(batch: &Batch) -> usize {
    match &batch.outcome {
        Outcome::Scraped { samples, .. } => samples.len(),
        Outcome::Failed { .. } => 0,
    }
}

/// How a node's endpoint did the last time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// When it was asked, Unix milliseconds.
    pub started_ms: i64,
    /// How long that took, milliseconds.
    pub took_ms: i64,
    /// Why there was no answer.
    pub failure: Option<String>,
}

struct Node {
    thinner: Thinner,
    status: NodeStatus,
}

/// See the module.
pub struct NodeSink {
    interval_ms: i64,
    nodes: Mutex<HashMap<String, Node>>,
    pub(crate) queue: Arc<Queue<Job>>,
    pub(crate) counts: Arc<Counts>,
}

impl NodeSink {
    pub(crate) fn new(interval_ms: i64) -> NodeSink {
        NodeSink {
            interval_ms,
            nodes: Mutex::default(),
            queue: Arc::new(Queue::new(BATCHES_MAX, SAMPLES_MAX)),
            counts: Arc::default(),
        }
    }

    /// How the nodes' endpoints did the last time, by node.
    pub fn statuses(&self) -> BTreeMap<String, NodeStatus> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.iter().map(|(name, node)| (name.clone(), node.status.clone())).collect()
    }

    /// What became of the samples.
    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Says which nodes there are: the series of others end. `false` when there was no room to say so.
    pub fn retain(&self, names: &BTreeSet<String>) -> bool {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| names.contains(name));
        self.queue.offer(|| Job::Nodes(names.clone()), 0)
    }

    /// Notes how the node did; whether this batch is one of those that are stored.
    fn note(&self, batch: &Batch) -> bool {
        let failure = match &batch.outcome {
            Outcome::Failed { reason } => Some(reason.clone()),
            Outcome::Scraped { .. } => None,
        };
        let failed = failure.is_some();
        let status = NodeStatus {
            started_ms: batch.started_ms,
            took_ms: (batch.finished_ms - batch.started_ms).max(0),
            failure,
        };
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        match nodes.get_mut(&batch.node) {
            Some(node) => {
                node.status = status;
                node.thinner.takes(batch.started_ms, failed)
            }
            None => {
                let mut thinner = Thinner::new(self.interval_ms);
                let takes = thinner.takes(batch.started_ms, failed);
                nodes.insert(batch.node.clone(), Node { thinner, status });
                takes
            }
        }
    }
}

impl Sink for NodeSink {
    fn accept(&self, batch: &Batch) {
        if !self.note(batch) {
            return;
        }
        let samples = samples_of(batch);
        if !self.queue.offer(|| Job::Node(batch.clone()), samples) && !self.queue.is_closed() {
            let why = "the store does not keep up, or is not open";
            self.counts.dropped("queue_full", samples, &batch.node, why, batch.finished_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use flyball_model::samples::Samples;

    use super::*;

    #[test]
    fn who_scrapes_is_never_held_up() {
        let sink = NodeSink::new(15_000);
        let batch = |node: &str, started_ms| Batch {
            node: node.to_owned(),
            started_ms,
            finished_ms: started_ms + 5,
            outcome: Outcome::Failed { reason: "away".into() },
        };
        // Nobody takes anything out.
        for node in 0..BATCHES_MAX + 10 {
            let outcome = Outcome::Scraped { samples: Samples::default(), sweep_interval_ms: None };
            sink.accept(&Batch { outcome, ..batch(&node.to_string(), 0) });
        }
        sink.accept(&batch("7", 1));
        assert_eq!(sink.counts.all_dropped().get("queue_full"), Some(&0), "they held no samples");
        let status = &sink.statuses()["7"];
        assert_eq!((status.took_ms, status.failure.as_deref()), (5, Some("away")));
        assert!(!sink.retain(&BTreeSet::from(["7".to_owned()])));
        assert_eq!(sink.statuses().len(), 1);
    }
}
