//! Loads that run, seen from the checks.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::ops::RangeInclusive;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::groups::Group;
use crate::kernel;

/// Time without a step of its clock after which a process counts as asleep.
const REST: Duration = Duration::from_millis(20);
/// Longest wait for that.
const SLEEP_LIMIT: Duration = Duration::from_secs(10);

/// A process of this program in a group; killed when dropped. See [`crate::load`] for the jobs.
#[derive(Debug)]
pub struct Load {
    child: Child,
    output: BufReader<ChildStdout>,
    told: BTreeMap<String, u64>,
}

impl Load {
    /// Starts a job in a group and waits until it is done for the first time. The process stays.
    pub fn start(group: &Group, job: &[&str]) -> anyhow::Result<Load> {
        let mut load = Load::spawn(group, job)?;
        ensure!(load.listen()?, "load {job:?} ended early: {}", load.child.wait()?);
        Ok(load)
    }

    /// Starts a job that must not live to its end; gives the signal that ended it.
    pub fn doomed(group: &Group, job: &[&str]) -> anyhow::Result<i32> {
        let mut load = Load::spawn(group, job)?;
        ensure!(!load.listen()?, "load {job:?} was to be killed and finished");
        let status = load.child.wait()?;
        status.signal().with_context(|| format!("load {job:?} ended with {status}"))
    }

    /// Has the job done again.
    pub fn again(&mut self) -> anyhow::Result<()> {
        let input = self.child.stdin.as_mut().context("the load has no input")?;
        input.write_all(b"again\n")?;
        ensure!(self.listen()?, "the load ended early");
        Ok(())
    }

    /// What it said of itself, last time.
    pub fn told(&self, key: &str) -> anyhow::Result<u64> {
        self.told.get(key).copied().with_context(|| format!("the load did not tell {key}"))
    }

    /// CPU time that it used in its group until now, nanoseconds: at least and at most, for what it used while it
    /// joined can be its old group's or the new one's. It must be waiting, as it is when its job is done.
    ///
    /// By the scheduler's own account of the process, which goes on after a job is told and until the process sleeps.
    pub fn cpu_ns(&self) -> anyhow::Result<RangeInclusive<u64>> {
        let deadline = Instant::now() + SLEEP_LIMIT;
        let mut last = None;
        loop {
            let total_ns = self.total_cpu_ns()?;
            if last.replace(total_ns) == Some(total_ns) {
                let since = |key| Ok::<_, anyhow::Error>(total_ns.saturating_sub(self.told(key)?));
                return Ok(since("joined_ns")?..=since("before_ns")?);
            }
            ensure!(Instant::now() < deadline, "process {} does not come to rest", self.pid());
            std::thread::sleep(REST);
        }
    }

    fn total_cpu_ns(&self) -> anyhow::Result<u64> {
        let text = kernel::text(Path::new(&format!("/proc/{}/schedstat", self.pid())))?;
        text.split(' ').next().unwrap_or("").parse().context("/proc/PID/schedstat")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it and waits for that.
    pub fn stop(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the load ended with {status}");
        }
        Ok(())
    }

    fn spawn(group: &Group, job: &[&str]) -> anyhow::Result<Load> {
        let mut child = Command::new("/proc/self/exe")
            .arg("load")
            .arg(group.folder())
            .args(job)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a load")?;
        let output = child.stdout.take().context("the load has no output")?;
        Ok(Load { child, output: BufReader::new(output), told: BTreeMap::new() })
    }

    /// Reads a line of `key=value`; false at the end.
    fn listen(&mut self) -> anyhow::Result<bool> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        for (key, value) in line.split_whitespace().filter_map(|word| word.split_once('=')) {
            self.told.insert(key.to_owned(), value.parse().with_context(|| line.clone())?);
        }
        Ok(true)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Fails only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
