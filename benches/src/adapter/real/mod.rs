//! The adapter over a real Prometheus with 50,000 series, and prometheus-adapter in its turn over the same.
//!
//! `flyball adapter` and upstream's program are processes of their own, with one configuration, behind one simulated API server
//! (discovery, pods, reviews) in this process; the target that Prometheus scrapes is here too. Each is asked as 1,000
//! autoscalers do, then lists of a metric over 100 and over 1,000 pods, one after the other and each of another rule than the
//! last, so that an answer kept for one is no help for the next; then for a metric that is new.

mod cluster;
mod prometheus;
mod subject;
mod world;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::Figure;
use cluster::Cluster;
use prometheus::{Prometheus, Target};
use subject::{Load, Running, Subject};
use world::World;

const ROW: &str = "8";
/// Between two scrapes, and between two questions of an autoscaler.
const INTERVAL: Duration = Duration::from_secs(15);
/// Lists that are timed, of each length.
const LISTS: usize = 200;
/// How often it is looked whether a new metric is there.
const LOOK: Duration = Duration::from_millis(20);
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Prometheus (`e2e/peers/prometheus-server`).
    pub prometheus: PathBuf,
    /// prometheus-adapter (`e2e/peers/prometheus-adapter`).
    pub peer: Option<PathBuf>,
    /// Intervals of autoscalers' questions that count.
    pub intervals: u32,
}

/// What one of the two shows.
struct Measured {
    load: Load,
    cpu_millicores: f64,
    resident_mb: f64,
    queries: u64,
    hundred: Vec<Duration>,
    thousand: Vec<Duration>,
    new_metric: Duration,
}

/// Runs it. `program` is `flyball`.
///
/// # Errors
/// A program does not start, or answers with an error.
pub async fn figures(program: &Path, plan: &Plan) -> anyhow::Result<Vec<Figure>> {
    let target = Target::start().await?;
    let cluster = Cluster::start().await?;
    let prometheus = Prometheus::start(&plan.prometheus, &target, INTERVAL).await?;
    eprintln!("waiting for Prometheus to have scraped {} series", World::series());
    target.scraped(3).await?;
    let ours = Subject::Ours(program.to_owned());
    let ours = measure(&ours, plan, &cluster, &prometheus, &target, "new_a").await.context("flyball")?;
    let theirs = match &plan.peer {
        None => None,
        Some(peer) => {
            let peer = Subject::Theirs(peer.clone());
            let measured = measure(&peer, plan, &cluster, &prometheus, &target, "new_b").await;
            Some(measured.context("prometheus-adapter")?)
        }
    };
    Ok(rows(plan, &ours, theirs.as_ref()))
}

async fn measure(
    subject: &Subject,
    plan: &Plan,
    cluster: &Cluster,
    prometheus: &Prometheus,
    target: &Target,
    new: &'static str,
) -> anyhow::Result<Measured> {
    let running = Running::start(subject, cluster, prometheus).await?;
    eprintln!("{subject}: autoscalers");
    running.autoscalers(INTERVAL).await?;
    let (cpu, queries) = (running.cpu_seconds()?, prometheus.queries().await?);
    let mut load = Load::default();
    for _ in 0..plan.intervals {
        load.add(running.autoscalers(INTERVAL).await?);
    }
    ensure!(!load.times.is_empty(), "no autoscaler got an answer: {:?}", load.failure);
    let seconds = f64::from(plan.intervals) * INTERVAL.as_secs_f64();
    let cpu_millicores = (running.cpu_seconds()? - cpu) / seconds * 1e3;
    let queries = prometheus.queries().await? - queries;
    let resident_mb = running.resident_mb()?;
    eprintln!("{subject}: lists");
    let hundred = lists(&running, "part=part-0", 100).await?;
    let thousand = lists(&running, "app=long", world::LONG_PODS).await?;
    eprintln!("{subject}: a new metric");
    let new_metric = appears(&running, target, new).await?;
    Ok(Measured { load, cpu_millicores, resident_mb, queries, hundred, thousand, new_metric })
}

async fn lists(running: &Running, selector: &str, count: usize) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(LISTS);
    for number in 0..LISTS {
        let metric = world::metric(number % world::METRICS);
        times.push(running.list(world::LONG, &metric, selector, count).await?);
    }
    Ok(times)
}

