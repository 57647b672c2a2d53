//! The autoscaler as a whole program against a simulated API server: requests at rest, CPU and memory, and the way from a
//! sample to the scale request.
//!
//! The API server is this process, over plain HTTP: it lists what [`world::World`] makes up, never has anything to tell by
//! watch, and notes each request. The autoscaler is the real `flyball hpa`, whose CPU and memory /proc tells.

#![allow(clippy::disallowed_methods, reason = "a benchmark of a whole process: starts it and reads /proc")]

mod serve;
pub mod world;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;

use crate::Figure;
use world::World;

/// Time for lists to be read and all autoscalers to be evaluated for the first time.
const SETTLE: Duration = Duration::from_secs(45);
/// Time that an autoscaler at rest is watched.
const REST: Duration = Duration::from_secs(60);
/// A step that is not answered within this time is lost.
const STEP_LIMIT: Duration = Duration::from_secs(20);
/// Clock ticks a second in /proc/PID/stat.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running autoscaler on its world.
struct Running {
    child: Child,
    world: Arc<World>,
    _folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

impl Running {
    async fn start(program: &Path, world: World) -> anyhow::Result<Self> {
        let world = Arc::new(world);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let server = format!("http://{}", listener.local_addr()?);
        tokio::spawn(serve::serve(listener, world.clone()));
        let folder = tempfile::tempdir()?;
        let kubeconfig = folder.path().join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: \"{server}\"}}}}]\n\
             users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
        );
        std::fs::write(&kubeconfig, text)?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let child = Command::new(program)
            .args([
                "hpa",
                "--mode=replace",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                "--secure-port=0",
            ])
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut running = Running { child, world, _folder: folder };
        tokio::time::sleep(SETTLE).await;
        if let Some(status) = running.child.try_wait()? {
            let log = std::fs::read_to_string(running._folder.path().join("log")).unwrap_or_default();
            bail!("flyball hpa ended with {status}: {log}");
        }
        Ok(running)
    }

    /// utime and stime together, in seconds.
    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat has no command name")?;
        let ticks: f64 =
            fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        Ok(ticks / TICKS_PER_SECOND)
    }

    fn resident_mb(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .context("/proc/PID/status has no VmRSS")?;
        let kilobytes: f64 = line.split_whitespace().nth(1).context("VmRSS has no value")?.parse()?;
        Ok(kilobytes * 1024.0 / 1e6)
    }

    /// Requests a second and cores used, while nothing happens.
    async fn rest(&self) -> anyhow::Result<(f64, f64)> {
        let (requests, cpu, started) = (self.world.requests(), self.cpu_seconds()?, Instant::now());
        tokio::time::sleep(REST).await;
        let seconds = started.elapsed().as_secs_f64();
        let requests = (self.world.requests() - requests) as f64 / seconds;
        Ok((requests, (self.cpu_seconds()? - cpu) / seconds))
    }

    /// Lets one autoscaler's usage step up; gives the time from the answer with the step to the scale request.
    async fn step(&self, index: usize) -> Option<Duration> {
        self.world.step(index);
        let started = Instant::now();
        while started.elapsed() < STEP_LIMIT {
            if let Some(took) = self.world.reaction(index) {
                return Some(took);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        None
    }
}

/// All figures, with the program at this path.
///
/// # Errors
/// It cannot be started or asked about.
pub async fn figures(program: &Path) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (resolution_ms, from) in [(1_000, "samples every second"), (15_000, "samples every 15 s")] {
        let running = Running::start(program, World::new(5_000, 2, resolution_ms)).await?;
        let (requests, cores) = running.rest().await?;
        figures.push(
            Figure::new("hpa", format!("5,000 HPAs at rest, {from}: API requests a second"), requests, "/s")
                .promise("< 1 /s")
                .beside(format!("{cores:.3} cores, {:.0} MB", running.resident_mb()?)),
        );
    }
    let running = Running::start(program, World::new(1_000, 5, 1_000)).await?;
    let mut took = Vec::new();
    for index in 0..100 {
        took.extend(running.step(index * 7 % 1_000).await);
    }
    took.sort_unstable();
    let at = |share: f64| took.get(((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1)));
    for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
        let what = format!("1,000 HPAs, one steps: sample's arrival to scale request, {name}");
        figures.push(match at(share) {
            Some(took_one) => Figure::new("hpa", what, took_one.as_secs_f64() * 1e3, "ms")
                .promise("p99 ≤ 50 ms")
                .beside(format!("{} of 100 steps", took.len())),
            None => Figure::skipped("hpa", what, "no step was answered"),
        });
    }
    drop(running);
    let running = Running::start(program, World::new(10_000, 10, 1_000)).await?;
    let (_, cores) = running.rest().await?;
    let what = "10,000 HPAs, 100,000 pods, samples and evaluations every second";
    figures.push(Figure::new("hpa", format!("{what}: CPU"), cores, "cores").promise("≤ 0.3 cores"));
    figures.push(
        Figure::new("hpa", format!("{what}: memory"), running.resident_mb()?, "MB").promise("≤ 256 MB"),
    );
    Ok(figures)
}
