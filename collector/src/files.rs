#![allow(clippy::disallowed_methods, reason = "opens the kernel's files")]
//! Opening and reading kernel files cheaply: relative to a kept folder, into a reused buffer.

use crate::cost;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;
use std::cell::Cell;
use std::ffi::CStr;
use std::path::Path;

/// Size of the read buffer: `cgroup.procs` of ninety thousand processes, or three lists of two thousand interfaces. Memory
/// that no file ever filled is never taken from the machine. A longer text is no value, for a part of it would be a wrong one.
pub const BUFFER_BYTES: usize = 768 * 1024;
/// A text of at least so many bytes may go on: the kernel gives lists in pages that end after a whole line, so that a
/// first one is never shorter than half of the smallest page there is.
const MAY_GO_ON_BYTES: usize = 2048;

const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;
/// Descriptors left to connections and other parts of the process.
const RESERVED_DESCRIPTORS: usize = 2_048;

/// Why a file gave no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFault {
    /// ENODEV: the group of an open file was removed.
    Gone,
    /// ENOENT: the file is not there; the folder may or may not be.
    Missing,
    /// No permission.
    Denied,
    /// No descriptors left.
    Descriptors,
    /// Any other error.
    Other,
    /// The file was read but does not hold what it should.
    Malformed,
    /// The file has more text than is read of any.
    TooLong,
}

/// Every kind of fault, in the order of their numbers.
pub const READ_FAULTS: [(ReadFault, &str); 7] = [
    (ReadFault::Gone, "gone"),
    (ReadFault::Missing, "missing"),
    (ReadFault::Denied, "denied"),
    (ReadFault::Descriptors, "descriptors"),
    (ReadFault::Other, "other"),
    (ReadFault::Malformed, "malformed"),
    (ReadFault::TooLong, "too_long"),
];

impl From<Errno> for ReadFault {
    fn from(errno: Errno) -> ReadFault {
        match errno {
            Errno::NODEV => ReadFault::Gone,
            // OPNOTSUPP: the file is there and switched off, as pressure files can be.
            Errno::NOENT | Errno::NOTDIR | Errno::OPNOTSUPP => ReadFault::Missing,
            Errno::ACCESS | Errno::PERM => ReadFault::Denied,
            Errno::MFILE | Errno::NFILE => ReadFault::Descriptors,
            _ => ReadFault::Other,
        }
    }
}

/// How many descriptors may still be kept open. Shared by everything that keeps some.
#[derive(Debug)]
pub struct Budget {
    files: Cell<usize>,
    folders: Cell<usize>,
}

impl Budget {
    /// At most `kept_files` counter files; with the folders at most what the process may open less a reserve for
    /// everything else, or half of it where that is more.
    pub fn new(kept_files: usize) -> Budget {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let most = limit.saturating_sub(RESERVED_DESCRIPTORS).max(limit / 2);
        let files = kept_files.min(most / 4 * 3);
        Budget { files: Cell::new(files), folders: Cell::new(most - files) }
    }

    /// Nothing is ever kept: for trees that are not kernel file systems, where an open file outlives its removal.
    pub fn none() -> Budget {
        Budget { files: Cell::new(0), folders: Cell::new(0) }
    }

    fn take(cell: &Cell<usize>) -> bool {
        let left = cell.get();
        cell.set(left.saturating_sub(1));
        left > 0
    }

    /// Asks to keep a counter file.
    pub fn take_file(&self) -> bool {
        Budget::take(&self.files)
    }

    /// Asks to keep a folder.
    pub fn take_folder(&self) -> bool {
        Budget::take(&self.folders)
    }

    /// Gives descriptors back.
    pub fn give_back(&self, files: usize, folders: usize) {
        self.files.set(self.files.get() + files);
        self.folders.set(self.folders.get() + folders);
    }
}

/// Raises the process's limit of open descriptors to the most it may have, as programs that watch many groups do.
/// Gives the limit in force afterwards.
pub fn raise_descriptor_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current
}

/// Opens a folder for use as the base of relative paths.
pub fn open_folder(path: &Path) -> rustix::io::Result<OwnedFd> {
    cost::called(1);
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Puts a file's path below a folder's, empty for none, into a buffer, as the kernel takes it: without a copy.
///
/// # Errors
/// There is a NUL in it, which no path has.
pub fn join<'b>(buffer: &'b mut String, folder: &str, file: &str) -> Result<&'b CStr, ReadFault> {
    buffer.clear();
    if !folder.is_empty() {
        buffer.push_str(folder);
        buffer.push('/');
    }
    buffer.push_str(file);
    buffer.push('\0');
    CStr::from_bytes_with_nul(buffer.as_bytes()).map_err(|_| ReadFault::Other)
}

/// Lends a path as the kernel takes it: without a copy, however long it is. It is the same afterwards.
///
/// # Errors
/// There is a NUL in it, which no path has.
pub fn lend<T>(path: &mut String, to: impl FnOnce(&CStr) -> T) -> Result<T, ReadFault> {
    path.push('\0');
    let lent = CStr::from_bytes_with_nul(path.as_bytes()).map(to).map_err(|_| ReadFault::Other);
    path.pop();
    lent
}

