#![allow(clippy::disallowed_methods, reason = "looks at mounts, on a thread that may wait for them")]
//! Measuring the volumes of a pod.

use super::claims::{Bound, Mounted, Sight, claimed};
use super::places::{VolumeFolder, is_in_memory};
use super::volumes::{Lasting, Method};
use super::walk::{Amount, Walker};
use super::{Space, VolumeUse, space, unix_ms};
use crate::names::PodVolume;
use crate::node_exporter::statfs::{Answer, Stat, Statfs, ask_kernel};
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
use std::path::{Path, PathBuf};

/// What is known of a pod's claims.
#[derive(Debug, Clone, Copy, Default)]
pub struct Claims<'a> {
    /// The volumes of the pod, as far as they are known.
    pub spec: &'a [PodVolume],
    /// What its containers see where claims are to be.
    pub sights: &'a [Sight],
    /// What is mounted on the node in the kubelet's folders of pods, by where.
    pub mounted: &'a [(String, Mounted)],
}

/// Of each that can be measured, by name.
pub fn volumes(
    folders: &[VolumeFolder],
    claims: Claims<'_>,
    walker: &mut Walker,
    statfs: &mut Statfs,
) -> Vec<VolumeUse> {
    let mut found = Vec::with_capacity(folders.len());
    let mut asked = Vec::new();
    for folder in folders {
        match folder.method {
            Method::Walk(lasting) => found.extend(walked(folder, lasting, walker)),
            Method::Ask(below) => asked.push((folder.name.clone(), folder.path.join(below))),
        }
    }
    let answers = statfs.ask(asked.iter().map(|(_, path)| path.clone()).collect());
    let bound = |(name, path): (String, PathBuf)| {
        let mounted = mounted_at(&path, claims.mounted).cloned();
        Bound { name, mounted }
    };
    let asked: Vec<Bound> = asked.into_iter().map(bound).collect();
    let claimed = claimed(&asked, claims.spec, claims.sights);
    for ((folder, volume), answer) in asked.iter().zip(claimed).zip(answers) {
        let Some((amount, space)) = answer.stat().and_then(sizes) else { continue };
        found.push(VolumeUse {
            name: volume.map_or(&folder.name, |volume| &volume.name).clone(),
            claim: volume.and_then(|volume| volume.claim.clone()),
            is_ephemeral: false,
            amount,
            space: Some(space),
            unix_ms: unix_ms(),
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// What is mounted at a folder of a volume. Of its path the part from `pods` on counts, in which the pod's UID stands: what
/// is before it may be called otherwise here than on the node.
fn mounted_at<'m>(path: &Path, mounted: &'m [(String, Mounted)]) -> Option<&'m Mounted> {
    let volumes = path.ancestors().find(|folder| folder.ends_with("volumes"))?;
    let pods = volumes.parent()?.parent()?;
    let below = Path::new(pods.file_name()?).join(path.strip_prefix(pods).ok()?);
    mounted.iter().rev().find(|(place, _)| Path::new(place).ends_with(&below)).map(|(_, mounted)| mounted)
}

fn walked(folder: &VolumeFolder, lasting: Lasting, walker: &mut Walker) -> Option<VolumeUse> {
    Some(VolumeUse {
        name: folder.name.clone(),
        claim: None,
        is_ephemeral: match lasting {
            Lasting::Ephemeral => true,
            Lasting::EphemeralOnDisk => !is_in_memory(&folder.path),
            Lasting::Apart => false,
        },
        amount: walker.walk(&folder.path)?,
        space: space(&folder.path),
        unix_ms: unix_ms(),
    })
}

/// What the kernel says of a mount. A folder on which nothing is mounted, as seen from here, would tell of another file
/// system than the volume's. Kernels before 5.8 do not say which folders those are.
pub fn ask_mount(path: &Path) -> Answer {
    let flags = AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    match rustix::fs::statx(CWD, path, flags, StatxFlags::empty()) {
        Ok(stat) => {
            let told = stat.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
            if told && !stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
                return Answer::Error("not a mount point".to_owned());
            }
        }
        Err(errno) => return Answer::Error(errno.to_string()),
    }
    ask_kernel(path)
}

/// Used and left, as a kubelet counts. `None` where a file system contradicts itself.
pub(super) fn sizes(stat: &Stat) -> Option<(Amount, Space)> {
    let whole = |value: f64| (value >= 0.0).then_some(value as u64);
    let amount = Amount {
        bytes: whole(stat.size_bytes - stat.free_bytes)?,
        inodes: Some(whole(stat.files - stat.files_free)?),
    };
    let space = Space {
        capacity_bytes: whole(stat.size_bytes)?,
        available_bytes: whole(stat.avail_bytes)?,
        inodes: whole(stat.files)?,
        inodes_free: whole(stat.files_free)?,
    };
    Some((amount, space))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::volumes;
    use std::sync::Mutex;
    use std::time::{Duration, Instant};

    static HUNG: Mutex<()> = Mutex::new(());

    /// `pvc-dead` does not answer; everything else is a disk of 1000 bytes.
    fn ask(path: &Path) -> Answer {
        if path.ends_with("pvc-dead/mount") {
            drop(HUNG.lock());
        }
        let (size_bytes, free_bytes, avail_bytes) = (1_000.0, 400.0, 300.0);
        Answer::Stat(Stat { size_bytes, free_bytes, avail_bytes, files: 50.0, files_free: 20.0 })
    }

    fn folder(root: &Path, plugin: &str, name: &str) -> VolumeFolder {
        let path = root.join(plugin).join(name);
        std::fs::create_dir_all(&path).unwrap();
        VolumeFolder { name: name.to_owned(), path, method: volumes::method(plugin) }
    }

    #[test]
    fn a_dead_mount_delays_nobody() {
        let root = tempfile::tempdir().unwrap();
        let folders = [
            folder(root.path(), "kubernetes.io~csi", "pvc-dead"),
            folder(root.path(), "kubernetes.io~nfs", "share"),
            folder(root.path(), "kubernetes.io~configmap", "config"),
        ];
        std::fs::write(folders[2].path.join("key"), vec![1; 9_000]).unwrap();
        let spec = [
            PodVolume { name: "share".to_owned(), claim: None, mounts: Vec::new() },
            PodVolume { name: "data".to_owned(), claim: Some("web-data".to_owned()), mounts: Vec::new() },
        ];
        let claims = Claims { spec: &spec, ..Claims::default() };
        let (mut walker, mut statfs) = (Walker::default(), Statfs::new(ask));
        let names = |found: &[VolumeUse]| {
            found.iter().map(|volume| (volume.name.clone(), volume.claim.clone())).collect::<Vec<_>>()
        };
        let plain = |name: &str| (name.to_owned(), None);
        let hung = HUNG.lock().unwrap();
        let started = Instant::now();
        // The others answer, late on a busy machine.
        let found = loop {
            let found = super::volumes(&folders, claims, &mut walker, &mut statfs);
            if names(&found) == [plain("config"), plain("share")] {
                break found;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{found:?}");
        };
        assert!(found[0].is_ephemeral && found[0].amount.bytes >= 9_000, "{found:?}");
        let expected = Space { capacity_bytes: 1_000, available_bytes: 300, inodes: 50, inodes_free: 20 };
        assert_eq!(
            (found[1].amount, found[1].space),
            (Amount { bytes: 600, inodes: Some(30) }, Some(expected))
        );
        assert!(!found[1].is_ephemeral);
        drop(hung);
        let started = Instant::now();
        let with_claim = [plain("config"), ("data".to_owned(), Some("web-data".to_owned())), plain("share")];
        while names(&super::volumes(&folders, claims, &mut walker, &mut statfs)) != with_claim {
            assert!(started.elapsed() < Duration::from_secs(20), "it answers in the end");
        }
    }

    #[test]
    fn what_is_mounted_at_a_folder_is_found_by_the_pods_uid() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/sda rw\n\
            2 1 8:16 / /data/kubelet/pods/uid/volumes/kubernetes.io~csi/pvc-1/mount rw - ext4 /dev/sdb rw\n";
        let mounted: Vec<_> = super::super::claims::mounted(mounts).collect();
        let at = |path: &str| mounted_at(Path::new(path), &mounted).map(|mounted| mounted.device.as_str());
        let folder = "/host/var/lib/kubelet/pods/uid/volumes/kubernetes.io~csi/pvc-1";
        assert_eq!(at(&format!("{folder}/mount")), Some("8:16"));
        assert_eq!(at(folder), None);
        assert_eq!(at("/host/var/lib/kubelet/pods/other/volumes/kubernetes.io~csi/pvc-1/mount"), None);
        assert_eq!(at("/"), None);
    }

    #[test]
    fn a_folder_without_a_mount_has_no_file_system_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        assert!(ask_mount(Path::new("/proc")).stat().is_some());
        assert_eq!(ask_mount(folder.path()), Answer::Error("not a mount point".to_owned()));
        assert!(ask_mount(&folder.path().join("missing")).error().is_some());
    }
}
