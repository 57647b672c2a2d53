//! One container from its first start to its last end: starting, probing, stopping, starting again.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Container;
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::{Backoff, restarts};
use super::pod::PodContext;
use super::run::{NotStarted, Run};
use super::status::{ContainerReport, Ended, State};

/// Pause before a container that could not be configured is tried again: what it refers to may appear.
const CONFIG_RETRY: Duration = Duration::from_secs(5);

/// Until when a pod's containers have to end.
pub(super) type StopBy = Option<Instant>;

/// Which of the pod's containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// An init container by position.
    Init(usize),
    /// A container by position.
    Main(usize),
}

/// How the supervision of a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// It ended and is not started again.
    Ended {
        /// Exit code 0.
        succeeded: bool,
    },
    /// The pod is being stopped.
    Stopped,
}

/// Keeps one container running as its pod's policy asks.
pub(super) struct Supervisor {
    pub(super) pod: Arc<PodContext>,
    pub(super) container: Container,
    pub(super) slot: Slot,
    pub(super) stop: watch::Receiver<StopBy>,
}

impl Supervisor {
    /// Runs until the container ended for good or the pod is stopped.
    pub(super) async fn run(mut self) -> Finish {
        if let State::Terminated(ended) = self.report().state {
            return Finish::Ended { succeeded: ended.exit_code == 0 };
        }
        let mut backoff = Backoff::default();
        loop {
            if self.stop.borrow().is_some() {
                return Finish::Stopped;
            }
            let delay = match self.one_run().await {
                Err(failure) => {
                    let again = if failure.is_config { CONFIG_RETRY } else { backoff.after_failure() };
                    self.note_failure(failure);
                    again
                }
                Ok(ended) => {
                    let succeeded = ended.exit_code == 0;
                    let ran_ms = u64::try_from(ended.finished_ms - ended.started_ms).unwrap_or(0);
                    self.note_end(ended.clone());
                    if self.stop.borrow().is_some() {
                        return Finish::Stopped;
                    }
                    if !restarts(self.policy(), succeeded) {
                        return Finish::Ended { succeeded };
                    }
                    let delay = backoff.after_run(Duration::from_millis(ran_ms));
                    if !delay.is_zero() {
                        self.note_backoff(ended, delay);
                    }
                    delay
                }
            };
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                _ = self.stop.wait_for(Option::is_some) => {}
            }
        }
    }

    async fn one_run(&mut self) -> Result<Ended, NotStarted> {
        let run = Run::start(self.pod.clone(), self.container.clone(), self.slot).await?;
        Ok(run.until_end(&mut self.stop).await)
    }

    /// Restart policy of this container: an init container that succeeded is never started again.
    fn policy(&self) -> &str {
        let policy = self.pod.spec.restart_policy.as_deref().unwrap_or("Always");
        if matches!(self.slot, Slot::Init(_)) && policy == "Always" { "OnFailure" } else { policy }
    }

    fn report(&self) -> ContainerReport {
        self.pod.container_report(self.slot)
    }

    fn note_failure(&self, failure: NotStarted) {
        self.pod.event("Warning", failure.event, &failure.message);
        self.pod.update(self.slot, |report| {
            if let State::Terminated(ended) = &report.state {
                report.last = Some(ended.clone());
            }
            report.ready = false;
            report.state = State::Waiting(failure.reason.to_owned(), failure.message);
        });
    }

    fn note_end(&self, ended: Ended) {
        self.pod.update(self.slot, |report| {
            report.ready = matches!(self.slot, Slot::Init(_)) && ended.exit_code == 0;
            report.started = false;
            report.state = State::Terminated(ended);
        });
    }

    fn note_backoff(&self, ended: Ended, delay: Duration) {
        let (name, pod) = (&self.container.name, self.pod.full_name());
        let message = format!(
            "back-off {} restarting failed container={name} pod={pod}",
            flyball_model::time::go_duration(i128::try_from(delay.as_nanos()).unwrap_or(i128::MAX))
        );
        let event = format!("Back-off restarting failed container {name} in pod {pod}");
        self.pod.event("Warning", "BackOff", &event);
        self.pod.update(self.slot, |report| {
            report.last = Some(ended);
            report.state = State::Waiting("CrashLoopBackOff".to_owned(), message);
        });
    }
}
