//! History on disk, by sled, laid out by measurement: values of the hot database below 6 KiB, blocks of their own databases
//! with values of about 120 KiB that are written once. Anything else leaks files or bloats (`docs/storage-format.md`).
//!
//! Layout of DIR: `lock` (held with `flock`, contains the owner's process id), `format` (one line), `acknowledged` (the sequence
//! up to which `hot/` holds everything, and its checksum), `hot/`, `blocks/NAME/`, `aside/` (what could not be read, kept for a person to look at).
//!
//! sled refuses everything after its first I/O error, so the hot database is closed then and opened again. It panics on some
//! damaged files; such a panic is caught and is [`DiskError::Corrupt`].
#![allow(clippy::disallowed_methods, reason = "edge: the only place where history touches files")]

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::FlockOperation;

use super::{BlockReader, BlockWriter, Disk, DiskError, Write};
use crate::frame;

/// Name of the file that says how far the log goes.
const ACKNOWLEDGED: &str = "acknowledged";

/// What stands in `DIR/format`: the newest layout that may be in there.
const FORMAT: &str = "flyball-tsdb 2";

/// An older one that this program reads; from now on it may hold what is newer.
const FORMAT_BEFORE: &str = "flyball-tsdb 1";

/// Page cache of the hot database: it is written, and read once at start.
const HOT_CACHE_BYTES: u64 = 4 << 20;

/// The hot database is closed, and opened again when it is next asked, after so many bytes were written or read, or after
/// a part of its size: what sled keeps of pages that it wrote it gives back only then. Its cache looks for what to give up
/// only when a 256th of the pages was touched 64 times.
const REOPENED_AFTER_BYTES: u64 = 6 << 20;
const REOPENED_AFTER_PART: u64 = 24;

/// What a key that is removed counts: the value that is read for it.
const REMOVED_BYTES: usize = 4 << 10;

/// Page cache of an open block.
const BLOCK_CACHE_BYTES: u64 = 4 << 20;

/// sled's unit of writing: values of the hot database stay below a 64th of it, so that none gets a file of its own.
const SEGMENT_BYTES: usize = 512 << 10;

/// How often a database is opened again while a copy of its former lock is still held, and the pause before.
const OPEN_TRIES: usize = 100;
const OPEN_PAUSE: Duration = Duration::from_millis(10);

/// See the module.
pub struct SledDisk {
    dir: PathBuf,
    hot: Mutex<Hot>,
    reserve_bytes: u64,
    acknowledged: File,
    loss: Option<String>,
    _lock: Lock,
}

/// The database that is always open, but for moments.
#[derive(Default)]
struct Hot {
    database: Option<sled::Db>,
    /// Bytes written and read since it was opened.
    touched_bytes: u64,
}

/// The right to the data folder. Given back when this is dropped, not when the last copy of the descriptor is closed: a
/// process that is being started holds one between its fork and its exec.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> DiskError + '_ {
    move |error| DiskError::Io(format!("{}: {error}", path.display()))
}

fn sled_error(path: &Path, error: &sled::Error) -> DiskError {
    let text = format!("{}: {error}", path.display());
    match error {
        sled::Error::Io(_) => DiskError::Io(text),
        _ => DiskError::Corrupt(text),
    }
}

/// Runs something of sled's; a panic of it is damage.
fn guarded<T>(path: &Path, run: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, DiskError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(|error| sled_error(path, &error)),
        Err(_) => Err(DiskError::Corrupt(format!("{}: the database cannot be read", path.display()))),
    }
}

fn lock(dir: &Path) -> Result<Lock, DiskError> {
    let path = dir.join("lock");
    let failed = io_error(&path);
    let mut options = File::options();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).open(&path).map_err(&failed)?;
    if let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(failed(error.into()));
        }
        let mut pid = String::new();
        let known = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
        let pid = if known { format!("process {}", pid.trim()) } else { "?".to_owned() };
        return Err(DiskError::Locked { path: dir.display().to_string(), pid });
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(&failed)?;
    writeln!(file, "{}", std::process::id()).map_err(&failed)?;
    Ok(Lock(file))
}

fn check_format(dir: &Path) -> Result<(), DiskError> {
    let path = dir.join("format");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(io_error(&path)(error)),
    };
    let text = String::from_utf8_lossy(&bytes);
    match text.trim() {
        FORMAT => Ok(()),
        // Not there, or cut off while it was written for the first time.
        "" | FORMAT_BEFORE => write_format(dir),
        _ => Err(DiskError::Format {
            path: dir.display().to_string(),
            found: text.lines().next().unwrap_or("").chars().take(FOUND_SHOWN).collect(),
            expected: FORMAT,
        }),
    }
}

