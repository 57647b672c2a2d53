//! All histories and events of a machine, fed with finished sweeps. Knows no clock and does no I/O.
//!
//! Time is kept once for all groups: sweep `n` ended at one time, and each group's sample of it has only values. A sweep
//! that was missed has no entry, so it shows as a longer step between two times.

use super::chunk::Chunk;
use super::events::{Events, Subject};
use super::group::{Group, sample};
use super::series::Series;
use super::{DEPTH_SWEEPS, LEAST_DEPTH_SWEEPS, LIMIT_BYTES, Recorded, oom};
use crate::details::Details;
use crate::names::PodName;
use crate::sample::{ContainerReading, PodReading, Reading, Sweep};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Sweeps between two looks at groups that ended and samples that are too old.
const TIDY_SWEEPS: u64 = 16;
/// By how much the depth is lowered at once, or raised in as many sweeps.
const DEPTH_STEP_SWEEPS: u64 = 60;
/// Sweeps for which a container without a name is kept; a sandbox never gets one.
const UNNAMED_SWEEPS: u64 = 60;
/// What a group costs beside its samples.
const GROUP_BYTES: usize = size_of::<(Arc<str>, Group)>() + 32;

/// The store.
#[derive(Debug)]
pub struct Store {
    /// Number of the last sweep; the first is 1.
    sweep: u64,
    /// End of each sweep kept, Unix milliseconds; the last is that of `sweep`.
    times: VecDeque<i64>,
    node: Series,
    pub(super) groups: HashMap<Arc<str>, Group>,
    pub(super) events: Events,
    pub(super) oom: oom::Pending,
    depth_sweeps: u64,
    limit_bytes: usize,
    cost_bytes: usize,
    left_out: usize,
    forgotten_early: u64,
    gone: HashSet<Arc<str>>,
    /// End of the first sweep, Unix milliseconds.
    pub(super) began_unix_ms: i64,
}

/// Whose history is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'a> {
    /// The machine's.
    Node,
    /// A pod's.
    Pod(&'a PodName),
    /// A container's, all instances of it.
    Container(&'a PodName, &'a str),
}

/// A copy of the history of one group.
#[derive(Debug, Clone)]
pub struct Copied {
    /// Whose; `None` for the machine's.
    pub subject: Option<Subject>,
    /// When its first process started, Unix milliseconds.
    pub start_unix_ms: Option<i64>,
    /// Whether the last sweep had it.
    pub is_there: bool,
    /// Number of its last sweep.
    pub last_sweep: u64,
    /// Its samples.
    pub chunks: Vec<Chunk>,
}

/// The ends of consecutive sweeps.
#[derive(Debug, Clone, Default)]
pub struct Times {
    /// Number of the first.
    pub first_sweep: u64,
    /// Unix milliseconds.
    pub unix_ms: Vec<i64>,
}

impl Store {
    /// Empty, with the limits of a node.
    pub fn new() -> Store {
        Store::with_limit(LIMIT_BYTES)
    }

    /// Empty, with another limit.
    pub fn with_limit(limit_bytes: usize) -> Store {
        Store {
            sweep: 0,
            times: VecDeque::new(),
            node: Series::default(),
            groups: HashMap::new(),
            events: Events::default(),
            oom: oom::Pending::default(),
            depth_sweeps: DEPTH_SWEEPS,
            limit_bytes,
            cost_bytes: 0,
            left_out: 0,
            forgotten_early: 0,
            gone: HashSet::new(),
            began_unix_ms: i64::MAX,
        }
    }

    /// Takes a finished sweep.
    pub fn record(&mut self, sweep: &Sweep) {
        self.sweep += 1;
        self.times.push_back(sweep.finished_unix_ms);
        self.began_unix_ms = self.began_unix_ms.min(sweep.finished_unix_ms);
        // A group found now is new unless it was there all along and only left out.
        let all_are_known = self.sweep > 1 && std::mem::take(&mut self.left_out) == 0;
        let before = self.node.cost_bytes();
        self.node.push(self.sweep, sample(&sweep.node));
        self.cost_bytes = self.cost_bytes + self.node.cost_bytes() - before;
        for pod in &sweep.pods {
            self.take_pod(pod, all_are_known);
        }
        for container in sweep.containers.iter().filter(|container| !container.looks_like_sandbox) {
            self.take_container(container, all_are_known);
        }
        oom::settle(self);
        if self.sweep.is_multiple_of(TIDY_SWEEPS) || self.cost_bytes > self.limit_bytes {
            self.tidy();
        }
    }

    /// Number of the last sweep.
    pub fn sweep(&self) -> u64 {
        self.sweep
    }

    /// What happened.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// How things stand.
    pub fn recorded(&self) -> Recorded {
        Recorded {
            groups: self.groups.len(),
            left_out: self.left_out,
            cost_bytes: self.cost_bytes,
            depth_sweeps: self.depth_sweeps,
            forgotten_early: self.forgotten_early,
            events: self.events.added(),
        }
    }

    /// The ends of the sweeps kept.
    pub fn times(&self) -> Times {
        Times {
            first_sweep: self.sweep + 1 - self.times.len() as u64,
            unix_ms: self.times.iter().copied().collect(),
        }
    }

