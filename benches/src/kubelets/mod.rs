//! Simulated kubelets and hollow nodes: a cluster's worth of `/metrics/resource` endpoints, with pods that run without
//! containers.
//!
//! What a simulation promises:
//!
//! * Each kubelet has its own address, TLS, HTTP/1.1 with keep-alive, and answers byte for byte in the shape of a real
//!   one, with the timestamps of its own sampling.
//! * Counters are exact integrals of rates that change at known moments, so what `kubectl top` shows and what an HPA
//!   decides can be computed. Rates come from annotations of the pods ([`demand`]) or from the handle.
//! * An app's load is shared evenly by its ready pods: adding pods lowers each one's usage, so autoscalers settle.
//! * With a cluster, nodes are registered and kept alive, and pods bound to them run, become ready and end as under a
//!   kubelet.
//!
//! A [`Simulation`] owns its threads; dropping it ends everything but the Node objects.

pub mod body;
mod clock;
mod config;
pub mod demand;
mod fault;
mod handle;
mod hollow;
pub mod meter;
pub mod node;
mod number;
pub mod pod;
pub mod population;
mod sampling;
mod serve;
mod shared;
mod start;
#[cfg(test)]
mod tests;

pub use config::{Allocatable, Certificates, Config, Credentials};
pub use fault::{Answer, Fault};
pub use handle::Simulation;
pub use hollow::objects::NODE_LABEL;
pub use sampling::Sampling;

use std::net::SocketAddr;

/// Why a simulation cannot start, or what was asked of it cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// An annotation or argument is no amount.
    #[error("{text:?} is no amount: {reason}")]
    Amount {
        /// What was given.
        text: String,
        /// Why not.
        reason: String,
    },
    /// A pod's annotations cannot be understood.
    #[error("pod {pod}: {source}")]
    Pod {
        /// Namespace and name.
        pod: String,
        /// What is wrong.
        source: Box<SimulationError>,
    },
    /// A kubelet cannot listen.
    #[error("the kubelet of node {node} cannot listen on {address}: {source}")]
    Listen {
        /// The node.
        node: String,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate or key cannot be made or read.
    #[error("certificate of node {node}: {reason}")]
    Certificate {
        /// The node, or `all`.
        node: String,
        /// Why.
        reason: String,
    },
    /// The cluster cannot be reached or refuses something.
    #[error("cannot {what}: {reason}")]
    Cluster {
        /// What was to be done.
        what: String,
        /// Why not.
        reason: String,
    },
    /// There is no such node, pod or container.
    #[error("there is no {what} {name} in this simulation")]
    Unknown {
        /// Its kind.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The simulation's threads cannot be started.
    #[error("the simulation's threads cannot be started: {0}")]
    Threads(#[source] std::io::Error),
}