/// From the first scrape of a metric to its first value.
async fn appears(running: &Running, target: &Target, name: &'static str) -> anyhow::Result<Duration> {
    let scraped = target.add(name).await?;
    let path = running.path(world::LONG, name, "part=part-0");
    loop {
        if running.get(&path).await?.0 == 200 {
            return Ok(scraped.elapsed());
        }
        ensure!(scraped.elapsed() < PATIENCE, "{name} does not appear");
        tokio::time::sleep(LOOK).await;
    }
}

/// How long autoscalers waited, and how many for nothing.
fn waited(load: &Load) -> String {
    let pair =
        format!("p50 {:.2}, p99 {:.2} ms", percentile(&load.times, 0.5), percentile(&load.times, 0.99));
    match &load.failure {
        None => pair,
        Some(failure) => {
            let asked = load.times.len() + load.failed;
            format!("{pair}, {} of {asked} got no values ({failure})", load.failed)
        }
    }
}

fn percentile(times: &[Duration], share: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[((sorted.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
}

fn rows(plan: &Plan, ours: &Measured, theirs: Option<&Measured>) -> Vec<Figure> {
    let beside = |text: &dyn Fn(&Measured) -> String| match theirs {
        Some(theirs) => format!("prometheus-adapter: {}", text(theirs)),
        None => "no prometheus-adapter to measure beside".to_owned(),
    };
    let pair = |times: &[Duration]| {
        format!("p50 {:.2}, p99 {:.2} ms", percentile(times, 0.5), percentile(times, 0.99))
    };
    let what = format!(
        "{} autoscalers every {} s, Prometheus with {} series",
        world::AUTOSCALERS,
        INTERVAL.as_secs(),
        World::series()
    );
    let per_rule =
        |measured: &Measured| measured.queries as f64 / (world::METRICS as f64 * f64::from(plan.intervals));
    let list = |count: usize, times: &[Duration], of: &dyn Fn(&Measured) -> Vec<Duration>| {
        let ratio = theirs.map(|theirs| {
            let (their, our) = (of(theirs), of(ours));
            let ratio = |share| percentile(&our, share) / percentile(&their, share);
            format!("; ratio {:.2} and {:.2}", ratio(0.5), ratio(0.99))
        });
        let beside = beside(&|measured| pair(&of(measured)));
        Figure::new(
            ROW,
            format!("list of a metric over {count} pods, p50, Prometheus"),
            percentile(times, 0.5),
            "ms",
        )
        .promise("≤ 0.3x the peer")
        .beside(format!(
            "p99 {:.2} ms; {beside}{}",
            percentile(times, 0.99),
            ratio.unwrap_or_default()
        ))
    };
    vec![
        Figure::new(
            ROW,
            format!("list of the metric of an autoscaler, p99; {what}"),
            percentile(&ours.load.times, 0.99),
            "ms",
        )
        .promise("≤ 5 ms")
        .beside(format!("{}; {}", waited(&ours.load), beside(&|measured| waited(&measured.load)))),
        Figure::new(ROW, "queries to Prometheus per rule and interval", per_rule(ours), "queries")
            .promise("≤ 1")
            .beside(beside(&|measured| format!("{:.1}", per_rule(measured)))),
        Figure::new(ROW, "resident memory of the adapter, Prometheus", ours.resident_mb, "MB")
            .promise("≤ 50 MB")
            .beside(format!(
                "{:.1} m CPU; {}",
                ours.cpu_millicores,
                beside(&|measured| format!(
                    "{:.1} MB, {:.1} m CPU",
                    measured.resident_mb, measured.cpu_millicores
                ))
            )),
        list(100, &ours.hundred, &|measured| measured.hundred.clone()),
        list(world::LONG_PODS, &ours.thousand, &|measured| measured.thousand.clone()),
        Figure::new(
            ROW,
            "a new metric usable after its first scrape, Prometheus",
            ours.new_metric.as_secs_f64(),
            "s",
        )
        .promise("≤ 15 s")
        .beside(beside(&|measured| format!("{:.2} s, relist 30 s", measured.new_metric.as_secs_f64()))),
    ]
}
