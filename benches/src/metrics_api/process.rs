//! The metrics server that is measured, as a process of its own.

#![allow(clippy::disallowed_methods, reason = "a benchmark of a whole process: starts it and reads /proc")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Clock ticks a second in /proc/PID/stat.
const TICKS_PER_SECOND: f64 = 100.0;
/// Writing this to `clear_refs` lets the peak of resident memory begin anew.
const RESET_PEAK: &str = "5";

/// Whose metrics server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `flyball metrics-server`.
    Flyball,
    /// Upstream's.
    Upstream,
    /// `flyball server`.
    Server,
}

/// A program to be measured.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Whose it is.
    pub kind: Kind,
    /// Where it is.
    pub program: PathBuf,
    /// `--metric-resolution`; `None` leaves it to the program.
    pub resolution: Option<Duration>,
}

/// It runs; SIGTERM ends it when this goes.
pub struct Running {
    child: Child,
    folder: tempfile::TempDir,
    /// Where it serves.
    pub address: SocketAddr,
}

impl Running {
    /// Starts it on this kubeconfig.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(subject: &Subject, kubeconfig: &str) -> anyhow::Result<Running> {
        Running::start_with(subject, kubeconfig, &[])
    }

    /// The same with further flags.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_with(subject: &Subject, kubeconfig: &str, flags: &[String]) -> anyhow::Result<Running> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("kubeconfig");
        std::fs::write(&file, kubeconfig)?;
        // Nothing else asks for this port in the moment until the program does.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let log = std::fs::File::create(folder.path().join("log"))?;
        let mut command = Command::new(&subject.program);
        match subject.kind {
            Kind::Flyball => command.arg("metrics-server"),
            Kind::Server => command.arg("server"),
            Kind::Upstream => &mut command,
        };
        command
            .arg(format!("--kubeconfig={}", file.display()))
            .arg(format!("--authentication-kubeconfig={}", file.display()))
            .arg(format!("--authorization-kubeconfig={}", file.display()))
            .arg(format!("--cert-dir={}", folder.path().join("certificates").display()))
            .arg(format!("--secure-port={port}"))
            .arg("--bind-address=127.0.0.1")
            .arg("--kubelet-insecure-tls")
            .arg("--kubelet-use-node-status-port")
            .arg("--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname")
            .args(
                subject.resolution.map(|resolution| format!("--metric-resolution={}s", resolution.as_secs())),
            )
            .args(flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {}", subject.program.display()))?;
        Ok(Running { child, folder, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) })
    }

    /// Fails with the end of its log when it has ended.
    ///
    /// # Errors
    /// It has ended.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(5).collect();
            bail!("the metrics server ended with {status}: {tail:?}");
        }
        Ok(())
    }

    /// CPU time so far, seconds.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(self.proc("stat"))?;
        let fields = stat.rsplit_once(')').context("no command in stat")?.1;
        let ticks = fields.split_ascii_whitespace().skip(11).take(2);
        Ok(ticks.filter_map(|text| text.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND)
    }

    /// Resident memory, megabytes.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub fn resident_mb(&self) -> anyhow::Result<f64> {
        self.status_mb("VmRSS:")
    }

    /// Its peak since [`Running::reset_peak`].
    ///
    /// # Errors
    /// /proc cannot be read.
    pub fn peak_mb(&self) -> anyhow::Result<f64> {
        self.status_mb("VmHWM:")
    }

    /// The peak begins anew.
    ///
    /// # Errors
    /// /proc cannot be written.
    pub fn reset_peak(&self) -> anyhow::Result<()> {
        Ok(std::fs::write(self.proc("clear_refs"), RESET_PEAK)?)
    }

    fn status_mb(&self, name: &str) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(self.proc("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib: f64 = line.context("no such line in status")?.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024.0 / 1e6)
    }

    fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(file)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
