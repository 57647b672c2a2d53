//! Takes the figures of row 8: the adapter under 1,000 autoscalers, over a simulated backend of a million series.

#![allow(clippy::disallowed_methods, reason = "a program: it starts itself again")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use flyball_benches::adapter::{self, Plan, real};
use flyball_benches::served::neighbour;
use flyball_benches::table;

/// The adapter: times, questions to the backend, memory.
#[derive(Debug, Parser)]
struct Flags {
    /// Intervals of 15 s that count; one more goes before them.
    #[arg(long, default_value_t = 8)]
    intervals: u32,
    /// How long the backend takes for a query, milliseconds.
    #[arg(long, default_value_t = 100)]
    latency_ms: u64,
    /// A real Prometheus (`e2e/peers/prometheus-server`): take the figures over 50,000 series of it, with the `flyball` beside this
    /// program.
    #[arg(long, value_name = "PROGRAM")]
    prometheus: Option<PathBuf>,
    /// prometheus-adapter (`e2e/peers/prometheus-adapter`), to measure beside.
    #[arg(long, value_name = "PROGRAM", requires = "prometheus")]
    peer: Option<PathBuf>,
    /// Take the figures of an application's metric in `flyball local`.
    #[arg(long)]
    chain: bool,
    /// Be an application with a counter, at this address.
    #[arg(long, hide = true, value_name = "ADDRESS", requires = "rate_file")]
    counter: Option<SocketAddr>,
    /// How fast it grows.
    #[arg(long, hide = true, value_name = "FILE")]
    rate_file: Option<PathBuf>,
    /// Be the adapter, over the backend at this address.
    #[arg(long, hide = true, value_name = "URL")]
    serve: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(backend) = flags.serve {
        return runtime.block_on(adapter::serve(&backend));
    }
    if let (Some(address), Some(file)) = (flags.counter, flags.rate_file) {
        return runtime.block_on(adapter::chain::serve_counter(address, file));
    }
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let figures = match flags.prometheus {
        Some(prometheus) => {
            let plan = real::Plan { prometheus, peer: flags.peer, intervals: flags.intervals };
            runtime.block_on(real::figures(&neighbour("flyball")?, &plan))?
        }
        None if flags.chain => runtime.block_on(adapter::chain::figures(&neighbour("flyball")?, &own))?,
        None => {
            let plan = Plan { intervals: flags.intervals, latency: Duration::from_millis(flags.latency_ms) };
            runtime.block_on(adapter::figures(&own, plan))?
        }
    };
    print!("{}", table(&figures));
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
