//! Writes a block: series come in order, values leave in order.
//!
//! Memory: one value of chunks, the labels of all series as numbers, their texts and lists, and the times that are shared;
//! samples are never gathered.

use std::collections::{BTreeMap, HashMap};

use super::meta::BlockMeta;
use super::times::SharedTimes;
use super::{
    KIND_DIRECTORY, KIND_META, KIND_POSTINGS, KIND_SERIES, KIND_SYMBOLS, KIND_TIMES, VALUE_BYTES, chunks_key,
    key,
};
use crate::chunk::bits::{put_counted, put_signed, put_varint};
use crate::chunk::{self, CHUNK_SAMPLES_MAX};
use crate::disk::{BlockWriter, DiskError};
use crate::frame;
use crate::series::Point;

/// Samples of one chunk of a sealed block. Longer ones compress little better and cost queries for a short time more.
const SEALED_SAMPLES: usize = 960;

/// See the module.
pub(crate) struct BlockBuilder {
    sink: Box<dyn BlockWriter>,
    pack: Pack,
    series: Vec<u8>,
    symbols: Symbols,
    /// For each name, then value: series with it, as differences.
    postings: BTreeMap<String, BTreeMap<String, Postings>>,
    meta: BlockMeta,
    hasher: crc32fast::Hasher,
    pages: Pages,
    times: SharedTimes,
}

#[derive(Default)]
struct Symbols {
    numbers: HashMap<String, u32>,
    texts: Vec<String>,
}

#[derive(Default)]
struct Postings {
    bytes: Vec<u8>,
    last: u32,
}

/// Chunks that will be one value.
#[derive(Default)]
struct Pack {
    key: Vec<u8>,
    count: u64,
    table: Vec<u8>,
    chunks: Vec<u8>,
    series: u32,
    first_ms: i64,
    span_ms: i64,
}

/// Values of labels that wait until the chunks are written, for keys are written in order.
#[derive(Default)]
struct Pages {
    series: Vec<(u32, Vec<u8>)>,
    first_in_page: u32,
}

impl BlockBuilder {
    /// A block that is written to `sink`; for `origin` see [`BlockMeta`].
    pub(crate) fn new(sink: Box<dyn BlockWriter>, origin: u64) -> BlockBuilder {
        let meta = BlockMeta {
            origin,
            first_ms: i64::MAX,
            last_ms: i64::MIN,
            series: 0,
            samples: 0,
            values: 0,
            chunk_bytes: 0,
            payload_bytes: 0,
            checksum: 0,
        };
        BlockBuilder {
            sink,
            pack: Pack::default(),
            series: Vec::new(),
            symbols: Symbols::default(),
            postings: BTreeMap::new(),
            meta,
            hasher: crc32fast::Hasher::new(),
            pages: Pages::default(),
            times: SharedTimes::default(),
        }
    }

