//! What is scraped, for those who ask: `/api/v1/targets`, `/api/v1/metadata`.
//!
//! The view is shared: the scrape loops write it, everybody reads it. Reading copies, under one lock for each job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flyball_model::exposition::MetricType;
use flyball_model::labels::Labels;

use super::labelset::LabelSet;

/// All targets of all jobs.
#[derive(Debug, Clone, Default)]
pub struct TargetsView(Arc<Mutex<BTreeMap<String, Pool>>>);

/// The targets of one job.
#[derive(Debug, Default)]
struct Pool {
    active: Vec<Arc<Watched>>,
    dropped: Vec<LabelSet>,
    dropped_count: usize,
}

/// Whether the last scrape worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// There was none yet.
    #[default]
    Unknown,
    /// It did.
    Up,
    /// It did not.
    Down,
}

/// A target that is scraped.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveTarget {
    /// The job.
    pub pool: String,
    /// Labels before relabelling.
    pub discovered: LabelSet,
    /// Labels of its series.
    pub labels: Labels,
    /// What is fetched.
    pub url: String,
    /// Between two scrapes.
    pub interval: Duration,
    /// Longest time of one.
    pub timeout: Duration,
    /// What became of the last scrape.
    pub last: LastScrape,
}

/// What became of the last scrape of a target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LastScrape {
    /// Whether it worked.
    pub health: Health,
    /// Why it did not, or what it had to leave out; empty if there is nothing to say.
    pub error: String,
    /// When it began, Unix milliseconds; `None` before the first.
    pub started_ms: Option<i64>,
    /// How long it took.
    pub duration: Duration,
}

/// A target that relabelling dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedTarget {
    /// The job.
    pub pool: String,
    /// Labels before relabelling.
    pub discovered: LabelSet,
}

/// What a target says about a family of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Described<T> {
    /// Its type.
    pub kind: MetricType,
    /// What it means.
    pub help: T,
    /// Its unit, often empty.
    pub unit: T,
}

/// What a target says about all of its families, by name.
pub type Metadata = BTreeMap<String, Described<String>>;

/// One target of the view, with what changes at each scrape.
#[derive(Debug)]
pub(crate) struct Watched {
    fixed: Fixed,
    discovered: Mutex<Arc<LabelSet>>,
    last: Mutex<LastScrape>,
    metadata: Mutex<Arc<Metadata>>,
}

/// What stays the same while a target is scraped.
#[derive(Debug, Clone)]
pub(crate) struct Fixed {
    pub(crate) labels: Labels,
    pub(crate) url: String,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watched {
    pub(crate) fn new(fixed: Fixed, discovered: Arc<LabelSet>) -> Watched {
        let discovered = Mutex::new(discovered);
        Watched { fixed, discovered, last: Mutex::default(), metadata: Mutex::default() }
    }

    pub(crate) fn report(&self, last: LastScrape) {
        *lock(&self.last) = last;
    }

    pub(crate) fn describe(&self, metadata: Arc<Metadata>) {
        *lock(&self.metadata) = metadata;
    }

    /// What discovery shows of the target now.
    pub(crate) fn seen_as(&self, discovered: Arc<LabelSet>) {
        *lock(&self.discovered) = discovered;
    }
}

impl TargetsView {
    /// Names of the jobs.
    pub fn pools(&self) -> Vec<String> {
        lock(&self.0).keys().cloned().collect()
    }

    /// All targets that are scraped, by job, then by URL.
    pub fn active(&self) -> Vec<ActiveTarget> {
        let pools = lock(&self.0);
        let all = pools.iter().flat_map(|(name, pool)| pool.active.iter().map(move |one| (name, one)));
        all.map(|(pool, one)| {
            let Fixed { labels, url, interval, timeout } = one.fixed.clone();
            ActiveTarget {
                pool: pool.clone(),
                discovered: LabelSet::clone(&lock(&one.discovered)),
                labels,
                url,
                interval,
                timeout,
                last: lock(&one.last).clone(),
            }
        })
        .collect()
    }

    /// Targets that relabelling dropped, as many of each job as are kept.
    pub fn dropped(&self) -> Vec<DroppedTarget> {
        let pools = lock(&self.0);
        let all = pools.iter().flat_map(|(name, pool)| pool.dropped.iter().map(move |one| (name, one)));
        all.map(|(pool, one)| DroppedTarget { pool: pool.clone(), discovered: one.clone() }).collect()
    }

    /// How many targets of each job relabelling dropped.
    pub fn dropped_counts(&self) -> BTreeMap<String, usize> {
        lock(&self.0).iter().map(|(name, pool)| (name.clone(), pool.dropped_count)).collect()
    }

    /// What the targets say about their metrics, by name; each thing that is said comes once.
    pub fn metadata(&self) -> BTreeMap<String, Vec<Described<String>>> {
        let books: Vec<Arc<Metadata>> = {
            let pools = lock(&self.0);
            pools.values().flat_map(|pool| &pool.active).map(|one| lock(&one.metadata).clone()).collect()
        };
        let mut seen_books = BTreeSet::new();
        let mut all: BTreeMap<String, Vec<Described<String>>> = BTreeMap::new();
        for book in &books {
            // Targets that say the same share one book.
            if !seen_books.insert(Arc::as_ptr(book)) {
                continue;
            }
            for (name, described) in book.iter() {
                let known = all.entry(name.clone()).or_default();
                if !known.contains(described) {
                    known.push(described.clone());
                }
            }
        }
        all
    }

    /// Each target that is scraped with what it says about its metrics.
    pub fn books(&self) -> Vec<(Labels, Arc<Metadata>)> {
        let pools = lock(&self.0);
        let all = pools.values().flat_map(|pool| &pool.active);
        all.map(|one| (one.fixed.labels.clone(), lock(&one.metadata).clone())).collect()
    }

    /// A job is no more.
    pub(crate) fn remove(&self, pool: &str) {
        lock(&self.0).remove(pool);
    }

    pub(crate) fn replace(
        &self,
        pool: &str,
        mut active: Vec<Arc<Watched>>,
        dropped: Vec<LabelSet>,
        dropped_count: usize,
    ) {
        active.sort_by(|one, other| one.fixed.url.cmp(&other.fixed.url));
        lock(&self.0).insert(pool.to_owned(), Pool { active, dropped, dropped_count });
    }
}
