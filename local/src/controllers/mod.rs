//! Controllers: loops that watch objects and bring the rest of the cluster in line with them.
//!
//! Each is level-triggered and keeps no state of its own beyond retry delays: what it needs it reads from the registry.
//! Decisions (rollout arithmetic, deletion order, fitting of pods, garbage rounds) are pure functions; the loops only
//! read, act and write. No controller starts a process or opens a socket: that is `runtime` and `net`.

mod deployment;
mod endpoints;
mod garbage;
mod machine;
mod names;
mod node;
pub(crate) mod object;
mod ranking;
mod replicasets;
mod scheduler;
mod worker;

use tokio_util::sync::CancellationToken;

pub use endpoints::SERVICE_LABEL;
pub use machine::Machine;
pub use node::NodeConfig;

use crate::registry::Registry;

/// What the controllers need to know.
#[derive(Debug, Clone)]
pub struct ControllersConfig {
    /// The one node.
    pub node: NodeConfig,
}

/// Runs all controllers until shutdown.
pub async fn run(registry: Registry, config: ControllersConfig, shutdown: CancellationToken) {
    let scheduler = scheduler::Scheduler { node: config.node.name.clone() };
    tokio::join!(
        node::run(registry.clone(), config.node, shutdown.clone()),
        worker::drive(scheduler, registry.clone(), shutdown.clone()),
        worker::drive(deployment::Deployments, registry.clone(), shutdown.clone()),
        worker::drive(replicasets::ReplicaSets, registry.clone(), shutdown.clone()),
        worker::drive(endpoints::Endpoints, registry.clone(), shutdown.clone()),
        worker::drive(garbage::Garbage, registry, shutdown),
    );
}
