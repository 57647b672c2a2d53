//! The processes of a container, those in groups below its own included.
//!
//! Some runtimes put a container's processes into a group below the container's own (crun's `container`, podman without
//! root), and an init system in a container makes a group for each service. On v2 the container's own `cgroup.procs` is then
//! empty, for processes are in leaves only.

use crate::files::{self, ReadFault};
use crate::parse;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, RawDir};
use std::mem::MaybeUninit;

/// Most processes that are named; more are counted.
pub const NAMED_LIMIT: usize = 1_024;
/// Most groups looked into below one container's, and how deep.
const GROUPS_LIMIT: usize = 256;
const DEPTH_LIMIT: usize = 8;
/// Bytes of directory entries taken per system call.
const LISTING_BYTES: usize = 4 * 1024;

/// Processes of a container.
pub struct Members {
    pids: [u32; NAMED_LIMIT],
    named: usize,
    /// All of them, those outside the reader's pid namespace too.
    pub count: u64,
    groups_left: usize,
}

impl Members {
    /// The processes of the group at `path` below `tree`. `path` is used as room for the paths below it and is the same
    /// afterwards.
    ///
    /// # Errors
    /// The group's own list cannot be read. What cannot be read below it is left out: groups there come and go.
    pub fn of(tree: &OwnedFd, path: &mut String, buffer: &mut [u8]) -> Result<Members, ReadFault> {
        let mut members = Members { pids: [0; NAMED_LIMIT], named: 0, count: 0, groups_left: GROUPS_LIMIT };
        members.take(tree, path, buffer)?;
        if has_groups_below(tree, path) {
            members.descend(tree, path, buffer, 0);
        }
        Ok(members)
    }

    /// Those that are named, the group's own first.
    pub fn pids(&self) -> &[u32] {
        self.pids.get(..self.named).unwrap_or_default()
    }

    /// Whether every process that can be seen is named.
    pub fn is_whole(&self) -> bool {
        self.named < NAMED_LIMIT && self.groups_left > 0
    }

    fn take(&mut self, tree: &OwnedFd, path: &mut String, buffer: &mut [u8]) -> Result<(), ReadFault> {
        let length = path.len();
        if length > 0 {
            path.push('/');
        }
        path.push_str("cgroup.procs");
        let read = files::lend(path, |path| files::read_at(tree, path, buffer));
        path.truncate(length);
        let text = read??;
        self.count += parse::processes(text).ok_or(ReadFault::Malformed)?;
        for pid in parse::pids(text) {
            let Some(slot) = self.pids.get_mut(self.named) else { break };
            *slot = pid;
            self.named += 1;
        }
        Ok(())
    }

    fn descend(&mut self, tree: &OwnedFd, path: &mut String, buffer: &mut [u8], depth: usize) {
        if depth >= DEPTH_LIMIT {
            return;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = files::lend(path, |path| rustix::fs::openat(tree, path, flags, Mode::empty()));
        let Ok(Ok(folder)) = open else { return };
        let mut listing = [MaybeUninit::uninit(); LISTING_BYTES];
        let mut entries = RawDir::new(folder, &mut listing);
        while let Some(Ok(entry)) = entries.next() {
            let name = entry.file_name().to_str().unwrap_or(".");
            if entry.file_type() != FileType::Directory || matches!(name, "." | "..") {
                continue;
            }
            if self.groups_left == 0 {
                return;
            }
            self.groups_left -= 1;
            let length = path.len();
            path.push('/');
            path.push_str(name);
            let _ = self.take(tree, path, buffer);
            self.descend(tree, path, buffer, depth + 1);
            path.truncate(length);
        }
    }
}

/// Whether a group has groups below it, by its link count. Other file systems than those of control groups may count
/// otherwise; there it is found by looking.
pub fn has_groups_below(tree: &OwnedFd, path: &mut String) -> bool {
    let found = files::lend(path, |path| files::inode_and_links(tree, path));
    found.is_ok_and(|found| found.is_ok_and(|(_, links)| links != 2))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "makes folders")]
mod tests {
    use super::*;

    #[test]
    fn processes_below_belong_to_the_container() {
        let folder = tempfile::tempdir().unwrap();
        for (group, pids) in
            [("c", "0\n7\n"), ("c/container", "8\n"), ("c/system.slice/a.service", "9\n10\n")]
        {
            std::fs::create_dir_all(folder.path().join(group)).unwrap();
            std::fs::write(folder.path().join(group).join("cgroup.procs"), pids).unwrap();
        }
        let tree = files::open_folder(folder.path()).unwrap();
        let mut path = "c".to_owned();
        let found = Members::of(&tree, &mut path, &mut [0; 4096]).unwrap();
        let mut pids = found.pids().to_vec();
        pids.sort_unstable();
        assert_eq!((pids, found.count, found.is_whole(), path.as_str()), (vec![7, 8, 9, 10], 5, true, "c"));
        assert_eq!(Members::of(&tree, &mut "d".to_owned(), &mut [0; 99]).err(), Some(ReadFault::Missing));
    }

    #[test]
    fn thousands_of_groups_below_are_not_all_looked_into() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("c")).unwrap();
        std::fs::write(folder.path().join("c/cgroup.procs"), "1\n").unwrap();
        for number in 0..GROUPS_LIMIT + 10 {
            let group = folder.path().join(format!("c/{number}"));
            std::fs::create_dir(&group).unwrap();
            std::fs::write(group.join("cgroup.procs"), "2\n").unwrap();
        }
        let tree = files::open_folder(folder.path()).unwrap();
        let found = Members::of(&tree, &mut "c".to_owned(), &mut [0; 4096]).unwrap();
        assert_eq!((found.count, found.is_whole()), (1 + GROUPS_LIMIT as u64, false));
    }
}
