//! Sealed blocks: the samples of a stretch of time, written once, in order, and never changed.
//!
//! Pure: a block is a list of keys and values; where they are kept is the disk's affair ([`crate::disk`]). Series are
//! numbered in the order of metric name, then labels, so that a query over one metric reads few values. Every value carries a
//! checksum over its key and itself. `docs/storage-format.md` gives the bytes.

pub(crate) mod builder;
pub(crate) mod meta;
pub(crate) mod reader;
mod times;

use std::cmp::Ordering;

use crate::series::METRIC_NAME;

/// Kinds of keys, in the order in which they are written.
pub(crate) const KIND_CHUNKS: u8 = b'C';
pub(crate) const KIND_DIRECTORY: u8 = b'D';
pub(crate) const KIND_META: u8 = b'M';
pub(crate) const KIND_POSTINGS: u8 = b'P';
pub(crate) const KIND_SERIES: u8 = b'S';
pub(crate) const KIND_TIMES: u8 = b'T';
pub(crate) const KIND_SYMBOLS: u8 = b'Y';

/// Size up to which values are filled. With it, what sled adds is least: larger ones leak, smaller ones cost more.
pub(crate) const VALUE_BYTES: usize = 120 * 1024;

/// Key of a value that begins with this number.
pub(crate) fn key(kind: u8, number: u32) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Key of chunks that begin with chunk `chunk` of series `series`.
pub(crate) fn chunks_key(series: u32, chunk: u32) -> Vec<u8> {
    let mut key = key(KIND_CHUNKS, series);
    key.extend_from_slice(&chunk.to_be_bytes());
    key
}

/// The number that a key ends its first five bytes with.
pub(crate) fn number_of(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(1..5)?.try_into().ok()?))
}

/// The order of series within a block: by metric name, then by labels.
pub(crate) fn compare<'a, L>(left: L, right: L) -> Ordering
where
    L: Iterator<Item = (&'a str, &'a str)> + Clone,
{
    let name =
        |labels: L| labels.into_iter().find(|&(name, _)| name == METRIC_NAME).map_or("", |(_, value)| value);
    name(left.clone()).cmp(name(right.clone())).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests;