/// Most characters of a foreign format that are shown.
const FOUND_SHOWN: usize = 40;

/// In one step: a crash leaves the old file or the new one.
fn write_format(dir: &Path) -> Result<(), DiskError> {
    let (path, fresh) = (dir.join("format"), dir.join("format.new"));
    fs::write(&fresh, format!("{FORMAT}\n"))
        .and_then(|()| File::open(&fresh)?.sync_all())
        .and_then(|()| fs::rename(&fresh, &path))
        .map_err(io_error(&path))
}

fn open_database(path: &Path, cache_bytes: u64) -> Result<sled::Db, DiskError> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(cache_bytes)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(None);
    for _ in 0..OPEN_TRIES {
        match guarded(path, || match config.open() {
            // What sled calls a lock that is taken; the folder is ours, so it is a copy that goes in a moment.
            Err(sled::Error::Io(error)) if error.kind() == io::ErrorKind::Other => Ok(None),
            other => other.map(Some),
        })? {
            Some(database) => return Ok(database),
            None => std::thread::sleep(OPEN_PAUSE),
        }
    }
    Err(DiskError::Io(format!("{}: the database is locked", path.display())))
}

/// What sled keeps beside its data and makes anew when it is not there: how it was set, and where it stood when it was last
/// looked through.
const CONF: &str = "conf";
const SNAPSHOT: &str = "snap.";

/// Opens a database. One that cannot be opened is tried again without its `conf`, and with `snapshots` also without those,
/// which a database that is never changed can do without; answers whether that helped. What does not help stays as it was.
fn open_mending(path: &Path, cache_bytes: u64, snapshots: bool) -> Result<(sled::Db, bool), DiskError> {
    let failure = match open_database(path, cache_bytes) {
        Err(error @ DiskError::Corrupt(_)) => error,
        other => return other.map(|database| (database, false)),
    };
    let mut away = Vec::new();
    for prefix in [CONF, SNAPSHOT].into_iter().take(if snapshots { 2 } else { 1 }) {
        if !put_away(path, prefix, &mut away)? {
            continue;
        }
        match open_database(path, cache_bytes) {
            Ok(database) => {
                tracing::warn!(path = %path.display(), files = away.len(), "a damaged database was mended");
                away.iter().for_each(|(_, to)| drop(fs::remove_file(to)));
                return Ok((database, true));
            }
            Err(DiskError::Corrupt(_)) => {}
            Err(other) => return Err(other),
        }
    }
    for (from, to) in away.into_iter().rev() {
        fs::rename(&to, &from).map_err(io_error(&to))?;
    }
    Err(failure)
}

/// Gives the files of a folder whose names begin with `prefix` names that mean nothing to sled; whether there were any.
fn put_away(path: &Path, prefix: &str, away: &mut Vec<(PathBuf, PathBuf)>) -> Result<bool, DiskError> {
    let before = away.len();
    for entry in fs::read_dir(path).map_err(io_error(path))? {
        let from = entry.map_err(io_error(path))?.path();
        let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(prefix) {
            let to = path.join(format!("damaged-{name}"));
            fs::rename(&from, &to).map_err(io_error(&from))?;
            away.push((from, to));
        }
    }
    Ok(away.len() > before)
}

/// Changes for which sled leaves about as much garbage as is collected at once.
const CHANGES_PER_COLLECTION: usize = 64;

/// Garbage is collected when its epoch has been over twice.
const EPOCHS: usize = 4;

/// Frees what sled has thrown away. It leaves that to the collector that it shares with everybody (crossbeam's), which works
/// when it is called and for its part: far too slow for batches, each of which is one call.
fn collect(changes: usize) {
    for _ in 0..changes / CHANGES_PER_COLLECTION + EPOCHS {
        crossbeam_epoch::pin().flush();
    }
}

