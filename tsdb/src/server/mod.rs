//! History in a running process: the store, the thread that fills it, and the API over it, as a part that answers beside
//! others.
//!
//! Promise: nothing that goes wrong here reaches the other parts. The store is opened on a thread of its own, and again and
//! again when that fails; until then requests get 503 with the reason. Threads of history step back for all others
//! ([`crate::threads`]), queues and queries have limits, a panic costs what caused it.
//!
//! ```text
//! scrape loops ─▶ NodeSink ─▶ queue ─▶ thread `tsdb-ingest` ─▶ Store ─▶ QueryServer ─▶ /api/v1, history.flyball.io
//! ```
#![allow(clippy::disallowed_methods, reason = "edge: starts and ends the threads of history")]

mod doors;
mod facts;
mod lifecycle;
mod openapi;
mod own_metrics;
mod snapshot;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use flyball_apiserver::own_metrics::OwnMetrics;
use flyball_apiserver::{Advice, Handler, Part, Request, Response, Status};
use flyball_model::labels::Labels;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::api::ErrorType;
use crate::api::serve::{Limits, QueryServer, refused};
use crate::ingest::{NodeSink, Worker};
use crate::promql::engine::Options;
use crate::series::{By, GroupVisitor, Matcher, Point, ReadError, ReadLimits, Series, SeriesSource};
use crate::store::{Service, Settings, Store, StoreReport, now_ms};
use crate::threads::step_back;

pub use doors::{GROUP, VERSION};
pub use facts::{About, Configuration, Scraped};
pub use snapshot::FOLDER as SNAPSHOTS_FOLDER;

/// How long a store that cannot be opened is left alone.
const RETRY: Duration = Duration::from_secs(5);

/// How long who reads or appends in this process waits for the first try to open the store, which mostly takes moments.
const FIRST_TRY: Duration = Duration::from_secs(5);

/// Why the store is not open before the first try is over.
const BEING_OPENED: &str = "the store is being opened";

/// What history is started with.
pub struct Setup {
    /// The store's folder.
    pub dir: PathBuf,
    /// Bounds of the store.
    pub store: Settings,
    /// How often everything appended goes to the disk: what a crash may cost.
    pub flush_interval: Duration,
    /// Time between two stored samples of a series of a node.
    pub scrape_interval: Duration,
    /// How queries are evaluated.
    pub options: Options,
    /// How many of them, and for how long.
    pub limits: Limits,
    /// Where findings are shown.
    pub advice: Advice,
}

/// History that runs. Dropping it takes what is queued into the store and makes the last flush; that waits for the disk.
pub struct History {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What all sides know.
pub(crate) struct Shared {
    setup: Setup,
    sink: Arc<NodeSink>,
    about: Arc<About>,
    open: OnceLock<Open>,
    /// Why it is not open; `None` until the first try to open it is over.
    closed: Mutex<Option<String>>,
    /// Is told when that is known.
    tried: Condvar,
    report: Mutex<Option<Arc<StoreReport>>>,
    /// One snapshot at a time.
    snapshots: Arc<Semaphore>,
}

struct Open {
    store: Arc<Store>,
    queries: QueryServer,
}

impl Shared {
    fn store(&self) -> Option<Arc<Store>> {
        Some(self.open.get()?.store.clone())
    }

    /// Why the store is not open.
    fn reason(&self) -> String {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        closed.clone().unwrap_or_else(|| BEING_OPENED.to_owned())
    }

    fn not_open(&self, reason: &str) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        self.tried.notify_all();
    }

    fn opened(&self, open: Open) {
        // Under the lock, so that nobody looks before and waits after.
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.open.set(open);
        drop(closed);
        self.tried.notify_all();
    }

