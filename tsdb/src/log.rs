//! The log: what stands in the hot database, as keys and values. Pure: it knows bytes, not sled.
//!
//! Promise: every value stays below [`VALUE_BYTES_MAX`] (larger ones would get files of their own, which `kill -9` orphans), is
//! whole in itself, and carries its own checksum, so that a damaged one costs what it holds and nothing else.
//! `docs/storage-format.md` gives the bytes.

use std::collections::HashMap;

use crate::block::meta::BlockMeta;
use crate::chunk::bits::{Reader, put_counted, put_signed, put_varint, unzigzag, zigzag};
use crate::frame;
use crate::head::series::ClosedChunk;
use crate::series::Point;

/// Largest value of the hot database.
pub(crate) const VALUE_BYTES_MAX: usize = 6 * 1024;

/// Body from which a piece is closed; what is added last may go beyond it, up to [`VALUE_BYTES_MAX`].
const PIECE_BYTES: usize = 4 * 1024;

/// Most bytes of text that the labels of one series may have: with their lengths and numbers they have to fit one value.
pub const LABELS_BYTES_MAX: usize = 3 * 1024;

/// Most bytes of a source's name, for the same reason.
pub const SOURCE_BYTES_MAX: usize = 512;

/// Kinds of keys.
pub(crate) const KIND_SAMPLES: u8 = 1;
pub(crate) const KIND_SERIES: u8 = 2;
pub(crate) const KIND_CHUNKS: u8 = 3;
pub(crate) const KIND_BLOCK: u8 = 4;
pub(crate) const KIND_CHECKPOINT: u8 = 5;
pub(crate) const KIND_VOID: u8 = 6;
pub(crate) const KIND_LAST: u8 = 7;

/// One change of the hot database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Write {
    Put(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
}

/// Where a piece of the log belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PieceKey {
    pub(crate) partition: u32,
    pub(crate) sequence: u64,
    pub(crate) piece: u32,
}

impl PieceKey {
    pub(crate) fn to_bytes(self, kind: u8) -> Vec<u8> {
        let mut key = vec![kind];
        key.extend_from_slice(&self.partition.to_be_bytes());
        key.extend_from_slice(&self.sequence.to_be_bytes());
        key.extend_from_slice(&self.piece.to_be_bytes());
        key
    }

    /// Reads a key after its kind.
    pub(crate) fn read(key: &[u8]) -> Option<PieceKey> {
        let rest: &[u8; 16] = key.get(1..)?.try_into().ok()?;
        let number =
            |from: usize| u32::from_be_bytes([rest[from], rest[from + 1], rest[from + 2], rest[from + 3]]);
        let sequence = (u64::from(number(4)) << 32) | u64::from(number(8));
        Some(PieceKey { partition: number(0), sequence, piece: number(12) })
    }
}

/// What the keys of all pieces of one kind and partition begin with.
pub(crate) fn partition_prefix(kind: u8, partition: u32) -> Vec<u8> {
    let mut prefix = vec![kind];
    prefix.extend_from_slice(&partition.to_be_bytes());
    prefix
}

/// Cuts what one flush writes of one kind and partition into pieces.
struct Pieces<'a> {
    kind: u8,
    key: PieceKey,
    writes: &'a mut Vec<Write>,
}

impl Pieces<'_> {
    fn push(&mut self, body: &[u8]) {
        debug_assert!(body.len() + frame::HEADER_BYTES <= VALUE_BYTES_MAX, "{} bytes", body.len());
        let key = self.key.to_bytes(self.kind);
        let value = frame::close(&key, body);
        self.writes.push(Write::Put(key, value));
        self.key.piece += 1;
    }
}

/// A sample of a series of the head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SlotSample {
    pub(crate) slot: u32,
    pub(crate) point: Point,
}

/// Largest integer (doubled twice for sign and mark) that is written as such.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// Appends samples of one partition as pieces.
pub(crate) fn write_samples(
    partition: u32,
    sequence: u64,
    samples: impl Iterator<Item = SlotSample>,
    writes: &mut Vec<Write>,
) {
    let mut pieces = Pieces { kind: KIND_SAMPLES, key: PieceKey { partition, sequence, piece: 0 }, writes };
    let mut body = Vec::with_capacity(VALUE_BYTES_MAX);
    let (mut slot, mut time_ms) = (0u32, 0i64);
    for sample in samples {
        let step = zigzag(i64::from(sample.slot) - i64::from(slot)) << 1;
        let elapsed_ms = sample.point.timestamp_ms.wrapping_sub(time_ms);
        put_varint(&mut body, step | u64::from(elapsed_ms != 0));
        if elapsed_ms != 0 {
            put_signed(&mut body, elapsed_ms);
        }
        put_value(&mut body, sample.point.value);
        (slot, time_ms) = (sample.slot, sample.point.timestamp_ms);
        if body.len() >= PIECE_BYTES {
            pieces.push(&body);
            body.clear();
            (slot, time_ms) = (0, 0);
        }
    }
    if !body.is_empty() {
        pieces.push(&body);
    }
}

