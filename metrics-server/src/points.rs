//! One batch of samples to points per node and container: upstream's reading of `/metrics/resource`. Pure.
//!
//! Five series count, all others are ignored: CPU and working set of the node and of each container, and each container's
//! start. A value that is not a finite number of at least zero, or that no counter holds, is treated as absent; so is a
//! time before 1970 or after what 64 bits of nanoseconds hold. Of a series that comes twice the last one counts.
//!
//! A CPU counter of zero means two things by its [`Source`]: a kubelet writes zero for what it could not read, so upstream
//! withholds it; a Flyball collector leaves out what it could not read, so its zero is a container that has used nothing.
//!
//! A container that has ended (an init container that is done, one that waits for its restart) is told from one that was
//! only half read by its memory: nothing that runs has a working set of zero. Upstream hides the pod of either.

use std::collections::HashMap;

use flyball_model::samples::{Samples, View};

use crate::window::{Point, SECOND_NS};

const NODE_CPU: &str = "node_cpu_usage_seconds_total";
const NODE_MEMORY: &str = "node_memory_working_set_bytes";
const CONTAINER_CPU: &str = "container_cpu_usage_seconds_total";
const CONTAINER_MEMORY: &str = "container_memory_working_set_bytes";
const CONTAINER_START: &str = "container_start_time_seconds";
const MS_NS: i64 = 1_000_000;
const US_NS: i64 = 1000;
/// 2^64, the first number that no counter holds.
const COUNTER_LIMIT: f64 = 18_446_744_073_709_551_616.0;

/// Who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A kubelet.
    Kubelet,
    /// A Flyball collector.
    Collector,
}

/// What one answer of one node says. Names stand in the answer.
#[derive(Debug, Default, PartialEq)]
pub struct NodePoints<'a> {
    /// The node itself, when its sample is complete.
    pub node: Option<Point>,
    /// Each once, in the order of the answer.
    containers: Vec<ContainerPoint<'a>>,
}

/// Containers sorted by namespace, pod and name, each once.
#[derive(Debug, Default)]
pub struct SortedPoints<'a>(Vec<ContainerPoint<'a>>);

/// In which order the containers of a node's last answer had to be taken to be sorted: mostly that of the next one too.
#[derive(Debug, Clone, Default)]
pub struct Order(Box<[u32]>);

/// What one answer says of one container.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContainerPoint<'a> {
    /// Its pod's namespace.
    pub namespace: &'a str,
    /// Its pod.
    pub pod: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What was read of it.
    pub reading: Reading,
}

/// What was read of a container.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// CPU time and working set.
    Complete(Point),
    /// It does not run.
    Ended,
    /// One of the two is missing; as upstream, its whole pod is withheld.
    Half,
}

impl<'a> NodePoints<'a> {
    /// The containers, sorted. `order` is tried, and changed if it does not fit.
    pub fn sorted(&self, order: &mut Order) -> SortedPoints<'a> {
        let by_order =
            |order: &Order| SortedPoints(order.0.iter().map(|at| self.containers[*at as usize]).collect());
        // An order is that of as many containers, each once; sorted ones are then all of them.
        if order.0.len() == self.containers.len() {
            let points = by_order(order);
            if points.0.is_sorted_by(|one, next| one.key() < next.key()) {
                return points;
            }
        }
        let mut anew: Box<[u32]> = (0..self.containers.len() as u32).collect();
        anew.sort_unstable_by_key(|at| self.containers[*at as usize].key());
        *order = Order(anew);
        by_order(order)
    }
}

impl<'a> SortedPoints<'a> {
    /// The containers of each pod, pods by namespace and name.
    pub fn pods(&self) -> impl Iterator<Item = &[ContainerPoint<'a>]> {
        self.0.chunk_by(|one, next| one.pod == next.pod && one.namespace == next.namespace)
    }
}

impl<'a> ContainerPoint<'a> {
    fn key(&self) -> Key<'a> {
        (self.namespace, self.pod, self.name)
    }
}

/// A point while its lines are read.
#[derive(Debug, Clone, Copy, Default)]
struct Partial {
    timestamp_ns: Option<i64>,
    cpu_core_ns: Option<u64>,
    working_set_bytes: Option<u64>,
    start_ns: Option<i64>,
}

