//! The receiving half of HTTP/1.1, as far as scraping needs it: one answer at a time, from bytes as they come. Pure.
//!
//! Between two answers nothing is kept here, so that thousands of idle connections cost no buffers. Sizes are limited:
//! [`HEAD_LIMIT_BYTES`] for status line and headers, [`LINE_LIMIT_BYTES`] for the lines between chunks,
//! [`BODY_LIMIT_BYTES`](crate::answer::BODY_LIMIT_BYTES) for the body as sent, unless the caller has another limit.

use crate::answer::BODY_LIMIT_BYTES;

/// Most bytes of status line and headers.
pub const HEAD_LIMIT_BYTES: usize = 64 * 1024;
/// Most headers.
pub const HEADERS_LIMIT: usize = 100;
/// Most bytes of one line between chunks, and of all trailers together.
pub const LINE_LIMIT_BYTES: usize = 4096;

/// Why bytes are no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Http1Error {
    /// The body is over the limit.
    #[error("it is too large")]
    TooLarge,
    /// What is wrong.
    #[error("{0}")]
    Malformed(String),
}

fn malformed(reason: impl Into<String>) -> Http1Error {
    Http1Error::Malformed(reason.into())
}

/// Status line and headers, of which only these count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// HTTP status.
    pub status: u16,
    /// Whether the connection serves another request after the body.
    pub stays: bool,
    /// Where the body ends.
    pub body: Framing,
    headers: Vec<(String, String)>,
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    Close,
}

impl Head {
    /// Reads a head from the beginning of `bytes`; with it, how many bytes it takes. `None` while it is not complete.
    ///
    /// # Errors
    /// Bytes that begin no HTTP/1 answer; a head over the limits; contradicting lengths.
    pub fn read(bytes: &[u8]) -> Result<Option<(Head, usize)>, Http1Error> {
        let mut room = [httparse::EMPTY_HEADER; HEADERS_LIMIT];
        let mut response = httparse::Response::new(&mut room);
        match response.parse(bytes) {
            Err(error) => Err(malformed(format!("this is no HTTP/1.1 ({error})"))),
            Ok(httparse::Status::Partial) if bytes.len() > HEAD_LIMIT_BYTES => {
                Err(malformed(format!("more than {HEAD_LIMIT_BYTES} bytes of headers")))
            }
            Ok(httparse::Status::Partial) => Ok(None),
            Ok(httparse::Status::Complete(length)) => Ok(Some((Head::of(&response)?, length))),
        }
    }

    fn of(response: &httparse::Response<'_, '_>) -> Result<Head, Http1Error> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).trim().to_owned();
        let headers =
            response.headers.iter().map(|header| (header.name.to_ascii_lowercase(), text(header.value)));
        let status = response.code.unwrap_or_default();
        let mut head = Head { status, stays: false, body: Framing::Close, headers: headers.collect() };
        head.body = head.framing()?;
        let names = |token: &str| head.all("connection").any(|value| has_token(value, token));
        let by_version = if response.version == Some(0) { names("keep-alive") } else { !names("close") };
        head.stays = by_version && head.body != Framing::Close;
        Ok(head)
    }

    /// The first value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// An answer to GET: 1xx, 204 and 304 have no body.
    fn framing(&self) -> Result<Framing, Http1Error> {
        if matches!(self.status, 100..=199 | 204 | 304) {
            return Ok(Framing::Length(0));
        }
        if let Some(coding) = self.all("transfer-encoding").last() {
            return match coding.eq_ignore_ascii_case("chunked") {
                true => Ok(Framing::Chunked),
                false => Err(malformed(format!("unknown transfer encoding {coding:?}"))),
            };
        }
        let mut length = None;
        for text in self.all("content-length") {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let told: Option<u64> = text.parse().ok().filter(|_| digits);
            let told = told.ok_or_else(|| malformed(format!("content-length {text:?} is no length")))?;
            if length.is_some_and(|other| other != told) {
                return Err(malformed("two lengths of one body"));
            }
            length = Some(told);
        }
        Ok(length.map_or(Framing::Close, Framing::Length))
    }
}

