//! The objects on disk: one sled database, opened by one process, written in groups.
//!
//! Promise: after `kill -9` at any moment, everything whose [`Journal::durable`] had resolved is there, and of the rest
//! each object is there in one of its states. One flush serves every writer that waits at the time (group commit).
//!
//! Layout of DIR: `lock` (held with `flock`, contains the owner's process id), `format` (one line, the version of what
//! follows), `objects/` (sled; keys and values as in [`super::record`]).
//!
//! A disk that refuses writes turns the registry read-only: what was accepted stays in memory and queued, new writes get
//! 507, and writing is tried again every [`RETRY`]. sled refuses everything after its first I/O error, so it is closed and
//! opened again.
#![allow(clippy::disallowed_methods, reason = "edge: the only place where the registry touches files")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::FlockOperation;
use serde_json::Value;
use tokio::sync::watch;

use super::kinds::Resource;
use super::record::{self, Assembly};
use super::store::Key;

/// What stands in `DIR/format`.
const FORMAT: &str = "flyball-local objects 1";

/// Page cache of sled. All objects are in memory anyway; sled is read once, at start.
const SLED_CACHE_BYTES: u64 = 1024 * 1024;

/// sled's unit of writing; small, since it also sizes its buffers.
const SLED_SEGMENT_BYTES: usize = 512 * 1024;

/// Free space below which nothing is written, so that sled never meets a full disk in the middle of a segment.
const RESERVE_BYTES: u64 = 16 * 1024 * 1024;

/// How long changes nobody waits for are gathered before they are flushed.
const GATHER: Duration = Duration::from_millis(100);

/// Pause before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How often the database is opened again while a copy of its former lock is still held.
const OPEN_TRIES: usize = 100;

/// Pause before it is opened again.
const OPEN_PAUSE: Duration = Duration::from_millis(10);

/// Why the data folder cannot be used. Each text is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the folder.
    #[error(
        "{dir} is in use by another instance (process {pid}): stop it or choose another folder with --dir"
    )]
    Locked {
        /// The data folder.
        dir: PathBuf,
        /// Its owner's process id, `?` when it is not known.
        pid: String,
    },
    /// The folder was written by another version.
    #[error(
        "{dir} holds data of another version (\"{found}\", this program reads \"{FORMAT}\"): \
         use the program that wrote it or choose an empty folder with --dir"
    )]
    Format {
        /// The data folder.
        dir: PathBuf,
        /// The first line of its `format` file.
        found: String,
    },
    /// A file operation failed.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The database could not be opened or read.
    #[error("cannot open the objects in {path}: {source}")]
    Database {
        /// The database's folder.
        path: PathBuf,
        /// What sled said.
        source: sled::Error,
    },
}

