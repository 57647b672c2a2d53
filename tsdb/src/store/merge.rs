//! Blocks become fewer and larger: their index is shared, chunks grow, and what sled adds shrinks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Settings, Store, StoreError, lock, place_of};
use crate::block;
use crate::block::builder::BlockBuilder;
use crate::block::meta::BlockMeta;
use crate::block::reader::{Block, BlockError};
use crate::disk::{DiskError, Write};
use crate::head::series::put_in_order;
use crate::log;
use crate::series::Point;

/// Blocks that would become larger than this stay apart.
const MERGED_BYTES_MAX: u64 = 1 << 30;

/// Series that are read from a block at a time.
const BATCH_SERIES: u32 = 64;

impl Store {
    /// Merges the blocks of every stretch of time that is over.
    pub(super) fn merge_due(&self, now_ms: i64) -> Result<(), StoreError> {
        let _turn = lock(&self.maintenance);
        while let Some(group) = due(&self.mergeable(), now_ms) {
            if !self.has_room_for(&group) {
                tracing::warn!("blocks are not merged: the disk has too little room for it");
                return Ok(());
            }
            match self.merge(&group) {
                // One of them cannot be opened: that is told, and the others are merged without it.
                Err(_)
                    if self.mergeable().iter().filter(|(name, _)| group.contains(name)).count()
                        < group.len() => {}
                outcome => drop(outcome?),
            }
        }
        Ok(())
    }

    /// All blocks but those that cannot be opened, as far as is known.
    fn mergeable(&self) -> Vec<(u64, BlockMeta)> {
        let mut blocks = self.block_metas();
        let damage = lock(&self.damage);
        blocks.retain(|(name, _)| !damage.contains_key(&place_of(*name)));
        blocks
    }

    /// The new block stands beside the old ones for a while.
    fn has_room_for(&self, group: &[u64]) -> bool {
        let needed: u64 = group.iter().map(|&name| self.disk.block_bytes(name).unwrap_or(0)).sum();
        self.disk.free_bytes().is_none_or(|free| free > needed)
    }

    /// Makes one block of several, or of one what is good of it.
    pub(super) fn merge(&self, group: &[u64]) -> Result<Option<BlockMeta>, StoreError> {
        let name = {
            let mut writer = self.writer();
            writer.next_block += 1;
            writer.next_block - 1
        };
        let merged = self.write_merged(name, group).and_then(|meta| {
            if let Some(meta) = &meta {
                self.verify(name, meta)?;
            }
            Ok(meta)
        });
        let meta = match merged {
            Ok(meta) => meta,
            Err(error) => {
                self.disk.remove_block(name)?;
                return Err(error);
            }
        };
        self.swap(group, meta.map(|meta| (name, meta)))?;
        self.threw_away.store(true, Ordering::Release);
        Ok(meta)
    }

    /// Makes a new block visible in the place of others, in one step, and removes those.
    pub(super) fn swap(&self, old: &[u64], new: Option<(u64, BlockMeta)>) -> Result<(), StoreError> {
        let mut writes: Vec<Write> = old.iter().map(|&name| Write::Remove(log::block_key(name))).collect();
        writes.extend(new.iter().map(|(name, meta)| log::block_marker(*name, meta)));
        {
            let _writer = self.writer();
            self.disk.write(&writes)?;
            self.with_blocks(|blocks| {
                old.iter().for_each(|name| {
                    blocks.remove(name);
                });
                blocks.extend(new);
            });
        }
        for &name in old {
            self.close_block(name);
            self.disk.remove_block(name)?;
        }
        Ok(())
    }

