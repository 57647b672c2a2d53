//! `/metrics/resource` as a kubelet prints it.
//!
//! Families, help texts, order, labels, numbers and timestamps are those of kubernetes/kubernetes
//! `pkg/kubelet/metrics/collectors/resource_metrics.go` behind its registry: families by name, series by the values of
//! container, namespace and pod, numbers as Go prints floats. Swap series are left out, as on a node without swap, and so
//! is the `scrape_error` that releases hide. The test's text was printed by upstream's collector of v1.37.2.

use std::fmt::Write as _;

use super::meter::Reading;
use super::node::{ContainerRow, Node, PodKey};
use super::number::push_float;

/// The `Content-Type` of kubelets since 1.33.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

const CONTAINER_CPU: Family = Family {
    name: "container_cpu_usage_seconds_total",
    help: "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
    kind: "counter",
};
const CONTAINER_MEMORY: Family = Family {
    name: "container_memory_working_set_bytes",
    help: "[STABLE] Current working set of the container in bytes",
    kind: "gauge",
};
const CONTAINER_START: Family = Family {
    name: "container_start_time_seconds",
    help: "[STABLE] Start time of the container since unix epoch in seconds",
    kind: "gauge",
};
const NODE_CPU: Family = Family {
    name: "node_cpu_usage_seconds_total",
    help: "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
    kind: "counter",
};
const NODE_MEMORY: Family = Family {
    name: "node_memory_working_set_bytes",
    help: "[STABLE] Current working set of the node in bytes",
    kind: "gauge",
};
const POD_CPU: Family = Family {
    name: "pod_cpu_usage_seconds_total",
    help: "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
    kind: "counter",
};
const POD_MEMORY: Family = Family {
    name: "pod_memory_working_set_bytes",
    help: "[STABLE] Current working set of the pod in bytes",
    kind: "gauge",
};
const SCRAPE_ERROR: Family = Family {
    name: "resource_scrape_error",
    help: "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
    kind: "gauge",
};

struct Family {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
}

impl Family {
    fn head(&self, out: &mut String) {
        let _ = writeln!(out, "# HELP {} {}\n# TYPE {} {}", self.name, self.help, self.name, self.kind);
    }

    /// One series; `labels` with their braces, or empty.
    fn series(&self, out: &mut String, labels: &str, value: f64, timestamp_ms: Option<i64>) {
        out.push_str(self.name);
        out.push_str(labels);
        out.push(' ');
        push_float(out, value);
        if let Some(timestamp_ms) = timestamp_ms {
            let _ = write!(out, " {timestamp_ms}");
        }
        out.push('\n');
    }
}

/// The body of `node` for the readings at `at_ms`; its clock shows `skew_ms` more than ours.
#[must_use]
pub fn resource_metrics(node: &Node, at_ms: i64, skew_ms: i64) -> String {
    let rows = node.rows(at_ms);
    let pods = node.pod_rows(at_ms);
    // A series takes about 160 bytes; room for three a container, two a pod, and the heads.
    let mut out = String::with_capacity(2_048 + rows.len() * 480 + pods.len() * 320);
    let stamp = Some(at_ms + skew_ms);
    containers(&mut out, &rows, stamp, skew_ms);
    if let Some(reading) = node.reading(at_ms) {
        NODE_CPU.head(&mut out);
        NODE_CPU.series(&mut out, "", seconds(reading), stamp);
        NODE_MEMORY.head(&mut out);
        NODE_MEMORY.series(&mut out, "", bytes(reading), stamp);
    }
    pod_families(&mut out, &pods, stamp);
    SCRAPE_ERROR.head(&mut out);
    SCRAPE_ERROR.series(&mut out, "", 0.0, None);
    out
}

