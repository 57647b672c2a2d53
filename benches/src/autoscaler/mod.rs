//! The autoscaler as a whole program against a simulated API server: requests at rest, CPU and memory, and the way from a
//! sample to the scale request.
//!
//! The API server is this process, over plain HTTP: it lists what [`world::World`] makes up, never has anything to tell by
//! watch but samples, and notes each request. The autoscaler is the real `flyball hpa`, whose CPU and memory /proc tells.

#![allow(clippy::disallowed_methods, reason = "a benchmark of a whole process: starts it and reads /proc")]

mod loads;
mod loop_time;
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
        Self::start_with(program, world, |_| std::future::ready(())).await
    }

    /// The same, with something that goes on in the world beside.
    async fn start_with<F>(
        program: &Path,
        world: World,
        beside: impl FnOnce(Arc<World>) -> F,
    ) -> anyhow::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let world = Arc::new(world);
        tokio::spawn(beside(world.clone()));
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

    /// What it does while nothing happens.
    async fn rest(&self) -> anyhow::Result<Rest> {
        let (before, cpu, started) = (self.world.requests(), self.cpu_seconds()?, Instant::now());
        tokio::time::sleep(REST).await;
        let seconds = started.elapsed().as_secs_f64();
        let since = |(what, count): (String, u64)| {
            let count = count - before.get(&what).copied().unwrap_or(0);
            (count > 0).then_some((what, count))
        };
        let requests: Vec<(String, u64)> = self.world.requests().into_iter().filter_map(since).collect();
        Ok(Rest {
            requests_a_second: requests.iter().map(|(_, count)| *count).sum::<u64>() as f64 / seconds,
            requests: requests
                .iter()
                .map(|(what, count)| format!("{count} {what}"))
                .collect::<Vec<_>>()
                .join(", "),
            cores: (self.cpu_seconds()? - cpu) / seconds,
        })
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

/// An autoscaler while nothing happens.
struct Rest {
    requests_a_second: f64,
    /// How many of which.
    requests: String,
    cores: f64,
}

/// A part of the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// 5,000 HPAs at rest.
    Rest,
    /// Steps among 1,000 HPAs.
    Steps,
    /// 10,000 HPAs, evaluated every second.
    Many,
    /// Rows 2 and 2b in real time.
    Loop,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 4] = [Part::Rest, Part::Steps, Part::Many, Part::Loop];

    /// By its name on the command line.
    #[must_use]
    pub fn named(name: &str) -> Option<Part> {
        let names = ["rest", "steps", "many", "loop"];
        names.iter().zip(Part::ALL).find(|(each, _)| **each == name).map(|(_, part)| part)
    }
}

/// Figures of these parts, with the program at this path.
///
/// # Errors
/// It cannot be started or asked about.
pub async fn figures(program: &Path, parts: &[Part]) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for part in parts {
        figures.extend(match part {
            Part::Rest => rest(program).await?,
            Part::Steps => steps(program).await?,
            Part::Many => many(program).await?,
            Part::Loop => loop_time::figures(program).await?,
        });
    }
    Ok(figures)
}

async fn rest(program: &Path) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (resolution_ms, watched, from) in
        [(1_000, true, "samples every second"), (15_000, false, "samples every 15 s, not watched")]
    {
        let world = World::new(5_000, 2, resolution_ms);
        let running = Running::start(program, if watched { world.watched() } else { world }).await?;
        let rest = running.rest().await?;
        let what = format!("5,000 HPAs at rest, {from}: API requests a second");
        let (cores, megabytes) = (rest.cores, running.resident_mb()?);
        let beside =
            format!("{cores:.3} cores, {megabytes:.0} MB; in {} s: {}", REST.as_secs(), rest.requests);
        figures.push(Figure::new("hpa", what, rest.requests_a_second, "/s").promise("< 1 /s").beside(beside));
    }
    Ok(figures)
}

async fn steps(program: &Path) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (watched, how) in [(true, "watched"), (false, "asked for")] {
        let world = World::new(1_000, 5, 1_000);
        let running = Running::start(program, if watched { world.watched() } else { world }).await?;
        let mut took = Vec::new();
        for index in 0..100 {
            took.extend(running.step(index * 7 % 1_000).await);
        }
        took.sort_unstable();
        let what =
            format!("1,000 HPAs, one steps, samples {how}: sample's arrival to scale request, p50 / p99");
        figures.push(match (at(&took, 0.5), at(&took, 0.99)) {
            (Some(p50), Some(p99)) => {
                let text = format!("p50 {:.1} ms; {} of 100 steps", p50.as_secs_f64() * 1e3, took.len());
                let what = what.replace("p50 / p99", "p99");
                Figure::new("hpa", what, p99.as_secs_f64() * 1e3, "ms").promise("≤ 50 ms").beside(text)
            }
            _ => Figure::skipped("hpa", what, "no step was answered"),
        });
    }
    Ok(figures)
}

/// The value at this share of sorted ones.
fn at(sorted: &[Duration], share: f64) -> Option<Duration> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into the slice")]
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().checked_sub(1)?)).copied()
}

async fn many(program: &Path) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (watched, how) in [(true, "watched"), (false, "asked for")] {
        let world = World::new(10_000, 10, 1_000);
        let running = Running::start(program, if watched { world.watched() } else { world }).await?;
        let rest = running.rest().await?;
        let what = format!("10,000 HPAs, 100,000 pods, samples {how} and evaluations every second");
        figures.push(Figure::new("hpa", format!("{what}: CPU"), rest.cores, "cores").promise("≤ 0.3 cores"));
        figures.push(
            Figure::new("hpa", format!("{what}: memory"), running.resident_mb()?, "MB").promise("≤ 256 MB"),
        );
    }
    Ok(figures)
}
