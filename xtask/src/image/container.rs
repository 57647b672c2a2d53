//! One container, run by runc.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// A started container; killed and removed when dropped.
pub struct Container {
    id: String,
    state: PathBuf,
    log: PathBuf,
    child: std::cell::RefCell<Child>,
}

impl Container {
    /// Starts runc with this configuration.
    pub fn start(folder: &Path, id: &str, config: &Value) -> anyhow::Result<Container> {
        let bundle = folder.join("bundles").join(id);
        fs::create_dir_all(&bundle)?;
        fs::write(bundle.join("config.json"), config.to_string())?;
        let (state, log) = (folder.join("runc"), bundle.join("log"));
        let output = File::create(&log)?;
        let child = Command::new("runc")
            .arg("--root")
            .arg(&state)
            .args(["run", "--bundle"])
            .arg(&bundle)
            .arg(id)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start runc")?;
        Ok(Container { id: id.to_owned(), state, log, child: child.into() })
    }

    /// What it printed.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether its process is there.
    pub fn still_runs(&self) -> bool {
        matches!(self.child.borrow_mut().try_wait(), Ok(None))
    }

    /// Its process as the machine numbers it.
    pub fn pid(&self) -> anyhow::Result<u64> {
        let output = self.runc(&["state", &self.id])?;
        let state: Value = serde_json::from_slice(&output).context("runc state")?;
        state["pid"].as_u64().context("runc names no process")
    }

    /// Waits until it ends by itself; what it printed.
    pub fn finished(self) -> anyhow::Result<String> {
        let status = self.ended()?;
        if !status.success() {
            bail!("ended with {status}: {}", self.log().trim());
        }
        Ok(self.log())
    }

    /// Tells it to stop, as a kubelet does, and waits.
    pub fn stop(self) -> anyhow::Result<()> {
        self.runc(&["kill", &self.id, "TERM"])?;
        let status = self.ended()?;
        if !status.success() {
            bail!("ended with {status} when told to stop: {}", self.log());
        }
        Ok(())
    }

    fn ended(&self) -> anyhow::Result<ExitStatus> {
        eventually(&format!("end of {}", self.id), || {
            self.child.borrow_mut().try_wait()?.context("it still runs")
        })
    }

    fn runc(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        let output = Command::new("runc").arg("--root").arg(&self.state).args(arguments).output()?;
        if !output.status.success() {
            bail!("runc {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(output.stdout)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.still_runs() {
            drop(self.runc(&["delete", "--force", &self.id]));
            drop(self.child.borrow_mut().wait());
        }
    }
}

/// Asks again until there is an answer; the last error tells why there is none.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        match ask() {
            Err(error) if start.elapsed() > LIMIT => {
                return Err(error.context(format!("not within {} s: {what}", LIMIT.as_secs())));
            }
            Err(_) => std::thread::sleep(PAUSE),
            answer => return answer,
        }
    }
}
