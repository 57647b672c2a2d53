use std::sync::Arc;

use flyball_model::labels::Labels;
use flyball_model::selector::LabelSelector;

use super::*;
use crate::config;
use crate::kinds::{GroupResource, Kind, Kinds};

fn kinds() -> Arc<Kinds> {
    Arc::new(Kinds::builtin())
}

fn rules(text: &str) -> RuleSet {
    RuleSet::compile(&config::parse(text).unwrap(), &kinds()).unwrap()
}

/// A rule of this query over `x`, with labels `namespace` and `pod`.
fn of_query(query: &str) -> Catalogue {
    let text = format!(
        "rules:\n- seriesQuery: x\n  resources: {{template: <<.Resource>>}}\n  metricsQuery: '{}'\n",
        query.replace('\'', "''")
    );
    let shape = SeriesShape::new("x", ["namespace", "pod", "code"]);
    Catalogue::of(&[(rules(&text).custom[0].clone(), vec![shape])], &[], &kinds())
}

fn plan(catalogue: &Catalogue, metric: &str, names: &[&str], selector: &str) -> Result<QueryPlan, PlanError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    catalogue.plan_custom(&CustomRequest {
        metric,
        resource: &GroupResource::new("", "pods"),
        namespace: Some("shop"),
        names: &names,
        metric_selector: &LabelSelector::parse(selector).unwrap(),
    })
}

fn sample(labels: &[(&str, &str)], value: f64) -> Sample {
    Sample {
        labels: Arc::new(Labels::from_pairs(labels.iter().copied()).unwrap()),
        timestamp_ms: 1000,
        value,
    }
}

