//! A running `flyball local`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::binary::flyball_binary;
use crate::footprint::Footprint;
use crate::kubectl::Kubectl;
use crate::poll::eventually;
use crate::program::Program;
use crate::user::ordinary_program;

/// Longest time to the line `kubeconfig: PATH`.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Longest time to the end after a signal: pods have their grace periods within it.
const STOP_LIMIT: Duration = Duration::from_secs(45);

/// What to start.
#[derive(Debug, Default)]
pub struct Setup {
    maps: Vec<String>,
    ordinary: bool,
    folder: Option<PathBuf>,
}

impl Setup {
    /// Adds `--map IMAGE=COMMAND`.
    #[must_use]
    pub fn map(mut self, map: &str) -> Self {
        self.maps.push(map.to_owned());
        self
    }

    /// Runs the program without root's rights: see [`ordinary_program`].
    #[must_use]
    pub fn ordinary_user(mut self) -> Self {
        self.ordinary = true;
        self
    }

    /// Keeps the cluster's data in `folder`, which stays afterwards.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// The command `flyball local` for a data folder, with HOME and log in `home`.
    fn command(&self, home: &Path, folder: &Path) -> Command {
        let mut command = if self.ordinary { ordinary_program(home) } else { Command::new(flyball_binary()) };
        command.arg("local").arg("--dir").arg(folder).args(["--listen", "127.0.0.1:0"]);
        for map in &self.maps {
            command.args(["--map", map]);
        }
        command.env("HOME", home).env("TMPDIR", home).env_remove("KUBECONFIG").env_remove("FLYBALL_LOG");
        command
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When it does not print its ready line: what it printed instead.
    pub fn start(self) -> Result<Local, String> {
        let home = tempfile::Builder::new().prefix("flyball-e2e-").tempdir().expect("a temporary folder");
        let folder = self.folder.clone().unwrap_or_else(|| home.path().join("data"));
        let mut local = Local { setup: self, folder, home, program: None, kubectl: None, orphans: None };
        local.launch()?;
        Ok(local)
    }
}

/// A running one-machine cluster in a temporary folder. Dropping it ends it.
#[derive(Debug)]
pub struct Local {
    program: Option<Program>,
    kubectl: Option<Kubectl>,
    /// What a killed run had; ended on drop in case it was never started again.
    orphans: Option<Footprint>,
    setup: Setup,
    folder: PathBuf,
    home: TempDir,
}

impl Local {
    /// Starts an empty cluster.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start() -> Self {
        Setup::default().start().unwrap_or_else(|error| panic!("flyball local did not start: {error}"))
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("flyball.log")
    }

    fn launch(&mut self) -> Result<(), String> {
        let mut program = Program::start(self.setup.command(self.home.path(), &self.folder), &self.log());
        let kubeconfig =
            program.wait_line(READY_LIMIT, |line| line.strip_prefix("kubeconfig: ").map(PathBuf::from))?;
        self.program = Some(program);
        self.kubectl = Some(Kubectl::new(&kubeconfig, self.home.path(), &self.log()));
        Ok(())
    }

    fn program(&self) -> &Program {
        self.program.as_ref().expect("the cluster runs")
    }

    /// Process id of `flyball local`.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.program().pid()
    }

    /// The data folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it printed up to now.
    pub fn said(&mut self) -> String {
        self.program.as_mut().expect("the cluster runs").seen().join("\n")
    }

    /// kubectl for this cluster and namespace `default`.
    #[must_use]
    pub fn kubectl(&self) -> &Kubectl {
        self.kubectl.as_ref().expect("the cluster was started")
    }

    /// The command that started it, for a second instance on the same folder.
    #[must_use]
    pub fn same_command(&self) -> Command {
        self.setup.command(self.home.path(), &self.folder)
    }

    /// Its processes, control groups and listeners at this moment.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        Footprint::of(self.pid(), &self.folder)
    }

    /// Ends it with SIGKILL, as a crash would; returns what it had at that moment.
    pub fn kill9(&mut self) -> Footprint {
        let footprint = self.footprint();
        let mut program = self.program.take().expect("the cluster runs");
        program.signal(Signal::KILL);
        assert!(program.wait(STOP_LIMIT).is_some(), "SIGKILL did not end it: {}", program.state());
        self.orphans = Some(footprint.clone());
        footprint
    }

    /// Starts it again on the same folder.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn restart(&mut self) {
        assert!(self.program.is_none(), "it still runs");
        self.launch().unwrap_or_else(|error| panic!("flyball local did not start again: {error}"));
    }

    /// Ends it with `signal` and waits for the end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn stop(&mut self, signal: Signal) -> ExitStatus {
        let mut program = self.program.take().expect("the cluster runs");
        program.signal(signal);
        program.wait(STOP_LIMIT).unwrap_or_else(|| panic!("{signal:?} did not end it: {}", program.state()))
    }

    /// Ends it with `signal`: it must exit with code 0 and leave nothing behind.
    ///
    /// # Panics
    /// When it does not end cleanly.
    pub fn ends_clean(&mut self, signal: Signal) {
        let footprint = self.footprint();
        let log = self.log();
        let status = self.stop(signal);
        let state = || crate::program::log_tail(&log);
        assert!(status.success(), "{signal:?} ended it with {status}\n{}", state());
        // The kernel removes dead processes and closed sockets a moment later.
        eventually(Duration::from_secs(5), "nothing is left behind", state, || footprint.left());
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // Ended before its folder is removed.
        self.program = None;
        if let Some(orphans) = self.orphans.take() {
            orphans.end();
        }
    }
}
