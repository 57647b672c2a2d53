//! Upstream's cAdvisor beside: its library, built from its Go module (`e2e/peers/cadvisor`), on the same groups.

#![allow(clippy::disallowed_methods, reason = "starts a process and asks it over a socket")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::process::threads_cpu_seconds;
use crate::sweep::Groups;

/// The files it opens in each v1 group each time it collects it, with the kinds of a kubelet, by `strace -f -e openat,openat2`
/// on v0.60.6. `blkio.sectors_recursive` and `blkio.bfq.sectors_recursive` are not there on current kernels; it tries them
/// each time.
pub const FILES: [(&str, &[&str]); 5] = [
    ("cpu", &["cpu.stat"]),
    (
        "cpuacct",
        &["cpuacct.usage", "cpuacct.usage_percpu", "cpuacct.usage_all", "cpuacct.stat", "cgroup.procs"],
    ),
    (
        "memory",
        &[
            "memory.stat",
            "memory.use_hierarchy",
            "memory.usage_in_bytes",
            "memory.max_usage_in_bytes",
            "memory.failcnt",
            "memory.limit_in_bytes",
            "memory.memsw.usage_in_bytes",
            "memory.memsw.max_usage_in_bytes",
            "memory.memsw.failcnt",
            "memory.memsw.limit_in_bytes",
            "memory.kmem.usage_in_bytes",
            "memory.kmem.max_usage_in_bytes",
            "memory.kmem.failcnt",
            "memory.kmem.limit_in_bytes",
            "memory.kmem.tcp.usage_in_bytes",
            "memory.kmem.tcp.max_usage_in_bytes",
            "memory.kmem.tcp.failcnt",
            "memory.kmem.tcp.limit_in_bytes",
            "memory.numa_stat",
        ],
    ),
    ("pids", &["pids.current", "pids.max"]),
    (
        "blkio",
        &[
            "blkio.bfq.sectors_recursive",
            "blkio.bfq.io_serviced_recursive",
            "blkio.sectors_recursive",
            "blkio.throttle.io_serviced_recursive",
            "blkio.throttle.io_serviced",
        ],
    ),
];
/// Longest time until it has found all groups.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// Time over which its CPU is taken.
const MEASURE: Duration = Duration::from_secs(20);
/// Scrapes of it.
const SCRAPES: u32 = 5;

/// What it costs.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// CPU of collecting all groups once, milliseconds.
    pub collecting_ms: f64,
    /// Time and CPU of a scrape, milliseconds.
    pub scrape_ms: f64,
    /// CPU of a scrape beyond what collecting took meanwhile, milliseconds.
    pub scrape_cpu_ms: f64,
    /// Bytes of a body.
    pub bytes: usize,
    /// Resident memory at the end, kilobytes.
    pub resident_kb: u64,
}

/// A running cAdvisor; killed when dropped.
struct Running {
    child: Child,
    port: u16,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It keeps nothing that a clean end would save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets it collect the groups of which there are so many, once a second each.
///
/// # Errors
/// It does not start, or does not find them.
pub fn measure(program: &Path, groups: &Groups, count: usize) -> anyhow::Result<Cost> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let child = Command::new(program)
        .arg(format!("-listen=127.0.0.1:{port}"))
        .arg(format!("-prefixes=/{}", groups.root))
        .args(["-housekeeping_interval=1s", "-jitter_factor=0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let running = Running { child, port };
    let started = Instant::now();
    loop {
        let found = running.get().map_or(0, |body| seen(&body, &groups.root));
        if found >= count {
            break;
        }
        if started.elapsed() > READY_LIMIT {
            bail!("cAdvisor found {found} of {count} groups");
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    // What it made while it started is collected by then.
    std::thread::sleep(Duration::from_secs(5));
    let pid = running.child.id();
    let (began, before) = (Instant::now(), threads_cpu_seconds(pid)?);
    std::thread::sleep(MEASURE);
    let per_second = (threads_cpu_seconds(pid)? - before) / began.elapsed().as_secs_f64();
    let (began, before) = (Instant::now(), threads_cpu_seconds(pid)?);
    let mut bytes = 0;
    for _ in 0..SCRAPES {
        bytes = running.get()?.len();
    }
    let seconds = began.elapsed().as_secs_f64();
    let cpu = threads_cpu_seconds(pid)? - before - per_second * seconds;
    Ok(Cost {
        collecting_ms: per_second * 1e3,
        scrape_ms: seconds * 1e3 / f64::from(SCRAPES),
        scrape_cpu_ms: cpu * 1e3 / f64::from(SCRAPES),
        bytes,
        resident_kb: crate::process::resident_kb(pid)?,
    })
}

/// Groups below a root that a body shows.
fn seen(body: &str, root: &str) -> usize {
    let below = format!("id=\"/{root}/kubepods/besteffort/pod");
    body.lines().filter(|line| line.starts_with("container_last_seen{") && line.contains(&below)).count()
}

impl Running {
    fn get(&self) -> anyhow::Result<String> {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        // Without HTTP/1.1's chunks the body ends with the connection.
        connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer)?;
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no end of headers")?;
        if !head.starts_with("HTTP/1.0 200") {
            bail!("cAdvisor answered {}", head.lines().next().unwrap_or_default());
        }
        Ok(body.to_owned())
    }
}
