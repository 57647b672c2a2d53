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

use crate::Figure;
use crate::process::{cpu_seconds, own_cpu_seconds, resident_kb};
use crate::served::{Options, Served};

/// Scrapes before the measured ones: they open files and fill buffers.
const WARM_UP: u32 = 20;
/// Time between two scrapes over HTTP: an answer is shared for less.
const PAUSE: Duration = Duration::from_millis(120);
/// Readings in this process, and scrapes of each program, for a figure.
const ROUNDS_ALONE: u32 = 1_000;
const ROUNDS_IN_TURNS: u32 = 200;
/// Names of the peer in PATH.
const PEER_NAMES: [&str; 2] = ["prometheus-node-exporter", "node_exporter"];

/// The figures of the row.
#[must_use]
pub fn figures() -> Vec<Figure> {
    let what = "node set: CPU of one scrape of /metrics/node, read and written";
    let (cpu_us, body) = in_process(ROUNDS_ALONE);
    let alone = Figure::new("collector node", what, cpu_us / 1e3, "ms").promise("≤ 0.4 ms");
    let shown = format!("{} series, {} bytes", series(&body), body.len());
    let mut figures = vec![alone.beside(shown)];
    let what = "node set: CPU of one scrape over TLS, whole process";
    figures.push(match beside_peer() {
        Ok((own, peer)) => Figure::new("collector node", what, own.cpu_us / 1e3, "ms").beside(format!(
            "Debian's node_exporter without TLS in turns: {:.2} ms, {:.1} times; resident {:.1} and {:.1} MB",
            peer.cpu_us / 1e3,
            peer.cpu_us / own.cpu_us,
            own.resident_kb as f64 * 1.024e-3,
            peer.resident_kb as f64 * 1.024e-3,
        )),
        Err(error) => Figure::skipped("collector node", what, format!("{error:#}")),
    });
    figures
}

fn beside_peer() -> anyhow::Result<(Cost, Cost)> {
    let program = find_peer().context("no node_exporter in PATH (Debian: prometheus-node-exporter)")?;
    let mut peer = Peer::start(&program)?;
    let own = serve()?;
    let mut asked = [
        Asked { pid: own.pid(), ask: Box::new(|| Ok(own.get("/metrics/node", false)?.to_vec())) },
        Asked { pid: peer.pid(), ask: Box::new(move || peer.get("/metrics", false)) },
    ];
    let costs = in_turns(ROUNDS_IN_TURNS, &mut asked)?;
    Ok((costs[0], costs[1]))
}

/// A collector whose sweeps, rare and of nothing, are not what is measured.
///
/// # Errors
/// It does not start.
pub fn serve() -> anyhow::Result<Served> {
    let cgroup_root = "/flyball-bench-nothing".to_owned();
    Served::start(&Options {
        cgroup_root,
        interval: flyball_collector::config::LONGEST_INTERVAL,
        names: None,
        joins: None,
    })
}

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
    let start = own_cpu_seconds();
    for _ in 0..rounds {
        body = exporter.render(Format::Text004);
    }
    ((own_cpu_seconds() - start) * 1e6 / f64::from(rounds), body)
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
