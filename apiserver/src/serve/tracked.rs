//! Response bodies that know when they end: what a request holds (its place in the in-flight limit, its mark on the
//! connection) is released with the last byte, and watches end when the server stops. A client that does not take its
//! answer loses the place earlier.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::body::{Body, BoxError};

/// How busy a connection is.
#[derive(Debug)]
pub(super) struct Activity {
    open: AtomicUsize,
    last: Mutex<Instant>,
    /// The open requests that have to end in time, by number.
    timed: Mutex<(u64, BTreeMap<u64, Timed>)>,
    /// A request with a time began.
    began: Notify,
    /// Set when the connection shall take no further requests.
    pub(super) close: CancellationToken,
}

/// A request that has to end in time.
#[derive(Debug)]
struct Timed {
    until: Instant,
    /// Its place in the in-flight limit.
    permit: Option<OwnedSemaphorePermit>,
    overdue: bool,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            last: Mutex::new(Instant::now()),
            timed: Mutex::default(),
            began: Notify::new(),
            close: CancellationToken::new(),
        })
    }

    /// Marks a request as open until the mark is dropped, which shall be before `until`; `None`: whenever it likes.
    pub(super) fn begin(self: &Arc<Self>, until: Option<Instant>) -> Mark {
        self.open.fetch_add(1, Ordering::AcqRel);
        let number = until.map(|until| {
            let mut timed = self.timed.lock().unwrap_or_else(PoisonError::into_inner);
            timed.0 += 1;
            let number = timed.0;
            timed.1.insert(number, Timed { until, permit: None, overdue: false });
            number
        });
        if number.is_some() {
            self.began.notify_one();
        }
        Mark { activity: self.clone(), number }
    }

    /// Returns when a request is overdue: its place goes to others. Whether nothing else goes on here.
    pub(super) async fn overdue(&self) -> bool {
        loop {
            let next = {
                let timed = self.timed.lock().unwrap_or_else(PoisonError::into_inner);
                timed.1.values().filter(|one| !one.overdue).map(|one| one.until).min()
            };
            let Some(next) = next else {
                self.began.notified().await;
                continue;
            };
            tokio::time::sleep_until(next).await;
            let mut timed = self.timed.lock().unwrap_or_else(PoisonError::into_inner);
            let mut found = false;
            for one in timed.1.values_mut().filter(|one| !one.overdue && one.until <= next) {
                (one.overdue, one.permit, found) = (true, None, true);
            }
            if found {
                let overdue = timed.1.values().filter(|one| one.overdue).count();
                return overdue == self.open.load(Ordering::Acquire);
            }
        }
    }

    fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when no request has been open for `limit`.
    pub(super) async fn idle_for(&self, limit: std::time::Duration) {
        loop {
            let since = self.last();
            let busy = self.open.load(Ordering::Acquire) > 0;
            let until = if busy { Instant::now() + limit } else { since + limit };
            tokio::time::sleep_until(until).await;
            if !busy && self.open.load(Ordering::Acquire) == 0 && self.last() == since {
                return;
            }
        }
    }
}

/// A request that is open; what it holds until its answer is written.
#[derive(Debug)]
pub(super) struct Mark {
    activity: Arc<Activity>,
    number: Option<u64>,
}

impl Mark {
    /// Holds a place in the in-flight limit, until the end or until it is overdue.
    pub(super) fn hold(&self, permit: OwnedSemaphorePermit) {
        let mut timed = self.activity.timed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = self.number.and_then(|number| timed.1.get_mut(&number)) {
            one.permit = Some(permit);
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.activity.timed.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&number);
        }
        *self.activity.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.activity.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Most bytes that are handed on at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// A body with what it holds.
pub(super) struct Tracked {
    body: Body,
    /// What of a large piece is still to be handed on: whoever writes takes no more than a client reads.
    rest: Bytes,
    _mark: Mark,
    sent_bytes: u64,
    /// Takes how many bytes were sent in the end.
    size: Option<Histogram>,
    ends: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Tracked {
    /// `ends`: when cancelled, the body ends as if complete. For watches.
    pub(super) fn new(
        body: Body,
        mark: Mark,
        size: Option<Histogram>,
        ends: Option<CancellationToken>,
    ) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            _mark: mark,
            sent_bytes: 0,
            size,
            ends: ends.map(|token| Box::pin(token.cancelled_owned())),
        }
    }
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.rest = data;
                        Some(Ok(self.piece()))
                    }
                    Err(other) => Some(Ok(other)),
                },
                end => end,
            });
        }
        match &mut self.ends {
            Some(ends) => ends.as_mut().poll(context).map(|()| None),
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

impl Tracked {
    fn piece(&mut self) -> Frame<Bytes> {
        let length = self.rest.len().min(PIECE_BYTES);
        self.sent_bytes += length as u64;
        Frame::data(self.rest.split_to(length))
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if let Some(size) = &self.size {
            size.observe(self.sent_bytes as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(90);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_only_after_its_last_request() {
        let activity = Activity::new();
        let start = Instant::now();
        let busy = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            let mark = activity.begin(None);
            tokio::time::sleep(Duration::from_secs(200)).await;
            drop(mark);
        };
        let ((), ()) = tokio::join!(activity.idle_for(LIMIT), busy);
        let waited = start.elapsed();
        assert!(waited >= Duration::from_secs(260) + LIMIT, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_overdue_request_loses_its_place() {
        let (activity, places) = (Activity::new(), Arc::new(tokio::sync::Semaphore::new(2)));
        let place = || places.clone().try_acquire_owned().unwrap();
        let after = |seconds| Some(Instant::now() + Duration::from_secs(seconds));
        let (slow, other) = (activity.begin(after(1)), activity.begin(after(5)));
        slow.hold(place());
        other.hold(place());
        assert!(!activity.overdue().await, "the other one goes on");
        assert_eq!(places.available_permits(), 1);
        assert!(activity.overdue().await, "both are stuck");
        assert_eq!(places.available_permits(), 2);
        drop((slow, other));
        drop(activity.begin(after(1)));
        let watch = activity.begin(None);
        let nothing = tokio::time::timeout(Duration::from_secs(100), activity.overdue()).await;
        assert!(nothing.is_err(), "a watch is never overdue, and what has ended neither");
        drop(watch);
    }

    #[tokio::test]
    async fn a_watch_ends_without_an_error_when_told_to() {
        use http_body_util::BodyExt;
        let end = CancellationToken::new();
        let body = crate::body::stream(futures_util::stream::pending());
        let tracked = Tracked::new(body, Activity::new().begin(None), None, Some(end.clone()));
        end.cancel();
        assert_eq!(tracked.collect().await.unwrap().to_bytes(), "");
    }
}
