//! Records of times that several chunks of a block have in common, kept once for all of them.
//!
//! What one container says of itself is taken at one moment, so that all its series have the same times, to the millisecond.
//! A record that comes a second time gets a number and a place in the block. The chunk that had it first keeps its own: times
//! that nobody shares cost nothing more.

use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::hash::{BuildHasher as _, BuildHasherDefault};

use super::VALUE_BYTES;
use crate::chunk::bits::{Reader, put_counted};

/// Most bytes of records that a block shares: they stay in memory until it is written.
const SHARED_BYTES_MAX: usize = 32 << 20;

/// Most records of which it is remembered that they came once.
const SEEN_MAX: usize = 1 << 20;

/// See the module.
#[derive(Default)]
pub(super) struct SharedTimes {
    /// By the hash of a record that came: its number, if it came again.
    seen: HashMap<u64, Option<u32>>,
    records: Vec<Box<[u8]>>,
    bytes: usize,
}

impl SharedTimes {
    /// The number of a record, from the second time on that it comes.
    pub(super) fn number(&mut self, record: &[u8]) -> Option<u32> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(record);
        let count = self.seen.len();
        match self.seen.entry(hash) {
            Entry::Vacant(fresh) => {
                if count < SEEN_MAX {
                    fresh.insert(None);
                }
                None
            }
            Entry::Occupied(have) => match *have.get() {
                Some(number) => (*self.records[number as usize] == *record).then_some(number),
                None if self.bytes + record.len() > SHARED_BYTES_MAX => None,
                None => {
                    let number = u32::try_from(self.records.len()).ok()?;
                    self.records.push(record.into());
                    self.bytes += record.len();
                    *have.into_mut() = Some(number);
                    Some(number)
                }
            },
        }
    }

    /// Whether no record is shared.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of all records.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Values of records, each with the number of its first.
    pub(super) fn pages(self) -> Vec<(u32, Vec<u8>)> {
        let mut pages: Vec<(u32, Vec<u8>)> = Vec::new();
        for (number, record) in (0u32..).zip(self.records) {
            match pages.last_mut() {
                Some((_, page)) if page.len() + record.len() <= VALUE_BYTES / 2 => put_counted(page, &record),
                _ => {
                    let mut page = Vec::new();
                    put_counted(&mut page, &record);
                    pages.push((number, page));
                }
            }
        }
        pages
    }
}

/// The records of a value.
pub(super) fn read_page(body: &[u8]) -> Option<Vec<std::sync::Arc<[u8]>>> {
    let mut reader = Reader::new(body);
    let mut records = Vec::new();
    while !reader.is_empty() {
        records.push(reader.counted()?.into());
    }
    Some(records)
}
