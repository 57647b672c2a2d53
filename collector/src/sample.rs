//! What a sweep found: plain data, one value per group, each stamped with the time of its own read.

use crate::clock::Anchor;
use crate::details::Details;
use crate::layout::{Qos, SystemGroup};
use crate::names::{ContainerName, PodName};
use std::collections::HashMap;
use std::sync::Arc;

/// Cumulative CPU time of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    /// Nanoseconds of CPU time since the group was made.
    pub usage_ns: u64,
    /// Middle of the read, Unix milliseconds.
    pub unix_ms: i64,
}

/// A CPU reading on the clock that no step of the wall clock reaches, for rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuMark {
    /// Nanoseconds of CPU time since the group was made.
    pub usage_ns: u64,
    /// Middle of the read, monotonic milliseconds.
    pub monotonic_ms: i64,
}

impl CpuMark {
    /// Of a reading whose time was made with this anchor.
    pub fn of(cpu: &Cpu, anchor: Anchor) -> CpuMark {
        CpuMark { usage_ns: cpu.usage_ns, monotonic_ms: anchor.monotonic_ms(cpu.unix_ms) }
    }

    /// Rate since an earlier reading, billionths of a core; `None` when time or counter did not go on.
    pub fn rate_nanocores(&self, earlier: &CpuMark) -> Option<u64> {
        let used_ns = self.usage_ns.checked_sub(earlier.usage_ns)?;
        let ms = u64::try_from(self.monotonic_ms - earlier.monotonic_ms).ok().filter(|ms| *ms > 0)?;
        u64::try_from(u128::from(used_ns) * 1_000 / u128::from(ms)).ok()
    }
}

/// Memory of a group. Each part is absent when its file could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// v1 `memory.usage_in_bytes`, v2 `memory.current`; node: see [`crate::node`].
    pub usage_bytes: Option<u64>,
    /// Usage minus inactive file pages, at least 0.
    pub working_set_bytes: Option<u64>,
    /// v1 `total_rss`, v2 `anon`.
    pub rss_bytes: Option<u64>,
    /// Middle of the read, Unix milliseconds.
    pub unix_ms: i64,
}

/// Swap of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swap {
    /// Swapped-out bytes.
    pub usage_bytes: u64,
    /// The group's limit; absent when there is none or it is unknown.
    pub limit_bytes: Option<u64>,
    /// Middle of the read, Unix milliseconds.
    pub unix_ms: i64,
}

/// Everything one sweep read of one group. Absent is not zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// CPU.
    pub cpu: Option<Cpu>,
    /// CPU time per time between the last two sweeps, in billionths of a core.
    pub cpu_rate_nanocores: Option<u64>,
    /// Memory.
    pub memory: Option<Memory>,
    /// Swap, where the kernel accounts it.
    pub swap: Option<Swap>,
    /// When the first process started (node: when it booted), Unix milliseconds.
    pub start_unix_ms: Option<i64>,
    /// When it was made, Unix milliseconds: by the runtime's word, else by [`crate::created`].
    pub created_unix_ms: Option<i64>,
    /// Raised each time the CPU counter went back; rates must not be taken across epochs.
    pub epoch: u32,
}

/// A pod's group.
#[derive(Debug, Clone)]
pub struct PodReading {
    /// UID in the cgroup's name.
    pub uid: Arc<str>,
    /// Class by its folder.
    pub qos: Qos,
    /// Absent until the API server named it.
    pub name: Option<Arc<PodName>>,
    /// Its values; sums over its containers where the source has no group for pods.
    pub reading: Reading,
    /// Path of its group, with a leading slash.
    pub path: Arc<str>,
    /// What the slower tier read of it last.
    pub details: Arc<Details>,
}

/// A container's group.
#[derive(Debug, Clone)]
pub struct ContainerReading {
    /// Container id, 64 hexadecimal digits.
    pub id: Arc<str>,
    /// UID of its pod as in the cgroup's name.
    pub pod_uid: Arc<str>,
    /// Absent until the API server named it; absent for ever for a sandbox.
    pub name: Option<Arc<ContainerName>>,
    /// Name of its pod, known for sandboxes too.
    pub pod_name: Option<Arc<PodName>>,
    /// Looks like a sandbox: its first process calls itself `pause`. Used for counting only, never for naming.
    pub looks_like_sandbox: bool,
    /// Its values.
    pub reading: Reading,
    /// Path of its group, with a leading slash.
    pub path: Arc<str>,
    /// What the slower tier read of it last. The interfaces of a pod are with one of its containers, its sandbox if that
    /// is known.
    pub details: Arc<Details>,
}

