//! Control groups of pods and containers: where they can be made, making, limiting, emptying and removing them.
//!
//! Layout, the kubelet's with the cgroupfs driver: `<root>/kubepods/{burstable/,besteffort/,}pod<uid>/<64 hex>`, in the
//! v1 hierarchies cpu, cpuacct, memory and pids, or once in the v2 tree. Where no group can be made, plain folders of
//! the same layout stand in for them; each holds a `cgroup.procs` with the container's root process, from which a
//! collector accounts by /proc, and limits are not enforced.
#![allow(clippy::disallowed_methods, reason = "edge: creates and removes control groups")]

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cgroups_rs::fs::Controllers;
use cgroups_rs::fs::cgroup::Cgroup;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::hierarchies::{self, UNIFIED_MOUNTPOINT, V1};
use cgroups_rs::fs::memory::MemController;

use super::leftovers;
use super::limits::{Limits, PERIOD_US, Qos, weight};

/// Controllers a container is accounted and limited by.
const V1_CONTROLLERS: [&str; 4] = ["cpu", "cpuacct", "memory", "pids"];
/// The same on v2, where cpu includes the accounting.
const V2_CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
/// Rounds of killing before a group counts as stuck.
const KILL_ROUNDS: u32 = 200;
/// Pause between rounds, and between attempts to remove a group.
const KILL_PAUSE: Duration = Duration::from_millis(10);
/// Attempts to remove a group whose last process is just ending.
const REMOVE_ATTEMPTS: u32 = 50;

/// Where control groups can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Below this root, relative to each hierarchy's mount point.
    Direct {
        /// Such as `/flyball-1a2b3c`, or below this process's own delegated group.
        root: String,
    },
    /// Not from here, but a user service manager answers: run again in a delegated user scope.
    NeedsDelegation,
    /// Nowhere.
    None,
}

/// Finds out where groups can be made. `name` is the wanted top folder, such as `/flyball-1a2b3c`.
///
/// It tries by making the folder and removing it again.
pub fn cgroup_access(name: &str) -> Access {
    let name = name.trim_matches('/');
    if !hierarchies::is_cgroup2_unified_mode() {
        let roots = v1_roots(name);
        let direct = roots.len() == V1_CONTROLLERS.len() && roots.iter().all(|(_, path)| can_make(path));
        return if direct { Access::Direct { root: format!("/{name}") } } else { Access::None };
    }
    let own = own_v2_group().unwrap_or_default();
    let mount = Path::new(UNIFIED_MOUNTPOINT);
    for parent in ["", own.trim_matches('/')] {
        let folder = mount.join(parent);
        if (parent.is_empty() || is_alone_in(&folder)) && can_make(&folder.join(name)) {
            let root = if parent.is_empty() { format!("/{name}") } else { format!("/{parent}/{name}") };
            return Access::Direct { root };
        }
    }
    let user = rustix::process::getuid().as_raw();
    let manager = PathBuf::from(format!("/run/user/{user}/systemd/private"));
    if manager.exists() { Access::NeedsDelegation } else { Access::None }
}

fn can_make(path: &Path) -> bool {
    if path.is_dir() {
        return rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    }
    match fs::create_dir(path) {
        Ok(()) => fs::remove_dir(path).is_ok(),
        Err(_) => false,
    }
}

/// This process's group in the v2 tree.
fn own_v2_group() -> Option<String> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

/// True if this process is the only one in the group: then the group can be split, as a delegated scope is.
fn is_alone_in(folder: &Path) -> bool {
    read_pids(&folder.join("cgroup.procs")).is_some_and(|pids| pids == [std::process::id().cast_signed()])
}

fn v1_roots(name: &str) -> Vec<(&'static str, PathBuf)> {
    let v1 = V1::new();
    let controllers = [Controllers::Cpu, Controllers::CpuAcct, Controllers::Mem, Controllers::Pids];
    let mounted = controllers.into_iter().zip(V1_CONTROLLERS);
    mounted
        .filter_map(|(controller, word)| Some((word, v1.get_mount_point(controller)?.0.join(name))))
        .collect()
}

/// How containers are grouped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Real control groups below this root.
    Groups {
        /// Relative to the mount points.
        root: String,
    },
    /// Folders with process ids below this folder.
    Processes {
        /// Absolute path.
        dir: PathBuf,
    },
}

/// The groups of one instance.
#[derive(Debug, Clone)]
pub struct Groups {
    mode: Mode,
    /// Top folders, one per hierarchy.
    tops: Vec<PathBuf>,
    v2: bool,
    /// Set once for all: nothing may start any more.
    closed: Arc<AtomicBool>,
}

