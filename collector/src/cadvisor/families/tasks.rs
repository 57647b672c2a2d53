//! Processes and what they hold.

use super::{Family, details, none_is_zero};
use crate::cadvisor::subject::{Place, Sink, Subject};
use crate::parse::Limit;
use crate::table::Source;
use flyball_model::exposition::Number::{Count, Float};

/// The rows.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge(
        "container_file_descriptors",
        "Number of open file descriptors for the container.",
        Source::both("size of /proc/PID/fd of each of its processes, where asked for"),
        |s, sink| details(s, sink, s.details.tasks.descriptors.map(Count)),
    ),
    Family::gauge(
        "container_processes",
        "Number of processes running inside the container.",
        Source::both("cgroup.procs"),
        |s, sink| details(s, sink, s.details.tasks.processes.map(Count)),
    ),
    Family::gauge(
        "container_sockets",
        "Number of open sockets for the container.",
        Source::both("links in /proc/PID/fd of each of its processes, where asked for"),
        |s, sink| details(s, sink, s.details.tasks.sockets.map(Count)),
    ),
    Family::gauge(
        "container_threads",
        "Number of threads running inside the container",
        Source::both("pids.current"),
        |s, sink| details(s, sink, s.details.tasks.current.map(Count)),
    ),
    Family::gauge(
        "container_threads_max",
        "Maximum number of threads allowed inside the container, infinity if value is zero",
        Source::both("pids.max"),
        |s, sink| details(s, sink, none_is_zero(s.details.tasks.limit).map(Count)),
    ),
    Family::gauge(
        "container_ulimits_soft",
        "Soft ulimit values for the container root process. Unlimited if -1, except priority and nice",
        Source::both("/proc/PID/limits Max open files, where asked for"),
        ulimit,
    )
    .labels(&["container", "id", "image", "name", "namespace", "pod", "ulimit"]),
];

fn ulimit(s: &Subject, sink: &mut Sink<'_>) {
    let value = s.details.tasks.descriptors_soft_limit.map(|limit| match limit {
        Limit::Bytes(value) => Count(value),
        Limit::Unlimited => Float(-1.0),
    });
    let label = ("ulimit", "max_open_files");
    sink.put_labelled(s, Place::Last, label, value, Some(s.details.unix_ms));
}
