//! The store: a head in memory, a log, and sealed blocks, as one.
//!
//! Promises. A sample that was appended is seen by the next query. What was appended before [`Store::flush`] returned is there
//! after `kill -9` and after a loss of power; [`Service`] flushes once per interval, so no more than that is lost, and nothing
//! older. A damaged value costs what it holds and is reported. Every bound is in [`Settings`] or a named constant.
//!
//! Clock-free: every call that needs the time is given it, in Unix milliseconds. Locks are taken in the order maintenance, writer, gate,
//! pending, head's index, head's stripe, blocks.
//!
//! A two-hour partition of the head becomes a block once nothing can come for it any more; should something come all the
//! same (a clock that was set back), it becomes one more block of the same time. Blocks may overlap; readers put samples in
//! order, and merging makes one of them.

mod append;
mod check;
mod flush;
mod merge;
mod recover;
mod report;
mod retention;
mod seal;
mod select;
mod service;
mod settings;
mod snapshot;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use flyball_apiserver::heap;

use crate::block::meta::BlockMeta;
use crate::block::reader::{Block, BlockError};
use crate::disk::memory::MemoryDisk;
use crate::disk::sled::SledDisk;
use crate::disk::{Disk, DiskError};
use crate::head::Head;
use crate::log::{Checkpoint, PieceKey, SlotSample};

pub use crate::head::index::SeriesRef;
pub use append::{AppendError, AppendReport, Incoming};
pub use check::{CheckReport, Loss};
pub use report::{BlockReport, StoreReport};
pub(crate) use service::now_ms;
pub use service::{FLUSH_INTERVAL, Service};
pub use settings::{OnFull, Settings};

/// Why the store cannot do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk does not take it, or does not give it.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A block that was just written does not read back as it was written.
    #[error(
        "the block {block:016x} does not read back as it was written; it was dropped and its samples stay in the log"
    )]
    Unverified {
        /// Its name.
        block: u64,
    },
}

/// What was appended and is not yet in the log.
#[derive(Debug, Default)]
struct Pending {
    samples: Vec<SlotSample>,
    /// Series (by slot and partition) whose labels the log has to know first.
    definitions: Vec<(u32, u32)>,
}

/// What whoever writes to the disk knows; its lock makes writers come one after the other.
#[derive(Debug, Default)]
struct Writer {
    next_sequence: u64,
    /// Taken from pending, refused by the disk, to be tried again.
    refused: Pending,
    sample_keys: BTreeSet<PieceKey>,
    series_keys: BTreeSet<PieceKey>,
    chunk_keys: BTreeSet<PieceKey>,
    /// Partitions that have something in the head.
    partitions: BTreeSet<u32>,
    checkpoint: Checkpoint,
    checkpoint_ms: i64,
    samples_since_checkpoint: usize,
    next_block: u64,
}

/// Most blocks that are open at the same time: an open one costs memory and descriptors.
const OPEN_BLOCKS_MAX: usize = 3;

/// Blocks that are open: a database can be opened only once at a time.
#[derive(Default)]
struct OpenBlocks {
    /// Kept open, the last used one last.
    recent: Vec<(u64, Arc<Block>)>,
    /// All that somebody has.
    all: BTreeMap<u64, Weak<Block>>,
}

impl OpenBlocks {
    fn make_room(&mut self) {
        if self.recent.len() >= OPEN_BLOCKS_MAX {
            self.recent.remove(0);
        }
    }
}

/// See the module.
pub struct Store {
    head: Head,
    disk: Box<dyn Disk>,
    settings: Settings,
    /// Held by who seals, merges, removes or copies blocks or checkpoints the log: one of them at a time.
    maintenance: Mutex<()>,
    /// Held for reading while samples go into head and pending, so that a flush sees both or neither.
    gate: RwLock<()>,
    pending: Mutex<Pending>,
    writer: Mutex<Writer>,
    blocks: RwLock<BTreeMap<u64, BlockMeta>>,
    open_blocks: Mutex<OpenBlocks>,
    /// How often samples were about to leave memory for a block.
    sealings: AtomicU64,
    /// Whether much memory was given up since the last [`Store::maintain`].
    threw_away: AtomicBool,
    /// Why no samples are taken at the moment.
    stopped: Mutex<Option<String>>,
    /// What is lost, by the name of what lost it.
    damage: Mutex<BTreeMap<String, String>>,
    counts: report::Counts,
}

