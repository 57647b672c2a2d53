use std::sync::Arc;

use flyball_model::labels::Labels;
use flyball_model::selector::LabelSelector;

use super::*;
use crate::config;
use crate::kinds::Kinds;
use crate::rules::{NonFinite, RuleSet, Sample, SeriesShape};

const RULES: &str = r#"
rules:
- seriesQuery: '{namespace!=""}'
  seriesFilters:
  - isNot: ^container_
  resources: {template: <<.Resource>>}
  name: {matches: ^(.*)_total$, as: "${1}_per_second"}
  metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)
- seriesQuery: queue
  resources: {overrides: {namespace: {resource: namespace}}}
  metricsQuery: max(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>
externalRules:
- seriesQuery: depth
  resources: {namespaced: false}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>})
"#;

struct Setting {
    kinds: Arc<Kinds>,
    custom: Vec<(Arc<Rule>, Vec<SeriesShape>)>,
    external: Vec<(Arc<Rule>, Vec<SeriesShape>)>,
    catalogue: Catalogue,
}

fn setting() -> Setting {
    let kinds = Arc::new(Kinds::builtin());
    let rules = RuleSet::compile(&config::parse(RULES).unwrap(), &kinds).unwrap();
    let pod = ["namespace", "pod", "zone"];
    let first = vec![
        SeriesShape::new("http_requests_total", pod),
        SeriesShape::new("hits_total", pod),
        SeriesShape::new("container_restarts_total", pod),
        SeriesShape::new("lonely_total", ["color"]),
        SeriesShape::new("gauge", pod),
    ];
    let queue = vec![SeriesShape::new("queue", ["namespace"])];
    let custom = vec![(rules.custom[0].clone(), first), (rules.custom[1].clone(), queue)];
    let external = vec![(rules.external[0].clone(), vec![SeriesShape::new("depth", ["topic"])])];
    let catalogue = Catalogue::of(&custom, &external, &kinds);
    Setting { kinds, custom, external, catalogue }
}

fn sample(pod: &str, value: f64) -> Sample {
    Sample { labels: Arc::new(Labels::from_pairs([("pod", pod)]).unwrap()), timestamp_ms: 0, value }
}

#[test]
fn a_404_says_why_and_what_is_near() {
    let Setting { catalogue, kinds, .. } = setting();
    let missing = |resource: &str, namespaced: bool, metric: &str| {
        missing_custom(&catalogue, &GroupResource::parse(resource), namespaced, metric)
    };
    for (sentence, expected) in [
        (
            missing("pods", true, "http_request_per_second"),
            "no rule gives http_request_per_second; the nearest names are http_requests_per_second",
        ),
        (
            missing("pods", true, "http_requests"),
            "no rule gives http_requests; the nearest names are http_requests_per_second",
        ),
        (
            missing("pods", true, "http_requests_total"),
            "the series http_requests_total is served for pods as http_requests_per_second",
        ),
        (missing("pods", true, "zzzzzzzzzzzz"), "no rule gives zzzzzzzzzzzz, and no name is near it"),
        (
            missing("services", true, "hits_per_second"),
            "hits_per_second exists for namespaces, pods, but its series has no label that names services",
        ),
        (
            missing("pods", false, "hits_per_second"),
            "hits_per_second of pods is in a namespace: ask for it there",
        ),
        (missing("things", true, "hits"), "the cluster has no resource things"),
        (missing_external(&catalogue, "deph", &["floor"]), "no rule gives deph; the nearest names are depth"),
        (missing_external(&catalogue, "flor", &["floor"]), "no rule gives flor; the nearest names are floor"),
        (
            missing_custom(&Catalogue::empty(&kinds), &GroupResource::parse("pods"), true, "x"),
            "no rule gives x: no rule matches any series now",
        ),
    ] {
        assert_eq!(sentence, expected);
    }
}

#[test]
fn the_list_says_metric_objects_and_query() {
    let Setting { catalogue, .. } = setting();
    let lines: Vec<String> = list(&catalogue)
        .iter()
        .map(|line| {
            let resource = line.resource.as_ref().map_or("-".into(), ToString::to_string);
            format!(
                "{} {resource} {} {} {}",
                line.metric,
                line.namespaced,
                line.rule,
                line.query.as_ref().unwrap()
            )
        })
        .collect();
    assert!(lines.contains(&"hits_per_second pods true line 3 sum(rate(hits_total{namespace=\"NAMESPACE\",pod=\"NAME\"}[2m])) by (pod)".to_owned()));
    assert!(
        lines.contains(
            &"queue namespaces false line 9 max(queue{namespace=\"NAME\"}) by (namespace".to_owned()
        )
    );
    assert_eq!(lines.last().unwrap(), "depth - true line 13 sum(depth{})");
}

