//! External metrics without a configuration: every counter of a namespace as the sum of its rates (`X_per_second`), every gauge
//! as its sum, by the label selector of the request. Pure.
//!
//! They are rules as a file could have them, made once; which series belong to which is told by what the targets say of
//! their metrics, else by the names.

use std::collections::BTreeMap;
use std::sync::Arc;

use flyball_model::exposition::MetricType;

use crate::automatic::{Options, TypedShape, namespace_label, namespace_labels};
use crate::config::{ConfigError, ConfiguredResource, DiscoveryRule, ResourceMapping, Text};
use crate::kinds::Kinds;
use crate::rules::{Rule, SeriesShape};

/// Endings of the parts of histograms and summaries, which mean nothing when they are added up as they are.
const PARTS: [&str; 3] = ["_bucket", "_count", "_sum"];

/// The rules, by the label that names the namespace: scrapers and programs call it differently.
#[derive(Debug, Clone)]
pub(super) struct Unwritten(BTreeMap<String, Pair>);

#[derive(Debug, Clone)]
struct Pair {
    counters: Arc<Rule>,
    gauges: Arc<Rule>,
}

impl Unwritten {
    /// # Errors
    /// A rule is none, which a test rules out.
    pub(super) fn new(options: Options, kinds: &Arc<Kinds>) -> Result<Unwritten, Vec<ConfigError>> {
        let pairs = namespace_labels().map(|label| Ok((label.clone(), Pair::new(&label, options, kinds)?)));
        pairs.collect::<Result<_, _>>().map(Unwritten)
    }

    /// The rules with the series that belong to each.
    pub(super) fn of(&self, shapes: &[TypedShape]) -> Vec<(Arc<Rule>, Vec<SeriesShape>)> {
        let mut found: BTreeMap<String, (Vec<SeriesShape>, Vec<SeriesShape>)> = BTreeMap::new();
        for typed in shapes {
            let Some(label) = namespace_label(&typed.shape.labels) else { continue };
            let (counters, gauges) = found.entry(label).or_default();
            match is_counter(typed) {
                Some(true) => counters.push(typed.shape.clone()),
                Some(false) => gauges.push(typed.shape.clone()),
                None => {}
            }
        }
        let pairs = found.into_iter().filter_map(|(label, shapes)| Some((self.0.get(&label)?, shapes)));
        pairs
            .flat_map(|(pair, (counters, gauges))| {
                [(pair.counters.clone(), counters), (pair.gauges.clone(), gauges)]
            })
            .collect()
    }
}

/// The rules with the series that belong to each, for pages about what there is without a configuration.
pub fn external_without_rules(
    shapes: &[TypedShape],
    options: Options,
    kinds: &Arc<Kinds>,
) -> Vec<(Arc<Rule>, Vec<SeriesShape>)> {
    Unwritten::new(options, kinds).map(|unwritten| unwritten.of(shapes)).unwrap_or_default()
}

/// Whether it is a counter, else a gauge; `None` for what means nothing when it is added up.
fn is_counter(typed: &TypedShape) -> Option<bool> {
    let name = &typed.shape.name;
    match typed.kind {
        Some(MetricType::Counter) => Some(true),
        Some(MetricType::Gauge) => Some(false),
        Some(_) => None,
        None if name.ends_with("_total") => Some(true),
        None if PARTS.iter().any(|part| name.ends_with(part)) || name.ends_with("_created") => None,
        None => Some(false),
    }
}

impl Pair {
    fn new(label: &str, options: Options, kinds: &Arc<Kinds>) -> Result<Pair, Vec<ConfigError>> {
        let window_ms = options.rate_window_ms;
        let rate = format!("sum(rate(<<.Series>>{{<<.LabelMatchers>>}}[{window_ms}ms]))");
        let rule = |matches: &str, name: &str, query: &str| {
            let text = |value: &str| Text { value: value.to_owned(), line: 0 };
            let namespace =
                ConfiguredResource { resource: "namespace".to_owned(), ..ConfiguredResource::default() };
            let rule = DiscoveryRule {
                series_query: text(&format!("{{{label}!=\"\"}}")),
                resources: ResourceMapping {
                    overrides: BTreeMap::from([(label.to_owned(), namespace)]),
                    ..ResourceMapping::default()
                },
                name_matches: text(matches),
                name_as: text(name),
                metrics_query: text(query),
                ..DiscoveryRule::default()
            };
            Rule::compile(&rule, kinds).map(Arc::new)
        };
        Ok(Pair {
            counters: rule("^(.*?)(?:_total)?$", "${1}_per_second", &rate)?,
            gauges: rule("", "", "sum(<<.Series>>{<<.LabelMatchers>>})")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use flyball_model::selector::LabelSelector;

    use super::*;
    use crate::rules::Catalogue;

    #[test]
    fn counters_and_gauges_of_a_namespace() {
        let kinds = Arc::new(Kinds::builtin());
        let unwritten = Unwritten::new(Options { rate_window_ms: 120_000 }, &kinds).unwrap();
        let typed = |name: &str, labels: &[&str], kind| TypedShape {
            shape: SeriesShape::new(name, labels.iter().copied()),
            kind,
        };
        let shapes = [
            typed("jobs_total", &["namespace", "queue"], None),
            typed("odd", &["namespace"], Some(MetricType::Counter)),
            typed("depth", &["namespace"], None),
            typed("latency_bucket", &["namespace", "le"], None),
            typed("latency", &["namespace"], Some(MetricType::Histogram)),
            typed("of_nodes", &["node"], Some(MetricType::Gauge)),
            typed("otel", &["k8s_namespace_name"], Some(MetricType::Gauge)),
            typed("told", &["namespace", "exported_namespace"], Some(MetricType::Gauge)),
        ];
        let catalogue = Catalogue::of(&[], &unwritten.of(&shapes), &kinds);
        let names: Vec<_> = catalogue.external_metrics().collect();
        assert_eq!(names, ["depth", "jobs_per_second", "odd_per_second", "otel", "told"]);
        let selector = LabelSelector::parse("queue=mail").unwrap();
        let plan = catalogue.plan_external("jobs_per_second", "shop", &selector).unwrap();
        assert_eq!(plan.promql, r#"sum(rate(jobs_total{queue="mail",namespace="shop"}[120000ms]))"#);
        assert_eq!(plan.rule.line(), 0);
        assert!(flyball_tsdb::promql::parse(&plan.promql).is_ok());
        let query = |metric: &str| {
            catalogue.plan_external(metric, "shop", &LabelSelector::everything()).unwrap().promql
        };
        assert_eq!(query("otel"), r#"sum(otel{k8s_namespace_name="shop"})"#);
        assert_eq!(query("told"), r#"sum(told{exported_namespace="shop"})"#, "whom it tells of");
    }
}
