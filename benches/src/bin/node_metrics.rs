//! CPU of one scrape of `/metrics/node`, beside node_exporter in the same run. By hand:
//!
//! ```sh
//! cargo run --release -p flyball-benches --bin node_metrics -- [--peer PROGRAM] [--rounds 300] [--print]
//! ```

#![allow(clippy::disallowed_methods, reason = "a program: it starts its peer")]

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use flyball_benches::node_metrics::{Asked, Peer, find_peer, in_process, in_turns, series, serve};

/// Scrapes in this process.
const ALONE_ROUNDS: u32 = 2_000;

/// Measures a scrape of `/metrics/node` beside node_exporter.
#[derive(Debug, Parser)]
struct Flags {
    /// The node_exporter to measure beside; else one of PATH.
    #[arg(long)]
    peer: Option<PathBuf>,
    /// Measured scrapes over HTTP.
    #[arg(long, default_value_t = 300)]
    rounds: u32,
    /// Only print the body.
    #[arg(long)]
    print: bool,
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    if flags.print {
        print!("{}", in_process(1).1);
        return Ok(());
    }
    let (cpu_us, body) = in_process(ALONE_ROUNDS);
    println!(
        "reading and rendering alone: {cpu_us:.0} us CPU, {} series, {} bytes",
        series(&body),
        body.len()
    );
    let Some(program) = flags.peer.or_else(find_peer) else {
        println!("SKIPPED: over HTTP: no node_exporter: --peer names none and PATH has none");
        return Ok(());
    };
    println!("peer: {}", version(&program)?);
    for gzip in [false, true] {
        let mut peer = Peer::start(&program)?;
        let own = serve()?;
        let peers_body = String::from_utf8_lossy(&peer.get("/metrics", false)?).into_owned();
        let mut asked = [
            Asked { pid: own.pid(), ask: Box::new(|| Ok(own.get("/metrics/node", gzip)?.to_vec())) },
            Asked { pid: peer.pid(), ask: Box::new(move || peer.get("/metrics", gzip)) },
        ];
        let costs = in_turns(flags.rounds, &mut asked)?;
        let encoding = if gzip { "gzip" } else { "plain" };
        for (name, cost, series) in
            [("flyball", costs[0], series(&body)), ("peer", costs[1], series(&peers_body))]
        {
            println!(
                "{encoding}, {name}: {:.0} us CPU, {series} series, {} bytes, {} kB resident",
                cost.cpu_us, cost.bytes, cost.resident_kb
            );
        }
        println!("{encoding}: ratio {:.1}", costs[1].cpu_us / costs[0].cpu_us);
    }
    Ok(())
}

fn version(program: &Path) -> anyhow::Result<String> {
    let output = Command::new(program).arg("--version").output()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().next().unwrap_or("without a version").to_owned())
}
