//! The head: series with samples that are in no sealed block yet, in memory.
//!
//! Promise: appending to a known series takes one lock that it shares with a sixteenth of the others; only new series wait
//! for readers of the index. Locks are taken in the order index, stripe. Neighbours share a lock, for what one target brings
//! comes together: a [`Cursor`] takes the lock once for all of them.

mod hash_index;
pub(crate) mod index;
pub(crate) mod series;
pub(crate) mod symbols;

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use flyball_model::labels::Labels;

use crate::series::Point;
use index::{HeadIndex, SeriesRef};
use series::{Appended, HeadSeries};

/// Length of a partition: what goes into one block first.
pub(crate) const PARTITION_MS: i64 = 2 * 60 * 60 * 1000;

/// The partition of a time. Times before 1970 are never stored.
pub(crate) fn partition_of(timestamp_ms: i64) -> u32 {
    u32::try_from(timestamp_ms.max(0) / PARTITION_MS).unwrap_or(u32::MAX)
}

/// First time after a partition.
pub(crate) fn partition_end_ms(partition: u32) -> i64 {
    (i64::from(partition) + 1) * PARTITION_MS
}

/// How many parts the samples are in, each with a lock of its own.
pub(crate) const STRIPES: usize = 16;

/// Neighbouring slots that share a stripe.
const RUN: usize = 64;

/// Stripe of a slot, and its position there.
fn place_of(slot: u32) -> (usize, usize) {
    let (run, place) = (slot as usize / RUN, slot as usize % RUN);
    (run % STRIPES, run / STRIPES * RUN + place)
}

/// The reverse of [`place_of`].
fn slot_at(stripe: usize, position: usize) -> u32 {
    let (run, place) = (position / RUN * STRIPES + stripe, position % RUN);
    (run * RUN + place) as u32
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Head {
    index: RwLock<HeadIndex>,
    stripes: [Mutex<Vec<HeadSeries>>; STRIPES],
}

/// What became of a sample, and whether the log has to be told the labels first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AppendedTo {
    pub(crate) outcome: Appended,
    pub(crate) define: bool,
}

/// Most series per source and in all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeriesLimits {
    pub(crate) per_source: usize,
    pub(crate) total: usize,
}

/// Why there is no room for a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Source,
    Total,
}

