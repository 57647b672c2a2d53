//! Where measurements of this cluster's workloads come from.

#![allow(clippy::disallowed_methods, reason = "an edge: looks at what this machine mounts")]

use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::runtime::{Access, cgroup_access};

/// Where measurements come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accounting {
    /// Control groups below `root`, with limits enforced.
    ControlGroups {
        /// Relative to the mount points.
        root: String,
        /// `v1` or `v2`, for people.
        version: &'static str,
    },
    /// Processes, from /proc; limits are not enforced.
    Processes {
        /// The folder that lists them.
        folder: PathBuf,
    },
}

impl fmt::Display for Accounting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ControlGroups { root, version } => write!(f, "control groups ({version}) below {root}"),
            Self::Processes { .. } => f.write_str(
                "processes in /proc (control groups cannot be made here, so limits are not enforced)",
            ),
        }
    }
}

/// Whether control groups cannot be made from here but could be in a delegated scope of the user's systemd.
#[must_use]
pub fn needs_delegation() -> bool {
    cgroup_access(&format!("flyball-probe-{}", std::process::id())) == Access::NeedsDelegation
}

pub(super) fn accounting(dir: &Path) -> Accounting {
    match cgroup_access(&group_name(dir)) {
        Access::Direct { root } => {
            let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
            Accounting::ControlGroups { root, version: if unified { "v2" } else { "v1" } }
        }
        Access::NeedsDelegation | Access::None => Accounting::Processes { folder: dir.join("processes") },
    }
}

/// The instance's top control group is named after its folder, so that two never meet.
fn group_name(dir: &Path) -> String {
    let digest = Sha256::digest(dir.as_os_str().as_encoded_bytes());
    let hash: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    format!("flyball-{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_give_different_groups() {
        assert_ne!(group_name(Path::new("/a")), group_name(Path::new("/b")));
        assert!(group_name(Path::new("/a")).starts_with("flyball-"));
    }
}
