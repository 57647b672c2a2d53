//! `/metrics/resource`: a sweep as a kubelet would print it.
//!
//! Names, help texts (with their stability in brackets), types, labels and time stamps are those of
//! kubernetes/kubernetes `pkg/kubelet/metrics/collectors/resource_metrics.go`; families and series come in the order
//! in which its registry sorts them: by name, then by the values of container, namespace, pod. What has no name has no
//! series; what has no value has no series either.

use crate::names::{ContainerName, PodName};
use crate::sample::{Reading, Sweep};
use flyball_model::exposition::{Format, MetricType, Writer};

/// A value and its time, Unix milliseconds.
type Point = (f64, Option<i64>);

/// A family of the kubelet.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    unit: &'static str,
    value: fn(&Reading) -> Option<Point>,
}

const CONTAINER_FAMILIES: [Family; 5] = [
    Family {
        name: "container_cpu_usage_seconds_total",
        help: "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
        kind: MetricType::Counter,
        unit: "seconds",
        value: cpu_seconds,
    },
    Family {
        name: "container_memory_working_set_bytes",
        help: "[STABLE] Current working set of the container in bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        value: working_set_bytes,
    },
    Family {
        name: "container_start_time_seconds",
        help: "[STABLE] Start time of the container since unix epoch in seconds",
        kind: MetricType::Gauge,
        unit: "seconds",
        value: start_seconds,
    },
    Family {
        name: "container_swap_limit_bytes",
        help: "[ALPHA] Current amount of the container swap limit in bytes. Reported only on non-windows systems",
        kind: MetricType::Gauge,
        unit: "bytes",
        value: swap_limit_bytes,
    },
    Family {
        name: "container_swap_usage_bytes",
        help: "[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems",
        kind: MetricType::Gauge,
        unit: "bytes",
        value: swap_usage_bytes,
    },
];

const NODE_FAMILIES: [Family; 3] = [
    Family {
        name: "node_cpu_usage_seconds_total",
        help: "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
        kind: MetricType::Counter,
        unit: "seconds",
        value: cpu_seconds,
    },
    Family {
        name: "node_memory_working_set_bytes",
        help: "[STABLE] Current working set of the node in bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        value: working_set_bytes,
    },
    Family {
        name: "node_swap_usage_bytes",
        help: "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems",
        kind: MetricType::Gauge,
        unit: "bytes",
        value: swap_usage_bytes,
    },
];

const POD_FAMILIES: [Family; 3] = [
    Family {
        name: "pod_cpu_usage_seconds_total",
        help: "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
        kind: MetricType::Counter,
        unit: "seconds",
        value: cpu_seconds,
    },
    Family {
        name: "pod_memory_working_set_bytes",
        help: "[STABLE] Current working set of the pod in bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        value: working_set_bytes,
    },
    Family {
        name: "pod_swap_usage_bytes",
        help: "[ALPHA] Current amount of the pod swap usage in bytes. Reported only on non-windows systems",
        kind: MetricType::Gauge,
        unit: "bytes",
        value: swap_usage_bytes,
    },
];

const ERROR_HELP: &str = "1 if there was an error while getting container metrics, 0 otherwise";

/// The body for a finished sweep.
pub fn render(sweep: &Sweep, format: Format) -> String {
    let mut writer = Writer::new(format);
    let containers = named_containers(sweep);
    for family in &CONTAINER_FAMILIES {
        let series = containers.iter().map(|(name, reading)| {
            let labels = [
                ("container", name.container.as_str()),
                ("namespace", name.pod.namespace.as_str()),
                ("pod", name.pod.pod.as_str()),
            ];
            (labels, *reading)
        });
        write_family(&mut writer, family, series);
    }
    for family in &NODE_FAMILIES {
        write_family(&mut writer, family, std::iter::once(([], &sweep.node)));
    }
    let pods = named_pods(sweep);
    for family in &POD_FAMILIES {
        let series = pods.iter().map(|(name, reading)| {
            ([("namespace", name.namespace.as_str()), ("pod", name.pod.as_str())], *reading)
        });
        write_family(&mut writer, family, series);
    }
    write_errors(&mut writer, 0.0);
    writer.finish()
}

/// The body before the first sweep: as a kubelet whose collection failed, the two error gauges alone.
pub fn render_error(format: Format) -> String {
    let mut writer = Writer::new(format);
    write_errors(&mut writer, 1.0);
    writer.finish()
}

fn write_family<'a, const LABELS: usize>(
    writer: &mut Writer,
    family: &Family,
    series: impl Iterator<Item = ([(&'a str, &'a str); LABELS], &'a Reading)>,
) {
    let mut introduced = false;
    for (labels, reading) in series {
        let Some((value, unix_ms)) = (family.value)(reading) else { continue };
        if !introduced {
            writer.family(family.name, family.help, family.kind, Some(family.unit));
            introduced = true;
        }
        writer.sample(family.name, &labels, value, unix_ms);
    }
}

fn write_errors(writer: &mut Writer, value: f64) {
    let families = [
        ("resource_scrape_error", format!("[STABLE] {ERROR_HELP}")),
        ("scrape_error", format!("[ALPHA] (Deprecated since 1.29.0) {ERROR_HELP}")),
    ];
    for (name, help) in families {
        writer.family(name, &help, MetricType::Gauge, None);
        writer.sample(name, &[], value, None);
    }
}

