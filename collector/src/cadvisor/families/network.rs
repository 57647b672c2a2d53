//! Interfaces of pods.

use super::Family;
use crate::cadvisor::subject::{Place, Sink, Subject};
use crate::details::Interface;
use crate::table::Source;
use flyball_model::exposition::Number::Count;

/// Labels of what is counted by interface.
const INTERFACE: &[&str] = &["container", "id", "image", "interface", "name", "namespace", "pod"];

/// The rows.
pub(super) const FAMILIES: &[Family] = &[
    Family::counter(
        "container_network_receive_bytes_total",
        "Cumulative count of bytes received",
        Source::both("/proc/PID/net/dev of a process of the pod"),
        |s, sink| interfaces(s, sink, |interface| interface.receive.bytes),
    )
    .labels(INTERFACE)
    .unit("bytes")
    .dashboards(),
    Family::counter(
        "container_network_receive_errors_total",
        "Cumulative count of errors encountered while receiving",
        Source::both("/proc/PID/net/dev of a process of the pod"),
        |s, sink| interfaces(s, sink, |interface| interface.receive.errors),
    )
    .labels(INTERFACE),
    Family::counter(
        "container_network_receive_packets_dropped_total",
        "Cumulative count of packets dropped while receiving",
        Source::both("/proc/PID/net/dev of a process of the pod"),
        |s, sink| interfaces(s, sink, |interface| interface.receive.dropped),
    )
    .labels(INTERFACE)
    .dashboards(),
    Family::counter(
        "container_network_receive_packets_total",
        "Cumulative count of packets received",
        Source::both("/proc/PID/net/dev of a process of the pod"),
        |s, sink| interfaces(s, sink, |interface| interface.receive.packets),
    )
    .labels(INTERFACE)
    .dashboards(),
    Family::counter(
        "container_network_transmit_bytes_total",
        "Cumulative count of bytes transmitted",
        Source::both("/proc/PID/net/dev of a process of the pod"),
        |s, sink| interfaces(s, sink, |interface| interface.transmit.bytes),
    )
    .labels(INTERFACE)
    .unit("bytes")
    .dashboards(),
    Family::counter(
        "container_network_transmit_errors_total",
        "Cumulative count of errors encountered while transmitting",
        Source::both("/proc/PID/net/dev of a process of the pod"),
        |s, sink| interfaces(s, sink, |interface| interface.transmit.errors),
    )
    .labels(INTERFACE),
    Family::counter(
        "container_network_transmit_packets_dropped_total",
        "Cumulative count of packets dropped while transmitting",
        Source::both("/proc/PID/net/dev of a process of the pod"),
        |s, sink| interfaces(s, sink, |interface| interface.transmit.dropped),
    )
    .labels(INTERFACE)
    .dashboards(),
    Family::counter(
        "container_network_transmit_packets_total",
        "Cumulative count of packets transmitted",
        Source::both("/proc/PID/net/dev of a process of the pod"),
        |s, sink| interfaces(s, sink, |interface| interface.transmit.packets),
    )
    .labels(INTERFACE)
    .dashboards(),
];

fn interfaces(s: &Subject, sink: &mut Sink<'_>, field: fn(&Interface) -> u64) {
    for interface in &s.network.network {
        let label = ("interface", &*interface.name);
        let value = Some(Count(field(interface)));
        sink.put_labelled(s, Place::BeforeName, label, value, Some(s.network.unix_ms));
    }
}