impl Groups {
    /// Prepares the top folder. On v2 this process moves out of its own group into a leaf, as the kernel demands
    /// before a group may have children with controllers.
    ///
    /// # Errors
    /// If the top folder cannot be made.
    pub fn open(mode: Mode) -> io::Result<Self> {
        let v2 = hierarchies::is_cgroup2_unified_mode();
        let tops = match &mode {
            Mode::Processes { dir } => vec![dir.clone()],
            Mode::Groups { root } if v2 => vec![Path::new(UNIFIED_MOUNTPOINT).join(root.trim_matches('/'))],
            Mode::Groups { root } => {
                let mut tops: Vec<PathBuf> =
                    v1_roots(root.trim_matches('/')).into_iter().map(|(_, path)| path).collect();
                tops.dedup();
                tops
            }
        };
        if let Mode::Groups { root } = &mode
            && v2
        {
            split_own_group(root)?;
        }
        let v2 = v2 && matches!(mode, Mode::Groups { .. });
        let groups = Self { mode, tops, v2, closed: Arc::default() };
        groups.make_tops()?;
        Ok(groups)
    }

    /// Makes the top folders where they are missing.
    ///
    /// # Errors
    /// If one cannot be made.
    pub fn make_tops(&self) -> io::Result<()> {
        self.tops.iter().try_for_each(fs::create_dir_all)
    }

    /// True if limits are enforced.
    pub fn enforces_limits(&self) -> bool {
        matches!(self.mode, Mode::Groups { .. })
    }

    /// The top folders, for the guard that cleans up after this process.
    pub fn tops(&self) -> &[PathBuf] {
        &self.tops
    }

    /// Makes (or finds) the pod's group and sets its limits.
    ///
    /// # Errors
    /// If a group cannot be made or a limit is refused; the message names the pod's folder.
    pub fn make_pod(&self, qos: Qos, uid: &str, limits: Limits) -> io::Result<Group> {
        self.make(format!("kubepods/{}pod{uid}", qos.folder()), limits)
    }

    /// Makes a container's group in its pod's.
    ///
    /// # Errors
    /// As [`Groups::make_pod`].
    pub fn make_container(&self, pod: &Group, id: &str, limits: Limits) -> io::Result<Group> {
        self.make(format!("{}/{id}", pod.path), limits)
    }

    fn make(&self, path: String, limits: Limits) -> io::Result<Group> {
        let group = Group {
            folders: self.tops.iter().map(|top| top.join(&path)).collect(),
            path,
            groups: self.clone(),
        };
        if self.closed.load(Ordering::SeqCst) {
            return Err(io::Error::other("the runtime is shutting down"));
        }
        match &self.mode {
            Mode::Processes { .. } => {
                for folder in &group.folders {
                    fs::create_dir_all(folder)?;
                }
            }
            Mode::Groups { root } => {
                let full = format!("{}/{}", root.trim_matches('/'), group.path);
                let controllers =
                    if self.v2 { v2_controllers() } else { V1_CONTROLLERS.map(str::to_owned).to_vec() };
                let made =
                    Cgroup::new_with_specified_controllers(hierarchies::auto(), &full, Some(controllers))
                        .and_then(|cgroup| set_limits(&cgroup, limits, self.v2, &group.folders));
                if let Err(error) = made {
                    group.remove();
                    return Err(io::Error::other(format!("control group {full}: {error}")));
                }
            }
        }
        Ok(group)
    }

    /// From now on no group can be made and nothing can be started in one.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Kills every process of every group and removes all groups. Blocks, bounded by a few seconds; safe to repeat.
    pub fn clear(&self) {
        leftovers::clear(&self.tops, !self.enforces_limits());
    }
}

/// The controllers of [`V2_CONTROLLERS`] that this machine has.
fn v2_controllers() -> Vec<String> {
    let known =
        fs::read_to_string(Path::new(UNIFIED_MOUNTPOINT).join("cgroup.controllers")).unwrap_or_default();
    let present = |word: &&&str| known.split_ascii_whitespace().any(|known| known == **word);
    V2_CONTROLLERS.iter().filter(present).map(|word| (*word).to_owned()).collect()
}

