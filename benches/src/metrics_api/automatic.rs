//! The automatic resolution over Flyball collectors: what it settles on, and what it costs.

#![allow(clippy::disallowed_methods, reason = "a benchmark: waits and reads the clock")]

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;

use super::ask::{Client, How};
use super::cluster::Cluster;
use super::process::{Kind, Running, Subject};
use super::requests::{ALL_PODS, JSON};
use super::world::{Endpoints, Size, World};
use crate::Figure;

/// For the resolution to settle.
const SETTLE: Duration = Duration::from_secs(60);
/// It is measured over this.
const MEASURE: Duration = Duration::from_secs(30);

/// Figures for each number of nodes of 30 pods.
///
/// # Errors
/// The server or the simulation cannot be started.
pub fn automatic(program: &Path, nodes: &[usize]) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for nodes in nodes {
        let world = World { size: Size { nodes: *nodes, pods_per_node: 30 } };
        let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64;
        let kubelets = world.kubelets(Endpoints::COLLECTORS, now_ms)?;
        let cluster = Cluster::start_with(world, true)?;
        let subject = Subject { kind: Kind::Flyball, program: program.to_owned(), resolution: None };
        let mut running = Running::start(&subject, &cluster.kubeconfig())?;
        std::thread::sleep(SETTLE);
        let bytes = kubelets.sent_bytes();
        let (milli, seconds) = cpu_over(&running, || {
            std::thread::sleep(MEASURE);
            Ok(())
        })?;
        running.check()?;
        let kilobytes = (kubelets.sent_bytes() - bytes) as f64 / 1e3 / seconds;
        let interval_s = settled_on(&running)?;
        let resident = running.resident_mb()?;
        let mut watched_bytes = 0;
        let (watched, watched_seconds) =
            cpu_over(&running, || follow_all_pods(&running).map(|bytes| watched_bytes = bytes))?;
        let watched_kilobytes = watched_bytes as f64 / 1e3 / watched_seconds;
        let of = |what: &str| format!("automatic resolution over {nodes} collectors: {what}");
        figures.push(
            Figure::new("3", of("resolution"), interval_s, "s").promise("1 s within a tenth of a core"),
        );
        figures.push(Figure::new("3", of("CPU"), milli, "m"));
        figures.push(Figure::new("3", of("answers, as sent (gzip)"), kilobytes, "kB/s"));
        figures.push(Figure::new("3", of("resident"), resident, "MB"));
        figures.push(Figure::new("3", of("CPU while one client watches all pods"), watched, "m"));
        figures.push(Figure::new("3", of("what that client gets"), watched_kilobytes, "kB/s"));
        for figure in &figures[figures.len() - 6..] {
            let value = figure.value.as_ref().map_or(f64::NAN, |measured| measured.value);
            eprintln!("{}: {}", figure.what, crate::significant(value));
        }
    }
    Ok(figures)
}

/// CPU of the server while something is done, thousandths of a core, and how many seconds that took.
fn cpu_over(running: &Running, act: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<(f64, f64)> {
    let (before, since) = (running.cpu_seconds()?, Instant::now());
    act()?;
    let seconds = since.elapsed().as_secs_f64();
    Ok(((running.cpu_seconds()? - before) / seconds * 1e3, seconds))
}

/// Watches all pods for the time of a measurement, as an autoscaler does; how many bytes came.
fn follow_all_pods(running: &Running) -> anyhow::Result<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut client = Client::connect(running.address).await?;
        client.follow(&format!("{ALL_PODS}?watch=true"), JSON, MEASURE).await
    })
}

fn settled_on(running: &Running) -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let page = runtime.block_on(async {
        let mut client = Client::connect(running.address).await?;
        client.get("/metrics", How { headers: JSON, keep: true, ..How::default() }).await
    })?;
    let page = String::from_utf8(page.body)?;
    let line = page.lines().find_map(|line| line.strip_prefix("flyball_scrape_collector_interval_seconds "));
    line.context("no interval in /metrics")?.trim().parse().context("the interval is no number")
}
