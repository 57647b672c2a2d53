//! Where history is kept: one small database that is always open (the log and the markers of blocks), and blocks, each
//! written once and removed as a whole.
//!
//! Two of them: [`sled`] on disk, and [`memory`], its twin for tests and for a store that need not last.

pub mod memory;
pub(crate) mod sled;

use std::sync::Arc;

pub(crate) use crate::log::Write;

/// Why the disk does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// No room.
    #[error(
        "the disk of {path} is full ({free_mib} MiB free, {reserve_mib} MiB are kept in reserve): free some space"
    )]
    Full {
        /// The data folder.
        path: String,
        /// What is free.
        free_mib: u64,
        /// What has to stay free.
        reserve_mib: u64,
    },
    /// What is there cannot be read.
    #[error("damaged: {0}")]
    Corrupt(String),
    /// Reading or writing failed.
    #[error("{0}")]
    Io(String),
    /// Another process has the folder.
    #[error("{path} is in use by another process ({pid}): stop it or choose another folder")]
    Locked {
        /// The data folder.
        path: String,
        /// The owner's process id, `?` when it is not known.
        pid: String,
    },
    /// A version that this program does not know.
    #[error(
        "{path} holds data of another version ({found:?}, this program reads {expected:?}): use the program that wrote it or choose an empty folder"
    )]
    Format {
        /// The data folder.
        path: String,
        /// What its `format` file says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
}

/// A store of keys and values, in order of the keys.
pub(crate) trait Disk: Send + Sync {
    /// Applies the changes; when this returns they outlive the process and the machine's power.
    fn write(&self, writes: &[Write]) -> Result<(), DiskError>;

    /// Notes, outside of the hot database, up to which sequence it holds everything: by that the loss of its end is told, which
    /// by itself looks as if it had never been written. Without a promise to outlive a loss of power.
    fn acknowledge(&self, sequence: u64);

    /// What was acknowledged last; `None` when it is not known.
    fn acknowledged(&self) -> Option<u64>;

    /// Removes keys of the hot database, given in order. What a crash leaves of them must mean nothing to anybody.
    fn remove(&self, keys: &[Vec<u8>]) -> Result<(), DiskError>;

    /// Visits keys and values of the hot database under a prefix, in order.
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), DiskError>;

    /// Names of all blocks that are there in whatever state.
    fn blocks(&self) -> Result<Vec<u64>, DiskError>;

    /// Begins a block; what was there under its name goes.
    fn create_block(&self, block: u64) -> Result<Box<dyn BlockWriter>, DiskError>;

    /// Opens a finished block.
    fn open_block(&self, block: u64) -> Result<Arc<dyn BlockReader>, DiskError>;

    /// Removes a block and frees its space at once.
    fn remove_block(&self, block: u64) -> Result<(), DiskError>;

    /// Puts a block that cannot be read where it is in nobody's way, and says where.
    fn set_aside_block(&self, block: u64) -> Result<String, DiskError>;

    /// Bytes that a block takes on the disk.
    fn block_bytes(&self, block: u64) -> Result<u64, DiskError>;

    /// Bytes that the hot database takes on the disk.
    fn hot_bytes(&self) -> Result<u64, DiskError>;

    /// Bytes that may still be written; `None` when it is not known.
    fn free_bytes(&self) -> Option<u64>;

    /// What had to be given up to open it at all: `None` when nothing was.
    fn opened_with_loss(&self) -> Option<String>;
}

/// Takes a block's values in order of their keys.
pub(crate) trait BlockWriter: Send {
    /// Adds a value.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), DiskError>;

    /// Makes it durable and closes it.
    fn finish(&mut self) -> Result<(), DiskError>;
}

/// A finished block.
pub(crate) trait BlockReader: Send + Sync {
    /// Whether it could be opened only after something of it had been made anew, so that all of it should be looked at.
    fn mended(&self) -> bool {
        false
    }

    /// One value.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError>;

    /// The greatest key that is not above the given one.
    fn key_at_or_before(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError>;

    /// Visits keys and values from a key on, in order, until `visit` says no. Ends with [`DiskError::Corrupt`] at what cannot be
    /// read; what stands behind it may well be readable.
    fn scan_from(&self, key: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), DiskError>;
}