fn containers(out: &mut String, rows: &[ContainerRow<'_>], stamp: Option<i64>, skew_ms: i64) {
    if rows.is_empty() {
        return;
    }
    let labels: Vec<String> = rows.iter().map(container_labels).collect();
    CONTAINER_CPU.head(out);
    for (row, labels) in rows.iter().zip(&labels) {
        CONTAINER_CPU.series(out, labels, seconds(row.reading), stamp);
    }
    CONTAINER_MEMORY.head(out);
    for (row, labels) in rows.iter().zip(&labels) {
        CONTAINER_MEMORY.series(out, labels, bytes(row.reading), stamp);
    }
    CONTAINER_START.head(out);
    for (row, labels) in rows.iter().zip(&labels) {
        CONTAINER_START.series(out, labels, (row.started_ms + skew_ms) as f64 / 1e3, None);
    }
}

fn pod_families(out: &mut String, pods: &[(&PodKey, Reading)], stamp: Option<i64>) {
    if pods.is_empty() {
        return;
    }
    let labels: Vec<String> = pods.iter().map(|(pod, _)| pod_labels(pod)).collect();
    POD_CPU.head(out);
    for ((_, reading), labels) in pods.iter().zip(&labels) {
        POD_CPU.series(out, labels, seconds(*reading), stamp);
    }
    POD_MEMORY.head(out);
    for ((_, reading), labels) in pods.iter().zip(&labels) {
        POD_MEMORY.series(out, labels, bytes(*reading), stamp);
    }
}

fn container_labels(row: &ContainerRow<'_>) -> String {
    // Names of objects and containers have no character that would need escaping.
    format!("{{container=\"{}\",namespace=\"{}\",pod=\"{}\"}}", row.container, row.pod.0, row.pod.1)
}

fn pod_labels((namespace, pod): &PodKey) -> String {
    format!("{{namespace=\"{namespace}\",pod=\"{pod}\"}}")
}

fn seconds(reading: Reading) -> f64 {
    reading.cpu_ns as f64 / 1e9
}

fn bytes(reading: Reading) -> f64 {
    reading.bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelets::meter::{Meter, Usage};
    use crate::kubelets::node::Container;

    fn container(name: &str, started_ms: i64, nanocores: u64, bytes: u64) -> Container {
        Container {
            name: name.to_owned(),
            meter: Meter::new(started_ms, Usage { nanocores, bytes }),
            hidden: false,
        }
    }

    fn key(namespace: &str, pod: &str) -> PodKey {
        (namespace.to_owned(), pod.to_owned())
    }

    #[test]
    fn a_body_is_what_a_kubelet_prints() {
        let mut node = Node::new("n".to_owned(), 1_624_396_200_000);
        let web = vec![
            container("web", 1_624_396_268_302, 250_000_000, 64 << 20),
            container("log", 1_624_396_268_302, 1_000, 999_999),
        ];
        node.put(1_624_396_268_302, key("shop", "web-1"), web);
        node.put(1_624_396_268_302, key("ops", "web-2"), vec![container("web", 1_624_396_278_302, 0, 1)]);
        node.put(1_624_396_268_302, key("ops", "later"), vec![container("web", 1_624_396_278_303, 0, 1)]);
        assert_eq!(
            resource_metrics(&node, 1_624_396_278_302, 0),
            include_str!("../../testdata/resource_metrics.txt")
        );
    }

    #[test]
    fn a_skewed_clock_shifts_every_time() {
        let mut node = Node::new("n".to_owned(), 0);
        node.put(0, key("a", "b"), vec![container("c", 1_000, 1, 1)]);
        let text = resource_metrics(&node, 2_000, 60_000);
        assert!(
            text.contains("container_start_time_seconds{container=\"c\",namespace=\"a\",pod=\"b\"} 61\n"),
            "{text}"
        );
        assert!(text.contains("node_memory_working_set_bytes 5.36870913e+08 62000\n"), "{text}");
    }

    #[test]
    fn a_hidden_container_is_only_in_its_pod() {
        let mut node = Node::new("n".to_owned(), 0);
        node.put(0, key("a", "b"), vec![container("c", 0, 1_000_000_000, 1), container("d", 0, 0, 2)]);
        assert!(node.change(0, &key("a", "b"), "c", |container| container.hidden = true));
        let text = resource_metrics(&node, 2_000, 0);
        assert!(!text.contains("container=\"c\""), "{text}");
        assert!(text.contains("pod_memory_working_set_bytes{namespace=\"a\",pod=\"b\"} 3 2000\n"), "{text}");
    }
}
