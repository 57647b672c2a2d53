//! A group between sweeps: its open files, its name, and what was read of it last.

use crate::clock::Anchor;
use crate::discover::{Found, GroupId, Whose};
use crate::group::{GroupFiles, GroupValues, SLOW_TIER_SWEEPS, SweepContext};
use crate::layout::{Qos, SystemGroup};
use crate::lineage::Lineage;
use crate::mounts::FilePlan;
use crate::names::{ContainerName, PodName};
use crate::sample::{ContainerReading, Cpu, CpuMark, Memory, PodReading, Reading, Sweep, SystemReading};
use crate::slow::SlowTier;
use crate::start;
use rustix::fd::OwnedFd;
use std::collections::HashMap;
use std::sync::Arc;

/// Sweeps in a row in which the start of a new container is looked for; afterwards now and then.
const START_TRIES: u64 = 10;

/// One group.
pub(crate) struct Group {
    pub(crate) id: GroupId,
    /// Empty for a group that belongs to no pod.
    pub(crate) pod_uid: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) files: GroupFiles,
    pub(crate) slow: SlowTier,
    /// Its path with a leading slash.
    path: Arc<str>,
    /// The interfaces of its pod are read with it.
    pub(crate) stands_for_network: bool,
    pub(crate) family: Lineage,
    first_sequence: u64,
    pub(crate) read_sequence: u64,
    last_cpu: Option<CpuMark>,
    pub(crate) reading: Reading,
}

/// What a group is.
pub(crate) enum Kind {
    System(SystemGroup),
    Pod {
        qos: Qos,
        name: Option<Arc<PodName>>,
    },
    Container {
        id: Arc<str>,
        /// Its pod's group.
        pod: GroupId,
        name: Option<Arc<ContainerName>>,
        pod_name: Option<Arc<PodName>>,
        looks_like_sandbox: bool,
    },
}

impl Group {
    /// A group that was just found.
    pub(crate) fn new(found: Found, plan: &FilePlan, sequence: u64) -> Group {
        let (pod_uid, kind) = match found.whose {
            Whose::Container { pod_uid, pod, id } => {
                (pod_uid, Kind::Container { id, pod, name: None, pod_name: None, looks_like_sandbox: false })
            }
            Whose::Pod { uid, qos } => (uid, Kind::Pod { qos, name: None }),
            Whose::System(whose) => (Arc::default(), Kind::System(whose)),
        };
        Group {
            id: found.id,
            pod_uid,
            kind,
            files: GroupFiles::new(&found.path, found.inode, plan.trees.len()),
            slow: SlowTier::new(&plan.huge_page_sizes),
            path: Arc::from(format!("/{}", found.path)),
            stands_for_network: false,
            family: Lineage::default(),
            first_sequence: sequence,
            read_sequence: 0,
            last_cpu: None,
            reading: Reading::default(),
        }
    }

    /// Whether it was found in this sweep.
    pub(crate) fn is_new(&self, sequence: u64) -> bool {
        self.first_sequence == sequence
    }

    /// Takes over new values; 1 when the CPU counter went back, which starts a new epoch.
    pub(crate) fn take(&mut self, values: GroupValues, anchor: Anchor) -> u64 {
        let last = self.last_cpu.take();
        let now = values.cpu.map(|cpu| CpuMark::of(&cpu, anchor));
        self.reading.cpu = values.cpu;
        self.reading.cpu_rate_nanocores = now.zip(last).and_then(|(now, last)| now.rate_nanocores(&last));
        self.reading.memory = values.memory;
        self.reading.swap = values.swap;
        let Some(now) = now else {
            self.last_cpu = last;
            return 0;
        };
        let went_back = last.is_some_and(|last| now.usage_ns < last.usage_ns);
        self.last_cpu = Some(now);
        self.reading.epoch += u32::from(went_back);
        u64::from(went_back)
    }

