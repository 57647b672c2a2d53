#![allow(clippy::disallowed_methods, reason = "reads the list of mounts")]
//! Which cgroup hierarchies are mounted: asked once, at the start.
//!
//! On the machine itself the answer comes from the cgroups-rs crate, which is used to find hierarchies and never to
//! read values. For a folder that holds another machine's files it comes from that machine's `mountinfo`.

use crate::error::CollectorError;
use crate::mounts::{CgroupMount, Hierarchies};
use cgroups_rs::fs::Controllers;
use cgroups_rs::fs::hierarchies::{UNIFIED_MOUNTPOINT, V1, is_cgroup2_unified_mode};
use procfs::FromRead;
use procfs::process::{MountInfo, MountInfos};
use std::path::{Path, PathBuf};

/// Most sizes of huge pages that are read; no architecture has more than four.
const HUGE_PAGE_SIZES_LIMIT: usize = 8;

/// Where hybrid machines mount the v2 tree.
const HYBRID_UNIFIED: &str = "/sys/fs/cgroup/unified";

/// The hierarchies of this machine.
pub fn on_this_machine() -> Result<Hierarchies, CollectorError> {
    let mut mounts = Vec::new();
    if is_cgroup2_unified_mode() {
        mounts.push(unified(PathBuf::from(UNIFIED_MOUNTPOINT), "/"));
    } else {
        let v1 = V1::new();
        let wanted = [
            Controllers::Mem,
            Controllers::CpuAcct,
            Controllers::Cpu,
            Controllers::Pids,
            Controllers::BlkIo,
            Controllers::HugeTlb,
        ];
        for controller in wanted {
            let name = controller.to_string();
            if let Some((mount_point, root)) = v1.get_mount_point(controller) {
                mounts.push(CgroupMount {
                    root: root.to_string_lossy().into_owned(),
                    mount_point,
                    unified: false,
                    controllers: vec![name],
                });
            }
        }
        if Path::new(HYBRID_UNIFIED).join("cgroup.controllers").exists() {
            mounts.push(unified(PathBuf::from(HYBRID_UNIFIED), "/"));
        }
    }
    settle(&mounts, Path::new("/sys/fs/cgroup"))
}

/// The hierarchies of the machine whose files lie below a folder, by its `proc/self/mountinfo`.
pub fn below(folder: &Path) -> Result<Hierarchies, CollectorError> {
    let path = folder.join("proc/self/mountinfo");
    let failed = |reason: String| CollectorError::Mounts { path: path.clone(), reason };
    let text = std::fs::read(&path).map_err(|error| failed(error.to_string()))?;
    let mut mounts = mounts_in(&text).map_err(failed)?;
    for mount in &mut mounts {
        let relative = mount.mount_point.strip_prefix("/").unwrap_or(&mount.mount_point);
        mount.mount_point = folder.join(relative);
        if mount.unified {
            *mount = unified(mount.mount_point.clone(), &mount.root);
        }
    }
    settle(&mounts, folder)
}

/// The cgroup mounts in the text of a mountinfo file. Of v2 the controllers are not known: they stand in a file.
///
/// # Errors
/// A line is none of mountinfo's.
pub fn mounts_in(text: &[u8]) -> Result<Vec<CgroupMount>, String> {
    let infos = MountInfos::from_read(text).map_err(|error| error.to_string())?;
    let cgroup_mount = |info: MountInfo| {
        let unified = match info.fs_type.as_str() {
            "cgroup2" => true,
            "cgroup" => false,
            _ => return None,
        };
        let controllers = if unified { Vec::new() } else { info.super_options.into_keys().collect() };
        Some(CgroupMount { root: info.root, mount_point: info.mount_point, unified, controllers })
    };
    Ok(infos.into_iter().filter_map(cgroup_mount).collect())
}

/// Sizes of huge pages the machine has, as the names of the kernel's hugetlb files have them: `2MB`, `1GB`. In
/// `<sys>/kernel/mm/hugepages` the folders are named `hugepages-<kB>kB`.
pub fn huge_page_sizes(sys_root: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(sys_root.join("kernel/mm/hugepages")) else { return Vec::new() };
    let kilobytes = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok()
    });
    let mut kilobytes: Vec<u64> = kilobytes.take(HUGE_PAGE_SIZES_LIMIT).collect();
    kilobytes.sort_unstable();
    kilobytes
        .into_iter()
        .map(|kilobytes| match kilobytes {
            size if size >= 1 << 20 => format!("{}GB", size >> 20),
            size if size >= 1 << 10 => format!("{}MB", size >> 10),
            size => format!("{size}KB"),
        })
        .collect()
}

fn settle(mounts: &[CgroupMount], place: &Path) -> Result<Hierarchies, CollectorError> {
    let none = || CollectorError::NoHierarchy { place: place.to_owned() };
    let mut found = Hierarchies::settle(mounts).ok_or_else(none)?;
    if found.cpu.is_none() && found.memory.is_none() {
        return Err(none());
    }
    for tree in [&mut found.cpu, &mut found.memory].into_iter().flatten() {
        // Only groups have memory.current: a v2 root that has it is a group seen through a cgroup namespace.
        if tree.unified && tree.mount_point.join("memory.current").exists() {
            tree.whole_machine = false;
        }
    }
    // What the slower tier reads may be missing: a mount that cannot be entered is not tried.
    for tree in found.more.all_mut() {
        tree.take_if(|tree| !tree.mount_point.is_dir());
    }
    Ok(found)
}

fn unified(mount_point: PathBuf, root: &str) -> CgroupMount {
    let controllers = std::fs::read_to_string(mount_point.join("cgroup.controllers")).unwrap_or_default();
    CgroupMount {
        root: root.to_owned(),
        mount_point,
        unified: true,
        controllers: controllers.split_whitespace().map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_mounts_is_named_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = below(folder.path()).unwrap_err().to_string();
        assert!(error.contains("proc/self/mountinfo"), "{error}");
        std::fs::create_dir_all(folder.path().join("proc/self")).unwrap();
        std::fs::write(folder.path().join("proc/self/mountinfo"), "").unwrap();
        let error = below(folder.path()).unwrap_err().to_string();
        assert!(error.contains("no cgroup hierarchy"), "{error}");
    }
}
