//! `/metrics/resource`: a sweep as a kubelet would print it.
//!
//! Names, help texts (with their stability in brackets), types, labels and time stamps are those of
//! kubernetes/kubernetes `pkg/kubelet/metrics/collectors/resource_metrics.go`; families and series come in the order
//! in which its registry sorts them: by name, then by the values of container, namespace, pod. What has no name has no
//! series; what has no value has no series either.

use crate::names::{ContainerName, PodName};
use crate::sample::{Reading, Sweep};
use crate::table::{Metric, Sets, Source, Stability};
use flyball_model::exposition::{Format, MetricType, Number, Writer, push_label};
use std::ops::Range;
use std::sync::Arc;

/// A value and its time, Unix milliseconds.
type Point = (Number, Option<i64>);

/// A family of the kubelet.
struct Family {
    metric: Metric,
    value: fn(&Reading) -> Option<Point>,
}

const CPU: Source = Source { v1: "cpuacct.usage", v2: "cpu.stat usage_usec" };
const WORKING_SET: Source = Source {
    v1: "memory.usage_in_bytes less memory.stat total_inactive_file",
    v2: "memory.current less memory.stat inactive_file",
};
const SWAP: Source = Source { v1: "memory.stat total_swap", v2: "memory.swap.current" };
const NODE_MEMORY: Source =
    Source::both("/proc/meminfo AnonPages + Cached + Buffers + SwapCached - Inactive(file)");

/// A row of this endpoint; its stability is the one its help text begins with.
const fn row(
    name: &'static str,
    kind: MetricType,
    labels: &'static [&'static str],
    unit: &'static str,
    stability: Stability,
    help: &'static str,
    source: Source,
) -> Metric {
    let sets = Sets::FULL.and(Sets::RESOURCE);
    Metric { unit: Some(unit), stability, sets, ..Metric::new(name, kind, labels, help, source) }
}

/// All rows of the endpoint.
pub fn metrics() -> Vec<&'static Metric> {
    let families = CONTAINER_FAMILIES.iter().chain(&NODE_FAMILIES).chain(&POD_FAMILIES);
    families.map(|family| &family.metric).collect()
}

static CONTAINER_FAMILIES: [Family; 5] = [
    Family {
        metric: row(
            "container_cpu_usage_seconds_total",
            MetricType::Counter,
            &["container", "namespace", "pod"],
            "seconds",
            Stability::Stable,
            "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
            CPU,
        ),
        value: cpu_seconds,
    },
    Family {
        metric: row(
            "container_memory_working_set_bytes",
            MetricType::Gauge,
            &["container", "namespace", "pod"],
            "bytes",
            Stability::Stable,
            "[STABLE] Current working set of the container in bytes",
            WORKING_SET,
        ),
        value: working_set_bytes,
    },
    Family {
        metric: row(
            "container_start_time_seconds",
            MetricType::Gauge,
            &["container", "namespace", "pod"],
            "seconds",
            Stability::Stable,
            "[STABLE] Start time of the container since unix epoch in seconds",
            Source::both(
                "/proc/PID/stat starttime of the first process; pod status where that cannot be seen",
            ),
        ),
        value: start_seconds,
    },
    Family {
        metric: row(
            "container_swap_limit_bytes",
            MetricType::Gauge,
            &["container", "namespace", "pod"],
            "bytes",
            Stability::Alpha,
            "[ALPHA] Current amount of the container swap limit in bytes. Reported only on non-windows systems",
            Source { v1: "none", v2: "memory.swap.max" },
        ),
        value: swap_limit_bytes,
    },
    Family {
        metric: row(
            "container_swap_usage_bytes",
            MetricType::Gauge,
            &["container", "namespace", "pod"],
            "bytes",
            Stability::Alpha,
            "[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems",
            SWAP,
        ),
        value: swap_usage_bytes,
    },
];

static NODE_FAMILIES: [Family; 3] = [
    Family {
        metric: row(
            "node_cpu_usage_seconds_total",
            MetricType::Counter,
            &[],
            "seconds",
            Stability::Stable,
            "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
            Source {
                v1: "cpuacct.usage of the root, else /proc/stat",
                v2: "cpu.stat usage_usec of the root, else /proc/stat",
            },
        ),
        value: cpu_seconds,
    },
    Family {
        metric: row(
            "node_memory_working_set_bytes",
            MetricType::Gauge,
            &[],
            "bytes",
            Stability::Stable,
            "[STABLE] Current working set of the node in bytes",
            NODE_MEMORY,
        ),
        value: working_set_bytes,
    },
    Family {
        metric: row(
            "node_swap_usage_bytes",
            MetricType::Gauge,
            &[],
            "bytes",
            Stability::Alpha,
            "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems",
            Source::both("/proc/meminfo SwapTotal - SwapFree"),
        ),
        value: swap_usage_bytes,
    },
];