impl SledDisk {
    /// Opens the data folder, which is made if it is not there. A hot database that cannot be read is moved aside, and
    /// [`super::Disk::opened_with_loss`] says so.
    ///
    /// # Errors
    /// The folder is in use, of another version, or cannot be used.
    pub fn open(dir: &Path, reserve_bytes: u64) -> Result<SledDisk, DiskError> {
        let blocks = dir.join("blocks");
        fs::create_dir_all(&blocks).map_err(io_error(&blocks))?;
        let lock = lock(dir)?;
        check_format(dir)?;
        let acknowledged = dir.join(ACKNOWLEDGED);
        let mut options = File::options();
        let acknowledged = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&acknowledged)
            .map_err(io_error(&acknowledged))?;
        let hot = Mutex::default();
        let mut disk =
            SledDisk { dir: dir.to_owned(), hot, reserve_bytes, acknowledged, loss: None, _lock: lock };
        let path = disk.hot_path();
        // Of a log its snapshot is needed: older segments are written over.
        let hot = match open_mending(&path, HOT_CACHE_BYTES, false).map(|(hot, _)| hot) {
            Err(DiskError::Corrupt(reason)) => {
                let aside = disk.set_aside(&path, "hot")?;
                disk.loss = Some(format!("the log could not be read ({reason}); it was moved to {aside}"));
                open_database(&path, HOT_CACHE_BYTES)?
            }
            other => other?,
        };
        disk.hot = Mutex::new(Hot { database: Some(hot), touched_bytes: 0 });
        Ok(disk)
    }

    /// Makes a new data folder and fills it; one that holds something is refused. What could not be filled is removed again:
    /// half a copy would look like a store.
    pub(crate) fn fill_new<E: From<DiskError>>(
        dir: &Path,
        reserve_bytes: u64,
        fill: impl FnOnce(&SledDisk) -> Result<(), E>,
    ) -> Result<(), E> {
        let existed = dir.exists();
        if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(DiskError::Io(format!("{}: the folder is not empty", dir.display())).into());
        }
        let filled = SledDisk::open(dir, reserve_bytes).map_err(E::from).and_then(|disk| fill(&disk));
        if filled.is_err() {
            let removed = fs::remove_dir_all(dir);
            let emptied = if existed { removed.and_then(|()| fs::create_dir(dir)) } else { removed };
            if let Err(error) = emptied {
                tracing::warn!(path = %dir.display(), %error, "a part of a copy stays");
            }
        }
        filled
    }

    fn hot_path(&self) -> PathBuf {
        self.dir.join("hot")
    }

    fn block_path(&self, block: u64) -> PathBuf {
        self.dir.join("blocks").join(format!("{block:016x}"))
    }

    fn set_aside(&self, path: &Path, name: &str) -> Result<String, DiskError> {
        let aside = self.dir.join("aside");
        fs::create_dir_all(&aside).map_err(io_error(&aside))?;
        let free = (0..).map(|number| aside.join(format!("{name}.{number}"))).find(|path| !path.exists());
        let target = free.unwrap_or_else(|| aside.join(name));
        fs::rename(path, &target).map_err(io_error(path))?;
        Ok(target.display().to_string())
    }

    fn hot(&self) -> Result<sled::Db, DiskError> {
        let mut hot = self.hot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &hot.database {
            return Ok(database.clone());
        }
        let database = open_database(&self.hot_path(), HOT_CACHE_BYTES)?;
        *hot = Hot { database: Some(database.clone()), touched_bytes: 0 };
        Ok(database)
    }

    fn close_hot(&self) {
        *self.hot.lock().unwrap_or_else(PoisonError::into_inner) = Hot::default();
    }

    /// Notes what was written, and closes the database when that was much. Whoever else has it meanwhile keeps it
    /// open, and the next one waits for him.
    fn touched(&self, bytes: usize) {
        let mut hot = self.hot.lock().unwrap_or_else(PoisonError::into_inner);
        hot.touched_bytes += bytes as u64;
        if hot.touched_bytes >= REOPENED_AFTER_BYTES {
            let part = self.hot_bytes().unwrap_or(0) / REOPENED_AFTER_PART;
            if hot.touched_bytes >= part {
                *hot = Hot::default();
            }
        }
    }

    fn check_space(&self) -> Result<(), DiskError> {
        let free_bytes = self.free_now();
        match free_bytes {
            Some(free_bytes) if free_bytes < self.reserve_bytes => Err(DiskError::Full {
                path: self.dir.display().to_string(),
                free_mib: free_bytes >> 20,
                reserve_mib: self.reserve_bytes >> 20,
            }),
            _ => Ok(()),
        }
    }

    fn free_now(&self) -> Option<u64> {
        let space = rustix::fs::statvfs(&self.dir).ok()?;
        Some(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

impl Disk for SledDisk {
    fn write(&self, writes: &[Write]) -> Result<(), DiskError> {
        if writes.iter().any(|write| matches!(write, Write::Put(..))) {
            self.check_space()?;
        }
        let hot = self.hot()?;
        let mut batch = sled::Batch::default();
        let mut bytes = 0;
        for write in writes {
            match write {
                Write::Put(key, value) => {
                    bytes += value.len();
                    batch.insert(key.as_slice(), value.as_slice());
                }
                Write::Remove(key) => {
                    bytes += REMOVED_BYTES;
                    batch.remove(key.as_slice());
                }
            }
        }
        let path = self.hot_path();
        let result = guarded(&path, || {
            hot.apply_batch(batch)?;
            hot.flush().map(|_| ())
        });
        drop(hot);
        if result.is_err() {
            self.close_hot();
        } else {
            self.touched(bytes);
            collect(writes.len());
        }
        result
    }

    fn acknowledge(&self, sequence: u64) {
        // What cannot be noted is not missed later: the loss of the log's end would not be told, that is all.
        let noted = frame::close(ACKNOWLEDGED.as_bytes(), &sequence.to_le_bytes());
        if let Err(error) = self.acknowledged.write_all_at(&noted, 0) {
            tracing::debug!(%error, "the end of the log is not noted");
        }
    }

    fn acknowledged(&self) -> Option<u64> {
        let mut noted = [0; frame::HEADER_BYTES + 8];
        self.acknowledged.read_exact_at(&mut noted, 0).ok()?;
        let body = frame::open(ACKNOWLEDGED.as_bytes(), &noted).ok()?;
        Some(u64::from_le_bytes(body.try_into().ok()?))
    }

    /// One by one and in order: a batch would go through the pages at random, and read each again and again.
    fn remove(&self, keys: &[Vec<u8>]) -> Result<(), DiskError> {
        let hot = self.hot()?;
        let result = guarded(&self.hot_path(), || {
            for key in keys {
                hot.remove(key)?;
            }
            Ok(())
        });
        drop(hot);
        if result.is_err() {
            self.close_hot();
        } else {
            self.touched(keys.len() * REMOVED_BYTES);
            collect(keys.len());
        }
        result
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), DiskError> {
        let hot = self.hot()?;
        let mut bytes = 0;
        let scanned = guarded(&self.hot_path(), || {
            for entry in hot.scan_prefix(prefix) {
                let (key, value) = entry?;
                bytes += value.len();
                visit(&key, &value);
            }
            Ok(())
        });
        // Whoever reads it at the start reads on: the next who writes closes it.
        self.hot.lock().unwrap_or_else(PoisonError::into_inner).touched_bytes += bytes as u64;
        scanned
    }

    fn blocks(&self) -> Result<Vec<u64>, DiskError> {
        let path = self.dir.join("blocks");
        let mut blocks = Vec::new();
        for entry in fs::read_dir(&path).map_err(io_error(&path))? {
            let name = entry.map_err(io_error(&path))?.file_name();
            blocks.extend(name.to_str().and_then(|name| u64::from_str_radix(name, 16).ok()));
        }
        blocks.sort_unstable();
        Ok(blocks)
    }

    fn create_block(&self, block: u64) -> Result<Box<dyn BlockWriter>, DiskError> {
        self.check_space()?;
        let path = self.block_path(block);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(io_error(&path))?;
        }
        let database = open_database(&path, BLOCK_CACHE_BYTES)?;
        Ok(Box::new(SledBlockWriter { path, database: Some(database), unflushed_bytes: 0 }))
    }

    fn open_block(&self, block: u64) -> Result<Arc<dyn BlockReader>, DiskError> {
        let path = self.block_path(block);
        if !path.exists() {
            return Err(DiskError::Corrupt(format!("{}: the folder is gone", path.display())));
        }
        let (database, mended) = open_mending(&path, BLOCK_CACHE_BYTES, true)?;
        Ok(Arc::new(SledBlock { path, database, mended }))
    }

    fn remove_block(&self, block: u64) -> Result<(), DiskError> {
        let path = self.block_path(block);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(&path)(error)),
            _ => Ok(()),
        }
    }

    fn set_aside_block(&self, block: u64) -> Result<String, DiskError> {
        self.set_aside(&self.block_path(block), &format!("block-{block:016x}"))
    }

    fn block_bytes(&self, block: u64) -> Result<u64, DiskError> {
        folder_bytes(&self.block_path(block))
    }

    fn hot_bytes(&self) -> Result<u64, DiskError> {
        folder_bytes(&self.hot_path())
    }

    fn free_bytes(&self) -> Option<u64> {
        self.free_now().map(|free| free.saturating_sub(self.reserve_bytes))
    }

    fn opened_with_loss(&self) -> Option<String> {
        self.loss.clone()
    }
}

