//! CPU time and its limit in force.

use super::{Family, details, seconds};
use crate::cadvisor::subject::{Place, Sink, Subject};
use crate::readers::finite;
use crate::table::Source;
use flyball_model::exposition::Number::{self, Count};

/// The rows.
pub(super) const FAMILIES: &[Family] = &[
    Family::counter(
        "container_cpu_cfs_burst_periods_total",
        "Number of elapsed period intervals in which bursts occur.",
        Source::both("cpu.stat nr_bursts"),
        |s, sink| limited(s, sink, s.details.cpu.burst_periods.map(Count)),
    ),
    Family::counter(
        "container_cpu_cfs_burst_seconds_total",
        "Total time duration the container bursts beyond its quota.",
        Source { v1: "cpu.stat burst_time", v2: "cpu.stat burst_usec" },
        |s, sink| limited(s, sink, seconds(s.details.cpu.burst_ns)),
    )
    .unit("seconds"),
    Family::counter(
        "container_cpu_cfs_periods_total",
        "Number of elapsed enforcement period intervals.",
        Source::both("cpu.stat nr_periods"),
        |s, sink| limited(s, sink, s.details.cpu.periods.map(Count)),
    )
    .dashboards(),
    Family::counter(
        "container_cpu_cfs_throttled_periods_total",
        "Number of throttled period intervals.",
        Source::both("cpu.stat nr_throttled"),
        |s, sink| limited(s, sink, s.details.cpu.throttled_periods.map(Count)),
    )
    .dashboards(),
    Family::counter(
        "container_cpu_cfs_throttled_seconds_total",
        "Total time duration the container has been throttled.",
        Source { v1: "cpu.stat throttled_time", v2: "cpu.stat throttled_usec" },
        |s, sink| limited(s, sink, seconds(s.details.cpu.throttled_ns)),
    )
    .unit("seconds"),
    Family::counter(
        "container_cpu_system_seconds_total",
        "Cumulative system cpu time consumed in seconds.",
        Source { v1: "cpuacct.stat system", v2: "cpu.stat system_usec" },
        |s, sink| details(s, sink, seconds(s.details.cpu.system_ns)),
    )
    .unit("seconds"),
    Family::counter(
        "container_cpu_usage_seconds_total",
        "Cumulative cpu time consumed in seconds.",
        Source { v1: "cpuacct.usage", v2: "cpu.stat usage_usec" },
        cpu_usage,
    )
    .labels(&["container", "cpu", "id", "image", "name", "namespace", "pod"])
    .unit("seconds")
    .dashboards()
    .resource(),
    Family::counter(
        "container_cpu_user_seconds_total",
        "Cumulative user cpu time consumed in seconds.",
        Source { v1: "cpuacct.stat user", v2: "cpu.stat user_usec" },
        |s, sink| details(s, sink, seconds(s.details.cpu.user_ns)),
    )
    .unit("seconds"),
];

/// As cAdvisor: only groups with a quota have a bandwidth limit to speak of.
fn limited(s: &Subject, sink: &mut Sink<'_>, value: Option<Number>) {
    if finite(s.details.cpu.quota_us).is_some() {
        details(s, sink, value);
    }
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
