//! Being told at once when the kernel makes or removes a group: inotify on the folders whose children are pods and
//! containers.
//!
//! Watches only wake; what changed is found by looking, so that a lost or doubled event does no harm. The kernel keeps a
//! watch on a removed group's folder for ever unless it is taken back, so [`Watches::remove`] must follow every
//! [`Watches::add`]. Where no more watches are given, folders without one are seen by the periodic walk.

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
    count: usize,
    refused: u64,
    buffer: Vec<MaybeUninit<u8>>,
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
        let instance = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        Some(Watches { instance, count: 0, refused: 0, buffer: vec![MaybeUninit::uninit(); EVENTS_BYTES] })
    }

    /// Watches a folder below `root`. What was made in it before is not told: list it afterwards. `None` when the kernel
    /// gives no more watches.
    pub fn add(&mut self, root: &OwnedFd, path: &str) -> Option<WatchId> {
        if self.count >= WATCHES_LIMIT {
            self.refused += 1;
            return None;
        }
        // inotify takes paths only; this one leads through the open folder.
        let path = format!("/proc/self/fd/{}/{path}", root.as_raw_fd());
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

    /// Takes a watch back.
    pub fn remove(&mut self, id: WatchId) {
        self.count = self.count.saturating_sub(1);
        // Fails only for a watch that is gone already.
        let _ = inotify::remove_watch(&self.instance, id);
    }

    /// Takes all events that are there.
    pub fn drain(&mut self) -> Seen {
        let mut seen = Seen::Nothing;
        let mut reader = Reader::new(&self.instance, &mut self.buffer);
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                seen = Seen::Overflow;
            } else if seen == Seen::Nothing {
                seen = Seen::Changes;
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