/// Bytes that a folder really takes: allocated blocks, not lengths. A file that goes meanwhile counts nothing.
fn folder_bytes(path: &Path) -> Result<u64, DiskError> {
    /// What the kernel counts blocks in.
    const ALLOCATED_UNIT: u64 = 512;
    let mut total = 0;
    for entry in fs::read_dir(path).map_err(io_error(path))? {
        let Ok(entry) = entry else { continue };
        let Ok(metadata) = entry.metadata() else { continue };
        total += metadata.blocks() * ALLOCATED_UNIT;
        if metadata.is_dir() {
            total += folder_bytes(&entry.path()).unwrap_or(0);
        }
    }
    Ok(total)
}

/// Bytes after which a block that is written is flushed, so that sled does not hold it all in memory.
const FLUSH_BYTES: usize = 8 << 20;

struct SledBlockWriter {
    path: PathBuf,
    database: Option<sled::Db>,
    unflushed_bytes: usize,
}

impl BlockWriter for SledBlockWriter {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), DiskError> {
        let Some(database) = &self.database else { return Ok(()) };
        self.unflushed_bytes += value.len();
        let flush = self.unflushed_bytes >= FLUSH_BYTES;
        if flush {
            self.unflushed_bytes = 0;
        }
        guarded(&self.path, || {
            database.insert(key, value)?;
            if flush { database.flush().map(|_| ()) } else { Ok(()) }
        })
    }

    fn finish(&mut self) -> Result<(), DiskError> {
        if let Some(database) = self.database.take() {
            guarded(&self.path, || database.flush())?;
            drop(database);
            collect(CHANGES_PER_COLLECTION * EPOCHS);
        }
        // The folder's own entry has to outlive a loss of power too.
        let parent = self.path.parent().unwrap_or(&self.path);
        let folder = File::open(parent).map_err(io_error(parent))?;
        folder.sync_all().map_err(io_error(parent))
    }
}

