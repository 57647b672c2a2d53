//! All jobs together.
#![allow(clippy::disallowed_methods, reason = "an edge: starts and joins the tasks of all jobs")]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::discover::{self, Update};
use super::job::{Discovery, Job, Kubernetes, StaticGroup};
use super::labelset::LabelSet;
use super::metrics::Metrics;
use super::pool::{self, Active, Shared};
use super::sink::AppSink;
use super::target::ADDRESS;
use super::threads::StoreThreads;
use super::view::TargetsView;

/// Changes that may wait for a job to take them.
const UPDATES_WAITING_MAX: usize = 256;

/// What is scraped, and as whom.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The jobs, which may change.
    pub jobs: watch::Receiver<Vec<Job>>,
    /// User-Agent header.
    pub user_agent: String,
}

/// Scrapes the targets of all jobs until `shutdown`. `client` is for discovery in Kubernetes; without one such jobs have no
/// targets, and a log line says so. When the jobs change, all begin anew: a target that is among the new ones goes on at its
/// next turn, and the series of one that is not end as if it was gone. Returns when all loops have ended.
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
    let mut jobs = settings.jobs;
    let mut all = All { shared, client, active: BTreeMap::new(), tasks: JoinSet::new() };
    loop {
        let stop = shutdown.child_token();
        let wanted = jobs.borrow_and_update().clone();
        all.start(wanted, &stop);
        let go_on = loop {
            tokio::select! {
                () = shutdown.cancelled() => break false,
                Ok(()) = jobs.changed() => break true,
                Some(_) = all.tasks.join_next() => {}
            }
        };
        stop.cancel();
        if !go_on {
            break;
        }
    }
    while all.tasks.join_next().await.is_some() {}
}

/// The tasks of all jobs, those of former ones that still end among them.
struct All<S> {
    shared: Arc<Shared<S>>,
    client: Option<kube::Client>,
    /// By the name of the job: what it scrapes now, for loops that end and those of the job's next form alike.
    active: BTreeMap<String, Arc<Active>>,
    tasks: JoinSet<()>,
}

impl<S: AppSink> All<S> {
    /// Starts these jobs, which end at `stop`; what is left of others is forgotten.
    fn start(&mut self, jobs: Vec<Job>, stop: &CancellationToken) {
        let shared = &self.shared;
        self.active.retain(|name, active| {
            let stays = jobs.iter().any(|job| job.name == *name);
            if !stays {
                active.forget();
                shared.view.remove(name);
                shared.metrics.targets(name, 0);
            }
            stays
        });
        let mut searches: Vec<(Kubernetes, Vec<mpsc::Sender<Update>>)> = Vec::new();
        for job in jobs {
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
            let active = self.active.entry(job.name.clone()).or_default().clone();
            let there = there.collect();
            self.tasks.spawn(pool::run(self.shared.clone(), job, active, there, updates, stop.clone()));
        }
        for (number, (of, jobs)) in searches.into_iter().enumerate() {
            match &self.client {
                Some(client) => {
                    self.tasks.spawn(discover::follow(client.clone(), number, of, jobs, stop.clone()));
                }
                None => tracing::warn!(role = ?of.role, "there is no API server to find targets with"),
            }
        }
    }
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