/// A data folder that was opened: what it held, and where changes go from now on.
pub(super) struct Opened {
    pub(super) objects: Vec<(&'static Resource, Value)>,
    pub(super) journal: Journal,
}

/// The way to disk.
pub(super) struct Journal {
    pending: Arc<Pending>,
    writer: Mutex<Option<JoinHandle<()>>>,
    _lock: Lock,
}

#[derive(Clone, Default)]
struct Progress {
    version: u64,
    failure: Option<String>,
}

/// Newest state per object, `None` when it is gone: what is overwritten before it is flushed is never written.
type Changes = BTreeMap<Vec<u8>, Option<Arc<Value>>>;

#[derive(Default)]
struct Queue {
    changes: Changes,
    version: u64,
    urgent: bool,
    closing: bool,
}

struct Pending {
    queue: Mutex<Queue>,
    wake: Condvar,
    progress: watch::Sender<Progress>,
}

impl Pending {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens or creates the folder, reads every object and starts the writing thread.
pub(super) fn open(dir: &Path, reserve_bytes: Option<u64>) -> Result<Opened, StoreError> {
    fs::create_dir_all(dir).map_err(|source| StoreError::Io { path: dir.to_owned(), source })?;
    let lock = lock(dir)?;
    check_format(dir)?;
    let path = dir.join("objects");
    let database_error = |source| StoreError::Database { path: path.clone(), source };
    let database = open_database(&path).map_err(database_error)?;
    let mut assembly = Assembly::default();
    for entry in database.iter() {
        let (key, value) = entry.map_err(database_error)?;
        assembly.piece(&key, &value);
    }
    assembly.finish();
    for object in &assembly.broken {
        tracing::error!(object, dir = %dir.display(), "stored object is damaged and left out");
    }
    let pending = Arc::new(Pending {
        queue: Mutex::default(),
        wake: Condvar::new(),
        progress: watch::Sender::new(Progress::default()),
    });
    let reserve_bytes = reserve_bytes.unwrap_or(RESERVE_BYTES);
    let writer =
        Writer { path: path.clone(), database: Some(database), pending: pending.clone(), reserve_bytes };
    let thread = std::thread::Builder::new()
        .name("objects-writer".into())
        .spawn(move || writer.run())
        .map_err(|source| StoreError::Io { path: path.clone(), source })?;
    let journal = Journal { pending, writer: Mutex::new(Some(thread)), _lock: lock };
    Ok(Opened { objects: assembly.objects, journal })
}

/// Opens sled. Its own lock goes with the last copy of a descriptor, and a process that this program is starting has one
/// for a moment; nobody else can, for the folder is ours. So it is tried again for a while.
fn open_database(path: &Path) -> Result<sled::Db, sled::Error> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(SLED_CACHE_BYTES)
        .segment_size(SLED_SEGMENT_BYTES)
        .flush_every_ms(None);
    for _ in 0..OPEN_TRIES {
        match config.open() {
            // What sled calls a lock that is taken.
            Err(sled::Error::Io(error)) if error.kind() == io::ErrorKind::Other => {
                std::thread::sleep(OPEN_PAUSE);
            }
            other => return other,
        }
    }
    config.open()
}

/// The right to the data folder. It is given back when this is dropped, not when the last copy of the descriptor is
/// closed: a process that is being started holds one between its fork and its exec.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

fn lock(dir: &Path) -> Result<Lock, StoreError> {
    let path = dir.join("lock");
    let failed = |source| StoreError::Io { path: path.clone(), source };
    let mut options = File::options();
    let mut file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    if let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(failed(error.into()));
        }
        let mut pid = String::new();
        let known = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
        let pid = if known { pid.trim().to_owned() } else { "?".to_owned() };
        return Err(StoreError::Locked { dir: dir.to_owned(), pid });
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(Lock(file))
}

fn check_format(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join("format");
    match fs::read_to_string(&path) {
        Ok(text) if text.trim() == FORMAT => Ok(()),
        Ok(text) => {
            let found = text.lines().next().unwrap_or("").to_owned();
            Err(StoreError::Format { dir: dir.to_owned(), found })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::write(&path, format!("{FORMAT}\n")).map_err(|source| StoreError::Io { path, source })
        }
        Err(source) => Err(StoreError::Io { path, source }),
    }
}

impl Journal {
    /// Queues the new state of an object, `None` when it is gone. Never blocks on the disk.
    pub(super) fn record(&self, version: u64, resource: &Resource, key: &Key, object: Option<Arc<Value>>) {
        let mut queue = self.pending.queue();
        queue.changes.insert(record::prefix(resource, key), object);
        queue.version = version;
        self.pending.wake.notify_one();
    }

    /// Why writes are refused at the moment, if they are.
    pub(super) fn failure(&self) -> Option<String> {
        self.pending.progress.borrow().failure.clone()
    }

    /// Resolves once everything recorded up to now is on disk; `Err` when the disk does not take it.
    pub(super) async fn durable(&self) -> Result<(), String> {
        let mut progress = self.pending.progress.subscribe();
        let version = {
            let mut queue = self.pending.queue();
            queue.urgent |= !queue.changes.is_empty();
            self.pending.wake.notify_one();
            queue.version
        };
        loop {
            let now = progress.borrow_and_update().clone();
            if now.version >= version {
                return Ok(());
            }
            if let Some(failure) = now.failure {
                return Err(failure);
            }
            if progress.changed().await.is_err() {
                return Err("the writer of the data folder stopped".to_owned());
            }
        }
    }

