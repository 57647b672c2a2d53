//! Huge pages.

use super::Family;
use crate::cadvisor::subject::{Place, Sink, Subject};
use crate::details::HugePages;
use crate::table::{Metric, Sets, Source};
use flyball_model::exposition::MetricType::{Counter, Gauge};
use flyball_model::exposition::Number::Count;

/// The rows.
pub(super) const FAMILIES: &[Family] = &[
    Family {
        metric: Metric {
            unit: None,
            sets: Sets::FULL,
            ..Metric::new(
                "container_hugetlb_failcnt",
                Counter,
                &["container", "id", "image", "name", "namespace", "pagesize", "pod"],
                "Number of hugepage usage hits limits",
                Source { v1: "hugetlb.SIZE.failcnt", v2: "hugetlb.SIZE.events max" },
            )
        },
        values: |s, sink| huge_pages(s, sink, |pages| pages.limit_hits),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_hugetlb_max_usage_bytes",
                Gauge,
                &["container", "id", "image", "name", "namespace", "pagesize", "pod"],
                "Maximum hugepage usages recorded in bytes",
                Source { v1: "hugetlb.SIZE.max_usage_in_bytes", v2: "none" },
            )
        },
        values: |s, sink| huge_pages(s, sink, |pages| pages.max_usage_bytes),
    },
    Family {
        metric: Metric {
            unit: Some("bytes"),
            sets: Sets::FULL,
            ..Metric::new(
                "container_hugetlb_usage_bytes",
                Gauge,
                &["container", "id", "image", "name", "namespace", "pagesize", "pod"],
                "Current hugepage usage in bytes",
                Source { v1: "hugetlb.SIZE.usage_in_bytes", v2: "hugetlb.SIZE.current" },
            )
        },
        values: |s, sink| huge_pages(s, sink, |pages| pages.usage_bytes),
    },
];

fn huge_pages(s: &Subject, sink: &mut Sink<'_>, field: fn(&HugePages) -> Option<u64>) {
    for pages in &s.details.hugetlb {
        let label = ("pagesize", &*pages.page_size);
        sink.put_labelled(s, Place::Last, label, field(pages).map(Count), Some(s.details.unix_ms));
    }
}
