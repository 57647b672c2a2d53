//! Reads a block: finds series by their labels, and their samples in a range.
//!
//! Promise: a value whose checksum fails costs what it holds: it is counted and named in [`Block::damage`], and the rest is
//! answered. Texts and the directory are held while a block is open; labels and chunks are read when asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::meta::BlockMeta;
use super::{
    KIND_CHUNKS, KIND_DIRECTORY, KIND_META, KIND_POSTINGS, KIND_SERIES, KIND_SYMBOLS, KIND_TIMES, chunks_key,
    key, number_of, times,
};
use crate::chunk::bits::Reader;
use crate::chunk::{self};
use crate::disk::{BlockReader, DiskError};
use crate::frame::{self, Broken};
use crate::matchers::Index;
use crate::series::Point;

/// What consecutive numbers stand for: that of the first, and all of them.
type Page<T> = (u32, Arc<Vec<T>>);

/// Labels of one series, as numbers of texts.
type LabelNumbers = Box<[(u32, u32)]>;

/// An open block.
pub(crate) struct Block {
    values: Arc<dyn BlockReader>,
    meta: BlockMeta,
    texts: Texts,
    directory: Vec<(String, String)>,
    /// Labels of series, those that were last asked for.
    labels_page: Mutex<Option<Page<LabelNumbers>>>,
    /// Records of times that chunks share, the same way.
    times_page: Mutex<Option<Page<Arc<[u8]>>>>,
    damage: Mutex<BTreeMap<Vec<u8>, String>>,
}

/// All texts of a block, one after the other.
#[derive(Default)]
struct Texts {
    bytes: String,
    ends: Vec<u32>,
    /// Texts of damaged pages are missing: their numbers are not those of others.
    missing: BTreeMap<u32, u32>,
}

impl Texts {
    fn get(&self, number: u32) -> Option<&str> {
        let number = number as usize;
        let &end = self.ends.get(number)?;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        self.bytes.get(start as usize..end as usize)
    }

    fn push_page(&mut self, first: u32, body: &[u8]) -> Option<()> {
        let have = self.ends.len() as u32;
        if first < have {
            return None;
        }
        if first > have {
            self.missing.insert(have, first);
            self.ends.resize(first as usize, self.bytes.len() as u32);
        }
        let mut reader = Reader::new(body);
        while !reader.is_empty() {
            self.bytes.push_str(reader.text()?);
            self.ends.push(u32::try_from(self.bytes.len()).ok()?);
        }
        Some(())
    }

    fn is_missing(&self, number: u32) -> bool {
        let before = self.missing.range(..=number).next_back();
        before.is_some_and(|(_, &end)| number < end) || number as usize >= self.ends.len()
    }
}

/// Why a block cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlockError {
    #[error("{0}")]
    Disk(#[from] DiskError),
    #[error("it holds no description of itself, or a damaged one")]
    Meta,
    #[error("it was written by a newer version of this program (format {0})")]
    Newer(u8),
}

impl Block {
    /// Reads what is needed to find anything.
    pub(crate) fn open(values: Arc<dyn BlockReader>) -> Result<Block, BlockError> {
        let meta_key = key(KIND_META, 0);
        let value = values.get(&meta_key)?.ok_or(BlockError::Meta)?;
        let body = frame::open(&meta_key, &value).map_err(|broken| match broken {
            Broken::Newer(version) => BlockError::Newer(version),
            Broken::Checksum => BlockError::Meta,
        })?;
        let meta = BlockMeta::read(body).ok_or(BlockError::Meta)?;
        let mut block = Block {
            values,
            meta,
            texts: Texts::default(),
            directory: Vec::new(),
            labels_page: Mutex::new(None),
            times_page: Mutex::new(None),
            damage: Mutex::new(BTreeMap::new()),
        };
        let mut texts = Texts::default();
        block.each(KIND_SYMBOLS, |key, body| texts.push_page(number_of(key)?, body))?;
        block.texts = texts;
        let mut directory = Vec::new();
        block.each(KIND_DIRECTORY, |_, body| {
            let mut reader = Reader::new(body);
            while !reader.is_empty() {
                directory.push((reader.text()?.to_owned(), reader.text()?.to_owned()));
            }
            Some(())
        })?;
        block.directory = directory;
        Ok(block)
    }