    /// Writes what is queued and ends the writing thread.
    pub(super) fn close(&self) {
        self.pending.queue().closing = true;
        self.pending.wake.notify_one();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the writer of the data folder panicked");
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

struct Writer {
    path: PathBuf,
    database: Option<sled::Db>,
    pending: Arc<Pending>,
    reserve_bytes: u64,
}

impl Writer {
    fn run(mut self) {
        while let Some((changes, version, closing)) = self.take() {
            match self.write(&changes) {
                Ok(()) => {
                    self.pending.progress.send_replace(Progress { version, failure: None });
                }
                Err(failure) => {
                    tracing::error!(failure, "objects cannot be written");
                    self.give_back(changes, failure);
                    if closing {
                        break;
                    }
                    self.pause();
                }
            }
        }
    }

    /// Waits for changes and takes them all; `None` when closing with nothing left.
    fn take(&self) -> Option<(Changes, u64, bool)> {
        let mut queue = self.pending.queue();
        while queue.changes.is_empty() && !queue.closing {
            queue = self.pending.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if !queue.urgent && !queue.closing {
            let gathered =
                self.pending.wake.wait_timeout_while(queue, GATHER, |queue| !queue.urgent && !queue.closing);
            queue = gathered.unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.urgent = false;
        let changes = std::mem::take(&mut queue.changes);
        if changes.is_empty() { None } else { Some((changes, queue.version, queue.closing)) }
    }

    fn write(&mut self, changes: &Changes) -> Result<(), String> {
        self.check_space()?;
        let result = self.write_database(changes);
        if result.is_err() {
            self.database = None;
        }
        result.map_err(|error| format!("the data folder {} cannot be written: {error}", self.path.display()))
    }

    fn write_database(&mut self, changes: &Changes) -> Result<(), sled::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open_database(&self.path)?,
        };
        let database = self.database.insert(database);
        let mut batch = sled::Batch::default();
        for (prefix, object) in changes {
            let pieces = object.as_deref().map(record::encode).unwrap_or_default();
            for key in database.scan_prefix(prefix).keys().skip(pieces.len()) {
                batch.remove(key?);
            }
            for (number, value) in (0..).zip(pieces) {
                batch.insert(record::piece_key(prefix, number), value);
            }
        }
        database.apply_batch(batch)?;
        database.flush()?;
        Ok(())
    }

    fn check_space(&self) -> Result<(), String> {
        let Ok(space) = rustix::fs::statvfs(&self.path) else { return Ok(()) };
        let free_bytes = space.f_bavail.saturating_mul(space.f_frsize);
        if free_bytes >= self.reserve_bytes {
            return Ok(());
        }
        Err(format!(
            "the disk of the data folder {} is full ({} MiB free, {} MiB are kept in reserve): free some space",
            self.path.display(),
            free_bytes >> 20,
            self.reserve_bytes >> 20
        ))
    }

    fn give_back(&self, changes: Changes, failure: String) {
        let mut queue = self.pending.queue();
        for (key, object) in changes {
            queue.changes.entry(key).or_insert(object);
        }
        drop(queue);
        self.pending.progress.send_modify(|progress| progress.failure = Some(failure));
    }

    fn pause(&self) {
        let queue = self.pending.queue();
        let waited = self.pending.wake.wait_timeout_while(queue, RETRY, |queue| !queue.closing);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Writer {
    /// Also runs when the thread panics: waiters must hear that nothing will be written any more.
    fn drop(&mut self) {
        self.pending.progress.send_modify(|progress| {
            progress.failure.get_or_insert_with(|| "the data folder is closed".to_owned());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_descriptor_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        assert!(matches!(lock(dir.path()), Err(StoreError::Locked { .. })));
        let copy = held.0.try_clone().unwrap();
        drop(held);
        assert!(lock(dir.path()).is_ok());
        drop(copy);
    }

    #[test]
    fn the_database_opens_once_a_copy_of_its_lock_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        drop(open_database(dir.path()).unwrap());
        let held = File::open(dir.path().join("db")).unwrap();
        rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        let opening = std::thread::spawn({
            let path = dir.path().to_owned();
            move || open_database(&path).map(drop)
        });
        std::thread::sleep(3 * OPEN_PAUSE);
        assert!(!opening.is_finished());
        drop(held);
        opening.join().unwrap().unwrap();
    }
}
