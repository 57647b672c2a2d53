//! The loop of one target: wait, fetch, store, report; and its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::clock::unix_ms;
use super::fetch::{FetchError, Fetched, Kept, Text, fetch};
use super::ingest::{BodySize, Ingest, Ingested, Measured, Of, Reports};
use super::metrics::{Fault, Scraped};
use super::pool::Place;
use super::schedule::Grid;
use super::sink::AppSink;
use super::target::Target;
use super::view::{Health, LastScrape, Watched};

/// After how many intervals a target that is gone does not come back any more: two, and a tenth.
const GONE_AFTER_TENTHS: u32 = 21;

/// What a loop keeps of its target from scrape to scrape.
struct State<S: AppSink> {
    ingest: Ingest<S>,
    reports: Reports<S::Series>,
    metadata_hash: Option<u64>,
    /// The last thing to say, so that a lasting one is logged once.
    told: String,
}

impl<S: AppSink> Default for State<S> {
    fn default() -> State<S> {
        State {
            ingest: Ingest::default(),
            reports: Reports::default(),
            metadata_hash: None,
            told: String::new(),
        }
    }
}

/// One loop.
pub(super) struct Loop<S: AppSink> {
    place: Arc<Place<S>>,
    target: Arc<Target>,
    watched: Arc<Watched>,
    source: Arc<str>,
    kept: Option<Kept>,
    state: Box<State<S>>,
}

/// A turn.
struct Turn {
    at_ms: i64,
    started: Instant,
    started_ms: i64,
}

impl<S: AppSink> Loop<S> {
    pub(super) fn new(place: Arc<Place<S>>, target: Arc<Target>, watched: Arc<Watched>) -> Loop<S> {
        let source = source(&place.job.name, &target.url.to_string()).into();
        Loop { place, target, watched, source, kept: None, state: Box::default() }
    }

    /// Scrapes until `stop`; ends the series unless the whole program ends or the target has come back.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let grid = Grid::new(&self.target, self.place.shared.seed);
        let mut wait = grid.first(unix_ms());
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
            let started_ms = unix_ms();
            let turn = Turn { at_ms: grid.stamp(started_ms), started: Instant::now(), started_ms };
            let fetched = tokio::select! {
                () = stop.cancelled() => break,
                fetched = self.fetch() => fetched,
            };
            self.store(turn, fetched).await;
            wait = grid.next(started_ms, unix_ms());
        }
        self.kept = None;
        self.end(grid).await;
    }

    async fn fetch(&mut self) -> Result<Fetched, FetchError> {
        match self.place.over_limit() {
            Some(reason) => {
                self.kept = None;
                Err(FetchError::Forced(reason))
            }
            None => fetch(&self.place.access, &self.target, &mut self.kept).await,
        }
    }

    /// Unpacks and stores an answer, on a thread that may take its time.
    async fn store(&mut self, turn: Turn, fetched: Result<Fetched, FetchError>) {
        let mut state = std::mem::take(&mut self.state);
        let (place, target) = (self.place.clone(), self.target.clone());
        let (watched, source) = (self.watched.clone(), self.source.clone());
        let work = move || {
            store(&place, &target, &watched, &source, &mut state, turn, fetched);
            state
        };
        let Some(stored) = self.place.shared.threads.spawn(work) else { return };
        match stored.await {
            Ok(state) => self.state = state,
            // The state is lost; the next answer makes a new one.
            Err(error) => tracing::error!(%error, source = &*self.source, "storing an answer failed"),
        }
    }

    /// The target is gone. It may come back, with the same series; when it has not for long enough, its series end at the
    /// time of the first scrape that was missing.
    async fn end(self, grid: Grid) {
        let mut state = self.state;
        if !state.reports.have_told() {
            return;
        }
        let shutdown = self.place.shared.shutdown.clone();
        let until_missing = grid.first(unix_ms());
        let rest = self.target.interval * GONE_AFTER_TENTHS / 10 - self.target.interval;
        if !sleep(until_missing, &shutdown).await {
            return;
        }
        let missing_ms = unix_ms();
        if !sleep(rest, &shutdown).await || self.place.active.contains(&self.target.labels) {
            return;
        }
        let (place, target, source) = (self.place.clone(), self.target.clone(), self.source.clone());
        let work = move || {
            let of = of(&place, &target, &source);
            let now_ms = unix_ms();
            state.ingest.fail(&of, missing_ms, now_ms);
            state.reports.end(&of, missing_ms, now_ms)
        };
        let Some(ended) = self.place.shared.threads.spawn(work) else { return };
        if let Ok(Err(reason)) = ended.await {
            tracing::warn!(reason, source = &*self.source, "the end of a target was not stored");
        }
    }
}

