//! `flyball server`, Prometheus and VictoriaMetrics in turn over the same applications: CPU of a scraped sample, memory of a
//! series, times of queries. Each is a process of its own with its defaults; the applications are in this one.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark of whole processes: starts them, waits, reads the clock"
)]

mod exporters;

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::Figure;
use crate::metrics_api::ask::{Client, How};
use crate::metrics_api::cluster::Cluster;
use crate::metrics_api::requests::{JSON, quantile};
use crate::metrics_api::{Size, World};
use crate::process::{cpu_seconds, resident_kb};

const INTERVAL_SECONDS: u64 = 2;
/// Until all series are there.
const SETTLE: Duration = Duration::from_secs(16);
/// CPU is taken over this.
const MEASURE: Duration = Duration::from_secs(40);
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Steps of a range query.
const STEPS: u64 = 51;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// `flyball server`.
    Flyball,
    /// Prometheus.
    Prometheus,
    /// VictoriaMetrics, the single server.
    VictoriaMetrics,
}

/// Figures of these programs over so many series.
///
/// # Errors
/// A program cannot be started, or does not answer.
pub fn figures(programs: &[(Peer, PathBuf)], series: u32) -> anyhow::Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let targets = runtime.block_on(exporters::start(series))?;
    let mut figures = Vec::new();
    for (peer, program) in programs {
        let said = version(*peer, program);
        let running = Running::start(*peer, program, &targets)?;
        figures.extend(runtime.block_on(measure(&running, said, series))?);
    }
    Ok(figures)
}

/// A process that ends with this.
struct Running {
    child: Child,
    address: SocketAddr,
    peer: Peer,
    // What it lives on.
    _folder: tempfile::TempDir,
    _cluster: Option<Cluster>,
}

