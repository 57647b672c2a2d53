//! `/metrics/cadvisor`: a sweep as the kubelet's cAdvisor would print it.
//!
//! Names, types, units and labels are cAdvisor's under a kubelet: every series of a group bears `container`, `id`,
//! `image`, `name`, `namespace` and `pod`, empty where there is nothing to say, and the time of its own read. What
//! differs: a value that the machine does not have is absent where cAdvisor prints 0, every block device is shown
//! (NVMe too), and the interfaces of a pod whose sandbox is not known are shown with the pod's own group.
//!
//! Which families are written is a [`Selection`]; the families are rows of [`families::FAMILIES`].

pub mod families;
mod subject;

use crate::disk::DiskUse;
use crate::machine::{self, Machine};
use crate::sample::Sweep;
use crate::selection::Selection;
use crate::table::Metric;
use families::{FAMILIES, Family};
use flyball_model::exposition::{Format, MetricType, Writer};
use std::sync::Arc;
use subject::{Column, Devices, Line, Sink, Subjects};

/// Bytes of a piece. Sixteen of them are written before the first is encrypted, and should still be in a processor's caches then.
pub const PIECE_BYTES: usize = 32 * 1024;
/// Bytes of the values that are gathered at once: they stay in the caches until they are written.
const GATHERED_BYTES: usize = 512 * 1024;

/// All rows of the endpoint.
pub fn metrics() -> Vec<&'static Metric> {
    FAMILIES.iter().map(|family| &family.metric).chain(&machine::FAMILIES).collect()
}

/// A body in the making, which has tens of megabytes on a large machine: handed out in pieces, so that it takes the memory of
/// one.
pub struct Writing {
    writer: Writer,
    subjects: Subjects,
    devices: Arc<Devices>,
    /// Those to come, the next one last.
    families: Vec<&'static Family>,
    /// Gathered values, and the column and the value that come next.
    columns: Vec<Column>,
    at: (usize, usize),
    /// What comes after all families.
    end: Option<String>,
}

impl Writing {
    /// For a finished sweep; all values are of it.
    pub fn new(
        sweep: &Sweep,
        disk: &DiskUse,
        machine: &Machine,
        selection: &Selection,
        format: Format,
    ) -> Writing {
        let mut writer = Writer::new(format);
        write_version(&mut writer, machine);
        let mut end = Writer::new(format);
        machine.write(&mut end, selection);
        for name in ["container_scrape_error", "machine_scrape_error"] {
            let help = "1 if there was an error while getting container metrics, 0 otherwise";
            end.family(name, help, MetricType::Gauge, None);
            end.sample(name, &[], 0.0, None);
        }
        let served = |family: &&'static Family| selection.has(&family.metric);
        Writing {
            writer,
            subjects: Subjects::of(sweep, disk, selection),
            devices: sweep.devices.clone(),
            families: FAMILIES.iter().copied().filter(served).rev().collect(),
            columns: Vec::new(),
            at: (0, 0),
            end: Some(end.finish()),
        }
    }

    /// The next piece, of [`PIECE_BYTES`] or a little more, and less at the end; none after the last.
    pub fn next_piece(&mut self) -> Option<String> {
        while self.writer.written() < PIECE_BYTES {
            match self.columns.get(self.at.0) {
                Some(column) => {
                    self.at.1 = column.write(&mut self.writer, &self.subjects.labels, self.at.1, PIECE_BYTES);
                    if self.at.1 >= column.count() {
                        self.at = (self.at.0 + 1, 0);
                    }
                }
                None if self.families.is_empty() => break,
                None => self.gather(),
            }
        }
        match self.writer.written() {
            0 => self.end.take(),
            _ => Some(self.writer.take()),
        }
    }

    /// Gathers the values of some families, group by group: what is known of a group comes from memory once for all of them,
    /// for that is what takes longest.
    fn gather(&mut self) {
        let one = self.subjects.all.len().max(1) * size_of::<Line>();
        let at_once = (GATHERED_BYTES / one).clamp(1, self.families.len());
        let families = self.families.split_off(self.families.len() - at_once);
        self.columns.truncate(at_once);
        for (at, family) in families.iter().rev().enumerate() {
            match self.columns.get_mut(at) {
                Some(column) => column.clear(&family.metric),
                None => self.columns.push(Column::new(&family.metric)),
            }
        }
        for subject in &self.subjects.all {
            for (family, column) in families.iter().rev().zip(&mut self.columns) {
                (family.values)(subject, &mut Sink::new(column, &self.devices));
            }
        }
        self.at = (0, 0);
    }
}

/// The whole body for a finished sweep.
pub fn render(
    sweep: &Sweep,
    disk: &DiskUse,
    machine: &Machine,
    selection: &Selection,
    format: Format,
) -> String {
    let mut writing = Writing::new(sweep, disk, machine, selection, format);
    let mut body = String::new();
    while let Some(piece) = writing.next_piece() {
        body.push_str(&piece);
    }
    body
}

