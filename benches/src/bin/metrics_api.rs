//! Figures of the metrics API in a large cluster, Flyball's program and upstream's in turn over the same simulation.

#![allow(clippy::disallowed_methods, reason = "a program: it looks for its neighbour, the flyball binary")]

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Parser;
use flyball_benches::metrics_api::{Endpoints, Kind, Plan, Size, Subject, World, automatic, cluster, run};
use flyball_benches::table;

/// A metrics server over simulated kubelets: memory, CPU and times.
#[derive(Debug, Parser)]
struct Flags {
    /// Nodes.
    #[arg(long, default_value_t = 5000)]
    nodes: usize,
    /// Pods on each node, with two containers each.
    #[arg(long, default_value_t = 30)]
    pods_per_node: usize,
    /// Upstream's program, to take its turn.
    #[arg(long)]
    peer: Option<PathBuf>,
    /// Leave Flyball out.
    #[arg(long)]
    peer_only: bool,
    /// Leave failing and slow kubelets out.
    #[arg(long)]
    no_faults: bool,
    /// Kubelets that do not compress their answers.
    #[arg(long)]
    no_gzip: bool,
    /// Measure the automatic resolution over so many collectors instead.
    #[arg(long, value_delimiter = ',')]
    automatic: Vec<usize>,
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let own = std::env::current_exe().context("cannot tell where this program is")?.with_file_name("flyball");
    if !flags.automatic.is_empty() {
        print!("{}", table(&automatic(&own, &flags.automatic)?));
        return Ok(());
    }
    let world = World { size: Size { nodes: flags.nodes, pods_per_node: flags.pods_per_node } };
    let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64;
    let kubelets = world.kubelets(Endpoints { gzip: !flags.no_gzip, ..Endpoints::KUBELETS }, now_ms)?;
    let cluster = cluster(world)?;
    eprintln!("{} kubelets with {} pods", flags.nodes, world.pods());
    let resolution = Some(Duration::from_secs(15));
    let flyball = Subject { kind: Kind::Flyball, program: own, resolution };
    let peer = flags.peer.map(|program| Subject { kind: Kind::Upstream, program, resolution });
    let plan = Plan { faults: !flags.no_faults };
    let mut figures = Vec::new();
    for subject in peer.iter().chain((!flags.peer_only).then_some(&flyball)) {
        figures.extend(run(subject, world, &kubelets, &cluster, plan)?);
    }
    print!("{}", table(&figures));
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
