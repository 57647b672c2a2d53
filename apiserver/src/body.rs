//! Bodies of requests (limited) and responses (boxed).

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody};

use crate::status::Status;

/// Any error a body can carry.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body of a response, and of a request handed on to another server.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Default limit of a request's body, upstream's `MaxRequestBodyBytes`.
pub const BODY_LIMIT_BYTES: usize = 3 * 1024 * 1024;

/// A body that is complete.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub fn empty() -> Body {
    full(Bytes::new())
}

/// A body written piece by piece, for watches and logs. The stream's end is the body's end; an error
/// breaks the connection (HTTP/1.1) or resets the stream (HTTP/2).
pub fn stream<S>(chunks: S) -> Body
where
    S: Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
{
    use futures_util::TryStreamExt;
    BodyExt::boxed_unsync(StreamBody::new(chunks.map_ok(Frame::data)))
}

/// A request's body that cannot grow past a limit.
pub struct LimitedBody {
    body: Body,
    limit_bytes: usize,
}

impl LimitedBody {
    /// Wraps a body; reading more than `limit_bytes` fails.
    pub fn new<B>(body: B, limit_bytes: usize) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self { body: Limited::new(body, limit_bytes).boxed_unsync(), limit_bytes }
    }

    /// A body from memory, for tests and for calls inside a process.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self::new(full(bytes), BODY_LIMIT_BYTES)
    }

    /// The whole body, at most `limit_bytes` (and never more than the server's own limit).
    ///
    /// # Errors
    /// 413 when it is larger, 400 when the client broke off.
    pub async fn collect(mut self, limit_bytes: usize) -> Result<Bytes, Status> {
        let limit_bytes = limit_bytes.min(self.limit_bytes);
        let mut collected = BytesMut::new();
        while let Some(frame) = self.body.frame().await {
            let Ok(data) = frame.map_err(|error| self.refusal(error.as_ref()))?.into_data() else { continue };
            if collected.len() + data.len() > limit_bytes {
                return Err(Status::too_large(limit_bytes));
            }
            collected.extend_from_slice(&data);
        }
        Ok(collected.freeze())
    }

    /// The server's own limit shows as an error of the body.
    fn refusal(&self, error: &(dyn std::error::Error + 'static)) -> Status {
        if error.is::<LengthLimitError>() {
            return Status::too_large(self.limit_bytes);
        }
        Status::bad_request(format!("the body could not be read: {error}"))
    }

    /// The body as it is, for handing it on to another server.
    pub fn into_body(self) -> Body {
        self.body
    }
}

impl std::fmt::Debug for LimitedBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LimitedBody").field("limit_bytes", &self.limit_bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_at_the_limit_passes_and_one_byte_more_is_413() {
        assert_eq!(LimitedBody::from_bytes("12345").collect(5).await.unwrap(), "12345");
        let refused = LimitedBody::from_bytes("123456").collect(5).await.unwrap_err();
        assert_eq!(refused.code(), 413);
        let by_server = LimitedBody::new(full("123456"), 5).collect(100).await.unwrap_err();
        assert_eq!(by_server.code(), 413);
    }
}
