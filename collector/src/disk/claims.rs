//! Which claim a volume's folder stands for.
//!
//! The folder of a claim bears the name of its `PersistentVolume`, which a pod's spec does not tell. What ties them together
//! are the mounts: a container sees the claim at the path that its spec names, and the same folder of the same device is
//! mounted at the kubelet's folder in the mounts of the node's first process. Where a container cannot be looked into, a
//! claim is still known where it is the only one left and one folder is. All else has no claim: none is guessed.

use super::places::unescape;
use crate::names::PodVolume;
use std::path::Path;

/// What is mounted somewhere: a folder of a device. As mountinfo writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Major and minor number of the device.
    pub device: String,
    /// The folder of it.
    pub root: String,
}

/// What a container has at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Name of the container.
    pub container: String,
    /// Where.
    pub path: String,
    /// What.
    pub mounted: Mounted,
}

/// The folder of a volume whose file system is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Its name.
    pub name: String,
    /// What is mounted there, where that can be seen.
    pub mounted: Option<Mounted>,
}

/// What is mounted at each place, by the lines of a mountinfo file (proc(5)), in their order. A line that is not understood
/// is left out.
pub fn mounted(mountinfo: &str) -> impl Iterator<Item = (String, Mounted)> {
    mountinfo.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(2);
        let (device, root, place) = (fields.next()?, fields.next()?, fields.next()?);
        Some((unescape(place), Mounted { device: device.to_owned(), root: unescape(root) }))
    })
}

/// What a container has at the places where its pod's claims are to be. Later mounts lie over earlier ones.
pub fn sights(container: &str, mountinfo: &str, spec: &[PodVolume]) -> Vec<Sight> {
    let wanted: Vec<&str> = claims(spec)
        .flat_map(|volume| &volume.mounts)
        .filter(|mount| mount.container == container)
        .map(|mount| place(&mount.path))
        .collect();
    let mut found: Vec<Sight> = Vec::with_capacity(wanted.len());
    if wanted.is_empty() {
        return found;
    }
    for (path, mounted) in mounted(mountinfo).filter(|(path, _)| wanted.contains(&path.as_str())) {
        found.retain(|sight| sight.path != path);
        found.push(Sight { container: container.to_owned(), path, mounted });
    }
    found
}

/// The volumes of the spec that the folders stand for, one for each; `None` where that is not known, and for those that
/// stand in the spec themselves.
pub fn claimed<'s>(folders: &[Bound], spec: &'s [PodVolume], sights: &[Sight]) -> Vec<Option<&'s PodVolume>> {
    let is_direct = |name: &str| spec.iter().any(|volume| volume.name == name && volume.claim.is_none());
    let mut found: Vec<Option<&PodVolume>> = vec![None; folders.len()];
    let mut disputed = vec![false; folders.len()];
    let mut left = Vec::new();
    for volume in claims(spec) {
        match seen_in(volume, folders, sights) {
            Some(at) => disputed[at] |= found[at].replace(volume).is_some(),
            None => left.push(volume),
        }
    }
    for (at, _) in disputed.iter().enumerate().filter(|(_, disputed)| **disputed) {
        found[at] = None;
    }
    let open = |at: &usize| found[*at].is_none() && !disputed[*at] && !is_direct(&folders[*at].name);
    let open: Vec<usize> = (0..folders.len()).filter(open).collect();
    if let ([at], [volume]) = (open.as_slice(), left.as_slice()) {
        found[*at] = Some(volume);
    }
    found
}