    pub(crate) fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// Values that cannot be used, with what each would hold.
    pub(crate) fn damage(&self) -> Vec<String> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn note_damage(&self, key: &[u8]) {
        let number = number_of(key).unwrap_or(0);
        let what = match key.first().copied() {
            Some(KIND_CHUNKS) => format!("samples of the series from number {number} on"),
            Some(KIND_POSTINGS) => {
                let (name, value) = self.directory.get(number as usize).cloned().unwrap_or_default();
                format!("the list of series by label {name}, from value {value:?} on")
            }
            Some(KIND_SERIES) => format!("labels of the series from number {number} on"),
            Some(KIND_TIMES) => {
                format!("times from number {number} on, and the samples of all series that share them")
            }
            Some(KIND_SYMBOLS) => format!("texts from number {number} on"),
            _ => "the directory of labels".to_owned(),
        };
        let mut damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        if damage.insert(key.to_vec(), what.clone()).is_none() {
            tracing::warn!(lost = what, "a value of a block is damaged");
        }
    }

    /// Visits all values of a kind whose checksum holds and that `visit` can read.
    fn each(&self, kind: u8, mut visit: impl FnMut(&[u8], &[u8]) -> Option<()>) -> Result<(), DiskError> {
        let scanned = self.values.scan_from(&[kind], &mut |key, value| {
            if key.first() != Some(&kind) {
                return false;
            }
            match frame::open(key, value) {
                Ok(body) if visit(key, body).is_some() => {}
                _ => self.note_damage(key),
            }
            true
        });
        match scanned {
            Err(DiskError::Corrupt(_)) => {
                self.note_damage(&[kind]);
                Ok(())
            }
            other => other,
        }
    }

