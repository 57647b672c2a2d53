//! Chunks: some samples of one series as few bytes.
//!
//! Promise: every sample comes back bit for bit (staleness markers, other NaNs, infinities and -0 too), and foreign bytes give
//! [`Damaged`], never a panic or much memory. Two forms: [`xor`] grows sample by sample and is what the head appends to;
//! columns are made from all samples at once, by the encoding that is smallest for them. `docs/storage-format.md` gives the
//! bytes. Codecs know bytes, not files.

pub(crate) mod bits;
mod decimal;
mod residuals;
mod times;
mod values;
pub(crate) mod xor;

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::series::Point;
use bits::{Reader, put_varint};

/// Most samples of one chunk; what claims more is damaged.
pub const CHUNK_SAMPLES_MAX: usize = 4096;

/// First byte of a chunk.
const COLUMNS: u8 = 1;
const XOR: u8 = 2;

/// Bits per sample from which the XOR form may be the smaller one, so that it is tried only there.
const XOR_TRIED_FROM_BITS: usize = 40;

/// Bytes that are no chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a chunk of samples")]
pub struct Damaged;

/// Gives the record of times that a number stands for; see [`encode_sharing`].
pub type Records<'a> = dyn FnMut(u32) -> Option<Arc<[u8]>> + 'a;

/// The smallest form of the samples, which are in order of time, each time once, 1 to [`CHUNK_SAMPLES_MAX`] of them.
#[must_use]
pub fn encode(points: &[Point]) -> Vec<u8> {
    encode_sharing(points, |_| None)
}

/// As [`encode`]; a long record of times is handed to `share`, and if that has a number for it, the number stands in the
/// chunk instead. Who reads such a chunk needs the record ([`decode_sharing`]).
#[must_use]
pub fn encode_sharing(points: &[Point], share: impl FnOnce(&[u8]) -> Option<u32>) -> Vec<u8> {
    debug_assert!((1..=CHUNK_SAMPLES_MAX).contains(&points.len()));
    debug_assert!(points.windows(2).all(|pair| pair[0].timestamp_ms < pair[1].timestamp_ms));
    let mut bytes = Vec::with_capacity(32 + points.len());
    bytes.push(COLUMNS);
    put_varint(&mut bytes, points.len() as u64);
    times::write(&mut bytes, points, share);
    let columns = values::write(bytes, points);
    if columns.len() * 8 < points.len() * XOR_TRIED_FROM_BITS {
        return columns;
    }
    let bytes = encode_xor(points);
    if bytes.len() < columns.len() { bytes } else { columns }
}

/// The XOR form of the same samples, as Gorilla and Prometheus have it; for comparison.
#[must_use]
pub fn encode_xor(points: &[Point]) -> Vec<u8> {
    let mut xor = xor::XorChunk::new(points[0]);
    points[1..].iter().for_each(|&point| xor.push(point));
    let mut bytes = vec![XOR];
    bytes.extend_from_slice(&xor.to_bytes());
    bytes
}

/// Appends a chunk's samples to `points`, in order of time.
///
/// # Errors
/// Bytes that are no chunk; `points` may then have got some samples.
pub fn decode_into(bytes: &[u8], points: &mut Vec<Point>) -> Result<(), Damaged> {
    decode_range_into(bytes, &(i64::MIN..=i64::MAX), points)
}

/// Appends those of a chunk's samples that are in a range of time. What stands before and behind them costs less than they.
///
/// # Errors
/// As [`decode_into`]; damage outside of the range may go unnoticed.
pub(crate) fn decode_range_into(
    bytes: &[u8],
    range: &RangeInclusive<i64>,
    points: &mut Vec<Point>,
) -> Result<(), Damaged> {
    decode_sharing(bytes, range, &mut |_| None, points)
}

/// As [`decode_into`], for the samples in a range of a chunk that may name its times by a number.
///
/// # Errors
/// As [`decode_into`], and a number that stands for nothing; damage outside of the range may go unnoticed.
pub fn decode_sharing(
    bytes: &[u8],
    range: &RangeInclusive<i64>,
    records: &mut Records<'_>,
    points: &mut Vec<Point>,
) -> Result<(), Damaged> {
    let mut reader = Reader::new(bytes);
    let from = points.len();
    match reader.byte() {
        Some(XOR) => xor::decode_into(reader.rest(), points)?,
        Some(COLUMNS) => {
            let count = reader.small().ok_or(Damaged)? as usize;
            if !(1..=CHUNK_SAMPLES_MAX).contains(&count) {
                return Err(Damaged);
            }
            points.reserve(count);
            let skipped = times::read(&mut reader, count, range, records, points)?;
            if points.len() > from {
                values::read(&mut reader, &values::Part { count, skipped }, &mut points[from..])?;
            }
        }
        _ => return Err(Damaged),
    }
    keep_inside(points, from, range);
    Ok(())
}

/// Keeps of the points from a position on, which are in order, those in the range.
fn keep_inside(points: &mut Vec<Point>, from: usize, range: &RangeInclusive<i64>) {
    let fresh = &points[from..];
    let end = fresh.partition_point(|point| point.timestamp_ms <= *range.end());
    let start = fresh.partition_point(|point| point.timestamp_ms < *range.start());
    points.truncate(from + end);
    points.drain(from..(from + start).min(points.len()));
}

#[cfg(test)]
mod tests;
