//! The probes of one running container.

use std::process::ExitStatus;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::{Container, Probe};
use tokio::io::AsyncReadExt;

use super::check::{self, Check};
use super::container::Slot;
use super::pod::PodContext;
use super::probe::{self, Kind, Outcome, Timing};
use super::spawn::{Launch, Spawner};

/// Most bytes of a command's output that a failing probe reports.
const MAX_OUTPUT_BYTES: u64 = 10 * 1024;

/// A probe that asks for a restart.
pub(super) struct ProbeFailure {
    /// Liveness or startup.
    pub(super) kind: Kind,
    /// What the last check said.
    pub(super) message: String,
    /// The probe's own grace period.
    pub(super) grace_seconds: Option<i64>,
}

/// Runs the probes of one container.
pub(super) struct Prober<'a> {
    pub(super) pod: &'a PodContext,
    pub(super) container: &'a Container,
    pub(super) slot: Slot,
    pub(super) launch: &'a Launch,
}

impl Prober<'_> {
    /// Probes until one asks for a restart; for ever if none does.
    pub(super) async fn run(&self) -> ProbeFailure {
        if let Some(startup) = &self.container.startup_probe
            && let Some(failure) = self.watch(Kind::Startup, startup).await
        {
            return failure;
        }
        self.pod.update(self.slot, |report| {
            report.started = true;
            report.ready |= self.container.readiness_probe.is_none();
        });
        tokio::select! {
            failure = self.watch_or_rest(Kind::Liveness, self.container.liveness_probe.as_ref()) => failure,
            failure = self.watch_or_rest(Kind::Readiness, self.container.readiness_probe.as_ref()) => failure,
        }
    }

    async fn watch_or_rest(&self, kind: Kind, probe: Option<&Probe>) -> ProbeFailure {
        if let Some(probe) = probe
            && let Some(failure) = self.watch(kind, probe).await
        {
            return failure;
        }
        std::future::pending().await
    }

    /// Probes until the probe has its say: `None` once a startup probe passed.
    async fn watch(&self, kind: Kind, probe: &Probe) -> Option<ProbeFailure> {
        let check = match check::read(probe, self.container, self.pod.ip.into()) {
            Ok(check) => check,
            // Refused when the pod was taken on.
            Err(_message) => return None,
        };
        let mut failure = None;
        let tell = |outcome: &Outcome, verdict: Option<bool>| {
            if let Err(message) = outcome {
                let message = format!("{} probe failed: {message}", kind.word());
                self.pod.event("Warning", "Unhealthy", &message);
            }
            match (kind, verdict) {
                (Kind::Readiness, Some(ready)) => self.pod.update(self.slot, |report| report.ready = ready),
                (Kind::Startup, Some(true)) => return false,
                (Kind::Liveness | Kind::Startup, Some(false)) => {
                    let message = outcome.clone().err().unwrap_or_default();
                    let grace_seconds = probe.termination_grace_period_seconds;
                    failure = Some(ProbeFailure { kind, message, grace_seconds });
                    return false;
                }
                _ => {}
            }
            true
        };
        let (check, spawner, launch) =
            (Arc::new(check), self.pod.shared.spawner.clone(), self.launch.clone());
        let run = move || -> BoxFuture<'static, Outcome> {
            Box::pin(run_check(check.clone(), spawner.clone(), launch.clone()))
        };
        probe::watch(Timing::of(probe), run, tell).await;
        failure
    }
}

async fn run_check(check: Arc<Check>, spawner: Spawner, launch: Launch) -> Outcome {
    match &*check {
        Check::Http { host, port, path, headers } => check::http(host, *port, path, headers).await,
        Check::Tcp { host, port } => check::tcp(host, *port).await,
        Check::Exec(words) => execute(&spawner, &launch, words.clone()).await,
    }
}

/// Runs a command in a container: its group, environment and folder. Cancelling kills it.
pub(super) async fn execute(spawner: &Spawner, container: &Launch, words: Vec<String>) -> Outcome {
    let launch = Launch { words, is_root: false, ..container.clone() };
    let mut child =
        spawner.spawn(launch).await.map_err(|error| format!("command cannot be started: {error}"))?;
    let mut output = Vec::new();
    if let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) {
        let mut errors = Vec::new();
        let mut stdout = stdout.take(MAX_OUTPUT_BYTES);
        let mut limited = (&mut stderr).take(MAX_OUTPUT_BYTES);
        let _ = tokio::join!(stdout.read_to_end(&mut output), limited.read_to_end(&mut errors));
        output.append(&mut errors);
    }
    let status = child.wait().await.map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(describe(status, &output)) }
}

fn describe(status: ExitStatus, output: &[u8]) -> String {
    let said = String::from_utf8_lossy(output);
    let said = said.trim();
    if said.is_empty() { format!("command ended with {status}") } else { said.to_owned() }
}