fn has_token(list: &str, token: &str) -> bool {
    list.split(',').any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// A body that is being received.
#[derive(Debug)]
pub struct Body {
    state: State,
    bytes: Vec<u8>,
    limit_bytes: usize,
}

#[derive(Debug)]
enum State {
    Length(u64),
    Close,
    /// The line that begins a chunk, as far as it has come.
    ChunkSize(Vec<u8>),
    Chunk(u64),
    /// The line end behind a chunk.
    ChunkEnd(Vec<u8>),
    /// Trailers: the line, and how many bytes the lines before it had.
    Trailers(Vec<u8>, usize),
    Done,
}

impl Body {
    /// A body of which nothing has come yet, of [`BODY_LIMIT_BYTES`] at most.
    ///
    /// # Errors
    /// It is announced to be over the limit.
    pub fn new(framing: Framing) -> Result<Body, Http1Error> {
        Body::limited(framing, BODY_LIMIT_BYTES)
    }

    /// The same with another limit.
    ///
    /// # Errors
    /// It is announced to be over the limit.
    pub fn limited(framing: Framing, limit_bytes: usize) -> Result<Body, Http1Error> {
        let (state, expected) = match framing {
            Framing::Length(0) => (State::Done, 0),
            Framing::Length(length) if length > limit_bytes as u64 => return Err(Http1Error::TooLarge),
            Framing::Length(length) => (State::Length(length), length as usize),
            Framing::Chunked => (State::ChunkSize(Vec::new()), 0),
            Framing::Close => (State::Close, 0),
        };
        Ok(Body { state, bytes: Vec::with_capacity(expected.min(BODY_LIMIT_BYTES)), limit_bytes })
    }

    /// Whether it is complete.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes bytes as they come; says how many of them belong to this body.
    ///
    /// # Errors
    /// Broken chunks; a body over the limit.
    pub fn take(&mut self, input: &[u8]) -> Result<usize, Http1Error> {
        let mut rest = input;
        while !rest.is_empty() && !self.is_done() {
            rest = self.step(rest)?;
        }
        Ok(input.len() - rest.len())
    }

    /// The connection has ended; the body, if that is its end.
    pub fn at_close(self) -> Option<Vec<u8>> {
        matches!(self.state, State::Close | State::Done).then_some(self.bytes)
    }

    fn step<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], Http1Error> {
        match &mut self.state {
            State::Done => Ok(input),
            State::Close => {
                push(&mut self.bytes, input, self.limit_bytes)?;
                Ok(&[])
            }
            State::Length(left) | State::Chunk(left) => {
                let count = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let (data, rest) = input.split_at(count);
                push(&mut self.bytes, data, self.limit_bytes)?;
                *left -= count as u64;
                if *left == 0 {
                    self.state = match self.state {
                        State::Length(_) => State::Done,
                        _ => State::ChunkEnd(Vec::new()),
                    };
                }
                Ok(rest)
            }
            State::ChunkSize(line) => {
                let (done, rest) = take_line(line, input)?;
                if done {
                    self.state = match chunk_size(line, self.limit_bytes)? {
                        0 => State::Trailers(Vec::new(), 0),
                        size => State::Chunk(size),
                    };
                }
                Ok(rest)
            }
            State::ChunkEnd(line) => {
                let (done, rest) = take_line(line, input)?;
                // The carriage return may come with one read and its line feed with the next.
                if !(line.is_empty() || !done && line.as_slice() == b"\r") {
                    return Err(malformed("a chunk is longer than it said"));
                }
                if done {
                    self.state = State::ChunkSize(Vec::new());
                }
                Ok(rest)
            }
            State::Trailers(line, before) => {
                let (done, rest) = take_line(line, input)?;
                if *before + line.len() > LINE_LIMIT_BYTES {
                    return Err(malformed(format!("more than {LINE_LIMIT_BYTES} bytes of trailers")));
                }
                if done {
                    self.state = match line.len() {
                        0 => State::Done,
                        length => State::Trailers(Vec::new(), *before + length),
                    };
                }
                Ok(rest)
            }
        }
    }
}

fn push(bytes: &mut Vec<u8>, more: &[u8], limit_bytes: usize) -> Result<(), Http1Error> {
    if bytes.len() + more.len() > limit_bytes {
        return Err(Http1Error::TooLarge);
    }
    bytes.extend_from_slice(more);
    Ok(())
}

/// Moves bytes up to a line's end into `line`, without the line end; whether it was there, and what follows.
fn take_line<'a>(line: &mut Vec<u8>, input: &'a [u8]) -> Result<(bool, &'a [u8]), Http1Error> {
    let end = input.iter().position(|byte| *byte == b'\n');
    let (part, rest) = match end {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &[][..]),
    };
    if line.len() + part.len() > LINE_LIMIT_BYTES {
        return Err(malformed(format!("more than {LINE_LIMIT_BYTES} bytes between two chunks")));
    }
    line.extend_from_slice(part);
    if end.is_some() && line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok((end.is_some(), rest))
}

/// Hexadecimal, perhaps with an extension behind a semicolon.
fn chunk_size(line: &[u8], limit_bytes: usize) -> Result<u64, Http1Error> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let text =
        std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let size = text.and_then(|text| u64::from_str_radix(text, 16).ok());
    let size =
        size.ok_or_else(|| malformed(format!("{:?} is no size of a chunk", String::from_utf8_lossy(line))))?;
    if size > limit_bytes as u64 { Err(Http1Error::TooLarge) } else { Ok(size) }
}

#[cfg(test)]
mod tests;
