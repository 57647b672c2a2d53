//! One server over one cluster, from its start to its end.

#![allow(clippy::disallowed_methods, reason = "a benchmark: waits and reads the clock")]

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use serde_json::Value;

use super::ask::{Client, How};
use super::cluster::Cluster;
use super::process::{Kind, Running, Subject};
use super::requests::{self, FORMS, JSON, quantile};
use super::world::{Endpoints, Size, World};
use crate::Figure;
use crate::kubelets::{Answer, Fault, Simulation};

/// Longest time to readiness.
const READY_LIMIT: Duration = Duration::from_secs(90);
const READY_POLL: Duration = Duration::from_millis(50);
/// After readiness, until it is measured: two rounds.
const SETTLE: Duration = Duration::from_secs(35);
/// CPU is taken over whole rounds.
const CPU_OVER: Duration = Duration::from_secs(45);
const AUTOSCALER: Duration = Duration::from_secs(32);
const EMPTY_LISTS: Duration = Duration::from_secs(8);
/// One node fails for longer than a round.
const FAILS_FOR: Duration = Duration::from_secs(17);
const GAP_OVER: Duration = Duration::from_secs(50);
const GAP_POLL: Duration = Duration::from_millis(500);
const SLOW_KUBELET: Duration = Duration::from_secs(8);
const FRESHNESS_OVER: Duration = Duration::from_secs(32);

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Failing and slow kubelets too, which takes two minutes more.
    pub faults: bool,
}

/// Starts the server, measures, ends it. `beside` is added to the figures' names.
///
/// # Errors
/// The server cannot be started or does not answer.
pub fn run(
    subject: &Subject,
    world: World,
    kubelets: &Simulation,
    cluster: &Cluster,
    plan: Plan,
) -> anyhow::Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(subject, world, kubelets, cluster, plan))
}

/// The figures of the table of promises: 5,000 nodes of 30 pods, both at 15 s. Takes about four minutes, and as long for
/// upstream's program, if it is given.
#[must_use]
pub fn figures(program: &Path, peer: Option<&Path>) -> Vec<Figure> {
    let world = World { size: Size { nodes: 5000, pods_per_node: 30 } };
    let measure = || -> anyhow::Result<Vec<Figure>> {
        let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64;
        let kubelets = world.kubelets(Endpoints::KUBELETS, now_ms)?;
        let cluster = Cluster::start(world)?;
        let subject = |kind, program: &Path| Subject {
            kind,
            program: program.to_owned(),
            resolution: Some(Duration::from_secs(15)),
        };
        let own = subject(Kind::Flyball, program);
        let mut figures = Vec::new();
        for subject in peer.map(|peer| subject(Kind::Upstream, peer)).into_iter().chain([own]) {
            figures.extend(run(&subject, world, &kubelets, &cluster, Plan { faults: true })?);
        }
        Ok(figures)
    };
    measure().unwrap_or_else(|error| {
        vec![Figure::skipped("3", "metrics.k8s.io at 5,000 nodes and 150,000 pods", format!("{error:#}"))]
    })
}

struct Figures {
    of: &'static str,
    all: Vec<Figure>,
}

impl Figures {
    fn add(&mut self, what: &str, value: f64, unit: &'static str, promise: &'static str) {
        let promise = if self.of == "Flyball" { promise } else { "" };
        let figure = Figure::new("3", format!("{}: {what}", self.of), value, unit).promise(promise);
        eprintln!("{}: {what}: {} {unit}", self.of, crate::significant(value));
        self.all.push(figure);
    }
}

