//! Answers of metrics.k8s.io, one per namespace and selector, shared by all HPAs that need them.

use crate::cluster::{Answer, EMPTY, ResourceMetrics, unable};
use crate::error::ApiError;
use crate::samples::{Event, Lines, Table, Unreadable};
use crate::watch::PodStore;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

pub(crate) use crate::samples::MetricsKey;

/// Samples of one round arrive one after another: they are told together, after a pause or when so much time has passed.
const PAUSE: Duration = Duration::from_millis(2);
const GATHER: Duration = Duration::from_millis(20);
/// A watch that tells nothing for so long is given up, for its connection may be dead: a list then shows what there is.
const SILENCE: Duration = Duration::from_secs(45);
/// Pause before a watch is tried again that is refused, and one that fails.
const REFUSED_PAUSE_MS: i64 = 600_000;
const FAILED_PAUSE_MS: i64 = 10_000;

/// What was learned about samples.
#[derive(Debug)]
pub(super) struct News {
    /// What a list came to, before a watch goes on from it: of which selector, or (`None`) of all pods.
    pub(super) listed: Option<(Option<MetricsKey>, Listed)>,
    /// Selectors behind which something changed.
    pub(super) changed: Vec<MetricsKey>,
}

/// Where it is told.
pub(super) type Tell = mpsc::Sender<News>;

/// What a list came to: the end of its newest window, and its number of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Listed {
    pub(super) newest_ms: Option<i64>,
    pub(super) pods: usize,
}

/// The answers in use.
pub(crate) struct Answers {
    api: ResourceMetrics,
    table: Mutex<Table>,
    /// Whoever asks about a selector asks for all that wait.
    turns: Mutex<HashMap<MetricsKey, Arc<tokio::sync::Mutex<()>>>>,
    /// Until then nothing is watched, by the steady clock.
    no_watch_until_ms: AtomicI64,
    /// Watches that run.
    watches: Gauge,
}

impl Answers {
    pub(super) fn new(api: ResourceMetrics, watches: Gauge) -> Self {
        let (table, turns) = (Mutex::default(), Mutex::default());
        Answers { api, table, turns, no_watch_until_ms: AtomicI64::new(i64::MIN), watches }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self, key: &MetricsKey, now_ms: i64) -> Option<Answer> {
        let table = self.table();
        let (fetched_ms, samples) = table.answer(key, now_ms)?;
        let samples = match samples {
            Ok(samples) if samples.is_empty() => Err(EMPTY.to_owned()),
            samples => samples.map_err(str::to_owned),
        };
        Some(Answer { fetched_ms, samples })
    }

