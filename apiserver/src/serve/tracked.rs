//! Response bodies that know when they end: what a request holds (its place in the in-flight limit, its mark on the
//! connection) is released with the last byte, and watches end when the server stops.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::body::{Body, BoxError};

/// How busy a connection is.
#[derive(Debug)]
pub(super) struct Activity {
    open: AtomicUsize,
    last: std::sync::Mutex<Instant>,
    /// Set when the connection shall take no further requests.
    pub(super) close: CancellationToken,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            last: std::sync::Mutex::new(Instant::now()),
            close: CancellationToken::new(),
        })
    }

    /// Marks a request as open until the mark is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Mark {
        self.open.fetch_add(1, Ordering::AcqRel);
        Mark(self.clone())
    }

    fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
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

#[derive(Debug)]
pub(super) struct Mark(Arc<Activity>);

impl Drop for Mark {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a request holds until its answer is written.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) _mark: Mark,
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// A body with what it holds.
pub(super) struct Tracked {
    body: Body,
    _held: Held,
    ends: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Tracked {
    /// `ends`: when cancelled, the body ends as if complete. For watches.
    pub(super) fn new(body: Body, held: Held, ends: Option<CancellationToken>) -> Self {
        Self { body, _held: held, ends: ends.map(|token| Box::pin(token.cancelled_owned())) }
    }
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        match &mut self.ends {
            Some(ends) => ends.as_mut().poll(context).map(|()| None),
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
            let mark = activity.begin();
            tokio::time::sleep(Duration::from_secs(200)).await;
            drop(mark);
        };
        let ((), ()) = tokio::join!(activity.idle_for(LIMIT), busy);
        let waited = start.elapsed();
        assert!(waited >= Duration::from_secs(260) + LIMIT, "{waited:?}");
    }

    #[tokio::test]
    async fn a_watch_ends_without_an_error_when_told_to() {
        use http_body_util::BodyExt;
        let end = CancellationToken::new();
        let held = Held { _mark: Activity::new().begin(), permit: None };
        let body = crate::body::stream(futures_util::stream::pending());
        let tracked = Tracked::new(body, held, Some(end.clone()));
        end.cancel();
        assert_eq!(tracked.collect().await.unwrap().to_bytes(), "");
    }
}
