//! The stream of one watch: rounds of looking, page by page, and only while the client reads.
//!
//! A round follows at once when a node's samples come in, unless the last one is only just over: so a change waits for nothing where
//! little happens, and where much does, many are told together. Objects that come, go or grow old bring no samples, so there is a round
//! each second in any case.
#![allow(clippy::disallowed_methods, reason = "an edge: waits between rounds")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flyball_apiserver::negotiation::{Encoding, View};
use flyball_apiserver::table::IncludeObject;
use flyball_apiserver::{BoxError, Response, Status, stream};
use http::{HeaderValue, StatusCode, header};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::event::EventForm;
use super::known::Change;
use super::{Known, Scope};
use crate::api::form::Form;
use crate::api::page::{Key, Listed, PAGE_OBJECTS, Selection};
use crate::options::WatchOptions;
use crate::server::MetricsServer;

/// Least pause between two rounds.
const PAUSE: Duration = Duration::from_millis(200);
/// A round that takes long is followed by a pause this many times as long.
const PAUSE_BY_ROUND: u32 = 20;
/// Longest pause without new samples.
const PAUSE_WITHOUT_SAMPLES: Duration = Duration::from_secs(1);
/// Watches at a time.
const WATCHES_LIMIT: usize = 200;
/// Objects that the clients of all watches have seen.
const OBJECTS_LIMIT: usize = 1_000_000;
/// When a client that is one too many may try again.
const RETRY_SECONDS: u32 = 10;

/// How much all watches of a server hold.
#[derive(Debug, Default)]
pub(crate) struct Load {
    watches: AtomicUsize,
    objects: AtomicUsize,
}

/// What one watch holds of it.
#[derive(Debug)]
struct Share {
    server: Arc<MetricsServer>,
    objects: usize,
}

impl Share {
    fn take(server: &Arc<MetricsServer>) -> Result<Share, Status> {
        let share = Share { server: server.clone(), objects: 0 };
        if share.load().watches.fetch_add(1, Ordering::AcqRel) < WATCHES_LIMIT {
            return Ok(share);
        }
        Err(Status::too_many_requests(
            format!("{WATCHES_LIMIT} watches are open, which is the most that this server holds"),
            RETRY_SECONDS,
        ))
    }

    fn load(&self) -> &Load {
        &self.server.watches
    }

    /// Takes note of how many objects the watch holds now; an error when all watches hold too many.
    fn holds(&mut self, objects: usize) -> Result<(), Status> {
        let before = std::mem::replace(&mut self.objects, objects);
        self.load().objects.fetch_add(objects, Ordering::AcqRel);
        let all = self.load().objects.fetch_sub(before, Ordering::AcqRel) - before;
        if all <= OBJECTS_LIMIT || objects <= before {
            return Ok(());
        }
        Err(Status::too_many_requests(
            format!("the watches of this server hold {OBJECTS_LIMIT} objects, which is the most it holds"),
            RETRY_SECONDS,
        ))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.load().watches.fetch_sub(1, Ordering::AcqRel);
        self.load().objects.fetch_sub(self.objects, Ordering::AcqRel);
    }
}

