//! When a group was made, started and seen.

use super::Family;
use crate::cadvisor::subject::{Sink, Subject};
use crate::table::Source;
use flyball_model::exposition::Number::{self, Count, Float, Scaled};

const CREATED: Source = Source {
    v1: "created_at of the container runtime, else the lowest time of the group's folders and their \
         cgroup.clone_children",
    v2: "created_at of the container runtime, else the lower time of the group's folder and its cgroup.events",
};
const STARTED: Source = Source::both(
    "/proc/PID/stat starttime of its first process; pod status where that cannot be seen, else when it was made",
);

/// The rows.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge(
        "container_creation_time_seconds",
        "Container creation time since unix epoch in seconds.",
        CREATED,
        created,
    )
    .unit("seconds"),
    Family::gauge(
        "container_last_seen",
        "Last time a container was seen by the exporter",
        Source::both("clock"),
        last_seen,
    ),
    Family::gauge(
        "container_start_time_seconds",
        "Start time of the container since unix epoch in seconds.",
        STARTED,
        start,
    )
    .unit("seconds")
    .resource(),
];

/// A moment; before 1970 as what it is.
fn unix_seconds(unix_ms: i64) -> Number {
    u64::try_from(unix_ms).map_or(Float(unix_ms as f64 / 1e3), |ms| Scaled(ms, 3))
}

fn last_seen(s: &Subject, sink: &mut Sink<'_>) {
    let unix_ms = s.reading.cpu.map(|cpu| cpu.unix_ms).or(s.reading.memory.map(|memory| memory.unix_ms));
    let seconds = unix_ms.and_then(|unix_ms| u64::try_from(unix_ms / 1_000).ok());
    sink.put(s, seconds.map(Count), unix_ms);
}

/// As cAdvisor: a group that starts no process of its own, such as a pod's, has started when it was made.
fn start(s: &Subject, sink: &mut Sink<'_>) {
    let start = s.reading.start_unix_ms.or(s.reading.created_unix_ms).filter(|unix_ms| *unix_ms > 0);
    sink.put(s, start.map(unix_seconds), None);
}

fn created(s: &Subject, sink: &mut Sink<'_>) {
    sink.put(s, s.reading.created_unix_ms.map(unix_seconds), None);
}