    /// Adds the next series in [`super::compare`]'s order with its samples, in order of time and not empty.
    pub(crate) fn add<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        points: &[Point],
    ) -> Result<(), DiskError> {
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return Ok(()) };
        let number = self.meta.series as u32;
        self.meta.first_ms = self.meta.first_ms.min(first.timestamp_ms);
        self.meta.last_ms = self.meta.last_ms.max(last.timestamp_ms);
        self.meta.samples += points.len() as u64;
        self.add_labels(number, labels);
        // Chunks of equal length: no tiny one at the end.
        let chunk_count = points.len().div_ceil(SEALED_SAMPLES.min(CHUNK_SAMPLES_MAX));
        let chunk_samples = points.len().div_ceil(chunk_count);
        for (part, samples) in (0u32..).zip(points.chunks(chunk_samples)) {
            self.add_chunk(number, part, samples)?;
        }
        self.meta.series += 1;
        Ok(())
    }

    fn add_labels<'a>(&mut self, number: u32, labels: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut count = 0u64;
        let mut pairs = Vec::new();
        for (name, value) in labels {
            count += 1;
            put_varint(&mut pairs, u64::from(self.symbols.number(name)));
            put_varint(&mut pairs, u64::from(self.symbols.number(value)));
            self.postings_of(name, value).push(number);
        }
        if self.series.len() + pairs.len() + 8 > VALUE_BYTES / 2 && !self.series.is_empty() {
            self.close_series_page(number);
        }
        put_varint(&mut self.series, count);
        self.series.extend_from_slice(&pairs);
    }

    fn postings_of(&mut self, name: &str, value: &str) -> &mut Postings {
        if !self.postings.contains_key(name) {
            self.postings.insert(name.to_owned(), BTreeMap::new());
        }
        let values = self.postings.entry(name.to_owned()).or_default();
        if !values.contains_key(value) {
            values.insert(value.to_owned(), Postings::default());
        }
        values.entry(value.to_owned()).or_default()
    }

    fn close_series_page(&mut self, next: u32) {
        let page = std::mem::take(&mut self.series);
        self.pages.series.push((self.pages.first_in_page, page));
        self.pages.first_in_page = next;
    }

    fn add_chunk(&mut self, series: u32, part: u32, points: &[Point]) -> Result<(), DiskError> {
        let bytes = chunk::encode_sharing(points, |record| self.times.number(record));
        self.meta.chunk_bytes += bytes.len() as u64;
        if self.pack.bytes() + bytes.len() > VALUE_BYTES {
            self.close_pack()?;
        }
        let (first, last) = (points[0].timestamp_ms, points[points.len() - 1].timestamp_ms);
        self.pack.push(series, part, first, last, &bytes);
        Ok(())
    }

    fn close_pack(&mut self) -> Result<(), DiskError> {
        if self.pack.count == 0 {
            return Ok(());
        }
        let pack = std::mem::take(&mut self.pack);
        let mut body = Vec::with_capacity(pack.bytes() + 16);
        put_varint(&mut body, pack.count);
        put_counted(&mut body, &pack.table);
        body.extend_from_slice(&pack.chunks);
        self.put(pack.key, &body)
    }

    fn put(&mut self, key: Vec<u8>, body: &[u8]) -> Result<(), DiskError> {
        let value = frame::close(&key, body);
        self.meta.values += 1;
        self.meta.payload_bytes += (key.len() + value.len()) as u64;
        self.hasher.update(&value[..frame::HEADER_BYTES]);
        self.sink.put(&key, &value)
    }

    /// Writes what is left and makes the block durable.
    pub(crate) fn finish(mut self) -> Result<BlockMeta, DiskError> {
        self.close_pack()?;
        let (directory, postings) = self.postings_pages();
        for (number, body) in (0u32..).zip(directory) {
            self.put(key(KIND_DIRECTORY, number), &body)?;
        }
        for (number, body) in (0u32..).zip(postings) {
            self.put(key(KIND_POSTINGS, number), &body)?;
        }
        if !self.series.is_empty() {
            self.close_series_page(0);
        }
        for (first, body) in std::mem::take(&mut self.pages.series) {
            self.put(key(KIND_SERIES, first), &body)?;
        }
        let times = std::mem::take(&mut self.times);
        let version = if times.is_empty() { frame::VERSION } else { frame::VERSION_SHARED_TIMES };
        self.meta.chunk_bytes += times.bytes() as u64;
        for (first, body) in times.pages() {
            self.put(key(KIND_TIMES, first), &body)?;
        }
        let mut page = Vec::new();
        let mut first = 0u32;
        for (number, text) in (0u32..).zip(std::mem::take(&mut self.symbols.texts)) {
            if !page.is_empty() && page.len() + text.len() > VALUE_BYTES / 2 {
                self.put(key(KIND_SYMBOLS, first), &std::mem::take(&mut page))?;
                first = number;
            }
            put_counted(&mut page, text.as_bytes());
        }
        if !page.is_empty() {
            self.put(key(KIND_SYMBOLS, first), &page)?;
        }
        self.meta.checksum = self.hasher.clone().finalize();
        let meta_key = key(KIND_META, 0);
        let value = frame::close_as(version, &meta_key, &self.meta.to_bytes());
        self.sink.put(&meta_key, &value)?;
        self.sink.finish()?;
        Ok(self.meta)
    }

    /// Pages of the directory, and the pages of lists that it names by name and first value.
    fn postings_pages(&mut self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let mut directory = vec![Vec::new()];
        let mut pages: Vec<Vec<u8>> = Vec::new();
        for (name, values) in std::mem::take(&mut self.postings) {
            let mut fresh = true;
            for (value, list) in values {
                for part in list.parts() {
                    let full = pages
                        .last()
                        .is_none_or(|page| page.len() + part.len() + value.len() > VALUE_BYTES / 2);
                    if fresh || full {
                        fresh = false;
                        pages.push(Vec::new());
                        let entry_bytes = name.len() + value.len() + 4;
                        if directory
                            .last()
                            .is_none_or(|page: &Vec<u8>| page.len() + entry_bytes > VALUE_BYTES / 2)
                        {
                            directory.push(Vec::new());
                        }
                        if let Some(entries) = directory.last_mut() {
                            put_counted(entries, name.as_bytes());
                            put_counted(entries, value.as_bytes());
                        }
                    }
                    if let Some(page) = pages.last_mut() {
                        put_counted(page, value.as_bytes());
                        put_counted(page, &part);
                    }
                }
            }
        }
        directory.retain(|page| !page.is_empty());
        (directory, pages)
    }
}

impl Symbols {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as u32;
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        number
    }
}

/// Most bytes of one part of a list.
const POSTINGS_PART_BYTES: usize = 48 * 1024;

impl Postings {
    fn push(&mut self, number: u32) {
        put_varint(&mut self.bytes, u64::from(number - self.last));
        self.last = number;
    }

    /// The list cut where a number ends; the differences go on from one part to the next.
    fn parts(&self) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        let mut rest = &self.bytes[..];
        while rest.len() > POSTINGS_PART_BYTES {
            let end = (1..=POSTINGS_PART_BYTES).rev().find(|&end| rest[end - 1] < 0x80).unwrap_or(rest.len());
            let (part, next) = rest.split_at(end);
            parts.push(part.to_vec());
            rest = next;
        }
        parts.push(rest.to_vec());
        parts
    }
}

impl Pack {
    fn bytes(&self) -> usize {
        self.table.len() + self.chunks.len()
    }

    fn push(&mut self, series: u32, part: u32, first_ms: i64, last_ms: i64, bytes: &[u8]) {
        if self.count == 0 {
            self.key = chunks_key(series, part);
            self.series = series;
        }
        let span_ms = last_ms.wrapping_sub(first_ms);
        put_varint(&mut self.table, u64::from(series - self.series));
        put_signed(&mut self.table, first_ms.wrapping_sub(self.first_ms));
        put_signed(&mut self.table, span_ms.wrapping_sub(self.span_ms));
        put_varint(&mut self.table, bytes.len() as u64);
        self.chunks.extend_from_slice(bytes);
        self.count += 1;
        (self.series, self.first_ms, self.span_ms) = (series, first_ms, span_ms);
    }
}
