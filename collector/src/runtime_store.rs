//! What the container runtime says of its images and of containers' writable layers together: CRI's `ImageFsInfo`, asked
//! again and again where the runtime is among the sources of names.

use crate::cri;
use crate::disk::ROUND;
use crate::name_source::NameSource;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// What is used of one file system for one purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUse {
    /// A folder on it, of the host.
    pub mountpoint: PathBuf,
    /// Bytes.
    pub bytes: Option<u64>,
    /// Inodes.
    pub inodes: Option<u64>,
    /// When the runtime measured it, Unix milliseconds.
    pub unix_ms: i64,
}

/// What a runtime keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Images.
    pub images: StoreUse,
    /// Writable layers, of runtimes that tell them apart.
    pub containers: Option<StoreUse>,
}

/// The last answer. None before the first and while the runtime does not answer.
#[derive(Debug, Default)]
pub struct LatestStore(Mutex<Option<Store>>);

impl LatestStore {
    /// The last answer.
    pub fn get(&self) -> Option<Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, store: Option<Store>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = store;
    }
}

/// Asks the runtime once per round of disk use, for as long as it is polled. Ends at once where no source is a runtime.
pub async fn follow(sources: &[NameSource], latest: &LatestStore) {
    let runtime = sources.iter().find_map(|source| match source {
        NameSource::Cri(socket) => Some(socket.as_deref()),
        _ => None,
    });
    let Some(socket) = runtime else { return };
    loop {
        let answer = cri::store(socket).await;
        if let Err(error) = &answer {
            tracing::debug!(%error, "the runtime's file systems are not known");
        }
        latest.put(answer.ok());
        tokio::time::sleep(ROUND).await;
    }
}
