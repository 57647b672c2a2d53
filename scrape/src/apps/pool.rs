//! The targets of one job: from what discovery finds to loops that run.
//!
//! Changes are gathered for [`SYNC_AFTER`], for objects mostly change in flocks. A target is known by its labels and its
//! URL, so whatever else changes of what was discovered disturbs no loop.
#![allow(clippy::disallowed_methods, reason = "an edge: starts and stops the loops of a job's targets")]

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flyball_model::labels::Labels;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::access::Access;
use super::discover::Update;
use super::ingest::Books;
use super::job::Job;
use super::labelset::LabelSet;
use super::metrics::{Fault, Metrics};
use super::scrape_loop::Loop;
use super::sink::AppSink;
use super::target::{self, Made, Target};
use super::threads::StoreThreads;
use super::view::{Fixed, TargetsView, Watched};

/// How long changes are gathered.
const SYNC_AFTER: Duration = Duration::from_secs(1);

/// What the loops of all jobs share.
pub(super) struct Shared<S> {
    pub(super) sink: Arc<S>,
    pub(super) view: TargetsView,
    pub(super) metrics: Arc<Metrics>,
    pub(super) user_agent: String,
    pub(super) threads: StoreThreads,
    /// Differs between servers.
    pub(super) seed: u64,
    pub(super) shutdown: CancellationToken,
}

/// What the loops of one job share.
pub(super) struct Place<S: AppSink> {
    pub(super) shared: Arc<Shared<S>>,
    pub(super) job: Arc<Job>,
    pub(super) access: Access,
    pub(super) books: Books,
    pub(super) active: Arc<Active>,
    /// Ends the job, because everything ends or because it is another one from now on.
    stop: CancellationToken,
}

/// Labels of the targets of a job that are scraped now, and how many targets there are.
#[derive(Debug, Default)]
pub(super) struct Active {
    labels: Mutex<HashSet<Labels>>,
    count: AtomicUsize,
}

impl Active {
    /// None of them is scraped any more.
    pub(super) fn forget(&self) {
        self.set(std::iter::empty());
    }

    fn set<'a>(&self, targets: impl ExactSizeIterator<Item = &'a Target>) {
        self.count.store(targets.len(), Ordering::Relaxed);
        *self.labels.lock().unwrap_or_else(PoisonError::into_inner) =
            targets.map(|target| target.labels.clone()).collect();
    }

    /// Whether a target of these labels is scraped.
    pub(super) fn contains(&self, labels: &Labels) -> bool {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner).contains(labels)
    }
}

impl<S: AppSink> Place<S> {
    /// Why nothing is scraped, if there are too many targets.
    pub(super) fn over_limit(&self) -> Option<String> {
        let limit = self.job.limits.targets?.get();
        let count = self.active.count.load(Ordering::Relaxed);
        (count > limit)
            .then(|| format!("target_limit exceeded: there are {count} targets, {limit} are allowed"))
    }
}

/// Targets of one source.
#[derive(Debug, Default)]
struct Found {
    targets: Vec<(Arc<Target>, Arc<LabelSet>)>,
    dropped: Vec<LabelSet>,
    dropped_count: usize,
}

struct Running {
    watched: Arc<Watched>,
    stop: CancellationToken,
}

struct Pool<S: AppSink> {
    place: Arc<Place<S>>,
    found: BTreeMap<String, Found>,
    /// Dropped ones that are remembered, in all sources.
    dropped_kept: usize,
    running: BTreeMap<Arc<Target>, Running>,
    tasks: JoinSet<()>,
}

/// Runs a job until `stop`, over what is `there` from the beginning and the `updates` that its discoveries find.
pub(super) async fn run<S: AppSink>(
    shared: Arc<Shared<S>>,
    job: Job,
    active: Arc<Active>,
    there: Vec<Update>,
    mut updates: mpsc::Receiver<Update>,
    stop: CancellationToken,
) {
    let mut pool = Pool::new(shared, job, active, stop.clone());
    there.into_iter().for_each(|update| pool.take(update));
    pool.sync();
    let mut due: Option<Instant> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(update) = updates.recv() => {
                pool.take(update);
                due.get_or_insert_with(|| Instant::now() + SYNC_AFTER);
            }
            () = wait_until(due) => {
                due = None;
                pool.sync();
            }
            Some(_) = pool.tasks.join_next() => {}
        }
    }
    while pool.tasks.join_next().await.is_some() {}
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

