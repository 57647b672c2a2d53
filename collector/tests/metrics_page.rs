#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test: reads and, when told to, writes a page"
)]
//! `docs/metrics.md` is made of the tables that the endpoints are written from. `FLYBALL_ACCEPT_GOLDEN=1 cargo test --workspace`
//! writes it anew.

mod cost;

use flyball_collector::table::{Metric, markdown};
use flyball_collector::{cadvisor, node_exporter, resource, summary};
use std::path::Path;

const HEAD: &str = "# Metrics of the collector

Made from the tables in the source; do not edit. A family is absent where the machine or the group does not have its
file: absent is not zero. `--metrics` chooses a set (resource, dashboards, full) or names of families for
`/metrics/cadvisor`, `--drop-labels` leaves out `id`, `image` or `name`.

What each family costs in series stands at the end.

Of what a kubelet's `/metrics/cadvisor` has, left out are the families that never change there: load averages, task states and
health of containers (`container_cpu_load_average_10s`, `container_cpu_load_d_average_10s`, `container_tasks_state`,
`container_health_state`), and of machines what few have (`machine_cpu_books`, `machine_cpu_drawers`, `machine_dimm_*`,
`machine_nvm_*`).
";

const SUMMARY: &str = "## `/stats/summary`

Fields by their path below a node, a pod or a container. `<place>` is `fs`, `runtime.imageFs`, `runtime.containerFs`, `rootfs`,
`logs`, `volume` or `ephemeral-storage`.
";

fn fields() -> String {
    let mut text = "| field | from | of the node |\n|---|---|---|\n".to_owned();
    for row in &summary::ROWS {
        let from = match (row.source.v1, row.source.v2) {
            (v1, v2) if v1 == v2 => v1.to_owned(),
            (v1, v2) => format!("v1: {v1}; v2: {v2}"),
        };
        let of_node = summary::node_words(row.name).unwrap_or_default();
        text += &format!("| `{}` | {from} | {of_node} |\n", row.name);
    }
    text
}

fn page() -> String {
    let rows = |metrics: &[&Metric]| markdown(&metrics.iter().map(|metric| **metric).collect::<Vec<_>>());
    format!(
        "{HEAD}\n## `/metrics/resource`\n\n{}\n## `/metrics/cadvisor`\n\n{}\n{SUMMARY}\n{}\n{}\n{}",
        rows(&resource::metrics()),
        rows(&cadvisor::metrics()),
        fields(),
        node_exporter::PAGE,
        rows(&node_exporter::metrics())
    ) + &cost::page()
}

#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    if std::env::var_os("FLYBALL_ACCEPT_GOLDEN").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page(), "{} is not what the tables say; see the head of this test", path.display());
}