/// A block as the place of a loss.
fn place_of(block: u64) -> String {
    format!("block {block:016x}")
}

/// The refusal of a block that a newer program wrote.
fn newer_block(block: u64, version: u8) -> DiskError {
    DiskError::Format { path: place_of(block), found: format!("format {version}"), expected: "format 1 or 2" }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens the store in a folder, which is made if it is not there, and reads the log back into memory.
    ///
    /// # Errors
    /// The folder is in use, of another version, or cannot be used. Damage is no error: see [`StoreReport::damage`].
    pub fn open(dir: &Path, settings: Settings, now_ms: i64) -> Result<Store, StoreError> {
        let disk = SledDisk::open(dir, settings.reserve_bytes)?;
        Store::open_on(Box::new(disk), settings, now_ms)
    }

    /// Opens a store in memory.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_in_memory(disk: MemoryDisk, settings: Settings, now_ms: i64) -> Result<Store, StoreError> {
        Store::open_on(Box::new(disk), settings, now_ms)
    }

    fn open_on(disk: Box<dyn Disk>, settings: Settings, now_ms: i64) -> Result<Store, StoreError> {
        let store = Store {
            head: Head::default(),
            disk,
            settings,
            maintenance: Mutex::default(),
            gate: RwLock::default(),
            pending: Mutex::default(),
            writer: Mutex::new(Writer { checkpoint_ms: now_ms, ..Writer::default() }),
            blocks: RwLock::default(),
            open_blocks: Mutex::default(),
            sealings: AtomicU64::default(),
            threw_away: AtomicBool::default(),
            stopped: Mutex::default(),
            damage: Mutex::default(),
            counts: report::Counts::default(),
        };
        store.recover()?;
        Ok(store)
    }

    /// Everything that is to be done now and then: flushes, seals, merges, removes what is too old or too much, checkpoints the log.
    ///
    /// # Errors
    /// The first failure of the disk; what could be done was done.
    pub fn maintain(&self, now_ms: i64) -> Result<(), StoreError> {
        let flushed = self.flush();
        let sealed = self.seal_due(now_ms);
        let merged = self.merge_due(now_ms);
        let removed = self.apply_retention(now_ms);
        let checkpointed = self.checkpoint_if_due(now_ms);
        if self.threw_away.swap(false, Ordering::AcqRel) {
            heap::give_back();
        }
        flushed.and(sealed).and(merged).and(removed).and(checkpointed)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        lock(&self.writer)
    }

    /// A block ready to be read; kept open while it is among the last used ones.
    fn open_block(&self, name: u64) -> Result<Arc<Block>, BlockError> {
        let mut open = lock(&self.open_blocks);
        let block = match open.all.get(&name).and_then(Weak::upgrade) {
            Some(block) => {
                open.recent.retain(|(have, _)| *have != name);
                block
            }
            None => {
                // The one that goes is closed before the next is opened, unless somebody still reads it.
                open.make_room();
                open.all.retain(|_, block| block.strong_count() > 0);
                let block = Arc::new(Block::open(self.disk.open_block(name)?)?);
                if block.values().mended() && !block.verify()? {
                    self.note_damage(
                        place_of(name),
                        "it was damaged, and not all of it could be opened again",
                    );
                }
                open.all.insert(name, Arc::downgrade(&block));
                block
            }
        };
        open.make_room();
        open.recent.push((name, block.clone()));
        Ok(block)
    }

    fn close_block(&self, name: u64) {
        lock(&self.open_blocks).recent.retain(|(have, _)| *have != name);
    }

    fn block_metas(&self) -> Vec<(u64, BlockMeta)> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        blocks.iter().map(|(&name, &meta)| (name, meta)).collect()
    }

    fn with_blocks<T>(&self, change: impl FnOnce(&mut BTreeMap<u64, BlockMeta>) -> T) -> T {
        change(&mut self.blocks.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes what turned out to be unreadable in a block.
    fn note_block_damage(&self, name: u64, block: &Block) {
        for damage in block.damage() {
            self.note_damage(format!("{}: {damage}", place_of(name)), damage);
        }
    }

    fn note_damage(&self, what: impl Into<String>, lost: impl Into<String>) {
        let (what, lost) = (what.into(), lost.into());
        if let Entry::Vacant(fresh) = lock(&self.damage).entry(what) {
            tracing::error!(what = fresh.key(), lost, "part of the history is lost");
            fresh.insert(lost);
        }
    }
}

#[cfg(test)]
mod tests;
