//! What a store is told: bounds of everything it takes.

use crate::head::{PARTITION_MS, SeriesLimits};

/// What to do when the disk is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFull {
    /// Take no more samples until there is room; what is stored stays, and queries go on.
    #[default]
    Stop,
    /// Remove the oldest blocks until there is room.
    DropOldest,
}

/// Bounds of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Samples older than this against the caller's clock are refused.
    pub oldest_ms: i64,
    /// Samples that lie further ahead of the caller's clock are refused.
    pub future_ms: i64,
    /// Most series in memory that one source may bring.
    pub series_per_source: usize,
    /// Most series in memory in all.
    pub series_total: usize,
    /// Blocks whose newest sample is older than this are removed.
    pub retention_ms: Option<i64>,
    /// Oldest blocks are removed while everything takes more than this on the disk.
    pub retention_bytes: Option<u64>,
    /// What to do when the disk is full.
    pub on_full: OnFull,
    /// What has to stay free on the disk.
    pub reserve_bytes: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            oldest_ms: 30 * 60 * 1000,
            future_ms: 10 * 60 * 1000,
            series_per_source: 100_000,
            series_total: 2_000_000,
            retention_ms: Some(15 * 24 * 60 * 60 * 1000),
            retention_bytes: None,
            on_full: OnFull::Stop,
            reserve_bytes: 64 << 20,
        }
    }
}

impl Settings {
    pub(crate) fn limits(&self) -> SeriesLimits {
        SeriesLimits { per_source: self.series_per_source, total: self.series_total }
    }

    /// Where blocks that were merged begin and end, by the size of what is merged, smallest first.
    pub(crate) const MERGED_MS: [i64; 2] = [6 * PARTITION_MS, 12 * PARTITION_MS];
}
