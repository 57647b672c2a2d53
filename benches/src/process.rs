//! What the kernel says of a process: CPU, memory, descriptors, watches.

#![allow(clippy::disallowed_methods, reason = "reads /proc")]

use std::path::Path;

use anyhow::Context;
use rustix::time::{ClockId, clock_gettime};

/// Clock ticks a second in /proc/PID/stat.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU of all threads of a process, those that ended too.
///
/// # Errors
/// It is no more.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().context("no fields")?.split(' ').collect();
    let ticks =
        |index: usize| fields.get(index).context("too few fields")?.parse::<f64>().context("no number");
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// CPU of the threads of a process that are there, to the nanosecond.
///
/// # Errors
/// It is no more.
pub fn threads_cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let mut nanoseconds = 0.0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        // A thread may end meanwhile.
        let Ok(text) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
        let run = text.split(' ').next().context("no number")?;
        nanoseconds += run.parse::<f64>()?;
    }
    Ok(nanoseconds / 1e9)
}

/// Resident memory, kilobytes.
///
/// # Errors
/// The process is no more.
pub fn resident_kb(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    line.split_whitespace().next().context("no number")?.parse().context("no number")
}

/// Open descriptors.
///
/// # Errors
/// The process is no more.
pub fn descriptors(pid: u32) -> anyhow::Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Watches of all its inotify instances.
///
/// # Errors
/// The process is no more.
pub fn watches(pid: u32) -> anyhow::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        let is_inotify =
            std::fs::read_link(entry.path()).is_ok_and(|target| target == Path::new("anon_inode:inotify"));
        if is_inotify {
            let info = Path::new("/proc").join(pid.to_string()).join("fdinfo").join(entry.file_name());
            let info = std::fs::read_to_string(info)?;
            count += info.lines().filter(|line| line.starts_with("inotify ")).count();
        }
    }
    Ok(count)
}

/// CPU of this process.
#[must_use]
pub fn own_cpu_seconds() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

/// CPU of this thread.
#[must_use]
pub fn thread_cpu_seconds() -> f64 {
    seconds(ClockId::ThreadCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