#[test]
fn names_of_objects_are_text_and_not_expressions() {
    let plan =
        plan(&of_query("sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)"), "x", &["a.b", "c"], "")
            .unwrap();
    assert_eq!(plan.promql, r#"sum(x{namespace="shop",pod=~"a\\.b|c"}) by (pod)"#);
}

#[test]
fn one_query_for_all_objects_where_the_rule_allows_it() {
    let shared = |query: &str| plan(&of_query(query), "x", &["a"], "code=500").unwrap().shared;
    assert_eq!(
        shared("sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)").unwrap(),
        Shared {
            promql: r#"sum(rate(x{code="500",namespace=~".+",pod=~".+"}[2m])) by (pod,namespace)"#.into(),
            namespace_label: Some("namespace".into()),
        }
    );
    assert_eq!(
        shared("sum(<<.Series>>{<<.LabelMatchers>>}) by (pod)").unwrap(),
        Shared {
            promql: r#"sum(x{code="500",namespace="shop",pod=~".+"}) by (pod)"#.into(),
            namespace_label: None
        }
    );
    assert_eq!(shared("sum(<<.Series>>{<<.LabelMatchers>>})"), None);
    assert_eq!(
        shared("sum(<<.Series>>{pod=\"<<index .LabelValuesByName \"pod\">>\"}) by (<<.GroupBy>>)"),
        None,
        "the rule compares for equality"
    );
    assert!(shared("sum(<<.Series>>{namespace=~\"<<.LabelValuesByName.namespace>>\",pod=~\"<<.LabelValuesByName.pod>>\"}) by (<<.GroupBy>>)").is_some());
}

#[test]
fn names_that_need_quotes_get_them() {
    let text = "rules:\n- seriesQuery: '{__name__=~\"http.*\"}'\n  resources: {overrides: {k8s.namespace: {resource: namespace}, k8s.pod: {resource: pod}}}\n  metricsQuery: 'sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)'\n";
    let shape = SeriesShape::new("http.server.requests", ["k8s.namespace", "k8s.pod"]);
    let catalogue = Catalogue::of(&[(rules(text).custom[0].clone(), vec![shape])], &[], &kinds());
    let plan = plan(&catalogue, "http.server.requests", &["a"], "app.kubernetes.io/name=web").unwrap();
    assert_eq!(
        plan.promql,
        r#"sum by ("k8s.pod") (rate({"app.kubernetes.io/name"="web","k8s.namespace"="shop","k8s.pod"="a",__name__="http.server.requests"}[2m]))"#
    );
    flyball_tsdb::promql::parse(&plan.promql).unwrap();
    assert!(plan.shared.is_some());
}

#[test]
fn what_cannot_be_asked() {
    let catalogue = of_query("sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)");
    let error = |metric: &str, names: &[&str], selector: &str| {
        plan(&catalogue, metric, names, selector).unwrap_err().to_string()
    };
    assert_eq!(error("y", &["a"], ""), "no rule gives metric \"y\" of pods");
    assert_eq!(error("x", &[], ""), "no objects to ask for");
    assert_eq!(
        error("x", &["a"], "code>3"),
        "metric selector \"code>3\": PromQL cannot compare a label's value as a number"
    );
    let template = of_query("<<index .GroupBySlice 3>>");
    assert!(
        plan(&template, "x", &["a"], "").unwrap_err().to_string().starts_with("rule of line 2: template: ")
    );
    let empty = of_query("<<if .Series>><<end>>");
    assert_eq!(
        plan(&empty, "x", &["a"], "").unwrap_err().to_string(),
        "rule of line 2: metricsQuery makes an empty query"
    );
}

#[test]
fn resources_are_found_by_every_name() {
    let catalogue = of_query("sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)");
    for name in ["pods", "pod", "Pods"] {
        assert!(catalogue.find(&GroupResource::parse(name), true, "x").is_some(), "{name}");
    }
    assert!(catalogue.find(&GroupResource::parse("pods"), false, "x").is_none());
    assert!(catalogue.find(&GroupResource::parse("namespaces"), false, "x").is_some());
}

#[test]
fn cluster_scoped_kinds_are_root_objects() {
    let brand = Kind {
        group: "cheese.io".into(),
        version: "v1".into(),
        kind: "Brand".into(),
        plural: "brands".into(),
        singular: "brand".into(),
        namespaced: false,
    };
    let kinds = Arc::new(Kinds::builtin().with([brand]));
    let text = "rules:\n- seriesQuery: x\n  resources: {overrides: {brand: {group: cheese.io, resource: brands}}}\n  metricsQuery: y\n";
    let rules = RuleSet::compile(&config::parse(text).unwrap(), &kinds).unwrap();
    let pair = [(rules.custom[0].clone(), vec![SeriesShape::new("x", ["brand", "other"])])];
    let catalogue = Catalogue::of(&pair, &[], &kinds);
    let found: Vec<String> = catalogue
        .custom_metrics()
        .map(|metric| format!("{} {}", metric.resource, metric.namespaced))
        .collect();
    assert_eq!(found, ["brands.cheese.io false"]);
}

#[test]
fn among_several_labels_the_one_that_is_there() {
    let text = "rules:\n- seriesQuery: x\n  resources: {overrides: {a_pod: {resource: pod}, z_pod: {resource: pod}, namespace: {resource: namespace}}}\n  metricsQuery: '<<.LabelMatchers>>'\n";
    for (label, shape) in
        [("z_pod", vec!["z_pod", "namespace"]), ("a_pod", vec!["a_pod", "z_pod", "namespace"])]
    {
        let pair = [(rules(text).custom[0].clone(), vec![SeriesShape::new("x", shape)])];
        let catalogue = Catalogue::of(&pair, &[], &kinds());
        assert_eq!(plan(&catalogue, "x", &["p"], "").unwrap().object_label, label);
    }
}

#[test]
fn later_rules_win_and_it_is_told() {
    let text = "rules:\n- {seriesQuery: x, resources: {template: <<.Resource>>}, metricsQuery: a}\n- {seriesQuery: y, resources: {template: <<.Resource>>}, metricsQuery: b, name: {as: x}}\n";
    let rules = rules(text);
    let shapes = |name: &str| vec![SeriesShape::new(name, ["namespace", "pod"])];
    let pairs = [(rules.custom[0].clone(), shapes("x")), (rules.custom[1].clone(), shapes("y"))];
    let catalogue = Catalogue::of(&pairs, &[], &kinds());
    assert_eq!(plan(&catalogue, "x", &["p"], "").unwrap().promql, "b");
    let told: Vec<String> = catalogue
        .shadowed()
        .iter()
        .map(|twin| format!("{} {:?} {:?}", twin.metric, twin.lost, twin.won))
        .collect();
    assert_eq!(told, ["namespaces/x (\"x\", 2) (\"y\", 3)", "pods/x (\"x\", 2) (\"y\", 3)"]);
}

#[test]
fn values_are_upstreams_thousandths() {
    for (value, expected) in [
        (10.5, Some(10_500)),
        (0.0019, Some(1)),
        (-2.5, Some(-2500)),
        (-0.0009, Some(0)),
        (9.2e15, Some(9_200_000_000_000_000_000)),
        (9.3e15, None),
        (f64::INFINITY, None),
        (f64::NEG_INFINITY, None),
        (f64::NAN, None),
    ] {
        assert_eq!(milli(value, NonFinite::LeaveOut), expected, "{value}");
    }
    assert_eq!(milli(f64::NAN, NonFinite::Zero), Some(0));
    assert_eq!(milli(f64::NEG_INFINITY, NonFinite::Zero), Some(0));
    assert_eq!(milli(f64::INFINITY, NonFinite::LeaveOut), None);
    assert_eq!(milli(1e19, NonFinite::Zero), None, "finite, and too large");
}

#[test]
fn answers_become_values_of_objects() {
    let samples = [
        sample(&[("pod", "a"), ("namespace", "shop")], 1.5),
        sample(&[("pod", "b"), ("namespace", "shop")], f64::NAN),
        sample(&[("pod", "a"), ("namespace", "other")], 9.0),
        sample(&[("namespace", "shop")], 7.0),
        sample(&[("pod", "twice"), ("namespace", "shop")], 1.0),
        sample(&[("pod", "twice"), ("namespace", "shop"), ("code", "500")], 2.0),
    ];
    let names = ["b", "c", "a"].map(str::to_owned);
    let grouped = Grouped::of(&samples, "pod", Some("namespace"));
    let values = grouped.values(Some("shop"), &names, NonFinite::LeaveOut).unwrap();
    assert_eq!(values.items, [ObjectValue { name: "a".into(), milli: 1500, timestamp_ms: 1000 }]);
    assert_eq!(values.without_sample, ["c"]);
    assert_eq!(
        values.left_out.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["b is left out: its value is NaN (often a division of zero by zero)"]
    );
    let values = grouped.values(Some("shop"), &names, NonFinite::Zero).unwrap();
    assert_eq!(values.items.iter().map(|item| item.milli).collect::<Vec<_>>(), [0, 1500]);
    let error = grouped.values(Some("shop"), &["twice".to_owned()], NonFinite::LeaveOut).unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"twice\" has 2 series in the answer, where one is needed: the query must aggregate by (<<.GroupBy>>)"
    );
    assert_eq!(grouped.values(Some("nowhere"), &names, NonFinite::LeaveOut).unwrap().without_sample.len(), 3);
}

