//! Partitions of the head become blocks.
//!
//! In this order, so that a crash at any moment loses nothing and leaves nothing twice: log, block, read back, marker (and,
//! in the same batch, that the log of before is void), removal of that log, memory.

use std::sync::atomic::Ordering;

use super::{Store, StoreError, Writer, lock};
use crate::block;
use crate::block::builder::BlockBuilder;
use crate::block::meta::BlockMeta;
use crate::block::reader::Block;
use crate::disk::{DiskError, Write};
use crate::head::partition_end_ms;
use crate::log::{self, KIND_CHUNKS, KIND_SAMPLES, KIND_SERIES, PieceKey};

impl Store {
    /// Seals all partitions for which nothing can come any more.
    pub(super) fn seal_due(&self, now_ms: i64) -> Result<(), StoreError> {
        let due_ms = now_ms.saturating_sub(self.settings.oldest_ms);
        self.seal_where(|partition| partition_end_ms(partition) <= due_ms)
    }

    /// Seals everything, as before a move to another machine.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn seal_all(&self) -> Result<(), StoreError> {
        self.flush()?;
        self.seal_where(|_| true)
    }

    fn seal_where(&self, due: impl Fn(u32) -> bool) -> Result<(), StoreError> {
        let _turn = lock(&self.maintenance);
        let partitions: Vec<u32> = {
            let writer = self.writer();
            writer.partitions.iter().copied().filter(|&partition| due(partition)).collect()
        };
        if partitions.is_empty() {
            return Ok(());
        }
        for partition in partitions {
            self.seal(partition)?;
        }
        // Everything that waits goes to the log under the slots it was appended to, before any slot is used again.
        let mut writer = self.writer();
        self.flush_with(&mut writer)?;
        self.sealings.fetch_add(1, Ordering::AcqRel);
        self.head.remove_empty();
        self.threw_away.store(true, Ordering::Release);
        Ok(())
    }

    /// Flushing goes on meanwhile: the writer is asked for only at both ends.
    fn seal(&self, partition: u32) -> Result<(), StoreError> {
        let (logged_to, name) = {
            let mut writer = self.writer();
            let logged_to = self.flush_with(&mut writer)?;
            // What comes for it from now on is noted by the flush that logs it.
            writer.partitions.remove(&partition);
            writer.next_block += 1;
            (logged_to, writer.next_block - 1)
        };
        let sealed = self.write_block(name, partition).and_then(|meta| {
            self.make_visible(&mut self.writer(), name, meta, partition, logged_to).map_err(StoreError::from)
        });
        match sealed {
            Ok(()) => {
                // Whoever reads the head now and did not see the block is told so when he is done.
                self.sealings.fetch_add(1, Ordering::AcqRel);
                self.head.for_each(|_, series| series.finish_sealing());
            }
            Err(_) => {
                self.writer().partitions.insert(partition);
                self.undo(name);
            }
        }
        sealed
    }

    fn undo(&self, name: u64) {
        self.head.for_each(|_, series| series.give_up_sealing());
        self.close_block(name);
        if let Err(error) = self.disk.remove_block(name) {
            tracing::warn!(%error, "an unfinished block stays until the next start");
        }
    }

    fn write_block(&self, name: u64, partition: u32) -> Result<Option<BlockMeta>, StoreError> {
        let slots: Vec<u32> = {
            let index = self.head.index();
            let mut slots: Vec<u32> = index.live().collect();
            slots.sort_unstable_by(|&a, &b| block::compare(index.texts(a), index.texts(b)));
            slots
        };
        let mut builder = BlockBuilder::new(self.disk.create_block(name)?, name);
        let mut empty = true;
        for slot in slots {
            let points = self.head.begin_sealing(slot, partition);
            if !points.is_empty() {
                empty = false;
                builder.add(self.head.index().texts(slot), &points)?;
            }
        }
        if empty {
            drop(builder);
            self.disk.remove_block(name)?;
            return Ok(None);
        }
        let meta = builder.finish()?;
        self.verify(name, &meta)?;
        Ok(Some(meta))
    }

    /// Reads a block back before anything relies on it.
    pub(super) fn verify(&self, name: u64, meta: &BlockMeta) -> Result<(), StoreError> {
        let opened = self.disk.open_block(name)?;
        match Block::open(opened) {
            Ok(block) if block.meta() == meta && block.verify()? => Ok(()),
            _ => Err(StoreError::Unverified { block: name }),
        }
    }

    fn make_visible(
        &self,
        writer: &mut Writer,
        name: u64,
        meta: Option<BlockMeta>,
        partition: u32,
        logged_to: u64,
    ) -> Result<(), DiskError> {
        let mut writes: Vec<Write> = meta.iter().map(|meta| log::block_marker(name, meta)).collect();
        writes.push(log::void(partition, logged_to));
        self.disk.write(&writes)?;
        if let Some(meta) = meta {
            self.with_blocks(|blocks| blocks.insert(name, meta));
        }
        if let Err(error) = self.remove_void(writer, partition, logged_to) {
            // It means nothing any more, and the next start removes it.
            tracing::warn!(%error, "a part of the log that is in a block stays");
        }
        Ok(())
    }

    /// Removes what was logged of a partition up to a sequence, and then the word that it is void.
    fn remove_void(&self, writer: &mut Writer, partition: u32, logged_to: u64) -> Result<(), DiskError> {
        let mine = |key: &&PieceKey| key.partition == partition && key.sequence <= logged_to;
        let kinds = [
            (KIND_SAMPLES, &mut writer.sample_keys),
            (KIND_SERIES, &mut writer.series_keys),
            (KIND_CHUNKS, &mut writer.chunk_keys),
        ];
        for (kind, keys) in kinds {
            let old: Vec<PieceKey> = keys.iter().filter(mine).copied().collect();
            self.disk.remove(&old.iter().map(|key| key.to_bytes(kind)).collect::<Vec<_>>())?;
            old.iter().for_each(|key| {
                keys.remove(key);
            });
        }
        self.disk.remove(&[log::void_key(partition)])
    }
}