/// A whole number as a doubled signed varint, anything else as a 1 and its bits.
fn put_value(body: &mut Vec<u8>, value: f64) {
    let whole = value as i64;
    if value.abs() < INTEGER_MAX && (whole as f64).to_bits() == value.to_bits() {
        put_varint(body, zigzag(whole) << 1);
    } else {
        body.push(1);
        body.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

/// Calls `visit` with each sample of a piece; `None` when the body is no such piece.
pub(crate) fn read_samples(body: &[u8], mut visit: impl FnMut(SlotSample)) -> Option<()> {
    let mut reader = Reader::new(body);
    let (mut slot, mut timestamp_ms) = (0i64, 0i64);
    while !reader.is_empty() {
        let step = reader.varint()?;
        slot = slot.checked_add(unzigzag(step >> 1))?;
        if step & 1 == 1 {
            timestamp_ms = timestamp_ms.wrapping_add(reader.signed()?);
        }
        let value = match reader.varint()? {
            1 => f64::from_bits(reader.word()?),
            whole if whole & 1 == 0 => unzigzag(whole >> 1) as f64,
            _ => return None,
        };
        visit(SlotSample { slot: u32::try_from(slot).ok()?, point: Point { timestamp_ms, value } });
    }
    Some(())
}

/// Gathers the definitions of one piece: texts once, then series as numbers of texts.
#[derive(Default)]
struct Definitions<'a> {
    numbers: HashMap<&'a str, u32>,
    texts: Vec<u8>,
    series: Vec<u8>,
    series_count: u64,
}

impl<'a> Definitions<'a> {
    fn number(&mut self, text: &'a str) -> u64 {
        let next = self.numbers.len() as u32;
        let texts = &mut self.texts;
        let number = *self.numbers.entry(text).or_insert_with(|| {
            put_counted(texts, text.as_bytes());
            next
        });
        u64::from(number)
    }

    fn push(&mut self, slot: u32, source: &'a str, labels: &[(&'a str, &'a str)]) {
        let source = self.number(source);
        let pairs: Vec<u64> =
            labels.iter().flat_map(|&(name, value)| [name, value]).map(|text| self.number(text)).collect();
        put_varint(&mut self.series, u64::from(slot));
        put_varint(&mut self.series, source);
        put_varint(&mut self.series, pairs.len() as u64 / 2);
        pairs.into_iter().for_each(|number| put_varint(&mut self.series, number));
        self.series_count += 1;
    }

    fn bytes(&self) -> usize {
        self.texts.len() + self.series.len()
    }

    fn take(&mut self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.bytes() + 8);
        put_varint(&mut body, self.numbers.len() as u64);
        body.append(&mut self.texts);
        put_varint(&mut body, self.series_count);
        body.append(&mut self.series);
        self.numbers.clear();
        self.series_count = 0;
        body
    }
}

/// One series as the log knows it.
pub(crate) struct Definition<'a, L> {
    pub(crate) slot: u32,
    pub(crate) source: &'a str,
    pub(crate) labels: L,
}

/// Appends definitions of series of one partition as pieces.
pub(crate) fn write_series<'a, L: Iterator<Item = (&'a str, &'a str)>>(
    partition: u32,
    sequence: u64,
    series: impl Iterator<Item = Definition<'a, L>>,
    writes: &mut Vec<Write>,
) {
    let mut pieces = Pieces { kind: KIND_SERIES, key: PieceKey { partition, sequence, piece: 0 }, writes };
    let mut gathered = Definitions::default();
    for definition in series {
        let labels: Vec<(&str, &str)> = definition.labels.collect();
        let text_bytes: usize = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
        if gathered.series_count > 0 && gathered.bytes() + text_bytes > PIECE_BYTES {
            pieces.push(&gathered.take());
        }
        gathered.push(definition.slot, definition.source, &labels);
    }
    if gathered.series_count > 0 {
        pieces.push(&gathered.take());
    }
}

/// Slot, number of the source's text, numbers of the labels' texts.
pub(crate) type DefinedSeries = (u32, u32, Vec<(u32, u32)>);

