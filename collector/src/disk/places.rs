#![allow(clippy::disallowed_methods, reason = "reads /proc, control groups and the kubelet's folders")]
//! Where the files of a container are.

use super::DiskConfig;
use super::volumes::{self, Method};
use crate::files;
use crate::members::Members;
use std::path::{Path, PathBuf};

/// Most volumes of one pod.
const VOLUMES_LIMIT: usize = 256;
/// Longest mountinfo read, bytes: ten thousand mounts and more.
const MOUNTINFO_BYTES: u64 = 4 << 20;

/// Folders of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    config: DiskConfig,
    proc_root: PathBuf,
    /// A mount point in which the groups of containers are.
    groups: PathBuf,
}

impl Places {
    /// `groups`: the hierarchy in which groups are found.
    pub fn new(config: DiskConfig, proc_root: &Path, groups: &Path) -> Places {
        Places { config, proc_root: proc_root.to_owned(), groups: groups.to_owned() }
    }

    /// The first process of a group that can be seen.
    pub fn first_pid(&self, group: &str, buffer: &mut [u8]) -> Option<u32> {
        let tree = files::open_folder(&self.groups).ok()?;
        let mut path = group.trim_start_matches('/').to_owned();
        Members::of(&tree, &mut path, buffer).ok()?.pids().first().copied()
    }

