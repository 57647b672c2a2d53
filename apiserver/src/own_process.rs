//! What the process itself uses, under the names of Prometheus' clients: `process_*`.
#![allow(clippy::disallowed_methods, reason = "an edge: reads /proc of this process")]

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Reads /proc/self whenever the page is written. What cannot be read is left out.
#[derive(Debug)]
pub(crate) struct OwnProcess;

/// Fields of /proc/self/stat behind the name in brackets, by their position there.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const START_TICKS: usize = 19;
const VIRTUAL_BYTES: usize = 20;
const RESIDENT_PAGES: usize = 21;

impl Collector for OwnProcess {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields = fields(&stat);
        let field = |at: usize| fields.get(at).copied();
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        if let (Some(user), Some(system)) = (field(USER_TICKS), field(SYSTEM_TICKS)) {
            let seconds = (user + system) / ticks_per_second;
            let help = "Total user and system CPU time spent in seconds.";
            let family = encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
            ConstCounter::new(seconds).encode(family)?;
        }
        let started = field(START_TICKS).zip(booted_seconds());
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
                field(RESIDENT_PAGES).map(|pages| pages * rustix::param::page_size() as f64),
            ),
            ("process_virtual_memory_bytes", "Virtual memory size in bytes.", field(VIRTUAL_BYTES)),
            (
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
                started.map(|(ticks, booted)| booted + ticks / ticks_per_second),
            ),
            ("process_open_fds", "Number of open file descriptors.", open_files()),
            ("process_max_fds", "Maximum number of open file descriptors.", limit("Max open files")),
            (
                "process_virtual_memory_max_bytes",
                "Maximum amount of virtual memory available in bytes.",
                limit("Max address space"),
            ),
        ];
        // Of the whole network namespace, as Prometheus' clients have it.
        for (name, help, value) in [
            (
                "process_network_receive_bytes",
                "Number of bytes received by the process over the network.",
                "InOctets",
            ),
            (
                "process_network_transmit_bytes",
                "Number of bytes sent by the process over the network.",
                "OutOctets",
            ),
        ] {
            let Some(bytes) = network(value) else { continue };
            let family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(bytes).encode(family)?;
        }
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(family)?;
        }
        Ok(())
    }
}

/// The numbers behind the name, which may hold anything.
fn fields(stat: &str) -> Vec<f64> {
    let numbers = stat.rsplit_once(')').map_or("", |(_, numbers)| numbers);
    // The first is the state, a letter.
    numbers.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect()
}

fn booted_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn open_files() -> Option<f64> {
    // The folder that is read is one of them.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

/// A soft limit of this process; without one, what Prometheus' clients say for it.
fn limit(name: &str) -> Option<f64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let soft = limits.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX as f64) } else { soft.parse().ok() }
}

/// A number of the kernel about all of IP, by its name: the first of two lines has the names.
fn network(name: &str) -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/net/netstat").ok()?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("IpExt: "));
    let at = lines.next()?.split_whitespace().position(|have| have == name)?;
    lines.next()?.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_behind_the_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 12 34 0 0 20 0 1 0 5678 1000000 250 184467";
        let fields = fields(stat);
        let found =
            [USER_TICKS, SYSTEM_TICKS, START_TICKS, VIRTUAL_BYTES, RESIDENT_PAGES].map(|at| fields[at]);
        assert_eq!(found, [12.0, 34.0, 5678.0, 1_000_000.0, 250.0]);
    }

    #[test]
    fn this_process_is_on_the_page() {
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(OwnProcess));
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_start_time_seconds",
            "process_open_fds",
            "process_max_fds",
            "process_virtual_memory_max_bytes",
            "process_network_receive_bytes_total",
            "process_network_transmit_bytes_total",
        ] {
            let line = page.lines().find(|line| line.starts_with(&format!("{name} ")));
            let value: f64 = line
                .unwrap_or_else(|| panic!("{name} in\n{page}"))
                .rsplit(' ')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            assert!(
                value >= 0.0 && (value > 0.0 || name.contains("cpu") || name.contains("network")),
                "{name} {value}"
            );
        }
    }
}