    /// The last answer if it is young enough, else a new one. Those who ask together share one request.
    pub(super) async fn current(&self, key: &MetricsKey, max_age_ms: i64, now_ms: i64) -> Answer {
        let young = || self.held(key, now_ms).filter(|answer| now_ms - answer.fetched_ms <= max_age_ms);
        if let Some(answer) = young() {
            return answer;
        }
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry(key.clone()).or_default().clone()
        };
        let _turn = turn.lock().await;
        if let Some(answer) = young() {
            return answer;
        }
        Box::pin(self.refresh(key, now_ms)).await;
        let gone = || Answer { fetched_ms: now_ms, samples: Err(EMPTY.to_owned()) };
        self.held(key, now_ms).unwrap_or_else(gone)
    }

    /// A new answer.
    pub(super) async fn refresh(&self, key: &MetricsKey, now_ms: i64) -> Listed {
        self.list_one(key, false, now_ms).await.0
    }

    /// Lists the pods behind a selector; gives the version of the list too, if it has one.
    async fn list_one(&self, key: &MetricsKey, in_parts: bool, now_ms: i64) -> (Listed, Option<String>) {
        let list = {
            let mut table = self.table();
            table.follow(key);
            table.begin()
        };
        let listed = self.api.list(Some(key), in_parts, |pod| self.table().put_for(key, pod)).await;
        let (version, failure) = match listed {
            Ok(version) => (version, None),
            Err(error) => (None, Some(unable(error))),
        };
        self.table().end_for(key, list, failure, now_ms);
        let held = self.held(key, now_ms);
        let pods =
            held.as_ref().and_then(|answer| answer.samples.as_ref().ok()).map_or(0, |samples| samples.len());
        (Listed { newest_ms: held.and_then(|answer| answer.newest_ms()), pods }, version)
    }

    /// Lists all pods: new answers to many questions by one. `None` where that is not allowed or cannot be read.
    async fn list_all(
        &self,
        pods: &PodStore,
        in_parts: bool,
        now_ms: i64,
    ) -> Option<(Listed, Option<String>)> {
        let list = self.table().begin_all();
        let mut found = Listed::default();
        let listed = self.api.list(None, in_parts, |pod| {
            found.pods += 1;
            let newest_ms = self.table().put(pod, |namespace, name| pods.labels(namespace, name));
            found.newest_ms = found.newest_ms.max(newest_ms);
        });
        match listed.await {
            Ok(version) => {
                self.table().end(list, None, now_ms);
                Some((found, version))
            }
            // One sample that makes no sense must not take those of everybody.
            Err(error) if error.code == 403 || error.is_unreadable() => {
                tracing::info!(%error, "metrics of all namespaces are of no use at once: asking for each selector");
                None
            }
            Err(error) => {
                self.table().end(list, Some(unable(error)), now_ms);
                Some((Listed::default(), None))
            }
        }
    }

    /// Lists the pods behind a selector, or (`None`) all pods, and gives what a watch can go on from, where one may be
    /// begun and is offered.
    pub(super) async fn list(
        &self,
        of: Option<&MetricsKey>,
        may_watch: bool,
        pods: &PodStore,
        now_ms: i64,
    ) -> Option<(Listed, Option<String>)> {
        let may_watch = may_watch && now_ms >= self.no_watch_until_ms.load(Ordering::Relaxed);
        let in_parts = may_watch && self.api.offers_watch().await;
        match of {
            Some(key) => Some(self.list_one(key, in_parts, now_ms).await),
            None => self.list_all(pods, in_parts, now_ms).await,
        }
    }

    /// Selectors behind which something changed since this was last asked.
    pub(super) fn news(&self) -> Vec<MetricsKey> {
        self.table().news()
    }

    /// Watches the same from a version on, until that ends.
    pub(super) async fn watch(
        &self,
        of: Option<&MetricsKey>,
        from: &str,
        pods: &PodStore,
        now_ms: impl Fn() -> i64,
        tell: &Tell,
    ) {
        let Err(error) = self.watched(of, from, pods, tell).await else { return };
        // A version that the server does not know any more, or another server: the next list gives a newer one.
        if error.code == 410 {
            return;
        }
        let is_refused = (400..500).contains(&error.code) && error.code != 429;
        let pause_ms = if is_refused { REFUSED_PAUSE_MS } else { FAILED_PAUSE_MS };
        tracing::info!(%error, "samples cannot be watched and are asked for instead; watching is tried again later");
        self.no_watch_until_ms.store(now_ms() + pause_ms, Ordering::Relaxed);
    }

    async fn watched(
        &self,
        of: Option<&MetricsKey>,
        from: &str,
        pods: &PodStore,
        tell: &Tell,
    ) -> Result<(), ApiError> {
        let mut stream = self.api.watch(of, from).await?;
        let _watching = Watching::begin(self, of);
        let (mut lines, mut tell_at) = (Lines::default(), None);
        loop {
            let now = Instant::now();
            let until = tell_at.map_or(now + SILENCE, |at: Instant| at.min(now + PAUSE));
            match timeout_at(until, stream.next()).await {
                Ok(bytes) => {
                    let Some(bytes) = bytes? else { return Ok(()) };
                    let mut ends = None;
                    lines.feed(&bytes, |line| {
                        ends = self.event(of, line, pods)?.or(ends.take());
                        Ok(())
                    })?;
                    tell_at = tell_at.or_else(|| Some(Instant::now() + GATHER));
                    if let Some(error) = ends {
                        return Err(error);
                    }
                }
                Err(_) if tell_at.is_none() => return Ok(()),
                Err(_) => tell_at = Some(now),
            }
            if tell_at.take_if(|at| *at <= Instant::now()).is_some() {
                // Nobody listens only at the end of the process.
                let _ = tell.send(News { listed: None, changed: self.news() }).await;
            }
        }
    }

    /// Takes in one event; gives the error that ends the watch.
    fn event(
        &self,
        of: Option<&MetricsKey>,
        line: &[u8],
        pods: &PodStore,
    ) -> Result<Option<ApiError>, Unreadable> {
        if line.is_empty() {
            return Ok(None);
        }
        match (Event::read(line)?, of) {
            (Event::Set(pod), None) => {
                self.table().put(&pod, |namespace, name| pods.labels(namespace, name));
            }
            (Event::Set(pod), Some(key)) => self.table().put_for(key, &pod),
            (Event::Gone(pod), None) => self.table().remove(pod.namespace(), pod.name()),
            (Event::Gone(pod), Some(key)) => self.table().remove_for(key, pod.name()),
            (Event::Bookmark, _) => {}
            (Event::Error(code, message), _) => return Ok(Some(ApiError { code, message })),
        }
        Ok(None)
    }

    /// Drops an answer that nobody needs any more.
    pub(super) fn forget(&self, key: &MetricsKey) {
        self.table().forget(key);
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// While it lives, what is watched is as of now.
struct Watching<'a> {
    answers: &'a Answers,
    of: Option<&'a MetricsKey>,
}

impl<'a> Watching<'a> {
    fn begin(answers: &'a Answers, of: Option<&'a MetricsKey>) -> Self {
        answers.table().watch(of, true);
        answers.watches.inc();
        Watching { answers, of }
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.answers.table().watch(self.of, false);
        self.answers.watches.dec();
    }
}
