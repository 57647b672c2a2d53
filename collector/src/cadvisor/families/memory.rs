//! Memory, and what came of too little of it.

use super::{Family, details};
use crate::cadvisor::subject::{Sink, Subject};
use crate::sample::Memory;
use crate::table::Source;
use flyball_model::exposition::Number::Count;

/// The rows.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge(
        "container_memory_cache",
        "Number of bytes of page cache memory.",
        Source { v1: "memory.stat total_cache", v2: "memory.stat file" },
        |s, sink| details(s, sink, s.details.memory.cache_bytes.map(Count)),
    )
    .dashboards(),
    Family::counter(
        "container_memory_events_high_total",
        "Cumulative count of times the memory usage exceeded memory.high.",
        Source { v1: "none", v2: "memory.events high" },
        |s, sink| details(s, sink, s.details.memory.high_events.map(Count)),
    ),
    Family::counter(
        "container_memory_events_max_total",
        "Cumulative count of times the memory usage was about to exceed memory.max.",
        Source { v1: "none", v2: "memory.events max" },
        |s, sink| details(s, sink, s.details.memory.max_events.map(Count)),
    ),
    Family::counter(
        "container_memory_failcnt",
        "Number of memory usage hits limits",
        Source { v1: "memory.failcnt", v2: "none" },
        |s, sink| details(s, sink, s.details.memory.limit_hits.map(Count)),
    ),
    Family::counter(
        "container_memory_failures_total",
        "Cumulative count of memory allocation failures.",
        Source {
            v1: "memory.stat pgfault, pgmajfault, total_pgfault, total_pgmajfault",
            v2: "memory.stat pgfault, pgmajfault",
        },
        failures,
    )
    .labels(&["container", "failure_type", "id", "image", "name", "namespace", "pod", "scope"]),
    Family::gauge(
        "container_memory_file_dirty_bytes",
        "Bytes of file pages that are waiting to be written.",
        Source { v1: "memory.stat total_dirty", v2: "memory.stat file_dirty" },
        |s, sink| details(s, sink, s.details.memory.dirty_bytes.map(Count)),
    )
    .unit("bytes"),
    Family::gauge(
        "container_memory_file_writeback_bytes",
        "Bytes of file pages that are being written.",
        Source { v1: "memory.stat total_writeback", v2: "memory.stat file_writeback" },
        |s, sink| details(s, sink, s.details.memory.writeback_bytes.map(Count)),
    )
    .unit("bytes"),
    Family::gauge(
        "container_memory_kernel_usage",
        "Size of kernel memory allocated in bytes.",
        Source { v1: "memory.kmem.usage_in_bytes", v2: "memory.stat kernel" },
        |s, sink| details(s, sink, s.details.memory.kernel_bytes.map(Count)),
    ),
    Family::gauge(
        "container_memory_mapped_file",
        "Size of memory mapped files in bytes.",
        Source { v1: "memory.stat total_mapped_file", v2: "memory.stat file_mapped" },
        |s, sink| details(s, sink, s.details.memory.mapped_file_bytes.map(Count)),
    ),
    Family::gauge(
        "container_memory_max_usage_bytes",
        "Maximum memory usage recorded in bytes",
        Source { v1: "memory.max_usage_in_bytes", v2: "memory.peak" },
        |s, sink| details(s, sink, s.details.memory.max_usage_bytes.map(Count)),
    )
    .unit("bytes"),
    Family::counter(
        "container_memory_pgscan_total",
        "Cumulative count of pages scanned by reclaim.",
        Source { v1: "none", v2: "memory.stat pgscan" },
        |s, sink| details(s, sink, s.details.memory.pages_scanned.map(Count)),
    ),
    Family::counter(
        "container_memory_pgsteal_total",
        "Cumulative count of pages taken by reclaim.",
        Source { v1: "none", v2: "memory.stat pgsteal" },
        |s, sink| details(s, sink, s.details.memory.pages_stolen.map(Count)),
    ),
    Family::gauge(
        "container_memory_rss",
        "Size of RSS in bytes.",
        Source { v1: "memory.stat total_rss", v2: "memory.stat anon" },
        |s, sink| memory(s, sink, |memory| memory.rss_bytes),
    )
    .dashboards(),
    Family::gauge(
        "container_memory_swap",
        "Container swap usage in bytes.",
        Source { v1: "memory.stat total_swap", v2: "memory.swap.current" },
        swap,
    )
    .dashboards()
    .resource(),
    Family::gauge(
        "container_memory_total_active_file_bytes",
        "Current active file in bytes.",
        Source { v1: "memory.stat total_active_file", v2: "memory.stat active_file" },
        |s, sink| details(s, sink, s.details.memory.active_file_bytes.map(Count)),
    )
    .unit("bytes"),
    Family::gauge(
        "container_memory_total_inactive_file_bytes",
        "Current inactive file in bytes.",
        Source { v1: "memory.stat total_inactive_file", v2: "memory.stat inactive_file" },
        |s, sink| details(s, sink, s.details.memory.inactive_file_bytes.map(Count)),
    )
    .unit("bytes"),
    Family::gauge(
        "container_memory_usage_bytes",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        Source { v1: "memory.usage_in_bytes", v2: "memory.current" },
        |s, sink| memory(s, sink, |memory| memory.usage_bytes),
    )
    .unit("bytes")
    .dashboards(),
    Family::gauge(
        "container_memory_working_set_bytes",
        "Current working set in bytes.",
        Source {
            v1: "memory.usage_in_bytes less memory.stat total_inactive_file",
            v2: "memory.current less memory.stat inactive_file",
        },
        |s, sink| memory(s, sink, |memory| memory.working_set_bytes),
    )
    .unit("bytes")
    .dashboards()
    .resource(),
    Family::counter(
        "container_memory_workingset_refault_anon_total",
        "Cumulative count of anonymous pages that came back soon after they were taken.",
        Source::both("memory.stat workingset_refault_anon"),
        |s, sink| details(s, sink, s.details.memory.refaults_anon.map(Count)),
    ),
    Family::counter(
        "container_memory_workingset_refault_file_total",
        "Cumulative count of file pages that came back soon after they were taken.",
        Source::both("memory.stat workingset_refault_file"),
        |s, sink| details(s, sink, s.details.memory.refaults_file.map(Count)),
    ),
    Family::counter(
        "container_oom_events_total",
        "Count of out of memory events observed for the container",
        Source { v1: "memory.oom_control oom_kill", v2: "memory.events oom_kill" },
        |s, sink| details(s, sink, s.details.memory.oom_kills.map(Count)),
    ),
];

fn memory(s: &Subject, sink: &mut Sink<'_>, field: fn(&Memory) -> Option<u64>) {
    let Some(memory) = &s.reading.memory else { return };
    sink.put(s, field(memory).map(Count), Some(memory.unix_ms));
}

fn swap(s: &Subject, sink: &mut Sink<'_>) {
    let Some(swap) = s.reading.swap else { return };
    sink.put(s, Some(Count(swap.usage_bytes)), Some(swap.unix_ms));
}

fn failures(s: &Subject, sink: &mut Sink<'_>) {
    let memory = &s.details.memory;
    let values = [
        ("pgfault", "container", memory.page_faults),
        ("pgfault", "hierarchy", memory.page_faults_hierarchical),
        ("pgmajfault", "container", memory.major_page_faults),
        ("pgmajfault", "hierarchy", memory.major_page_faults_hierarchical),
    ];
    for (kind, scope, value) in values {
        let (kind, scope) = (("failure_type", kind), ("scope", scope));
        sink.put_framed(s, kind, scope, value.map(Count), Some(s.details.unix_ms));
    }
}