    /// One value, read; `None` when it is not there or damaged.
    fn value<T>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> Option<T>) -> Result<Option<T>, DiskError> {
        let found = match self.values.get(key) {
            Ok(Some(value)) => frame::open(key, &value).ok().and_then(read),
            Ok(None) => None,
            Err(DiskError::Corrupt(_)) => None,
            Err(error) => return Err(error),
        };
        if found.is_none() {
            self.note_damage(key);
        }
        Ok(found)
    }

    /// The value that has what a number stands for; an empty one if there is none that can be read.
    fn page_of<T>(
        &self,
        kept: &Mutex<Option<Page<T>>>,
        kind: u8,
        number: u32,
        read: fn(&[u8]) -> Option<Vec<T>>,
    ) -> Result<Page<T>, DiskError> {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((first, page)) = &*kept
            && number.checked_sub(*first).is_some_and(|place| (place as usize) < page.len())
        {
            return Ok((*first, page.clone()));
        }
        let nothing = (number, Arc::default());
        let page_key = match self.values.key_at_or_before(&key(kind, number)) {
            Err(DiskError::Corrupt(_)) => {
                self.note_damage(&key(kind, number));
                return Ok(nothing);
            }
            other => other?,
        };
        let Some(page_key) = page_key else { return Ok(nothing) };
        let Some(first) = number_of(&page_key).filter(|_| page_key.first() == Some(&kind)) else {
            return Ok(nothing);
        };
        let page = Arc::new(self.value(&page_key, read)?.unwrap_or_default());
        *kept = Some((first, page.clone()));
        Ok((first, page))
    }

    fn labels_of(&self, series: u32) -> Result<Page<LabelNumbers>, DiskError> {
        self.page_of(&self.labels_page, KIND_SERIES, series, read_series_page)
    }

    /// A record of times that chunks share; `None` when it is not there or damaged.
    fn times(&self, number: u32) -> Result<Option<Arc<[u8]>>, DiskError> {
        let (first, page) = self.page_of(&self.times_page, KIND_TIMES, number, times::read_page)?;
        Ok(number.checked_sub(first).and_then(|place| page.get(place as usize)).cloned())
    }

    /// Calls `visit` with the labels of each of the series (in order of their numbers) that can be read. A series with a
    /// text that is lost is left out: labels that are not all there would be another series.
    pub(crate) fn labels(
        &self,
        series: &[u32],
        mut visit: impl FnMut(u32, &[(&str, &str)]),
    ) -> Result<(), DiskError> {
        let mut labels = Vec::new();
        for &number in series {
            let (first, page) = self.labels_of(number)?;
            let Some(pairs) = page.get((number - first) as usize) else { continue };
            if pairs.iter().any(|&(name, value)| self.texts.is_missing(name) || self.texts.is_missing(value))
            {
                continue;
            }
            let text = |number| self.texts.get(number).unwrap_or("");
            labels.clear();
            labels.extend(pairs.iter().map(|&(name, value)| (text(name), text(value))));
            visit(number, &labels);
        }
        Ok(())
    }

    /// Calls `visit` with the samples in a range of each of the series (in order of their numbers) that has some; ends when
    /// it answers `false`.
    pub(crate) fn samples(
        &self,
        series: &[u32],
        start_ms: i64,
        end_ms: i64,
        mut visit: impl FnMut(u32, Vec<Point>) -> bool,
    ) -> Result<(), DiskError> {
        let mut wanted = series;
        let mut current: Option<(u32, Vec<Point>)> = None;
        while let Some(&next) = wanted.first() {
            let from = match self.values.key_at_or_before(&chunks_key(next, 0)) {
                Err(DiskError::Corrupt(_)) => {
                    self.note_damage(&chunks_key(next, 0));
                    wanted = &wanted[1..];
                    continue;
                }
                other => other?,
            };
            let from = from.filter(|key| key.first() == Some(&KIND_CHUNKS));
            let from = from.unwrap_or_else(|| chunks_key(next, 0));
            let mut jump = false;
            let mut stop = false;
            let mut failed = None;
            let scanned = self.values.scan_from(&from, &mut |key, value| {
                let first = number_of(key).filter(|_| key.first() == Some(&KIND_CHUNKS));
                // The values after this one hold later series only; far away it is quicker to look for them.
                let Some(first) = first else {
                    wanted = &[];
                    return false;
                };
                while wanted.first().is_some_and(|&number| number < first) {
                    wanted = &wanted[1..];
                }
                if wanted.is_empty() {
                    return false;
                }
                let Some(pack) = frame::open(key, value).ok().and_then(PackTable::read) else {
                    self.note_damage(key);
                    return true;
                };
                let last = pack.entries.last().map_or(first, |entry| first + entry.series);
                for entry in &pack.entries {
                    let number = first + entry.series;
                    if entry.first_ms > end_ms
                        || entry.last_ms < start_ms
                        || wanted.binary_search(&number).is_err()
                    {
                        continue;
                    }
                    if current.as_ref().is_none_or(|(have, _)| *have != number) {
                        if let Some((have, points)) = current.take()
                            && !points.is_empty()
                            && !visit(have, points)
                        {
                            stop = true;
                            return false;
                        }
                        current = Some((number, Vec::new()));
                    }
                    let Some((_, points)) = &mut current else { continue };
                    let before = points.len();
                    let mut records = |number| match self.times(number) {
                        Ok(record) => record,
                        Err(error) => {
                            failed = Some(error);
                            None
                        }
                    };
                    if chunk::decode_sharing(entry.bytes, &(start_ms..=end_ms), &mut records, points).is_err()
                    {
                        points.truncate(before);
                        if failed.is_some() {
                            return false;
                        }
                        self.note_damage(key);
                    }
                }
                // The last series may go on in the next value.
                while wanted.first().is_some_and(|&number| number < last) {
                    wanted = &wanted[1..];
                }
                jump = wanted.first().is_some_and(|&number| number > last + FAR);
                !jump
            });
            if let Some(error) = failed {
                return Err(error);
            }
            if stop {
                return Ok(());
            }
            match scanned {
                Err(DiskError::Corrupt(_)) => {
                    // What cannot be read is lost; the next series may stand behind it.
                    let Some((&lost, rest)) = wanted.split_first() else { break };
                    self.note_damage(&chunks_key(lost, 0));
                    wanted = rest;
                    continue;
                }
                other => other?,
            }
            if !jump {
                break;
            }
        }
        if let Some((number, points)) = current
            && !points.is_empty()
        {
            visit(number, points);
        }
        Ok(())
    }

    /// Reads everything and compares it with the count and the checksum of all; answers what is damaged.
    pub(crate) fn verify(&self) -> Result<bool, DiskError> {
        let mut hasher = crc32fast::Hasher::new();
        let mut values = 0;
        let mut payload_bytes = 0;
        let mut sound = true;
        let scanned = self.values.scan_from(&[], &mut |key, value| {
            if key.first() == Some(&KIND_META) {
                return true;
            }
            values += 1;
            payload_bytes += (key.len() + value.len()) as u64;
            hasher.update(value.get(..frame::HEADER_BYTES).unwrap_or_default());
            if frame::open(key, value).is_err() {
                sound = false;
                self.note_damage(key);
            }
            true
        });
        match scanned {
            Err(DiskError::Corrupt(_)) => return Ok(false),
            other => other?,
        }
        let meta = &self.meta;
        Ok(sound
            && (values, payload_bytes, hasher.finalize()) == (meta.values, meta.payload_bytes, meta.checksum))
    }

    fn postings_pages(&self, name: &str) -> std::ops::Range<usize> {
        let start = self.directory.partition_point(|(have, _)| have.as_str() < name);
        let end = self.directory.partition_point(|(have, _)| have.as_str() <= name);
        start..end
    }

    /// Visits the lists of one name in the pages given: value and bytes; the parts of a value follow one another.
    fn postings(
        &self,
        pages: std::ops::Range<usize>,
        mut visit: impl FnMut(&str, &[u8]) -> Option<()>,
    ) -> Result<(), DiskError> {
        for page in pages {
            self.value(&key(KIND_POSTINGS, page as u32), |body| {
                let mut reader = Reader::new(body);
                while !reader.is_empty() {
                    visit(reader.text()?, reader.counted()?)?;
                }
                Some(())
            })?;
        }
        Ok(())
    }

    /// Its keys and values, for who copies them.
    pub(crate) fn values(&self) -> &dyn BlockReader {
        &*self.values
    }
}