async fn measure(
    subject: &Subject,
    world: World,
    kubelets: &Simulation,
    cluster: &Cluster,
    plan: Plan,
) -> anyhow::Result<Vec<Figure>> {
    let of = if subject.kind == Kind::Flyball { "Flyball" } else { "upstream" };
    let mut figures = Figures { of, all: Vec::new() };
    let started = Instant::now();
    let mut running = Running::start(subject, &cluster.kubeconfig())?;
    let ready = until_ready(&mut running, started).await?;
    figures.add("ready, cold", ready.as_secs_f64(), "s", "≤ 16 s");
    tokio::time::sleep(SETTLE).await;

    let (before, since) = (running.cpu_seconds()?, Instant::now());
    tokio::time::sleep(CPU_OVER).await;
    let milli = (running.cpu_seconds()? - before) / since.elapsed().as_secs_f64() * 1e3;
    figures.add("CPU, scraping only", milli, "m", "≤ 60 m, aim 25");
    let steady_mb = running.resident_mb()?;
    figures.add("resident, steady", steady_mb, "MB", "≤ 250 MB, aim 120");

    let took = requests::autoscaler(running.address, world, AUTOSCALER).await?;
    figures.add("list of 100 of 800 pods, p50", quantile(&took, 0.5), "ms", "≤ 0.3 ms, aim 0.1");
    figures.add("list of 100 of 800 pods, p99", quantile(&took, 0.99), "ms", "≤ 1 ms, aim 0.3");
    figures.add("list of 100 of 800 pods, worst of two rounds", quantile(&took, 1.0), "ms", "≤ 5 ms, aim 1");

    let empty = requests::empty_lists(running.address, EMPTY_LISTS).await?;
    figures.add("list of no pods, p50", quantile(&empty, 0.5), "ms", "");
    figures.add("list of no pods, p99", quantile(&empty, 0.99), "ms", "");

    let promises =
        [("≤ 250 ms, aim 120", "≤ 10 ms, aim 2"), ("≤ 180 ms, aim 80", ""), ("≤ 300 ms, aim 100", "")];
    for ((form, headers), (total, first)) in FORMS.into_iter().zip(promises) {
        let lists = requests::lists(running.address, headers).await?;
        let megabytes = lists.bytes as f64 / 1e6;
        figures.add(&format!("all pods, {form} ({megabytes:.1} MB), p50"), lists.total_ms, "ms", total);
        figures.add(&format!("all pods, {form}, first byte, p50"), lists.first_byte_ms, "ms", first);
    }

    running.reset_peak()?;
    let before_mb = running.resident_mb()?;
    requests::crowd(running.address).await?;
    let peak_mb = running.peak_mb()?;
    figures.add("resident, peak with four full lists and a slow reader", peak_mb, "MB", "≤ +10 %, aim +8 MB");
    figures.add("resident before that", before_mb, "MB", "");
    if plan.faults {
        faults(&mut figures, &running, kubelets, world).await?;
    }
    running.check()?;
    Ok(figures.all)
}

pub(crate) async fn until_ready(running: &mut Running, started: Instant) -> anyhow::Result<Duration> {
    while started.elapsed() < READY_LIMIT {
        running.check()?;
        if let Ok(mut client) = Client::connect(running.address).await
            && let Ok(answered) = client.get("/readyz", How { headers: JSON, ..How::default() }).await
            && answered.status == 200
        {
            return Ok(started.elapsed());
        }
        tokio::time::sleep(READY_POLL).await;
    }
    anyhow::bail!("the server was not ready in {READY_LIMIT:?}")
}

/// A node whose scrapes fail, and one that answers slowly.
async fn faults(
    figures: &mut Figures,
    running: &Running,
    kubelets: &Simulation,
    world: World,
) -> anyhow::Result<()> {
    let failing = World::node_name(0);
    let path = format!(
        "/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods/{}",
        World::namespace(0),
        World::pod_name(0)
    );
    let mut client = Client::connect(running.address).await?;
    kubelets.set_fault(&failing, Fault { answer: Answer::Status(500), ..Fault::default() })?;
    let (started, mut missing) = (Instant::now(), Duration::ZERO);
    let mut restored = false;
    while started.elapsed() < GAP_OVER {
        if !restored && started.elapsed() >= FAILS_FOR {
            kubelets.set_fault(&failing, Fault::default())?;
            restored = true;
        }
        let answered = client.get(&path, How { headers: JSON, ..How::default() }).await?;
        if answered.status != 200 {
            missing += GAP_POLL;
        }
        tokio::time::sleep(GAP_POLL).await;
    }
    figures.add("time without a pod after one failed round of its node", missing.as_secs_f64(), "s", "0 s");

    let quiet = oldest_s(running, world).await?;
    kubelets.set_fault(&World::node_name(1), Fault { delay: SLOW_KUBELET, ..Fault::default() })?;
    tokio::time::sleep(SETTLE).await;
    let slow = oldest_s(running, world).await?;
    kubelets.set_fault(&World::node_name(1), Fault::default())?;
    let delay = (slow - quiet).max(0.0);
    figures.add("how much older the oldest node is for a kubelet that takes 8 s", delay, "s", "0 s");
    figures.add("oldest node, without it", quiet, "s", "");
    Ok(())
}

/// The greatest age of any node but the slow one, seen in two rounds.
async fn oldest_s(running: &Running, world: World) -> anyhow::Result<f64> {
    let mut client = Client::connect(running.address).await?;
    let slow = World::node_name(1);
    let (started, mut oldest) = (Instant::now(), 0.0_f64);
    while started.elapsed() < FRESHNESS_OVER {
        let how = How { headers: JSON, keep: true, ..How::default() };
        let answered = client.get("/apis/metrics.k8s.io/v1beta1/nodes", how).await?;
        let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as f64;
        let list: Value = serde_json::from_slice(&answered.body)?;
        let items = list["items"].as_array().context("a list of nodes")?;
        anyhow::ensure!(items.len() + 1 >= world.size.nodes, "{} nodes in the list", items.len());
        let others = items.iter().filter(|item| item["metadata"]["name"] != slow.as_str());
        let times = others.filter_map(|item| item["timestamp"].as_str());
        let ages =
            times.filter_map(flyball_model::time::parse_rfc3339_ms).map(|ms| (now_ms - ms as f64) / 1e3);
        oldest = ages.fold(oldest, f64::max);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(oldest)
}
