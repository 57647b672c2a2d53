//! What was appended goes into the log, and now and then the log's samples become chunks there.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::{OnFull, Pending, Store, StoreError, Writer, lock};
use crate::disk::{DiskError, Write};
use crate::head::{STRIPES, partition_of};
use crate::log::{
    self, Checkpoint, ChunkPieces, Definition, KIND_CHUNKS, KIND_SAMPLES, KIND_SERIES, PieceKey, SlotSample,
};

/// Longest time between two checkpoints.
const CHECKPOINT_MS: i64 = 30 * 60 * 1000;

/// A checkpoint earlier than that is worth it when the log has this many samples per series...
const CHECKPOINT_SAMPLES_PER_SERIES: usize = 120;

/// ... and this many in all.
const CHECKPOINT_SAMPLES_MIN: usize = 1 << 20;

impl Store {
    /// Brings everything appended so far to the disk.
    ///
    /// # Errors
    /// The disk is full or fails: no samples are taken from then on, what was appended stays in memory, and the next flush
    /// tries again.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.flush_with(&mut self.writer()).map(|_| ())
    }

    /// As [`Store::flush`]; answers the sequence up to which the log now holds everything.
    pub(super) fn flush_with(&self, writer: &mut Writer) -> Result<u64, StoreError> {
        let taken = {
            let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *lock(&self.pending))
        };
        let mut refused = std::mem::take(&mut writer.refused);
        let pending = if refused.samples.is_empty() {
            taken
        } else {
            refused.samples.extend(taken.samples);
            refused.definitions.extend(taken.definitions);
            refused
        };
        if pending.samples.is_empty() {
            return Ok(writer.next_sequence);
        }
        let sequence = writer.next_sequence + 1;
        let mut writes = self.encode(&pending, sequence);
        writes.push(log::last(sequence));
        match self.write_making_room(writer, &writes) {
            Ok(()) => {
                self.disk.acknowledge(sequence);
                writer.next_sequence = sequence;
                writer.samples_since_checkpoint += pending.samples.len();
                remember_keys(writer, &writes);
                writer.partitions.extend(pending.samples.iter().map(|s| partition_of(s.point.timestamp_ms)));
                if let Some(reason) = lock(&self.stopped).take() {
                    tracing::info!(reason, "samples are taken again");
                }
                Ok(sequence)
            }
            Err(error) => {
                writer.refused = pending;
                let mut stopped = lock(&self.stopped);
                if stopped.is_none() {
                    tracing::error!(%error, "no more samples are taken");
                }
                *stopped = Some(error.to_string());
                Err(error.into())
            }
        }
    }

    /// Writes; if the disk is full and it may, drops the oldest blocks until there is room.
    fn write_making_room(&self, writer: &mut Writer, writes: &[Write]) -> Result<(), DiskError> {
        loop {
            match self.disk.write(writes) {
                Err(error @ DiskError::Full { .. }) if self.settings.on_full == OnFull::DropOldest => {
                    if !self.drop_oldest_block(writer)? {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
    }

    fn encode(&self, pending: &Pending, sequence: u64) -> Vec<Write> {
        let mut writes = Vec::new();
        self.encode_definitions(&pending.definitions, sequence, &mut writes);
        let partition = |sample: &SlotSample| partition_of(sample.point.timestamp_ms);
        let first = pending.samples.first().map_or(0, partition);
        if pending.samples.iter().all(|sample| partition(sample) == first) {
            log::write_samples(first, sequence, pending.samples.iter().copied(), &mut writes);
        } else {
            let mut by_partition: BTreeMap<u32, Vec<SlotSample>> = BTreeMap::new();
            for sample in &pending.samples {
                by_partition.entry(partition(sample)).or_default().push(*sample);
            }
            for (partition, samples) in by_partition {
                log::write_samples(partition, sequence, samples.into_iter(), &mut writes);
            }
        }
        writes
    }

    /// Labels of series, given by slot and partition.
    fn encode_definitions(&self, definitions: &[(u32, u32)], sequence: u64, writes: &mut Vec<Write>) {
        if definitions.is_empty() {
            return;
        }
        let mut by_partition: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for &(slot, partition) in definitions {
            by_partition.entry(partition).or_default().push(slot);
        }
        let index = self.head.index();
        for (partition, slots) in by_partition {
            let series = slots.into_iter().map(|slot| Definition {
                slot,
                source: index.source(slot),
                labels: index.texts(slot),
            });
            log::write_series(partition, sequence, series, writes);
        }
    }

    /// Turns the log's samples into chunks if that is due.
    pub(super) fn checkpoint_if_due(&self, now_ms: i64) -> Result<(), StoreError> {
        let _turn = lock(&self.maintenance);
        let mut writer = self.writer();
        let many = CHECKPOINT_SAMPLES_MIN.max(self.head.index().count() * CHECKPOINT_SAMPLES_PER_SERIES);
        // A clock that was set back counts as due, too: the alternative is to wait for ever.
        let elapsed = !(0..CHECKPOINT_MS).contains(&(now_ms - writer.checkpoint_ms));
        let since = writer.samples_since_checkpoint;
        if since >= many || (elapsed && since > 0) {
            self.checkpoint_with(&mut writer, now_ms)?;
        }
        Ok(())
    }

    /// Turns the log's samples into chunks.
    pub(super) fn checkpoint_with(&self, writer: &mut Writer, now_ms: i64) -> Result<(), StoreError> {
        let samples_to = self.flush_with(writer)?;
        let chunks_to = samples_to + 1;
        writer.next_sequence = chunks_to;
        let written = self.write_chunks(writer, chunks_to);
        let done = written.and_then(|()| {
            let checkpoint = Checkpoint { samples_to, chunks_to };
            let old: Vec<PieceKey> =
                writer.sample_keys.iter().filter(|key| key.sequence <= samples_to).copied().collect();
            self.disk.write(&[checkpoint.write()])?;
            writer.checkpoint = checkpoint;
            self.disk.remove(&old.iter().map(|key| key.to_bytes(KIND_SAMPLES)).collect::<Vec<_>>())?;
            for key in &old {
                writer.sample_keys.remove(key);
            }
            Ok(())
        });
        match done {
            Ok(()) => {
                writer.checkpoint_ms = now_ms;
                writer.samples_since_checkpoint = 0;
                self.threw_away.store(true, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                self.head.for_each(|_, series| series.give_up_checkpoint());
                Err(error.into())
            }
        }
    }

    /// Writes the chunks that the log does not have yet, one stripe of the head at a time.
    fn write_chunks(&self, writer: &mut Writer, sequence: u64) -> Result<(), DiskError> {
        let mut pieces: BTreeMap<u32, ChunkPieces> = BTreeMap::new();
        let mut writes = Vec::new();
        let mut definitions = Vec::new();
        for stripe in 0..STRIPES {
            self.head.for_each_in(stripe, |slot, series| {
                series.checkpoint(|chunk, define| {
                    let partition = partition_of(chunk.first_ms);
                    if define {
                        definitions.push((slot, partition));
                    }
                    let pieces =
                        pieces.entry(partition).or_insert_with(|| ChunkPieces::new(partition, sequence));
                    pieces.push(slot, chunk, &mut writes);
                });
            });
            self.disk.write(&writes)?;
            remember_keys(writer, &writes);
            writes.clear();
        }
        for pieces in pieces.values_mut() {
            pieces.finish(&mut writes);
        }
        definitions.dedup();
        self.encode_definitions(&definitions, sequence, &mut writes);
        self.disk.write(&writes)?;
        remember_keys(writer, &writes);
        Ok(())
    }
}

/// Notes which pieces the log has now.
pub(super) fn remember_keys(writer: &mut Writer, writes: &[Write]) {
    for write in writes {
        let Write::Put(key, _) = write else { continue };
        let Some(piece) = PieceKey::read(key) else { continue };
        match key.first() {
            Some(&KIND_SAMPLES) => writer.sample_keys.insert(piece),
            Some(&KIND_SERIES) => writer.series_keys.insert(piece),
            Some(&KIND_CHUNKS) => writer.chunk_keys.insert(piece),
            _ => false,
        };
    }
}
