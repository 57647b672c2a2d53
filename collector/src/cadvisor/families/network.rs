//! Interfaces of pods.

use super::Family;
use crate::cadvisor::subject::{Place, Sink, Subject};
use crate::details::Interface;
use crate::table::{Metric, Sets, Source};
use flyball_model::exposition::MetricType::Counter;
use flyball_model::exposition::Number::Count;

/// The rows.
pub(super) const FAMILIES: &[Family] = &[
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
];

fn interfaces(s: &Subject, sink: &mut Sink<'_>, field: fn(&Interface) -> u64) {
    for interface in &s.network.network {
        let label = ("interface", &*interface.name);
        let value = Some(Count(field(interface)));
        sink.put_labelled(s, Place::BeforeName, label, value, Some(s.network.unix_ms));
    }
}
