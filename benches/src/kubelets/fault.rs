//! What can be wrong with a kubelet.

use std::time::Duration;

use bytes::Bytes;

/// How a simulated kubelet answers `/metrics/resource`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fault {
    /// Time before the answer begins.
    pub delay: Duration,
    /// The answer.
    pub answer: Answer,
    /// How far the node's clock is ahead (or, below zero, behind), milliseconds: shifts its timestamps and start times.
    pub skew_ms: i64,
}

/// What a simulated kubelet answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Answer {
    /// Its metrics.
    #[default]
    Metrics,
    /// This status and a short text.
    Status(u16),
    /// This body, with status 200.
    Body {
        /// The `Content-Type`.
        content_type: String,
        /// The body.
        body: Bytes,
    },
    /// Bytes that are no text.
    Garbage,
    /// The first half of its metrics, then the connection breaks.
    Truncated,
    /// A status of 200 and series without end.
    Endless,
    /// Nothing, for as long as the client waits.
    Never,
}
