//! Files and block devices.

use super::Family;
use crate::cadvisor::subject::{Place, Sink, Subject};
use crate::details::{DeviceIo, DiskTotals};
use crate::disk::Use;
use crate::table::{Metric, Sets, Source};
use flyball_model::exposition::MetricType::{Counter, Gauge};
use flyball_model::exposition::Number::{self, Count, Scaled};

/// The rows.
pub(super) const FAMILIES: &[Family] = &[
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
];

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
