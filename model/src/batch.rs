//! What one scrape of one target hands to everyone who wants samples.

use crate::samples::Samples;

/// The result of one attempt to read one node's endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Name of the Node object that was asked.
    pub node: String,
    /// When the request was sent, Unix milliseconds.
    pub started_ms: i64,
    /// When the last byte was read (or the attempt given up), Unix milliseconds.
    pub finished_ms: i64,
    /// What came of it.
    pub outcome: Outcome,
}

/// Samples, or why there are none. A failed scrape is a fact of its own, not an empty list.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The node answered and the answer was read to its end.
    Scraped {
        /// All samples of the answer, in its order.
        samples: Samples,
        /// How often the node takes new samples, milliseconds. Given only by a Flyball collector, in its response
        /// header [`SWEEP_INTERVAL_HEADER`].
        sweep_interval_ms: Option<u64>,
    },
    /// The node did not answer, or not with samples.
    Failed {
        /// One sentence for people.
        reason: String,
    },
}

/// Response header by which a Flyball collector tells its sweep interval in milliseconds.
pub const SWEEP_INTERVAL_HEADER: &str = "flyball-sweep-interval-ms";

/// Someone who wants every batch.
pub trait Sink: Send + Sync {
    /// Takes one batch. Called from scraping tasks, so it returns soon and never waits for I/O.
    fn accept(&self, batch: &Batch);
}
