//! The block devices that are mounted on the node, each whole and once, as cAdvisor shows them with the machine.

use super::Space;
use super::places::Places;
use super::pods::sizes;
use super::unix_ms;
use super::walk::Amount;
use crate::node_exporter::mounts::mounts;
use crate::node_exporter::statfs::Statfs;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Most devices shown.
const DEVICES_LIMIT: usize = 256;

/// A block device and the file system on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountedDisk {
    /// What is mounted, such as `/dev/sda1`.
    pub device: String,
    /// What is used of it.
    pub amount: Amount,
    /// Its file system.
    pub space: Space,
    /// When it was measured, Unix milliseconds.
    pub unix_ms: i64,
}

/// By the mounts of the node's first process. A device that does not answer, or that is not mounted at the same place as seen
/// from here, is left out.
pub fn disks(places: &Places, statfs: &mut Statfs) -> Vec<MountedDisk> {
    let mountinfo = places.mountinfo(1).unwrap_or_default();
    let mut first: BTreeMap<String, PathBuf> = BTreeMap::new();
    for mount in mounts(mountinfo.as_bytes()).filter(|mount| mount.device.starts_with("/dev/")) {
        if first.len() < DEVICES_LIMIT {
            first.entry(mount.device).or_insert(mount.path);
        }
    }
    let answers = statfs.ask(first.values().map(|path| places.on_host(path)).collect());
    let answered = first.into_keys().zip(answers).filter_map(|(device, answer)| {
        let (amount, space) = sizes(answer.stat()?)?;
        Some(MountedDisk { device, amount, space, unix_ms: unix_ms() })
    });
    answered.collect()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "makes a file")]
mod tests {
    use super::*;
    use crate::disk::DiskConfig;
    use crate::node_exporter::statfs::{Answer, Stat};
    use std::path::Path;

    fn ask(path: &Path) -> Answer {
        match path.ends_with("broken") {
            true => Answer::Error("input/output error".to_owned()),
            false => Answer::Stat(Stat {
                size_bytes: 1_000.0,
                free_bytes: 400.0,
                avail_bytes: 300.0,
                files: 50.0,
                files_free: 20.0,
            }),
        }
    }

    #[test]
    fn each_block_device_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("1")).unwrap();
        let mountinfo = "\
            20 1 259:1 / / rw - ext4 /dev/nvme0n1p1 rw\n\
            21 20 259:1 /kubelet /var/lib/kubelet rw - ext4 /dev/nvme0n1p1 rw\n\
            22 20 8:1 / /data rw - xfs /dev/sda1 rw\n\
            23 20 8:17 / /broken rw - xfs /dev/sdb1 rw\n\
            24 20 0:5 / /run rw - tmpfs tmpfs rw\n\
            25 20 0:60 / /merged rw - overlay overlay rw\n\
            garbage\n";
        std::fs::write(folder.path().join("1/mountinfo"), mountinfo).unwrap();
        let places = Places::new(DiskConfig::default(), folder.path(), Path::new("/"));
        let found = disks(&places, &mut Statfs::new(ask));
        let names: Vec<&str> = found.iter().map(|disk| disk.device.as_str()).collect();
        assert_eq!(names, ["/dev/nvme0n1p1", "/dev/sda1"]);
        assert_eq!(found[0].amount, Amount { bytes: 600, inodes: Some(30) });
        assert_eq!((found[0].space.capacity_bytes, found[0].space.inodes_free), (1_000, 20));
    }
}
