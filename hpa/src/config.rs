//! Settings of the autoscaler, checked once.

use crate::decide::Settings;
use crate::decisions::Peer;
use crate::election::Election;
use crate::error::HpaError;
use crate::kind::ApiKind;
use crate::observe::Observation;
use crate::start::Server;
use flyball_apiserver::{ServingTls, delegation};
use std::sync::Arc;
use std::time::Duration;

/// What the autoscaler does with its decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// `Replace` where no other HPA loop is seen, else `Shadow`; found out at start and whenever that changes.
    Auto,
    /// Writes scales, status and events of every HPA, but leaves alone those that another controller writes too.
    #[default]
    Replace,
    /// As `Replace`, for `HorizontalPodAutoscaler.autoscaling.flyball.io` instead of the built-in kind.
    OwnKind,
    /// Decides and publishes metrics and observations; never writes anything.
    Shadow,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Mode::Auto => "auto",
            Mode::Replace => "replace",
            Mode::OwnKind => "own-kind",
            Mode::Shadow => "shadow",
        })
    }
}

/// Unix milliseconds. Tests pass their own.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Settings of [`run`](crate::run). Start from `Config::default()`; [`Config::check`] refuses what cannot work.
#[derive(Clone)]
pub struct Config {
    /// Settings of the decision.
    pub decide: Settings,
    /// `--horizontal-pod-autoscaler-sync-period`: every HPA is evaluated at least this often.
    pub sync_period: Duration,
    /// `--concurrent-horizontal-pod-autoscaler-syncs`.
    pub concurrent_syncs: usize,
    /// What is done with decisions.
    pub mode: Mode,
    /// Leader election among replicas; `None`: this is the only one.
    pub election: Option<Election>,
    /// Ask the API server about each permission needed, and tell those that are missing.
    pub check_permissions: bool,
    /// Where the client goes; with it, the first contact is waited for and what can never work is said.
    pub server: Option<Server>,
    /// Upstream's timing and forgetting: one evaluation per sync period, history by name and in memory only.
    pub compat_upstream: bool,
    /// Write `status.observedGeneration` (gate HPAGeneration).
    pub observed_generation: bool,
    /// Namespace of the ConfigMaps that keep history; `None` takes the client's own.
    pub namespace: Option<String>,
    /// Lower bound of the time between two leisurely checkpoints of one HPA.
    pub checkpoint_interval: Duration,
    /// Gets every decision; when its queue is full, decisions are dropped for it.
    pub observer: Option<tokio::sync::mpsc::Sender<Observation>>,
    /// TLS of the listener; `None` makes a self-signed certificate.
    pub tls: Option<ServingTls>,
    /// How the other replicas reach this one, to pass questions about decisions on.
    pub peer: Option<Peer>,
    /// Authentication on the listener.
    pub authentication: delegation::Flags,
    /// Unix milliseconds.
    pub clock: Clock,
    /// Milliseconds since any moment, by a clock that never jumps: for schedules and for the age of what was read.
    pub steady: Clock,
}

fn steady() -> Clock {
    let started = tokio::time::Instant::now();
    Arc::new(move || i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX))
}

impl Default for Config {
    fn default() -> Self {
        Config {
            decide: Settings::default(),
            sync_period: Duration::from_secs(15),
            concurrent_syncs: 5,
            mode: Mode::Replace,
            election: None,
            check_permissions: false,
            server: None,
            compat_upstream: false,
            observed_generation: true,
            namespace: None,
            checkpoint_interval: Duration::from_secs(60),
            observer: None,
            tls: None,
            peer: None,
            authentication: delegation::Flags {
                anonymous: true,
                tolerate_lookup_failure: true,
                ..delegation::Flags::default()
            },
            clock: Arc::new(|| jiff::Timestamp::now().as_millisecond()),
            steady: steady(),
        }
    }
}

impl Config {
    /// Checks the values and settles those that depend on others.
    ///
    /// # Errors
    ///
    /// A value that cannot work, named by its flag.
    pub fn check(mut self) -> Result<Self, HpaError> {
        let refuse = |flag, reason: &str| Err(HpaError::Setting { flag, reason: reason.into() });
        if self.sync_period < Duration::from_secs(1) {
            return refuse("--horizontal-pod-autoscaler-sync-period", "must be at least 1s");
        }
        if self.concurrent_syncs == 0 {
            return refuse("--concurrent-horizontal-pod-autoscaler-syncs", "must be at least 1");
        }
        if !(0.0..1e6).contains(&self.decide.tolerance) {
            return refuse("--horizontal-pod-autoscaler-tolerance", "must be a number from 0 upward");
        }
        let times = [
            self.decide.cpu_initialization_ms,
            self.decide.initial_readiness_delay_ms,
            self.decide.downscale_stabilization_ms,
        ];
        if times.iter().any(|ms| *ms < 0) {
            return refuse("--horizontal-pod-autoscaler-…", "a time must not be negative");
        }
        if let Some(election) = &self.election {
            election.check()?;
        }
        let period_ms = self.sync_period_ms();
        self.decide.growth_period_ms = (!self.compat_upstream).then_some(period_ms);
        Ok(self)
    }

    /// The kind of object that is acted on.
    pub(crate) fn kind(&self) -> ApiKind {
        ApiKind::of(self.mode)
    }

    /// The sync period in milliseconds.
    pub(crate) fn sync_period_ms(&self) -> i64 {
        i64::try_from(self.sync_period.as_millis()).unwrap_or(i64::MAX)
    }

    /// The checkpoint interval in milliseconds.
    pub(crate) fn checkpoint_interval_ms(&self) -> i64 {
        i64::try_from(self.checkpoint_interval.as_millis()).unwrap_or(i64::MAX)
    }

    /// Whether history is kept in ConfigMaps.
    pub(crate) fn keeps_history(&self) -> bool {
        !self.compat_upstream && self.mode != Mode::Shadow
    }
}
