//! Finds the nodes' endpoints, fetches them, and hands batches to sinks.
//!
//! ```text
//! discover (watches Nodes and collector pods) ─▶ Targets ─▶ run: one loop per target ─▶ Batch ─▶ sinks
//! ```
//!
//! What this crate promises:
//!
//! * Each target has its own loop, connection, schedule and time-out: a slow node never delays another one.
//! * Every attempt ends in a batch. A failure is a batch with its reason, one sentence that names the address.
//! * Nothing a target answers can take more than [`answer::BODY_LIMIT_BYTES`] of memory or
//!   [`Config::request_timeout`] of time.
//! * Fresh where it is cheap: each second from Flyball collectors while that stays within a CPU budget ([`interval`]),
//!   15 s from kubelets.
//!
//! Nobody but this crate owns a scrape loop.

pub mod answer;
pub mod apps;
pub mod config;
mod connection;
pub mod discover;
pub mod examine;
mod exchange;
pub mod failure;
mod file;
mod gzip;
pub mod http1;
pub mod interval;
mod meter;
pub mod metrics;
pub mod node;
pub mod phase;
mod run;
mod session;
mod spare;
pub mod target;
pub mod tls;

pub use config::{Config, Endpoint, Resolution, Token, Transport};
pub use metrics::Metrics;
pub use run::{run, run_apart};
pub use target::{Kind, Target, Targets};
