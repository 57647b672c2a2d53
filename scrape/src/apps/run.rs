//! All jobs together.
#![allow(clippy::disallowed_methods, reason = "an edge: starts and joins the tasks of all jobs")]

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::discover::{self, Update};
use super::job::{Discovery, Job, Kubernetes, StaticGroup};
use super::labelset::LabelSet;
use super::metrics::Metrics;
use super::pool::{self, Shared};
use super::sink::AppSink;
use super::target::ADDRESS;
use super::threads::StoreThreads;
use super::view::TargetsView;

/// Changes that may wait for a job to take them.
const UPDATES_WAITING_MAX: usize = 256;

/// What is scraped, and as whom.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// User-Agent header.
    pub user_agent: String,
}

/// Scrapes the targets of all jobs until `shutdown`. `client` is for discovery in Kubernetes; without one such jobs have no
/// targets, and a log line says so. Returns when all loops have ended.
pub async fn run<S: AppSink>(
    settings: Settings,
    client: Option<kube::Client>,
    sink: Arc<S>,
    view: TargetsView,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) {
    let threads = match StoreThreads::new() {
        Ok(threads) => threads,
        Err(error) => {
            tracing::error!(%error, "applications are not scraped: no thread can be started");
            return;
        }
    };
    let shared = Arc::new(Shared {
        sink,
        view,
        metrics,
        user_agent: settings.user_agent,
        threads,
        seed: seed(),
        shutdown: shutdown.clone(),
    });
    let mut tasks = JoinSet::new();
    let mut searches: Vec<(Kubernetes, Vec<mpsc::Sender<Update>>)> = Vec::new();
    for job in settings.jobs {
        let (sender, updates) = mpsc::channel(UPDATES_WAITING_MAX);
        let mut groups: Vec<Arc<[LabelSet]>> = Vec::new();
        for discovery in &job.discovery {
            match discovery {
                Discovery::Static(some) => groups.extend(some.iter().map(static_group)),
                Discovery::Kubernetes(of) => join(&mut searches, of, &sender),
            }
        }
        let numbered = groups.into_iter().enumerate();
        let there = numbered.map(|(number, found)| Update { source: format!("static/{number}"), found });
        tasks.spawn(pool::run(shared.clone(), job, there.collect(), updates));
    }
    for (number, (of, jobs)) in searches.into_iter().enumerate() {
        match &client {
            Some(client) => {
                tasks.spawn(discover::follow(client.clone(), number, of, jobs, shutdown.clone()));
            }
            None => tracing::warn!(role = ?of.role, "there is no API server to find targets with"),
        }
    }
    shutdown.cancelled().await;
    while tasks.join_next().await.is_some() {}
}

/// Jobs that look for the same share one search.
fn join(
    searches: &mut Vec<(Kubernetes, Vec<mpsc::Sender<Update>>)>,
    of: &Kubernetes,
    sender: &mpsc::Sender<Update>,
) {
    match searches.iter_mut().find(|(have, _)| have == of) {
        Some((_, jobs)) => jobs.push(sender.clone()),
        None => searches.push((of.clone(), vec![sender.clone()])),
    }
}

fn static_group(group: &StaticGroup) -> Arc<[LabelSet]> {
    let target = |address: &String| {
        let mut set: LabelSet = group.labels.iter().collect();
        set.set(ADDRESS, address.clone());
        set
    };
    group.targets.iter().map(target).collect()
}

/// The name of this machine: two servers with the same configuration ask at different moments.
fn seed() -> u64 {
    let mut hasher = DefaultHasher::new();
    rustix::system::uname().nodename().hash(&mut hasher);
    hasher.finish()
}