struct SledBlock {
    path: PathBuf,
    database: sled::Db,
    mended: bool,
}

impl BlockReader for SledBlock {
    fn mended(&self) -> bool {
        self.mended
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        guarded(&self.path, || Ok(self.database.get(key)?.map(|value| value.to_vec())))
    }

    fn key_at_or_before(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        guarded(&self.path, || {
            let last = self.database.range(..=key.to_vec()).next_back();
            Ok(last.transpose()?.map(|(key, _)| key.to_vec()))
        })
    }

    fn scan_from(&self, key: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), DiskError> {
        guarded(&self.path, || {
            for entry in self.database.range(key.to_vec()..) {
                let (key, value) = entry?;
                if !visit(&key, &value) {
                    break;
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = SledDisk::open(dir.path(), 0).unwrap();
        let Err(error) = SledDisk::open(dir.path(), 0) else { panic!("opened twice") };
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        SledDisk::open(dir.path(), 0).unwrap();
    }

    #[test]
    fn much_is_written_across_several_openings() {
        let dir = tempfile::tempdir().unwrap();
        let disk = SledDisk::open(dir.path(), 0).unwrap();
        let value = vec![7; 6 << 10];
        let count = 2 * (REOPENED_AFTER_BYTES as usize / value.len());
        for first in (0..count).step_by(64) {
            let puts =
                (first..first + 64).map(|number| Write::Put(number.to_be_bytes().to_vec(), value.clone()));
            disk.write(&puts.collect::<Vec<_>>()).unwrap();
        }
        assert!(disk.hot.lock().unwrap().touched_bytes < REOPENED_AFTER_BYTES);
        let mut seen = 0;
        disk.scan(&[], &mut |_, found| seen += usize::from(found == value)).unwrap();
        assert_eq!(seen, count.div_ceil(64) * 64);
    }

    #[test]
    fn another_format_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for (foreign, shown) in
            [(&b"flyball-tsdb 3\n"[..], "flyball-tsdb 3"), (b"flyball-tsdb \xff\xfe", "flyball-tsdb")]
        {
            fs::write(dir.path().join("format"), foreign).unwrap();
            let Err(error) = SledDisk::open(dir.path(), 0) else { panic!("opened") };
            let text = error.to_string();
            assert!(text.contains("another version") && text.contains(shown), "{text}");
        }
    }

    #[test]
    fn an_older_format_is_read_and_noted_as_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("format"), "flyball-tsdb 1\n").unwrap();
        drop(SledDisk::open(dir.path(), 0).unwrap());
        assert_eq!(fs::read_to_string(dir.path().join("format")).unwrap(), "flyball-tsdb 2\n");
    }

    /// Turns a bit around in the middle of the first file of a folder whose name begins so.
    fn damage(folder: &Path, prefix: &str) {
        let mut entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(prefix);
        let path = entries.find(named).unwrap_or_else(|| panic!("no {prefix} in {}", folder.display()));
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(&path, bytes).unwrap();
    }

    #[test]
    fn what_sled_makes_anew_costs_nothing_when_it_is_damaged() {
        for file in [CONF, SNAPSHOT] {
            let dir = tempfile::tempdir().unwrap();
            let disk = SledDisk::open(dir.path(), 0).unwrap();
            let mut writer = disk.create_block(1).unwrap();
            (0..100_u8).for_each(|number| writer.put(&[number], &[number; 5000]).unwrap());
            writer.finish().unwrap();
            disk.write(&[Write::Put(b"key".to_vec(), b"value".to_vec())]).unwrap();
            drop(writer);
            // Opened and closed once more, so that there is a snapshot.
            drop(disk.open_block(1).unwrap());
            drop(disk);
            damage(&dir.path().join("blocks").join(format!("{:016x}", 1)), file);
            damage(&dir.path().join("hot"), CONF);
            let disk = SledDisk::open(dir.path(), 0).unwrap();
            assert_eq!(disk.opened_with_loss(), None);
            let mut values = 0;
            disk.scan(b"key", &mut |_, value| values += usize::from(value == b"value")).unwrap();
            assert_eq!(values, 1);
            let block = disk.open_block(1).unwrap();
            assert!(block.mended());
            for number in 0..100_u8 {
                assert_eq!(block.get(&[number]).unwrap(), Some(vec![number; 5000]), "{file}: {number}");
            }
            drop(block);
            assert!(!disk.open_block(1).unwrap().mended(), "{file}");
        }
    }

    #[test]
    fn an_unreadable_log_is_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        let disk = SledDisk::open(dir.path(), 0).unwrap();
        disk.write(&[Write::Put(b"key".to_vec(), b"value".to_vec())]).unwrap();
        drop(disk);
        // It is made at the next opening.
        drop(SledDisk::open(dir.path(), 0).unwrap());
        damage(&dir.path().join("hot"), SNAPSHOT);
        let disk = SledDisk::open(dir.path(), 0).unwrap();
        let loss = disk.opened_with_loss().unwrap();
        assert!(loss.contains("aside"), "{loss}");
        assert!(dir.path().join("aside").join("hot.0").exists());
        disk.write(&[Write::Put(b"key".to_vec(), b"value".to_vec())]).unwrap();
    }