impl<S: AppSink> Pool<S> {
    fn new(shared: Arc<Shared<S>>, job: Job, active: Arc<Active>, stop: CancellationToken) -> Pool<S> {
        let access = Access::new(&job, &shared.user_agent);
        let place = Place { shared, job: Arc::new(job), access, books: Books::default(), active, stop };
        Pool {
            place: Arc::new(place),
            found: BTreeMap::new(),
            dropped_kept: 0,
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Makes targets of what was found; they are scraped after the next [`Pool::sync`].
    fn take(&mut self, update: Update) {
        if let Some(before) = self.found.remove(&update.source) {
            self.dropped_kept -= before.dropped.len();
        }
        let job = &self.place.job;
        let mut found = Found::default();
        for labels in update.found.iter() {
            let discovered = target::discovered(job, labels.clone());
            match target::make(job, discovered.clone()) {
                Made::Target(made) => found.targets.push((Arc::new(*made), Arc::new(discovered))),
                Made::Dropped => {
                    found.dropped_count += 1;
                    if self.dropped_kept + found.dropped.len() < job.limits.dropped_targets {
                        found.dropped.push(discovered);
                    }
                }
                Made::Bad(reason) => {
                    self.place.shared.metrics.fault(&job.name, Fault::BadTarget, 1);
                    tracing::warn!(
                        job = job.name,
                        source = update.source,
                        reason,
                        "no target can be made of this"
                    );
                }
            }
        }
        if !update.found.is_empty() {
            self.dropped_kept += found.dropped.len();
            self.found.insert(update.source, found);
        }
    }

    /// Starts and stops loops so that exactly what was found is scraped.
    fn sync(&mut self) {
        let mut wanted: BTreeMap<Arc<Target>, &Arc<LabelSet>> = BTreeMap::new();
        for (target, discovered) in self.found.values().flat_map(|found| &found.targets) {
            wanted.entry(target.clone()).or_insert(discovered);
        }
        // Before a loop ends, so that it knows whether its target has come back in another place.
        self.place.active.set(wanted.keys().map(|target| &**target));
        self.running.retain(|target, running| {
            let stays = wanted.contains_key(target);
            if !stays {
                running.stop.cancel();
            }
            stays
        });
        for (target, discovered) in wanted {
            match self.running.get(&target) {
                Some(running) => running.watched.seen_as(discovered.clone()),
                None => {
                    let running = start(&self.place, &mut self.tasks, &target, discovered);
                    self.running.insert(target, running);
                }
            }
        }
        self.show();
    }

    fn show(&self) {
        let (shared, job) = (&self.place.shared, &self.place.job);
        let active = self.running.values().map(|running| running.watched.clone()).collect();
        let dropped = self.found.values().flat_map(|found| found.dropped.iter().cloned()).collect();
        let dropped_count = self.found.values().map(|found| found.dropped_count).sum();
        shared.view.replace(&job.name, active, dropped, dropped_count);
        shared.metrics.targets(&job.name, self.running.len());
        if let Some(reason) = self.place.over_limit() {
            shared.metrics.fault(&job.name, Fault::TargetLimit, 1);
            tracing::warn!(job = job.name, reason, "no target of this job is scraped");
        }
    }
}

fn start<S: AppSink>(
    place: &Arc<Place<S>>,
    tasks: &mut JoinSet<()>,
    target: &Arc<Target>,
    discovered: &Arc<LabelSet>,
) -> Running {
    let fixed = Fixed {
        labels: target.labels.clone(),
        url: target.url.to_string(),
        interval: target.interval,
        timeout: target.timeout,
    };
    let watched = Arc::new(Watched::new(fixed, discovered.clone()));
    let stop = place.stop.child_token();
    tasks.spawn(Loop::new(place.clone(), target.clone(), watched.clone()).run(stop.clone()));
    Running { watched, stop }
}
