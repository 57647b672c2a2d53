//! The last points of every node and container, served as `metrics.k8s.io`.
//!
//! ```text
//! Batch ─▶ points (read) ─▶ store (a window per node and container) ─▶ usage ─▶ api: NodeMetrics, PodMetrics
//!                                    watch (nodes, running pods) ─▶ cluster ────┘
//! ```
//!
//! What this crate promises:
//!
//! * Wire-compatible with upstream's metrics-server: bodies, order of keys, selectors, Table, errors. Over plain kubelets
//!   the numbers are upstream's too; over Flyball collectors usage follows level shifts within two samples ([`window`]).
//! * Absent is not zero: a pod is served only when all its containers have usage, and what is missing has a reason.
//! * One failed scrape takes nothing away; values keep their true timestamps and go after a stated age ([`store`]).
//! * Discovery, OpenAPI and probes answer from the first second; before data the resources answer 503 with the reason.
//!
//! [`Store`] is a [`Sink`](flyball_model::batch::Sink): whoever scrapes hands batches to it. No scrape loop lives here.

mod api;
mod changes;
mod cluster;
mod config;
mod list;
mod missing;
mod objects;
mod openapi;
mod options;
mod own_metrics;
pub mod peers;
pub mod points;
mod protobuf;
mod server;
pub mod store;
pub mod surroundings;
mod watch;
mod whereabouts;
pub mod window;

pub use api::{GROUP, group};
pub use cluster::{Cluster, NodeChange, PodChange};
pub use config::{Config, DEFAULT_PORT};
pub use missing::Missing;
pub use openapi::documents;
pub use server::{Clock, MetricsServer, MetricsServerError, run};
pub use store::{Store, StoreSettings};
pub use surroundings::Surroundings;
