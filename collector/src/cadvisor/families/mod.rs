//! The families of `/metrics/cadvisor`, in the order in which they are written.
//!
//! Names, help texts and types: google/cadvisor `lib/metrics/prometheus.go`. Of its families for the kubelet's kinds those are
//! left out that are constant on every kubelet (load averages, task states, health). What only old block schedulers tell of
//! groups (merged requests, sectors, times) is shown of the machine alone, in the units that the names promise.

use super::subject::{Sink, Subject};
use crate::parse::Limit;
use crate::table::{Metric, Sets, Source};
use flyball_model::exposition::MetricType;
use flyball_model::exposition::Number::{self, Scaled};
use std::sync::LazyLock;

mod cpu;
mod disks;
mod huge_pages;
mod lifetime;
mod limits;
mod memory;
mod network;
mod pressure;
mod tasks;

/// A row and how its values are taken from a group.
pub struct Family {
    /// The row.
    pub metric: Metric,
    /// Writes the group's values, if it has any.
    pub values: Values,
}

type Values = fn(&Subject, &mut Sink<'_>);

impl Family {
    const fn new(
        name: &'static str,
        kind: MetricType,
        help: &'static str,
        source: Source,
        values: Values,
    ) -> Family {
        Family { metric: Metric::new(name, kind, GROUP, help, source), values }
    }

    const fn counter(name: &'static str, help: &'static str, source: Source, values: Values) -> Family {
        Family::new(name, MetricType::Counter, help, source, values)
    }

    const fn gauge(name: &'static str, help: &'static str, source: Source, values: Values) -> Family {
        Family::new(name, MetricType::Gauge, help, source, values)
    }

    /// With these labels in place of the common ones.
    const fn labels(mut self, labels: &'static [&'static str]) -> Family {
        self.metric.labels = labels;
        self
    }

    const fn unit(mut self, unit: &'static str) -> Family {
        self.metric.unit = Some(unit);
        self
    }

    /// Also in the set of the dashboards.
    const fn dashboards(mut self) -> Family {
        self.metric.sets = self.metric.sets.and(Sets::DASHBOARDS);
        self
    }

    /// Also in the set of a kubelet's `/metrics/resource`.
    const fn resource(mut self) -> Family {
        self.metric.sets = self.metric.sets.and(Sets::RESOURCE);
        self
    }
}

/// All of them, by name.
pub static FAMILIES: LazyLock<Vec<&'static Family>> = LazyLock::new(|| {
    let tables = [
        cpu::FAMILIES,
        disks::FAMILIES,
        huge_pages::FAMILIES,
        lifetime::FAMILIES,
        limits::FAMILIES,
        memory::FAMILIES,
        network::FAMILIES,
        pressure::FAMILIES,
        tasks::FAMILIES,
    ];
    let mut all: Vec<&Family> = tables.into_iter().flatten().collect();
    all.sort_unstable_by_key(|family| family.metric.name);
    all
});

/// Labels of every series.
const GROUP: &[&str] = &["container", "id", "image", "name", "namespace", "pod"];

/// A value of the slower tier.
fn details(s: &Subject, sink: &mut Sink<'_>, value: Option<Number>) {
    sink.put(s, value, Some(s.details.unix_ms));
}

fn seconds(ns: Option<u64>) -> Option<Number> {
    ns.map(|ns| Scaled(ns, 9))
}

/// cAdvisor's way of saying that there is no limit.
fn none_is_zero(limit: Option<Limit>) -> Option<u64> {
    Some(match limit? {
        Limit::Bytes(value) => value,
        Limit::Unlimited => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    #[test]
    fn the_table_is_whole() {
        let rows: Vec<Metric> = FAMILIES.iter().map(|family| family.metric).collect();
        // cAdvisor's own names.
        let exceptions =
            ["container_memory_failcnt", "container_hugetlb_failcnt", "container_fs_inodes_total"];
        assert_eq!(table::faults(&rows, &exceptions), Vec::<String>::new());
        assert!(rows.is_sorted_by(|a, b| a.name < b.name));
    }
}
