//! Huge pages.

use super::Family;
use crate::cadvisor::subject::{Place, Sink, Subject};
use crate::details::HugePages;
use crate::table::Source;
use flyball_model::exposition::Number::Count;

/// Labels of what is counted by size of page.
const PAGE_SIZE: &[&str] = &["container", "id", "image", "name", "namespace", "pagesize", "pod"];

/// The rows.
pub(super) const FAMILIES: &[Family] = &[
    Family::counter(
        "container_hugetlb_failcnt",
        "Number of hugepage usage hits limits",
        Source { v1: "hugetlb.SIZE.failcnt", v2: "hugetlb.SIZE.events max" },
        |s, sink| huge_pages(s, sink, |pages| pages.limit_hits),
    )
    .labels(PAGE_SIZE),
    Family::gauge(
        "container_hugetlb_max_usage_bytes",
        "Maximum hugepage usages recorded in bytes",
        Source { v1: "hugetlb.SIZE.max_usage_in_bytes", v2: "none" },
        |s, sink| huge_pages(s, sink, |pages| pages.max_usage_bytes),
    )
    .labels(PAGE_SIZE)
    .unit("bytes"),
    Family::gauge(
        "container_hugetlb_usage_bytes",
        "Current hugepage usage in bytes",
        Source { v1: "hugetlb.SIZE.usage_in_bytes", v2: "hugetlb.SIZE.current" },
        |s, sink| huge_pages(s, sink, |pages| pages.usage_bytes),
    )
    .labels(PAGE_SIZE)
    .unit("bytes"),
];

fn huge_pages(s: &Subject, sink: &mut Sink<'_>, field: fn(&HugePages) -> Option<u64>) {
    for pages in &s.details.hugetlb {
        let label = ("pagesize", &*pages.page_size);
        sink.put_labelled(s, Place::Last, label, field(pages).map(Count), Some(s.details.unix_ms));
    }
}
