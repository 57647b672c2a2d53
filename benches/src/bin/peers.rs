//! `flyball server`, Prometheus and VictoriaMetrics in turn over the same load, in one run.
//!
//! ```sh
//! (cd e2e/peers/prometheus-server && go build -tags remove_all_sd -o ../../../target/prometheus \
//!   github.com/prometheus/prometheus/cmd/prometheus)
//! apt-get download victoria-metrics && dpkg -x victoria-metrics_*.deb target/victoria
//! cargo build --release -p flyball-cli
//! cargo run --release -p flyball-benches --bin peers -- --prometheus target/prometheus \
//!   --victoria-metrics target/victoria/usr/bin/victoria-metrics [--series 50000]
//! ```

#![allow(clippy::disallowed_methods, reason = "a program: it looks for its neighbour, the flyball binary")]

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use flyball_benches::peers::{Peer, figures};
use flyball_benches::table;

/// Servers in turn over the same applications.
#[derive(Debug, Parser)]
struct Flags {
    /// Prometheus' program.
    #[arg(long)]
    prometheus: Option<PathBuf>,
    /// VictoriaMetrics' program.
    #[arg(long)]
    victoria_metrics: Option<PathBuf>,
    /// Series in all, half of them of one metric.
    #[arg(long, default_value_t = 50_000)]
    series: u32,
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let own = std::env::current_exe().context("cannot tell where this program is")?.with_file_name("flyball");
    let mut programs = vec![(Peer::Flyball, own)];
    programs.extend(flags.prometheus.map(|program| (Peer::Prometheus, program)));
    programs.extend(flags.victoria_metrics.map(|program| (Peer::VictoriaMetrics, program)));
    print!("{}", table(&figures(&programs, flags.series)?));
    Ok(())
}
