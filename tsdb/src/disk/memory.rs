//! The disk's twin in memory. Copies share what they hold, so a test opens the same data again as after `kill -9`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BlockReader, BlockWriter, Disk, DiskError, Write};
use crate::frame;

type Values = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Default)]
struct Held {
    hot: Values,
    /// Finished blocks are `Some`.
    blocks: BTreeMap<u64, Option<Arc<Values>>>,
    capacity_bytes: Option<u64>,
    acknowledged: Option<u64>,
}

impl Held {
    fn used_bytes(&self) -> u64 {
        bytes(&self.hot) + self.blocks.values().flatten().map(|values| bytes(values)).sum::<u64>()
    }
}

fn bytes(values: &Values) -> u64 {
    values.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Held>>);

impl MemoryDisk {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it takes no more than this; `None` for no bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.held().capacity_bytes = bytes;
    }

    /// Changes one byte of a value of the hot database or, with a block, of the block, as a failing disk does. `pick` says
    /// which value by its key; `false` when there is none.
    pub fn damage(&self, block: Option<u64>, mut pick: impl FnMut(&[u8]) -> bool) -> bool {
        let mut guard = self.held();
        let held = &mut *guard;
        let values = match block {
            None => &mut held.hot,
            Some(block) => match held.blocks.get_mut(&block) {
                Some(Some(values)) => Arc::make_mut(values),
                _ => return false,
            },
        };
        let mut found = values.iter_mut().filter(|(key, _)| pick(key));
        found.next().and_then(|(_, value)| value.last_mut()).map(|byte| *byte ^= 0x55).is_some()
    }

    /// Puts a value whose frame is sound, whatever its body: what a program with a fault could have written. Into the hot
    /// database or, with a block, into that block.
    pub fn put_framed(&self, block: Option<u64>, key: &[u8], body: &[u8]) {
        let value = frame::close(key, body);
        let mut held = self.held();
        match block {
            None => drop(held.hot.insert(key.to_vec(), value)),
            Some(block) => {
                let values = held.blocks.entry(block).or_default().get_or_insert_default();
                Arc::make_mut(values).insert(key.to_vec(), value);
            }
        }
    }

    /// A copy of its own of everything that is here now.
    #[must_use]
    pub fn fork(&self) -> MemoryDisk {
        let held = self.held();
        let copy = Held {
            hot: held.hot.clone(),
            blocks: held.blocks.clone(),
            capacity_bytes: held.capacity_bytes,
            acknowledged: held.acknowledged,
        };
        MemoryDisk(Arc::new(Mutex::new(copy)))
    }

    /// Takes over what another one holds.
    pub fn replace_with(&self, other: &MemoryDisk) {
        let copy = other.fork();
        let held = std::mem::take(&mut *copy.held());
        *self.held() = held;
    }

    fn check_space(&self) -> Result<(), DiskError> {
        let held = self.held();
        match held.capacity_bytes {
            Some(capacity) if held.used_bytes() >= capacity => {
                Err(DiskError::Full { path: "memory".to_owned(), free_mib: 0, reserve_mib: 0 })
            }
            _ => Ok(()),
        }
    }
}

impl Disk for MemoryDisk {
    fn write(&self, writes: &[Write]) -> Result<(), DiskError> {
        if writes.iter().any(|write| matches!(write, Write::Put(..))) {
            self.check_space()?;
        }
        let mut held = self.held();
        for write in writes {
            match write {
                Write::Put(key, value) => held.hot.insert(key.clone(), value.clone()),
                Write::Remove(key) => held.hot.remove(key),
            };
        }
        Ok(())
    }

    fn acknowledge(&self, sequence: u64) {
        self.held().acknowledged = Some(sequence);
    }

    fn acknowledged(&self) -> Option<u64> {
        self.held().acknowledged
    }

    fn remove(&self, keys: &[Vec<u8>]) -> Result<(), DiskError> {
        let mut held = self.held();
        for key in keys {
            held.hot.remove(key);
        }
        Ok(())
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), DiskError> {
        let hot = self.held().hot.clone();
        let under = hot.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        under.for_each(|(key, value)| visit(key, value));
        Ok(())
    }

    fn blocks(&self) -> Result<Vec<u64>, DiskError> {
        Ok(self.held().blocks.keys().copied().collect())
    }

    fn create_block(&self, block: u64) -> Result<Box<dyn BlockWriter>, DiskError> {
        self.check_space()?;
        self.held().blocks.insert(block, None);
        Ok(Box::new(MemoryBlockWriter { disk: self.clone(), block, values: Values::new() }))
    }

    fn open_block(&self, block: u64) -> Result<Arc<dyn BlockReader>, DiskError> {
        match self.held().blocks.get(&block) {
            Some(Some(values)) => Ok(Arc::new(MemoryBlock(values.clone()))),
            _ => Err(DiskError::Io(format!("there is no block {block:016x}"))),
        }
    }

    fn remove_block(&self, block: u64) -> Result<(), DiskError> {
        self.held().blocks.remove(&block);
        Ok(())
    }

    fn set_aside_block(&self, block: u64) -> Result<String, DiskError> {
        self.remove_block(block)?;
        Ok("nowhere".to_owned())
    }

    fn block_bytes(&self, block: u64) -> Result<u64, DiskError> {
        Ok(self.held().blocks.get(&block).and_then(Option::as_ref).map_or(0, |values| bytes(values)))
    }

    fn hot_bytes(&self) -> Result<u64, DiskError> {
        Ok(bytes(&self.held().hot))
    }

    fn free_bytes(&self) -> Option<u64> {
        let held = self.held();
        held.capacity_bytes.map(|capacity| capacity.saturating_sub(held.used_bytes()))
    }

    fn opened_with_loss(&self) -> Option<String> {
        None
    }
}

struct MemoryBlockWriter {
    disk: MemoryDisk,
    block: u64,
    values: Values,
}

impl BlockWriter for MemoryBlockWriter {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), DiskError> {
        self.disk.check_space()?;
        self.values.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn finish(&mut self) -> Result<(), DiskError> {
        self.disk.held().blocks.insert(self.block, Some(Arc::new(std::mem::take(&mut self.values))));
        Ok(())
    }
}

struct MemoryBlock(Arc<Values>);

impl BlockReader for MemoryBlock {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        Ok(self.0.get(key).cloned())
    }

    fn key_at_or_before(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        Ok(self.0.range(..=key.to_vec()).next_back().map(|(key, _)| key.clone()))
    }

    fn scan_from(&self, key: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), DiskError> {
        for (key, value) in self.0.range(key.to_vec()..) {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}
