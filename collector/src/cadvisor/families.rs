//! The families of `/metrics/cadvisor`, in the order in which they are written.
//!
//! Names, help texts and types: google/cadvisor `lib/metrics/prometheus.go`. Of its families for the kubelet's kinds those are
//! left out that are constant on every kubelet (load averages, task states, health). What only old block schedulers tell of
//! groups (merged requests, sectors, times) is shown of the machine alone, in the units that the names promise.

use super::subject::{Place, Sink, Subject};
use crate::details::{DeviceIo, DiskTotals, HugePages, Interface, Stall};
use crate::disk::Use;
use crate::parse::Limit;
use crate::readers::finite;
use crate::sample::Memory;
use crate::table::{Metric, Sets, Source};
use flyball_model::exposition::MetricType::{Counter, Gauge};
use flyball_model::exposition::Number::{self, Count, Float, Scaled};

/// A row and how its values are taken from a group.
pub struct Family {
    /// The row.
    pub metric: Metric,
    /// Writes the group's values, if it has any.
    pub values: fn(&Subject, &mut Sink<'_>),
}

/// All of them.
pub const FAMILIES: &[Family] = &[
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_blkio_device_usage_total",
                Counter,
                &[
                    "container",
                    "device",
                    "id",
                    "image",
                    "major",
                    "minor",
                    "name",
                    "namespace",
                    "operation",
                    "pod",
                ],
                "Blkio device bytes usage",
                Source {
                    v1: "blkio.bfq or blkio.throttle .io_service_bytes_recursive",
                    v2: "io.stat rbytes, wbytes",
                },
            )
        },
        values: |s, sink| blkio_usage(s, sink),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_cpu_cfs_burst_periods_total",
                Counter,
                GROUP,
                "Number of elapsed period intervals in which bursts occur.",
                Source::both("cpu.stat nr_bursts"),
            )
        },
        values: |s, sink| limited(s, sink, s.details.cpu.burst_periods.map(Count)),
    },
    Family {
        metric: Metric {
            unit: Some("seconds"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_cpu_cfs_burst_seconds_total",
                Counter,
                GROUP,
                "Total time duration the container bursts beyond its quota.",
                Source { v1: "cpu.stat burst_time", v2: "cpu.stat burst_usec" },
            )
        },
        values: |s, sink| limited(s, sink, seconds(s.details.cpu.burst_ns)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL.and(Sets::DASHBOARDS),
            ..Metric::new(
                "container_cpu_cfs_periods_total",
                Counter,
                GROUP,
                "Number of elapsed enforcement period intervals.",
                Source::both("cpu.stat nr_periods"),
            )
        },
        values: |s, sink| limited(s, sink, s.details.cpu.periods.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL.and(Sets::DASHBOARDS),
            ..Metric::new(
                "container_cpu_cfs_throttled_periods_total",
                Counter,
                GROUP,
                "Number of throttled period intervals.",
                Source::both("cpu.stat nr_throttled"),
            )
        },
        values: |s, sink| limited(s, sink, s.details.cpu.throttled_periods.map(Count)),
    },
    Family {
        metric: Metric {
            unit: Some("seconds"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_cpu_cfs_throttled_seconds_total",
                Counter,
                GROUP,
                "Total time duration the container has been throttled.",
                Source { v1: "cpu.stat throttled_time", v2: "cpu.stat throttled_usec" },
            )
        },
        values: |s, sink| limited(s, sink, seconds(s.details.cpu.throttled_ns)),
    },
    Family {
        metric: Metric {
            unit: Some("seconds"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_cpu_system_seconds_total",
                Counter,
                GROUP,
                "Cumulative system cpu time consumed in seconds.",
                Source { v1: "cpuacct.stat system", v2: "cpu.stat system_usec" },
            )
        },
        values: |s, sink| details(s, sink, seconds(s.details.cpu.system_ns)),
    },
    Family {
        metric: Metric {
            unit: Some("seconds"),
            sets: Sets::FULL.and(Sets::DASHBOARDS).and(Sets::RESOURCE),
            ..Metric::new(
                "container_cpu_usage_seconds_total",
                Counter,
                &["container", "cpu", "id", "image", "name", "namespace", "pod"],
                "Cumulative cpu time consumed in seconds.",
                Source { v1: "cpuacct.usage", v2: "cpu.stat usage_usec" },
            )
        },
        values: |s, sink| cpu_usage(s, sink),
    },
    Family {
        metric: Metric {
            unit: Some("seconds"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_cpu_user_seconds_total",
                Counter,
                GROUP,
                "Cumulative user cpu time consumed in seconds.",
                Source { v1: "cpuacct.stat user", v2: "cpu.stat user_usec" },
            )
        },
        values: |s, sink| details(s, sink, seconds(s.details.cpu.user_ns)),
    },
    Family {
        metric: Metric {
            unit: Some("seconds"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_creation_time_seconds",
                Gauge,
                GROUP,
                "Container creation time since unix epoch in seconds.",
                Source {
                    v1: "created_at of the container runtime, else the lowest time of the group's folders and their cgroup.clone_children",
                    v2: "created_at of the container runtime, else the lower time of the group's folder and its cgroup.events",
                },
            )
        },
        values: |s, sink| created(s, sink),
    },
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
                "container_fs_inodes_free",
                Gauge,
                &["container", "device", "id", "image", "name", "namespace", "pod"],
                "Number of available Inodes",
                Source::both("statvfs of that folder"),
            )
        },
        values: |s, sink| file_system(s, sink, |used| used.space.map(|space| space.inodes_free)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_fs_inodes_total",
                Gauge,
                &["container", "device", "id", "image", "name", "namespace", "pod"],
                "Number of Inodes",
                Source::both("walk of the upper folder of its root overlay"),
            )
        },
        values: |s, sink| file_system(s, sink, |used| Some(used.amount.inodes)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_fs_io_current",
                Gauge,
                &["container", "device", "id", "image", "name", "namespace", "pod"],
                "Number of I/Os currently in progress",
                Source::both("/proc/diskstats 12"),
            )
        },
        values: |s, sink| disks(s, sink, |disk| disk.in_progress.map(Count)),
    },
    Family {
        metric: Metric {
            unit: Some("seconds"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_fs_io_time_seconds_total",
                Counter,
                &["container", "device", "id", "image", "name", "namespace", "pod"],
                "Cumulative count of seconds spent doing I/Os",
                Source::both("/proc/diskstats 13 / 1000"),
            )
        },
        values: |s, sink| disks(s, sink, |disk| milliseconds(disk.io_ms)),
    },
    Family {
        metric: Metric {
            unit: Some("seconds"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_fs_io_time_weighted_seconds_total",
                Counter,
                &["container", "device", "id", "image", "name", "namespace", "pod"],
                "Cumulative weighted I/O time in seconds",
                Source::both("/proc/diskstats 14 / 1000"),
            )
        },
        values: |s, sink| disks(s, sink, |disk| milliseconds(disk.weighted_io_ms)),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_fs_limit_bytes",
                Gauge,
                &["container", "device", "id", "image", "name", "namespace", "pod"],
                "Number of bytes that can be consumed by the container on this filesystem.",
                Source::both("statvfs of that folder"),
            )
        },
        values: |s, sink| file_system(s, sink, |used| used.space.map(|space| space.capacity_bytes)),
    },
    Family {
        metric: Metric {
            unit: Some("seconds"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_fs_read_seconds_total",
                Counter,
                &["container", "device", "id", "image", "name", "namespace", "pod"],
                "Cumulative count of seconds spent reading",
                Source::both("/proc/diskstats 7 / 1000"),
            )
        },
        values: |s, sink| disks(s, sink, |disk| milliseconds(disk.read_ms)),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL.and(Sets::DASHBOARDS),
            ..Metric::new(
                "container_fs_reads_bytes_total",
                Counter,
                &["container", "device", "id", "image", "name", "namespace", "pod"],
                "Cumulative count of bytes read",
                Source {
                    v1: "blkio.bfq or blkio.throttle .io_service_bytes_recursive Read",
                    v2: "io.stat rbytes",
                },
            )
        },
        values: |s, sink| devices(s, sink, |io| io.read_bytes),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_fs_reads_merged_total",
                Counter,
                &["container", "device", "id", "image", "name", "namespace", "pod"],
                "Cumulative count of reads merged",
                Source::both("/proc/diskstats 5"),
            )
        },
        values: |s, sink| disks(s, sink, |disk| disk.reads_merged.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL.and(Sets::DASHBOARDS),
            ..Metric::new(
                "container_fs_reads_total",
                Counter,
                &["container", "device", "id", "image", "name", "namespace", "pod"],
                "Cumulative count of reads completed",
                Source { v1: "blkio.bfq or blkio.throttle .io_serviced_recursive Read", v2: "io.stat rios" },
            )
        },
        values: |s, sink| devices(s, sink, |io| io.reads),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_fs_sector_reads_total",
                Counter,
                &["container", "device", "id", "image", "name", "namespace", "pod"],
                "Cumulative count of sector reads completed",
                Source::both("/proc/diskstats 6"),
            )
        },
        values: |s, sink| disks(s, sink, |disk| disk.sectors_read.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_fs_sector_writes_total",
                Counter,
                &["container", "device", "id", "image", "name", "namespace", "pod"],
                "Cumulative count of sector writes completed",
                Source::both("/proc/diskstats 10"),
            )
        },
        values: |s, sink| disks(s, sink, |disk| disk.sectors_written.map(Count)),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_fs_usage_bytes",
                Gauge,
                &["container", "device", "id", "image", "name", "namespace", "pod"],
                "Number of bytes that are consumed by the container on this filesystem.",
                Source::both("walk of the upper folder of its root overlay"),
            )
        },
        values: |s, sink| file_system(s, sink, |used| Some(used.amount.bytes)),
    },
    Family {
        metric: Metric {
            unit: Some("seconds"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_fs_write_seconds_total",
                Counter,
                &["container", "device", "id", "image", "name", "namespace", "pod"],
                "Cumulative count of seconds spent writing",
                Source::both("/proc/diskstats 11 / 1000"),
            )
        },
        values: |s, sink| disks(s, sink, |disk| milliseconds(disk.write_ms)),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL.and(Sets::DASHBOARDS),
            ..Metric::new(
                "container_fs_writes_bytes_total",
                Counter,
                &["container", "device", "id", "image", "name", "namespace", "pod"],
                "Cumulative count of bytes written",
                Source {
                    v1: "blkio.bfq or blkio.throttle .io_service_bytes_recursive Write",
                    v2: "io.stat wbytes",
                },
            )
        },
        values: |s, sink| devices(s, sink, |io| io.written_bytes),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_fs_writes_merged_total",
                Counter,
                &["container", "device", "id", "image", "name", "namespace", "pod"],
                "Cumulative count of writes merged",
                Source::both("/proc/diskstats 9"),
            )
        },
        values: |s, sink| disks(s, sink, |disk| disk.writes_merged.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL.and(Sets::DASHBOARDS),
            ..Metric::new(
                "container_fs_writes_total",
                Counter,
                &["container", "device", "id", "image", "name", "namespace", "pod"],
                "Cumulative count of writes completed",
                Source { v1: "blkio.bfq or blkio.throttle .io_serviced_recursive Write", v2: "io.stat wios" },
            )
        },
        values: |s, sink| devices(s, sink, |io| io.writes),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_hugetlb_failcnt",
                Counter,
                &["container", "id", "image", "name", "namespace", "pagesize", "pod"],
                "Number of hugepage usage hits limits",
                Source { v1: "hugetlb.SIZE.failcnt", v2: "hugetlb.SIZE.events max" },
            )
        },
        values: |s, sink| huge_pages(s, sink, |pages| pages.limit_hits),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_hugetlb_max_usage_bytes",
                Gauge,
                &["container", "id", "image", "name", "namespace", "pagesize", "pod"],
                "Maximum hugepage usages recorded in bytes",
                Source { v1: "hugetlb.SIZE.max_usage_in_bytes", v2: "none" },
            )
        },
        values: |s, sink| huge_pages(s, sink, |pages| pages.max_usage_bytes),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_hugetlb_usage_bytes",
                Gauge,
                &["container", "id", "image", "name", "namespace", "pagesize", "pod"],
                "Current hugepage usage in bytes",
                Source { v1: "hugetlb.SIZE.usage_in_bytes", v2: "hugetlb.SIZE.current" },
            )
        },
        values: |s, sink| huge_pages(s, sink, |pages| pages.usage_bytes),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_last_seen",
                Gauge,
                GROUP,
                "Last time a container was seen by the exporter",
                Source::both("clock"),
            )
        },
        values: |s, sink| last_seen(s, sink),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL.and(Sets::DASHBOARDS),
            ..Metric::new(
                "container_memory_cache",
                Gauge,
                GROUP,
                "Number of bytes of page cache memory.",
                Source { v1: "memory.stat total_cache", v2: "memory.stat file" },
            )
        },
        values: |s, sink| details(s, sink, s.details.memory.cache_bytes.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_memory_events_high_total",
                Counter,
                GROUP,
                "Cumulative count of times the memory usage exceeded memory.high.",
                Source { v1: "none", v2: "memory.events high" },
            )
        },
        values: |s, sink| details(s, sink, s.details.memory.high_events.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_memory_events_max_total",
                Counter,
                GROUP,
                "Cumulative count of times the memory usage was about to exceed memory.max.",
                Source { v1: "none", v2: "memory.events max" },
            )
        },
        values: |s, sink| details(s, sink, s.details.memory.max_events.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_memory_failcnt",
                Counter,
                GROUP,
                "Number of memory usage hits limits",
                Source { v1: "memory.failcnt", v2: "none" },
            )
        },
        values: |s, sink| details(s, sink, s.details.memory.limit_hits.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_memory_failures_total",
                Counter,
                &["container", "failure_type", "id", "image", "name", "namespace", "pod", "scope"],
                "Cumulative count of memory allocation failures.",
                Source {
                    v1: "memory.stat pgfault, pgmajfault, total_pgfault, total_pgmajfault",
                    v2: "memory.stat pgfault, pgmajfault",
                },
            )
        },
        values: |s, sink| failures(s, sink),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_memory_file_dirty_bytes",
                Gauge,
                GROUP,
                "Bytes of file pages that are waiting to be written.",
                Source { v1: "memory.stat total_dirty", v2: "memory.stat file_dirty" },
            )
        },
        values: |s, sink| details(s, sink, s.details.memory.dirty_bytes.map(Count)),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_memory_file_writeback_bytes",
                Gauge,
                GROUP,
                "Bytes of file pages that are being written.",
                Source { v1: "memory.stat total_writeback", v2: "memory.stat file_writeback" },
            )
        },
        values: |s, sink| details(s, sink, s.details.memory.writeback_bytes.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_memory_kernel_usage",
                Gauge,
                GROUP,
                "Size of kernel memory allocated in bytes.",
                Source { v1: "memory.kmem.usage_in_bytes", v2: "memory.stat kernel" },
            )
        },
        values: |s, sink| details(s, sink, s.details.memory.kernel_bytes.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_memory_mapped_file",
                Gauge,
                GROUP,
                "Size of memory mapped files in bytes.",
                Source { v1: "memory.stat total_mapped_file", v2: "memory.stat file_mapped" },
            )
        },
        values: |s, sink| details(s, sink, s.details.memory.mapped_file_bytes.map(Count)),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_memory_max_usage_bytes",
                Gauge,
                GROUP,
                "Maximum memory usage recorded in bytes",
                Source { v1: "memory.max_usage_in_bytes", v2: "memory.peak" },
            )
        },
        values: |s, sink| details(s, sink, s.details.memory.max_usage_bytes.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_memory_pgscan_total",
                Counter,
                GROUP,
                "Cumulative count of pages scanned by reclaim.",
                Source { v1: "none", v2: "memory.stat pgscan" },
            )
        },
        values: |s, sink| details(s, sink, s.details.memory.pages_scanned.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_memory_pgsteal_total",
                Counter,
                GROUP,
                "Cumulative count of pages taken by reclaim.",
                Source { v1: "none", v2: "memory.stat pgsteal" },
            )
        },
        values: |s, sink| details(s, sink, s.details.memory.pages_stolen.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL.and(Sets::DASHBOARDS),
            ..Metric::new(
                "container_memory_rss",
                Gauge,
                GROUP,
                "Size of RSS in bytes.",
                Source { v1: "memory.stat total_rss", v2: "memory.stat anon" },
            )
        },
        values: |s, sink| memory(s, sink, |memory| memory.rss_bytes),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL.and(Sets::DASHBOARDS).and(Sets::RESOURCE),
            ..Metric::new(
                "container_memory_swap",
                Gauge,
                GROUP,
                "Container swap usage in bytes.",
                Source { v1: "memory.stat total_swap", v2: "memory.swap.current" },
            )
        },
        values: |s, sink| swap(s, sink),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_memory_total_active_file_bytes",
                Gauge,
                GROUP,
                "Current active file in bytes.",
                Source { v1: "memory.stat total_active_file", v2: "memory.stat active_file" },
            )
        },
        values: |s, sink| details(s, sink, s.details.memory.active_file_bytes.map(Count)),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_memory_total_inactive_file_bytes",
                Gauge,
                GROUP,
                "Current inactive file in bytes.",
                Source { v1: "memory.stat total_inactive_file", v2: "memory.stat inactive_file" },
            )
        },
        values: |s, sink| details(s, sink, s.details.memory.inactive_file_bytes.map(Count)),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL.and(Sets::DASHBOARDS),
            ..Metric::new(
                "container_memory_usage_bytes",
                Gauge,
                GROUP,
                "Current memory usage in bytes, including all memory regardless of when it was accessed",
                Source { v1: "memory.usage_in_bytes", v2: "memory.current" },
            )
        },
        values: |s, sink| memory(s, sink, |memory| memory.usage_bytes),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL.and(Sets::DASHBOARDS).and(Sets::RESOURCE),
            ..Metric::new(
                "container_memory_working_set_bytes",
                Gauge,
                GROUP,
                "Current working set in bytes.",
                Source {
                    v1: "memory.usage_in_bytes less memory.stat total_inactive_file",
                    v2: "memory.current less memory.stat inactive_file",
                },
            )
        },
        values: |s, sink| memory(s, sink, |memory| memory.working_set_bytes),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_memory_workingset_refault_anon_total",
                Counter,
                GROUP,
                "Cumulative count of anonymous pages that came back soon after they were taken.",
                Source::both("memory.stat workingset_refault_anon"),
            )
        },
        values: |s, sink| details(s, sink, s.details.memory.refaults_anon.map(Count)),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_memory_workingset_refault_file_total",
                Counter,
                GROUP,
                "Cumulative count of file pages that came back soon after they were taken.",
                Source::both("memory.stat workingset_refault_file"),
            )
        },
        values: |s, sink| details(s, sink, s.details.memory.refaults_file.map(Count)),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL.and(Sets::DASHBOARDS),
            ..Metric::new(
                "container_network_receive_bytes_total",
                Counter,
                &["container", "id", "image", "interface", "name", "namespace", "pod"],
                "Cumulative count of bytes received",
                Source::both("/proc/PID/net/dev of a process of the pod"),
            )
        },
        values: |s, sink| interfaces(s, sink, |interface| interface.receive.bytes),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_network_receive_errors_total",
                Counter,
                &["container", "id", "image", "interface", "name", "namespace", "pod"],
                "Cumulative count of errors encountered while receiving",
                Source::both("/proc/PID/net/dev of a process of the pod"),
            )
        },
        values: |s, sink| interfaces(s, sink, |interface| interface.receive.errors),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL.and(Sets::DASHBOARDS),
            ..Metric::new(
                "container_network_receive_packets_dropped_total",
                Counter,
                &["container", "id", "image", "interface", "name", "namespace", "pod"],
                "Cumulative count of packets dropped while receiving",
                Source::both("/proc/PID/net/dev of a process of the pod"),
            )
        },
        values: |s, sink| interfaces(s, sink, |interface| interface.receive.dropped),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL.and(Sets::DASHBOARDS),
            ..Metric::new(
                "container_network_receive_packets_total",
                Counter,
                &["container", "id", "image", "interface", "name", "namespace", "pod"],
                "Cumulative count of packets received",
                Source::both("/proc/PID/net/dev of a process of the pod"),
            )
        },
        values: |s, sink| interfaces(s, sink, |interface| interface.receive.packets),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL.and(Sets::DASHBOARDS),
            ..Metric::new(
                "container_network_transmit_bytes_total",
                Counter,
                &["container", "id", "image", "interface", "name", "namespace", "pod"],
                "Cumulative count of bytes transmitted",
                Source::both("/proc/PID/net/dev of a process of the pod"),
            )
        },
        values: |s, sink| interfaces(s, sink, |interface| interface.transmit.bytes),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_network_transmit_errors_total",
                Counter,
                &["container", "id", "image", "interface", "name", "namespace", "pod"],
                "Cumulative count of errors encountered while transmitting",
                Source::both("/proc/PID/net/dev of a process of the pod"),
            )
        },
        values: |s, sink| interfaces(s, sink, |interface| interface.transmit.errors),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL.and(Sets::DASHBOARDS),
            ..Metric::new(
                "container_network_transmit_packets_dropped_total",
                Counter,
                &["container", "id", "image", "interface", "name", "namespace", "pod"],
                "Cumulative count of packets dropped while transmitting",
                Source::both("/proc/PID/net/dev of a process of the pod"),
            )
        },
        values: |s, sink| interfaces(s, sink, |interface| interface.transmit.dropped),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL.and(Sets::DASHBOARDS),
            ..Metric::new(
                "container_network_transmit_packets_total",
                Counter,
                &["container", "id", "image", "interface", "name", "namespace", "pod"],
                "Cumulative count of packets transmitted",
                Source::both("/proc/PID/net/dev of a process of the pod"),
            )
        },
        values: |s, sink| interfaces(s, sink, |interface| interface.transmit.packets),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_oom_events_total",
                Counter,
                GROUP,
                "Count of out of memory events observed for the container",
                Source { v1: "memory.oom_control oom_kill", v2: "memory.events oom_kill" },
            )
        },
        values: |s, sink| details(s, sink, s.details.memory.oom_kills.map(Count)),
    },
    Family {
        metric: Metric {
            unit: Some("seconds"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_pressure_cpu_stalled_seconds_total",
                Counter,
                GROUP,
                "Total time duration no tasks in the container could make progress due to CPU congestion.",
                Source { v1: "hybrid: v2 cpu.pressure full", v2: "cpu.pressure full" },
            )
        },
        values: |s, sink| details(s, sink, s.details.cpu_pressure.and_then(|p| p.full).map(stalled)),
    },
    Family {
        metric: Metric {
            unit: Some("seconds"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_pressure_cpu_waiting_seconds_total",
                Counter,
                GROUP,
                "Total time duration tasks in the container have waited due to CPU congestion.",
                Source { v1: "hybrid: v2 cpu.pressure some", v2: "cpu.pressure some" },
            )
        },
        values: |s, sink| details(s, sink, s.details.cpu_pressure.map(|p| stalled(p.some))),
    },
    Family {
        metric: Metric {
            unit: Some("seconds"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_pressure_io_stalled_seconds_total",
                Counter,
                GROUP,
                "Total time duration no tasks in the container could make progress due to IO congestion.",
                Source { v1: "hybrid: v2 io.pressure full", v2: "io.pressure full" },
            )
        },
        values: |s, sink| details(s, sink, s.details.io_pressure.and_then(|p| p.full).map(stalled)),
    },
    Family {
        metric: Metric {
            unit: Some("seconds"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_pressure_io_waiting_seconds_total",
                Counter,
                GROUP,
                "Total time duration tasks in the container have waited due to IO congestion.",
                Source { v1: "hybrid: v2 io.pressure some", v2: "io.pressure some" },
            )
        },
        values: |s, sink| details(s, sink, s.details.io_pressure.map(|p| stalled(p.some))),
    },
    Family {
        metric: Metric {
            unit: Some("seconds"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_pressure_memory_stalled_seconds_total",
                Counter,
                GROUP,
                "Total time duration no tasks in the container could make progress due to memory congestion.",
                Source { v1: "hybrid: v2 memory.pressure full", v2: "memory.pressure full" },
            )
        },
        values: |s, sink| details(s, sink, s.details.memory_pressure.and_then(|p| p.full).map(stalled)),
    },
    Family {
        metric: Metric {
            unit: Some("seconds"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_pressure_memory_waiting_seconds_total",
                Counter,
                GROUP,
                "Total time duration tasks in the container have waited due to memory congestion.",
                Source { v1: "hybrid: v2 memory.pressure some", v2: "memory.pressure some" },
            )
        },
        values: |s, sink| details(s, sink, s.details.memory_pressure.map(|p| stalled(p.some))),
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
                "container_spec_cpu_period",
                Gauge,
                GROUP,
                "CPU period of the container.",
                Source { v1: "cpu.cfs_period_us", v2: "cpu.max" },
            )
        },
        values: |s, sink| sink.put(s, s.details.cpu.period_us.map(Count), None),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_spec_cpu_quota",
                Gauge,
                GROUP,
                "CPU quota of the container.",
                Source { v1: "cpu.cfs_quota_us", v2: "cpu.max" },
            )
        },
        values: |s, sink| sink.put(s, finite(s.details.cpu.quota_us).map(Count), None),
    },
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_spec_cpu_shares",
                Gauge,
                GROUP,
                "CPU share of the container.",
                Source { v1: "cpu.shares", v2: "cpu.weight, converted" },
            )
        },
        values: |s, sink| sink.put(s, s.details.cpu.shares.map(Count), None),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_spec_memory_limit_bytes",
                Gauge,
                GROUP,
                "Memory limit for the container.",
                Source { v1: "memory.limit_in_bytes", v2: "memory.max" },
            )
        },
        values: |s, sink| sink.put(s, none_is_zero(s.details.memory.limit).map(Count), None),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_spec_memory_reservation_limit_bytes",
                Gauge,
                GROUP,
                "Memory reservation limit for the container.",
                Source { v1: "memory.soft_limit_in_bytes", v2: "memory.min" },
            )
        },
        values: |s, sink| sink.put(s, none_is_zero(s.details.memory.reservation).map(Count), None),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_spec_memory_swap_limit_bytes",
                Gauge,
                GROUP,
                "Memory swap limit for the container.",
                Source { v1: "memory.memsw.limit_in_bytes", v2: "memory.swap.max" },
            )
        },
        values: |s, sink| sink.put(s, none_is_zero(s.details.memory.swap_limit).map(Count), None),
    },
    Family {
        metric: Metric {
            unit: Some("seconds"),
            sets: Sets::FULL.and(Sets::RESOURCE),
            ..Metric::new(
                "container_start_time_seconds",
                Gauge,
                GROUP,
                "Start time of the container since unix epoch in seconds.",
                Source::both(
                    "/proc/PID/stat starttime of its first process; pod status where that cannot be seen",
                ),
            )
        },
        values: |s, sink| start(s, sink),
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

/// Labels of every series.
const GROUP: &[&str] = &["container", "id", "image", "name", "namespace", "pod"];

/// A value of the slower tier.
fn details(s: &Subject, sink: &mut Sink<'_>, value: Option<Number>) {
    sink.put(s, value, Some(s.details.unix_ms));
}

/// As cAdvisor: only groups with a quota have a bandwidth limit to speak of.
fn limited(s: &Subject, sink: &mut Sink<'_>, value: Option<Number>) {
    if finite(s.details.cpu.quota_us).is_some() {
        details(s, sink, value);
    }
}

fn seconds(ns: Option<u64>) -> Option<Number> {
    ns.map(|ns| Scaled(ns, 9))
}

/// A moment; before 1970 as what it is.
fn unix_seconds(unix_ms: i64) -> Number {
    u64::try_from(unix_ms).map_or(Float(unix_ms as f64 / 1e3), |ms| Scaled(ms, 3))
}

fn stalled(stall: Stall) -> Number {
    Scaled(stall.total_us, 6)
}

/// cAdvisor's way of saying that there is no limit.
fn none_is_zero(limit: Option<Limit>) -> Option<u64> {
    Some(match limit? {
        Limit::Bytes(value) => value,
        Limit::Unlimited => 0,
    })
}

fn cpu_usage(s: &Subject, sink: &mut Sink<'_>) {
    let per_cpu = &s.details.per_cpu_ns;
    if !per_cpu.is_empty() {
        // In the place of the total, as cAdvisor has it: a sum over the series is the total then, too.
        for (number, used_ns) in per_cpu.iter().enumerate().filter(|(_, used_ns)| **used_ns > 0) {
            let label = format!("cpu{number:02}");
            let unix_ms = Some(s.details.unix_ms);
            sink.put_labelled(s, Place::BeforeId, ("cpu", &label), seconds(Some(*used_ns)), unix_ms);
        }
        return;
    }
    let cpu = s.reading.cpu;
    let value = seconds(cpu.map(|cpu| cpu.usage_ns));
    sink.put_labelled(s, Place::BeforeId, ("cpu", "total"), value, cpu.map(|cpu| cpu.unix_ms));
}

fn memory(s: &Subject, sink: &mut Sink<'_>, field: fn(&Memory) -> Option<u64>) {
    let Some(memory) = &s.reading.memory else { return };
    sink.put(s, field(memory).map(Count), Some(memory.unix_ms));
}

fn swap(s: &Subject, sink: &mut Sink<'_>) {
    let Some(swap) = s.reading.swap else { return };
    sink.put(s, Some(Count(swap.usage_bytes)), Some(swap.unix_ms));
}

fn last_seen(s: &Subject, sink: &mut Sink<'_>) {
    let unix_ms = s.reading.cpu.map(|cpu| cpu.unix_ms).or(s.reading.memory.map(|memory| memory.unix_ms));
    let seconds = unix_ms.and_then(|unix_ms| u64::try_from(unix_ms / 1_000).ok());
    sink.put(s, seconds.map(Count), unix_ms);
}

fn start(s: &Subject, sink: &mut Sink<'_>) {
    let start = s.reading.start_unix_ms.filter(|unix_ms| *unix_ms > 0);
    sink.put(s, start.map(unix_seconds), None);
}

fn created(s: &Subject, sink: &mut Sink<'_>) {
    sink.put(s, s.reading.created_unix_ms.map(unix_seconds), None);
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

fn devices(s: &Subject, sink: &mut Sink<'_>, field: fn(&DeviceIo) -> Option<u64>) {
    for io in &s.details.io {
        let device = sink.device(io.device);
        let value = field(io).map(Count);
        sink.put_labelled(s, Place::BeforeId, ("device", &device), value, Some(s.details.unix_ms));
    }
}

/// What is known of whole disks, with the machine.
fn disks(s: &Subject, sink: &mut Sink<'_>, field: fn(&DiskTotals) -> Option<Number>) {
    for disk in &s.details.disks {
        let device = sink.device(disk.device);
        sink.put_labelled(s, Place::BeforeId, ("device", &device), field(disk), Some(s.details.unix_ms));
    }
}

fn milliseconds(ms: Option<u64>) -> Option<Number> {
    ms.map(|ms| Scaled(ms, 3))
}

fn file_system(s: &Subject, sink: &mut Sink<'_>, field: fn(&Use) -> Option<u64>) {
    let Some(used) = &s.disk else { return };
    let device = sink.device(used.device);
    sink.put_labelled(s, Place::BeforeId, ("device", &device), field(used).map(Count), Some(used.unix_ms));
}

fn blkio_usage(s: &Subject, sink: &mut Sink<'_>) {
    for io in &s.details.io {
        for (operation, value) in [("Read", io.read_bytes), ("Write", io.written_bytes)] {
            sink.put_block_device(s, io.device, operation, value.map(Count), Some(s.details.unix_ms));
        }
    }
}

fn huge_pages(s: &Subject, sink: &mut Sink<'_>, field: fn(&HugePages) -> Option<u64>) {
    for pages in &s.details.hugetlb {
        let label = ("pagesize", &*pages.page_size);
        sink.put_labelled(s, Place::Last, label, field(pages).map(Count), Some(s.details.unix_ms));
    }
}

fn interfaces(s: &Subject, sink: &mut Sink<'_>, field: fn(&Interface) -> u64) {
    for interface in &s.network.network {
        let label = ("interface", &*interface.name);
        let value = Some(Count(field(interface)));
        sink.put_labelled(s, Place::BeforeName, label, value, Some(s.network.unix_ms));
    }
}

fn ulimit(s: &Subject, sink: &mut Sink<'_>) {
    let value = s.details.tasks.descriptors_soft_limit.map(|limit| match limit {
        Limit::Bytes(value) => Count(value),
        Limit::Unlimited => Float(-1.0),
    });
    let label = ("ulimit", "max_open_files");
    sink.put_labelled(s, Place::Last, label, value, Some(s.details.unix_ms));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    #[test]
    fn the_table_is_whole() {
        let rows: Vec<Metric> = FAMILIES.iter().map(|family| family.metric).collect();
        // cAdvisor's own names.
        let exceptions =
            ["container_memory_failcnt", "container_hugetlb_failcnt", "container_fs_inodes_total"];
        assert_eq!(table::faults(&rows, &exceptions), Vec::<String>::new());
        assert!(rows.is_sorted_by(|a, b| a.name < b.name));
    }
}
