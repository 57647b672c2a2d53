#![allow(clippy::disallowed_methods, reason = "opens the kernel's files and lists its folders")]
//! Files of /proc and /sys.
//!
//! A kept file is opened once and read from its start each time: the kernel makes its text anew for every read that
//! begins at 0. It costs about a fifth of opening it again. What may be replaced as a whole (files on a disk, folders
//! of devices that come and go) is opened each time.

use crate::cost;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest text that is taken from one file. /proc/stat of a machine with a thousand CPUs has a fifth of it.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Room for one read.
const ROOM_BYTES: usize = 16 * 1024;

/// How long a file that was not there is taken for missing: files come when a module is loaded.
const MISSING_AGE: Duration = Duration::from_secs(10);

/// How the kernel gives a file's text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pieces {
    /// All of it at once, if there is room: what is shorter than the room is all.
    One,
    /// A page or less at a time, line by line: only an empty piece is the end.
    Many,
}

/// A file that stays open.
pub struct Kept {
    path: PathBuf,
    file: Option<OwnedFd>,
    pieces: Pieces,
    missing_since: Option<Instant>,
}

impl Kept {
    /// Not opened before the first read. For any file.
    pub fn new(path: PathBuf) -> Kept {
        Kept { path, file: None, pieces: Pieces::Many, missing_since: None }
    }

    /// As [`Kept::new`], for a file of which the kernel makes the whole text for one read: those of /sys and /proc/sys, and
    /// those of /proc that are no lists.
    pub fn whole(path: PathBuf) -> Kept {
        Kept { pieces: Pieces::One, ..Kept::new(path) }
    }

    /// Its text now. A file that is not there is looked for again after [`MISSING_AGE`].
    pub fn read<'b>(&mut self, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], Errno> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        let length = read_all(&file, self.pieces, buffer)?;
        self.file = Some(file);
        Ok(&buffer[..length])
    }

    fn open(&mut self) -> Result<OwnedFd, Errno> {
        if self.missing_since.is_some_and(|since| since.elapsed() < MISSING_AGE) {
            return Err(Errno::NOENT);
        }
        let opened = open(&self.path);
        self.missing_since = (opened.as_ref().err() == Some(&Errno::NOENT)).then(Instant::now);
        opened
    }

    /// Its text now, or nothing.
    pub fn text<'b>(&mut self, buffer: &'b mut Vec<u8>) -> Option<&'b [u8]> {
        self.read(buffer).ok()
    }

    /// Whether it can be opened.
    pub fn is_there(&mut self) -> bool {
        if self.file.is_none() {
            self.file = self.open().ok();
        }
        self.file.is_some()
    }

    /// The number it holds.
    pub fn number(&mut self, buffer: &mut Vec<u8>) -> Option<f64> {
        super::text::number(self.text(buffer)?.trim_ascii()).map(|value| value as f64)
    }
}

/// The text of a file that is opened for this one read.
pub fn read<'b>(path: &Path, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], Errno> {
    let length = read_all(&open(path)?, Pieces::Many, buffer)?;
    Ok(&buffer[..length])
}

/// The first line of a small file, without blanks at its ends.
pub fn word(path: &Path, buffer: &mut Vec<u8>) -> Option<String> {
    let text = read(path, buffer).ok()?;
    let first = text.split(|byte| *byte == b'\n').next()?;
    Some(super::text::shown(first.trim_ascii()))
}

/// The names in a folder, ascending.
pub fn list(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

fn open(path: &Path) -> Result<OwnedFd, Errno> {
    cost::called(2);
    // Not blocking: some sensors' drivers let a reader wait for ever.
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
}

/// Reads until there is no more.
fn read_all(file: &OwnedFd, pieces: Pieces, buffer: &mut Vec<u8>) -> Result<usize, Errno> {
    let mut length = 0;
    while length < MAX_BYTES {
        if buffer.len() < length + ROOM_BYTES {
            buffer.resize(length + ROOM_BYTES, 0);
        }
        let room = &mut buffer[length..];
        let asked = room.len();
        match rustix::io::pread(file, room, length as u64) {
            Ok(0) => break,
            Ok(more) => {
                cost::read(more);
                length += more;
                if pieces == Pieces::One && more < asked {
                    break;
                }
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_makes_the_text_anew() {
        let mut uptime = Kept::new("/proc/uptime".into());
        let mut buffer = Vec::new();
        let first = uptime.text(&mut buffer).unwrap().to_vec();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(30) {
            std::hint::spin_loop();
        }
        assert_ne!(uptime.text(&mut buffer).unwrap(), first);
    }

    #[test]
    fn long_and_missing_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        let (mut kept, mut buffer) = (Kept::new(path.clone()), Vec::new());
        assert_eq!(kept.read(&mut buffer), Err(Errno::NOENT));
        let long: Vec<u8> = (0..100_000).map(|index| b'a' + (index % 23) as u8).collect();
        std::fs::write(&path, &long).unwrap();
        let mut whole = Kept::whole(path.clone());
        assert_eq!(whole.read(&mut buffer), Ok(&long[..]), "longer than the room");
        assert_eq!(kept.read(&mut buffer), Err(Errno::NOENT), "not looked for again at once");
        let missing = kept.missing_since.as_mut().unwrap();
        *missing -= MISSING_AGE;
        assert_eq!(kept.read(&mut buffer), Ok(&long[..]));
        std::fs::write(&path, "12\n").unwrap();
        assert_eq!(kept.number(&mut buffer), Some(12.0));
        assert_eq!(whole.number(&mut buffer), Some(12.0));
        assert_eq!(word(&path, &mut buffer).as_deref(), Some("12"));
        assert_eq!(list(folder.path()).unwrap(), ["long"]);
    }

    #[test]
    fn files_given_at_once_are_the_same_by_one_read() {
        let mut buffer = Vec::new();
        // What does not change from one read to the next.
        for path in ["/proc/sys/kernel/random/poolsize", "/proc/version", "/sys/devices/system/cpu/online"] {
            let all = std::fs::read(path).unwrap();
            let mut whole = Kept::whole(path.into());
            assert_eq!(whole.read(&mut buffer), Ok(&all[..]), "{path}");
            assert_eq!(whole.read(&mut buffer), Ok(&all[..]), "{path}");
        }
    }
}
