//! What is too old, or too much, goes: whole blocks, whose space is free at once.
//!
//! A sample is old against the newest block, as in Prometheus, and never against the clock alone: one that is set ahead for a
//! while would else cost everything that there is.

use super::{Store, StoreError, Writer, lock};
use crate::disk::{DiskError, Write};
use crate::log;

impl Store {
    pub(super) fn apply_retention(&self, now_ms: i64) -> Result<(), StoreError> {
        let _turn = lock(&self.maintenance);
        if let Some(retention_ms) = self.settings.retention_ms {
            let blocks = self.block_metas();
            let newest_ms = blocks.iter().map(|(_, meta)| meta.last_ms).max();
            let present_ms = newest_ms.map_or(now_ms, |newest_ms| newest_ms.min(now_ms));
            let oldest_ms = present_ms.saturating_sub(retention_ms);
            let old: Vec<u64> = blocks
                .into_iter()
                .filter(|(_, meta)| meta.last_ms < oldest_ms)
                .map(|(name, _)| name)
                .collect();
            for name in old {
                self.drop_block(&mut self.writer(), name)?;
            }
        }
        if let Some(most_bytes) = self.settings.retention_bytes {
            while self.disk_bytes()? > most_bytes && self.drop_oldest_block(&mut self.writer())? {}
        }
        Ok(())
    }

    /// Bytes that everything takes on the disk.
    pub(super) fn disk_bytes(&self) -> Result<u64, DiskError> {
        let mut total = self.disk.hot_bytes()?;
        for (name, _) in self.block_metas() {
            total += self.disk.block_bytes(name)?;
        }
        Ok(total)
    }

    /// Removes the block with the oldest samples; `false` when there is none.
    pub(super) fn drop_oldest_block(&self, writer: &mut Writer) -> Result<bool, DiskError> {
        let oldest = self.block_metas().into_iter().min_by_key(|(_, meta)| meta.last_ms);
        let Some((name, meta)) = oldest else { return Ok(false) };
        tracing::info!(block = format!("{name:016x}"), last_ms = meta.last_ms, "the oldest block goes");
        self.drop_block(writer, name)?;
        Ok(true)
    }

    /// The marker first: a folder without a marker is removed at the next start, a marker without a folder would be a loss.
    fn drop_block(&self, _writer: &mut Writer, name: u64) -> Result<(), DiskError> {
        self.disk.write(&[Write::Remove(log::block_key(name))])?;
        self.with_blocks(|blocks| blocks.remove(&name));
        self.close_block(name);
        self.disk.remove_block(name)
    }
}