    /// Waits until the first try to open the store is over, or for so long.
    fn wait_for_first_try(&self, patience: Duration) {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let trying = |closed: &mut Option<String>| closed.is_none() && self.open.get().is_none();
        let waited = self.tried.wait_timeout_while(closed, patience, trying);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn last_report(&self) -> Option<Arc<StoreReport>> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl History {
    /// Starts it; the store is opened meanwhile.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        setup: Setup,
        about: impl FnOnce(&Arc<NodeSink>) -> About,
        own: &OwnMetrics,
    ) -> std::io::Result<History> {
        let interval_ms = i64::try_from(setup.scrape_interval.as_millis()).unwrap_or(i64::MAX);
        let sink = Arc::new(NodeSink::new(interval_ms));
        let about = Arc::new(about(&sink));
        let shared = Arc::new(Shared {
            setup,
            sink,
            about: about.clone(),
            open: OnceLock::new(),
            closed: Mutex::default(),
            tried: Condvar::new(),
            report: Mutex::default(),
            snapshots: Arc::new(Semaphore::new(1)),
        });
        own_metrics::register(Arc::downgrade(&shared), own);
        let facts = facts::ProcessFacts { about, started_ms: now_ms(), shared: Arc::downgrade(&shared) };
        let of_thread = shared.clone();
        let run = move || run(&of_thread, facts);
        let thread = std::thread::Builder::new().name("tsdb-ingest".to_owned()).spawn(run)?;
        Ok(History { shared, thread: Some(thread) })
    }

    /// Where the nodes' batches go.
    #[must_use]
    pub fn sink(&self) -> Arc<NodeSink> {
        self.shared.sink.clone()
    }

    /// For who appends beside the nodes.
    #[must_use]
    pub fn appender(&self) -> Appender {
        Appender(self.shared.clone())
    }

    /// The API, to be answered beside others.
    #[must_use]
    pub fn part(&self) -> Part {
        Part {
            groups: Part::fixed(vec![doors::group()]),
            documents: openapi::documents(),
            answers: vec![GROUP.to_owned(), String::new()],
            paths: lifecycle::PATHS.map(str::to_owned).to_vec(),
            permission: Some(doors::permission),
            handler: Arc::new(Api(self.shared.clone())),
        }
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.shared.sink.queue.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of history panicked");
        }
    }
}

/// The store, once it is open, for who may wait: the first try to open it is waited for, so that nobody has to be told at
/// every start that the store is not there yet.
#[derive(Clone)]
pub struct Appender(Arc<Shared>);

impl Appender {
    /// The store; when it is not open, why.
    ///
    /// # Errors
    /// Why it is not open.
    pub fn store(&self) -> Result<&Store, String> {
        if self.0.open.get().is_none() {
            self.0.wait_for_first_try(FIRST_TRY);
        }
        match self.0.open.get() {
            Some(open) => Ok(&open.store),
            None => Err(self.0.reason()),
        }
    }
}

/// What the store holds; before it is open nothing can be read.
impl SeriesSource for Appender {
    fn select(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        limits: ReadLimits,
    ) -> Result<Vec<Series>, ReadError> {
        self.readable()?.select(matchers, start_ms, end_ms, limits)
    }

