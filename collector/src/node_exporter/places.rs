#![allow(clippy::disallowed_methods, reason = "looks for the machine in /proc")]
//! Where the machine is, as this process sees it.
//!
//! The machine's own network and mounts are those of pid 1. A container without the host's process ids is its own pid 1:
//! it sees CPUs, memory and disks of the machine, but a network and mounts of its own, which must not be shown under the
//! node's name. What is not the machine's is absent.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// /proc.
    pub proc: PathBuf,
    /// /sys.
    pub sys: PathBuf,
    /// The root of the machine's files.
    pub root: PathBuf,
    /// The folder of the machine's network in /proc.
    pub net: Option<PathBuf>,
    /// The machine's mounts.
    pub mountinfo: Option<PathBuf>,
    /// Where mounts are asked for their sizes.
    pub statfs_root: PathBuf,
    /// Whether this process is in the machine's network namespace.
    pub own_network: bool,
    /// Whether the network folders of /sys and /proc/sys are the machine's.
    pub machines_sys: bool,
    /// As [`Places::machines_sys`].
    pub machines_sysctl: bool,
    /// Whether the files below the root are the machine's.
    pub machines_root: bool,
    /// The machine's name, where uname(2) has another.
    pub node_name: Option<String>,
}

impl Places {
    /// Looks around.
    pub fn find(proc: &Path, sys: &Path, root: &Path, node_name: &str) -> Places {
        let is_pid_1 = std::fs::read_link(proc.join("self")).is_ok_and(|pid| pid == Path::new("1"));
        // Where /proc hides the processes of others, one's own view is the best there is.
        let of_pid_1 = |name: &str| {
            let choices = [proc.join("1").join(name), proc.join("self").join(name), proc.join(name)];
            choices.into_iter().find(|path| !is_pid_1 && path.exists())
        };
        let net = of_pid_1("net");
        let mountinfo = of_pid_1("mountinfo");
        // A captured tree stands for a machine of its own.
        let captured = !proc.join("self").is_symlink();
        let own_network =
            !captured && net.as_deref().is_some_and(|net| same_network(net, &proc.join("self/net")));
        let own_mounts = !captured
            && mountinfo.as_deref().is_some_and(|all| same_mounts(all, &proc.join("self/mountinfo")));
        let given_root = root != Path::new("/");
        let statfs_root = match () {
            () if given_root || own_mounts => root.to_owned(),
            // Needs the right to trace pid 1; without it every mount has an error, not the sizes of another one.
            () => proc.join("1/root"),
        };
        Places {
            net,
            mountinfo,
            statfs_root,
            own_network,
            machines_sys: own_network || captured || sys != Path::new("/sys"),
            machines_sysctl: own_network || captured,
            machines_root: given_root || own_mounts,
            node_name: (!own_network && !captured).then(|| node_name.to_owned()),
            proc: proc.to_owned(),
            sys: sys.to_owned(),
            root: root.to_owned(),
        }
    }
}

/// Each network namespace has files of its own in /proc, of which the numbers differ. Unlike the links in
/// `/proc/PID/ns` they may be looked at by everyone.
fn same_network(one: &Path, other: &Path) -> bool {
    let number = |net: &Path| net.join("dev").metadata().ok().map(|meta| meta.ino());
    number(one).is_some() && number(one) == number(other)
}

/// Each mount has a number that no other mount of any namespace has.
fn same_mounts(one: &Path, other: &Path) -> bool {
    let first = |path: &Path| -> Option<Vec<u8>> {
        let text = std::fs::read(path).ok()?;
        Some(text.split(|byte| *byte == b' ').next()?.to_vec())
    };
    first(one).is_some() && first(one) == first(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine() {
        let places = Places::find(Path::new("/proc"), Path::new("/sys"), Path::new("/"), "node1");
        assert!(places.net.is_none() || places.net.as_deref().is_some_and(|net| net.join("dev").exists()));
        assert_eq!(places.node_name.is_none(), places.own_network);
    }

    #[test]
    fn a_container_that_is_its_own_pid_1_shows_no_network_and_no_mounts() {
        let folder = tempfile::tempdir().unwrap();
        let proc = folder.path();
        std::fs::create_dir_all(proc.join("1/net")).unwrap();
        std::fs::write(proc.join("1/mountinfo"), "1 1 0:1 / / rw - ext4 x rw\n").unwrap();
        std::fs::write(proc.join("1/net/dev"), "").unwrap();
        std::os::unix::fs::symlink("1", proc.join("self")).unwrap();
        let places = Places::find(proc, Path::new("/sys"), Path::new("/"), "node1");
        assert_eq!((&places.net, &places.mountinfo, places.machines_root), (&None, &None, false));
        assert_eq!((places.machines_sys, places.node_name.as_deref()), (false, Some("node1")));
        std::fs::remove_file(proc.join("self")).unwrap();
        std::fs::create_dir_all(proc.join("77/net")).unwrap();
        std::fs::write(proc.join("77/net/dev"), "").unwrap();
        std::fs::write(proc.join("77/mountinfo"), "2 1 0:1 / / rw - ext4 x rw\n").unwrap();
        std::os::unix::fs::symlink("77", proc.join("self")).unwrap();
        let places = Places::find(proc, Path::new("/sys"), Path::new("/"), "node1");
        assert_eq!(places.net, Some(proc.join("1/net")));
        assert_eq!((places.own_network, places.machines_sys), (false, false), "another network namespace");
        assert_eq!(places.statfs_root, proc.join("1/root"), "another mount namespace");
        assert!(Places::find(proc, Path::new("/host/sys"), Path::new("/host"), "node1").machines_sys);
    }
}