impl Partial {
    fn set_cpu(&mut self, sample: &View<'_>, default_ms: i64) {
        if let Some(value) = counted(sample.value * 1e9) {
            self.cpu_core_ns = Some(value);
            self.timestamp_ns = time_ns(sample, default_ms);
        }
    }

    fn set_memory(&mut self, sample: &View<'_>, default_ms: i64) {
        if let Some(value) = counted(sample.value) {
            self.working_set_bytes = Some(value);
            self.timestamp_ns = time_ns(sample, default_ms);
        }
    }

    /// Upstream's validity, but for the collector's true zero.
    fn complete(self, source: Source) -> Option<Point> {
        Some(Point {
            timestamp_ns: self.timestamp_ns?,
            cpu_core_ns: self.cpu_core_ns.filter(|used| *used != 0 || source == Source::Collector)?,
            working_set_bytes: self.working_set_bytes.filter(|bytes| *bytes != 0)?,
            start_ns: self.start_ns,
        })
    }

    fn reading(self, source: Source) -> Reading {
        match (self.complete(source), self.cpu_core_ns, self.working_set_bytes) {
            (Some(point), ..) => Reading::Complete(point),
            (None, _, Some(0)) | (None, None | Some(0), None) => Reading::Ended,
            _ => Reading::Half,
        }
    }
}

/// What a series measures.
#[derive(Clone, Copy)]
enum Family {
    NodeCpu,
    NodeMemory,
    ContainerCpu,
    ContainerMemory,
    ContainerStart,
    Other,
}

impl Family {
    fn of(name: &str) -> Family {
        match name {
            NODE_CPU => Family::NodeCpu,
            NODE_MEMORY => Family::NodeMemory,
            CONTAINER_CPU => Family::ContainerCpu,
            CONTAINER_MEMORY => Family::ContainerMemory,
            CONTAINER_START => Family::ContainerStart,
            _ => Family::Other,
        }
    }
}

/// A float to the integer below it; `None` for what cannot be a measurement.
fn counted(value: f64) -> Option<u64> {
    (value.is_finite() && (0.0..COUNTER_LIMIT).contains(&value)).then_some(value as u64)
}

fn time_ns(sample: &View<'_>, default_ms: i64) -> Option<i64> {
    let ms = sample.timestamp_ms.unwrap_or(default_ms);
    ms.checked_mul(MS_NS).filter(|ns| *ns > 0)
}

/// Reads the samples of one answer. `default_ms` stands in for missing timestamps: when the request was sent.
pub fn read(samples: &Samples, default_ms: i64, source: Source) -> NodePoints<'_> {
    let mut node = Partial::default();
    let mut containers = Containers::new(samples.label_sets());
    let (mut name, mut family) = ("", Family::Other);
    for sample in samples.iter() {
        // Samples of a family follow one another, and mostly have the very same text for a name.
        if !std::ptr::eq(sample.name, name) {
            (name, family) = (sample.name, Family::of(sample.name));
        }
        match family {
            Family::NodeCpu => node.set_cpu(&sample, default_ms),
            Family::NodeMemory => node.set_memory(&sample, default_ms),
            Family::ContainerCpu => containers.of(&sample, |partial| partial.set_cpu(&sample, default_ms)),
            Family::ContainerMemory => {
                containers.of(&sample, |partial| partial.set_memory(&sample, default_ms));
            }
            Family::ContainerStart => {
                containers.of(&sample, |partial| partial.start_ns = start_ns(sample.value));
            }
            Family::Other => {}
        }
    }
    NodePoints { node: node.complete(source), containers: containers.points(source) }
}

fn start_ns(seconds: f64) -> Option<i64> {
    let limit = (i64::MAX / SECOND_NS) as f64;
    // A float of seconds since 1970 holds microseconds; what it has below them is rounding, and would show in a window.
    let is_a_time = seconds.is_finite() && seconds > 0.0 && seconds < limit;
    let start_ns = is_a_time.then(|| (seconds * 1e6).round() as i64 * US_NS);
    start_ns.filter(|ns| *ns > 0)
}