    /// The mounts of a process.
    pub fn mountinfo(&self, pid: u32) -> Option<String> {
        use std::io::Read as _;
        let file = std::fs::File::open(self.proc_root.join(format!("{pid}/mountinfo"))).ok()?;
        let mut text = String::new();
        file.take(MOUNTINFO_BYTES).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// A path of the host.
    pub fn on_host(&self, path: &Path) -> PathBuf {
        self.config.host_root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The folder of a pod's logs.
    pub fn logs(&self, namespace: &str, pod: &str, uid: &str) -> PathBuf {
        self.on_host(&self.config.logs).join(format!("{namespace}_{pod}_{uid}"))
    }

    /// The kubelet's own folder.
    pub fn kubelet(&self) -> PathBuf {
        self.on_host(&self.config.kubelet)
    }

    /// The runtime's folder, if one of the usual ones is there.
    pub fn runtime(&self) -> Option<PathBuf> {
        self.config.runtimes.iter().map(|folder| self.on_host(folder)).find(|folder| folder.is_dir())
    }

    /// The kubelet's folder of a pod.
    fn pod(&self, uid: &str) -> PathBuf {
        self.kubelet().join("pods").join(uid)
    }

    /// The file with a pod's hosts, which every container of it has as `/etc/hosts`.
    pub fn hosts(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("etc-hosts")
    }

    /// The pod's volumes in the kubelet's folder, by name. Only names are read: to look at a mount may take for ever.
    pub fn volumes(&self, uid: &str) -> Vec<VolumeFolder> {
        let volumes = self.pod(uid).join("volumes");
        let mut found: Vec<VolumeFolder> = Vec::new();
        for plugin in names(&volumes) {
            let (folder, method) = (volumes.join(&plugin), volumes::method(&plugin));
            let mut taken = names(&folder).take(VOLUMES_LIMIT - found.len()).collect::<Vec<_>>();
            found.extend(taken.drain(..).map(|name| VolumeFolder { path: folder.join(&name), name, method }));
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }
}

/// The folder of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeFolder {
    /// Its name.
    pub name: String,
    /// Where.
    pub path: PathBuf,
    /// How it is measured.
    pub method: Method,
}

fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

/// Whether a folder is on a file system in memory.
pub fn is_in_memory(folder: &Path) -> bool {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    const HUGETLBFS_MAGIC: u64 = 0x9584_58f6;
    rustix::fs::statfs(folder).is_ok_and(|stat| matches!(stat.f_type as u64, TMPFS_MAGIC | HUGETLBFS_MAGIC))
}

/// The upper folder of the overlay at `/`, by the lines of a mountinfo file (proc(5)). `None` where the root is no overlay.
pub fn upper_folder(mountinfo: &str) -> Option<PathBuf> {
    // Later mounts lie over earlier ones.
    let root = mountinfo.lines().rev().find(|line| line.split(' ').nth(4) == Some("/"))?;
    let (_, after) = root.split_once(" - ")?;
    let mut fields = after.split(' ');
    if fields.next() != Some("overlay") {
        return None;
    }
    let options = fields.nth(1)?;
    let upper = split_options(options).find_map(|option| option.strip_prefix("upperdir="))?;
    Some(PathBuf::from(unescape(upper)))
}

/// Options are separated by commas; a comma in a folder's name is written with a backslash.
fn split_options(options: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(options);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = (0..text.len())
            .find(|at| text.as_bytes()[*at] == b',' && (*at == 0 || text.as_bytes()[*at - 1] != b'\\'));
        rest = end.map(|end| &text[end + 1..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
}

/// Octal escapes of mountinfo (`\040` is a blank), and the overlay's escaped commas and colons.
pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let octal = |digits: &[u8]| {
            digits.iter().try_fold(0_u32, |value, digit| match digit {
                b'0'..=b'7' => Some(value * 8 + u32::from(digit - b'0')),
                _ => None,
            })
        };
        let code = after.get(..3).and_then(octal).and_then(|value| u8::try_from(value).ok());
        match (first, code) {
            (b'\\', Some(code)) => {
                bytes.push(code);
                rest = &after[3..];
            }
            (b'\\', None) if matches!(after.first(), Some(b',' | b':' | b'\\')) => {}
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overlay_at_the_root() {
        let line = |options: &str| {
            format!(
                "1 0 8:1 / / rw - ext4 /dev/vda rw\n700 651 0:60 / / rw,relatime master:1 - overlay overlay rw,{options}\n\
                 701 700 0:5 / /proc rw - proc proc rw\n"
            )
        };
        let upper = |options: &str| upper_folder(&line(options));
        let containerd = "lowerdir=/a:/b,upperdir=/var/lib/containerd/snapshots/7/fs,workdir=/w,index=off";
        assert_eq!(upper(containerd), Some(PathBuf::from("/var/lib/containerd/snapshots/7/fs")));
        let docker = "lowerdir=/l/X,upperdir=/var/lib/docker/overlay2/ab/diff,workdir=/w";
        assert_eq!(upper(docker), Some(PathBuf::from("/var/lib/docker/overlay2/ab/diff")));
        assert_eq!(
            upper("lowerdir=/a,upperdir=/with\\040blank\\,comma,workdir=/w"),
            Some(PathBuf::from("/with blank,comma"))
        );
        assert_eq!(upper("lowerdir=/a:/b"), None, "a read-only overlay has no upper folder");
        assert_eq!(upper_folder("1 0 8:1 / / rw - ext4 /dev/vda rw\n"), None);
        assert_eq!(upper_folder("garbage\n - overlay\n"), None);
    }

    #[test]
    fn the_kubelets_folders() {
        let root = tempfile::tempdir().unwrap();
        let config = DiskConfig { host_root: root.path().to_owned(), ..DiskConfig::default() };
        let places = Places::new(config, Path::new("/proc"), Path::new("/sys/fs/cgroup"));
        assert_eq!(places.logs("shop", "web-1", "uid"), root.path().join("var/log/pods/shop_web-1_uid"));
        assert!(places.volumes("uid").is_empty());
        let volumes = root.path().join("var/lib/kubelet/pods/uid/volumes");
        for folder in
            ["kubernetes.io~empty-dir/cache", "kubernetes.io~csi/pvc-1/mount", "kubernetes.io~nfs/a"]
        {
            std::fs::create_dir_all(volumes.join(folder)).unwrap();
        }
        let found = places.volumes("uid");
        let seen: Vec<_> = found.iter().map(|volume| (volume.name.as_str(), volume.method)).collect();
        let expected = [
            ("a", Method::Ask("")),
            ("cache", Method::Walk(crate::disk::volumes::Lasting::EphemeralOnDisk)),
            ("pvc-1", Method::Ask("mount")),
        ];
        assert_eq!(seen, expected);
        assert_eq!(found[2].path, volumes.join("kubernetes.io~csi/pvc-1"));
    }
}
