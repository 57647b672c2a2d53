//! A collector that serves in a process of its own, and clients of it.
//!
//! The process is the binary `bench_collector` beside this one: the library as `flyball collector` runs it, with a CA of
//! its own for clients in place of a cluster to ask.

#![allow(clippy::disallowed_methods, reason = "starts a process and asks it over a socket")]

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::BodyExt;

use crate::metrics_api::ask::{self, Answered, How};

/// Longest time until it has found all groups and their names.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// How it runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it looks for groups.
    pub cgroup_root: String,
    /// Time between sweeps.
    pub interval: Duration,
    /// Folder with the folders `containers` and `pods` of links to logs, for names.
    pub names: Option<PathBuf>,
    /// A control group to be in, by its `cgroup.procs`.
    pub joins: Option<PathBuf>,
}

/// The running collector; killed when dropped.
pub struct Served {
    child: Child,
    troubles: Arc<Mutex<Vec<String>>>,
    runtime: tokio::runtime::Runtime,
    client: kube::Client,
    address: SocketAddr,
    /// Of the server of plain bytes.
    plain_address: SocketAddr,
    folder: tempfile::TempDir,
}

/// A client that takes no longer than it has to: one thread, a kept connection, and bodies that are read into one buffer, again
/// and again.
pub struct Scraper {
    runtime: tokio::runtime::Runtime,
    client: ask::Client,
}

impl Scraper {
    /// A body, which is kept where that is wanted.
    ///
    /// # Errors
    /// The answer is another than 200.
    pub fn get(&mut self, path: &str, gzip: bool, keep: bool) -> anyhow::Result<Answered> {
        let headers = if gzip { "accept-encoding: gzip\r\n" } else { "" };
        let how = How { headers, keep, ..How::default() };
        answered(self.runtime.block_on(self.client.get(path, how))?)
    }
}

fn answered(answered: Answered) -> anyhow::Result<Answered> {
    anyhow::ensure!(answered.status == 200, "the collector answered {}", answered.status);
    Ok(answered)
}

/// The program beside this one.
///
/// # Errors
/// This program cannot tell where it is.
pub fn neighbour(name: &str) -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe().context("cannot tell where this program is")?.with_file_name(name))
}

impl Served {
    /// Starts it.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(options: &Options) -> anyhow::Result<Served> {
        // Fails when another provider was chosen before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(neighbour("bench_collector")?);
        command.arg("serve").arg(folder.path()).arg("--cgroup-root").arg(&options.cgroup_root);
        command.arg("--interval-ms").arg(options.interval.as_millis().to_string());
        if let Some(names) = &options.names {
            command.arg("--names").arg(names);
        }
        if let Some(joins) = &options.joins {
            command.arg("--joins").arg(joins);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start bench_collector")?;
        let troubles = Arc::new(Mutex::new(Vec::new()));
        let (log, kept) = (child.stderr.take().context("no log")?, troubles.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if line.contains("WARN") || line.contains("ERROR") || line.contains("panicked") {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let (port, plain) = line.trim().split_once(' ').context("the collector did not start")?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (address, plain_address) = (loopback(port)?, loopback(plain)?);
        let client = runtime.block_on(client(address, folder.path()))?;
        Ok(Served { child, troubles, runtime, client, address, plain_address, folder })
    }

    /// A client of the collector for what is measured.
    ///
    /// # Errors
    /// It cannot connect.
    pub fn scraper(&self) -> anyhow::Result<Scraper> {
        self.scraper_of(self.address)
    }

    /// The same of the server of plain bytes: `/123` is as many bytes that are there already.
    ///
    /// # Errors
    /// It cannot connect.
    pub fn scraper_of_plain_bytes(&self) -> anyhow::Result<Scraper> {
        self.scraper_of(self.plain_address)
    }

    fn scraper_of(&self, address: SocketAddr) -> anyhow::Result<Scraper> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (certificate, key) =
            (self.folder.path().join("client.crt"), self.folder.path().join("client.key"));
        let client = runtime.block_on(ask::Client::connect_as(address, &certificate, &key))?;
        Ok(Scraper { runtime, client })
    }

    /// Waits until `/metrics/resource` shows so many containers.
    ///
    /// # Errors
    /// It does not in time.
    pub fn wait_for(&self, containers: usize) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let body = self.get("/metrics/resource", false)?;
            let shown = String::from_utf8_lossy(&body)
                .lines()
                .filter(|line| line.starts_with("container_memory_working_set_bytes{"))
                .count();
            if shown == containers {
                return Ok(());
            }
            if started.elapsed() > READY_LIMIT {
                bail!("the collector shows {shown} of {containers} containers");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// A body as sent.
    ///
    /// # Errors
    /// It answers otherwise than 200.
    pub fn get(&self, path: &str, gzip: bool) -> anyhow::Result<Bytes> {
        self.runtime.block_on(async {
            let request = http::Request::get(path)
                .header("accept-encoding", if gzip { "gzip" } else { "identity" })
                .body(kube::client::Body::empty())?;
            let response = self.client.send(request).await?;
            if !response.status().is_success() {
                bail!("the collector answered {}", response.status());
            }
            Ok(response.into_body().collect().await?.to_bytes())
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged as a warning or worse.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It keeps nothing that a clean end would save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn loopback(port: &str) -> anyhow::Result<SocketAddr> {
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse::<u16>()?)))
}

async fn client(address: SocketAddr, folder: &Path) -> anyhow::Result<kube::Client> {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut config = kube::Config::new(format!("https://{address}").parse()?);
    let kubeconfig = serde_json::json!({
        "client-certificate": file("client.crt"), "client-key": file("client.key"),
    });
    config.auth_info = serde_json::from_value(kubeconfig)?;
    // It is our own child.
    config.accept_invalid_certs = true;
    Ok(kube::Client::try_from(config)?)
}