/// Distance in series from which the next value is looked up and not waited for.
const FAR: u32 = 256;

struct PackEntry<'a> {
    /// Above the first series of the value.
    series: u32,
    first_ms: i64,
    last_ms: i64,
    bytes: &'a [u8],
}

struct PackTable<'a> {
    entries: Vec<PackEntry<'a>>,
}

impl<'a> PackTable<'a> {
    fn read(body: &'a [u8]) -> Option<PackTable<'a>> {
        let mut reader = Reader::new(body);
        let count = reader.small()? as usize;
        let mut table = Reader::new(reader.counted()?);
        let mut entries = Vec::with_capacity(count.min(body.len()));
        let (mut series, mut first_ms, mut span_ms) = (0u32, 0i64, 0i64);
        for _ in 0..count {
            series = series.checked_add(table.small()?)?;
            first_ms = first_ms.wrapping_add(table.signed()?);
            span_ms = span_ms.wrapping_add(table.signed()?);
            let length = table.varint()? as usize;
            let bytes = reader.take(length)?;
            entries.push(PackEntry { series, first_ms, last_ms: first_ms.wrapping_add(span_ms), bytes });
        }
        Some(PackTable { entries })
    }
}

fn read_series_page(body: &[u8]) -> Option<Vec<LabelNumbers>> {
    let mut reader = Reader::new(body);
    let mut page = Vec::new();
    while !reader.is_empty() {
        let count = reader.small()? as usize;
        let mut pairs = Vec::with_capacity(count.min(body.len()));
        for _ in 0..count {
            pairs.push((reader.small()?, reader.small()?));
        }
        page.push(pairs.into_boxed_slice());
    }
    Some(page)
}

/// Appends the numbers of a list, or of its next part.
fn read_postings(bytes: &[u8], last: &mut u32, numbers: &mut Vec<u32>) -> Option<()> {
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        *last = last.checked_add(reader.small()?)?;
        numbers.push(*last);
    }
    Some(())
}

impl Index for Block {
    type Error = DiskError;

    fn all(&self) -> Result<Vec<u32>, DiskError> {
        Ok((0..self.meta.series as u32).collect())
    }

    fn with(&self, name: &str, value: &str) -> Result<Vec<u32>, DiskError> {
        let pages = self.postings_pages(name);
        let of_name = &self.directory[pages.clone()];
        // A page that begins with the value may continue it; the page before may begin it.
        let first = of_name.partition_point(|(_, begins)| begins.as_str() < value).saturating_sub(1);
        let end = of_name.partition_point(|(_, begins)| begins.as_str() <= value);
        let (mut numbers, mut last) = (Vec::new(), 0);
        self.postings(pages.start + first..pages.start + end, |have, bytes| {
            if have == value { read_postings(bytes, &mut last, &mut numbers) } else { Some(()) }
        })?;
        Ok(numbers)
    }

    fn with_any(&self, name: &str, wanted: &mut dyn FnMut(&str) -> bool) -> Result<Vec<u32>, DiskError> {
        let mut numbers = Vec::new();
        let mut before = String::new();
        let (mut last, mut take) = (0, false);
        let mut any = false;
        self.postings(self.postings_pages(name), |value, bytes| {
            if !any || value != before {
                any = true;
                value.clone_into(&mut before);
                (last, take) = (0, wanted(value));
            }
            if take { read_postings(bytes, &mut last, &mut numbers) } else { Some(()) }
        })?;
        Ok(numbers)
    }

    fn retain(
        &self,
        series: &mut Vec<u32>,
        name: &str,
        visit: &mut dyn FnMut(u64, &str) -> bool,
    ) -> Result<(), DiskError> {
        let mut kept = Vec::with_capacity(series.len());
        for &number in series.iter() {
            let (first, page) = self.labels_of(number)?;
            let Some(pairs) = page.get((number - first) as usize) else { continue };
            let value =
                pairs.iter().find(|(have, _)| self.texts.get(*have) == Some(name)).map(|&(_, value)| value);
            let keep = match value {
                Some(symbol) => visit(u64::from(symbol), self.texts.get(symbol).unwrap_or("")),
                None => visit(u64::MAX, ""),
            };
            if keep {
                kept.push(number);
            }
        }
        *series = kept;
        Ok(())
    }
}
