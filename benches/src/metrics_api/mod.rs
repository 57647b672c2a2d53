//! What `metrics.k8s.io` costs in a large cluster: a metrics server as a process of its own, over simulated kubelets and
//! a simulated API server in this one.
//!
//! Flyball's program and upstream's take turns over the same kubelets, pods and requests. Everything stays on loopback
//! addresses and ends by itself.

pub(crate) mod ask;
mod automatic;
pub(crate) mod cluster;
pub(crate) mod process;
pub(crate) mod requests;
pub(crate) mod run;
pub(crate) mod world;

pub use automatic::automatic;
pub use process::{Kind, Subject};
pub use run::{Plan, figures, run};
pub use world::{Endpoints, Size, World};

/// Serves this world's objects.
///
/// # Errors
/// No thread, no listener or no certificate.
pub fn cluster(world: World) -> anyhow::Result<cluster::Cluster> {
    cluster::Cluster::start(world)
}

/// What the simulation listens on: kubelets from here upwards, port 10250.
const FIRST_KUBELET: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 64, 0, 1);
