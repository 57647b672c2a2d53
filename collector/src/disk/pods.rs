#![allow(clippy::disallowed_methods, reason = "looks at mounts, on a thread that may wait for them")]
//! Measuring the volumes of a pod.

use super::places::{VolumeFolder, is_in_memory};
use super::volumes::{Lasting, Method, claimed};
use super::walk::{Amount, Walker};
use super::{Space, VolumeUse, space, unix_ms};
use crate::names::PodVolume;
use crate::node_exporter::statfs::{Answer, Stat, Statfs, ask_kernel};
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
use std::path::Path;

/// Of each that can be measured, by name. `spec`: the volumes of the pod, as far as they are known.
pub fn volumes(
    folders: &[VolumeFolder],
    spec: &[PodVolume],
    walker: &mut Walker,
    statfs: &mut Statfs,
) -> Vec<VolumeUse> {
    let mut found = Vec::with_capacity(folders.len());
    let mut asked = Vec::new();
    for folder in folders {
        match folder.method {
            Method::Walk(lasting) => found.extend(walked(folder, lasting, walker)),
            Method::Ask(below) => asked.push((folder.name.as_str(), folder.path.join(below))),
        }
    }
    let answers = statfs.ask(asked.iter().map(|(_, path)| path.clone()).collect());
    let names: Vec<&str> = asked.iter().map(|(name, _)| *name).collect();
    for (name, answer) in names.iter().zip(answers) {
        let Some((amount, space)) = answer.stat().and_then(sizes) else { continue };
        let volume = claimed(name, &names, spec);
        found.push(VolumeUse {
            name: volume.map_or(*name, |volume| &volume.name).to_owned(),
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
fn sizes(stat: &Stat) -> Option<(Amount, Space)> {
    let whole = |value: f64| (value >= 0.0).then_some(value as u64);
    let amount = Amount {
        bytes: whole(stat.size_bytes - stat.free_bytes)?,
        inodes: whole(stat.files - stat.files_free)?,
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
            PodVolume { name: "share".to_owned(), claim: None },
            PodVolume { name: "data".to_owned(), claim: Some("web-data".to_owned()) },
        ];
        let (mut walker, mut statfs) = (Walker::default(), Statfs::new(ask));
        let names = |found: &[VolumeUse]| {
            found.iter().map(|volume| (volume.name.clone(), volume.claim.clone())).collect::<Vec<_>>()
        };
        let plain = |name: &str| (name.to_owned(), None);
        let hung = HUNG.lock().unwrap();
        let started = Instant::now();
        // The others answer, late on a busy machine.
        let found = loop {
            let found = super::volumes(&folders, &spec, &mut walker, &mut statfs);
            if names(&found) == [plain("config"), plain("share")] {
                break found;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{found:?}");
        };
        assert!(found[0].is_ephemeral && found[0].amount.bytes >= 9_000, "{found:?}");
        let expected = Space { capacity_bytes: 1_000, available_bytes: 300, inodes: 50, inodes_free: 20 };
        assert_eq!((found[1].amount, found[1].space), (Amount { bytes: 600, inodes: 30 }, Some(expected)));
        assert!(!found[1].is_ephemeral);
        drop(hung);
        let started = Instant::now();
        let with_claim = [plain("config"), ("data".to_owned(), Some("web-data".to_owned())), plain("share")];
        while names(&super::volumes(&folders, &spec, &mut walker, &mut statfs)) != with_claim {
            assert!(started.elapsed() < Duration::from_secs(20), "it answers in the end");
        }
    }

    #[test]
    fn a_folder_without_a_mount_has_no_file_system_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        assert!(ask_mount(Path::new("/proc")).stat().is_some());
        assert_eq!(ask_mount(folder.path()), Answer::Error("not a mount point".to_owned()));
        assert!(ask_mount(&folder.path().join("missing")).error().is_some());
    }
}