/// The data of slots that leave a stripe's lock poisoned is whole: no operation panics half way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Head {
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, HeadIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `change` with the index to itself.
    pub(crate) fn with_index<T>(&self, change: impl FnOnce(&mut HeadIndex) -> T) -> T {
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_series<T>(&self, slot: u32, use_it: impl FnOnce(&mut HeadSeries) -> T) -> Option<T> {
        let (stripe, position) = place_of(slot);
        lock(&self.stripes[stripe]).get_mut(position).map(use_it)
    }

    /// The series of these labels, a new one if there is room.
    pub(crate) fn resolve(
        &self,
        labels: &Labels,
        source: &str,
        limits: SeriesLimits,
    ) -> Result<SeriesRef, NoRoom> {
        if let Some(found) = self.index().find(labels) {
            return Ok(found);
        }
        self.with_index(|index| {
            if let Some(found) = index.find(labels) {
                return Ok(found);
            }
            if index.count() >= limits.total {
                return Err(NoRoom::Total);
            }
            if index.count_of(source) >= limits.per_source {
                return Err(NoRoom::Source);
            }
            let series = index.insert(labels, source);
            self.make_room(series);
            Ok(series)
        })
    }

    /// Makes the place where a new series keeps its samples.
    pub(crate) fn make_room(&self, series: SeriesRef) {
        let (stripe, position) = place_of(series.slot);
        let mut stripe = lock(&self.stripes[stripe]);
        if stripe.len() <= position {
            if stripe.capacity() <= position {
                // By an eighth, not to the double: places that nobody needs are memory all the same.
                let more = (stripe.len() / 8).max(position + 1 - stripe.len());
                stripe.reserve_exact(more);
            }
            stripe.resize_with(position + 1, HeadSeries::default);
        }
        stripe[position] = HeadSeries::new(series.generation);
    }

    /// For who appends to, or reads, many series.
    pub(crate) fn cursor(&self) -> Cursor<'_> {
        Cursor { head: self, held: None }
    }

    /// Takes up a chunk that the log gives back.
    pub(crate) fn restore(&self, slot: u32, first_ms: i64, last_ms: i64, bytes: &[u8]) {
        self.with_series(slot, |series| series.restore(first_ms, last_ms, bytes));
    }

    /// Appends the samples of a series in a range.
    pub(crate) fn read_into(&self, slot: u32, start_ms: i64, end_ms: i64, points: &mut Vec<Point>) {
        self.with_series(slot, |series| series.read_into(start_ms, end_ms, points));
    }

    /// Whether a series has a sample in the range.
    pub(crate) fn has_samples(&self, slot: u32, start_ms: i64, end_ms: i64) -> bool {
        self.with_series(slot, |series| series.has_samples(start_ms, end_ms)).unwrap_or(false)
    }

    /// Calls `visit` with each slot of one stripe (of [`STRIPES`]) and its samples.
    pub(crate) fn for_each_in(&self, stripe: usize, mut visit: impl FnMut(u32, &mut HeadSeries)) {
        for (position, series) in lock(&self.stripes[stripe]).iter_mut().enumerate() {
            visit(slot_at(stripe, position), series);
        }
    }

    /// Calls `visit` with each slot and its samples, one stripe locked at a time.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(u32, &mut HeadSeries)) {
        (0..STRIPES).for_each(|stripe| self.for_each_in(stripe, &mut visit));
    }

    /// Marks one series' samples of a partition as going into a block and hands them out.
    pub(crate) fn begin_sealing(&self, slot: u32, partition: u32) -> Vec<Point> {
        self.with_series(slot, |series| series.begin_sealing(partition)).unwrap_or_default()
    }

    /// Removes series that hold nothing any more, and answers how many.
    pub(crate) fn remove_empty(&self) -> usize {
        self.with_index(|index| {
            let live: Vec<u32> = index.live().collect();
            let empty: Vec<u32> = live
                .into_iter()
                .filter(|&slot| {
                    let remove = |series: &mut HeadSeries| {
                        let empty = series.is_empty();
                        if empty {
                            *series = HeadSeries::new(series.generation.wrapping_add(1));
                        }
                        empty
                    };
                    self.with_series(slot, remove).unwrap_or(true)
                })
                .collect();
            index.remove(&empty);
            empty.len()
        })
    }
}

/// Goes from series to series and keeps the lock of the last one, for the next is likely to share it. Nobody who has one may
/// take another lock of the head.
pub(crate) struct Cursor<'a> {
    head: &'a Head,
    held: Option<(usize, MutexGuard<'a, Vec<HeadSeries>>)>,
}

impl Cursor<'_> {
    fn series(&mut self, slot: u32) -> Option<&mut HeadSeries> {
        let (stripe, position) = place_of(slot);
        if self.held.as_ref().is_none_or(|(held, _)| *held != stripe) {
            // The one before is given back before the next is taken.
            self.held = None;
            self.held = Some((stripe, lock(&self.head.stripes[stripe])));
        }
        self.held.as_mut().and_then(|(_, series)| series.get_mut(position))
    }

    /// Adds a sample; `None` when the series is not the one meant any more.
    pub(crate) fn append(&mut self, series: SeriesRef, point: Point) -> Option<AppendedTo> {
        let known = self.series(series.slot).filter(|known| known.generation == series.generation)?;
        let outcome = known.append(point);
        let stored = matches!(outcome, Appended::Stored | Appended::StoredLate);
        let partition = Some(partition_of(point.timestamp_ms));
        let define = stored && known.defined_in != partition;
        if define {
            known.defined_in = partition;
        }
        Some(AppendedTo { outcome, define })
    }

    /// Takes up a sample that the log gives back. The log knows its labels under the slot of then, not under this one.
    pub(crate) fn replay(&mut self, slot: u32, point: Point) {
        if let Some(series) = self.series(slot) {
            series.append(point);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_a_place_of_its_own() {
        let places: std::collections::BTreeSet<(usize, usize)> = (0..10_000).map(place_of).collect();
        assert_eq!(places.len(), 10_000);
        assert!((0..10_000).all(|slot| {
            let (stripe, position) = place_of(slot);
            stripe < STRIPES && slot_at(stripe, position) == slot
        }));
    }
}