/// A piece of definitions, read.
pub(crate) struct SeriesPiece<'a> {
    pub(crate) texts: Vec<&'a str>,
    pub(crate) series: Vec<DefinedSeries>,
}

/// Reads a piece of definitions; every number is one of a text.
pub(crate) fn read_series(body: &[u8]) -> Option<SeriesPiece<'_>> {
    let mut reader = Reader::new(body);
    let text_count = reader.small()? as usize;
    let mut texts = Vec::with_capacity(text_count.min(body.len()));
    for _ in 0..text_count {
        texts.push(reader.text()?);
    }
    let series_count = reader.small()? as usize;
    let mut series = Vec::with_capacity(series_count.min(body.len()));
    let number = |reader: &mut Reader<'_>| reader.small().filter(|&number| (number as usize) < text_count);
    for _ in 0..series_count {
        let slot = reader.small()?;
        let source = number(&mut reader)?;
        let pair_count = reader.small()? as usize;
        let mut pairs = Vec::with_capacity(pair_count.min(body.len()));
        for _ in 0..pair_count {
            pairs.push((number(&mut reader)?, number(&mut reader)?));
        }
        series.push((slot, source, pairs));
    }
    reader.is_empty().then_some(SeriesPiece { texts, series })
}

/// Cuts chunks of one partition into pieces.
pub(crate) struct ChunkPieces {
    key: PieceKey,
    body: Vec<u8>,
}

impl ChunkPieces {
    pub(crate) fn new(partition: u32, sequence: u64) -> ChunkPieces {
        ChunkPieces { key: PieceKey { partition, sequence, piece: 0 }, body: Vec::new() }
    }

    /// Appends a chunk; what is complete goes to `writes`.
    pub(crate) fn push(&mut self, slot: u32, chunk: &ClosedChunk, writes: &mut Vec<Write>) {
        if self.body.len() + chunk.bytes.len() > PIECE_BYTES {
            self.finish(writes);
        }
        put_varint(&mut self.body, u64::from(slot));
        put_signed(&mut self.body, chunk.first_ms);
        put_signed(&mut self.body, chunk.last_ms());
        put_counted(&mut self.body, &chunk.bytes);
    }

    /// Appends what is left.
    pub(crate) fn finish(&mut self, writes: &mut Vec<Write>) {
        if self.body.is_empty() {
            return;
        }
        let mut pieces = Pieces { kind: KIND_CHUNKS, key: self.key, writes };
        pieces.push(&self.body);
        self.key = pieces.key;
        self.body.clear();
    }
}

/// Calls `visit` with slot, first and last time and bytes of each chunk of a piece.
pub(crate) fn read_chunks(body: &[u8], mut visit: impl FnMut(u32, i64, i64, &[u8])) -> Option<()> {
    let mut reader = Reader::new(body);
    while !reader.is_empty() {
        let slot = reader.small()?;
        let (first_ms, last_ms) = (reader.signed()?, reader.signed()?);
        visit(slot, first_ms, last_ms, reader.counted()?);
    }
    Some(())
}

/// The key under which the end of the newest checkpoint stands.
pub(crate) fn checkpoint_key() -> Vec<u8> {
    vec![KIND_CHECKPOINT]
}

/// Up to which sequence the log's samples are in chunks, and the sequence of the newest such chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Checkpoint {
    pub(crate) samples_to: u64,
    pub(crate) chunks_to: u64,
}

impl Checkpoint {
    pub(crate) fn write(self) -> Write {
        let mut body = Vec::new();
        put_varint(&mut body, self.samples_to);
        put_varint(&mut body, self.chunks_to);
        let key = checkpoint_key();
        let value = frame::close(&key, &body);
        Write::Put(key, value)
    }

    pub(crate) fn read(body: &[u8]) -> Option<Checkpoint> {
        let mut reader = Reader::new(body);
        Some(Checkpoint { samples_to: reader.varint()?, chunks_to: reader.varint()? })
    }
}

/// Says that everything of a partition that was logged up to a sequence is in a block, and void.
pub(crate) fn void(partition: u32, sequence: u64) -> Write {
    let mut body = Vec::new();
    put_varint(&mut body, sequence);
    let key = void_key(partition);
    let value = frame::close(&key, &body);
    Write::Put(key, value)
}

