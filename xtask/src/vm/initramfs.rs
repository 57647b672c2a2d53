//! The archive that the kernel unpacks as its first file system: `newc` cpio, uncompressed.
//!
//! Each entry is a header of 110 characters (`070701`, then thirteen numbers of eight hexadecimal digits), the name with
//! a zero byte, and the content; name and content are each padded to a multiple of four bytes. The last entry is named
//! `TRAILER!!!`. See the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`.

const FOLDER: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const TRAILER: &str = "TRAILER!!!";

/// A file of the archive.
#[derive(Debug)]
pub struct File<'a> {
    /// Path without a leading slash; the folders above it must be there already.
    pub path: &'a str,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub bytes: &'a [u8],
}

/// An archive that is being written. All of it belongs to root.
#[derive(Debug, Default)]
pub struct Initramfs {
    archive: Vec<u8>,
    entries: u32,
}

impl Initramfs {
    /// Adds a folder.
    pub fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER | 0o755, &[]);
    }

    /// Adds a file.
    pub fn file(&mut self, file: &File<'_>) {
        self.entry(file.path, REGULAR | file.mode, file.bytes);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.entry(path, SYMLINK | 0o777, target.as_bytes());
    }

    /// Closes the archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, &[]);
        self.archive
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let links = if mode & FOLDER == FOLDER { 2 } else { 1 };
        // A file of 4 GiB would not fit into the machine's memory either.
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        self.archive.extend_from_slice(b"070701");
        // Inode, mode, user, group, links, time, size, device (two numbers), device if it is one (two), name, checksum.
        for number in [self.entries, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0] {
            self.archive.extend_from_slice(format!("{number:08X}").as_bytes());
        }
        self.archive.extend_from_slice(name.as_bytes());
        self.archive.push(0);
        self.pad();
        self.archive.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.archive.resize(self.archive.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_as_the_kernel_reads_them() {
        let mut initramfs = Initramfs::default();
        initramfs.folder("bin");
        initramfs.file(&File { path: "bin/sh", mode: 0o755, bytes: b"12345" });
        initramfs.link("init", "bin/sh");
        let archive = initramfs.finish();
        let text = String::from_utf8(archive).unwrap();
        let folder = "070701\
            00000001000041ED00000000000000000000000200000000\
            00000000000000000000000000000000000000000000000400000000bin\0\0\0";
        assert_eq!(&text[..folder.len()], folder);
        let file = &text[folder.len()..];
        assert!(file.starts_with("07070100000002000081ED"), "{file}");
        assert_eq!(&file[110..128], "bin/sh\0\0\0\0".to_owned() + "12345\0\0\0");
        assert!(text.ends_with("TRAILER!!!\0\0\0\0"), "{text}");
        assert_eq!(text.len() % 4, 0);
    }
}
