//! Figures of `flyball server` over simulated kubelets: its cost by the size of the cluster, and shared fate.
//!
//! ```sh
//! cargo run --release -p flyball-benches --bin server -- scale [--nodes 100,1000,5000]
//! cargo run --release -p flyball-benches --bin server -- fate [--nodes 500]
//! ```

#![allow(clippy::disallowed_methods, reason = "a program: it looks for its neighbour, the flyball binary")]

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use flyball_benches::server::{fate, scale};
use flyball_benches::table;

/// Figures of `flyball server`.
#[derive(Debug, Parser)]
struct Flags {
    /// Which ones.
    #[arg(value_enum)]
    what: What,
    /// Nodes of 30 pods; of `fate` only the first number counts.
    #[arg(long, value_delimiter = ',')]
    nodes: Vec<usize>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// CPU, memory, network and watches by the number of nodes.
    Scale,
    /// A label bomb, queries of death and a full disk, beside requests for metrics.
    Fate,
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let own = std::env::current_exe().context("cannot tell where this program is")?.with_file_name("flyball");
    let nodes =
        |default: &[usize]| if flags.nodes.is_empty() { default.to_vec() } else { flags.nodes.clone() };
    let figures = match flags.what {
        What::Scale => scale(&own, &nodes(&[100, 1000, 5000]))?,
        What::Fate => fate(&own, nodes(&[500])[0])?,
    };
    print!("{}", table(&figures));
    Ok(())
}
