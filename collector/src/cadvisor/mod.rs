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
use subject::{Labelled, Sink};

/// Bytes of one series, roughly; for the first size of the body.
const SERIES_BYTES: usize = 280;

/// All rows of the endpoint.
pub fn metrics() -> Vec<&'static Metric> {
    FAMILIES.iter().map(|family| &family.metric).chain(&machine::FAMILIES).collect()
}

/// What a body is made of.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// A finished sweep.
    pub sweep: &'a Sweep,
    /// What was walked.
    pub disk: &'a DiskUse,
    /// Facts of the machine.
    pub machine: &'a Machine,
    /// What of it is wanted.
    pub selection: &'a Selection,
}

/// A body in the making, which has tens of megabytes on a large machine: written piece by piece, so that it takes the memory
/// of one. Everything in it is of the one sweep that it is begun and gone on with.
pub struct Writing {
    writer: Writer,
    subjects: Vec<Labelled>,
    families: Vec<&'static Family>,
    /// The family and the group that come next.
    at: (usize, usize),
    /// Values of that family were written.
    introduced: bool,
}

impl Writing {
    /// Nothing written yet but what serves.
    pub fn new(seen: &Seen<'_>, format: Format) -> Writing {
        let mut writer = Writer::new(format);
        write_version(&mut writer, seen.machine);
        let families = FAMILIES.iter().filter(|family| seen.selection.has(&family.metric)).collect();
        let subjects = Labelled::all(seen.sweep, seen.selection);
        Writing { writer, subjects, families, at: (0, 0), introduced: false }
    }

    /// The next piece, of about so many bytes, and whether more is to come.
    pub fn piece(&mut self, seen: &Seen<'_>, bytes: usize) -> (String, bool) {
        while let Some(&family) = self.families.get(self.at.0) {
            if self.writer.written() >= bytes {
                return (self.writer.take(), true);
            }
            self.go_on(family, seen, bytes);
        }
        seen.machine.write(&mut self.writer, seen.selection);
        for name in ["container_scrape_error", "machine_scrape_error"] {
            let help = "1 if there was an error while getting container metrics, 0 otherwise";
            self.writer.family(name, help, MetricType::Gauge, None);
            self.writer.sample(name, &[], 0.0, None);
        }
        self.writer.end();
        (self.writer.take(), false)
    }

    /// Goes on with a family until there are so many bytes.
    fn go_on(&mut self, family: &Family, seen: &Seen<'_>, bytes: usize) {
        let mut sink = Sink::new(&mut self.writer, &family.metric, seen.sweep, self.introduced);
        for labelled in self.subjects.get(self.at.1..).unwrap_or_default() {
            if sink.written() >= bytes {
                break;
            }
            self.at.1 += 1;
            if let Some(subject) = labelled.subject(seen.sweep, seen.disk) {
                (family.values)(&subject, &mut sink);
            }
        }
        self.introduced = sink.introduced();
        if self.at.1 >= self.subjects.len() {
            self.at = (self.at.0 + 1, 0);
            self.introduced = false;
        }
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
    let seen = Seen { sweep, disk, machine, selection };
    let mut writing = Writing::new(&seen, format);
    writing.writer.reserve(writing.subjects.len() * writing.families.len() * SERIES_BYTES);
    writing.piece(&seen, usize::MAX).0
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