/// Namespace, pod, container.
type Key<'a> = (&'a str, &'a str, &'a str);

/// The containers as their lines come. The labels of one are mostly one [set](View::label_set) in all families.
struct Containers<'a> {
    all: Vec<(Key<'a>, Partial)>,
    /// Where each stands; made when the first one comes out of order. In order, each is new.
    index: Option<HashMap<Key<'a>, usize>>,
    /// The container that each set of labels is of.
    of_set: Vec<OfSet>,
}

#[derive(Clone, Copy)]
enum OfSet {
    /// It was not met yet.
    Unknown,
    /// It names no container.
    None,
    At(u32),
}

/// Kubelets list a family by the values of its labels, in the order of their names.
fn listed((namespace, pod, name): Key<'_>) -> Key<'_> {
    (name, namespace, pod)
}

impl<'a> Containers<'a> {
    fn new(label_sets: usize) -> Containers<'a> {
        let of_set = vec![OfSet::Unknown; label_sets];
        Containers { all: Vec::with_capacity(label_sets), index: None, of_set }
    }

    /// Changes the container that a sample is about; a sample without all three labels is about none.
    fn of(&mut self, sample: &View<'a>, change: impl FnOnce(&mut Partial)) {
        let set = sample.label_set();
        if let OfSet::Unknown = self.of_set[set] {
            self.of_set[set] = match container_key(sample) {
                Some(key) => OfSet::At(self.position(key)),
                None => OfSet::None,
            };
        }
        if let OfSet::At(at) = self.of_set[set] {
            change(&mut self.all[at as usize].1);
        }
    }

    fn position(&mut self, key: Key<'a>) -> u32 {
        let in_order = self.all.last().is_none_or(|(last, _)| listed(*last) < listed(key));
        if self.index.is_none() && !in_order {
            self.index = Some(self.all.iter().enumerate().map(|(at, (key, _))| (*key, at)).collect());
        }
        let next = self.all.len();
        let at = self.index.as_mut().map_or(next, |index| *index.entry(key).or_insert(next));
        if at == next {
            self.all.push((key, Partial::default()));
        }
        at as u32
    }

    fn points(self, source: Source) -> Vec<ContainerPoint<'a>> {
        let point = |((namespace, pod, name), partial): (Key<'a>, Partial)| ContainerPoint {
            namespace,
            pod,
            name,
            reading: partial.reading(source),
        };
        self.all.into_iter().map(point).collect()
    }
}

fn container_key<'a>(sample: &View<'a>) -> Option<Key<'a>> {
    let (mut namespace, mut pod, mut name) = ("", "", "");
    for (label, value) in sample.labels() {
        match label {
            "namespace" => namespace = value,
            "pod" => pod = value,
            "container" => name = value,
            _ => {}
        }
    }
    let all_there = !namespace.is_empty() && !pod.is_empty() && !name.is_empty();
    all_there.then_some((namespace, pod, name))
}

#[cfg(test)]
mod tests {
    use flyball_model::exposition::Format;

    use super::*;

    fn readings(text: &str, source: Source) -> Vec<String> {
        let samples = Samples::read(text.to_owned(), Format::Text004).unwrap();
        let points = read(&samples, 7_000, source).sorted(&mut Order::default());
        let shown = points.pods().flatten().map(|point| {
            let what = match point.reading {
                Reading::Complete(point) => format!("{} {}", point.cpu_core_ns, point.working_set_bytes),
                Reading::Ended => "ended".to_owned(),
                Reading::Half => "half".to_owned(),
            };
            format!("{}/{}/{} {what}", point.namespace, point.pod, point.name)
        });
        shown.collect()
    }

    fn reading(cpu: &str, memory: &str, source: Source) -> String {
        let labels = r#"{namespace="n",pod="p",container="c"}"#;
        let line = |family: &str, value: &str| match value {
            "" => String::new(),
            _ => format!("{family}{labels} {value}\n"),
        };
        let text = line(CONTAINER_CPU, cpu) + &line(CONTAINER_MEMORY, memory) + &line(CONTAINER_START, "5");
        let [one] = readings(&text, source).try_into().unwrap();
        one.strip_prefix("n/p/c ").unwrap().to_owned()
    }

