//! Behaviour on a real control plane: our programs, started with the arguments and with exactly the rights that `deploy/`
//! ships, beside simulated kubelets.
#![allow(clippy::disallowed_methods, reason = "edge: tests of whole programs open sockets and read files")]

mod access;
mod audit;
mod available;
mod callers;
pub mod certificates;
pub mod direct;
mod hand_over;
pub mod manifests;
mod modes;
mod namespaces;
mod outages;
mod secret;
pub mod stage;
mod targets;
mod workload;

use flyball_e2e::plane::Needs;

/// What the tests need in which our autoscaler scales: nobody else may.
fn alone_at_scaling() -> Needs {
    Needs::light().no_hpa_loop().own_control_plane()
}

/// Fails unless `text` holds every one of `parts`.
#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    let missing: Vec<_> = parts.iter().filter(|part| !text.contains(**part)).collect();
    assert!(missing.is_empty(), "missing {missing:?} in:\n{text}");
}