/// The body before the first sweep.
pub fn render_error(format: Format) -> String {
    let mut writer = Writer::new(format);
    let help = "1 if there was an error while getting container metrics, 0 otherwise";
    writer.family("container_scrape_error", help, MetricType::Gauge, None);
    writer.sample("container_scrape_error", &[], 1.0, None);
    writer.finish()
}

/// What serves: dashboards read the kernel's and the system's names from it.
fn write_version(writer: &mut Writer, machine: &Machine) {
    let help = "A metric with a constant '1' value labeled by kernel version, OS version, docker version, cadvisor \
                version & cadvisor revision.";
    writer.family("cadvisor_version_info", help, MetricType::Gauge, None);
    let labels = [
        ("cadvisorRevision", ""),
        ("cadvisorVersion", concat!("flyball-", env!("CARGO_PKG_VERSION"))),
        ("dockerVersion", ""),
        ("kernelVersion", machine.kernel_version.as_str()),
        ("osVersion", machine.os_version.as_str()),
    ];
    writer.sample("cadvisor_version_info", &labels, 1.0, None);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;
    use crate::details::{Details, MemoryDetails, Tasks};
    use crate::disk::mounted::MountedDisk;
    use crate::disk::walk::Amount;
    use crate::disk::{NodeUse, Space};
    use crate::sample::{ContainerReading, Cpu, Reading};
    use flyball_model::exposition::{Event, Reader};
    use std::collections::HashSet;

    fn sweep(containers: usize) -> Sweep {
        let container = |at: usize| ContainerReading {
            id: format!("{at:064x}").into(),
            pod_uid: "uid".into(),
            name: None,
            pod_name: None,
            looks_like_sandbox: false,
            reading: Reading {
                cpu: Some(Cpu { usage_ns: at as u64, unix_ms: 1_700_000_000_000 }),
                ..Reading::default()
            },
            path: format!("/kubepods/poduid/{at:064x}").into(),
            details: Arc::new(Details {
                unix_ms: 1_700_000_000_000,
                // Every other one has it.
                memory: MemoryDetails {
                    page_faults: at.is_multiple_of(2).then_some(at as u64),
                    ..MemoryDetails::default()
                },
                tasks: Tasks { processes: Some(at as u64), ..Tasks::default() },
                ..Details::default()
            }),
        };
        Sweep { sequence: 1, containers: (0..containers).map(container).collect(), ..Sweep::default() }
    }

    #[test]
    fn pieces_are_small_and_the_whole_body_in_order() {
        for containers in [0, 1, 1_000, 3_000] {
            let (sweep, selection) = (sweep(containers), Selection::default());
            let (disk, machine) = (DiskUse::default(), Machine::default());
            let mut writing = Writing::new(&sweep, &disk, &machine, &selection, Format::OpenMetrics10);
            let pieces: Vec<String> = std::iter::from_fn(|| writing.next_piece()).collect();
            let most = PIECE_BYTES + 1_000;
            assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() < most), "{containers}");
            assert_eq!(pieces.len() > 3, containers >= 1_000, "{} pieces", pieces.len());
            let body = pieces.concat();
            assert_eq!(body, render(&sweep, &disk, &machine, &selection, Format::OpenMetrics10));
            let (mut series, mut samples) = (HashSet::new(), 0);
            for event in Reader::new(&body, Format::OpenMetrics10) {
                let Event::Sample(sample) = event.unwrap() else { continue };
                let of = |name: &str| sample.label(name).map(str::to_owned);
                series.insert((sample.name.to_owned(), of("id"), of("scope")));
                samples += 1;
            }
            // CPU time, when it was seen, processes, and page faults of every other; version, two gauges of errors.
            assert_eq!(samples, containers * 3 + containers.div_ceil(2) + 3);
            assert_eq!(series.len(), samples);
        }
    }

    #[test]
    fn the_machines_disks_are_shown_with_it() {
        let disk = MountedDisk {
            device: "/dev/sda1".to_owned(),
            amount: Amount { bytes: 600, inodes: Some(30) },
            space: Space { capacity_bytes: 1_000, available_bytes: 300, inodes: 50, inodes_free: 20 },
            unix_ms: 1_700_000_000_000,
        };
        let node = NodeUse { disks: vec![disk], ..NodeUse::default() };
        let disk = DiskUse { node, ..DiskUse::default() };
        let (machine, selection) = (Machine::default(), Selection::default());
        let body = render(&sweep(1), &disk, &machine, &selection, Format::Text004);
        let labels = r#"{container="",device="/dev/sda1",id="/",image="",name="",namespace="",pod=""}"#;
        for (name, value) in
            [("usage_bytes", 600), ("limit_bytes", 1_000), ("inodes_total", 50), ("inodes_free", 20)]
        {
            let line = format!("container_fs_{name}{labels} {value} 1700000000000\n");
            assert!(body.contains(&line), "{line}{body}");
        }
    }
}
