//! One group that is or was: its samples, and what is watched for events.

use super::chunk::Sample;
use super::events::{Event, EventId, Events, Evidence, Subject, What};
use super::quantity::{CpuRate, Pages};
use super::series::Series;
use super::throttling::{Counters, Step, Throttling};
use crate::details::Details;
use crate::parse::Limit;
use crate::sample::Reading;

/// A pod's or a container's group.
#[derive(Debug)]
pub struct Group {
    /// Who it is.
    pub subject: Subject,
    /// Its samples.
    pub series: Series,
    /// Number of the sweep that found it.
    pub first_sweep: u64,
    /// Number of the last sweep that had it.
    pub last_sweep: u64,
    /// When its first process started, Unix milliseconds.
    pub start_unix_ms: Option<i64>,
    /// For events.
    pub watch: Watch,
}

/// What is remembered of a group for events.
#[derive(Debug, Default)]
pub struct Watch {
    /// Time of the slower tier's pass seen last, Unix milliseconds; 0 before the first.
    pub seen_unix_ms: i64,
    /// The group was made while it was watched, so what its first pass has counted is news.
    is_new: bool,
    /// What the last pass knew of its memory.
    pub memory: KnownMemory,
    /// The counter of OOM kills at the last pass that had it.
    oom_kills: Option<u64>,
    /// Kills since the group is watched.
    pub kills: u64,
    /// Of a pod: kills that events tell of.
    pub told_kills: u64,
    throttling: Throttling,
    throttling_event: Option<EventId>,
}

/// What an OOM kill is told with.
#[derive(Debug, Default, Clone, Copy)]
pub struct KnownMemory {
    /// Limit.
    pub limit: Option<Limit>,
    /// Highest usage, bytes.
    pub max_usage_bytes: Option<u64>,
}

/// A sample of a reading.
pub fn sample(reading: &Reading) -> Sample {
    let memory = reading.memory;
    Sample {
        cpu: reading.cpu_rate_nanocores.map(CpuRate::from_nanocores),
        working_set: memory.and_then(|memory| memory.working_set_bytes).map(Pages::from_bytes),
        rss: memory.and_then(|memory| memory.rss_bytes).map(Pages::from_bytes),
    }
}

impl Group {
    /// Found in a sweep; `is_new` if it was not there before.
    pub fn new(subject: Subject, sweep: u64, is_new: bool) -> Group {
        let (series, watch) = (Series::default(), Watch { is_new, ..Watch::default() });
        Group { subject, series, first_sweep: sweep, last_sweep: sweep, start_unix_ms: None, watch }
    }

    /// Whether it is a container's group, not a pod's.
    pub fn is_container(&self) -> bool {
        self.subject.container_id.is_some()
    }

    /// Takes a pass of the slower tier that was not seen before; how many processes were killed since the last.
    pub fn watch(&mut self, details: &Details, events: &mut Events) -> u64 {
        let before_unix_ms = std::mem::replace(&mut self.watch.seen_unix_ms, details.unix_ms);
        if self.is_container()
            && let Some(counters) = Counters::of(details)
        {
            let step = self.watch.throttling.take(counters);
            self.throttling(step, Some(details), events);
        }
        let memory = &details.memory;
        self.watch.memory = KnownMemory { limit: memory.limit, max_usage_bytes: memory.max_usage_bytes };
        let Some(now) = memory.oom_kills else { return 0 };
        let before = self.watch.oom_kills.replace(now).or(self.watch.is_new.then_some(0));
        let kills = before.and_then(|before| now.checked_sub(before)).unwrap_or(0);
        self.watch.kills += kills;
        if kills > 0 && self.is_container() {
            let when = When {
                after_unix_ms: (before_unix_ms > 0).then_some(before_unix_ms),
                unix_ms: details.unix_ms,
            };
            let memory = self.watch.memory;
            tell_oom_kills(events, &self.subject, Evidence::ContainerCounter, kills, memory, when);
        }
        kills
    }

    /// It is no more.
    pub fn ended(&mut self, events: &mut Events) {
        let step = self.watch.throttling.gone();
        self.throttling(step, None, events);
    }

    fn throttling(&mut self, step: Step, details: Option<&Details>, events: &mut Events) {
        let event = |id: Option<EventId>, events: &mut Events, change: &dyn Fn(&mut Event)| {
            if let Some(event) = id.and_then(|id| events.get_mut(id)) {
                change(event);
            }
        };
        match step {
            Step::Quiet => {}
            Step::Begins { from_unix_ms, counted } => {
                let cpu = details.map(|details| details.cpu).unwrap_or_default();
                self.watch.throttling_event = Some(events.add(Event {
                    subject: self.subject.clone(),
                    what: What::Throttling { counted, quota_us: cpu.quota_us, period_us: cpu.period_us },
                    after_unix_ms: None,
                    first_unix_ms: from_unix_ms,
                    last_unix_ms: counted.unix_ms,
                    end_unix_ms: None,
                }));
            }
            Step::Lasts { counted: now } => event(self.watch.throttling_event, events, &|event| {
                event.last_unix_ms = now.unix_ms;
                if let What::Throttling { counted, .. } = &mut event.what {
                    *counted = now;
                }
            }),
            Step::Ended { at_unix_ms } => {
                event(self.watch.throttling_event.take(), events, &|event| {
                    event.end_unix_ms = Some(at_unix_ms.max(event.last_unix_ms));
                });
            }
        }
    }
}

/// When a kill was seen, Unix milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct When {
    /// The last reading without it.
    pub after_unix_ms: Option<i64>,
    /// The first with it.
    pub unix_ms: i64,
}

/// Adds kills to the subject's event, or makes it one.
pub fn tell_oom_kills(
    events: &mut Events,
    subject: &Subject,
    evidence: Evidence,
    kills: u64,
    memory: KnownMemory,
    when: When,
) {
    let same =
        |other: &Subject| other.pod_uid == subject.pod_uid && other.container_id == subject.container_id;
    if let Some(event) = events.oom_kill_of(same) {
        event.last_unix_ms = event.last_unix_ms.max(when.unix_ms);
        event.end_unix_ms = Some(event.last_unix_ms);
        if let What::OomKill { evidence: known, kills: so_far, limit, max_usage_bytes } = &mut event.what {
            // A status tells of a kill without counting: the counter that comes after it counts the same one.
            *so_far = if *known == Evidence::PodStatus { kills } else { *so_far + kills };
            *known = evidence;
            *limit = memory.limit.or(*limit);
            *max_usage_bytes = memory.max_usage_bytes.or(*max_usage_bytes);
        }
        return;
    }
    events.add(Event {
        subject: subject.clone(),
        what: What::OomKill { evidence, kills, limit: memory.limit, max_usage_bytes: memory.max_usage_bytes },
        after_unix_ms: when.after_unix_ms,
        first_unix_ms: when.unix_ms,
        last_unix_ms: when.unix_ms,
        end_unix_ms: Some(when.unix_ms),
    });
}
