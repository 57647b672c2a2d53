//! One run of a container: from starting its process to removing its group.
#![allow(
    clippy::disallowed_methods,
    reason = "edge: looks at the working folder, waits for and signals processes"
)]

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Container;
use rustix::process::{Pid, Signal};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::sync::watch;
use tokio::time::Instant;

use super::cgroups::Group;
use super::container::{Slot, StopBy};
use super::environment::{self, Source};
use super::expand::expand;
use super::limits;
use super::logs::LogFile;
use super::pod::{PodContext, RegistryObjects};
use super::probing::{ProbeFailure, Prober};
use super::spawn::Launch;
use super::status::{Ended, State};
use crate::registry::clock::now_ms;

/// Longest time to read what a container wrote before its end.
const DRAIN: Duration = Duration::from_secs(2);
/// Longest time to wait for a killed process.
const REAP: Duration = Duration::from_secs(5);

/// Why a run did not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotStarted {
    /// Reason of the waiting state.
    pub(super) reason: &'static str,
    /// Reason of the event.
    pub(super) event: &'static str,
    /// One sentence.
    pub(super) message: String,
    /// True if it is worth trying again soon: something referred to may appear.
    pub(super) is_config: bool,
}

impl NotStarted {
    fn config(message: String) -> Self {
        Self { reason: "CreateContainerConfigError", event: "Failed", message, is_config: true }
    }

    fn create(message: String) -> Self {
        Self { reason: "CreateContainerError", event: "Failed", message, is_config: false }
    }
}

/// A running container.
pub(super) struct Run {
    pod: Arc<PodContext>,
    container: Container,
    slot: Slot,
    id: String,
    started_ms: i64,
    launch: Launch,
    child: Child,
    log: LogFile,
}

impl Run {
    /// Makes the group, opens the log and starts the process.
    pub(super) async fn start(
        pod: Arc<PodContext>,
        container: Container,
        slot: Slot,
    ) -> Result<Self, NotStarted> {
        let (words, variables) = command_of(&pod, &container)?;
        let folder = working_folder(&container)?;
        let id = new_id();
        let group = make_group(pod.clone(), container.clone(), id.clone()).await?;
        let run = pod.container_report(slot).restarts + u32::from(pod.container_report(slot).id.is_some());
        let launch = Launch { words, variables, folder, group: group.clone(), is_root: true };
        match begin(pod.clone(), container.clone(), launch.clone(), run).await {
            Ok((log, child)) => {
                let started_ms = now_ms();
                pod.event("Normal", "Created", &format!("Created container: {}", container.name));
                pod.event("Normal", "Started", &format!("Started container {}", container.name));
                pod.update(slot, |report| {
                    if let State::Terminated(ended) = &report.state {
                        report.last = Some(ended.clone());
                    }
                    (report.restarts, report.id) = (run, Some(id.clone()));
                    report.state = State::Running(started_ms);
                    report.started = container.startup_probe.is_none();
                    report.ready = report.started && container.readiness_probe.is_none();
                });
                Ok(Self { pod, container, slot, id, started_ms, launch, child, log })
            }
            Err(failure) => {
                let _ = tokio::task::spawn_blocking(move || (group.kill(), group.remove())).await;
                Err(failure)
            }
        }
    }

    /// Waits for the end: by itself, by a failed probe, or because the pod is stopped.
    pub(super) async fn until_end(mut self, stop: &mut watch::Receiver<StopBy>) -> Ended {
        let streams = (self.child.stdout.take(), self.child.stderr.take());
        let group = self.launch.group.clone();
        let mut log = std::pin::pin!(record(self.log, streams));
        let mut log_ended = false;
        let prober =
            Prober { pod: &self.pod, container: &self.container, slot: self.slot, launch: &self.launch };
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let stopper = Stopper { pod: &self.pod, container: &self.container, launch: &self.launch, pid };
        let mut cause = None;
        let status = {
            let mut ending = std::pin::pin!(async {
                let failure = tokio::select! {
                    failure = prober.run() => Some(failure),
                    _ = stop.wait_for(Option::is_some) => None,
                };
                cause = failure.as_ref().map(|failure| failure.message.clone());
                stopper.stop(stop, failure).await;
            });
            let mut given_up = false;
            loop {
                tokio::select! {
                    status = self.child.wait() => break status.ok(),
                    () = &mut log, if !log_ended => log_ended = true,
                    () = &mut ending, if !given_up => given_up = true,
                    // Killed, yet not gone: an uninterruptible process. The pod goes on without it.
                    () = tokio::time::sleep(REAP), if given_up => break None,
                }
            }
        };
        let oom_kills = group.oom_kills();
        let emptied = group.clone();
        let _ = tokio::task::spawn_blocking(move || emptied.kill()).await;
        if !log_ended {
            let _ = tokio::time::timeout(DRAIN, log).await;
        }
        let _ = tokio::task::spawn_blocking(move || group.remove()).await;
        let message = cause.unwrap_or_default();
        judge(self.id, self.started_ms, status, oom_kills.is_some_and(|kills| kills > 0), message)
    }
}

