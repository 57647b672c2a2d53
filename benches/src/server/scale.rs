//! Row 4: what `flyball server` costs with its defaults, by the number of nodes.

#![allow(clippy::disallowed_methods, reason = "a benchmark: waits and reads the clock")]

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Around, subject};
use crate::Figure;
use crate::metrics_api::process::Running;
use crate::metrics_api::run::until_ready;

/// After readiness: two rounds of 15 s.
const SETTLE: Duration = Duration::from_secs(35);
/// Three rounds.
const MEASURE: Duration = Duration::from_secs(45);

/// Figures for each number of nodes of 30 pods with two containers each.
///
/// # Errors
/// The server or the simulation cannot be started.
pub fn scale(program: &Path, nodes: &[usize]) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for nodes in nodes {
        figures.extend(one(program, *nodes)?);
    }
    Ok(figures)
}

fn one(program: &Path, nodes: usize) -> anyhow::Result<Vec<Figure>> {
    let around = Around::start(nodes)?;
    let history = tempfile::tempdir()?;
    let flags = [format!("--storage.tsdb.path={}", history.path().display())];
    let started = Instant::now();
    let mut running = Running::start_with(&subject(program), &around.cluster.kubeconfig(), &flags)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ready = runtime.block_on(until_ready(&mut running, started))?;
    std::thread::sleep(SETTLE);
    let (cpu, since) = (running.cpu_seconds()?, Instant::now());
    let (kubelets, api) = (around.kubelets.sent_bytes(), around.cluster.sent_bytes());
    std::thread::sleep(MEASURE);
    running.check()?;
    let seconds = since.elapsed().as_secs_f64();
    let rate = |bytes: u64| bytes as f64 / 1e3 / seconds;
    let of =
        |what: &str| format!("`flyball server` over {nodes} kubelets, {} pods: {what}", around.world.pods());
    let watches = around.cluster.watches();
    let named: Vec<String> = watches.iter().map(|(path, count)| format!("{path} {count}")).collect();
    Ok(vec![
        Figure::new("4", of("ready, cold"), ready.as_secs_f64(), "s"),
        Figure::new("4", of("CPU"), (running.cpu_seconds()? - cpu) / seconds * 1e3, "m"),
        Figure::new("4", of("resident"), running.resident_mb()?, "MB"),
        Figure::new(
            "4",
            of("answers of kubelets, as sent"),
            rate(around.kubelets.sent_bytes() - kubelets),
            "kB/s",
        ),
        Figure::new(
            "4",
            of("answers of the API server at rest"),
            rate(around.cluster.sent_bytes() - api),
            "kB/s",
        ),
        Figure::new("4", of("answers of the API server until then"), api as f64 / 1e6, "MB"),
        Figure::new("4", of("watches at the API server"), watches.values().sum::<usize>() as f64, "watches")
            .beside(named.join(", ")),
    ])
}
