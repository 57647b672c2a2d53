//! Control groups as kubelets and runtimes make them, with both drivers.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use flyball_collector::layout::Qos;
use flyball_collector::{Config, Names, Sweeper};

use crate::machine::CGROUPS;

/// Longest wait for a group to become empty.
const EMPTY_LIMIT: Duration = Duration::from_secs(10);

/// How the kubelet and the runtime name groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// `/ROOT/kubepods/burstable/pod<uid>/<id>`.
    Cgroupfs,
    /// `/ROOT.slice/ROOT-kubepods.slice/ROOT-kubepods-burstable.slice/…-pod<uid>.slice/cri-containerd-<id>.scope`.
    Systemd,
}

/// Both.
pub const DRIVERS: [Driver; 2] = [Driver::Cgroupfs, Driver::Systemd];

/// The groups below one `--cgroup-root`; removed, with what runs in them, when dropped.
#[derive(Debug)]
pub struct Tree {
    root: String,
    driver: Driver,
}

/// One group.
#[derive(Debug, Clone)]
pub struct Group {
    folder: PathBuf,
}

impl Tree {
    /// A tree below a root of this name, a single word.
    pub fn new(root: &str, driver: Driver) -> Tree {
        Tree { root: root.to_owned(), driver }
    }

    /// The `--cgroup-root`.
    pub fn root(&self) -> String {
        format!("/{}", self.root)
    }

    /// A collector's sweeper that looks here, and finds out for itself what the machine has.
    pub fn sweeper(&self) -> anyhow::Result<Sweeper> {
        let config = Config { cgroup_root: self.root(), ..Config::new("vm") };
        Sweeper::new(&config, Names::default().into()).context("the collector finds no source")
    }

    /// Makes a pod's group, with every controller on for its containers.
    pub fn pod(&self, qos: Qos, uid: &str) -> anyhow::Result<Group> {
        let pod = Group { folder: Path::new(CGROUPS).join(self.pod_path(qos, uid)) };
        std::fs::create_dir_all(&pod.folder).with_context(|| pod.folder.display().to_string())?;
        let below: Vec<_> = pod.folder.ancestors().take_while(|folder| folder.starts_with(CGROUPS)).collect();
        for folder in below.into_iter().rev() {
            enable_all(folder)?;
        }
        Ok(pod)
    }

    /// Makes a container's group in a pod's.
    pub fn container(&self, pod: &Group, id: &str) -> anyhow::Result<Group> {
        pod.child(&match self.driver {
            Driver::Cgroupfs => id.to_owned(),
            Driver::Systemd => format!("cri-containerd-{id}.scope"),
        })
    }

    fn pod_path(&self, qos: Qos, uid: &str) -> String {
        let class = match qos {
            Qos::Guaranteed => None,
            Qos::Burstable => Some("burstable"),
            Qos::BestEffort => Some("besteffort"),
        };
        let pod = format!("pod{uid}");
        let elements = [Some(self.root.as_str()), Some("kubepods"), class, Some(&pod)].into_iter().flatten();
        match self.driver {
            Driver::Cgroupfs => elements.collect::<Vec<_>>().join("/"),
            Driver::Systemd => {
                let mut joined = String::new();
                let folders = elements.map(|element| {
                    joined += if joined.is_empty() { "" } else { "-" };
                    joined += &element.replace('-', "_");
                    format!("{joined}.slice")
                });
                folders.collect::<Vec<_>>().join("/")
            }
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let top = match self.driver {
            Driver::Cgroupfs => self.root.clone(),
            Driver::Systemd => format!("{}.slice", self.root),
        };
        Group { folder: Path::new(CGROUPS).join(top) }.remove();
    }
}

impl Group {
    /// A group at the top of the hierarchy, with every controller on for its children.
    pub fn top(name: &str) -> anyhow::Result<Group> {
        enable_all(Path::new(CGROUPS))?;
        Group { folder: PathBuf::from(CGROUPS) }.child(name)
    }

    /// Makes a group in this one.
    pub fn child(&self, name: &str) -> anyhow::Result<Group> {
        let folder = self.folder.join(name);
        std::fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        Ok(Group { folder })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// One of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes one of its files.
    pub fn set(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let path = self.file(file);
        std::fs::write(&path, text).with_context(|| format!("cannot write {text} to {}", path.display()))
    }

    /// Turns every controller on for its children.
    pub fn enable_all(&self) -> anyhow::Result<()> {
        enable_all(&self.folder)
    }

    /// Kills what runs in it and removes it with everything below.
    pub fn remove(&self) {
        // Missing only where the group is gone.
        let _ = std::fs::write(self.file("cgroup.kill"), "1");
        remove_below(&self.folder);
    }
}

fn enable_all(folder: &Path) -> anyhow::Result<()> {
    let controllers = crate::kernel::text(&folder.join("cgroup.controllers"))?;
    let words: Vec<_> = controllers.split_whitespace().map(|word| format!("+{word}")).collect();
    let file = folder.join("cgroup.subtree_control");
    std::fs::write(&file, words.join(" ")).with_context(|| file.display().to_string())
}

/// Deepest first; a group whose last process is just ending is busy for a moment.
fn remove_below(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_below(&entry.path());
    }
    let deadline = Instant::now() + EMPTY_LIMIT;
    while let Err(error) = std::fs::remove_dir(folder) {
        if error.kind() == std::io::ErrorKind::NotFound || Instant::now() > deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_collector::layout::identify;

    const UID: &str = "2fc932ce-fdcc-454b-97bd-aadfdeb4c340";

    #[test]
    fn paths_are_those_of_kubelets() {
        for driver in DRIVERS {
            let tree = Tree::new("vm", driver);
            for qos in [Qos::Guaranteed, Qos::Burstable, Qos::BestEffort] {
                let found = identify(&tree.pod_path(qos, UID));
                assert_eq!(found.map(|found| (found.pod_uid, found.qos)), Some((UID.to_owned(), qos)));
            }
        }
        assert_eq!(
            Tree::new("vm", Driver::Systemd).pod_path(Qos::Burstable, UID),
            "vm.slice/vm-kubepods.slice/vm-kubepods-burstable.slice/\
             vm-kubepods-burstable-pod2fc932ce_fdcc_454b_97bd_aadfdeb4c340.slice"
        );
    }
}
