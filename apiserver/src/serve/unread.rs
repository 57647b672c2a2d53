//! Requests' bodies that nobody reads to their end.
//!
//! Who is answered while still sending gets a broken stream from HTTP/2 along with the answer, and some clients then show
//! only the former. So what a handler leaves of a body is taken and thrown away behind its back, up to a limit and for a
//! time; what is longer than that is broken off.

#![allow(clippy::disallowed_methods, reason = "an edge: reads on in a task of its own")]

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

/// Most bytes that are thrown away, upstream's for HTTP/1.1.
const LIMIT_BYTES: usize = 256 * 1024;
/// How long it may take.
const LIMIT_TIME: Duration = Duration::from_secs(5);

/// A body.
pub(super) struct Unread<B>(Option<B>)
where
    B: Body<Data = Bytes> + Send + Unpin + 'static;

impl<B> Unread<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    pub(super) fn new(body: B) -> Self {
        Self(Some(body))
    }
}

impl<B> Body for Unread<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.0 {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> Drop for Unread<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    fn drop(&mut self) {
        let Some(body) = self.0.take().filter(|body| !body.is_end_stream()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let _ = tokio::time::timeout(LIMIT_TIME, throw_away(body)).await;
        });
    }
}

async fn throw_away<B>(mut body: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut taken = 0;
    while taken <= LIMIT_BYTES {
        let Some(Ok(frame)) = body.frame().await else { return };
        taken += frame.data_ref().map_or(0, Bytes::len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;
    use http_body_util::StreamBody;
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const PIECE_BYTES: usize = 16 * 1024;

    /// A body of so many pieces, which counts those that were taken; and tells when it is gone.
    fn body(pieces: usize) -> (impl Body<Data = Bytes, Error = Infallible> + Send + Unpin, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = taken.clone();
        let stream = futures_util::stream::iter(0..pieces).map(move |_| {
            count.fetch_add(1, Ordering::AcqRel);
            Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; PIECE_BYTES])))
        });
        (StreamBody::new(stream), taken)
    }

    async fn gone(taken: &Arc<AtomicUsize>) -> usize {
        while Arc::strong_count(taken) > 1 {
            tokio::task::yield_now().await;
        }
        taken.load(Ordering::Acquire)
    }

    #[tokio::test]
    async fn what_is_left_is_taken_up_to_a_limit() {
        for (pieces, expected) in [(0, 0), (1, 1), (10, 10), (1000, LIMIT_BYTES / PIECE_BYTES + 1)] {
            let (body, taken) = body(pieces);
            drop(Unread::new(body));
            assert_eq!(gone(&taken).await, expected, "{pieces}");
        }
        let (body, taken) = body(3);
        let mut unread = Unread::new(body);
        assert!(unread.frame().await.is_some());
        drop(unread);
        assert_eq!(gone(&taken).await, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_longer_than_a_while() {
        let held = Arc::new(AtomicUsize::new(0));
        let holds = held.clone();
        let stream = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>()
            .inspect(move |_| assert_eq!(holds.load(Ordering::Acquire), 0));
        drop(Unread::new(StreamBody::new(stream)));
        tokio::time::sleep(LIMIT_TIME + Duration::from_secs(1)).await;
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
