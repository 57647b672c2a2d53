//! One batch of samples to points per node and container: upstream's reading of `/metrics/resource`. Pure.
//!
//! Five series count, all others are ignored: CPU and working set of the node and of each container, and each container's
//! start. A value that is not a finite number of at least zero is treated as absent.
//!
//! A CPU counter of zero means two things by its [`Source`]: a kubelet writes zero for what it could not read, so upstream
//! withholds it; a Flyball collector leaves out what it could not read, so its zero is a container that has used nothing.

use std::collections::BTreeMap;

use flyball_model::sample::Sample;

use crate::window::{Point, SECOND_NS};

const NODE_CPU: &str = "node_cpu_usage_seconds_total";
const NODE_MEMORY: &str = "node_memory_working_set_bytes";
const CONTAINER_CPU: &str = "container_cpu_usage_seconds_total";
const CONTAINER_MEMORY: &str = "container_memory_working_set_bytes";
const CONTAINER_START: &str = "container_start_time_seconds";
const MS_NS: i64 = 1_000_000;
const US_NS: i64 = 1000;

/// Who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A kubelet.
    Kubelet,
    /// A Flyball collector.
    Collector,
}

/// What one answer of one node says.
#[derive(Debug, Default, PartialEq)]
pub struct NodePoints {
    /// The node itself, when its sample is complete.
    pub node: Option<Point>,
    /// Pods by namespace and name.
    pub pods: BTreeMap<(String, String), PodPoints>,
}

/// The containers of one pod.
#[derive(Debug, Default, PartialEq)]
pub struct PodPoints {
    /// Containers with a complete sample.
    pub containers: BTreeMap<String, Point>,
    /// Containers without one; upstream withholds their whole pod.
    pub incomplete: Vec<String>,
}

/// A point while its lines are read.
#[derive(Default)]
struct Partial {
    timestamp_ms: i64,
    cpu_core_ns: Option<u64>,
    working_set_bytes: u64,
    start_ns: Option<i64>,
}

impl Partial {
    fn set_cpu(&mut self, sample: &Sample, default_ms: i64) {
        if let Some(value) = counted(sample.value * 1e9) {
            self.cpu_core_ns = Some(value);
            self.timestamp_ms = sample.timestamp_ms.unwrap_or(default_ms);
        }
    }

    fn set_memory(&mut self, sample: &Sample, default_ms: i64) {
        if let Some(value) = counted(sample.value) {
            self.working_set_bytes = value;
            self.timestamp_ms = sample.timestamp_ms.unwrap_or(default_ms);
        }
    }

    /// Upstream's validity, but for the collector's true zero.
    fn complete(self, source: Source) -> Option<Point> {
        let cpu_core_ns = self.cpu_core_ns.filter(|used| *used != 0 || source == Source::Collector)?;
        let valid = self.timestamp_ms != 0 && self.working_set_bytes != 0;
        valid.then_some(Point {
            timestamp_ns: self.timestamp_ms.saturating_mul(MS_NS),
            cpu_core_ns,
            working_set_bytes: self.working_set_bytes,
            start_ns: self.start_ns,
        })
    }
}

/// A float to the integer below it; `None` for what cannot be a measurement.
fn counted(value: f64) -> Option<u64> {
    (value.is_finite() && value >= 0.0).then_some(value as u64)
}

/// Reads the samples of one answer. `default_ms` stands in for missing timestamps: when the request was sent.
pub fn read(samples: &[Sample], default_ms: i64, source: Source) -> NodePoints {
    let mut node = Partial::default();
    let mut containers: BTreeMap<(&str, &str, &str), Partial> = BTreeMap::new();
    for sample in samples {
        match sample.name.as_str() {
            NODE_CPU => node.set_cpu(sample, default_ms),
            NODE_MEMORY => node.set_memory(sample, default_ms),
            CONTAINER_CPU | CONTAINER_MEMORY | CONTAINER_START => {
                let Some(key) = container_key(sample) else { continue };
                let partial = containers.entry(key).or_default();
                match sample.name.as_str() {
                    CONTAINER_CPU => partial.set_cpu(sample, default_ms),
                    CONTAINER_MEMORY => partial.set_memory(sample, default_ms),
                    _ => partial.start_ns = start_ns(sample.value),
                }
            }
            _ => {}
        }
    }
    NodePoints { node: node.complete(source), pods: by_pod(containers, source) }
}

fn start_ns(seconds: f64) -> Option<i64> {
    let limit = (i64::MAX / SECOND_NS) as f64;
    // A float of seconds since 1970 holds microseconds; what it has below them is rounding, and would show in a window.
    (seconds.is_finite() && seconds > 0.0 && seconds < limit)
        .then_some((seconds * 1e6).round() as i64 * US_NS)
}

fn container_key(sample: &Sample) -> Option<(&str, &str, &str)> {
    let label = |name| sample.labels.get(name).filter(|value| !value.is_empty());
    Some((label("namespace")?, label("pod")?, label("container")?))
}

fn by_pod(
    containers: BTreeMap<(&str, &str, &str), Partial>,
    source: Source,
) -> BTreeMap<(String, String), PodPoints> {
    let mut pods: BTreeMap<(String, String), PodPoints> = BTreeMap::new();
    for ((namespace, pod, container), partial) in containers {
        let entry = pods.entry((namespace.to_owned(), pod.to_owned())).or_default();
        match partial.complete(source) {
            Some(point) => drop(entry.containers.insert(container.to_owned(), point)),
            None => entry.incomplete.push(container.to_owned()),
        }
    }
    pods
}
