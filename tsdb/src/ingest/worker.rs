//! The thread that brings batches into the store.
#![allow(clippy::disallowed_methods, reason = "edge: a thread, and the clock for what it appends")]

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counts::Counts;
use super::sink::{Job, NodeSink, samples_of};
use super::target::{Target, Written};
use crate::store::{Store, now_ms};

/// How often the store is looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Brings what is in the queue into the store until the queue is closed and empty.
pub(crate) struct Worker {
    store: Arc<Store>,
    counts: Arc<Counts>,
    nodes: HashMap<String, Target>,
}

impl Worker {
    pub(crate) fn new(store: Arc<Store>, counts: Arc<Counts>) -> Worker {
        Worker { store, counts, nodes: HashMap::new() }
    }

    /// Works on the calling thread; `look` is called every few seconds.
    pub(crate) fn run(mut self, sink: &NodeSink, look: impl Fn()) {
        let mut looked = Instant::now();
        while let Ok(job) = sink.queue.take(LOOK) {
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                look();
            }
            match job {
                Some(Job::Node(batch)) => {
                    let (store, node) = (self.store.clone(), batch.node.clone());
                    let target = self.nodes.remove(&node).unwrap_or_else(|| Target::node(&node));
                    let samples = samples_of(&batch);
                    self.contained(node, target, samples, move |target| {
                        target.write(&store, now_ms(), &batch)
                    });
                }
                Some(Job::Nodes(names)) => {
                    let gone: Vec<String> =
                        self.nodes.keys().filter(|name| !names.contains(*name)).cloned().collect();
                    for name in gone {
                        if let Some(mut target) = self.nodes.remove(&name) {
                            let store = self.store.clone();
                            let ended = catch_unwind(AssertUnwindSafe(|| target.end(&store, now_ms())));
                            ended.into_iter().for_each(|written| self.count(&name, &written));
                        }
                    }
                }
                None => {}
            }
        }
    }

    /// A panic costs the batch and what was known of its target, and nothing else.
    fn contained(
        &mut self,
        node: String,
        mut target: Target,
        samples: usize,
        write: impl FnOnce(&mut Target) -> Written,
    ) {
        match catch_unwind(AssertUnwindSafe(|| write(&mut target))) {
            Ok(written) => {
                self.count(&node, &written);
                self.nodes.insert(node, target);
            }
            Err(_) => {
                let why = "storing it failed unexpectedly";
                self.counts.dropped("panic", samples, &node, why, now_ms());
            }
        }
    }

    fn count(&self, from: &str, written: &Written) {
        self.counts.stored(written.stored);
        let example = written.example.as_deref().unwrap_or("");
        for (reason, samples) in &written.refused {
            self.counts.dropped(reason, *samples, from, example, now_ms());
        }
    }
}