/// The one folder that containers see where a claim is to be.
fn seen_in(volume: &PodVolume, folders: &[Bound], sights: &[Sight]) -> Option<usize> {
    let mut seen = Vec::new();
    for mount in &volume.mounts {
        let sight = sights.iter().find(|s| s.container == mount.container && s.path == place(&mount.path));
        let Some(Sight { mounted, .. }) = sight else { continue };
        let fits = |folder: &Mounted| match mount.is_part {
            true => folder.device == mounted.device && Path::new(&mounted.root).starts_with(&folder.root),
            false => folder == mounted,
        };
        let fitting =
            folders.iter().enumerate().filter(|(_, folder)| folder.mounted.as_ref().is_some_and(fits));
        seen.extend(fitting.map(|(at, _)| at));
    }
    seen.sort_unstable();
    seen.dedup();
    match seen.as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

fn claims(spec: &[PodVolume]) -> impl Iterator<Item = &PodVolume> {
    spec.iter().filter(|volume| volume.claim.is_some())
}

/// A path as the kernel writes it.
fn place(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::VolumeMount;

    fn volume(name: &str, claim: Option<&str>, mounts: &[(&str, &str, bool)]) -> PodVolume {
        let mount = |(container, path, is_part): &(&str, &str, bool)| VolumeMount {
            container: (*container).to_owned(),
            path: (*path).to_owned(),
            is_part: *is_part,
        };
        PodVolume {
            name: name.to_owned(),
            claim: claim.map(str::to_owned),
            mounts: mounts.iter().map(mount).collect(),
        }
    }

    fn bound(name: &str, mounted: Option<(&str, &str)>) -> Bound {
        let mounted =
            mounted.map(|(device, root)| Mounted { device: device.to_owned(), root: root.to_owned() });
        Bound { name: name.to_owned(), mounted }
    }

    fn names<'a>(found: &[Option<&'a PodVolume>]) -> Vec<Option<&'a str>> {
        found.iter().map(|volume| Some(volume.as_ref()?.name.as_str())).collect()
    }

    const APP: &str = "700 651 0:60 / / rw,relatime - overlay overlay rw\n\
        701 700 8:16 / /data rw - ext4 /dev/sdb rw\n\
        702 700 8:32 /logs/app /var/log/with\\040blank rw - ext4 /dev/sdc rw\n\
        703 700 0:99 /exports/b /share rw - nfs server:/exports/b rw\n";

    #[test]
    fn several_claims_are_told_apart_by_what_containers_see() {
        let spec = [
            volume("logs", Some("web-logs"), &[("app", "/var/log/with blank/", true)]),
            volume("data", Some("web-data"), &[("other", "/data", false), ("app", "/data", false)]),
            volume("tmp", None, &[("app", "/tmp", false)]),
        ];
        let seen = sights("app", APP, &spec);
        assert_eq!(seen.len(), 2, "{seen:?}");
        let folders = [bound("pvc-1", Some(("8:16", "/"))), bound("pvc-2", Some(("8:32", "/")))];
        assert_eq!(names(&claimed(&folders, &spec, &seen)), [Some("data"), Some("logs")]);
        // The one that no container shows is the one that is left.
        let blind: Vec<Sight> = seen.into_iter().filter(|sight| sight.path == "/data").collect();
        assert_eq!(names(&claimed(&folders, &spec, &blind)), [Some("data"), Some("logs")]);
        assert_eq!(names(&claimed(&folders, &spec, &[])), [None, None], "nothing tells");
    }

    #[test]
    fn exports_of_one_server_are_one_device() {
        let spec = [
            volume("a", Some("claim-a"), &[("app", "/other", false)]),
            volume("b", Some("claim-b"), &[("app", "/share", false)]),
            volume("c", Some("claim-c"), &[("app", "/nowhere", false)]),
        ];
        let seen = sights("app", APP, &spec);
        let shares =
            [bound("pv-a", Some(("0:99", "/exports/a"))), bound("pv-b", Some(("0:99", "/exports/b")))];
        assert_eq!(names(&claimed(&shares, &spec, &seen)), [None, Some("b")], "a or c");
        let twice =
            [bound("pv-1", Some(("0:99", "/exports/b"))), bound("pv-2", Some(("0:99", "/exports/b")))];
        assert_eq!(names(&claimed(&twice, &spec, &seen)), [None, None], "two volumes of one folder");
    }

    #[test]
    fn two_claims_in_one_folder_are_in_doubt() {
        let spec = [
            volume("a", Some("a"), &[("app", "/data", false)]),
            volume("b", Some("b"), &[("app", "/data", false)]),
        ];
        let seen = sights("app", APP, &spec);
        assert_eq!(names(&claimed(&[bound("pvc-1", Some(("8:16", "/")))], &spec, &seen)), [None]);
    }

    #[test]
    fn without_a_look_into_containers_a_claim_is_named_where_there_is_no_choice() {
        let data = volume("data", Some("web-data"), &[]);
        let spec = [data.clone(), volume("tmp", None, &[]), volume("share", None, &[])];
        let of = |folders: &[&str], spec: &[PodVolume]| {
            let folders: Vec<Bound> = folders.iter().map(|name| bound(name, None)).collect();
            claimed(&folders, spec, &[]).iter().map(Option::is_some).collect::<Vec<bool>>()
        };
        assert_eq!(of(&["pvc-1", "share"], &spec), [true, false], "the other is in the spec itself");
        assert_eq!(of(&["pvc-1", "pvc-2"], &spec), [false, false], "one of them is left over");
        let two = [data, volume("more", Some("web-more"), &[])];
        assert_eq!(of(&["pvc-1"], &two), [false], "the other may be without a folder");
        assert_eq!(of(&["pvc-1"], &[]), [false]);
    }

    #[test]
    fn lines_that_are_none_are_left_out() {
        assert_eq!(mounted("\n1 2 3\ngarbage").count(), 0);
        assert_eq!(sights("app", APP, &[]), []);
    }
}
