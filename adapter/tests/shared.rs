//! A shared query must answer what the exact queries answer: random rules over random series, evaluated both ways by our
//! own PromQL.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use flyball_adapter::config;
use flyball_adapter::kinds::{GroupResource, Kinds};
use flyball_adapter::rules::{
    Catalogue, CustomRequest, Grouped, NonFinite, QueryPlan, RuleSet, Sample, SeriesShape, Values,
};
use flyball_model::labels::Labels;
use flyball_model::selector::LabelSelector;
use flyball_tsdb::memory::MemorySource;
use flyball_tsdb::promql;
use flyball_tsdb::promql::engine::{Options, Unwatched, Value, instant};
use flyball_tsdb::series::Point;

const NOW_MS: i64 = 600_000;
const NAMESPACES: [&str; 3] = ["shop", "bank", "a.b"];
const PODS: [&str; 4] = ["web-1", "web-2", "a.b", "axb"];

/// Series of three names, some without one of the labels.
fn series(random: &mut fastrand::Rng) -> MemorySource {
    let mut store = MemorySource::default();
    for name in ["x", "y", "x_bucket"] {
        for _ in 0..random.usize(5..40) {
            let mut labels = vec![("__name__", name)];
            for (label, values) in [("namespace", &NAMESPACES[..]), ("pod", &PODS), ("code", &["200", "500"])]
            {
                if random.u8(..8) > 0 {
                    labels.push((label, values[random.usize(..values.len())]));
                }
            }
            if name == "x_bucket" {
                labels.push(("le", ["0.1", "1", "+Inf"][random.usize(..3)]));
            }
            let labels = Arc::new(Labels::from_pairs(labels).unwrap());
            let mut value = 0.0;
            for step in 0..20 {
                value += f64::from(random.u8(..10));
                store.add(&labels, Point { timestamp_ms: NOW_MS - 300_000 + step * 15_000, value });
            }
        }
    }
    store
}

/// A query by chance; `M` stands for the conditions, `G` for the labels of the object.
fn query(random: &mut fastrand::Rng, depth: usize) -> String {
    let leaf = [
        "x{M}",
        "y{M}",
        "rate(x{M}[2m])",
        "x{M,code=\"500\"}",
        "increase(y{M,code!=\"\"}[1m])",
        "y{pod=\"web-1\"}",
        "3",
    ];
    if depth == 0 {
        return leaf[random.usize(..leaf.len())].into();
    }
    let mut inner = || query(random, depth - 1);
    let (a, b) = (inner(), inner());
    match random.u8(..22) {
        0..7 => format!("sum({a}) by (G)"),
        7 => format!("max by (G,code) ({a})"),
        8 => format!("avg without (code) ({a})"),
        9 => format!("count({a}) by (code)"),
        10 => format!("sum({a}) by (G) / sum({b}) by (G)"),
        11 => format!("({a}) + on (G,code) ({b})"),
        12 => format!("({a}) / ignoring (code) ({b})"),
        13 => format!("({a}) * on (G) group_left () sum({b}) by (G)"),
        14 => format!("({a}) or ({b})"),
        15 => format!("({a}) unless on (G) ({b})"),
        16 => format!("topk by (G) (1, {a})"),
        17 => format!("topk(2, {a})"),
        18 => "histogram_quantile(0.9, sum(rate(x_bucket{M}[2m])) by (le,G))".into(),
        19 => format!("max_over_time(({a})[2m:30s])"),
        20 => format!("clamp_min({a}, 2) > 1"),
        _ => format!("label_replace({a}, \"pod\", \"web-1\", \"code\", \"500\")"),
    }
}

fn ask(store: &MemorySource, text: &str) -> Result<Vec<Sample>, String> {
    let expr = promql::parse(text).map_err(|error| error.to_string())?;
    let options = Options::default();
    match instant(store, &expr, NOW_MS, &options, &Unwatched).map_err(|error| error.to_string())?.value {
        Value::Vector(series) => {
            let sample = |series: flyball_tsdb::promql::engine::ResultSeries| {
                let point = series.points[0];
                Sample { labels: series.labels, timestamp_ms: point.timestamp_ms, value: point.value }
            };
            Ok(series.into_iter().map(sample).collect())
        }
        other => Err(format!("{other:?} is no vector")),
    }
}

fn plan(catalogue: &Catalogue, namespace: &str, pod: &str) -> Option<QueryPlan> {
    let request = CustomRequest {
        metric: "m",
        resource: &GroupResource::new("", "pods"),
        namespace: Some(namespace),
        names: &[pod.to_owned()],
        metric_selector: &LabelSelector::everything(),
    };
    catalogue.plan_custom(&request).ok()
}

#[test]
fn shared_answers_are_the_exact_ones() {
    let kinds = Arc::new(Kinds::builtin());
    let mut random = fastrand::Rng::with_seed(7);
    let (mut compared, mut with_values, mut alone) = (0, 0, 0);
    for _ in 0..60 {
        let store = series(&mut random);
        let template = query(&mut random, 2).replace('M', "<<.LabelMatchers>>").replace('G', "<<.GroupBy>>");
        let text = format!(
            "rules:\n- seriesQuery: x\n  name: {{as: m}}\n  resources: {{template: <<.Resource>>}}\n  metricsQuery: '{template}'\n"
        );
        let rules = RuleSet::compile(&config::parse(&text).unwrap(), &kinds).unwrap();
        let shape = SeriesShape::new("x", ["namespace", "pod", "code"]);
        let catalogue = Catalogue::of(&[(rules.custom[0].clone(), vec![shape])], &[], &kinds);
        for namespace in NAMESPACES {
            for pod in PODS {
                let Some(plan) = plan(&catalogue, namespace, pod) else { continue };
                let Some(shared) = &plan.shared else {
                    alone += 1;
                    continue;
                };
                let Ok(exact) = ask(&store, &plan.promql) else { continue };
                let some = shared.in_namespaces([namespace, "bank"].into_iter());
                let names = [pod.to_owned()];
                let values = |samples: &[Sample], label: Option<&str>| {
                    Grouped::of(samples, &plan.object_label, label).values(
                        Some(namespace),
                        &names,
                        NonFinite::LeaveOut,
                    )
                };
                let exact = values(&exact, None);
                with_values +=
                    usize::from(exact.as_ref().is_ok_and(|values: &Values| !values.items.is_empty()));
                let exact = exact.map(shown);
                for query in [Some(&shared.promql), some.as_ref()].into_iter().flatten() {
                    // Other objects can make the shared query fail where the exact one does not.
                    let Ok(wide) = ask(&store, query) else { continue };
                    let wide = values(&wide, shared.namespace_label.as_deref()).map(shown);
                    compared += 1;
                    assert_eq!(wide, exact, "{namespace}/{pod}: {}\n{query}", plan.promql);
                }
            }
        }
    }
    assert!(compared > 80 && with_values > 20 && alone > 80, "{compared}, {with_values}, {alone}");
}

/// NaN is unequal to itself, so values are compared as text.
fn shown(values: Values) -> String {
    format!("{values:?}")
}