/// Sorted by name, one of each: where two groups bear one name (a container ended, its successor runs), the younger.
fn named_containers(sweep: &Sweep) -> Vec<(&ContainerName, &Reading)> {
    let named = sweep.containers.iter().filter_map(|c| Some((c.name.as_deref()?, &c.reading)));
    youngest_of_each(named.collect(), |name| (&name.container, &name.pod.namespace, &name.pod.pod))
}

fn named_pods(sweep: &Sweep) -> Vec<(&PodName, &Reading)> {
    let named = sweep.pods.iter().filter_map(|p| Some((p.name.as_deref()?, &p.reading)));
    youngest_of_each(named.collect(), |name| (&name.namespace, &name.pod, &name.pod))
}

fn youngest_of_each<'a, N>(
    mut named: Vec<(&'a N, &'a Reading)>,
    key: impl Fn(&'a N) -> (&'a String, &'a String, &'a String),
) -> Vec<(&'a N, &'a Reading)> {
    // Stable, so among equal starts the group found last stays last.
    named.sort_by(|(a, a_reading), (b, b_reading)| {
        key(a).cmp(&key(b)).then(a_reading.start_unix_ms.cmp(&b_reading.start_unix_ms))
    });
    let mut kept: Vec<(&N, &Reading)> = Vec::with_capacity(named.len());
    for entry in named {
        match kept.last_mut() {
            Some(last) if key(last.0) == key(entry.0) => *last = entry,
            _ => kept.push(entry),
        }
    }
    kept
}

fn cpu_seconds(reading: &Reading) -> Option<Point> {
    reading.cpu.map(|cpu| (cpu.usage_ns as f64 / 1e9, Some(cpu.unix_ms)))
}

fn working_set_bytes(reading: &Reading) -> Option<Point> {
    let memory = reading.memory?;
    Some((memory.working_set_bytes? as f64, Some(memory.unix_ms)))
}

fn start_seconds(reading: &Reading) -> Option<Point> {
    let unix_ms = reading.start_unix_ms.filter(|unix_ms| *unix_ms > 0)?;
    Some((unix_ms as f64 / 1e3, None))
}

fn swap_usage_bytes(reading: &Reading) -> Option<Point> {
    reading.swap.map(|swap| (swap.usage_bytes as f64, Some(swap.unix_ms)))
}

fn swap_limit_bytes(reading: &Reading) -> Option<Point> {
    let swap = reading.swap?;
    Some((swap.limit_bytes? as f64, Some(swap.unix_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{ContainerReading, Cpu, Memory};
    use std::sync::Arc;

    fn container(name: Option<&str>, start: i64, usage_ns: u64) -> ContainerReading {
        let pod = Arc::new(PodName { namespace: "shop".to_owned(), pod: "we\"b".to_owned() });
        ContainerReading {
            id: Arc::from("id"),
            pod_uid: Arc::from("uid"),
            name: name.map(|n| {
                Arc::new(ContainerName {
                    container: n.to_owned(),
                    pod,
                    image: String::new(),
                    started_unix_ms: None,
                })
            }),
            pod_name: None,
            looks_like_sandbox: false,
            reading: Reading {
                cpu: Some(Cpu { usage_ns, unix_ms: 1_700_000_000_123 }),
                start_unix_ms: Some(start),
                ..Reading::default()
            },
            path: "/".into(),
            details: Arc::default(),
        }
    }

    #[test]
    fn unnamed_groups_have_no_series_and_absent_values_neither() {
        let sweep = Sweep { containers: vec![container(None, 5, 5)], ..Sweep::default() };
        let text = render(&sweep, Format::Text004);
        assert!(!text.contains("container_"), "{text}");
        assert!(!text.contains("node_"), "{text}");
        assert!(text.contains("\nresource_scrape_error 0\n"), "{text}");
    }

    #[test]
    fn of_two_groups_with_one_name_the_younger_shows_whatever_their_order() {
        for order in [[1_000, 2_000], [2_000, 1_000]] {
            let containers = order.map(|start| container(Some("app"), start, start as u64 * 1_000_000));
            let text =
                render(&Sweep { containers: containers.to_vec(), ..Sweep::default() }, Format::Text004);
            let expected = concat!(
                "container_cpu_usage_seconds_total",
                "{container=\"app\",namespace=\"shop\",pod=\"we\\\"b\"} 2 1700000000123\n"
            );
            assert!(text.contains(expected), "{text}");
            assert_eq!(text.matches("container_cpu_usage_seconds_total{").count(), 1);
            assert!(text.contains("} 2\n"), "start time has no time stamp: {text}");
        }
    }

    #[test]
    fn openmetrics_ends_with_eof_and_seconds() {
        let memory =
            Memory { usage_bytes: Some(9), working_set_bytes: Some(7), rss_bytes: None, unix_ms: 1_500 };
        let node = Reading { memory: Some(memory), ..Reading::default() };
        let text = render(&Sweep { node, ..Sweep::default() }, Format::OpenMetrics10);
        assert!(text.contains("node_memory_working_set_bytes 7 1.500\n"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn before_the_first_sweep_only_the_error_gauges_show() {
        let text = render_error(Format::Text004);
        assert!(text.contains("scrape_error 1\n") && !text.contains("node_"));
    }
}
