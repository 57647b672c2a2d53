//! What became of the samples, counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Shortest time between two lines of the log about the same reason.
const LOG_INTERVAL_MS: i64 = 60_000;

/// Samples stored, and samples dropped by their reason.
#[derive(Debug, Default)]
pub struct Counts {
    stored: AtomicU64,
    /// Reason to count, and when it was logged last.
    dropped: Mutex<BTreeMap<&'static str, (u64, i64)>>,
}

impl Counts {
    pub(crate) fn stored(&self, samples: usize) {
        self.stored.fetch_add(samples as u64, Ordering::Relaxed);
    }

    /// Counts what is dropped, and logs it now and then.
    pub(crate) fn dropped(
        &self,
        reason: &'static str,
        samples: usize,
        from: &str,
        example: &str,
        now_ms: i64,
    ) {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, logged_ms) = dropped.entry(reason).or_insert((0, i64::MIN));
        *count += samples as u64;
        if now_ms.saturating_sub(*logged_ms) >= LOG_INTERVAL_MS || now_ms < *logged_ms {
            *logged_ms = now_ms;
            tracing::warn!(reason, samples, from, example, in_all = *count, "history drops samples");
        }
    }

    /// Samples stored since the start.
    pub fn all_stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// Samples dropped since the start, by reason.
    pub fn all_dropped(&self) -> BTreeMap<&'static str, u64> {
        let dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        dropped.iter().map(|(reason, (count, _))| (*reason, *count)).collect()
    }
}
