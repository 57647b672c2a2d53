//! The runtime half of the one-machine cluster with real processes: a registry in a temporary folder, the controllers,
//! the runtime, the balancers. What this machine does not permit is skipped aloud.
#![allow(clippy::disallowed_methods, reason = "tests start processes and read the machine")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;
mod containers;
mod crash;
mod deployments;
mod services;
