//! Row 9, shared fate: while history is bombed with labels, has no disk, or is asked for too much, those who ask for
//! metrics.k8s.io must not notice.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark: waits, reads the clock, mounts a small file system"
)]

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::bomb::Bomb;
use super::{Around, subject};
use crate::Figure;
use crate::metrics_api::World;
use crate::metrics_api::ask::{Client, How};
use crate::metrics_api::process::Running;
use crate::metrics_api::requests::{JSON, quantile};
use crate::metrics_api::run::until_ready;
use crate::metrics_api::world::APP_PODS;

/// After readiness: two rounds, so that history has something.
const SETTLE: Duration = Duration::from_secs(35);
/// Each trouble lasts so long; a round of scraping is 15 s.
const DURING: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);
/// Queries at once.
const DEADLY_AT_ONCE: usize = 8;
/// Size of the file system that history is on.
const DISK_MB: usize = 400;

/// Queries that would take all memory, all time, or all of the regular expressions' patience.
const DEADLY: [&str; 5] = [
    "query_range?query=%7B__name__%3D~%22.%2B%22%7D&start={start}&end={now}&step=1",
    "query_range?query=sum_over_time(%7B__name__%3D~%22.%2B%22%7D%5B1h%3A1s%5D)&start={start}&end={now}&step=1",
    "query?query=count(%7B__name__%3D~%22(.*)(.*)(.*)(.*)s%22%7D)%20by%20(pod%2Cnamespace%2Ccontainer)",
    "query?query=%7B__name__%3D~%22.%2B%22%7D%20*%20on(pod)%20group_left%20%7B__name__%3D~%22.%2B%22%7D",
    "series?match%5B%5D=%7B__name__%3D~%22.%2B%22%7D",
];

/// What those who ask saw.
struct Seen {
    took_ms: Vec<f64>,
    bad: usize,
}

impl Seen {
    fn p99(&self) -> f64 {
        quantile(&self.took_ms, 0.99)
    }
}

/// A file system of its own, which ends with this.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path) -> anyhow::Result<SmallDisk> {
        let path = folder.join("disk");
        std::fs::create_dir(&path)?;
        let size = format!("size={DISK_MB}m");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(&path).status()?;
        anyhow::ensure!(status.success(), "a small file system cannot be mounted");
        Ok(SmallDisk(path))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Leaves no byte.
    fn fill(&self) -> anyhow::Result<()> {
        let mut file = std::fs::File::create(self.filler())?;
        let zeros = vec![0; 1 << 20];
        while file.write_all(&zeros).is_ok() {}
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Figures over this many nodes.
///
/// # Errors
/// The server or the simulation cannot be started, or the server ends.
pub fn fate(program: &Path, nodes: usize) -> anyhow::Result<Vec<Figure>> {
    let around = Around::start(nodes)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(measure(program, &around))
}

async fn measure(program: &Path, around: &Around) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let disk = SmallDisk::mount(folder.path())?;
    let bomb = Bomb::start().await?;
    let config = folder.path().join("scrape.yml");
    std::fs::write(
        &config,
        format!(
            "scrape_configs: [{{job_name: bomb, scrape_interval: 1s, static_configs: [{{targets: ['{}']}}]}}]",
            bomb.address
        ),
    )?;
    let flags = [
        format!("--storage.tsdb.path={}", disk.0.join("history").display()),
        format!("--config.file={}", config.display()),
    ];
    let started = Instant::now();
    let mut running = Running::start_with(&subject(program), &around.cluster.kubeconfig(), &flags)?;
    until_ready(&mut running, started).await?;
    tokio::time::sleep(SETTLE).await;
    let address = running.address;
    let quiet = ask(address, around.world).await?;
    let mut figures = vec![figure(around, "quiet", &quiet, None, String::new())];

    bomb.arm(true);
    let seen = ask(address, around.world).await?;
    bomb.arm(false);
    let beside = format!("{} new series offered by one target", bomb.sent());
    figures.push(figure(around, "label bomb", &seen, Some(&quiet), beside));
    running.check()?;

    let deadly: Vec<_> = (0..DEADLY_AT_ONCE).map(|number| tokio::spawn(kill(address, number))).collect();
    let seen = ask(address, around.world).await?;
    let mut answers = Vec::new();
    for one in deadly {
        answers.extend(one.await?);
    }
    figures.push(figure(around, "queries of death", &seen, Some(&quiet), said(&answers)));
    running.check()?;

    disk.fill()?;
    let seen = ask(address, around.world).await?;
    let beside = stopped(address).await?;
    figures.push(figure(around, "full disk", &seen, Some(&quiet), beside));
    running.check()?;
    figures.push(Figure::new("9", "resident after all of it", running.resident_mb()?, "MB"));
    Ok(figures)
}

