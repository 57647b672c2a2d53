//! What the store says of itself.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{AppendReport, Store, lock};
use crate::block::meta::BlockMeta;
use crate::disk::DiskError;

/// Most sources whose refusals are counted by name; the rest is counted together under `others`.
const SOURCES_COUNTED_MAX: usize = 1000;

/// How many of the largest sources a report names.
const LARGEST_SOURCES: usize = 10;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Default)]
pub(super) struct Counts {
    stored: AtomicU64,
    late: AtomicU64,
    duplicates: AtomicU64,
    conflicts: AtomicU64,
    too_old: AtomicU64,
    too_new: AtomicU64,
    refused_series: Mutex<BTreeMap<String, u64>>,
}

impl Counts {
    pub(super) fn add(&self, report: &AppendReport) {
        let add = |counter: &AtomicU64, count: usize| {
            if count > 0 {
                counter.fetch_add(count as u64, Ordering::Relaxed);
            }
        };
        add(&self.stored, report.stored);
        add(&self.late, report.late);
        add(&self.duplicates, report.duplicates);
        add(&self.conflicts, report.conflicts);
        add(&self.too_old, report.too_old);
        add(&self.too_new, report.too_new);
    }

    pub(super) fn refuse_series(&self, source: &str) {
        let mut refused = lock(&self.refused_series);
        let full = refused.len() >= SOURCES_COUNTED_MAX && !refused.contains_key(source);
        let name = if full { "others" } else { source };
        *refused.entry(name.to_owned()).or_default() += 1;
    }
}

/// One sealed block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockReport {
    /// Its name.
    pub block: u64,
    /// What is known of it.
    pub meta: BlockMeta,
    /// Bytes it takes on the disk.
    pub disk_bytes: u64,
}

/// What the store says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreReport {
    /// Series in memory.
    pub head_series: usize,
    /// Texts kept for their labels.
    pub head_symbols: usize,
    /// Bytes of samples in memory.
    pub head_sample_bytes: usize,
    /// Samples stored since the start.
    pub stored: u64,
    /// Of them, those that came out of order.
    pub late: u64,
    /// Samples that were there already.
    pub duplicates: u64,
    /// Samples refused since another value is stored at their time.
    pub conflicts: u64,
    /// Samples refused as too old.
    pub too_old: u64,
    /// Samples refused as lying in the future.
    pub too_new: u64,
    /// Series refused, per source.
    pub refused_series: BTreeMap<String, u64>,
    /// Sources with most series in memory.
    pub largest_sources: Vec<(String, usize)>,
    /// Blocks, oldest first.
    pub blocks: Vec<BlockReport>,
    /// Bytes of the hot database on the disk.
    pub log_disk_bytes: u64,
    /// Bytes that may still be written; `None` when it is not known.
    pub free_bytes: Option<u64>,
    /// Why no samples are taken at the moment.
    pub stopped: Option<String>,
    /// What is lost: where, and what.
    pub damage: BTreeMap<String, String>,
}

impl StoreReport {
    /// Samples in blocks.
    #[must_use]
    pub fn block_samples(&self) -> u64 {
        self.blocks.iter().map(|block| block.meta.samples).sum()
    }

    /// Bytes of blocks before what the disk adds.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        self.blocks.iter().map(|block| block.meta.payload_bytes).sum()
    }

    /// Bytes that everything takes on the disk.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.log_disk_bytes + self.blocks.iter().map(|block| block.disk_bytes).sum::<u64>()
    }

    /// Bytes that blocks take on the disk per day of their time; `None` before there is an hour of them.
    #[must_use]
    pub fn disk_bytes_per_day(&self) -> Option<f64> {
        const ENOUGH_MS: i64 = 60 * 60 * 1000;
        let first = self.blocks.iter().map(|block| block.meta.first_ms).min()?;
        let last = self.blocks.iter().map(|block| block.meta.last_ms).max()?;
        let span_ms = last - first;
        let bytes: u64 = self.blocks.iter().map(|block| block.disk_bytes).sum();
        (span_ms >= ENOUGH_MS).then(|| bytes as f64 * DAY_MS as f64 / span_ms as f64)
    }

    /// Bytes on the disk that one series costs per day; `None` before it is known.
    #[must_use]
    pub fn disk_bytes_per_series_and_day(&self) -> Option<f64> {
        let newest = self.blocks.iter().max_by_key(|block| block.meta.last_ms)?;
        Some(self.disk_bytes_per_day()? / newest.meta.series.max(1) as f64)
    }

    /// Days until the disk is full at the pace of the blocks there are; `None` when it is not known. Retention may free
    /// space before.
    #[must_use]
    pub fn days_until_full(&self) -> Option<f64> {
        let per_day = self.disk_bytes_per_day()?;
        (per_day > 0.0).then_some(self.free_bytes? as f64 / per_day)
    }
}

impl Store {
    /// What is lost: where, and what.
    pub fn damage(&self) -> BTreeMap<String, String> {
        lock(&self.damage).clone()
    }

    /// What the store says of itself.
    ///
    /// # Errors
    /// The disk cannot be asked.
    pub fn report(&self) -> Result<StoreReport, DiskError> {
        let mut head_sample_bytes = 0;
        self.head.for_each(|_, series| head_sample_bytes += series.heap_bytes());
        let (head_series, head_symbols, largest_sources) = {
            let index = self.head.index();
            (index.count(), index.symbol_count(), index.largest_sources(LARGEST_SOURCES))
        };
        let mut blocks = Vec::new();
        for (block, meta) in self.block_metas() {
            blocks.push(BlockReport { block, meta, disk_bytes: self.disk.block_bytes(block).unwrap_or(0) });
        }
        blocks.sort_unstable_by_key(|block| block.meta.first_ms);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(StoreReport {
            head_series,
            head_symbols,
            head_sample_bytes,
            stored: count(&self.counts.stored),
            late: count(&self.counts.late),
            duplicates: count(&self.counts.duplicates),
            conflicts: count(&self.counts.conflicts),
            too_old: count(&self.counts.too_old),
            too_new: count(&self.counts.too_new),
            refused_series: lock(&self.counts.refused_series).clone(),
            largest_sources,
            blocks,
            log_disk_bytes: self.disk.hot_bytes()?,
            free_bytes: self.disk.free_bytes(),
            stopped: lock(&self.stopped).clone(),
            damage: lock(&self.damage).clone(),
        })
    }
}
