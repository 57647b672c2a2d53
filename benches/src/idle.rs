//! What an idle `flyball local` costs: the real program, started in a temporary folder, left alone, and asked of /proc.

#![allow(clippy::disallowed_methods, reason = "a benchmark of a whole process: starts it and reads /proc")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::Figure;

/// Time for the cluster to come to rest before it is measured.
const SETTLE: Duration = Duration::from_secs(20);
/// Time it is measured over.
const MEASURE: Duration = Duration::from_secs(30);
/// Clock ticks a second in /proc/PID/stat.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU and memory of an idle `flyball local`.
#[must_use]
pub fn figures(program: &Path) -> Vec<Figure> {
    match measure(program) {
        Ok((cpu_percent, resident_mb)) => vec![
            Figure::new("idle", "CPU of an idle `flyball local`, percent of a core", cpu_percent, "%")
                .promise("aim ≤ 2 %"),
            Figure::new("idle", "resident memory of an idle `flyball local`", resident_mb, "MB")
                .promise("aim ≤ 60 MB"),
        ],
        Err(error) => vec![Figure::skipped("idle", "an idle `flyball local`", format!("{error:#}"))],
    }
}

/// A running program that is ended with SIGTERM when this goes.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

fn measure(program: &Path) -> anyhow::Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let child = Command::new(program)
        .args(["local", "--listen", "127.0.0.1:0", "--dir"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let mut running = Running(child);
    let output = running.0.stdout.take().context("the program has no output")?;
    let mut lines = BufReader::new(output).lines();
    loop {
        match lines.next() {
            Some(line) if line.as_ref().is_ok_and(|line| line.starts_with("kubeconfig: ")) => break,
            Some(_) => {}
            None => bail!("flyball local ended before it was ready"),
        }
    }
    std::thread::sleep(SETTLE);
    let (started, before) = (Instant::now(), cpu_ticks(running.0.id())?);
    std::thread::sleep(MEASURE);
    let ticks = cpu_ticks(running.0.id())? - before;
    let percent = ticks / TICKS_PER_SECOND / started.elapsed().as_secs_f64() * 100.0;
    Ok((percent, resident_mb(running.0.id())?))
}

/// utime and stime together.
fn cpu_ticks(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat has no command name")?;
    let ticks: f64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks)
}

fn resident_mb(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line =
        status.lines().find(|line| line.starts_with("VmRSS:")).context("/proc/PID/status has no VmRSS")?;
    let kilobytes: f64 = line.split_whitespace().nth(1).context("VmRSS has no value")?.parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}