    #[test]
    fn half_a_copy_does_not_stay() {
        let dir = tempfile::tempdir().unwrap();
        let fill = |disk: &SledDisk| -> Result<(), DiskError> {
            drop(disk.create_block(1)?);
            Err(DiskError::Io("the rest is missing".into()))
        };
        for target in [dir.path().to_owned(), dir.path().join("new")] {
            let existed = target.exists();
            let error = SledDisk::fill_new(&target, 0, fill).unwrap_err();
            assert!(error.to_string().contains("the rest is missing"), "{error}");
            assert_eq!(target.exists(), existed);
            assert!(!existed || fs::read_dir(&target).unwrap().next().is_none());
        }
        SledDisk::fill_new(dir.path(), 0, |_| Ok::<_, DiskError>(())).unwrap();
        let error = SledDisk::fill_new(dir.path(), 0, fill).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
        assert!(dir.path().join("format").exists());
    }

    #[test]
    fn a_disk_without_room_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let disk = SledDisk::open(dir.path(), u64::MAX).unwrap();
        let error = disk.write(&[Write::Put(b"key".to_vec(), b"value".to_vec())]).unwrap_err();
        assert!(matches!(error, DiskError::Full { .. }), "{error}");
        disk.write(&[Write::Remove(b"key".to_vec())]).unwrap();
    }
}
