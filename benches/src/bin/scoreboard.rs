//! Takes every figure this machine can, prints them as a table and as one line of JSON.

#![allow(clippy::disallowed_methods, reason = "a program: it looks for its neighbours")]

use std::path::PathBuf;

use clap::Parser;
use flyball_benches::counting::{Counting, allocations};
use flyball_benches::served::neighbour;
use flyball_benches::{
    Figure, active, allocations as in_sweeps, autoscaler, bodies, churn, decision, idle, memory, metrics_api,
    node_metrics, reaction, scrapes, sweep, table,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Takes the figures.
#[derive(Debug, Parser)]
struct Flags {
    /// Upstream's cAdvisor (`e2e/peers/cadvisor`), to measure beside.
    #[arg(long)]
    cadvisor: Option<PathBuf>,
    /// Upstream's metrics-server (`e2e/peers/metrics-server`), to take its turn.
    #[arg(long)]
    metrics_server: Option<PathBuf>,
    /// Only these parts: sweep, active, bodies, scrapes, memory, node, churn, allocations, reaction, decision, idle,
    /// autoscaler, metrics_api.
    parts: Vec<String>,
}

/// A part of the table.
type Part<'a> = (&'static str, Box<dyn Fn() -> anyhow::Result<Vec<Figure>> + 'a>);

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    flyball_collector::files::raise_descriptor_limit();
    let parts: [Part<'_>; 13] = [
        ("sweep", Box::new(|| Ok(sweep::figures()))),
        ("active", Box::new(|| Ok(active::figures(flags.cadvisor.as_deref())))),
        ("bodies", Box::new(|| Ok(bodies::figures()))),
        ("scrapes", Box::new(|| Ok(scrapes::figures()))),
        ("memory", Box::new(|| Ok(memory::figures()))),
        ("node", Box::new(|| Ok(node_metrics::figures()))),
        ("churn", Box::new(|| Ok(churn::figures()))),
        ("allocations", Box::new(|| Ok(in_sweeps::figures(allocations)))),
        ("reaction", Box::new(|| Ok(reaction::figures()))),
        ("decision", Box::new(|| Ok(decision::figures(allocations)))),
        ("idle", Box::new(|| Ok(idle::figures(&neighbour("flyball")?)))),
        (
            "autoscaler",
            Box::new(|| {
                runtime()?.block_on(autoscaler::figures(&neighbour("flyball")?, &autoscaler::Part::ALL))
            }),
        ),
        (
            "metrics_api",
            Box::new(|| Ok(metrics_api::figures(&neighbour("flyball")?, flags.metrics_server.as_deref()))),
        ),
    ];
    let mut figures = Vec::new();
    for (name, take) in parts {
        if flags.parts.is_empty() || flags.parts.iter().any(|part| part == name) {
            figures.extend(take()?);
        }
    }
    print!("{}", table(&figures));
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