static POD_FAMILIES: [Family; 3] = [
    Family {
        metric: row(
            "pod_cpu_usage_seconds_total",
            MetricType::Counter,
            &["namespace", "pod"],
            "seconds",
            Stability::Stable,
            "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
            CPU,
        ),
        value: cpu_seconds,
    },
    Family {
        metric: row(
            "pod_memory_working_set_bytes",
            MetricType::Gauge,
            &["namespace", "pod"],
            "bytes",
            Stability::Stable,
            "[STABLE] Current working set of the pod in bytes",
            WORKING_SET,
        ),
        value: working_set_bytes,
    },
    Family {
        metric: row(
            "pod_swap_usage_bytes",
            MetricType::Gauge,
            &["namespace", "pod"],
            "bytes",
            Stability::Alpha,
            "[ALPHA] Current amount of the pod swap usage in bytes. Reported only on non-windows systems",
            SWAP,
        ),
        value: swap_usage_bytes,
    },
];

/// Bytes of one series, roughly; for the first size of the body.
const SERIES_BYTES: usize = 144;

const ERROR_HELP: &str = "1 if there was an error while getting container metrics, 0 otherwise";

/// The named groups of a sweep in the order in which they are written, with their labels as text. It also fits later sweeps,
/// until a group comes, goes, gets a name or starts.
#[derive(Debug, Default)]
pub struct Order {
    /// The labels of all of them.
    labels: String,
    containers: Vec<Placed>,
    pods: Vec<Placed>,
    /// What it was made of, in the sweep's order: names, and what tells which of two groups of one name is the younger.
    of_containers: Vec<(Option<Arc<ContainerName>>, Option<i64>)>,
    of_pods: Vec<(Option<Arc<PodName>>, Option<i64>)>,
}

/// A group by its place in the sweep, and where its labels are.
#[derive(Debug)]
struct Placed {
    at: usize,
    labels: Range<usize>,
}

impl Order {
    /// Of a sweep.
    pub fn of(sweep: &Sweep) -> Order {
        let (containers, pods) = (&sweep.containers, &sweep.pods);
        let mut order = Order {
            of_containers: containers.iter().map(|c| (c.name.clone(), c.reading.start_unix_ms)).collect(),
            of_pods: pods.iter().map(|p| (p.name.clone(), p.reading.start_unix_ms)).collect(),
            ..Order::default()
        };
        for (at, name) in youngest_of_each(&order.of_containers, |name| {
            (&name.container, &name.pod.namespace, &name.pod.pod)
        }) {
            let pairs = [
                ("container", name.container.as_str()),
                ("namespace", name.pod.namespace.as_str()),
                ("pod", name.pod.pod.as_str()),
            ];
            order.containers.push(Placed { at, labels: add_labels(&mut order.labels, &pairs) });
        }
        for (at, name) in youngest_of_each(&order.of_pods, |name| (&name.namespace, &name.pod, &name.pod)) {
            let pairs = [("namespace", name.namespace.as_str()), ("pod", name.pod.as_str())];
            order.pods.push(Placed { at, labels: add_labels(&mut order.labels, &pairs) });
        }
        order
    }

    /// Whether it is the order of this sweep, too.
    pub fn fits(&self, sweep: &Sweep) -> bool {
        fit(&self.of_containers, sweep.containers.iter().map(|c| (c.name.as_ref(), c.reading.start_unix_ms)))
            && fit(&self.of_pods, sweep.pods.iter().map(|p| (p.name.as_ref(), p.reading.start_unix_ms)))
    }

    fn labels(&self, placed: &Placed) -> &str {
        self.labels.get(placed.labels.clone()).unwrap_or_default()
    }
}

/// A name that is held here is no other's, so that the same pointer is the same name.
fn fit<'a, N: 'a>(
    known: &[(Option<Arc<N>>, Option<i64>)],
    now: impl ExactSizeIterator<Item = (Option<&'a Arc<N>>, Option<i64>)>,
) -> bool {
    let same = |a: Option<&Arc<N>>, b: Option<&Arc<N>>| match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    };
    known.len() == now.len()
        && known.iter().zip(now).all(|((name, start), (now, now_start))| {
            // Groups without a name have no place, whenever they start.
            same(name.as_ref(), now) && (now.is_none() || *start == now_start)
        })
}

fn add_labels(text: &mut String, pairs: &[(&str, &str)]) -> Range<usize> {
    let mut labels = String::new();
    for (name, value) in pairs {
        push_label(&mut labels, name, value);
    }
    let start = text.len();
    text.push_str(&labels);
    start..text.len()
}

/// The body for a finished sweep.
pub fn render(sweep: &Sweep, format: Format) -> String {
    render_in(&Order::of(sweep), sweep, format)
}

