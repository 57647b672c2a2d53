//! Being told at once when the kernel makes or removes a group: inotify on the folders whose children are pods and
//! containers.
//!
//! v2 also tells when the last process of a group ends, by a change of its `cgroup.events`: time for a last reading before
//! the group is removed. v1 has nothing of the kind.
//!
//! Watches only wake; what changed is found by looking, so that a lost or doubled event does no harm. The kernel keeps a
//! watch on a removed group's folder for ever unless it is taken back, so [`Watches::remove`] must follow every
//! [`Watches::add`]. Where no more watches are given, folders without one are seen by the periodic walk.

use crate::cost;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use std::mem::MaybeUninit;

/// Most folders watched; each costs the kernel about a kilobyte.
pub const WATCHES_LIMIT: usize = 20_000;
/// Bytes of events taken per system call.
const EVENTS_BYTES: usize = 16 * 1024;

/// Names a watch.
pub type WatchId = i32;

/// An inotify instance and its watches.
#[derive(Debug)]
pub struct Watches {
    instance: OwnedFd,
    limit: usize,
    count: usize,
    refused: u64,
    buffer: Vec<MaybeUninit<u8>>,
}

/// What events were about.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Watches of folders in which groups came or went.
    pub folders: Vec<WatchId>,
    /// Watches of groups that got their first process or lost their last.
    pub emptying: Vec<WatchId>,
}

/// What events there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// None.
    Nothing,
    /// Some folder changed.
    Changes,
    /// More than the kernel keeps: anything may have changed.
    Overflow,
}

impl Watches {
    /// `None` where the kernel gives no instance.
    pub fn new() -> Option<Watches> {
        Watches::with_limit(WATCHES_LIMIT)
    }

    /// As [`Watches::new`], with at most so many watches.
    pub fn with_limit(limit: usize) -> Option<Watches> {
        let instance = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let buffer = vec![MaybeUninit::uninit(); EVENTS_BYTES];
        Some(Watches { instance, limit, count: 0, refused: 0, buffer })
    }

    /// Watches a folder below `root`. What was made in it before is not told: list it afterwards. `None` when the kernel
    /// gives no more watches.
    pub fn add(&mut self, root: &OwnedFd, path: &str) -> Option<WatchId> {
        if self.count >= self.limit {
            self.refused += 1;
            return None;
        }
        // inotify takes paths only; this one leads through the open folder.
        let path = format!("/proc/self/fd/{}/{path}", root.as_raw_fd());
        cost::called(1);
        let flags = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::ONLYDIR;
        match inotify::add_watch(&self.instance, path, flags) {
            Ok(id) => {
                self.count += 1;
                Some(id)
            }
            Err(_) => {
                self.refused += 1;
                None
            }
        }
    }

    /// Watches a group of v2 for its last process. `None` when the kernel gives no more watches, or has no such file.
    pub fn add_emptying(&mut self, root: &OwnedFd, path: &str) -> Option<WatchId> {
        if self.count >= self.limit {
            self.refused += 1;
            return None;
        }
        let path = format!("/proc/self/fd/{}/{path}/cgroup.events", root.as_raw_fd());
        cost::called(1);
        let id = inotify::add_watch(&self.instance, path, WatchFlags::MODIFY);
        match id {
            Ok(_) => self.count += 1,
            Err(_) => self.refused += 1,
        }
        id.ok()
    }

    /// Takes a watch back.
    pub fn remove(&mut self, id: WatchId) {
        self.count = self.count.saturating_sub(1);
        cost::called(1);
        // Fails only for a watch that is gone already.
        let _ = inotify::remove_watch(&self.instance, id);
    }

    /// Takes all events that are there, and adds what they were about.
    pub fn drain(&mut self, told: &mut Told) -> Seen {
        let mut seen = Seen::Nothing;
        cost::called(1);
        let mut reader = Reader::new(&self.instance, &mut self.buffer);
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::MODIFY) {
                told.emptying.push(event.wd());
            } else if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                seen = Seen::Overflow;
            } else {
                // Groups often come and go several at a time.
                if told.folders.last() != Some(&event.wd()) {
                    told.folders.push(event.wd());
                }
                if seen == Seen::Nothing {
                    seen = Seen::Changes;
                }
            }
        }
        seen
    }

    /// Folders watched.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Times a watch was not given.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

impl AsFd for Watches {
    /// Readable when there are events.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.instance.as_fd()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "makes folders")]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_is_counted_and_room_is_used_again() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let root = crate::files::open_folder(folder.path()).unwrap();
        let mut watches = Watches::with_limit(1).unwrap();
        let first = watches.add(&root, "a").unwrap();
        assert_eq!((watches.add(&root, "b"), watches.count(), watches.refused()), (None, 1, 1));
        assert_eq!(watches.add_emptying(&root, "a"), None);
        watches.remove(first);
        let second = watches.add(&root, "b").unwrap();
        assert_eq!(watches.add(&root, "missing"), None);
        std::fs::create_dir(folder.path().join("b/c")).unwrap();
        std::fs::create_dir(folder.path().join("b/d")).unwrap();
        // Taken back watches tell of that, too.
        let mut told = Told::default();
        assert_eq!((watches.drain(&mut told), watches.drain(&mut told)), (Seen::Changes, Seen::Nothing));
        assert_eq!(told, Told { folders: vec![first, second], emptying: Vec::new() });
    }
}
