//! Time that tasks waited.

use super::{Family, details};
use crate::details::Stall;
use crate::table::Source;
use flyball_model::exposition::Number::{self, Scaled};

/// The rows.
pub(super) const FAMILIES: &[Family] = &[
    Family::counter(
        "container_pressure_cpu_stalled_seconds_total",
        "Total time duration no tasks in the container could make progress due to CPU congestion.",
        Source { v1: "hybrid: v2 cpu.pressure full", v2: "cpu.pressure full" },
        |s, sink| details(s, sink, s.details.cpu_pressure.and_then(|p| p.full).map(stalled)),
    )
    .unit("seconds"),
    Family::counter(
        "container_pressure_cpu_waiting_seconds_total",
        "Total time duration tasks in the container have waited due to CPU congestion.",
        Source { v1: "hybrid: v2 cpu.pressure some", v2: "cpu.pressure some" },
        |s, sink| details(s, sink, s.details.cpu_pressure.map(|p| stalled(p.some))),
    )
    .unit("seconds"),
    Family::counter(
        "container_pressure_io_stalled_seconds_total",
        "Total time duration no tasks in the container could make progress due to IO congestion.",
        Source { v1: "hybrid: v2 io.pressure full", v2: "io.pressure full" },
        |s, sink| details(s, sink, s.details.io_pressure.and_then(|p| p.full).map(stalled)),
    )
    .unit("seconds"),
    Family::counter(
        "container_pressure_io_waiting_seconds_total",
        "Total time duration tasks in the container have waited due to IO congestion.",
        Source { v1: "hybrid: v2 io.pressure some", v2: "io.pressure some" },
        |s, sink| details(s, sink, s.details.io_pressure.map(|p| stalled(p.some))),
    )
    .unit("seconds"),
    Family::counter(
        "container_pressure_memory_stalled_seconds_total",
        "Total time duration no tasks in the container could make progress due to memory congestion.",
        Source { v1: "hybrid: v2 memory.pressure full", v2: "memory.pressure full" },
        |s, sink| details(s, sink, s.details.memory_pressure.and_then(|p| p.full).map(stalled)),
    )
    .unit("seconds"),
    Family::counter(
        "container_pressure_memory_waiting_seconds_total",
        "Total time duration tasks in the container have waited due to memory congestion.",
        Source { v1: "hybrid: v2 memory.pressure some", v2: "memory.pressure some" },
        |s, sink| details(s, sink, s.details.memory_pressure.map(|p| stalled(p.some))),
    )
    .unit("seconds"),
];

fn stalled(stall: Stall) -> Number {
    Scaled(stall.total_us, 6)
}
