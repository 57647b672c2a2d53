//! From the scrape loops to the store: a sink for the nodes' batches, thinned to one per interval, and the thread behind it.
//!
//! Promise: whoever scrapes is never held up and never learns what goes on here. [`NodeSink::accept`] copies a batch into a
//! bounded queue or drops it; everything else happens on a thread of its own, at a lower priority, where a panic costs the
//! batch that caused it. What is dropped is counted by its reason ([`Counts`]).

mod counts;
pub mod labels;
mod queue;
mod sink;
mod target;
mod thin;
mod worker;

pub use crate::head::index::SeriesRef;
pub use counts::Counts;
pub use sink::{NodeSink, NodeStatus};
pub(crate) use worker::Worker;
