//! Watches: a response body that goes on, one JSON event per line.
//!
//! The body is pulled by the connection, so a slow client holds nothing but its position; once the memory of changes has
//! moved past it, it gets a final `ERROR` event with 410 and has to list again. A watch that would start outside that
//! memory gets the same as its only event: upstream answers so, and there are clients that list again for nothing else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flyball_apiserver::body::{BoxError, full, stream};
use flyball_apiserver::negotiation::{Encoding, View};
use flyball_apiserver::request::Response;
use flyball_apiserver::status::Status;
use flyball_apiserver::table::Partial;
use futures_util::stream::unfold;
use http::{HeaderValue, header};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::call::Call;
use super::options;
use super::output::Output;
use super::selectors::Selection;
use super::tables::Printed;
use crate::registry::{Registry, WatchEvent, WatchKind, WatchStream, clock};

/// How long a watch lasts when the client does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Pause between bookmarks, for clients that allow them.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);

/// The last bookmark comes this long before the watch ends, so that the next one can start from there; upstream's.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);

/// Marks the bookmark that ends the initial events of a watch-list.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Answers a watch request.
pub(super) fn watch(registry: &Registry, call: &Call) -> Result<Response, Status> {
    let output = Output::of(&call.responder, &call.query, call.served)?;
    if output.accepted.encoding != Encoding::Json {
        return Err(Status::not_acceptable("watches are served as application/json only"));
    }
    let body = match Feed::start(registry, call, output)? {
        Ok(feed) => stream(unfold(feed, |mut feed| async move {
            let line = feed.line().await?;
            Some((Ok::<_, BoxError>(line), feed))
        })),
        Err(outside) => full(error_line(&outside)),
    };
    let mut response = http::Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// What a watch asks for beyond its selectors.
struct Start {
    initial: bool,
    /// A bookmark marks the end of the initial events.
    mark_initial: bool,
    since: Option<u64>,
}

impl Start {
    fn of(call: &Call) -> Result<Self, Status> {
        options::check_watch(&call.query)?;
        let since = Some(options::version(&call.query)?).filter(|version| *version != 0);
        if call.query.has("sendInitialEvents") {
            let initial = call.query.flag("sendInitialEvents");
            let mark_initial = initial && call.query.flag("allowWatchBookmarks");
            return Ok(Self { initial, mark_initial, since: if initial { None } else { since } });
        }
        Ok(Self { initial: since.is_none(), mark_initial: false, since })
    }
}

struct Feed {
    watch: WatchStream,
    selection: Selection,
    output: Output,
    /// Objects to send before the changes.
    initial: VecDeque<Arc<Value>>,
    mark_initial: bool,
    bookmark_at: Option<Instant>,
    end_at: Instant,
    headers_sent: bool,
    over: bool,
}

impl Feed {
    /// The outer error refuses the request; the inner one says that the changes asked for are not remembered.
    fn start(registry: &Registry, call: &Call, output: Output) -> Result<Result<Self, Status>, Status> {
        let resource = call.served.resource;
        let selection = Selection::of(resource, &call.query)?;
        let start = Start::of(call)?;
        let (initial, watch) = if start.initial {
            let (listing, watch) = registry.list_and_watch(resource, call.scope());
            (listing.items, watch)
        } else {
            match registry.watch(resource, call.scope(), start.since) {
                Ok(watch) => (Vec::new(), watch),
                Err(outside) => return Ok(Err(outside)),
            }
        };
        let initial = initial.into_iter().filter(|object| selection.matches(object)).collect();
        let bookmarks = call.query.flag("allowWatchBookmarks");
        let timeout =
            call.query.first("timeoutSeconds").and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let now = Instant::now();
        let end_at = now + timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(DEFAULT_TIMEOUT);
        Ok(Ok(Self {
            watch,
            selection,
            output,
            initial,
            mark_initial: start.mark_initial,
            bookmark_at: bookmarks.then(|| next_bookmark(now, end_at)),
            end_at,
            headers_sent: false,
            over: false,
        }))
    }

    /// The next line; `None` ends the watch.
    async fn line(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let event = self.event().await?;
        match event {
            Ok(line) => Some(line),
            Err(status) => {
                self.over = true;
                Some(error_line(&status))
            }
        }
    }

    async fn event(&mut self) -> Option<Result<Bytes, Status>> {
        if let Some(object) = self.initial.pop_front() {
            return Some(self.encode("ADDED", &object));
        }
        if std::mem::take(&mut self.mark_initial) {
            return Some(Ok(self.bookmark(true)));
        }
        loop {
            let bookmark_at = self.bookmark_at.unwrap_or(self.end_at);
            let event = tokio::select! {
                biased;
                event = self.watch.next() => event?,
                () = sleep_until(self.end_at) => return None,
                () = sleep_until(bookmark_at) => {
                    self.bookmark_at = Some(next_bookmark(Instant::now(), self.end_at));
                    self.watch.catch_up();
                    return Some(Ok(self.bookmark(false)));
                }
            };
            match event {
                Err(status) => return Some(Err(status)),
                Ok(event) => {
                    if let Some((kind, object)) = select(&self.selection, &event) {
                        return Some(self.encode(kind, &object));
                    }
                }
            }
        }
    }

    fn encode(&mut self, kind: &str, stored: &Arc<Value>) -> Result<Bytes, Status> {
        let shown = self.output.shown(stored)?;
        match self.output.accepted.view {
            View::Table(version) => {
                let mut table = Printed::new(self.output.served.resource, clock::now_ms());
                table.row(stored, shown);
                if std::mem::replace(&mut self.headers_sent, true) {
                    table = table.without_headers();
                }
                let resource_version = stored["metadata"]["resourceVersion"].clone();
                let table = table.metadata("resourceVersion", resource_version);
                Ok(text(kind, &table.build(version, self.output.include)))
            }
            View::PartialObjectMetadata(version) | View::PartialObjectMetadataList(version) => {
                Ok(text(kind, &Partial::of(&shown, version)))
            }
            _ => Ok(text(kind, &*shown)),
        }
    }

    fn bookmark(&self, ends_initial: bool) -> Bytes {
        let mut metadata =
            json!({"resourceVersion": self.watch.position().to_string(), "creationTimestamp": null});
        if ends_initial {
            metadata["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        let served = self.output.served;
        let object = match self.output.accepted.view {
            View::Table(version) => {
                json!({"kind": "Table", "apiVersion": version.api_version(), "metadata": metadata,
                    "columnDefinitions": null, "rows": []})
            }
            View::PartialObjectMetadata(version) | View::PartialObjectMetadataList(version) => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": version.api_version(), "metadata": metadata})
            }
            _ => {
                json!({"kind": served.resource.kind, "apiVersion": served.api_version(), "metadata": metadata})
            }
        };
        text("BOOKMARK", &object)
    }
}

/// When a bookmark is due after `now`.
fn next_bookmark(now: Instant, end_at: Instant) -> Instant {
    let regular = now + BOOKMARK_INTERVAL;
    let last = end_at.checked_sub(BOOKMARK_BEFORE_END).filter(|last| *last > now);
    last.map_or(regular, |last| last.min(regular))
}

/// What a change means to someone who sees only what the selection matches.
fn select(selection: &Selection, event: &WatchEvent) -> Option<(&'static str, Arc<Value>)> {
    let now = event.kind != WatchKind::Deleted && selection.matches(&event.object);
    let before = event.previous.as_ref().is_some_and(|previous| selection.matches(previous));
    let kind = match (before, now) {
        (false, false) => return None,
        (false, true) => "ADDED",
        (true, true) => "MODIFIED",
        (true, false) => "DELETED",
    };
    Some((kind, event.object.clone()))
}

fn error_line(status: &Status) -> Bytes {
    text("ERROR", &serde_json::to_value(status).unwrap_or_default())
}

fn text<T: serde::Serialize>(kind: &str, object: &T) -> Bytes {
    #[derive(serde::Serialize)]
    struct Line<'a, T> {
        r#type: &'a str,
        object: &'a T,
    }
    let mut line = serde_json::to_vec(&Line { r#type: kind, object }).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookmarks_come_each_minute_and_before_the_end() {
        let now = Instant::now();
        let due = |timeout_s: u64| (next_bookmark(now, now + Duration::from_secs(timeout_s)) - now).as_secs();
        assert_eq!([due(600), due(61), due(5), due(2), due(1)], [60, 59, 3, 60, 60]);
    }
}
