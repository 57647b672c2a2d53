//! Files and block devices.

use super::Family;
use crate::cadvisor::subject::{Files, Place, Sink, Subject};
use crate::details::{DeviceIo, DiskTotals};
use crate::disk::Use;
use crate::disk::mounted::MountedDisk;
use crate::table::Source;
use flyball_model::exposition::Number::{self, Count, Scaled};

/// Labels of what is counted by block device.
const DEVICE: &[&str] = &["container", "device", "id", "image", "name", "namespace", "pod"];

const USED: Source = Source::both(
    "walk of the upper folder of its root overlay; the machine: statfs of its mounted block devices",
);
const SIZE: Source = Source::both("statfs of that folder; the machine: of its mounted block devices");

/// The rows.
pub(super) const FAMILIES: &[Family] = &[
    Family::counter(
        "container_blkio_device_usage_total",
        "Blkio device bytes usage",
        Source {
            v1: "blkio.bfq or blkio.throttle .io_service_bytes_recursive",
            v2: "io.stat rbytes, wbytes",
        },
        blkio_usage,
    )
    .labels(&[
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
    ]),
    Family::gauge("container_fs_inodes_free", "Number of available Inodes", SIZE, |s, sink| {
        file_system(s, sink, |used| Some(used.space?.inodes_free), |disk| disk.space.inodes_free)
    })
    .labels(DEVICE),
    Family::gauge("container_fs_inodes_total", "Number of Inodes", USED, |s, sink| {
        file_system(s, sink, |used| used.amount.inodes, |disk| disk.space.inodes)
    })
    .labels(DEVICE),
    Family::gauge(
        "container_fs_io_current",
        "Number of I/Os currently in progress",
        Source::both("/proc/diskstats 12"),
        |s, sink| disks(s, sink, |disk| disk.in_progress.map(Count)),
    )
    .labels(DEVICE),
    Family::counter(
        "container_fs_io_time_seconds_total",
        "Cumulative count of seconds spent doing I/Os",
        Source::both("/proc/diskstats 13 / 1000"),
        |s, sink| disks(s, sink, |disk| milliseconds(disk.io_ms)),
    )
    .labels(DEVICE)
    .unit("seconds"),
    Family::counter(
        "container_fs_io_time_weighted_seconds_total",
        "Cumulative weighted I/O time in seconds",
        Source::both("/proc/diskstats 14 / 1000"),
        |s, sink| disks(s, sink, |disk| milliseconds(disk.weighted_io_ms)),
    )
    .labels(DEVICE)
    .unit("seconds"),
    Family::gauge(
        "container_fs_limit_bytes",
        "Number of bytes that can be consumed by the container on this filesystem.",
        SIZE,
        |s, sink| {
            file_system(s, sink, |used| Some(used.space?.capacity_bytes), |disk| disk.space.capacity_bytes)
        },
    )
    .labels(DEVICE)
    .unit("bytes"),
    Family::counter(
        "container_fs_read_seconds_total",
        "Cumulative count of seconds spent reading",
        Source::both("/proc/diskstats 7 / 1000"),
        |s, sink| disks(s, sink, |disk| milliseconds(disk.read_ms)),
    )
    .labels(DEVICE)
    .unit("seconds"),
    Family::counter(
        "container_fs_reads_bytes_total",
        "Cumulative count of bytes read",
        Source { v1: "blkio.bfq or blkio.throttle .io_service_bytes_recursive Read", v2: "io.stat rbytes" },
        |s, sink| devices(s, sink, |io| io.read_bytes),
    )
    .labels(DEVICE)
    .unit("bytes")
    .dashboards(),
    Family::counter(
        "container_fs_reads_merged_total",
        "Cumulative count of reads merged",
        Source::both("/proc/diskstats 5"),
        |s, sink| disks(s, sink, |disk| disk.reads_merged.map(Count)),
    )
    .labels(DEVICE),
    Family::counter(
        "container_fs_reads_total",
        "Cumulative count of reads completed",
        Source { v1: "blkio.bfq or blkio.throttle .io_serviced_recursive Read", v2: "io.stat rios" },
        |s, sink| devices(s, sink, |io| io.reads),
    )
    .labels(DEVICE)
    .dashboards(),
    Family::counter(
        "container_fs_sector_reads_total",
        "Cumulative count of sector reads completed",
        Source::both("/proc/diskstats 6"),
        |s, sink| disks(s, sink, |disk| disk.sectors_read.map(Count)),
    )
    .labels(DEVICE),
    Family::counter(
        "container_fs_sector_writes_total",
        "Cumulative count of sector writes completed",
        Source::both("/proc/diskstats 10"),
        |s, sink| disks(s, sink, |disk| disk.sectors_written.map(Count)),
    )
    .labels(DEVICE),
    Family::gauge(
        "container_fs_usage_bytes",
        "Number of bytes that are consumed by the container on this filesystem.",
        USED,
        |s, sink| file_system(s, sink, |used| Some(used.amount.bytes), |disk| disk.amount.bytes),
    )
    .labels(DEVICE)
    .unit("bytes"),
    Family::counter(
        "container_fs_write_seconds_total",
        "Cumulative count of seconds spent writing",
        Source::both("/proc/diskstats 11 / 1000"),
        |s, sink| disks(s, sink, |disk| milliseconds(disk.write_ms)),
    )
    .labels(DEVICE)
    .unit("seconds"),
    Family::counter(
        "container_fs_writes_bytes_total",
        "Cumulative count of bytes written",
        Source { v1: "blkio.bfq or blkio.throttle .io_service_bytes_recursive Write", v2: "io.stat wbytes" },
        |s, sink| devices(s, sink, |io| io.written_bytes),
    )
    .labels(DEVICE)
    .unit("bytes")
    .dashboards(),
    Family::counter(
        "container_fs_writes_merged_total",
        "Cumulative count of writes merged",
        Source::both("/proc/diskstats 9"),
        |s, sink| disks(s, sink, |disk| disk.writes_merged.map(Count)),
    )
    .labels(DEVICE),
    Family::counter(
        "container_fs_writes_total",
        "Cumulative count of writes completed",
        Source { v1: "blkio.bfq or blkio.throttle .io_serviced_recursive Write", v2: "io.stat wios" },
        |s, sink| devices(s, sink, |io| io.writes),
    )
    .labels(DEVICE)
    .dashboards(),
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

fn file_system(
    s: &Subject,
    sink: &mut Sink<'_>,
    of_layer: fn(&Use) -> Option<u64>,
    of_disk: fn(&MountedDisk) -> u64,
) {
    let place = Place::BeforeId;
    match &s.files {
        Files::Unknown => {}
        Files::Layer(used) => {
            let device = sink.device(used.device);
            let value = of_layer(used).map(Count);
            sink.put_labelled(s, place, ("device", &device), value, Some(used.unix_ms));
        }
        Files::Machine(disks) => {
            for disk in disks {
                let value = Some(Count(of_disk(disk)));
                sink.put_labelled(s, place, ("device", &disk.device), value, Some(disk.unix_ms));
            }
        }
    }
}

fn blkio_usage(s: &Subject, sink: &mut Sink<'_>) {
    for io in &s.details.io {
        for (operation, value) in [("Read", io.read_bytes), ("Write", io.written_bytes)] {
            sink.put_block_device(s, io.device, operation, value.map(Count), Some(s.details.unix_ms));
        }
    }
}