/// Answers a watch.
pub(crate) fn watch<T: Listed>(
    server: &Arc<MetricsServer>,
    form: Form,
    selection: Selection,
    scope: Scope,
    options: &WatchOptions,
) -> Result<Response, Status> {
    let now_ms = (server.clock)();
    let (version, known) = match &options.version {
        None => (0, Known::default()),
        Some(text) => begin(server, text, &scope, now_ms)?,
    };
    let include = match form.accepted.view {
        View::Table(_) => IncludeObject::of(&form.query)?,
        View::PartialObjectMetadataList(_) => {
            return Err(Status::not_acceptable(
                "a watch has single objects: ask for as=PartialObjectMetadata",
            ));
        }
        _ => IncludeObject::default(),
    };
    let lasts = options.timeout.unwrap_or_else(|| server.watch_time());
    let encoding = form.accepted.encoding;
    let watch = Watch::<T> {
        share: Share::take(server)?,
        form: EventForm { accepted: form.accepted, version: form.version, include, headers_written: false },
        selection,
        scope,
        known,
        version,
        held: None,
        samples: server.store.batches(),
        round: Round::Before { earliest: Instant::now(), latest: Instant::now() },
        ends: Instant::now() + lasts,
    };
    let events = futures_util::stream::unfold(Some(watch), async |watch| {
        let (bytes, watch) = watch?.next().await?;
        Some((Ok::<_, BoxError>(Bytes::from(bytes)), watch))
    });
    let mut response = http::Response::new(stream(events));
    *response.status_mut() = StatusCode::OK;
    let content_type = match encoding {
        Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        other => other.media_type(),
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

fn begin(server: &MetricsServer, text: &str, scope: &Scope, now_ms: i64) -> Result<(u64, Known), Status> {
    let state = text.parse().ok().and_then(|version| {
        let known = server.versions.find(version, scope, now_ms)?;
        Some((version, Known::clone(&known)))
    });
    state.ok_or_else(|| {
        Status::gone(format!(
            "resource version {text:?} names no state that this server has shown of these objects lately: list again"
        ))
    })
}

/// Where in its rounds a watch is.
#[derive(Debug)]
enum Round {
    /// The next one begins no sooner and no later than this: when new samples have come in.
    Before { earliest: Instant, latest: Instant },
    /// It goes on behind this object, and began then.
    At(Option<Key>, Instant),
}

struct Watch<T: Listed> {
    share: Share,
    form: EventForm,
    selection: Selection,
    scope: Scope,
    known: Known,
    /// What the client can come back with when it has seen everything so far.
    version: u64,
    /// The last change of the round so far: only with the last of a round the client has a new state.
    held: Option<Change<T>>,
    /// Tells when samples come in.
    samples: Receiver<u64>,
    round: Round,
    ends: Instant,
}

impl<T: Listed> Watch<T> {
    /// The next bytes; the watch too unless they end it.
    async fn next(mut self) -> Option<(Vec<u8>, Option<Self>)> {
        loop {
            if let Round::Before { earliest, latest } = self.round {
                sleep_until(earliest.min(self.ends)).await;
                // Whatever comes from here on is for the round after this one, or in both.
                let _ = timeout_at(latest.min(self.ends), self.samples.changed()).await;
                if Instant::now() >= self.ends {
                    self.keep();
                    return None;
                }
                self.round = Round::At(None, Instant::now());
            }
            let bytes = self.page();
            if let Err(status) = self.share.holds(self.known.len()) {
                return Some(([bytes, self.form.error(&status)].concat(), None));
            }
            if !bytes.is_empty() {
                return Some((bytes, Some(self)));
            }
            tokio::task::yield_now().await;
        }
    }

    /// One page of the round, as events.
    fn page(&mut self) -> Vec<u8> {
        let Round::At(after, began) = &mut self.round else { return Vec::new() };
        let (after, began) = (after.take(), *began);
        let server = self.share.server.clone();
        let now_ms = (server.clock)();
        let page = T::page(&server, &self.selection, after.as_ref(), PAGE_OBJECTS, now_ms);
        let mut bytes = Vec::new();
        for change in self.known.see(after.as_ref(), page.next.as_ref(), page.items) {
            if let Some(before) = self.held.replace(change) {
                bytes.extend(self.form.write(before, self.version, now_ms));
            }
        }
        if page.next.is_some() {
            self.round = Round::At(page.next, began);
            return bytes;
        }
        if let Some(last) = self.held.take() {
            self.version = server.versions.next();
            bytes.extend(self.form.write(last, self.version, now_ms));
        }
        let (now, pause) = (Instant::now(), PAUSE.max(began.elapsed() * PAUSE_BY_ROUND));
        self.round = Round::Before { earliest: now + pause, latest: now + pause.max(PAUSE_WITHOUT_SAMPLES) };
        bytes
    }

    /// Keeps the state that the client has for its return.
    fn keep(&mut self) {
        if self.version == 0 || !matches!(self.round, Round::Before { .. }) {
            return;
        }
        let server = &self.share.server;
        let known = Arc::new(std::mem::take(&mut self.known));
        server.versions.keep(self.version, self.scope.clone(), known, (server.clock)());
    }
}

impl<T: Listed> Drop for Watch<T> {
    /// A client that goes away in the middle may come back too.
    fn drop(&mut self) {
        if self.known.len() > 0 {
            self.keep();
        }
    }
}