#[test]
fn external_answers_keep_their_labels() {
    let samples =
        [sample(&[("queue", "a"), ("__name__", "x")], 3.0), sample(&[("queue", "b")], f64::INFINITY)];
    let values = external_values(&samples, NonFinite::LeaveOut);
    assert_eq!(values.items.len(), 1);
    assert_eq!((values.items[0].milli, values.items[0].labels.get("__name__")), (3000, Some("x")));
    assert_eq!(
        values.left_out[0].to_string(),
        "{queue=\"b\"} is left out: its value is infinite (often a division by zero)"
    );
}

#[test]
fn external_metrics_are_of_a_namespace_unless_said() {
    let text = "externalRules:\n- {seriesQuery: x, metricsQuery: '<<.Series>>{<<.LabelMatchers>>}', resources: {template: <<.Resource>>}}\n- {seriesQuery: y, metricsQuery: '<<.Series>>{<<.LabelMatchers>>}', resources: {namespaced: false}}\n- {seriesQuery: z, metricsQuery: '<<.Series>>{<<.LabelMatchers>>}'}\n";
    let rules = rules(text);
    let pairs: Vec<_> = rules
        .external
        .iter()
        .zip(["x", "y", "z"])
        .map(|(rule, name)| (rule.clone(), vec![SeriesShape::new(name, ["namespace"])]))
        .collect();
    let catalogue = Catalogue::of(&[], &pairs, &kinds());
    let query = |metric: &str| {
        catalogue.plan_external(metric, "shop", &LabelSelector::parse("a=b").unwrap()).map(|plan| plan.promql)
    };
    assert_eq!(query("x").unwrap(), "x{a=\"b\",namespace=\"shop\"}");
    assert_eq!(query("y").unwrap(), "y{a=\"b\"}");
    assert!(query("z").unwrap_err().to_string().starts_with("rule of line 4: no label names namespaces"));
    assert_eq!(catalogue.external_metrics().collect::<Vec<_>>(), ["x", "y", "z"]);
}

