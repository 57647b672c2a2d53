//! Adding up the files below a folder.

use crate::cost;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat};
use std::collections::HashSet;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::path::Path;

/// Most entries of one walk. A container with more files has no figure: a part of it would be a wrong one.
pub const ENTRIES_LIMIT: usize = 1_000_000;
/// Depth to which folders are entered.
const DEPTH_LIMIT: usize = 128;
/// Bytes of directory entries taken per system call.
const LISTING_BYTES: usize = 32 * 1024;
/// Unit of `st_blocks`, whatever the file system's own is.
const BLOCK_BYTES: u64 = 512;

/// What a file takes; `None` where there is none.
pub fn file(path: &Path) -> Option<Amount> {
    cost::called(1);
    let stat = rustix::fs::lstat(path).ok()?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    is_file.then(|| Amount::NOTHING.and(&stat))
}

/// What files take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// Allocated bytes.
    pub bytes: u64,
    /// Files and folders; absent where a runtime tells of bytes alone.
    pub inodes: Option<u64>,
}

impl Amount {
    const NOTHING: Amount = Amount { bytes: 0, inodes: Some(0) };

    /// With one more file or folder.
    fn and(self, stat: &Stat) -> Amount {
        let bytes = self.bytes + stat.st_blocks as u64 * BLOCK_BYTES;
        Amount { bytes, inodes: self.inodes.map(|inodes| inodes + 1) }
    }
}

/// Walks folders, one after the other, with the same buffers.
pub struct Walker {
    listing: Vec<MaybeUninit<u8>>,
    /// Files with several names that were counted in this walk.
    linked: HashSet<u64>,
    entries: usize,
}

impl Default for Walker {
    fn default() -> Walker {
        Walker { listing: vec![MaybeUninit::uninit(); LISTING_BYTES], linked: HashSet::new(), entries: 0 }
    }
}

impl Walker {
    /// What a folder and everything below it takes, on its own file system. `None` when it cannot be read or has too many
    /// entries. Entries that vanish meanwhile are left out; symbolic links are not followed.
    pub fn walk(&mut self, folder: &Path) -> Option<Amount> {
        self.linked.clear();
        self.entries = 0;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = rustix::fs::open(folder, flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&open).ok()?;
        let mut amount = Amount::NOTHING.and(&stat);
        self.descend(open, stat.st_dev, 0, &mut amount)?;
        Some(amount)
    }

    /// What the regular files directly in a folder take, without the folder. `None` when it cannot be read or has too many
    /// entries.
    pub fn files(&mut self, folder: &Path) -> Option<Amount> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = rustix::fs::open(folder, flags, Mode::empty()).ok()?;
        let mut amount = Amount::NOTHING;
        for (name, is_folder) in self.list(&open)? {
            if is_folder {
                continue;
            }
            cost::called(1);
            let Ok(stat) = rustix::fs::statat(&open, &*name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                amount = amount.and(&stat);
            }
        }
        Some(amount)
    }

    fn descend(&mut self, folder: OwnedFd, device: u64, depth: usize, amount: &mut Amount) -> Option<()> {
        if depth >= DEPTH_LIMIT {
            return None;
        }
        for (name, is_folder) in self.list(&folder)? {
            self.entries += 1;
            if self.entries > ENTRIES_LIMIT {
                return None;
            }
            cost::called(1);
            let Ok(stat) = rustix::fs::statat(&folder, &*name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if stat.st_dev != device {
                continue;
            }
            #[allow(clippy::useless_conversion, reason = "st_nlink is 32 bits wide on some architectures")]
            let several_names = !is_folder && u64::from(stat.st_nlink) > 1;
            if several_names && !self.linked.insert(stat.st_ino) {
                continue;
            }
            *amount = amount.and(&stat);
            if is_folder || FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                match rustix::fs::openat(&folder, &*name, flags, Mode::empty()) {
                    Ok(child) => self.descend(child, device, depth + 1, amount)?,
                    // What may not be read has a size that is not known, so the whole has none.
                    Err(rustix::io::Errno::ACCESS) => return None,
                    Err(_) => {}
                }
            }
        }
        Some(())
    }

    /// Names in a folder, and which of them are folders as far as the listing says.
    fn list(&mut self, folder: &OwnedFd) -> Option<Vec<(CString, bool)>> {
        let mut names = Vec::new();
        // Opened, listed to the end, closed.
        cost::called(4);
        let mut entries = RawDir::new(folder, &mut self.listing);
        while let Some(entry) = entries.next() {
            let entry = entry.ok()?;
            let name = entry.file_name();
            if name.to_bytes() != b"." && name.to_bytes() != b".." {
                names.push((name.to_owned(), entry.file_type() == FileType::Directory));
            }
            if names.len() > ENTRIES_LIMIT {
                return None;
            }
        }
        Some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn files_are_added_up_once_each() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::create_dir_all(path.join("a/b")).unwrap();
        std::fs::write(path.join("a/b/file"), vec![1; 100_000]).unwrap();
        std::fs::hard_link(path.join("a/b/file"), path.join("again")).unwrap();
        std::os::unix::fs::symlink("/usr", path.join("elsewhere")).unwrap();
        let allocated = |path: &Path| std::fs::symlink_metadata(path).unwrap().blocks() * BLOCK_BYTES;
        let all = ["", "a", "a/b", "a/b/file", "elsewhere"];
        let bytes = all.iter().map(|name| allocated(&path.join(name))).sum();
        assert_eq!(Walker::default().walk(path), Some(Amount { bytes, inodes: Some(all.len() as u64) }));
        assert!(bytes >= 100_000);
        std::fs::write(path.join("b.log"), vec![1; 10_000]).unwrap();
        let here = allocated(&path.join("again")) + allocated(&path.join("b.log"));
        assert_eq!(Walker::default().files(path), Some(Amount { bytes: here, inodes: Some(2) }));
    }

    #[test]
    fn what_is_not_there_has_no_size() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert_eq!(Walker::default().walk(&folder.path().join("file")), None);
        assert_eq!(Walker::default().walk(&folder.path().join("missing")), None);
        assert_eq!(Walker::default().files(&folder.path().join("missing")), None);
    }
}
