//! /proc/1/mountinfo: which mounts are shown.

use super::text::{fields, lines, number, shown};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Types of file systems that are not shown.
const EXCLUDED_TYPES: [&[u8]; 25] = [
    b"autofs",
    b"binfmt_misc",
    b"bpf",
    b"cgroup",
    b"cgroup2",
    b"configfs",
    b"debugfs",
    b"devpts",
    b"devtmpfs",
    b"fusectl",
    b"hugetlbfs",
    b"iso9660",
    b"mqueue",
    b"nsfs",
    b"overlay",
    b"proc",
    b"procfs",
    b"pstore",
    b"rpc_pipefs",
    b"securityfs",
    b"selinuxfs",
    b"squashfs",
    b"erofs",
    b"sysfs",
    b"tracefs",
];

/// A mount that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub device: String,
    /// Numbers of the device.
    pub major: u64,
    /// Numbers of the device.
    pub minor: u64,
    /// Where, as a label.
    pub mountpoint: String,
    /// Where, for the kernel.
    pub path: PathBuf,
    /// Its type.
    pub fstype: String,
    /// Whether it, or the file system itself, is read-only.
    pub readonly: bool,
}

/// File systems of disks and of memory.
const LOCAL_TYPES: [&[u8]; 7] = [b"btrfs", b"ext2", b"ext3", b"ext4", b"tmpfs", b"vfat", b"xfs"];

/// The mounts upstream shows by default, each once. A line that is not understood is left out.
pub fn mounts(text: &[u8]) -> impl Iterator<Item = Mount> {
    lines(text).filter_map(mount)
}

/// Where a server, or a program that mounts on demand, may have to be waited for: every mount but those of disks, of memory
/// and of the kernel itself.
pub fn may_wait(text: &[u8]) -> Vec<PathBuf> {
    const ON_DEMAND: &[u8] = b"autofs";
    let waits = |fstype: &[u8]| {
        fstype == ON_DEMAND || !(LOCAL_TYPES.contains(&fstype) || EXCLUDED_TYPES.contains(&fstype))
    };
    let far = lines(text).filter_map(|line| {
        let mut fields = fields(line);
        let path = fields.nth(4)?;
        fields.find(|field| *field == b"-")?;
        let far = waits(fields.next()?);
        far.then(|| PathBuf::from(OsString::from_vec(unescaped(path))))
    });
    far.collect()
}

fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = fields(line);
    let mut device_numbers = fields.nth(2)?.splitn(2, |byte| *byte == b':').map(number);
    let (major, minor) = (device_numbers.next()??, device_numbers.next()??);
    let path = unescaped(fields.nth(1)?);
    let options = fields.next()?;
    fields.find(|field| *field == b"-")?;
    let fstype = fields.next()?;
    if EXCLUDED_TYPES.contains(&fstype) || excluded_path(&path) {
        return None;
    }
    let device = shown(fields.next()?);
    let super_options = fields.next().unwrap_or_default();
    let mut all = options.split(|byte| *byte == b',').chain(super_options.split(|byte| *byte == b','));
    // A mount that is read-only by its options, or whose file system went read-only after an error.
    let readonly = all.any(|option| matches!(option, b"ro" | b"emergency_ro"));
    let mountpoint = shown(&path);
    let path = PathBuf::from(OsString::from_vec(path));
    Some(Mount { device, major, minor, mountpoint, path, fstype: shown(fstype), readonly })
}

/// `^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)`
fn excluded_path(path: &[u8]) -> bool {
    let whole: [&[u8]; 3] = [b"/dev", b"/proc", b"/sys"];
    let below: [&[u8]; 3] = [b"/run/credentials/", b"/var/lib/docker/", b"/var/lib/containers/storage/"];
    whole.iter().any(|root| path.strip_prefix(*root).is_some_and(|rest| rest.is_empty() || rest[0] == b'/'))
        || below.iter().any(|root| path.strip_prefix(*root).is_some_and(|rest| !rest.is_empty()))
}

/// Undoes `\040` and its kin, with which the kernel prints blanks, line ends and backslashes.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
        28 27 0:25 / /mnt/my\\040disk ro,nosuid shared:1 master:2 - tmpfs none rw,size=4k\n\
        29 27 8:1 / /data rw - xfs /dev/sda1 rw,emergency_ro\n\
        30 27 0:21 / /proc rw - proc proc rw\n31 27 0:9 / /dev/shm rw - tmpfs tmpfs rw\n\
        32 27 0:9 / /x rw - overlay overlay rw\nbroken\n33 27 9 / /y rw - ext4 d rw\n34 27 0:1 / /z rw ext4\n";

    #[test]
    fn mounts_that_are_shown() {
        let mounts: Vec<_> = mounts(TEXT).collect();
        let seen: Vec<_> =
            mounts.iter().map(|m| (m.mountpoint.as_str(), m.fstype.as_str(), m.readonly)).collect();
        assert_eq!(seen, [("/", "ext4", false), ("/mnt/my disk", "tmpfs", true), ("/data", "xfs", true)]);
        assert_eq!((mounts[0].device.as_str(), mounts[0].major, mounts[0].minor), ("/dev/vda", 254, 0));
        assert_eq!(mounts[1].path.as_os_str(), "/mnt/my disk");
    }

    #[test]
    fn mount_points_that_are_not() {
        for path in ["/dev", "/dev/shm", "/proc/x", "/sys", "/run/credentials/a", "/var/lib/docker/x/y"] {
            assert!(excluded_path(path.as_bytes()), "{path}");
        }
        for path in ["/", "/devices", "/run/credentials", "/var/lib/docker", "/var/lib/kubelet/pods/x"] {
            assert!(!excluded_path(path.as_bytes()), "{path}");
        }
    }
}
