//! OOM kills that no container's counter told of.
//!
//! On v2 a pod's `memory.events` counts what happened in its containers and outlives them. So when a pod counts more kills
//! than its containers told of, and each container that is left was read since, the kills belong to one that went: the
//! one that went last. On v1 counters are local and go with the container, seldom to be read in between. There, as in
//! whatever else was missed, the pod's status tells it: the kubelet notes `OOMKilled` for a container whose first process
//! was killed. A child that was killed in a container that then ended by itself goes unseen on v1; only the kernel's log
//! has it, which the collector does not read.

use super::events::{Evidence, Subject};
use super::group::{Group, KnownMemory, When, tell_oom_kills};
use super::store::Store;
use crate::names::{NameTable, OomKilled};
use crate::slow::{RARE_SWEEPS, SLOW_SWEEPS};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Sweeps for which a pod's containers are given time to tell of its kills themselves.
const PATIENCE_SWEEPS: u64 = 2 * SLOW_SWEEPS;
/// A container that went earlier than this many sweeps before its pod counted a kill is not the one.
const GONE_SWEEPS: u64 = RARE_SWEEPS;

/// What is not settled yet.
#[derive(Debug, Default)]
pub struct Pending {
    /// Pods that counted kills, and the sweep that showed it.
    pub pods: HashMap<Arc<str>, u64>,
    /// Containers whose status was taken; no more of them than the table of names has.
    seen: HashSet<String>,
}

/// Tells of the kills of pods that none of their containers told of.
pub fn settle(store: &mut Store) {
    if store.oom.pods.is_empty() {
        return;
    }
    for (uid, since_sweep) in std::mem::take(&mut store.oom.pods) {
        let Some(pod) = store.groups.get(&uid) else { continue };
        let untold = pod.watch.kills.saturating_sub(pod.watch.told_kills);
        if untold == 0 {
            continue;
        }
        let (mut all_read, mut went): (bool, Option<&Group>) = (true, None);
        for group in store.groups.values().filter(|group| group.is_container()) {
            if group.subject.pod_uid != uid {
                continue;
            }
            if group.last_sweep == store.sweep() {
                all_read &= group.watch.seen_unix_ms >= pod.watch.seen_unix_ms;
            } else if group.last_sweep + GONE_SWEEPS >= since_sweep
                && went.is_none_or(|known| known.last_sweep < group.last_sweep)
            {
                went = Some(group);
            }
        }
        if !all_read && store.sweep() - since_sweep < PATIENCE_SWEEPS {
            store.oom.pods.insert(uid, since_sweep);
            continue;
        }
        let whose = went.unwrap_or(pod);
        let when = When {
            after_unix_ms: went.map(|group| group.watch.seen_unix_ms).filter(|ms| *ms > 0),
            unix_ms: pod.watch.seen_unix_ms,
        };
        let (subject, memory) = (whose.subject.clone(), whose.watch.memory);
        tell_oom_kills(&mut store.events, &subject, Evidence::PodCounter, untold, memory, when);
        if let Some(pod) = store.groups.get_mut(&uid) {
            pod.watch.told_kills += untold;
        }
    }
}

/// Tells of the kills that statuses of pods tell of and nothing else did.
pub fn take_statuses(store: &mut Store, table: &NameTable) {
    store.oom.seen.retain(|id| table.oom_killed(id).is_some());
    for (id, killed) in table.all_oom_killed() {
        // Before the first sweep: from before this program was there.
        if store.oom.seen.contains(id) || killed.unix_ms < store.began_unix_ms {
            continue;
        }
        store.oom.seen.insert(id.clone());
        let is_it = |subject: &Subject| subject.container_id.as_deref() == Some(id);
        if store.events.oom_kill_of(is_it).is_some() {
            continue;
        }
        let group = store.groups.get(id.as_str());
        let memory = group.map_or(KnownMemory::default(), |group| group.watch.memory);
        let subject = subject_of(id, killed, group);
        let when = When { after_unix_ms: None, unix_ms: killed.unix_ms };
        tell_oom_kills(&mut store.events, &subject, Evidence::PodStatus, 1, memory, when);
    }
}

fn subject_of(id: &str, killed: &OomKilled, group: Option<&Group>) -> Subject {
    Subject {
        pod_uid: Arc::from(killed.cgroup_uid.as_str()),
        pod_name: Some(killed.container.pod.clone()),
        container_id: Some(group.and_then(|group| group.subject.container_id.clone()).unwrap_or(id.into())),
        container_name: Some(killed.container.clone()),
    }
}