/// Opens the log and starts the process.
async fn begin(
    pod: Arc<PodContext>,
    container: Container,
    launch: Launch,
    run: u32,
) -> Result<(LogFile, Child), NotStarted> {
    let log = pod.shared.logs.open(pod.uid(), &container.name, run);
    let log = log.map_err(|error| NotStarted::create(format!("the log cannot be opened: {error}")))?;
    let child = pod.shared.spawner.spawn(launch.clone()).await;
    let child = child.map_err(|error| cannot_start(&container, &launch, &error))?;
    Ok((log, child))
}

async fn record(log: LogFile, streams: (Option<ChildStdout>, Option<ChildStderr>)) {
    if let (Some(stdout), Some(stderr)) = streams {
        log.record(stdout, stderr).await;
    }
}

/// Exit code of what SIGKILL ended: 128 and the signal.
const KILLED: i32 = 137;

/// Exit code and reason of a run.
fn judge(
    id: String,
    started_ms: i64,
    status: Option<ExitStatus>,
    out_of_memory: bool,
    message: String,
) -> Ended {
    let code = status.and_then(|status| status.code());
    let signal = status.and_then(|status| status.signal());
    let exit_code = code.or(signal.map(|signal| 128 + signal)).unwrap_or(KILLED);
    let reason = match exit_code {
        0 => "Completed",
        // Of the first process itself, or of a command whose end its shell passes on.
        KILLED if out_of_memory => "OOMKilled",
        _ => "Error",
    };
    Ended { id, exit_code, reason: reason.to_owned(), message, started_ms, finished_ms: now_ms() }
}

/// Stops a container: its preStop hook, SIGTERM, and SIGKILL for all that is left at the deadline.
struct Stopper<'a> {
    pod: &'a PodContext,
    container: &'a Container,
    launch: &'a Launch,
    pid: Option<Pid>,
}