impl Running {
    fn start(peer: Peer, program: &Path, targets: &[SocketAddr]) -> anyhow::Result<Running> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("scrape.yml");
        let listed: Vec<String> = targets.iter().map(|target| format!("'{target}'")).collect();
        std::fs::write(
            &config,
            format!(
                "global: {{scrape_interval: {INTERVAL_SECONDS}s, scrape_timeout: {INTERVAL_SECONDS}s}}\n\
                 scrape_configs: [{{job_name: bench, static_configs: [{{targets: [{}]}}]}}]\n",
                listed.join(", ")
            ),
        )?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let data = folder.path().join("data");
        let log = std::fs::File::create(folder.path().join("log"))?;
        let mut command = Command::new(program);
        let mut cluster = None;
        match peer {
            Peer::Prometheus => command
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", data.display()))
                .arg(format!("--web.listen-address={address}")),
            Peer::VictoriaMetrics => command
                .arg(format!("-promscrape.config={}", config.display()))
                .arg(format!("-storageDataPath={}", data.display()))
                .arg(format!("-httpListenAddr={address}"))
                .arg("-search.latencyOffset=0s"),
            Peer::Flyball => {
                let empty = Cluster::start(World { size: Size { nodes: 0, pods_per_node: 0 } })?;
                let kubeconfig = folder.path().join("kubeconfig");
                std::fs::write(&kubeconfig, empty.kubeconfig())?;
                cluster = Some(empty);
                let kubeconfig = kubeconfig.display();
                command
                    .arg("server")
                    .arg(format!("--kubeconfig={kubeconfig}"))
                    .arg(format!("--authentication-kubeconfig={kubeconfig}"))
                    .arg(format!("--authorization-kubeconfig={kubeconfig}"))
                    .arg(format!("--cert-dir={}", folder.path().join("certificates").display()))
                    .arg(format!("--config.file={}", config.display()))
                    .arg(format!("--storage.tsdb.path={}", data.display()))
                    .arg(format!("--secure-port={port}"))
                    .arg("--bind-address=127.0.0.1")
            }
        };
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        let child = child.with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Running { child, address, peer, _folder: folder, _cluster: cluster })
    }

    async fn client(&self) -> anyhow::Result<Client> {
        match self.peer {
            Peer::Flyball => Client::connect(self.address).await,
            _ => Client::connect_plain(self.address).await,
        }
    }

    /// Waits until a query finds all series.
    async fn wait_for(&self, series: u32) -> anyhow::Result<()> {
        let wanted = format!("\"{}\"", series / 2);
        let started = Instant::now();
        while started.elapsed() < READY_LIMIT {
            if let Ok(mut client) = self.client().await {
                let how = How { headers: JSON, keep: true, ..How::default() };
                let path = format!("/api/v1/query?query=count(http_requests_total)&time={}", now());
                if let Ok(answered) = client.get(&path, how).await
                    && String::from_utf8_lossy(&answered.body).contains(&wanted)
                {
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        anyhow::bail!("{:?} does not have {series} series after {READY_LIMIT:?}", self.peer)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What a program says of its version.
fn version(peer: Peer, program: &Path) -> String {
    let mut command = Command::new(program);
    command.arg(if peer == Peer::VictoriaMetrics { "-version" } else { "--version" });
    let said = |output: std::process::Output| {
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
    };
    let told = command.output().map(said).unwrap_or_default();
    if told.is_empty() { packaged(program).unwrap_or_default() } else { told }
}

/// What Debian's package says, whose VictoriaMetrics does not know its own version: the first line of the changes beside it.
fn packaged(program: &Path) -> Option<String> {
    let documents = program.parent()?.parent()?.join("share/doc").join(program.file_name()?);
    let packed = std::fs::File::open(documents.join("changelog.Debian.amd64.gz"))
        .or_else(|_| std::fs::File::open(documents.join("changelog.Debian.gz")));
    let mut first = String::new();
    BufReader::new(flate2::read::GzDecoder::new(packed.ok()?)).read_line(&mut first).ok()?;
    Some(first.split(';').next()?.trim().to_owned())
}

async fn measure(running: &Running, said: String, series: u32) -> anyhow::Result<Vec<Figure>> {
    let peer = running.peer;
    let pid = running.child.id();
    running.wait_for(series).await?;
    tokio::time::sleep(SETTLE).await;
    let (cpu, since) = (cpu_seconds(pid)?, Instant::now());
    tokio::time::sleep(MEASURE).await;
    let samples = f64::from(series) * since.elapsed().as_secs_f64() / INTERVAL_SECONDS as f64;
    let per_sample = (cpu_seconds(pid)? - cpu) * 1e6 / samples;
    let resident = resident_kb(pid)? as f64 * 1024.0 / f64::from(series);
    let of = |what: &str| format!("{peer:?}, {series} series scraped each {INTERVAL_SECONDS} s: {what}");
    let mut figures = vec![
        Figure::new("6", of("CPU per scraped sample"), per_sample, "µs").beside(said),
        Figure::new("6", of("resident per series"), resident, "B"),
    ];
    let hpa = "sum%20by%20(pod)%20(rate(container_metric_07_total%7Bnamespace%3D%22ns-1%22%7D%5B30s%5D))";
    let wide = "sum%20by%20(namespace)%20(rate(http_requests_total%5B30s%5D))";
    let mut client = running.client().await?;
    for (what, query, steps, rounds) in [
        ("query of the HPA kind", hpa, 1, 200),
        ("sum by over half of the series", wide, 1, 15),
        ("the same, 51 steps", wide, STEPS, 9),
    ] {
        let mut took = Vec::new();
        for _ in 0..rounds {
            let end = now();
            let path = match steps {
                1 => format!("/api/v1/query?query={query}&time={end}"),
                _ => format!(
                    "/api/v1/query_range?query={query}&start={}&end={end}&step=1&nocache=1",
                    end + 1 - STEPS
                ),
            };
            let answered = client.get(&path, How { headers: JSON, ..How::default() }).await?;
            anyhow::ensure!(answered.status == 200, "{peer:?}: {} for {path}", answered.status);
            took.push(answered.total.as_secs_f64() * 1e3);
        }
        took.sort_by(f64::total_cmp);
        figures.push(
            Figure::new("7", of(&format!("{what}, p50")), quantile(&took, 0.5), "ms")
                .beside(format!("p99 {:.1} ms", quantile(&took, 0.99))),
        );
    }
    Ok(figures)
}
