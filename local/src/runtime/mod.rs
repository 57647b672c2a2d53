//! The runtime: pods bound to this node as processes of this machine, each container in its own control group.
//!
//! Promise: while a [`Runtime`] lives, every pod of its node runs as its spec asks, and its status says what is true.
//! However the process ends, nothing stays: at [`Runtime::shutdown`] containers end within seconds; on a panic
//! [`Emergency`] kills them; on `kill -9` the kernel kills the root processes and a waiting shell the rest; what even
//! that misses is removed by the next start in the same folder.
//!
//! Pure parts decide (`images`, `environment`, `expand`, `limits`, `backoff`, `status`, `admission`, the rows of
//! `probe`); the edges (`cgroups`, `leftovers`, `spawn`, `janitor`, `logs`, `check`, `run`) act.

mod admission;
mod backoff;
mod before_exec;
mod cgroups;
mod check;
mod container;
mod environment;
mod expand;
mod images;
mod janitor;
mod leftovers;
mod limits;
mod lines;
mod log_reader;
mod logs;
mod pod;
mod pods;
mod probe;
mod probing;
mod run;
mod spawn;
mod status;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use cgroups::{Access, cgroup_access};
pub use images::{BURN_IMAGE, HOST_IMAGE, Images};
pub use log_reader::Logs;

use crate::controllers::Machine;
use crate::net::Addresses;
use crate::registry::Registry;
use cgroups::{Groups, Mode};
use janitor::Janitor;
use logs::LogFolder;
use spawn::Spawner;

/// What the runtime needs to know.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// The instance's folder, for logs and, in process mode, the folders that stand in for control groups.
    pub dir: PathBuf,
    /// Name of the node whose pods are run.
    pub node_name: String,
    /// Address of the node.
    pub node_address: IpAddr,
    /// The machine.
    pub machine: Machine,
    /// Top control group as [`Access::Direct`] gives it, such as `/flyball-1a2b3c`; `None` accounts by process.
    pub cgroup_root: Option<String>,
    /// What images can be run.
    pub images: Images,
    /// Variables every container gets, such as `PATH` and `HOME`.
    pub inherited_environment: BTreeMap<String, String>,
    /// Where the API server listens.
    pub api_server: SocketAddr,
}

/// Why the runtime cannot start. Each text is one sentence.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Another process still uses the folder.
    #[error(
        "{dir} is in use by another instance, or one that is just ending: stop it or choose another folder"
    )]
    DirInUse {
        /// The folder.
        dir: PathBuf,
    },
    /// The control groups cannot be made.
    #[error("control groups cannot be made below {root}: {source}")]
    Cgroups {
        /// The top group or folder.
        root: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A helper cannot be started.
    #[error("{what} cannot be started: {source}")]
    Helper {
        /// Which one.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What all pods share.
struct Shared {
    registry: Registry,
    config: RuntimeConfig,
    groups: Groups,
    spawner: Spawner,
    logs: LogFolder,
    addresses: Arc<Addresses>,
}

/// The running runtime. Dropping it kills every container at once; [`Runtime::shutdown`] is gentler.
pub struct Runtime {
    logs: LogFolder,
    registry: Registry,
    emergency: Emergency,
    stop: CancellationToken,
    pods: Option<JoinHandle<()>>,
    janitor: Option<Janitor>,
}

impl Runtime {
    /// Removes what an earlier run left, then runs the node's pods. Blocks for a moment; call it within a tokio runtime.
    ///
    /// # Errors
    /// If the folder is in use, or groups or helpers cannot be made.
    pub fn start(
        registry: Registry,
        config: RuntimeConfig,
        addresses: Arc<Addresses>,
    ) -> Result<Self, RuntimeError> {
        let mode = match &config.cgroup_root {
            Some(root) => Mode::Groups { root: root.clone() },
            None => Mode::Processes { dir: config.dir.join("processes") },
        };
        let root =
            config.cgroup_root.clone().unwrap_or_else(|| config.dir.join("processes").display().to_string());
        let groups =
            Groups::open(mode).map_err(|source| RuntimeError::Cgroups { root: root.clone(), source })?;
        if !groups.enforces_limits() {
            tracing::warn!("control groups cannot be made here: limits of containers are not enforced");
        }
        let lock = config.dir.join("runtime.lock");
        let janitor = Janitor::start(&lock, groups.tops(), !groups.enforces_limits());
        let janitor = janitor.map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => RuntimeError::DirInUse { dir: config.dir.clone() },
            _ => RuntimeError::Helper { what: "the janitor (/bin/sh)", source },
        })?;
        groups.clear();
        groups.make_tops().map_err(|source| RuntimeError::Cgroups { root, source })?;
        let spawner = Spawner::start();
        let spawner =
            spawner.map_err(|source| RuntimeError::Helper { what: "the starting thread", source })?;
        let emergency = Emergency { groups: groups.clone() };
        let logs = LogFolder::new(&config.dir);
        let stop = CancellationToken::new();
        let shared =
            Shared { registry: registry.clone(), config, groups, spawner, logs: logs.clone(), addresses };
        let pods = pods::start(Arc::new(shared), stop.clone());
        Ok(Self { logs, registry, emergency, stop, pods: Some(pods), janitor: Some(janitor) })
    }

    /// True if limits of containers are enforced.
    pub fn enforces_limits(&self) -> bool {
        self.emergency.groups.enforces_limits()
    }

    /// What containers wrote, for `kubectl logs`.
    pub fn logs(&self) -> Logs {
        Logs { folder: self.logs.clone(), registry: self.registry.clone() }
    }

    /// What kills everything from a panic hook.
    pub fn emergency(&self) -> Emergency {
        self.emergency.clone()
    }

    /// Stops all containers, gently for two seconds, and removes all groups. Objects stay as they are, so that the next
    /// start runs the pods again.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(pods) = self.pods.take()
            && let Err(error) = pods.await
        {
            tracing::error!(%error, "the loop over pods failed");
        }
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(pods) = self.pods.take() {
            pods.abort();
        }
        self.emergency.run();
        drop(self.janitor.take());
    }
}

/// Kills every container and removes every group, at once and without the async runtime.
#[derive(Debug, Clone)]
pub struct Emergency {
    groups: Groups,
}

impl Emergency {
    /// Does it. Blocks, bounded by a few seconds; safe to repeat.
    pub fn run(&self) {
        self.groups.close();
        self.groups.clear();
    }
}
