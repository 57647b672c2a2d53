//! The scrape loops: one task per target.
#![allow(
    clippy::disallowed_methods,
    reason = "an edge: starts and stops the scrape tasks, and reads the clock for them"
)]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flyball_model::batch::{Batch, Outcome, Sink};
use flyball_model::samples::Samples;
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Resolution};
use crate::connection::Connection;
use crate::exchange::{self, Access, Answer};
use crate::failure::ScrapeError;
use crate::interval::{self, Budget};
use crate::meter::Metered;
use crate::metrics::Metrics;
use crate::phase::Phase;
use crate::spare;
use crate::target::{Kind, Target, Targets};

/// Scrapes all targets until `shutdown`, following changes of the list, and hands each result to each sink in turn.
/// Returns when all loops have ended. When the sender of `targets` is gone, the list stays as it is.
pub async fn run(
    config: Config,
    mut targets: watch::Receiver<Targets>,
    sinks: Vec<Arc<dyn Sink>>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) {
    let shared = Arc::new(Shared::new(config, sinks, metrics));
    let mut loops: BTreeMap<String, (Target, CancellationToken)> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let wanted = targets.borrow_and_update().clone();
        shared.count_collectors(&wanted);
        loops.retain(|node, (target, stop)| {
            let stays = wanted.get(node) == Some(target);
            if !stays {
                stop.cancel();
            }
            if !wanted.contains_key(node) {
                shared.metrics.forget(node);
            }
            stays
        });
        for (node, target) in &wanted {
            if !loops.contains_key(node) {
                let stop = shutdown.child_token();
                tasks.spawn(follow(shared.clone(), target.clone(), wanted.len(), stop.clone()));
                loops.insert(node.clone(), (target.clone(), stop));
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            changed = targets.changed() => if changed.is_err() {
                shutdown.cancelled().await;
                break;
            },
            Some(_) = tasks.join_next() => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// As [`run`], on a thread of its own: reading and storing thousands of answers holds up nobody who serves, and one thread
/// that does it all need not wake others. One is enough for a whole cluster: it takes some ten thousand answers a second.
///
/// # Errors
/// No thread can be made.
pub async fn run_apart(
    config: Config,
    targets: watch::Receiver<Targets>,
    sinks: Vec<Arc<dyn Sink>>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().thread_name("scrape").build()?;
    let (sender, ended) = oneshot::channel();
    std::thread::Builder::new().name("scrape".to_owned()).spawn(move || {
        runtime.block_on(run(config, targets, sinks, metrics, shutdown));
        // What was looked up in the name service may still be waited for.
        runtime.shutdown_background();
        let _ = sender.send(());
    })?;
    ended.await.map_err(io::Error::other)
}

/// Kubelets look every ten seconds or so; at shorter intervals there is no moment to wait for.
const PHASE_FROM: Duration = Duration::from_secs(10);
/// The series that tells when a kubelet looked at its node.
const NODE_CPU: &str = "node_cpu_usage_seconds_total";

/// What all loops share.
struct Shared {
    config: Config,
    kubelet: Access,
    collector: Access,
    sinks: Vec<Arc<dyn Sink>>,
    metrics: Arc<Metrics>,
    budget: Mutex<(Budget, usize)>,
}

impl Shared {
    fn new(config: Config, sinks: Vec<Arc<dyn Sink>>, metrics: Arc<Metrics>) -> Shared {
        let cores = match config.resolution {
            Resolution::Automatic { cpu_budget_cores } => cpu_budget_cores,
            Resolution::Fixed(_) => f64::INFINITY,
        };
        Shared {
            kubelet: Access::new(&config.kubelet, &config.user_agent),
            collector: Access::new(&config.collector, &config.user_agent),
            budget: Mutex::new((Budget::new(cores), 0)),
            config,
            sinks,
            metrics,
        }
    }

    fn access(&self, kind: Kind) -> &Access {
        match kind {
            Kind::Collector => &self.collector,
            Kind::Kubelet => &self.kubelet,
        }
    }

    fn count_collectors(&self, targets: &Targets) {
        let collectors = targets.values().filter(|target| target.kind == Kind::Collector).count();
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).1 = collectors.max(1);
    }

    /// The interval of a target; `cpu` is what its last scrape took.
    fn interval(&self, kind: Kind, sweep: Option<Duration>, cpu: Option<Duration>) -> Duration {
        let mut guard = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let (budget, collectors) = &mut *guard;
        if let Some(cpu) = cpu
            && (kind == Kind::Collector || sweep.is_some())
        {
            budget.spent(cpu, *collectors);
        }
        let interval = interval::interval_of(self.config.resolution, kind, sweep, budget);
        if kind == Kind::Collector {
            self.metrics.collector_interval(interval);
        }
        interval
    }
}

/// One target's loop.
async fn follow(shared: Arc<Shared>, target: Target, targets: usize, stop: CancellationToken) {
    let mut state = Loop::new(&target);
    let mut interval = shared.interval(target.kind, None, None);
    let mut due = Instant::now() + interval::first_delay(&target.node, targets, interval);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(due) => {}
        }
        let turn = async {
            // Boxed, for thousands of loops wait between two turns and need no room for one then.
            let turn = Box::pin(state.turn(&shared, &target));
            // The clock that tells is asked of the system, twice for each step; nobody wants to know at a fixed interval.
            match shared.config.resolution {
                Resolution::Automatic { .. } => Some(Metered::new(turn).await.1),
                Resolution::Fixed(_) => {
                    turn.await;
                    None
                }
            }
        };
        let cpu = tokio::select! {
            () = stop.cancelled() => return,
            cpu = turn => cpu,
        };
        shared.metrics.stored(due.elapsed());
        interval = shared.interval(target.kind, state.sweep, cpu);
        due = next_due(due, state.wait(interval));
    }
}

