//! Settings of the collector.

use crate::disk::DiskConfig;
use crate::error::CollectorError;
use crate::mounts::Hierarchies;
use crate::name_source::NameSource;
use crate::selection::Selection;
use std::path::PathBuf;
use std::time::Duration;

/// Shortest interval between sweeps.
pub const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
/// Longest interval between sweeps.
pub const LONGEST_INTERVAL: Duration = Duration::from_secs(60);

/// Where values come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SourceChoice {
    /// The cgroup hierarchies mounted on this machine: v1, v2 or both, found once at the start.
    #[default]
    Detect,
    /// A folder that holds a machine: its `proc/self/mountinfo` names the mounts, which are looked up below the
    /// folder. For captured trees, and for a host's file system mounted in a container.
    Tree(PathBuf),
    /// These hierarchies and no others.
    Hierarchies(Box<Hierarchies>),
    /// No control groups: a plain folder `<folder>/kubepods/<qos>/pod<uid>/<64 hex>/cgroup.procs` written by the
    /// runtime, each file holding the pids of the container's root processes. Values are taken per process from
    /// `proc_root`.
    Processes(PathBuf),
}

/// Settings of one collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of the node: the pods watched are those bound to it, and access is checked against it.
    pub node_name: String,
    /// Where values come from.
    pub source: SourceChoice,
    /// The kubelet's `--cgroup-root`: pods are looked for in folders named as kubelets name them, below this group and
    /// nowhere else. May also name such a folder itself.
    pub cgroup_root: String,
    /// The host's /proc.
    pub proc_root: PathBuf,
    /// The host's /sys.
    pub sys_root: PathBuf,
    /// The root of the host's files, for sizes of its mounts and its os-release in `/metrics/node`.
    pub root: PathBuf,
    /// Time between sweeps.
    pub interval: Duration,
    /// Most counter files held open; each costs the kernel about 4.4 KB of memory that is charged to this process (4 KiB of it
    /// for the text last read). Of groups beyond it files are opened each time they are read, at about five times the CPU.
    pub kept_files_limit: usize,
    /// Also count the open descriptors of each container's processes: one more system call per process and pass of the
    /// slower tier.
    pub counts_descriptors: bool,
    /// Also count which of them are sockets: one more system call per descriptor and pass of the slower tier, up to a limit.
    pub counts_sockets: bool,
    /// Also read CPU time by CPU (v1), shown in the place of the total in `/metrics/cadvisor`.
    pub per_cpu: bool,
    /// Where names come from: the first of these that answers.
    pub names: Vec<NameSource>,
    /// How disk use is measured; `None` leaves it unmeasured.
    pub disk: Option<DiskConfig>,
    /// Families and labels of `/metrics/cadvisor`.
    pub selection: Selection,
}

impl Config {
    /// The defaults for a node.
    pub fn new(node_name: impl Into<String>) -> Config {
        Config {
            node_name: node_name.into(),
            source: SourceChoice::Detect,
            cgroup_root: "/".to_owned(),
            proc_root: PathBuf::from("/proc"),
            sys_root: PathBuf::from("/sys"),
            root: PathBuf::from("/"),
            counts_descriptors: false,
            counts_sockets: false,
            per_cpu: false,
            names: vec![NameSource::ApiServer],
            disk: None,
            selection: Selection::default(),
            interval: Duration::from_secs(1),
            kept_files_limit: 4_096,
        }
    }

    /// Refuses what cannot work, naming the setting.
    pub fn check(&self) -> Result<(), CollectorError> {
        let invalid =
            |setting, reason: &str| Err(CollectorError::Invalid { setting, reason: reason.to_owned() });
        if self.node_name.is_empty() {
            return invalid("node name", "must not be empty");
        }
        if !(SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&self.interval) {
            return invalid("interval", "must be between 10ms and 60s");
        }
        if !self.cgroup_root.starts_with('/') || self.cgroup_root.split('/').any(|element| element == "..") {
            return invalid("cgroup root", "must be an absolute path without \"..\"");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_pass_and_bad_values_are_named() {
        let good = Config::new("node1");
        assert!(good.check().is_ok());
        let cases = [
            (Config { node_name: String::new(), ..good.clone() }, "node name"),
            (Config { interval: Duration::ZERO, ..good.clone() }, "interval"),
            (Config { cgroup_root: "kubelet".to_owned(), ..good.clone() }, "cgroup root"),
            (Config { cgroup_root: "/a/../b".to_owned(), ..good }, "cgroup root"),
        ];
        for (config, setting) in cases {
            assert!(config.check().unwrap_err().to_string().contains(setting), "{setting}");
        }
    }
}