    fn scan(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        limits: ReadLimits,
        visit: &mut dyn FnMut(&Arc<Labels>, &[Point]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.readable()?.scan(matchers, start_ms, end_ms, limits, visit)
    }

    fn scan_groups(
        &self,
        matchers: &[Matcher],
        by: &By<'_>,
        start_ms: i64,
        end_ms: i64,
        limits: ReadLimits,
        visitors: &mut [Box<GroupVisitor<'_>>],
    ) -> Result<Option<Vec<Labels>>, ReadError> {
        self.readable()?.scan_groups(matchers, by, start_ms, end_ms, limits, visitors)
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError> {
        self.readable()?.label_names(matchers, start_ms, end_ms)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError> {
        self.readable()?.label_values(name, matchers, start_ms, end_ms)
    }

    fn series(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<Arc<Labels>>, ReadError> {
        self.readable()?.series(matchers, start_ms, end_ms)
    }
}

impl Appender {
    fn readable(&self) -> Result<&Store, ReadError> {
        self.store().map_err(ReadError::Store)
    }
}

fn run(shared: &Arc<Shared>, facts: facts::ProcessFacts) {
    step_back();
    let Some(store) = open(shared) else { return shared.not_open("the server is being stopped") };
    let (options, limits) = (shared.setup.options, shared.setup.limits);
    let queries = QueryServer::new(store.clone(), Arc::new(facts), options, limits);
    let service = Service::start(&store, shared.setup.flush_interval);
    match (queries, service) {
        (Ok(queries), Ok(service)) => {
            look(shared, &store);
            shared.opened(Open { store: store.clone(), queries });
            tracing::info!(dir = %shared.setup.dir.display(), "history is open");
            let worker = Worker::new(store.clone(), shared.sink.counts());
            worker.run(&shared.sink, || look(shared, &store));
            // The last flush is made here.
            drop(service);
        }
        (Err(error), _) | (_, Err(error)) => not_open(shared, &format!("no thread can be started: {error}")),
    }
}

/// Opens the store, again and again while that fails; `None` when history ends before.
fn open(shared: &Shared) -> Option<Arc<Store>> {
    let setup = &shared.setup;
    while !shared.sink.queue.is_closed() {
        // The database's library panics on some damage.
        let opened = catch_unwind(AssertUnwindSafe(|| Store::open(&setup.dir, setup.store, now_ms())));
        let reason = match opened {
            Ok(Ok(store)) => {
                setup.advice.set("history", None);
                return Some(Arc::new(store));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "opening it failed unexpectedly".to_owned(),
        };
        not_open(shared, &reason);
        shared.sink.queue.pause(RETRY);
    }
    None
}

fn not_open(shared: &Shared, reason: &str) {
    let finding = format!("no history is kept or served, it is tried again: {reason}");
    shared.setup.advice.set("history", Some(finding));
    shared.not_open(reason);
}

/// Looks at the store, for `/metrics` and for findings.
fn look(shared: &Shared, store: &Store) {
    let report = match store.report() {
        Ok(report) => report,
        Err(error) => {
            let finding = format!("the store cannot be looked at: {error}");
            shared.setup.advice.set("history-report", Some(finding));
            return;
        }
    };
    let advice = &shared.setup.advice;
    advice.set("history-report", None);
    // The store logs these itself.
    let stopped = report.stopped.as_ref();
    advice.show("history-stopped", stopped.map(|reason| format!("no samples are stored: {reason}")));
    let damage = report.damage.iter().next().map(|(place, lost)| {
        let others = report.damage.len() - 1;
        let more = if others > 0 { format!(" (and {others} more places)") } else { String::new() };
        format!(
            "part of the history is lost: {place}: {lost}{more}; stop the server and run `flyball tsdb check {}`",
            shared.setup.dir.display()
        )
    });
    advice.show("history-damage", damage);
    *shared.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(report));
}

/// Answers both doors.
struct Api(Arc<Shared>);

impl Handler for Api {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            if lifecycle::PATHS.contains(&request.path()) {
                return lifecycle::answer(&self.0, request.method(), request.path()).await;
            }
            let Some(route) = doors::route(&request.attributes) else {
                return request.respond().status(&Status::unknown_resource());
            };
            let Some(open) = self.0.open.get() else {
                let reason = self.0.reason();
                return refused(ErrorType::Unavailable, &format!("history is not available: {reason}"));
            };
            if route.path == snapshot::PATH {
                let method = request.method().clone();
                drop(request);
                return snapshot::answer(&open.store, &self.0.setup.dir, &self.0.snapshots, &method).await;
            }
            open.queries.answer(request, &route.path, route.namespace.as_deref()).await
        })
    }
}

#[cfg(test)]
mod tests;
