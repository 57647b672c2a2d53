//! Processes and what they hold.

use super::{Family, GROUP, details, none_is_zero};
use crate::cadvisor::subject::{Place, Sink, Subject};
use crate::parse::Limit;
use crate::table::{Metric, Sets, Source};
use flyball_model::exposition::MetricType::Gauge;
use flyball_model::exposition::Number::{Count, Float};

/// The rows.
pub(super) const FAMILIES: &[Family] = &[
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_file_descriptors",
                Gauge,
                GROUP,
                "Number of open file descriptors for the container.",
                Source::both("size of /proc/PID/fd of each of its processes, where asked for"),
            )
        },
        values: |s, sink| details(s, sink, s.details.tasks.descriptors.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_processes",
                Gauge,
                GROUP,
                "Number of processes running inside the container.",
                Source::both("cgroup.procs"),
            )
        },
        values: |s, sink| details(s, sink, s.details.tasks.processes.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_sockets",
                Gauge,
                GROUP,
                "Number of open sockets for the container.",
                Source::both("links in /proc/PID/fd of each of its processes, where asked for"),
            )
        },
        values: |s, sink| details(s, sink, s.details.tasks.sockets.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_threads",
                Gauge,
                GROUP,
                "Number of threads running inside the container",
                Source::both("pids.current"),
            )
        },
        values: |s, sink| details(s, sink, s.details.tasks.current.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_threads_max",
                Gauge,
                GROUP,
                "Maximum number of threads allowed inside the container, infinity if value is zero",
                Source::both("pids.max"),
            )
        },
        values: |s, sink| details(s, sink, none_is_zero(s.details.tasks.limit).map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_ulimits_soft",
                Gauge,
                &["container", "id", "image", "name", "namespace", "pod", "ulimit"],
                "Soft ulimit values for the container root process. Unlimited if -1, except priority and nice",
                Source::both("/proc/PID/limits Max open files, where asked for"),
            )
        },
        values: |s, sink| ulimit(s, sink),
    },
];

fn ulimit(s: &Subject, sink: &mut Sink<'_>) {
    let value = s.details.tasks.descriptors_soft_limit.map(|limit| match limit {
        Limit::Bytes(value) => Count(value),
        Limit::Unlimited => Float(-1.0),
    });
    let label = ("ulimit", "max_open_files");
    sink.put_labelled(s, Place::Last, label, value, Some(s.details.unix_ms));
}
