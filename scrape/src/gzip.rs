//! Answers packed by gzip (RFC 1952), unpacked at once. Pure.
//!
//! The library's reader makes tables and window anew for each answer, and copies what it reads and writes; here they are
//! made once for each thread, and unpacking goes from the whole body to the whole text.

use std::cell::RefCell;

use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::spare;

/// Magic number, and deflate, the one method.
const MAGIC: &[u8] = &[0x1f, 0x8b, 8];
const HEAD_BYTES: usize = 10;
/// Checksum and length of the text.
const TAIL_BYTES: usize = 8;
const HAS_CHECKSUM: u8 = 2;
const HAS_EXTRA: u8 = 4;
const HAS_NAME: u8 = 8;
const HAS_COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;
/// How much longer an answer mostly becomes when it is unpacked.
const USUAL_RATIO: usize = 12;
/// Room for a text however short it is, and at most what is asked for before it is needed.
const ROOM_BYTES: std::ops::RangeInclusive<usize> = 1024..=1024 * 1024;

/// Why a body cannot be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GzipError {
    /// The text is over the limit.
    #[error("it is too large")]
    TooLarge,
    /// What is wrong.
    #[error("broken gzip: {0}")]
    Broken(String),
}

fn broken(reason: impl std::fmt::Display) -> GzipError {
    GzipError::Broken(reason.to_string())
}

const CUT_OFF: &str = "it ends too early";

thread_local! {
    static UNPACKER: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// The text of all members, one after the other; nothing else may stand behind or between them.
pub(crate) fn unpack(body: &[u8], limit_bytes: usize) -> Result<Vec<u8>, GzipError> {
    let mut text = spare::take();
    let expected = body.len().saturating_mul(USUAL_RATIO).clamp(*ROOM_BYTES.start(), *ROOM_BYTES.end());
    text.reserve(expected.min(limit_bytes.saturating_add(1)));
    let mut rest = body;
    loop {
        let packed = rest.get(head_bytes(rest)?..).unwrap_or_default();
        let start = text.len();
        let used = UNPACKER.with_borrow_mut(|unpacker| inflate(unpacker, packed, &mut text, limit_bytes))?;
        let tail = packed.get(used..used + TAIL_BYTES).ok_or_else(|| broken(CUT_OFF))?;
        let mut checksum = Crc::new();
        checksum.update(&text[start..]);
        if tail != [checksum.sum().to_le_bytes(), checksum.amount().to_le_bytes()].concat() {
            return Err(broken("its checksum does not fit"));
        }
        rest = &packed[used + TAIL_BYTES..];
        if rest.is_empty() {
            return Ok(text);
        }
    }
}

/// Appends the text of one deflate stream; how many bytes it took.
fn inflate(
    unpacker: &mut Decompress,
    packed: &[u8],
    text: &mut Vec<u8>,
    limit_bytes: usize,
) -> Result<usize, GzipError> {
    unpacker.reset(false);
    loop {
        let rest = packed.get(unpacker.total_in() as usize..).unwrap_or_default();
        let status = unpacker.decompress_vec(rest, text, FlushDecompress::Finish).map_err(broken)?;
        if text.len() > limit_bytes {
            return Err(GzipError::TooLarge);
        }
        if status == Status::StreamEnd {
            return Ok(unpacker.total_in() as usize);
        }
        if text.len() < text.capacity() {
            return Err(broken(CUT_OFF));
        }
        // Up to one byte more than may be, which shows what is too large.
        let more = text.len().max(*ROOM_BYTES.start()).min(limit_bytes.saturating_add(1) - text.len());
        text.reserve_exact(more);
    }
}

/// Length of what stands before the deflate stream.
fn head_bytes(body: &[u8]) -> Result<usize, GzipError> {
    let flags = match body.get(..HEAD_BYTES) {
        Some(head) if head.starts_with(MAGIC) && head[MAGIC.len()] & RESERVED == 0 => head[MAGIC.len()],
        Some(_) => return Err(broken("it begins otherwise")),
        None => return Err(broken(CUT_OFF)),
    };
    let mut length = HEAD_BYTES;
    if flags & HAS_EXTRA != 0 {
        let extra = body.get(length..length + 2).ok_or_else(|| broken(CUT_OFF))?;
        length += 2 + usize::from(u16::from_le_bytes([extra[0], extra[1]]));
    }
    for text in [HAS_NAME, HAS_COMMENT] {
        if flags & text != 0 {
            let rest = body.get(length..).unwrap_or_default();
            length += memchr::memchr(0, rest).ok_or_else(|| broken(CUT_OFF))? + 1;
        }
    }
    if flags & HAS_CHECKSUM != 0 {
        length += 2;
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, GzBuilder};
    use proptest::prelude::*;

    use super::*;

    fn pack(builder: GzBuilder, text: &[u8]) -> Vec<u8> {
        let mut encoder = builder.write(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_kind_of_head() {
        let text = b"container_cpu_usage_seconds_total 1\n".repeat(100);
        for builder in [
            GzBuilder::new(),
            GzBuilder::new().filename("name"),
            GzBuilder::new().extra([1, 2, 3]).filename("name").comment("comment").mtime(7),
        ] {
            let packed = pack(builder, &text);
            assert_eq!(unpack(&packed, text.len()).unwrap(), text);
            for length in 0..packed.len() {
                assert!(unpack(&packed[..length], text.len()).is_err(), "{length}");
            }
            let longer = [&packed[..], b"something else"].concat();
            assert_eq!(unpack(&longer, text.len()), Err(broken("it begins otherwise")));
            let twice = [&packed[..], &packed].concat();
            assert_eq!(unpack(&twice, 2 * text.len()).unwrap(), text.repeat(2));
            assert_eq!(unpack(&twice, 2 * text.len() - 1), Err(GzipError::TooLarge));
        }
        let mut with_checksum = pack(GzBuilder::new(), &text);
        with_checksum[3] |= HAS_CHECKSUM;
        with_checksum.splice(HEAD_BYTES..HEAD_BYTES, [0, 0]);
        assert_eq!(unpack(&with_checksum, text.len()).unwrap(), text);
    }

    #[test]
    fn what_is_broken_is_told() {
        let packed = pack(GzBuilder::new(), b"a 1\n");
        let changed = |at: usize| {
            let mut bytes = packed.clone();
            bytes[at] ^= 0x80;
            unpack(&bytes, 100).unwrap_err().to_string()
        };
        assert_eq!(changed(0), "broken gzip: it begins otherwise");
        assert_eq!(changed(3), "broken gzip: it begins otherwise");
        assert_eq!(changed(packed.len() - 1), "broken gzip: its checksum does not fit");
        assert_eq!(changed(packed.len() - 8), "broken gzip: its checksum does not fit");
        assert_eq!(unpack(&packed, 3), Err(GzipError::TooLarge));
        assert_eq!(unpack(&[], 3).unwrap_err().to_string(), "broken gzip: it ends too early");
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out(length in 0_usize..200_000, seed: u8, limit in 0_usize..300_000) {
            let text: Vec<u8> = (0..length).map(|at| (at % 251) as u8 ^ seed.wrapping_mul((at / 1000) as u8)).collect();
            let packed = pack(GzBuilder::new(), &text);
            let expected = if length > limit { Err(GzipError::TooLarge) } else { Ok(text) };
            prop_assert_eq!(unpack(&packed, limit), expected);
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = unpack(&bytes, 1000);
            let _ = unpack(&[MAGIC, &bytes].concat(), 1000);
        }
    }
}