/// The key of [`void`].
pub(crate) fn void_key(partition: u32) -> Vec<u8> {
    let mut key = vec![KIND_VOID];
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

/// The partition and the sequence of [`void`].
pub(crate) fn read_void(key: &[u8], body: &[u8]) -> Option<(u32, u64)> {
    let partition = u32::from_be_bytes(key.get(1..)?.try_into().ok()?);
    Some((partition, Reader::new(body).varint()?))
}

/// The sequence of the newest flush, written with it.
pub(crate) fn last(sequence: u64) -> Write {
    let mut body = Vec::new();
    put_varint(&mut body, sequence);
    let key = vec![KIND_LAST];
    let value = frame::close(&key, &body);
    Write::Put(key, value)
}

/// The sequence of [`last`].
pub(crate) fn read_last(body: &[u8]) -> Option<u64> {
    Reader::new(body).varint()
}

/// The key of a block's marker.
pub(crate) fn block_key(block: u64) -> Vec<u8> {
    let mut key = vec![KIND_BLOCK];
    key.extend_from_slice(&block.to_be_bytes());
    key
}

/// The block that a marker's key names.
pub(crate) fn block_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(1..)?.try_into().ok()?))
}

/// The marker that makes a block visible.
pub(crate) fn block_marker(block: u64, meta: &BlockMeta) -> Write {
    let key = block_key(block);
    let value = frame::close(&key, &meta.to_bytes());
    Write::Put(key, value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(write: &Write) -> &[u8] {
        match write {
            Write::Put(key, value) => {
                assert!(value.len() <= VALUE_BYTES_MAX, "{} bytes", value.len());
                frame::open(key, value).unwrap()
            }
            Write::Remove(_) => panic!("nothing is removed"),
        }
    }

    fn bodies(writes: &[Write]) -> Vec<&[u8]> {
        writes.iter().map(body).collect()
    }

    proptest! {
        #[test]
        fn samples_come_back(samples in prop::collection::vec((any::<u32>(), any::<i64>(), prop_oneof![any::<u64>().prop_map(f64::from_bits), any::<i64>().prop_map(|v| v as f64), Just(-0.0), Just(3.0)]), 0..2000)) {
            let samples: Vec<SlotSample> = samples.into_iter().map(|(slot, timestamp_ms, value)| SlotSample { slot, point: Point { timestamp_ms, value } }).collect();
            let mut writes = Vec::new();
            write_samples(7, 9, samples.iter().copied(), &mut writes);
            let mut read = Vec::new();
            for body in bodies(&writes) {
                read_samples(body, |sample| read.push(sample)).unwrap();
            }
            let bits = |samples: &[SlotSample]| samples.iter().map(|s| (s.slot, s.point.timestamp_ms, s.point.value.to_bits())).collect::<Vec<_>>();
            prop_assert_eq!(bits(&read), bits(&samples));
        }

        #[test]
        fn foreign_bytes_do_no_harm(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_samples(&body, |_| ());
            let _ = read_series(&body);
            let _ = read_chunks(&body, |_, _, _, _| ());
            let _ = Checkpoint::read(&body);
            let _ = read_void(&body, &body);
            let _ = read_last(&body);
            let _ = BlockMeta::read(&body);
        }
    }

    #[test]
    fn definitions_come_back_in_small_pieces() {
        let long = "x".repeat(LABELS_BYTES_MAX - 20);
        let names: Vec<String> = (0..500).map(|number| format!("pod-{number}")).collect();
        let series = (0u32..).zip(&names).map(|(slot, name)| {
            let labels = [
                ("__name__", "up"),
                ("pod", name.as_str()),
                ("long", if slot % 50 == 0 { &*long } else { "" }),
            ];
            Definition { slot, source: "target", labels: labels.into_iter() }
        });
        let mut writes = Vec::new();
        write_series(1, 2, series, &mut writes);
        let mut read = Vec::new();
        for body in bodies(&writes) {
            let piece = read_series(body).unwrap();
            for (slot, source, pairs) in &piece.series {
                assert_eq!(piece.texts[*source as usize], "target");
                read.push((*slot, piece.texts[pairs[1].1 as usize].to_owned()));
            }
        }
        assert_eq!(read, (0u32..).zip(names).collect::<Vec<_>>());
    }

    #[test]
    fn keys_come_back_and_sort_by_partition_then_sequence() {
        let key = PieceKey { partition: 3, sequence: u64::MAX - 1, piece: 4 };
        assert_eq!(PieceKey::read(&key.to_bytes(KIND_SAMPLES)), Some(key));
        let later = PieceKey { partition: 3, sequence: u64::MAX, piece: 0 };
        assert!(key.to_bytes(1) < later.to_bytes(1));
        assert_eq!(block_of(&block_key(77)), Some(77));
    }
}
