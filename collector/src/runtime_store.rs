//! What the container runtime says of its images and of containers' writable layers together: CRI's `ImageFsInfo`, asked
//! again and again where the runtime is among the sources of names. And what it says of each writable layer, as long as there are
//! some that files do not tell of: those of runtimes that use no overlays, and those in virtual machines.

use crate::cri;
use crate::disk::ROUND;
use crate::name_source::NameSource;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Time between two questions about layers: a layer is shown within half a minute, and the runtime measures each ten seconds.
const LAYERS_PAUSE: Duration = Duration::from_secs(5);

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

/// What layers take, by container id.
pub type Layers = Arc<HashMap<String, StoreUse>>;

/// The last answers. None before the first and while the runtime does not answer.
#[derive(Debug, Default)]
pub struct LatestStore {
    store: Mutex<Option<Store>>,
    layers: Mutex<Layers>,
    wants_layers: AtomicBool,
}

impl LatestStore {
    /// The last answer.
    pub fn get(&self) -> Option<Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was said of layers last; nothing unless it was [wanted](LatestStore::want_layers).
    pub fn layers(&self) -> Layers {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there are layers of which files do not tell.
    pub fn want_layers(&self, wanted: bool) {
        self.wants_layers.store(wanted, Ordering::Relaxed);
    }

    pub(crate) fn wants_layers(&self) -> bool {
        self.wants_layers.load(Ordering::Relaxed)
    }

    fn put(&self, store: Option<Store>) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = store;
    }

    /// As the runtime's word.
    pub(crate) fn put_layers(&self, layers: HashMap<String, StoreUse>) {
        *self.layers.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(layers);
    }
}

/// Asks the runtime once per round of disk use, for as long as it is polled. Ends at once where no source is a runtime.
pub async fn follow(sources: &[NameSource], latest: &LatestStore) {
    let runtime = sources.iter().find_map(|source| match source {
        NameSource::Cri(socket) => Some(socket.as_deref()),
        _ => None,
    });
    let Some(socket) = runtime else { return };
    let stores = async {
        loop {
            let answer = cri::store(socket).await;
            if let Err(error) = &answer {
                tracing::debug!(%error, "the runtime's file systems are not known");
            }
            latest.put(answer.ok());
            tokio::time::sleep(ROUND).await;
        }
    };
    let layers = async {
        loop {
            tokio::time::sleep(LAYERS_PAUSE).await;
            let answer = match latest.wants_layers() {
                true => cri::layers(socket).await,
                false => Ok(HashMap::new()),
            };
            if let Err(error) = &answer {
                tracing::debug!(%error, "what writable layers take is not known");
            }
            latest.put_layers(answer.unwrap_or_default());
        }
    };
    tokio::join!(stores, layers);
}
