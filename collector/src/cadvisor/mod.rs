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
use subject::{Sink, Subject};

/// Bytes of one series, roughly; for the first size of the body.
const SERIES_BYTES: usize = 280;

/// All rows of the endpoint.
pub fn metrics() -> Vec<&'static Metric> {
    FAMILIES.iter().map(|family| &family.metric).chain(&machine::FAMILIES).collect()
}

/// The body for a finished sweep.
pub fn render(
    sweep: &Sweep,
    disk: &DiskUse,
    machine: &Machine,
    selection: &Selection,
    format: Format,
) -> String {
    let mut writer = Writer::new(format);
    let subjects = Subject::all(sweep, disk, selection);
    let families: Vec<&Family> = FAMILIES.iter().filter(|family| selection.has(&family.metric)).collect();
    writer.reserve(subjects.len() * families.len() * SERIES_BYTES);
    write_version(&mut writer, machine);
    for family in families {
        let metric = &family.metric;
        let mut sink = Sink::new(&mut writer, metric, sweep);
        for subject in &subjects {
            (family.values)(subject, &mut sink);
        }
    }
    machine.write(&mut writer, selection);
    for name in ["container_scrape_error", "machine_scrape_error"] {
        let help = "1 if there was an error while getting container metrics, 0 otherwise";
        writer.family(name, help, MetricType::Gauge, None);
        writer.sample(name, &[], 0.0, None);
    }
    writer.finish()
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
