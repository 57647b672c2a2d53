//! A copy that can be opened as a store of its own, taken while this one goes on.

use std::path::Path;

use super::{Store, StoreError, lock};
use crate::block::reader::BlockError;
use crate::disk::sled::SledDisk;
use crate::disk::{Disk, DiskError, Write};
use crate::log;

/// Bytes of the log that are copied at a time.
const COPY_BYTES: usize = 4 << 20;

impl Store {
    /// Copies everything appended so far into a folder, which must be empty or not there.
    ///
    /// # Errors
    /// The folder is in use or no copy can be written there; a block that cannot be read. Nothing of the copy stays then.
    pub fn snapshot(&self, dir: &Path) -> Result<(), StoreError> {
        SledDisk::fill_new(dir, self.settings.reserve_bytes, |disk| self.copy_to(disk))
    }

    pub(super) fn copy_to(&self, target: &dyn Disk) -> Result<(), StoreError> {
        let _turn = lock(&self.maintenance);
        // The log before the blocks, under the lock of all writers: what is sealed later is not in this copy's blocks.
        let mut writer = self.writer();
        self.flush_with(&mut writer)?;
        let mut writes = Vec::new();
        let mut bytes = 0;
        let mut failed = None;
        self.disk.scan(&[], &mut |key, value| {
            if key.first() == Some(&log::KIND_BLOCK) || failed.is_some() {
                return;
            }
            bytes += value.len();
            writes.push(Write::Put(key.to_vec(), value.to_vec()));
            if bytes >= COPY_BYTES {
                failed = target.write(&writes).err();
                writes.clear();
                bytes = 0;
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        target.write(&writes)?;
        drop(writer);
        for (name, meta) in self.block_metas() {
            let mut copy = target.create_block(name)?;
            let mut failed = None;
            let block = self.open_block(name).map_err(|error| match error {
                BlockError::Disk(error) => error,
                other => DiskError::Corrupt(format!("block {name:016x}: {other}")),
            })?;
            block.values().scan_from(&[], &mut |key, value| {
                failed = copy.put(key, value).err();
                failed.is_none()
            })?;
            if let Some(error) = failed {
                return Err(error.into());
            }
            copy.finish()?;
            target.write(&[log::block_marker(name, &meta)])?;
        }
        Ok(())
    }
}
