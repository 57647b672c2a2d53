//! Takes the figures of row 8: the adapter under 1,000 autoscalers, over a simulated backend of a million series.

#![allow(clippy::disallowed_methods, reason = "a program: it starts itself again")]

use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use flyball_benches::adapter::{self, Plan};
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
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let plan = Plan { intervals: flags.intervals, latency: Duration::from_millis(flags.latency_ms) };
    let figures = runtime.block_on(adapter::figures(&own, plan))?;
    print!("{}", table(&figures));
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
