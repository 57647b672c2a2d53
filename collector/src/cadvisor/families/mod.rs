//! The families of `/metrics/cadvisor`, in the order in which they are written.
//!
//! Names, help texts and types: google/cadvisor `lib/metrics/prometheus.go`. Of its families for the kubelet's kinds those are
//! left out that are constant on every kubelet (load averages, task states, health). What only old block schedulers tell of
//! groups (merged requests, sectors, times) is shown of the machine alone, in the units that the names promise.

use super::subject::{Sink, Subject};
use crate::parse::Limit;
use crate::table::Metric;
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
    pub values: fn(&Subject, &mut Sink<'_>),
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
