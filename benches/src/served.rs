//! A collector that serves in a process of its own, and clients of it.
//!
//! The process is the binary `bench_collector` beside this one: the library as `flyball collector` runs it, with a CA of
//! its own for clients in place of a cluster to ask.

#![allow(clippy::disallowed_methods, reason = "starts a process and asks it over a socket")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::BodyExt;

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
    /// Of the server of plain bytes.
    plain: kube::Client,
    _folder: tempfile::TempDir,
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
        let connect = |port: &str| runtime.block_on(client(port.parse()?, folder.path()));
        let (client, plain) = (connect(port)?, connect(plain)?);
        Ok(Served { child, troubles, runtime, client, plain, _folder: folder })
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
        self.ask(&self.client, path, gzip)
    }

    /// So many bytes that are there already, over a connection of the same kind.
    ///
    /// # Errors
    /// It answers otherwise than 200.
    pub fn plain_bytes(&self, bytes: usize) -> anyhow::Result<Bytes> {
        self.ask(&self.plain, &format!("/{bytes}"), false)
    }

    fn ask(&self, client: &kube::Client, path: &str, gzip: bool) -> anyhow::Result<Bytes> {
        self.runtime.block_on(async {
            let request = http::Request::get(path)
                .header("accept-encoding", if gzip { "gzip" } else { "identity" })
                .body(kube::client::Body::empty())?;
            let response = client.send(request).await?;
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

async fn client(port: u16, folder: &Path) -> anyhow::Result<kube::Client> {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut config = kube::Config::new(format!("https://127.0.0.1:{port}").parse()?);
    let kubeconfig = serde_json::json!({
        "client-certificate": file("client.crt"), "client-key": file("client.key"),
    });
    config.auth_info = serde_json::from_value(kubeconfig)?;
    // It is our own child.
    config.accept_invalid_certs = true;
    Ok(kube::Client::try_from(config)?)
}