/// The same, in an order that fits the sweep.
pub fn render_in(order: &Order, sweep: &Sweep, format: Format) -> String {
    let mut writer = Writer::new(format);
    let series = CONTAINER_FAMILIES.len() * order.containers.len() + POD_FAMILIES.len() * order.pods.len();
    writer.reserve(series * SERIES_BYTES);
    for family in &CONTAINER_FAMILIES {
        let series = order
            .containers
            .iter()
            .filter_map(|placed| Some((order.labels(placed), &sweep.containers.get(placed.at)?.reading)));
        write_family(&mut writer, family, series);
    }
    for family in &NODE_FAMILIES {
        write_family(&mut writer, family, std::iter::once(("", &sweep.node)));
    }
    for family in &POD_FAMILIES {
        let series = order
            .pods
            .iter()
            .filter_map(|placed| Some((order.labels(placed), &sweep.pods.get(placed.at)?.reading)));
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

fn write_family<'a>(
    writer: &mut Writer,
    family: &Family,
    series: impl Iterator<Item = (&'a str, &'a Reading)>,
) {
    let mut introduced = false;
    for (labels, reading) in series {
        let Some((value, unix_ms)) = (family.value)(reading) else { continue };
        if !introduced {
            writer.family(family.metric.name, family.metric.help, family.metric.kind, family.metric.unit);
            introduced = true;
        }
        writer.sample_text(family.metric.name, &[labels], value, unix_ms);
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

/// Places of the named, sorted by name, one of each: where two groups bear one name (a container ended, its successor runs),
/// the younger.
fn youngest_of_each<'a, N>(
    all: &'a [(Option<Arc<N>>, Option<i64>)],
    key: impl Fn(&'a N) -> (&'a String, &'a String, &'a String),
) -> Vec<(usize, &'a N)> {
    let mut named: Vec<(usize, &N, Option<i64>)> = all
        .iter()
        .enumerate()
        .filter_map(|(at, (name, start_unix_ms))| Some((at, name.as_deref()?, *start_unix_ms)))
        .collect();
    // Stable, so among equal starts the group found last stays last.
    named.sort_by(|(_, a, a_start), (_, b, b_start)| key(a).cmp(&key(b)).then(a_start.cmp(b_start)));
    let mut kept: Vec<(usize, &N)> = Vec::with_capacity(named.len());
    for (at, name, _) in named {
        match kept.last_mut() {
            Some(last) if key(last.1) == key(name) => *last = (at, name),
            _ => kept.push((at, name)),
        }
    }
    kept
}

fn cpu_seconds(reading: &Reading) -> Option<Point> {
    reading.cpu.map(|cpu| (Number::Scaled(cpu.usage_ns, 9), Some(cpu.unix_ms)))
}

fn working_set_bytes(reading: &Reading) -> Option<Point> {
    let memory = reading.memory?;
    Some((Number::Count(memory.working_set_bytes?), Some(memory.unix_ms)))
}

fn start_seconds(reading: &Reading) -> Option<Point> {
    let unix_ms = u64::try_from(reading.start_unix_ms?).ok().filter(|unix_ms| *unix_ms > 0)?;
    Some((Number::Scaled(unix_ms, 3), None))
}

fn swap_usage_bytes(reading: &Reading) -> Option<Point> {
    reading.swap.map(|swap| (Number::Count(swap.usage_bytes), Some(swap.unix_ms)))
}

fn swap_limit_bytes(reading: &Reading) -> Option<Point> {
    let swap = reading.swap?;
    Some((Number::Count(swap.limit_bytes?), Some(swap.unix_ms)))
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
    fn the_table_is_whole() {
        let rows: Vec<Metric> = metrics().into_iter().copied().collect();
        assert_eq!(crate::table::faults(&rows, &[]), Vec::<String>::new());
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
    fn an_order_fits_until_names_or_starts_change() {
        let of = |containers: Vec<ContainerReading>| Sweep { containers, ..Sweep::default() };
        let (named, other) = (container(Some("app"), 1_000, 5), container(Some("app"), 2_000, 5));
        let first = of(vec![named.clone(), other.clone()]);
        let order = Order::of(&first);
        let mut moved = first.clone();
        moved.containers[0].reading.cpu = Some(Cpu { usage_ns: 7, unix_ms: 9 });
        assert!(order.fits(&first) && order.fits(&moved));
        assert_eq!(
            render_in(&order, &moved, Format::Text004),
            render(&moved, Format::Text004),
            "the younger shows"
        );
        let mut started = first.clone();
        started.containers[0].reading.start_unix_ms = Some(3_000);
        let mut renamed = first.clone();
        renamed.containers[0].name = container(Some("app"), 0, 0).name;
        let mut unnamed = first.clone();
        unnamed.containers[0].name = None;
        for changed in [started, renamed, unnamed, of(vec![named]), of(Vec::new())] {
            assert!(!order.fits(&changed));
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