#[test]
fn a_check_says_what_a_rule_matches() {
    let Setting { kinds, custom, external, .. } = setting();
    let first = check(&custom[0].0, &custom[0].1, false, &kinds);
    assert!(first.is_good());
    let text = first.to_string();
    for line in [
        "line 3: {namespace!=\"\"}",
        "  5 names of series",
        "  kept out by isNot: ^container_: container_restarts_total",
        "  kept out by is: ^(.*)_total$: gauge",
        "  without a label that names an object, so without a metric: lonely_total",
        "  labels of the template's form that name no resource of the cluster: color (color), zone (zone)",
        "  hits_per_second of pods",
        "    sum(rate(hits_total{namespace=\"NAMESPACE\",pod=\"NAME\"}[2m])) by (pod)",
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\nis not in\n{text}");
    }
    let second = check(&custom[1].0, &custom[1].1, false, &kinds);
    assert!(
        !second.is_good()
            && second.bad_queries[0].starts_with("queue: max(queue{namespace=\"NAME\"}) by (namespace: ")
    );
    let outside = check(&external[0].0, &external[0].1, true, &kinds).to_string();
    assert!(outside.contains("  depth of external\n    sum(depth{})"), "{outside}");
    assert!(
        check(&custom[0].0, &[], false, &kinds)
            .to_string()
            .contains("the backend has no series for this selector")
    );
}

fn explain(metric: &str, names: &[&str], answer: Answered<'_>) -> Explanation {
    let Setting { custom, catalogue, .. } = setting();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let question = Question {
        metric,
        resource: &GroupResource::parse("pods"),
        namespace: Some("shop"),
        names: &names,
        metric_selector: &LabelSelector::everything(),
    };
    explain_custom(&catalogue, &custom, &question, NonFinite::LeaveOut, |_| answer)
}

#[test]
fn an_explanation_walks_the_whole_way() {
    let samples = [sample("a", 10.0), sample("b", f64::NAN), sample("d", 20.5)];
    let explanation = explain("hits_per_second", &["a", "b", "c", "d"], Ok(&samples));
    assert!(explanation.is_good());
    assert_eq!(
        explanation.to_string(),
        "ok   a rule gives the metric
       line 3 ({namespace!=\"\"}): gives it from hits_total
       line 9 (queue): gives other names
       line 3: series hits_total
ok   there are objects
       4: a, b, c, d
ok   the request becomes a query
       label pod names pods
       query: sum(rate(hits_total{namespace=\"shop\",pod=~\"a|b|c|d\"}[2m])) by (pod)
       asked once for many requests, for the namespaces that are in use: sum(rate(hits_total{namespace=~\".+\",pod=~\".+\"}[2m])) by (pod,namespace)
ok   the backend answers
       3 series
ok   objects have values
       a: 10
       d: 20500m
       without a sample: c
       b is left out: its value is NaN (often a division of zero by zero)
ok   what the autoscaler sees
       as a Pods metric: the average 15250m of 2 of 4; the others count as missing, which holds scaling back
"
    );
}

#[test]
fn an_explanation_ends_where_the_way_ends() {
    let last = |explanation: Explanation| {
        assert!(!explanation.is_good());
        let step = explanation.steps.last().unwrap().clone();
        (step.title, step.lines.last().unwrap().clone())
    };
    let (title, line) = last(explain("container_restarts_per_second", &["a"], Ok(&[])));
    assert_eq!(title, "a rule gives the metric");
    assert_eq!(line, "no rule gives container_restarts_per_second, and no name is near it");
    let told = explain("container_restarts_per_second", &["a"], Ok(&[])).steps[0].lines[0].clone();
    assert_eq!(
        told,
        "line 3 ({namespace!=\"\"}): would give it from container_restarts_total, kept out by isNot: ^container_"
    );
    assert_eq!(last(explain("hits_per_second", &[], Ok(&[]))).1, "no pods to ask for");
    assert_eq!(
        last(explain("hits_per_second", &["a"], Ok(&[]))),
        ("the backend answers".into(), "0 series".into())
    );
    assert_eq!(last(explain("hits_per_second", &["a"], Err("time-out"))).1, "time-out");
    let twice = [sample("a", 1.0), sample("a", 2.0)];
    assert!(
        last(explain("hits_per_second", &["a"], Ok(&twice)))
            .1
            .starts_with("\"a\" has 2 series in the answer")
    );
    assert_eq!(last(explain("hits_per_second", &["a"], Ok(&[sample("b", 1.0)]))).1, "without a sample: a");
}

#[test]
fn external_metrics_are_explained_too() {
    let Setting { external, catalogue, .. } = setting();
    let samples = [sample("a", 1.0), sample("b", 2.0)];
    let explain = |metric: &str| {
        let everything = LabelSelector::everything();
        explain_external(&catalogue, &external, metric, "shop", &everything, NonFinite::LeaveOut, |_| {
            Ok(&samples)
        })
    };
    let good = explain("depth");
    assert!(good.is_good() && good.to_string().ends_with("the sum of 2 values: 3\n"), "{good}");
    assert!(!explain("depht").is_good());
}