/// Opens a folder below another. Symbolic links are not followed at the last step.
pub fn open_folder_at(base: impl AsFd, path: impl Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    cost::called(1);
    rustix::fs::openat(base, path, flags, Mode::empty())
}

/// Opens a file for reading.
pub fn open_file_at(base: impl AsFd, path: impl Arg) -> rustix::io::Result<OwnedFd> {
    cost::called(1);
    rustix::fs::openat(base, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Reads an open file from its start, in one call: what a kernel file prints is consistent only within one.
pub fn read_open(file: impl AsFd, buffer: &mut [u8]) -> Result<&[u8], ReadFault> {
    loop {
        match rustix::io::pread(&file, &mut *buffer, 0) {
            Ok(length) => {
                cost::read(length);
                return Ok(&buffer[..length]);
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Opens, reads and closes a file, to its end: lists such as `cgroup.procs` come in pages.
pub fn read_at(base: impl AsFd, path: impl Arg, buffer: &mut [u8]) -> Result<&[u8], ReadFault> {
    let file = open_file_at(base, path)?;
    // It is closed at the end.
    cost::called(1);
    let mut length = read_open(&file, buffer)?.len();
    let mut last = length;
    while last >= MAY_GO_ON_BYTES {
        let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) else {
            return Err(ReadFault::TooLong);
        };
        last = match rustix::io::pread(&file, rest, length as u64) {
            Ok(more) => more,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        cost::read(last);
        length += last;
    }
    Ok(&buffer[..length])
}

/// Inode and link count of a path below a folder; the folder itself for an empty path.
pub fn inode_and_links(base: impl AsFd, path: impl Arg) -> rustix::io::Result<(u64, u64)> {
    cost::called(1);
    let stat = rustix::fs::statat(base, path, AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH)?;
    // The width of the link count differs between architectures.
    #[allow(clippy::useless_conversion, reason = "st_nlink is 32 bits wide on some architectures")]
    Ok((stat.st_ino, u64::from(stat.st_nlink)))
}

/// When a file or folder was last changed, Unix milliseconds.
pub fn changed_unix_ms(base: impl AsFd, path: impl Arg) -> rustix::io::Result<i64> {
    cost::called(1);
    let stat = rustix::fs::statat(base, path, AtFlags::SYMLINK_NOFOLLOW)?;
    // Widths and signs of these fields differ between architectures.
    #[allow(clippy::unnecessary_cast, reason = "the width of these fields differs between architectures")]
    let (seconds, nanoseconds) = (stat.st_mtime as i64, stat.st_mtime_nsec as i64);
    Ok(seconds.saturating_mul(1_000).saturating_add(nanoseconds / 1_000_000))
}

/// Whether a folder lies on the file system of control groups v2.
pub fn is_cgroup2_fs(folder: impl AsFd) -> bool {
    rustix::fs::fstatfs(folder).is_ok_and(|stat| stat.f_type as u64 == CGROUP2_SUPER_MAGIC)
}

/// Whether a folder lies on a cgroup file system, where link counts tell the number of child folders and a read of a
/// removed group's open file fails.
pub fn is_cgroup_fs(folder: impl AsFd) -> bool {
    const CGROUP_SUPER_MAGIC: u64 = 0x0027_e0eb;
    rustix::fs::fstatfs(folder)
        .is_ok_and(|stat| matches!(stat.f_type as u64, CGROUP_SUPER_MAGIC | CGROUP2_SUPER_MAGIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_to_its_end_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let base = open_folder(folder.path()).unwrap();
        let mut buffer = vec![0; 10_000];
        for length in [0, 1, MAY_GO_ON_BYTES, 9_999] {
            std::fs::write(folder.path().join("list"), vec![b'7'; length]).unwrap();
            assert_eq!(read_at(&base, "list", &mut buffer).map(<[u8]>::len), Ok(length), "{length}");
        }
        std::fs::write(folder.path().join("list"), vec![b'7'; 10_000]).unwrap();
        assert_eq!(read_at(&base, "list", &mut buffer), Err(ReadFault::TooLong));
        assert_eq!(read_at(&base, "missing", &mut buffer), Err(ReadFault::Missing));
    }

    #[test]
    fn lists_of_the_kernel_come_whole() {
        // Some hundred kilobytes on any machine, in pages.
        let base = open_folder(Path::new("/proc")).unwrap();
        let mut buffer = vec![0; 4 << 20];
        let read = read_at(&base, "self/smaps", &mut buffer).unwrap();
        assert!(read.len() > 4096 && read.ends_with(b"\n"), "{}", read.len());
        let last = read.split(|byte| *byte == b'\n').rev().nth(1).unwrap();
        assert!(last.starts_with(b"VmFlags"), "{}", String::from_utf8_lossy(last));
    }
}
