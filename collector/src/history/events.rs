//! What happened to containers: kept after they are gone, the newest [`EVENTS_LIMIT`].

use super::throttling::Counters;
use crate::names::{ContainerName, PodName};
use crate::parse::Limit;
use std::collections::VecDeque;
use std::sync::Arc;

/// Most events kept; the oldest go first.
pub const EVENTS_LIMIT: usize = 512;

/// Names an event; never used twice.
pub type EventId = u64;

/// Whom it happened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// UID of the pod, as in the names of its groups.
    pub pod_uid: Arc<str>,
    /// Absent where the API server named no such pod.
    pub pod_name: Option<Arc<PodName>>,
    /// Id of the container; absent where only the pod is known.
    pub container_id: Option<Arc<str>>,
    /// Absent where it has none.
    pub container_name: Option<Arc<ContainerName>>,
}

/// How an OOM kill was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The container's own counter.
    ContainerCounter,
    /// The pod's counter, which outlives containers (v2): no container that is left counted it.
    PodCounter,
    /// The pod's status says that its container was `OOMKilled`.
    PodStatus,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The kernel killed processes for want of memory.
    OomKill {
        /// How that is known.
        evidence: Evidence,
        /// Processes killed; with [`Evidence::PodStatus`] at least this many.
        kills: u64,
        /// The group's limit.
        limit: Option<Limit>,
        /// Its highest usage, bytes.
        max_usage_bytes: Option<u64>,
    },
    /// The bandwidth limit held it back, see [`super::throttling`].
    Throttling {
        /// Counted from its beginning on.
        counted: Counters,
        /// CPU time per period, microseconds.
        quota_us: Option<Limit>,
        /// Length of a period, microseconds.
        period_us: Option<u64>,
    },
}

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`What::OomKill`].
    OomKill,
    /// [`What::Throttling`].
    Throttling,
}

/// Every kind with its name.
pub const KINDS: [(Kind, &str); 2] = [(Kind::OomKill, "oom_kill"), (Kind::Throttling, "throttling")];

impl What {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            What::OomKill { .. } => Kind::OomKill,
            What::Throttling { .. } => Kind::Throttling,
        }
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Whom.
    pub subject: Subject,
    /// What.
    pub what: What,
    /// It happened after this time, Unix milliseconds: the last reading that did not show it yet.
    pub after_unix_ms: Option<i64>,
    /// First seen, Unix milliseconds. Throttling: when it began.
    pub first_unix_ms: i64,
    /// Last seen, Unix milliseconds.
    pub last_unix_ms: i64,
    /// When it was over, Unix milliseconds; absent while it goes on. An OOM kill is over at once.
    pub end_unix_ms: Option<i64>,
}

/// The newest events.
#[derive(Debug, Default)]
pub struct Events {
    ring: VecDeque<Event>,
    /// Events that went, which is the id of the oldest kept.
    gone: u64,
    added: [u64; KINDS.len()],
}

impl Events {
    /// Adds one.
    pub fn add(&mut self, event: Event) -> EventId {
        if let Some(at) = KINDS.iter().position(|(kind, _)| *kind == event.what.kind()) {
            self.added[at] += 1;
        }
        if self.ring.len() >= EVENTS_LIMIT {
            self.ring.pop_front();
            self.gone += 1;
        }
        self.ring.push_back(event);
        self.gone + self.ring.len() as u64 - 1
    }

    /// One that is kept still.
    pub fn get_mut(&mut self, id: EventId) -> Option<&mut Event> {
        self.ring.get_mut(usize::try_from(id.checked_sub(self.gone)?).ok()?)
    }

    /// The newest OOM kill of a subject that `is` it.
    pub fn oom_kill_of(&mut self, is: impl Fn(&Subject) -> bool) -> Option<&mut Event> {
        self.ring.iter_mut().rev().find(|event| event.what.kind() == Kind::OomKill && is(&event.subject))
    }

    /// Newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Event> {
        self.ring.iter().rev()
    }

    /// How many were ever added, in the order of [`KINDS`].
    pub fn added(&self) -> [u64; KINDS.len()] {
        self.added
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(uid: usize) -> Event {
        Event {
            subject: Subject {
                pod_uid: uid.to_string().into(),
                pod_name: None,
                container_id: None,
                container_name: None,
            },
            what: What::OomKill {
                evidence: Evidence::PodCounter,
                kills: 1,
                limit: None,
                max_usage_bytes: None,
            },
            after_unix_ms: None,
            first_unix_ms: 0,
            last_unix_ms: 0,
            end_unix_ms: None,
        }
    }

    #[test]
    fn the_oldest_go_first_and_ids_stay() {
        let mut events = Events::default();
        let ids: Vec<EventId> = (0..EVENTS_LIMIT + 2).map(|uid| events.add(event(uid))).collect();
        assert_eq!(events.iter().count(), EVENTS_LIMIT);
        assert!(events.get_mut(ids[1]).is_none());
        assert_eq!(&*events.get_mut(ids[2]).unwrap().subject.pod_uid, "2");
        assert_eq!(&*events.iter().next().unwrap().subject.pod_uid, (EVENTS_LIMIT + 1).to_string());
        assert_eq!(events.added()[0], EVENTS_LIMIT as u64 + 2);
    }
}
