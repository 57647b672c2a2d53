//! `docs/adapter-metrics.md` is made of the collector's table and the adapter's own rules for what is scraped.
//! `FLYBALL_ACCEPT_GOLDEN=1 cargo test -p flyball-cli --test adapter_page` writes it anew.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test: reads and, when told to, writes a page"
)]

use std::path::Path;
use std::sync::Arc;

use flyball_adapter::automatic::{Options, TypedShape, add};
use flyball_adapter::explain::list;
use flyball_adapter::kinds::Kinds;
use flyball_adapter::rules::{Catalogue, SeriesShape};
use flyball_adapter::{external_without_rules, own_rate_window};
use flyball_collector::resource;

const HEAD: &str = "# Custom metrics of every cluster

Made from the tables in the source; do not edit. Without any configuration, and without any application that is scraped, the
adapter of `flyball server`, `flyball local` and `flyball demo` has these metrics, out of what it stores of the nodes
([history.md](history.md)). `NAMESPACE` and `NAME` stand for those of a request. What applications expose comes to it by the
same rules ([adapter.md](adapter.md)); `flyball adapter list` prints the same for what is there now.
";

/// The longest time between two samples of a store with default settings.
const SCRAPES: std::time::Duration = std::time::Duration::from_secs(15);

/// Labels that the store adds to the series of a node.
const TARGET: [&str; 4] = ["instance", "job", "metrics_path", "node"];

fn page() -> String {
    let kinds = Arc::new(Kinds::builtin());
    let shapes: Vec<TypedShape> = resource::metrics()
        .into_iter()
        .map(|metric| TypedShape {
            shape: SeriesShape::new(metric.name, metric.labels.iter().chain(&TARGET).copied()),
            kind: Some(metric.kind),
        })
        .collect();
    let options = Options { rate_window_ms: u64::try_from(own_rate_window(SCRAPES).as_millis()).unwrap() };
    let mut catalogue = Catalogue::of(&[], &external_without_rules(&shapes, options, &kinds), &kinds);
    add(&mut catalogue, &shapes, options, &kinds);
    let mut text = HEAD.to_owned();
    for (title, external) in [("custom.metrics.k8s.io", false), ("external.metrics.k8s.io", true)] {
        text += &format!("\n## {title}\n\n| metric | of | series | query |\n|---|---|---|---|\n");
        for one in list(&catalogue).iter().filter(|one| one.resource.is_none() == external) {
            let of = one.resource.as_ref().map_or("a namespace".to_owned(), ToString::to_string);
            let query = one.query.as_ref().unwrap();
            text += &format!("| `{}` | {of} | `{}` | `{query}` |\n", one.metric, one.series);
        }
    }
    text
}

#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/adapter-metrics.md");
    if std::env::var_os("FLYBALL_ACCEPT_GOLDEN").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page(), "{} is not what the tables say; see the head of this test", path.display());
}