#[test]
fn usage_of_pods_and_nodes() {
    let text = "resourceRules:\n  cpu: {containerQuery: 'sum(c{<<.LabelMatchers>>}) by (<<.GroupBy>>)', nodeQuery: 'n{<<.LabelMatchers>>}', resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}, instance: {resource: node}}}, containerLabel: ctr}\n  memory: {containerQuery: 'm{<<.LabelMatchers>>}', nodeQuery: 'mn{<<.LabelMatchers>>}', resources: {template: <<.Resource>>}, containerLabel: container}\n  window: 5m\n";
    let usage = rules(text).resource.unwrap();
    assert_eq!(usage.window_ms(), 300_000);
    let names = ["a", "b"].map(str::to_owned);
    let plan = usage.pods("shop", &names).unwrap();
    assert_eq!(plan.cpu.promql, r#"sum(c{namespace="shop",pod=~"a|b"}) by (pod,ctr)"#);
    assert_eq!(plan.memory.promql, r#"m{namespace="shop",pod=~"a|b"}"#);
    let cpu = [
        sample(&[("pod", "a"), ("ctr", "x")], 0.25),
        sample(&[("pod", "a"), ("ctr", "y")], 0.5),
        sample(&[("pod", "b"), ("ctr", "x")], -1.0),
    ];
    let memory = [
        Sample { timestamp_ms: 900, ..sample(&[("pod", "a"), ("container", "x")], 64.0) },
        sample(&[("pod", "b"), ("container", "x")], 5.0),
    ];
    let pods = |non_finite| {
        let pods = plan.pod_usage(&cpu, &memory, &names, non_finite);
        pods.into_iter()
            .map(|pod| {
                let containers: Vec<_> =
                    pod.containers.into_iter().map(|c| (c.name, c.cpu_milli, c.memory_milli)).collect();
                (pod.name, pod.timestamp_ms, containers)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(pods(NonFinite::LeaveOut), [], "no zero is made up for what is absent or negative");
    assert_eq!(
        pods(NonFinite::Zero),
        [
            ("a".into(), 900, vec![("x".into(), 250, 64_000), ("y".into(), 500, 0)]),
            ("b".into(), 1000, vec![("x".into(), 0, 5000)]),
        ]
    );
    let plan = usage.nodes(&names[..1]).unwrap();
    assert_eq!(
        (plan.cpu.promql.as_str(), plan.memory.promql.as_str()),
        ("n{instance=\"a\"}", "mn{node=\"a\"}")
    );
    let nodes = plan.node_usage(
        &[sample(&[("instance", "a")], 2.0)],
        &[sample(&[("node", "a")], 7.0)],
        &names,
        NonFinite::LeaveOut,
    );
    assert_eq!(nodes.len(), 1);
    assert_eq!((nodes[0].cpu_milli, nodes[0].memory_milli), (2000, 7000));
    assert_eq!(usage.pods("shop", &[]).unwrap_err(), PlanError::NoObjects);
}

#[test]
fn groups_with_dots_are_found_in_labels() {
    let text = "rules:\n- {seriesQuery: x, resources: {template: 'k8s_<<.Group>>_<<.Resource>>'}, metricsQuery: '<<.LabelMatchers>>'}\n";
    let rule = rules(text).custom[0].clone();
    assert_eq!(
        rule.meaning("k8s_networking_k8s_io_ingress"),
        LabelMeaning::Resource(GroupResource::new("networking.k8s.io", "ingresses"))
    );
    assert_eq!(
        rule.meaning("k8s_apps_deployment"),
        LabelMeaning::Resource(GroupResource::new("apps", "deployments"))
    );
    assert_eq!(
        rule.meaning("k8s_apps_thing"),
        LabelMeaning::UnknownResource(GroupResource::new("apps", "thing"))
    );
    assert_eq!(rule.meaning("color"), LabelMeaning::Other);
}

#[test]
fn templates_of_labels_have_the_methods_of_gos_type() {
    for (template, label) in [
        ("x_<<.String>>", "x_deployment.apps"),
        ("<<.>>", "deployment.apps"),
        ("<<printf \"%s_%s\" .Group .Resource>>", "apps_deployment"),
        ("<<if .Empty>>no<<else>>l_<<.Resource>><<end>>", "l_deployment"),
    ] {
        let text =
            format!("rules:\n- {{seriesQuery: x, resources: {{template: '{template}'}}, metricsQuery: y}}\n");
        let rule = rules(&text).custom[0].clone();
        let deployments = GroupResource::new("apps", "deployments");
        assert_eq!(rule.labels.label_for(&deployments, &std::collections::BTreeSet::new()).unwrap(), label);
    }
}