    #[test]
    fn a_start_that_no_clock_can_show_is_none() {
        let year_7357 = 169_999_012_345.0;
        for seconds in [year_7357, f64::MAX, f64::INFINITY, f64::NAN, 0.0, -1.0, 1e-12] {
            assert_eq!(start_ns(seconds), None, "{seconds}");
        }
        assert_eq!(start_ns(1_699_999_000.25), Some(1_699_999_000_250_000_000));
        assert!(start_ns(9_223_372_035.0).is_some());
    }

    #[test]
    fn ended_is_told_from_half_read() {
        for (id, cpu, memory, kubelet, collector) in [
            ("runs", "1.5", "4096", "1500000000 4096", "1500000000 4096"),
            ("start only", "", "", "ended", "ended"),
            ("done, counters kept", "1.5", "0", "ended", "ended"),
            ("done", "0", "0", "ended", "ended"),
            ("cpu not read", "", "4096", "half", "half"),
            ("cpu zero", "0", "4096", "half", "0 4096"),
            ("memory not read", "1.5", "", "half", "half"),
            ("NaN", "NaN", "4096", "half", "half"),
            ("negative", "1.5", "-4096", "half", "half"),
            ("infinite", "+Inf", "4096", "half", "half"),
            ("huge", "1e300", "4096", "half", "half"),
            ("huge memory", "1.5", "1e30", "half", "half"),
        ] {
            assert_eq!(reading(cpu, memory, Source::Kubelet), kubelet, "{id}");
            assert_eq!(reading(cpu, memory, Source::Collector), collector, "{id}");
        }
    }

    #[test]
    fn any_order_and_the_last_of_two() {
        let text = "\
            container_memory_working_set_bytes{pod=\"b\",namespace=\"n\",container=\"y\"} 2\n\
            container_cpu_usage_seconds_total{container=\"x\",namespace=\"n\",pod=\"a\"} 1\n\
            container_cpu_usage_seconds_total{container=\"y\",namespace=\"n\",pod=\"b\"} 3\n\
            container_cpu_usage_seconds_total{container=\"x\",namespace=\"n\",pod=\"a\"} 4\n\
            container_memory_working_set_bytes{namespace=\"n\",pod=\"a\",container=\"x\",id=\"/x\"} 5\n\
            container_memory_working_set_bytes{namespace=\"n\",pod=\"\",container=\"x\"} 5\n\
            container_memory_working_set_bytes{pod=\"a\",container=\"x\"} 5\n";
        assert_eq!(readings(text, Source::Kubelet), ["n/a/x 4000000000 5", "n/b/y 3000000000 2"]);
    }

    #[test]
    fn an_order_is_tried_and_mended() {
        let mut order = Order::default();
        let mut names = |pods: &str| -> String {
            let lines = pods
                .chars()
                .map(|pod| format!("{CONTAINER_CPU}{{container=\"x\",namespace=\"n\",pod=\"{pod}\"}} 1\n"));
            let samples = Samples::read(lines.collect(), Format::Text004).unwrap();
            let sorted = read(&samples, 7_000, Source::Kubelet).sorted(&mut order);
            sorted.pods().flatten().map(|point| point.pod).collect()
        };
        for (pods, expected) in [
            ("cab", "abc"),
            ("cab", "abc"),
            ("zxy", "xyz"),
            ("abc", "abc"),
            ("bc", "bc"),
            ("cba", "abc"),
            ("cbad", "abcd"),
            ("aab", "ab"),
        ] {
            assert_eq!(names(pods), expected, "{pods}");
        }
    }

    #[test]
    fn times_that_cannot_be() {
        let node = |time: &str| {
            let text =
                format!("node_cpu_usage_seconds_total 1 {time}\nnode_memory_working_set_bytes 1 {time}\n");
            let samples = Samples::read(text, Format::Text004).unwrap();
            read(&samples, 7_000, Source::Kubelet).node.map(|point| point.timestamp_ns)
        };
        assert_eq!(node(""), Some(7_000_000_000), "when it was asked");
        assert_eq!(node("8000"), Some(8_000_000_000));
        for time in ["0", "-5", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(node(time), None, "{time}");
        }
    }
}
