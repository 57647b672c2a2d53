//! What scrapers get: the body of `/metrics/resource`, from the collector as it runs on a node.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use flyball_collector::layout::Qos;
use flyball_collector::names::{ContainerFacts, NameTable, PodFacts, PodName};
use flyball_collector::{Collector, Config, resource};
use flyball_model::exposition::Format;

use super::{MIB, OVERHEAD_BYTES, UID, about, id, sum};
use crate::evidence::Evidence;
use crate::groups::{DRIVERS, Tree};
use crate::running::Load;

const INTERVAL: Duration = Duration::from_millis(200);
/// Longest wait for a sweep that began after the load had told.
const SWEEP_LIMIT: Duration = Duration::from_secs(20);
const LABELS: &str = r#"container="app",namespace="shop",pod="web""#;
const POD_LABELS: &str = r#"namespace="shop",pod="web""#;

pub fn named_series_hold_the_numbers(evidence: &mut Evidence) -> anyhow::Result<()> {
    for driver in DRIVERS {
        let tree = Tree::new("export", driver);
        let group = tree.container(&tree.pod(Qos::Guaranteed, UID)?, &id(1))?;
        let mut burning = Load::start(&group, &["burn", "150"])?;
        let holding = Load::start(&group, &["memory", "20"])?;
        let config = Config { cgroup_root: tree.root(), interval: INTERVAL, ..Config::new("vm") };
        let collector = Collector::start(&config)?;
        evidence.equal("source", collector.agent.source().to_string().as_str(), "cgroup v2");
        let mut names = NameTable::default();
        names.apply(&facts());
        collector.names().publish(names);
        for round in 1..=2 {
            let consumed_ns = sum(&burning.cpu_ns()?, &holding.cpu_ns()?);
            let body = body_of_a_later_sweep(&collector)?;
            let value = |name: &str, labels: &str| value(&body, name, labels);
            let nanoseconds = |seconds: Option<f64>| seconds.map(|seconds| (seconds * 1e9) as u64);
            for (name, labels) in
                [("container_cpu_usage_seconds_total", LABELS), ("pod_cpu_usage_seconds_total", POD_LABELS)]
            {
                let shown_ns = nanoseconds(value(name, labels));
                let what = format!("{driver:?}, round {round}: {name}, ns");
                evidence.between(&what, shown_ns, about(&consumed_ns));
            }
            for (name, labels) in
                [("container_memory_working_set_bytes", LABELS), ("pod_memory_working_set_bytes", POD_LABELS)]
            {
                let shown = value(name, labels).map(|bytes| bytes as u64);
                evidence.near(name, shown, holding.told("bytes")?, 2 * OVERHEAD_BYTES);
            }
            evidence.equal(
                "container_swap_usage_bytes",
                value("container_swap_usage_bytes", LABELS),
                Some(0.0),
            );
            let start = value("container_start_time_seconds", LABELS);
            evidence.holds("container_start_time_seconds", start.is_some(), format!("{start:?}"));
            let node = value("node_memory_working_set_bytes", "").map(|bytes| bytes as u64);
            evidence.holds("node_memory_working_set_bytes", node > Some(20 * MIB), format!("{node:?}"));
            evidence.equal("scrape_error", value("scrape_error", ""), Some(0.0));
            burning.again()?;
        }
    }
    Ok(())
}

/// The API server's word on the pod.
fn facts() -> PodFacts {
    PodFacts {
        uid: UID.to_owned(),
        cgroup_uid: UID.to_owned(),
        name: PodName { namespace: "shop".to_owned(), pod: "web".to_owned() },
        containers: vec![ContainerFacts {
            name: "app".to_owned(),
            id: format!("containerd://{}", id(1)),
            ..ContainerFacts::default()
        }],
        sandboxes: Vec::new(),
        volumes: None,
    }
}

/// The body of a sweep that began after this call.
fn body_of_a_later_sweep(collector: &Collector) -> anyhow::Result<String> {
    let latest = collector.agent.latest();
    let seen = latest.get().sequence;
    let deadline = Instant::now() + SWEEP_LIMIT;
    loop {
        let sweep = latest.get();
        // The next one may have begun before.
        if sweep.sequence >= seen + 2 {
            return Ok(resource::render(&sweep, Format::Text004));
        }
        ensure!(
            Instant::now() < deadline,
            "no new sweep: {}",
            collector.agent.check_live().err().unwrap_or_default()
        );
        std::thread::sleep(INTERVAL / 10);
    }
}

/// The value of a series in the text format.
fn value(body: &str, name: &str, labels: &str) -> Option<f64> {
    let series = if labels.is_empty() { format!("{name} ") } else { format!("{name}{{{labels}}} ") };
    let line = body.lines().find_map(|line| line.strip_prefix(&series))?;
    line.split_whitespace().next().context("no value").ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn series_are_found_by_name_and_labels() {
        let body = "# TYPE a counter\na{x=\"1\"} 5.5 1700\na{x=\"2\"} 7\nb 3 1700\n";
        assert_eq!(value(body, "a", "x=\"2\""), Some(7.0));
        assert_eq!(value(body, "b", ""), Some(3.0));
        assert_eq!(value(body, "a", ""), None);
    }
}
