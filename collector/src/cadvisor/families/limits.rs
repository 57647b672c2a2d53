//! Limits and weights that a group was given.

use super::{Family, none_is_zero};
use crate::readers::finite;
use crate::table::Source;
use flyball_model::exposition::Number::Count;

/// The rows.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge(
        "container_spec_cpu_period",
        "CPU period of the container.",
        Source { v1: "cpu.cfs_period_us", v2: "cpu.max" },
        |s, sink| sink.put(s, s.details.cpu.period_us.map(Count), None),
    ),
    Family::gauge(
        "container_spec_cpu_quota",
        "CPU quota of the container.",
        Source { v1: "cpu.cfs_quota_us", v2: "cpu.max" },
        |s, sink| sink.put(s, finite(s.details.cpu.quota_us).map(Count), None),
    ),
    Family::gauge(
        "container_spec_cpu_shares",
        "CPU share of the container.",
        Source { v1: "cpu.shares", v2: "cpu.weight, converted" },
        |s, sink| sink.put(s, s.details.cpu.shares.map(Count), None),
    ),
    Family::gauge(
        "container_spec_memory_limit_bytes",
        "Memory limit for the container.",
        Source { v1: "memory.limit_in_bytes", v2: "memory.max" },
        |s, sink| sink.put(s, none_is_zero(s.details.memory.limit).map(Count), None),
    )
    .unit("bytes"),
    Family::gauge(
        "container_spec_memory_reservation_limit_bytes",
        "Memory reservation limit for the container.",
        Source { v1: "memory.soft_limit_in_bytes", v2: "memory.min" },
        |s, sink| sink.put(s, none_is_zero(s.details.memory.reservation).map(Count), None),
    )
    .unit("bytes"),
    Family::gauge(
        "container_spec_memory_swap_limit_bytes",
        "Memory swap limit for the container.",
        Source { v1: "memory.memsw.limit_in_bytes", v2: "memory.swap.max" },
        |s, sink| sink.put(s, none_is_zero(s.details.memory.swap_limit).map(Count), None),
    )
    .unit("bytes"),
];