/// The next time of the target's own grid that is not over yet, so that a slow answer does not shift the phase.
fn next_due(due: Instant, interval: Duration) -> Instant {
    let late = due.elapsed();
    let missed = late.as_nanos() / interval.as_nanos().max(1);
    due + interval * u32::try_from(missed + 1).unwrap_or(u32::MAX)
}

struct Loop {
    kept: Option<Connection>,
    /// What the collector said last.
    sweep: Option<Duration>,
    failures: u32,
    /// The last failure's text, so that a lasting one is logged once.
    reason: Option<String>,
    /// When a kubelet looks at its containers; a collector tells how often it does, which is each second.
    phase: Option<Phase>,
}

impl Loop {
    fn new(target: &Target) -> Loop {
        let phase = (target.kind == Kind::Kubelet).then(|| Phase::new(&target.node));
        Loop { kept: None, sweep: None, failures: 0, reason: None, phase }
    }

    /// How long after the last due time the next one is.
    fn wait(&mut self, interval: Duration) -> Duration {
        let learned = self.phase.as_mut().filter(|_| self.failures == 0 && interval >= PHASE_FROM);
        match learned {
            Some(phase) => phase.wait(interval),
            None => interval::retry_after(self.failures, interval),
        }
    }

    /// A collector behind a kubelet's address says so in its answer.
    fn learn(&mut self, answer: &Answer, now_ms: i64) {
        if answer.sweep_interval_ms.is_some() {
            self.phase = None;
        }
        if let (Some(phase), Some(sample_ms)) = (&mut self.phase, newest_ms(&answer.samples)) {
            phase.learn(sample_ms, now_ms);
        }
    }

    async fn turn(&mut self, shared: &Shared, target: &Target) {
        let started = Instant::now();
        let started_ms = unix_ms();
        let access = shared.access(target.kind);
        let result = exchange::ask(target, access, &mut self.kept, shared.config.request_timeout).await;
        result.iter().for_each(|answer| self.learn(answer, unix_ms()));
        shared.metrics.scraped(&target.node, result.is_ok(), started.elapsed(), started_ms);
        let outcome = self.outcome(target, result);
        let batch = Batch { node: target.node.clone(), started_ms, finished_ms: unix_ms(), outcome };
        shared.sinks.iter().for_each(|sink| sink.accept(&batch));
        if let Outcome::Scraped { samples, .. } = batch.outcome {
            spare::give_samples(samples);
        }
    }

    fn outcome(&mut self, target: &Target, result: Result<Answer, ScrapeError>) -> Outcome {
        match result {
            Ok(Answer { samples, sweep_interval_ms }) => {
                if let Some(reason) = self.reason.take() {
                    tracing::info!(node = target.node, was = reason, "node answers again");
                }
                self.failures = 0;
                self.sweep = sweep_interval_ms.map(Duration::from_millis);
                Outcome::Scraped { samples, sweep_interval_ms }
            }
            Err(error) => {
                let reason = error.to_string();
                self.failures = self.failures.saturating_add(1);
                if self.reason.as_ref() != Some(&reason) {
                    tracing::warn!(node = target.node, reason, "failed to scrape node");
                    self.reason = Some(reason.clone());
                }
                Outcome::Failed { reason }
            }
        }
    }
}

/// When the node itself was looked at, else the newest of all samples.
fn newest_ms(samples: &Samples) -> Option<i64> {
    let of_node =
        samples.iter().find(|sample| sample.name == NODE_CPU).and_then(|sample| sample.timestamp_ms);
    of_node.or_else(|| samples.iter().filter_map(|sample| sample.timestamp_ms).max())
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
