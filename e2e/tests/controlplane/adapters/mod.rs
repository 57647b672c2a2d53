//! The adapter on a real control plane over a real Prometheus: the same answers as prometheus-adapter's, and autoscalers of
//! either loop that scale by its metrics.
#![allow(
    clippy::disallowed_methods,
    reason = "edge: starts programs, serves what they read, writes their files"
)]

mod alike;
mod prometheus;
mod questions;
mod scaled;
mod serving;
mod sides;
mod world;

use std::path::PathBuf;

use flyball_e2e::plane::peer;
use flyball_e2e::skipped;

/// Prometheus, if it is built; else this is said aloud.
fn prometheus_program() -> Option<PathBuf> {
    program("FLYBALL_E2E_PROMETHEUS", "prometheus")
}

/// Upstream's adapter, if it is built; else this is said aloud.
fn upstream_program() -> Option<PathBuf> {
    program("FLYBALL_E2E_PROMETHEUS_ADAPTER", "prometheus-adapter")
}

fn program(variable: &str, name: &str) -> Option<PathBuf> {
    let found = peer(variable, name);
    if found.is_none() {
        skipped(&format!("{name} is not built: `cargo xtask e2e` builds it with Go"));
    }
    found
}
