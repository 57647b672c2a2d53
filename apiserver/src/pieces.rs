//! Bodies that are made while they are sent, so that a list of any length takes the memory of one piece.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};

use crate::body::{self, Body};
use crate::encode::GZIP_THRESHOLD_BYTES;
use crate::negotiation::Accepted;
use crate::request::Response;

/// Most pieces that are made before the answer begins; the rest is made in turn with other work.
const FIRST_PIECES: usize = 32;

/// A body, piece by piece. A piece is some tens of kilobytes and takes well below a
/// millisecond to make, for it is made on the thread that serves.
pub trait Pieces: Send + 'static {
    /// Appends the next piece, which may be empty; whether more is to come.
    fn next(&mut self, out: &mut Vec<u8>) -> bool;
}

impl Accepted {
    /// The response with this body. Up to upstream's threshold for compression it is made at once and sent whole, unless it
    /// takes very many pieces.
    pub fn write_pieces(&self, code: StatusCode, mut pieces: impl Pieces) -> Response {
        let mut first = Vec::new();
        let mut more = true;
        for _ in 0..FIRST_PIECES {
            if !more || first.len() > GZIP_THRESHOLD_BYTES {
                break;
            }
            more = pieces.next(&mut first);
        }
        if !more {
            return self.write_bytes(code, first);
        }
        let mut response = http::Response::new(body::empty());
        *response.status_mut() = code;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.encoding.media_type()));
        if self.gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        *response.body_mut() = streamed(first, pieces, self.gzip);
        response
    }
}

/// The rest of a body after its first piece, sent while it is made; packed or not.
pub fn streamed(first: Vec<u8>, pieces: impl Pieces, gzip: bool) -> Body {
    let sending = Sending { pieces, first: Some(first), packer: gzip.then(packer) };
    body::stream(stream::unfold(Some(sending), async |sending| {
        let mut sending = sending?;
        loop {
            let (bytes, more) = match sending.step() {
                Ok(step) => step,
                Err(error) => return Some((Err(error.into()), None)),
            };
            if !bytes.is_empty() || !more {
                return Some((Ok(Bytes::from(bytes)), more.then_some(sending)));
            }
            // A long count makes no bytes; others must get their turn meanwhile.
            tokio::task::yield_now().await;
        }
    }))
}

struct Sending<P> {
    pieces: P,
    first: Option<Vec<u8>>,
    packer: Option<GzEncoder<Vec<u8>>>,
}

/// Level 1, as upstream.
fn packer() -> GzEncoder<Vec<u8>> {
    GzEncoder::new(Vec::new(), Compression::new(1))
}

impl<P: Pieces> Sending<P> {
    /// The next bytes to send, and whether more is to come.
    fn step(&mut self) -> std::io::Result<(Vec<u8>, bool)> {
        let (piece, more) = match self.first.take() {
            Some(first) => (first, true),
            None => {
                let mut piece = Vec::new();
                let more = self.pieces.next(&mut piece);
                (piece, more)
            }
        };
        let Some(packer) = &mut self.packer else { return Ok((piece, more)) };
        packer.write_all(&piece)?;
        if !more {
            packer.try_finish()?;
        }
        Ok((std::mem::take(packer.get_mut()), more))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use http_body_util::BodyExt as _;

    use super::*;
    use crate::negotiation::{Encoding, View};

    /// So many pieces of 50,000 bytes, each after an empty one.
    struct Counted(usize, bool);

    impl Pieces for Counted {
        fn next(&mut self, out: &mut Vec<u8>) -> bool {
            self.1 = !self.1;
            if !self.1 {
                out.extend(std::iter::repeat_n(b'a' + (self.0 % 26) as u8, 50_000));
                self.0 -= 1;
            }
            self.0 > 0
        }
    }

    async fn body(pieces: usize, gzip: bool) -> (bool, Vec<u8>) {
        let accepted = Accepted { encoding: Encoding::Json, view: View::Object, pretty: false, gzip };
        let response = accepted.write_pieces(StatusCode::OK, Counted(pieces, false));
        let packed = response.headers().contains_key(header::CONTENT_ENCODING);
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        if !packed {
            return (packed, bytes.to_vec());
        }
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&*bytes).read_to_end(&mut text).unwrap();
        (packed, text)
    }

    #[tokio::test]
    async fn short_and_long_bodies_arrive_whole() {
        for pieces in [1, 2, 3, 9] {
            let expected: Vec<u8> =
                (1..=pieces).rev().flat_map(|n| std::iter::repeat_n(b'a' + n as u8, 50_000)).collect();
            assert!(body(pieces, false).await == (false, expected.clone()), "{pieces}");
            assert!(body(pieces, true).await == (pieces > 2, expected), "{pieces}, packed");
        }
    }
}