/// Sets limits. A controller that was not delegated has no files here: its limits are left out, not an error.
fn set_limits(
    cgroup: &Cgroup,
    limits: Limits,
    v2: bool,
    folders: &[PathBuf],
) -> Result<(), cgroups_rs::fs::error::Error> {
    let has = |file: &str| folders.iter().any(|folder| folder.join(file).exists());
    let (cpu_file, memory_file) =
        if v2 { ("cpu.weight", "memory.max") } else { ("cpu.shares", "memory.limit_in_bytes") };
    if let Some(cpu) = cgroup.controller_of::<CpuController>().filter(|_| has(cpu_file)) {
        // The crate writes v1 shares and v2 weights through the same call, unconverted.
        cpu.set_shares(if v2 { weight(limits.cpu_shares) } else { limits.cpu_shares })?;
        if let Some(quota_us) = limits.cpu_quota_us {
            cpu.set_cfs_quota_and_period(Some(quota_us), Some(PERIOD_US))?;
        }
    }
    if let (Some(memory), Some(bytes)) =
        (cgroup.controller_of::<MemController>().filter(|_| has(memory_file)), limits.memory_bytes)
    {
        memory.set_limit(bytes)?;
    }
    Ok(())
}

/// Moves this process into a leaf beside `root` if `root` lies in this process's own group.
fn split_own_group(root: &str) -> io::Result<()> {
    let own = own_v2_group().unwrap_or_default();
    let parent = Path::new(root).parent().unwrap_or(Path::new("/"));
    if parent == Path::new("/") || Path::new(&own) != parent {
        return Ok(());
    }
    let leaf = Path::new(UNIFIED_MOUNTPOINT).join(own.trim_matches('/')).join("flyball");
    fs::create_dir_all(&leaf)?;
    fs::write(leaf.join("cgroup.procs"), "0")
}

/// One pod's or container's group.
#[derive(Debug, Clone)]
pub struct Group {
    groups: Groups,
    path: String,
    folders: Vec<PathBuf>,
}

impl Group {
    /// True once nothing may start any more.
    pub fn is_closed(&self) -> bool {
        self.groups.closed.load(Ordering::SeqCst)
    }

    /// Files that a process writes itself into to join.
    pub fn join_files(&self) -> Vec<PathBuf> {
        if !self.groups.enforces_limits() {
            return Vec::new();
        }
        self.folders.iter().map(|folder| folder.join("cgroup.procs")).collect()
    }

    /// Notes the container's root process where no kernel does it.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn note_root(&self, pid: i32) -> io::Result<()> {
        if self.groups.enforces_limits() {
            return Ok(());
        }
        for folder in &self.folders {
            leftovers::note_identity(folder, pid)?;
            fs::write(folder.join("cgroup.procs"), format!("{pid}\n"))?;
        }
        Ok(())
    }

    /// Number of processes the kernel killed here for want of memory; `None` if it does not say.
    pub fn oom_kills(&self) -> Option<u64> {
        if !self.groups.enforces_limits() {
            return None;
        }
        let file = if self.groups.v2 { "memory.events" } else { "memory.oom_control" };
        let text = self.folders.iter().find_map(|folder| fs::read_to_string(folder.join(file)).ok())?;
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill "))
            .and_then(|count| count.trim().parse().ok())
    }

    /// Kills everything in the group. Blocks until it is empty, bounded; true if it is.
    pub fn kill(&self) -> bool {
        if !self.groups.enforces_limits() {
            return leftovers::kill_noted(&self.folders);
        }
        for folder in &self.folders {
            // One write kills all at once where the kernel knows it (v2, 5.14); the loop below does elsewhere.
            let _ = fs::write(folder.join("cgroup.kill"), "1");
        }
        for _ in 0..KILL_ROUNDS {
            let pids: BTreeSet<i32> = self
                .folders
                .iter()
                .filter_map(|folder| read_pids(&folder.join("cgroup.procs")))
                .flatten()
                .collect();
            if pids.is_empty() {
                return true;
            }
            for pid in pids {
                leftovers::kill_process(pid);
            }
            std::thread::sleep(KILL_PAUSE);
        }
        tracing::warn!(group = self.path, "processes do not end, their control group stays");
        false
    }

    /// Removes the group. Blocks briefly while its last process ends.
    pub fn remove(&self) {
        for folder in &self.folders {
            for attempt in 0..REMOVE_ATTEMPTS {
                let removed = if self.groups.enforces_limits() {
                    fs::remove_dir(folder)
                } else {
                    fs::remove_dir_all(folder)
                };
                match removed {
                    Ok(()) => break,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                    Err(error) if attempt + 1 == REMOVE_ATTEMPTS => {
                        tracing::warn!(folder = %folder.display(), %error, "control group cannot be removed");
                    }
                    Err(_) => std::thread::sleep(KILL_PAUSE),
                }
            }
        }
    }
}

/// The process ids in a `cgroup.procs`; `None` if the file cannot be read.
pub(super) fn read_pids(file: &Path) -> Option<Vec<i32>> {
    let text = fs::read_to_string(file).ok()?;
    Some(text.lines().filter_map(|line| line.trim().parse().ok()).collect())
}