/// Waits; `false` when everything ends meanwhile.
async fn sleep(wait: Duration, shutdown: &CancellationToken) -> bool {
    tokio::select! {
        () = shutdown.cancelled() => false,
        () = tokio::time::sleep(wait) => true,
    }
}

/// Most bytes of a source's name, as stores take them.
const SOURCE_BYTES_MAX: usize = 256;

/// What limits and log lines call a target.
fn source(job: &str, url: &str) -> String {
    let mut name = format!("{job} {url}");
    while name.len() > SOURCE_BYTES_MAX {
        name.pop();
    }
    name
}

fn of<'a, S: AppSink>(place: &'a Place<S>, target: &'a Target, source: &'a str) -> Of<'a, S> {
    Of { job: &place.job, labels: &target.labels, source, sink: &*place.shared.sink }
}

fn store<S: AppSink>(
    place: &Place<S>,
    target: &Target,
    watched: &Watched,
    source: &str,
    state: &mut State<S>,
    turn: Turn,
    fetched: Result<Fetched, FetchError>,
) {
    let of = of(place, target, source);
    let job = &place.job.name;
    let (ingested, failure, body_size) = match fetched.and_then(Fetched::unpack) {
        Ok(Text { body, format }) => {
            let now_ms = unix_ms();
            let ingested = state.ingest.take(&of, &body, format, turn.at_ms, now_ms);
            if let Some(metadata) = place.books.read(&body, format, &mut state.metadata_hash) {
                watched.describe(metadata);
            }
            let failure = ingested.error.as_ref().map(ToString::to_string);
            (ingested, failure, BodySize::Bytes(body.len()))
        }
        Err(error) => {
            let too_large = matches!(error, FetchError::TooLarge(_));
            if too_large {
                place.shared.metrics.fault(job, Fault::BodyLimit, 1);
            }
            state.ingest.fail(&of, turn.at_ms, unix_ms());
            let size = if too_large { BodySize::TooLarge } else { BodySize::Bytes(0) };
            (Ingested::default(), Some(error.to_string()), size)
        }
    };
    let duration = turn.started.elapsed();
    let success = failure.is_none();
    let timeout = target.timeout;
    let measured = Measured { success, duration, counts: ingested.counts, timeout, body: body_size };
    report(&of, state, measured, turn.at_ms);
    for (fault, count) in &ingested.faults {
        place.shared.metrics.fault(job, *fault, *count);
    }
    let scraped = Scraped { success, samples: ingested.counts.scraped, took: duration };
    place.shared.metrics.scraped(job, scraped);
    let error = failure.or_else(|| refused(&ingested)).unwrap_or_default();
    tell(source, success, &error, &mut state.told);
    let health = if success { Health::Up } else { Health::Down };
    watched.report(LastScrape { health, error, started_ms: Some(turn.started_ms), duration });
}

fn report<S: AppSink>(of: &Of<'_, S>, state: &mut State<S>, measured: Measured, at_ms: i64) {
    if let Err(reason) = state.reports.tell(of, measured, at_ms, unix_ms()) {
        tracing::debug!(reason, source = of.source, "the report of a scrape was not stored");
    }
}

fn refused(ingested: &Ingested) -> Option<String> {
    let (reason, count) = ingested.refused.as_ref()?;
    Some(format!("{count} new series were not stored: {reason}"))
}

/// Logs what is new.
fn tell(source: &str, success: bool, error: &str, told: &mut String) {
    if told == error {
        return;
    }
    match (success, error) {
        (true, "") => tracing::info!(source, was = *told, "target answers again"),
        (true, reason) => tracing::warn!(source, reason, "scraped in part"),
        (false, reason) => tracing::warn!(source, reason, "failed to scrape target"),
    }
    *told = error.to_owned();
}
