//! `/metrics/node` beside node_exporter: CPU of one scrape, in this process and over HTTP, in the same run.
//!
//! Over HTTP both are asked in turns, slowly enough that each answer is read anew, over one kept connection each, with
//! and without gzip: Flyball over TLS, as it serves, node_exporter without, as it serves. CPU is what the kernel counted
//! for the whole process.

#![allow(clippy::disallowed_methods, reason = "a benchmark of whole processes: starts them and reads /proc")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use flyball_collector::node_exporter::{NodeExporter, Places};
use flyball_model::exposition::Format;
use rustix::time::{ClockId, clock_gettime};

/// Scrapes before the measured ones: they open files and fill buffers.
const WARM_UP: u32 = 20;
/// Time between two scrapes over HTTP: an answer is shared for less.
const PAUSE: Duration = Duration::from_millis(120);
/// Clock ticks a second in /proc/PID/stat.
const TICKS_PER_SECOND: f64 = 100.0;
/// Names of the peer in PATH.
const PEER_NAMES: [&str; 2] = ["prometheus-node-exporter", "node_exporter"];

/// This machine, as the collector reads it.
#[must_use]
pub fn exporter() -> NodeExporter {
    NodeExporter::new(&Places::find(Path::new("/proc"), Path::new("/sys"), Path::new("/"), "bench"))
}

/// CPU of one reading in this process, microseconds, and the last body.
#[must_use]
pub fn in_process(rounds: u32) -> (f64, String) {
    let mut exporter = exporter();
    let mut body = String::new();
    for _ in 0..WARM_UP {
        body = exporter.render(Format::Text004);
    }
    let start = process_cpu_seconds();
    for _ in 0..rounds {
        body = exporter.render(Format::Text004);
    }
    ((process_cpu_seconds() - start) * 1e6 / f64::from(rounds), body)
}

/// Samples of a body.
#[must_use]
pub fn series(body: &str) -> usize {
    body.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count()
}

/// The peer, if this machine has it.
#[must_use]
pub fn find_peer() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|folder| PEER_NAMES.map(|name| folder.join(name)))
        .find(|program| program.is_file())
}

/// What one program cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// CPU of one scrape, microseconds.
    pub cpu_us: f64,
    /// Bytes of a body as sent.
    pub bytes: usize,
    /// Resident memory at the end, kilobytes.
    pub resident_kb: u64,
}

/// A node_exporter that runs until it is dropped.
pub struct Peer {
    child: Child,
    address: String,
    connection: Option<BufReader<TcpStream>>,
}

impl Peer {
    /// Starts it on a free port of the loopback address.
    ///
    /// # Errors
    /// It cannot be started, or does not answer in ten seconds.
    pub fn start(program: &Path) -> anyhow::Result<Peer> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(program);
        command.arg(format!("--web.listen-address={address}"));
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut peer = Peer { child, address, connection: None };
        let start = Instant::now();
        while peer.get("/metrics", false).is_err() {
            if start.elapsed() > Duration::from_secs(10) {
                bail!("{} does not answer", program.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(peer)
    }

    /// The body of a path.
    ///
    /// # Errors
    /// It does not answer as expected.
    pub fn get(&mut self, path: &str, gzip: bool) -> anyhow::Result<Vec<u8>> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(TcpStream::connect(&self.address)?),
        };
        let encoding = if gzip { "gzip" } else { "identity" };
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAccept-Encoding: {encoding}\r\n\r\n", self.address);
        connection.get_mut().write_all(request.as_bytes())?;
        let body = response(&mut connection)?;
        self.connection = Some(connection);
        Ok(body)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It keeps nothing that a clean end would save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn response(connection: &mut BufReader<TcpStream>) -> anyhow::Result<Vec<u8>> {
    let (mut length, mut chunked, mut first) = (None, false, true);
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line)? == 0 {
            bail!("the connection ended");
        }
        let line = line.trim_end().to_ascii_lowercase();
        if first && !line.contains(" 200 ") {
            bail!("answered {line}");
        }
        first = false;
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = Some(value.trim().parse()?);
        }
        chunked |= line == "transfer-encoding: chunked";
    }
    let mut body = Vec::new();
    if !chunked {
        body.resize(length.context("no length")?, 0);
        connection.read_exact(&mut body)?;
        return Ok(body);
    }
    loop {
        let mut size = String::new();
        connection.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16)?;
        let start = body.len();
        body.resize(start + size + 2, 0);
        connection.read_exact(&mut body[start..])?;
        body.truncate(start + size);
        if size == 0 {
            return Ok(body);
        }
    }
}

/// A program whose CPU is measured: its process id, and how it is asked.
pub struct Asked<'a> {
    /// Process id.
    pub pid: u32,
    /// Asks it once and gives the body as sent.
    pub ask: Box<dyn FnMut() -> anyhow::Result<Vec<u8>> + 'a>,
}

/// What each costs when they are asked in turns.
///
/// # Errors
/// One does not answer.
pub fn in_turns(rounds: u32, asked: &mut [Asked<'_>]) -> anyhow::Result<Vec<Cost>> {
    let mut bytes = vec![0; asked.len()];
    let mut start = Vec::new();
    for round in 0..WARM_UP + rounds {
        if round == WARM_UP {
            start = asked.iter().map(|one| cpu_seconds(one.pid)).collect::<anyhow::Result<_>>()?;
        }
        for (one, bytes) in asked.iter_mut().zip(&mut bytes) {
            *bytes = (one.ask)()?.len();
        }
        std::thread::sleep(PAUSE);
    }
    let costs = asked.iter().zip(start).zip(bytes).map(|((one, start), bytes)| {
        let cpu_us = (cpu_seconds(one.pid)? - start) * 1e6 / f64::from(rounds);
        Ok(Cost { cpu_us, bytes, resident_kb: resident_kb(one.pid)? })
    });
    costs.collect()
}

fn process_cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// CPU of all threads of a process, those that ended too.
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().context("no fields")?.split(' ').collect();
    let ticks =
        |index: usize| fields.get(index).context("too few fields")?.parse::<f64>().context("no number");
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

fn resident_kb(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    line.split_whitespace().next().context("no number")?.parse().context("no number")
}