/// A group that is neither a pod's nor a container's.
#[derive(Debug, Clone)]
pub struct SystemReading {
    /// What it is.
    pub whose: SystemGroup,
    /// Its values.
    pub reading: Reading,
    /// Path of its group, with a leading slash.
    pub path: Arc<str>,
    /// What the slower tier read of it last.
    pub details: Arc<Details>,
}

/// One finished sweep.
#[derive(Debug, Clone, Default)]
pub struct Sweep {
    /// 1 for the first sweep; 0 means that none was done yet.
    pub sequence: u64,
    /// Unix milliseconds.
    pub started_unix_ms: i64,
    /// Unix milliseconds.
    pub finished_unix_ms: i64,
    /// The machine.
    pub node: Reading,
    /// What the slower tier read of the machine's root group last.
    pub node_details: Arc<Details>,
    /// Names of block devices by major and minor number.
    pub devices: Arc<HashMap<(u32, u32), Arc<str>>>,
    /// What the node's pods use together, and what its own services use.
    pub system: Vec<SystemReading>,
    /// All pods found, in no particular order.
    pub pods: Vec<PodReading>,
    /// All containers found, sandboxes included, in no particular order.
    pub containers: Vec<ContainerReading>,
}

impl Sweep {
    /// Containers that have no name and are not sandboxes. Where no process of an unnamed container can be seen, which
    /// would say what it is, one of a pod is taken for its sandbox.
    pub fn unnamed_containers(&self) -> usize {
        let mut unknown: HashMap<&str, usize> = HashMap::new();
        let mut seen = 0;
        for container in self.containers.iter().filter(|c| c.name.is_none() && !c.looks_like_sandbox) {
            match container.reading.start_unix_ms {
                Some(_) => seen += 1,
                None => *unknown.entry(&container.pod_uid).or_default() += 1,
            }
        }
        for container in self.containers.iter().filter(|container| container.looks_like_sandbox) {
            // Its pod's sandbox is known, so every other one counts.
            seen += unknown.remove(&*container.pod_uid).unwrap_or_default();
        }
        seen + unknown.values().map(|count| count - 1).sum::<usize>()
    }

    /// Empties it, keeping its buffers.
    pub fn clear(&mut self) {
        self.pods.clear();
        self.system.clear();
        self.containers.clear();
        self.node = Reading::default();
    }
}

/// Usage and inactive file pages to working set: never below 0, as the kernel's two files need not agree.
pub fn working_set_bytes(usage_bytes: u64, inactive_file_bytes: u64) -> u64 {
    usage_bytes.saturating_sub(inactive_file_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unnamed_group_of_a_pod_is_its_sandbox() {
        let container = |pod: &str, looks_like_sandbox, start_unix_ms| ContainerReading {
            id: "id".into(),
            pod_uid: pod.into(),
            name: None,
            pod_name: None,
            looks_like_sandbox,
            reading: Reading { start_unix_ms, ..Reading::default() },
            path: "/".into(),
            details: Arc::default(),
        };
        let count = |containers| Sweep { containers, ..Sweep::default() }.unnamed_containers();
        assert_eq!(count(vec![container("a", false, None), container("b", false, None)]), 0, "sandboxes");
        assert_eq!(count(vec![container("a", false, None), container("a", false, None)]), 1);
        assert_eq!(
            count(vec![container("a", true, Some(1)), container("a", false, None)]),
            1,
            "known sandbox"
        );
        assert_eq!(count(vec![container("a", true, Some(1)), container("a", false, Some(2))]), 1);
    }

    #[test]
    fn rates() {
        let cpu = |usage_ns, monotonic_ms| CpuMark { usage_ns, monotonic_ms };
        assert_eq!(cpu(1_500_000_000, 2_000).rate_nanocores(&cpu(1_000_000_000, 1_000)), Some(500_000_000));
        assert_eq!(cpu(1, 2_000).rate_nanocores(&cpu(2, 1_000)), None, "a counter that went back");
        assert_eq!(cpu(2, 1_000).rate_nanocores(&cpu(1, 1_000)), None, "no time has passed");
        assert_eq!(cpu(2, 900).rate_nanocores(&cpu(1, 1_000)), None);
    }

    #[test]
    fn working_set_is_clamped() {
        assert_eq!(working_set_bytes(100, 40), 60);
        assert_eq!(working_set_bytes(40, 100), 0);
    }
}
