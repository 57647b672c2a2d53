//! `flyball server` as a process of its own, over the simulated kubelets and API server of [`crate::metrics_api`]: what it
//! costs by the size of the cluster ([`scale`]), and whether what goes wrong with history is felt by those who ask for metrics
//! ([`fate`]).

mod bomb;
mod fate;
mod scale;

pub use fate::fate;
pub use scale::scale;

use std::path::Path;
use std::time::SystemTime;

use crate::kubelets::Simulation;
use crate::metrics_api::cluster::Cluster;
use crate::metrics_api::{Endpoints, Kind, Size, Subject, World};

/// Pods on each node.
const PODS_PER_NODE: usize = 30;

/// A cluster with its kubelets.
struct Around {
    world: World,
    kubelets: Simulation,
    cluster: Cluster,
}

impl Around {
    #[allow(clippy::disallowed_methods, reason = "a benchmark: reads the clock")]
    fn start(nodes: usize) -> anyhow::Result<Around> {
        let world = World { size: Size { nodes, pods_per_node: PODS_PER_NODE } };
        let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64;
        Ok(Around {
            world,
            kubelets: world.kubelets(Endpoints::KUBELETS, now_ms)?,
            cluster: Cluster::start(world)?,
        })
    }
}

/// The program with its defaults.
fn subject(program: &Path) -> Subject {
    Subject { kind: Kind::Server, program: program.to_owned(), resolution: None }
}
