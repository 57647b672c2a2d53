//! Starting processes, from one thread that lives as long as the runtime.
//!
//! A started process joins its control groups before it runs the first instruction of its program, leads its own
//! session, and is killed by the kernel when the starting thread dies: `PR_SET_PDEATHSIG` counts threads, not
//! processes, so the thread must be one that never ends early. Dropping the [`Spawner`] ends the thread, and with it
//! whatever still runs.
#![allow(clippy::disallowed_methods, reason = "edge: starts processes")]

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::cgroups::Group;

/// A process to start.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Program and arguments; never empty.
    pub words: Vec<String>,
    /// The whole environment.
    pub variables: BTreeMap<String, String>,
    /// Working folder; `None` keeps this process's own.
    pub folder: Option<PathBuf>,
    /// Group to join.
    pub group: Group,
    /// True for the root process of a container, which its group takes note of.
    pub is_root: bool,
}

type Answer = oneshot::Sender<io::Result<Child>>;

/// The starting thread.
#[derive(Debug, Clone)]
pub struct Spawner {
    requests: mpsc::Sender<(Launch, Answer)>,
}

impl Spawner {
    /// Starts the thread. Must be called within a tokio runtime, which then reaps the processes.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start() -> io::Result<Self> {
        let (requests, incoming) = mpsc::channel::<(Launch, Answer)>();
        let runtime = Handle::current();
        std::thread::Builder::new().name("flyball-spawner".to_owned()).spawn(move || {
            let _entered = runtime.enter();
            while let Ok((launch, answer)) = incoming.recv() {
                // Whoever asked may have stopped waiting: then the process is dropped, which kills it.
                let _ = answer.send(start(&launch));
            }
        })?;
        Ok(Self { requests })
    }

    /// Starts a process. Its standard output and error are pipes.
    ///
    /// # Errors
    /// `NotFound` if there is no such program; else what refused.
    pub async fn spawn(&self, launch: Launch) -> io::Result<Child> {
        let (answer, answered) = oneshot::channel();
        let stopped = || io::Error::other("the runtime is shutting down");
        self.requests.send((launch, answer)).map_err(|_closed| stopped())?;
        answered.await.map_err(|_dropped| stopped())?
    }
}

fn start(launch: &Launch) -> io::Result<Child> {
    if launch.group.is_closed() {
        return Err(io::Error::other("the runtime is shutting down"));
    }
    let Some((program, arguments)) = launch.words.split_first() else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&launch.variables);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    if let Some(folder) = &launch.folder {
        command.current_dir(folder);
    }
    let files = launch.group.join_files();
    let opened = files.iter().map(|file| OpenOptions::new().write(true).open(file));
    super::before_exec::prepare(&mut command, opened.collect::<io::Result<Vec<_>>>()?);
    let child = command.spawn()?;
    if launch.is_root
        && let Some(pid) = child.id()
    {
        launch.group.note_root(pid.cast_signed())?;
    }
    Ok(child)
}
