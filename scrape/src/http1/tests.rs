use proptest::prelude::*;

use super::*;

fn head(text: &str) -> Result<Option<(Head, usize)>, Http1Error> {
    Head::read(text.as_bytes())
}

/// Feeds an answer in pieces of `size` bytes: the body, and how many bytes were left over; `None` when it is not complete.
fn receive(answer: &[u8], size: usize) -> Result<Option<(Vec<u8>, usize)>, Http1Error> {
    let (mut seen, mut pieces) = (Vec::new(), answer.chunks(size.max(1)));
    let (head, length) = loop {
        match Head::read(&seen)? {
            Some(found) => break found,
            None => match pieces.next() {
                Some(piece) => seen.extend_from_slice(piece),
                None => return Ok(None),
            },
        }
    };
    let mut body = Body::new(head.body)?;
    let mut left = seen.len() - length;
    left -= body.take(&seen[length..])?;
    for piece in pieces {
        left += piece.len() - body.take(piece)?;
    }
    Ok(body.at_close().map(|bytes| (bytes, left)))
}

#[test]
fn heads() {
    let ok = |text: &str| head(text).unwrap().unwrap().0;
    for (id, text, body, stays) in [
        ("length", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", Framing::Length(7), true),
        (
            "close",
            "HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 7\r\n\r\n",
            Framing::Length(7),
            false,
        ),
        ("chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n", Framing::Chunked, true),
        ("old", "HTTP/1.0 200 OK\r\ncontent-length: 7\r\n\r\n", Framing::Length(7), false),
        ("neither", "HTTP/1.1 200 OK\r\n\r\n", Framing::Close, false),
        ("no content", "HTTP/1.1 204 No Content\r\n\r\n", Framing::Length(0), true),
        (
            "same twice",
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ncontent-length: 7\r\n\r\n",
            Framing::Length(7),
            true,
        ),
    ] {
        assert_eq!((ok(text).body, ok(text).stays), (body, stays), "{id}");
    }
    assert_eq!(head("HTTP/1.1 200 OK\r\nx: y\r\n"), Ok(None));
    assert_eq!(ok("HTTP/1.1 200 OK\r\nX-Y:  z \r\n\r\n").header("x-y"), Some("z"));
}

#[test]
fn bad_heads() {
    for text in [
        "SSH-2.0-x\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
    ] {
        assert!(matches!(head(text), Err(Http1Error::Malformed(_))), "{text:?}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_LIMIT_BYTES));
    assert!(head(&endless).is_err());
}

#[test]
fn bodies_in_pieces_of_any_size() {
    let length = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    let chunked =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n02\r\nlo\r\n0\r\nt: u\r\n\r\n";
    let close = "HTTP/1.1 200 OK\r\n\r\nhello";
    for answer in [length, chunked, close] {
        for size in 1..answer.len() {
            assert_eq!(
                receive(answer.as_bytes(), size),
                Ok(Some((b"hello".to_vec(), 0))),
                "{size} {answer:?}"
            );
        }
        let cut = receive(&answer.as_bytes()[..answer.len() - 1], 100).unwrap();
        assert_eq!(cut.is_none(), answer != close, "{answer:?}");
    }
    assert_eq!(receive(format!("{length}xy").as_bytes(), 9), Ok(Some((b"hello".to_vec(), 2))), "left over");
}

#[test]
fn bad_bodies() {
    let chunks = |text: &str| {
        receive(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{text}").as_bytes(), 7)
    };
    for text in ["x\r\n", "-1\r\n", "\r\n", "1\r\nab\r\n", &"1".repeat(LINE_LIMIT_BYTES + 1)] {
        assert!(matches!(chunks(text), Err(Http1Error::Malformed(_))), "{text:?}");
    }
    let trailers = format!("0\r\n{}", "a: b\r\n".repeat(2000));
    assert!(matches!(chunks(&trailers), Err(Http1Error::Malformed(_))));
    assert_eq!(chunks("ffffffffff\r\n"), Err(Http1Error::TooLarge));
    assert!(matches!(Body::new(Framing::Length(1 << 40)), Err(Http1Error::TooLarge)));
}

proptest! {
    /// Whatever comes, nothing panics, and a limit holds.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600), size in 1usize..64) {
        let _ = receive(&bytes, size);
        let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        answer.extend_from_slice(&bytes);
        let _ = receive(&answer, size);
    }

    /// A chunked body is the same however it is cut and however it arrives.
    #[test]
    fn chunks_of_any_size(
        body in proptest::collection::vec(any::<u8>(), 0..400),
        chunk in 1usize..90,
        piece in 1usize..90,
    ) {
        let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for part in body.chunks(chunk) {
            answer.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            answer.extend_from_slice(part);
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"0\r\n\r\n");
        prop_assert_eq!(receive(&answer, piece), Ok(Some((body, 0))));
    }
}
