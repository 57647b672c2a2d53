//! Configuration files of the adapter: whatever stands in one, it is read or refused with a line and a reason; its rules
//! make metrics of series or say why not; and every question about these has a query or an answer in words.

#![no_main]

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use flyball_adapter::automatic::{self, TypedShape};
use flyball_adapter::config::{self, ConfigError};
use flyball_adapter::explain;
use flyball_adapter::kinds::Kinds;
use flyball_adapter::rules::{
    Catalogue, CustomMetric, CustomRequest, Rule, RuleSet, SeriesShape, UsageRules,
};
use flyball_adapter::schedule::Schedules;
use flyball_model::selector::LabelSelector;
use libfuzzer_sys::fuzz_target;

/// Noon of a working day, midnight of the year 1, and what no calendar holds.
const TIMES_MS: [i64; 4] = [1_700_000_000_000, -62_135_596_800_000, i64::MIN, i64::MAX];

static KINDS: LazyLock<Arc<Kinds>> = LazyLock::new(|| Arc::new(Kinds::builtin()));

fn shapes() -> Vec<SeriesShape> {
    vec![
        SeriesShape::new("http_requests_total", ["namespace", "pod", "code"]),
        SeriesShape::new("queue_depth", ["kubernetes_namespace", "kubernetes_pod_name", "service"]),
        SeriesShape::new("container_cpu_usage_seconds_total", ["namespace", "pod", "container"]),
        SeriesShape::new("node:load\"1\"", ["instance", "node"]),
    ]
}

fuzz_target!(|text: &str| {
    // A lone carriage return ends a line of YAML, too.
    let lines = text.split(['\n', '\r']).count() as u64 + 1;
    let said = |error: &ConfigError| {
        assert!(error.line >= 1 && error.line <= lines && !error.message.is_empty(), "{error}");
    };
    let config = match config::parse(text) {
        Ok(config) => config,
        Err(error) => return said(&error),
    };
    let (rules, errors) = RuleSet::compile_each(&config, &KINDS);
    errors.iter().for_each(said);
    match Schedules::compile(&config) {
        Ok(schedules) => values(&schedules),
        Err(errors) => errors.iter().for_each(said),
    }
    if let Some(rules) = &config.resource_rules {
        match UsageRules::compile(rules, &KINDS) {
            Ok(usage) => drop((usage.pods("a\"b", &["web-0".to_owned()]), usage.nodes(&[".*".to_owned()]))),
            Err(errors) => errors.iter().for_each(said),
        }
    }
    let shapes = shapes();
    let with_shapes =
        |rules: &[Arc<Rule>]| rules.iter().map(|rule| (rule.clone(), shapes.clone())).collect::<Vec<_>>();
    let mut catalogue = Catalogue::of(&with_shapes(&rules.custom), &with_shapes(&rules.external), &KINDS);
    let typed: Vec<TypedShape> =
        shapes.iter().map(|shape| TypedShape { shape: shape.clone(), kind: None }).collect();
    automatic::add(&mut catalogue, &typed, automatic::Options { rate_window_ms: 60_000 }, &KINDS);
    questions(&catalogue);
    for rule in rules.custom.iter().chain(&rules.external) {
        let _ = (explain::check(rule, &shapes, true, &KINDS), explain::verdict(rule, &shapes, "x"));
    }
});

fn values(schedules: &Schedules) {
    for metric in schedules.metrics() {
        for now_ms in TIMES_MS {
            let _ = schedules.values(metric, "shop", &LabelSelector::default(), now_ms);
        }
    }
}

fn questions(catalogue: &Catalogue) {
    let names = ["web-0".to_owned(), "a\"} or vector(1) or {b=\"".to_owned()];
    let selector = LabelSelector::parse("code in (500, 503),!debug").unwrap_or_default();
    let metrics: BTreeSet<&CustomMetric> = catalogue.custom_metrics().collect();
    for metric in metrics {
        for metric_selector in [&LabelSelector::default(), &selector] {
            let request = CustomRequest {
                metric: &metric.metric,
                resource: &metric.resource,
                namespace: metric.namespaced.then_some("sh\"op"),
                names: &names,
                metric_selector,
            };
            if let Ok(plan) = catalogue.plan_custom(&request) {
                assert!(!plan.promql.is_empty() && !plan.object_label.is_empty(), "{plan:?}");
            }
        }
    }
    for metric in catalogue.external_metrics() {
        let _ = catalogue.plan_external(metric, "shop", &selector);
    }
}