fn figure(around: &Around, what: &str, seen: &Seen, quiet: Option<&Seen>, beside: String) -> Figure {
    let nodes = around.world.size.nodes;
    let words =
        format!("list of {APP_PODS} pods, {nodes} nodes, {what}: p99 ({} answers were no 200)", seen.bad);
    let figure = Figure::new("9", words, seen.p99(), "ms");
    let p50 = quantile(&seen.took_ms, 0.5);
    match quiet {
        Some(quiet) => {
            let times = seen.p99() / quiet.p99();
            figure
                .promise("≤ 2x quiet, no 5xx")
                .beside(format!("{times:.2} times quiet; p50 {p50:.2} ms; {beside}"))
        }
        None => figure.beside(format!("p50 {p50:.2} ms")),
    }
}

/// Lists as an autoscaler asks for them, one after the other.
async fn ask(address: SocketAddr, world: World) -> anyhow::Result<Seen> {
    let apps = world.pods() / APP_PODS;
    let mut client = Client::connect(address).await?;
    let (started, mut seen) = (Instant::now(), Seen { took_ms: Vec::new(), bad: 0 });
    while started.elapsed() < DURING {
        let pod = (seen.took_ms.len() % apps) * APP_PODS;
        let path = format!(
            "/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods?labelSelector=app.kubernetes.io%2Fname%3D{}",
            World::namespace(pod),
            World::app(pod)
        );
        match client.get(&path, How { headers: JSON, ..How::default() }).await {
            Ok(answered) => {
                seen.took_ms.push(answered.total.as_secs_f64() * 1e3);
                seen.bad += usize::from(answered.status != 200);
            }
            Err(_) => {
                seen.bad += 1;
                client = Client::connect(address).await?;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    seen.took_ms.sort_by(f64::total_cmp);
    Ok(seen)
}

/// Asks deadly queries until the time is over; answers how each was answered.
async fn kill(address: SocketAddr, first: usize) -> Vec<u16> {
    let mut answers = Vec::new();
    let started = Instant::now();
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    let Ok(mut client) = Client::connect(address).await else { return answers };
    for query in DEADLY.iter().cycle().skip(first) {
        let left = DURING.saturating_sub(started.elapsed());
        if left.is_zero() {
            break;
        }
        let query = query.replace("{now}", &now.to_string()).replace("{start}", &(now - 3600).to_string());
        let path = format!("/api/v1/{query}");
        match tokio::time::timeout(left, client.get(&path, How { headers: JSON, ..How::default() })).await {
            Ok(Ok(answered)) => answers.push(answered.status),
            Ok(Err(_)) => match Client::connect(address).await {
                Ok(fresh) => client = fresh,
                Err(_) => break,
            },
            Err(_) => break,
        }
    }
    answers
}

/// How queries were answered, in words.
fn said(answers: &[u16]) -> String {
    let mut counts = std::collections::BTreeMap::new();
    answers.iter().for_each(|code| *counts.entry(code).or_insert(0) += 1);
    let each: Vec<String> = counts.iter().map(|(code, count)| format!("{count} with {code}")).collect();
    format!("{DEADLY_AT_ONCE} at once; answered: {}", each.join(", "))
}

/// Whether history says that it takes no more, and still answers.
async fn stopped(address: SocketAddr) -> anyhow::Result<String> {
    let mut client = Client::connect(address).await?;
    let how = How { headers: JSON, keep: true, ..How::default() };
    let page = client.get("/metrics", how).await?;
    let page = String::from_utf8(page.body)?;
    let line = page.lines().find(|line| line.starts_with("flyball_history_stopped"));
    let query = client.get("/api/v1/query?query=count(up)", how).await?;
    let line = line.context("the page does not say whether history is stopped")?;
    Ok(format!("{line}; a query meanwhile: {}", query.status))
}