    /// Looks for the first process of a container whose start is not known yet; true when it is found now.
    pub(crate) fn find_start(
        &mut self,
        by_process: bool,
        proc_root: &OwnedFd,
        ctx: &mut SweepContext<'_>,
    ) -> bool {
        let Kind::Container { looks_like_sandbox, .. } = &mut self.kind else { return false };
        if self.reading.start_unix_ms.is_some() {
            return false;
        }
        // A new one gets its first process in a moment. Later a process shows by the CPU it uses, which makes the slower
        // tier look.
        let age = ctx.sequence - self.first_sequence;
        let due = match by_process {
            true => (ctx.sequence + self.id).is_multiple_of(SLOW_TIER_SWEEPS),
            false => self.slow.has_just_read(ctx.sequence) && self.slow.details().tasks.processes != Some(0),
        };
        if !due && age >= START_TRIES {
            return false;
        }
        if by_process {
            self.reading.start_unix_ms =
                self.family.start_ticks().and_then(|ticks| start::ticks_to_unix_ms(ticks, proc_root, ctx));
        } else if let Some(first) = start::first_process(&self.files, proc_root, ctx) {
            self.reading.start_unix_ms = Some(first.start_unix_ms);
            *looks_like_sandbox = first.is_pause;
        }
        self.reading.start_unix_ms.is_some()
    }

    /// Writes it into a sweep. `sums`: values of pods that have no counters of their own.
    pub(crate) fn publish(&self, sums: Option<&HashMap<Arc<str>, Reading>>, sweep: &mut Sweep) {
        match &self.kind {
            Kind::System(whose) => sweep.system.push(SystemReading {
                whose: *whose,
                reading: self.reading,
                path: self.path.clone(),
                details: self.slow.details().clone(),
            }),
            Kind::Pod { qos, name } => sweep.pods.push(PodReading {
                uid: self.pod_uid.clone(),
                qos: *qos,
                name: name.clone(),
                reading: match sums {
                    Some(sums) => sums.get(&self.pod_uid).copied().unwrap_or_default(),
                    None => self.reading,
                },
                path: self.path.clone(),
                details: self.slow.details().clone(),
            }),
            Kind::Container { id, name, pod_name, looks_like_sandbox, .. } => {
                sweep.containers.push(ContainerReading {
                    id: id.clone(),
                    pod_uid: self.pod_uid.clone(),
                    name: name.clone(),
                    pod_name: pod_name.clone(),
                    looks_like_sandbox: *looks_like_sandbox,
                    reading: Reading {
                        // The pod's status tells it where processes cannot be seen: in a container without the host's pids.
                        start_unix_ms: self
                            .reading
                            .start_unix_ms
                            .or_else(|| name.as_ref().and_then(|name| name.started_unix_ms)),
                        ..self.reading
                    },
                    path: self.path.clone(),
                    details: self.slow.details().clone(),
                })
            }
        }
    }
}

/// Adds a container to its pod. The pod's time is that of the container read last.
pub(crate) fn add(sum: &mut Reading, container: &Reading, ended_cpu_ns: u64) {
    if let Some(cpu) = container.cpu {
        let so_far = sum.cpu.map_or(ended_cpu_ns, |sum| sum.usage_ns);
        sum.cpu = Some(Cpu { usage_ns: so_far + cpu.usage_ns, unix_ms: cpu.unix_ms });
        if let Some(rate) = container.cpu_rate_nanocores {
            sum.cpu_rate_nanocores = Some(sum.cpu_rate_nanocores.unwrap_or(0) + rate);
        }
    }
    if let Some(memory) = container.memory {
        let so_far = sum.memory;
        let plus = |field: fn(&Memory) -> Option<u64>| match (so_far.as_ref().map(field), field(&memory)) {
            (None, bytes) => bytes,
            (Some(a), b) => a.zip(b).map(|(a, b)| a + b),
        };
        sum.memory = Some(Memory {
            usage_bytes: plus(|m| m.usage_bytes),
            working_set_bytes: plus(|m| m.working_set_bytes),
            rss_bytes: plus(|m| m.rss_bytes),
            unix_ms: memory.unix_ms,
        });
    }
    sum.start_unix_ms = match (sum.start_unix_ms, container.start_unix_ms) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}
