//! Takes every figure this machine can, prints them as a table and as one line of JSON.

#![allow(clippy::disallowed_methods, reason = "a program: it looks for its neighbour, the flyball binary")]

use std::path::PathBuf;

use anyhow::Context;
use flyball_benches::counting::{Counting, allocations};
use flyball_benches::{bodies, decision, idle, metrics_api, reaction, sweep, table};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut figures = sweep::figures();
    figures.extend(bodies::figures());
    figures.extend(reaction::figures());
    figures.extend(decision::figures(allocations));
    figures.extend(idle::figures(&flyball()?));
    figures.extend(metrics_api::figures(&flyball()?));
    print!("{}", table(&figures));
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// The flyball program beside this one.
fn flyball() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    Ok(own.with_file_name("flyball"))
}