    /// Copies of the histories of a name, newest first, as far as they reach from `since_sweep` on.
    pub fn copy(&self, whose: Whose<'_>, since_sweep: u64) -> Vec<Copied> {
        let of = |series: &Series| series.since(since_sweep);
        if whose == Whose::Node {
            let chunks = of(&self.node);
            let (subject, start_unix_ms) = (None, None);
            return vec![Copied { subject, start_unix_ms, is_there: true, last_sweep: self.sweep, chunks }];
        }
        let asked = |group: &&Group| match whose {
            Whose::Node => false,
            Whose::Pod(name) => !group.is_container() && group.subject.pod_name.as_deref() == Some(name),
            Whose::Container(pod, name) => {
                let known = group.subject.container_name.as_deref();
                known.is_some_and(|known| known.container == name && *known.pod == *pod)
            }
        };
        let mut found: Vec<&Group> = self.groups.values().filter(asked).collect();
        found.sort_unstable_by_key(|group| std::cmp::Reverse((group.last_sweep, group.first_sweep)));
        let copied = |group: &Group| Copied {
            subject: Some(group.subject.clone()),
            start_unix_ms: group.start_unix_ms,
            is_there: group.last_sweep == self.sweep,
            last_sweep: group.last_sweep,
            chunks: of(&group.series),
        };
        found.into_iter().map(copied).collect()
    }

    fn take_pod(&mut self, pod: &PodReading, all_are_known: bool) {
        let Some(group) = self.group(&pod.uid, all_are_known, || Subject {
            pod_uid: pod.uid.clone(),
            pod_name: None,
            container_id: None,
            container_name: None,
        }) else {
            return;
        };
        if group.subject.pod_name.is_none() {
            group.subject.pod_name.clone_from(&pod.name);
        }
        let kills = self.take(&pod.uid, &pod.reading, &pod.details);
        if kills > 0 {
            self.oom.pods.insert(pod.uid.clone(), self.sweep);
        }
    }

    fn take_container(&mut self, container: &ContainerReading, all_are_known: bool) {
        let Some(group) = self.group(&container.id, all_are_known, || Subject {
            pod_uid: container.pod_uid.clone(),
            pod_name: None,
            container_id: Some(container.id.clone()),
            container_name: None,
        }) else {
            return;
        };
        if group.subject.container_name.is_none() {
            group.subject.container_name.clone_from(&container.name);
        }
        if group.subject.pod_name.is_none() {
            let by_container = || container.name.as_ref().map(|name| name.pod.clone());
            group.subject.pod_name = container.pod_name.clone().or_else(by_container);
        }
        let kills = self.take(&container.id, &container.reading, &container.details);
        if kills > 0
            && let Some(pod) = self.groups.get_mut(&container.pod_uid)
        {
            pod.watch.told_kills += kills;
        }
    }

    /// The group of a key, made if it is new and there is room.
    fn group(
        &mut self,
        key: &Arc<str>,
        is_new: bool,
        subject: impl FnOnce() -> Subject,
    ) -> Option<&mut Group> {
        if !self.groups.contains_key(key) {
            // Nothing is left to shorten.
            let shortest = self.depth_sweeps.min(self.sweep) <= LEAST_DEPTH_SWEEPS;
            if self.cost_bytes >= self.limit_bytes && shortest {
                self.left_out += 1;
                return None;
            }
            self.cost_bytes += GROUP_BYTES;
            self.groups.insert(key.clone(), Group::new(subject(), self.sweep, is_new));
        }
        self.groups.get_mut(key)
    }

    /// Adds the sample and looks for events; how many processes were killed.
    fn take(&mut self, key: &str, reading: &Reading, details: &Details) -> u64 {
        let Some(group) = self.groups.get_mut(key) else { return 0 };
        group.last_sweep = self.sweep;
        group.start_unix_ms = reading.start_unix_ms;
        let before = group.series.cost_bytes();
        let nameless = group.is_container() && group.subject.container_name.is_none();
        if nameless && self.sweep - group.first_sweep > UNNAMED_SWEEPS {
            group.series = Series::default();
        } else {
            group.series.push(self.sweep, sample(reading));
        }
        self.cost_bytes = self.cost_bytes + group.series.cost_bytes() - before;
        if details.unix_ms == group.watch.seen_unix_ms {
            return 0;
        }
        group.watch(details, &mut self.events)
    }

    /// Forgets what is too old, says of groups that they ended, and sees that the limit holds.
    fn tidy(&mut self) {
        if self.cost_bytes > self.limit_bytes {
            let lowered = self.depth_sweeps.saturating_sub(DEPTH_STEP_SWEEPS).max(LEAST_DEPTH_SWEEPS);
            self.depth_sweeps = lowered;
        } else if self.cost_bytes < self.limit_bytes / 4 * 3 && self.depth_sweeps < DEPTH_SWEEPS {
            // Slower than the history grows, so that it does not go up and down.
            self.depth_sweeps = (self.depth_sweeps + TIDY_SWEEPS).min(DEPTH_SWEEPS);
        }
        let oldest = (self.sweep + 1).saturating_sub(self.depth_sweeps);
        let shortened = self.depth_sweeps < DEPTH_SWEEPS;
        let mut forgotten = self.node.forget_before(oldest);
        for (key, group) in &mut self.groups {
            forgotten += group.series.forget_before(oldest);
            if group.last_sweep < self.sweep {
                group.ended(&mut self.events);
                if group.series.is_empty() && group.last_sweep < oldest {
                    self.gone.insert(key.clone());
                }
            }
        }
        for key in self.gone.drain() {
            self.groups.remove(&key);
        }
        if shortened {
            self.forgotten_early += forgotten;
        }
        let samples: usize = self.groups.values().map(|group| group.series.cost_bytes()).sum();
        self.cost_bytes = samples + self.node.cost_bytes() + self.groups.len() * GROUP_BYTES;
        let kept = DEPTH_SWEEPS + u64::from(super::chunk::SAMPLES_LIMIT);
        while self.times.len() as u64 > kept {
            self.times.pop_front();
        }
    }
}

impl Default for Store {
    fn default() -> Store {
        Store::new()
    }
}