impl Stopper<'_> {
    async fn stop(&self, stop: &mut watch::Receiver<StopBy>, failure: Option<ProbeFailure>) {
        let name = &self.container.name;
        let grace_seconds = self.pod.spec.termination_grace_period_seconds;
        let deadline = match &failure {
            Some(failure) => {
                let word = failure.kind.word().to_lowercase();
                let message = format!("Container {name} failed {word} probe, will be restarted");
                self.pod.event("Normal", "Killing", &message);
                let seconds = failure.grace_seconds.or(grace_seconds).unwrap_or(30);
                Instant::now() + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
            }
            None => {
                self.pod.event("Normal", "Killing", &format!("Stopping container {name}"));
                Instant::now() + Duration::from_secs(u64::MAX >> 32)
            }
        };
        let gently = async {
            self.pre_stop().await;
            if let Some(pid) = self.pid {
                let _ = rustix::process::kill_process(pid, Signal::TERM);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = gently => {}
            () = wait_until_due(stop, deadline) => {}
        }
        let group = self.launch.group.clone();
        if let Some(pid) = self.pid {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        let _ = tokio::task::spawn_blocking(move || group.kill()).await;
    }

    async fn pre_stop(&self) {
        let hook = self.container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        let Some(hook) = hook else { return };
        if let Some(sleep) = &hook.sleep {
            tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        }
        if let Some(words) = hook.exec.as_ref().and_then(|exec| exec.command.clone())
            && let Err(error) = super::probing::execute(&self.pod.shared.spawner, self.launch, words).await
        {
            self.pod.event("Warning", "FailedPreStopHook", &format!("PreStopHook failed: {error}"));
        }
    }
}

/// Waits for the deadline, or for the pod's own if that comes earlier; the pod's may move closer meanwhile.
async fn wait_until_due(stop: &mut watch::Receiver<StopBy>, deadline: Instant) {
    loop {
        let due = stop.borrow_and_update().map_or(deadline, |by| by.min(deadline));
        tokio::select! {
            () = tokio::time::sleep_until(due) => return,
            changed = stop.changed() => if changed.is_err() { return },
        }
    }
}

async fn make_group(pod: Arc<PodContext>, container: Container, id: String) -> Result<Group, NotStarted> {
    let (groups, parent) = (pod.shared.groups.clone(), pod.group.clone());
    let limits = limits::of_container(&container);
    let made = tokio::task::spawn_blocking(move || groups.make_container(&parent, &id, limits)).await;
    match made {
        Ok(Ok(group)) => Ok(group),
        Ok(Err(error)) => Err(NotStarted::create(error.to_string())),
        Err(error) => Err(NotStarted::create(error.to_string())),
    }
}

type Prepared = (Vec<String>, std::collections::BTreeMap<String, String>);

/// Words and environment of a container, references expanded.
fn command_of(pod: &PodContext, container: &Container) -> Result<Prepared, NotStarted> {
    let image = container.image.as_deref().unwrap_or_default();
    let list = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let (command, args) = (list(&container.command), list(&container.args));
    let config = &pod.shared.config;
    let words = config.images.command(image, &command, &args).map_err(|message| NotStarted {
        reason: "ErrImageNeverPull",
        event: "Failed",
        message,
        is_config: false,
    })?;
    let source = Source {
        pod: &pod.pod,
        spec: &pod.spec,
        container,
        pod_ip: pod.ip.into(),
        host_ip: config.node_address,
        node_cpu_milli: config.machine.cpu_milli,
        node_memory_bytes: i64::try_from(config.machine.memory_bytes.unwrap_or(0)).unwrap_or(i64::MAX),
        api_server: config.api_server,
    };
    let objects = RegistryObjects { registry: &pod.shared.registry, namespace: pod.namespace() };
    let own = environment::build(&source, &objects).map_err(NotStarted::config)?;
    let expanded = words.iter().map(|word| expand(word, |name| own.get(name).map(String::as_str))).collect();
    let mut variables = config.inherited_environment.clone();
    variables.insert("HOSTNAME".to_owned(), pod.name().to_owned());
    variables.extend(own);
    Ok((expanded, variables))
}

fn working_folder(container: &Container) -> Result<Option<PathBuf>, NotStarted> {
    let Some(folder) = container.working_dir.as_ref().filter(|folder| !folder.is_empty()) else {
        return Ok(None);
    };
    let folder = PathBuf::from(folder);
    if folder.is_dir() {
        return Ok(Some(folder));
    }
    let message =
        format!("container {:?}: workingDir {folder:?} is no folder of this machine", container.name);
    Err(NotStarted::create(message))
}

/// One sentence about a process that could not be started.
fn cannot_start(container: &Container, launch: &Launch, error: &io::Error) -> NotStarted {
    let program = launch.words.first().map_or("", String::as_str);
    let why = match error.kind() {
        io::ErrorKind::NotFound if program.contains('/') => "does not exist on this machine".to_owned(),
        io::ErrorKind::NotFound => {
            let path = launch.variables.get("PATH").map_or("", String::as_str);
            format!("does not exist on this machine (PATH is {path:?})")
        }
        io::ErrorKind::PermissionDenied => "may not be executed".to_owned(),
        _ => format!("cannot be started: {error}"),
    };
    NotStarted::create(format!("container {:?}: command {program:?} {why}", container.name))
}

/// 64 random hexadecimal digits.
fn new_id() -> String {
    crate::registry::clock::random::<32>().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_judged() {
        for (id, status, out_of_memory, expected) in [
            ("exit 0", ExitStatus::from_raw(0), false, (0, "Completed")),
            ("exit 3", ExitStatus::from_raw(3 << 8), false, (3, "Error")),
            ("SIGTERM", ExitStatus::from_raw(15), false, (143, "Error")),
            ("SIGKILL", ExitStatus::from_raw(9), false, (137, "Error")),
            ("SIGKILL for memory", ExitStatus::from_raw(9), true, (137, "OOMKilled")),
            (
                "a shell whose command was killed for memory",
                ExitStatus::from_raw(137 << 8),
                true,
                (137, "OOMKilled"),
            ),
            ("an error after an early kill for memory", ExitStatus::from_raw(3 << 8), true, (3, "Error")),
        ] {
            let ended = judge(String::new(), 0, Some(status), out_of_memory, String::new());
            assert_eq!((ended.exit_code, ended.reason.as_str()), expected, "{id}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn deadline_moves_only_closer() {
        let (sender, mut stop) = watch::channel(None);
        let start = Instant::now();
        let wait = wait_until_due(&mut stop, start + Duration::from_secs(30));
        let shorten = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            sender.send_replace(Some(start + Duration::from_secs(60)));
            tokio::time::sleep(Duration::from_secs(1)).await;
            sender.send_replace(Some(start + Duration::from_secs(5)));
        };
        tokio::join!(wait, shorten);
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }
}