    fn write_merged(&self, name: u64, group: &[u64]) -> Result<Option<BlockMeta>, StoreError> {
        let mut cursors: Vec<Cursor> = Vec::new();
        for &source in group {
            match self.open_block(source) {
                Ok(block) => cursors.push(Cursor { name: source, block, next: 0, batch: VecDeque::new() }),
                Err(BlockError::Disk(error @ DiskError::Io(_))) => return Err(error.into()),
                Err(other) => {
                    self.note_damage(place_of(source), other.to_string());
                    return Err(DiskError::Corrupt(format!("{}: {other}", place_of(source))).into());
                }
            }
        }
        cursors.sort_unstable_by_key(|cursor| cursor.block.meta().origin);
        let origin = cursors.first().map_or(name, |cursor| cursor.block.meta().origin);
        let mut builder = BlockBuilder::new(self.disk.create_block(name)?, origin);
        let mut empty = true;
        while let Some((labels, points)) = next_series(&mut cursors)? {
            empty = false;
            builder.add(pairs(&labels), &points)?;
        }
        for cursor in &cursors {
            self.note_block_damage(cursor.name, &cursor.block);
        }
        if empty {
            drop(builder);
            self.disk.remove_block(name)?;
            return Ok(None);
        }
        Ok(Some(builder.finish()?))
    }
}

/// The blocks to merge next: all that lie in one stretch of time, if it is over and they are more than one.
fn due(blocks: &[(u64, BlockMeta)], now_ms: i64) -> Option<Vec<u64>> {
    // A block of a time when the clock was ahead ends nothing.
    let newest_ms = blocks.iter().map(|(_, meta)| meta.last_ms).max()?.min(now_ms);
    for length_ms in Settings::MERGED_MS {
        for (_, first) in blocks {
            let start_ms = first.first_ms.div_euclid(length_ms) * length_ms;
            let range = start_ms..start_ms + length_ms;
            if newest_ms < range.end {
                continue;
            }
            let inside = |meta: &BlockMeta| range.contains(&meta.first_ms) && range.contains(&meta.last_ms);
            let group: Vec<&(u64, BlockMeta)> = blocks.iter().filter(|(_, meta)| inside(meta)).collect();
            let payload_bytes: u64 = group.iter().map(|(_, meta)| meta.payload_bytes).sum();
            if group.len() > 1 && payload_bytes <= MERGED_BYTES_MAX {
                return Some(group.into_iter().map(|(name, _)| *name).collect());
            }
        }
    }
    None
}

type OwnedLabels = Vec<(String, String)>;

fn pairs(labels: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> + Clone {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

/// Walks one block in order.
struct Cursor {
    name: u64,
    block: Arc<Block>,
    next: u32,
    batch: VecDeque<(OwnedLabels, Vec<Point>)>,
}

impl Cursor {
    /// Labels of the series it stands at.
    fn labels(&mut self) -> Result<Option<&OwnedLabels>, DiskError> {
        let count = self.block.meta().series as u32;
        while self.batch.is_empty() && self.next < count {
            let end = self.next.saturating_add(BATCH_SERIES).min(count);
            let numbers: Vec<u32> = (self.next..end).collect();
            self.next = end;
            let mut labels: VecDeque<(u32, OwnedLabels)> = VecDeque::new();
            self.block.labels(&numbers, |number, pairs| {
                let owned = pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
                labels.push_back((number, owned));
            })?;
            let readable: Vec<u32> = labels.iter().map(|(number, _)| *number).collect();
            self.block.samples(&readable, i64::MIN, i64::MAX, |number, points| {
                while labels.front().is_some_and(|(have, _)| *have < number) {
                    labels.pop_front();
                }
                if let Some((_, labels)) = labels.pop_front() {
                    self.batch.push_back((labels, points));
                }
                true
            })?;
        }
        Ok(self.batch.front().map(|(labels, _)| labels))
    }
}

/// The next series of all, with its samples of all in order.
fn next_series(cursors: &mut [Cursor]) -> Result<Option<(OwnedLabels, Vec<Point>)>, DiskError> {
    let mut least: Option<OwnedLabels> = None;
    for cursor in cursors.iter_mut() {
        let Some(labels) = cursor.labels()? else { continue };
        if least.as_ref().is_none_or(|least| block::compare(pairs(labels), pairs(least)).is_lt()) {
            least = Some(labels.clone());
        }
    }
    let Some(labels) = least else { return Ok(None) };
    let mut points = Vec::new();
    for cursor in cursors.iter_mut() {
        if cursor.batch.front().is_some_and(|(have, _)| *have == labels)
            && let Some((_, mut mine)) = cursor.batch.pop_front()
        {
            points.append(&mut mine);
        }
    }
    put_in_order(&mut points);
    Ok(Some((labels, points)))
}
