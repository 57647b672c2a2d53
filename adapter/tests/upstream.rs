//! Against upstream itself: what Go's text/template and prometheus-adapter's packages made of the same inputs, recorded by
//! `e2e/peers/prometheus-adapter` (its README says how).

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "reads test data, asks a program")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use flyball_adapter::config;
use flyball_adapter::kinds::{Kind, Kinds};
use flyball_adapter::rules::{Catalogue, CustomRequest, Rule, RuleSet, SeriesShape};
use flyball_adapter::template::{Template, Value};
use flyball_model::selector::LabelSelector;
use serde_json::{Value as Json, json};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

fn read(name: &str) -> String {
    let path = file(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(name: &str) -> Json {
    serde_json::from_str(&read(name)).unwrap()
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap()
}

/// What the program answers, when there is one: see `e2e/peers/prometheus-adapter/README.md`.
fn ask(arguments: &[&str], input: &Json) -> Option<Json> {
    let Ok(program) = std::env::var("FLYBALL_PROMETHEUS_ADAPTER_RULES") else {
        eprintln!("FLYBALL_PROMETHEUS_ADAPTER_RULES is not set: comparing with the record");
        return None;
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_string();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Writes a record, one row a line, when that is asked for.
fn record(name: &str, lines: &[String], (open, close): (&str, &str)) {
    if std::env::var("FLYBALL_RECORD").is_ok() {
        std::fs::write(file(name), format!("{open}\n{}\n{close}\n", lines.join(",\n"))).unwrap();
    }
}

/// Templates and the text that Go makes of them; none where it refuses.
fn templates() -> Vec<(String, Option<String>)> {
    let mut cases: Vec<(String, Option<String>)> = json("templates.json")
        .as_array()
        .unwrap()
        .iter()
        .map(|case| (text(&case["template"]).to_owned(), case["text"].as_str().map(str::to_owned)))
        .collect();
    let asked: Vec<&String> = cases.iter().map(|(template, _)| template).collect();
    if let Some(answers) = ask(&["templates"], &json!(asked)) {
        for (case, answer) in cases.iter_mut().zip(answers.as_array().unwrap()) {
            let refused = answer.get("error").is_some();
            case.1 = (!refused).then(|| answer["query"].as_str().unwrap_or_default().to_owned());
        }
        let line = |(template, text): &(String, Option<String>)| {
            json!({"template": template, "text": text}).to_string()
        };
        record("templates.json", &cases.iter().map(line).collect::<Vec<_>>(), ("[", "]"));
    }
    cases
}

#[test]
fn templates_do_what_go_does() {
    let values = [("empty", ""), ("namespace", "shop"), ("pod", "a|b")];
    let root = Value::Struct(vec![
        ("Series", Value::text("http_requests_total")),
        ("LabelMatchers", Value::text("namespace=\"shop\",pod=~\"a|b\"")),
        ("LabelValuesByName", Value::Map(values.map(|(k, v)| (k.into(), v.into())).into())),
        ("GroupBy", Value::text("pod,container")),
        ("GroupBySlice", Value::list(["pod", "container"])),
    ]);
    let mut differences = Vec::new();
    for (template, theirs) in templates() {
        let ours = Template::parse(&template).and_then(|template| template.render(&root));
        match (ours, theirs) {
            (Ok(ours), Some(theirs)) if ours == theirs => {}
            (Err(_), None) => {}
            (ours, theirs) => differences.push(format!("{template}\n  ours {ours:?}\n  Go   {theirs:?}")),
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn kinds(requests: &Json) -> Arc<Kinds> {
    let kind = |row: &Json| Kind {
        group: text(&row["group"]).into(),
        version: text(&row["version"]).into(),
        kind: text(&row["kind"]).into(),
        plural: text(&row["plural"]).into(),
        singular: text(&row["kind"]).to_lowercase(),
        namespaced: row["namespaced"].as_bool().unwrap(),
    };
    Arc::new(Kinds::builtin().with(requests["kinds"].as_array().unwrap().iter().map(kind)))
}

/// List, index of the rule, series, metric, resource, whether in a namespace, query of each request.
type Row = (String, usize, String, String, String, bool, Vec<Option<String>>);

/// What our rules make of one series: the same rows as upstream's.
fn rows(
    external: bool,
    index: usize,
    rule: &Arc<Rule>,
    shape: &SeriesShape,
    requests: &[Json],
    kinds: &Arc<Kinds>,
) -> Vec<Row> {
    let pair = [(rule.clone(), vec![shape.clone()])];
    let selector = |request: &Json| LabelSelector::parse(text(&request["selector"])).unwrap();
    if external {
        let catalogue = Catalogue::of(&[], &pair, kinds);
        let row = |metric: &str| {
            let query = |request: &Json| {
                let namespace = text(&request["namespace"]);
                catalogue.plan_external(metric, namespace, &selector(request)).ok().map(|plan| plan.promql)
            };
            let queries = requests.iter().map(query).collect();
            ("external".into(), index, shape.name.clone(), metric.to_owned(), String::new(), true, queries)
        };
        return catalogue.external_metrics().map(row).collect();
    }
    let catalogue = Catalogue::of(&pair, &[], kinds);
    let row = |found: &flyball_adapter::rules::CustomMetric| {
        let query = |request: &Json| {
            let names: Vec<String> =
                request["names"].as_array().unwrap().iter().map(|name| text(name).to_owned()).collect();
            let request = CustomRequest {
                metric: &found.metric,
                resource: &found.resource,
                namespace: found.namespaced.then(|| text(&request["namespace"])),
                names: &names,
                metric_selector: &selector(request),
            };
            catalogue.plan_custom(&request).ok().map(|plan| plan.promql)
        };
        let queries = requests.iter().map(query).collect();
        let (resource, namespaced) = (found.resource.to_string(), found.namespaced);
        ("custom".into(), index, shape.name.clone(), found.metric.clone(), resource, namespaced, queries)
    };
    catalogue.custom_metrics().map(row).collect()
}

/// Upstream's rows of every configuration.
fn upstreams_rows(requests: &Json) -> BTreeMap<String, Vec<Row>> {
    let mut configs: BTreeMap<String, String> = BTreeMap::new();
    for entry in std::fs::read_dir(file("configs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        configs.insert(name.trim_end_matches(".yaml").to_owned(), read(&format!("configs/{name}")));
    }
    let mut input = requests.clone();
    input["configs"] = json!(configs);
    let Some(answers) = ask(&[], &input) else {
        let recorded: BTreeMap<String, Vec<Row>> = serde_json::from_str(&read("upstream.json")).unwrap();
        assert!(recorded.keys().eq(configs.keys()), "the record is of other configurations");
        return recorded;
    };
    let rows: BTreeMap<String, Vec<Row>> =
        configs.keys().map(|name| (name.clone(), answered(&answers[name]))).collect();
    let line = |(name, rows): (&String, &Vec<Row>)| {
        let rows: Vec<String> = rows.iter().map(|row| json!(row).to_string()).collect();
        format!("{}: [\n{}\n]", json!(name), rows.join(",\n"))
    };
    record("upstream.json", &rows.iter().map(line).collect::<Vec<_>>(), ("{", "}"));
    rows
}

fn answered(answer: &Json) -> Vec<Row> {
    assert_eq!(answer.get("error"), None);
    let mut rows = Vec::new();
    for list in ["custom", "external"] {
        for metric in answer[list].as_array().unwrap() {
            let field = |name: &str| metric.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
            let query = |query: &Json| query.get("query").and_then(Json::as_str).map(str::to_owned);
            let queries = metric["queries"].as_array().unwrap().iter().map(query).collect();
            let rule = metric["rule"].as_u64().unwrap() as usize;
            let namespaced = metric["namespaced"].as_bool().unwrap();
            rows.push((
                list.into(),
                rule,
                field("series"),
                field("metric"),
                field("resource"),
                namespaced,
                queries,
            ));
        }
    }
    rows
}

#[test]
fn rules_do_what_upstreams_do() {
    let input = json("requests.json");
    let kinds = kinds(&input);
    // A request without a namespace reaches only root objects, for which upstream's record has none either.
    let requests = input["requests"].as_array().unwrap();
    let in_namespace = |row: &Row| row.5 && row.0 == "custom";
    let series: Vec<SeriesShape> = input["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            SeriesShape::new(
                text(&row["name"]),
                row["labels"].as_object().unwrap().keys().map(String::as_str),
            )
        })
        .collect();
    let recorded = upstreams_rows(&input);
    assert!(recorded.len() >= 25, "the record holds {} configurations", recorded.len());
    let mut compared = 0;
    for (name, theirs) in recorded {
        let config =
            config::parse(&read(&format!("configs/{name}.yaml"))).unwrap_or_else(|e| panic!("{name}: {e}"));
        let rules = RuleSet::compile(&config, &kinds).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
        let mut ours = Vec::new();
        for (external, list) in [(false, &rules.custom), (true, &rules.external)] {
            for (index, rule) in list.iter().enumerate() {
                ours.extend(
                    series.iter().flat_map(|shape| rows(external, index, rule, shape, requests, &kinds)),
                );
            }
        }
        let mut theirs = theirs;
        for rows in [&mut ours, &mut theirs] {
            for row in rows.iter_mut().filter(|row| in_namespace(row)) {
                for (query, request) in row.6.iter_mut().zip(requests) {
                    if text(&request["namespace"]).is_empty() {
                        *query = None;
                    }
                }
            }
            rows.sort();
            // Upstream's later series of the same name are the same rows. A metric without a name cannot be asked for.
            rows.dedup();
            rows.retain(|row| !row.3.is_empty());
        }
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{name}");
        }
        assert_eq!(ours.len(), theirs.len(), "{name}");
        compared += ours.iter().map(|row| row.6.len()).sum::<usize>();
    }
    assert!(compared > 1000, "only {compared} queries were compared");
}
