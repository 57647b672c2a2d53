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
use flyball_adapter::rules::{Catalogue, CustomRequest, Rule, RuleSet, SeriesShape, UsageRules};
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

/// Says something past the test runner's capture of output.
fn aloud(what: &str) {
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "{}: {what}", thread.name().unwrap_or("test"));
}

/// What the program answers, when there is one: see `e2e/peers/prometheus-adapter/README.md`.
fn ask(arguments: &[&str], input: &Json) -> Option<Json> {
    let Ok(program) = std::env::var("FLYBALL_PROMETHEUS_ADAPTER_RULES") else {
        aloud("FLYBALL_PROMETHEUS_ADAPTER_RULES is not set: compared with the record");
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

/// What the program gives its templates.
fn root() -> Value {
    let values = [("empty", ""), ("namespace", "shop"), ("pod", "a|b")];
    Value::Struct(vec![
        ("Series", Value::text("http_requests_total")),
        ("LabelMatchers", Value::text("namespace=\"shop\",pod=~\"a|b\"")),
        ("LabelValuesByName", Value::Map(values.map(|(k, v)| (k.into(), v.into())).into())),
        ("GroupBy", Value::text("pod,container")),
        ("GroupBySlice", Value::list(["pod", "container"])),
    ])
}

#[test]
fn templates_do_what_go_does() {
    let mut differences = Vec::new();
    for (template, theirs) in templates() {
        let ours = Template::parse(&template).and_then(|template| template.render(&root()));
        match (ours, theirs) {
            (Ok(ours), Some(theirs)) if ours == theirs => {}
            (Err(_), None) => {}
            (ours, theirs) => differences.push(format!("{template}\n  ours {ours:?}\n  Go   {theirs:?}")),
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// A template by chance, of words that often fit together.
fn random_template(random: &mut fastrand::Rng) -> String {
    let operands = [
        ".Series",
        ".GroupBySlice",
        ".LabelValuesByName",
        ".GroupBy",
        "$.Series",
        "$",
        ".",
        "\"a|b\"",
        "`raw`",
        "0",
        "1",
        "-2",
        "1.5",
        "true",
        "false",
        "nil",
        "$x",
        "(index .GroupBySlice 0)",
        "(len .Series)",
        ".LabelValuesByName.pod",
        ".LabelValuesByName.none",
        "(printf \"%v\" .GroupBySlice)",
        "\"pod\"",
        "'c'",
        "(1)",
        "(.)",
        "(.LabelValuesByName).pod",
    ];
    let functions = [
        "index",
        "len",
        "printf \"%s-%v\"",
        "printf \"%5d|%-4s|%q\"",
        "print",
        "println",
        "eq",
        "ne",
        "lt",
        "gt",
        "and",
        "or",
        "not",
        "slice",
        "html",
        "urlquery",
        "js",
    ];
    let pipe = |random: &mut fastrand::Rng| {
        let mut commands = Vec::new();
        for index in 0..1 + random.usize(..3).saturating_sub(1) {
            let function = random.bool() || index > 0;
            let count = if function { random.usize(..3) } else { 1 };
            let mut words: Vec<&str> = if function { vec![pick(random, &functions, 0)] } else { Vec::new() };
            words.extend((0..count).map(|_| pick(random, &operands, 0)));
            commands.push(words.join(" "));
        }
        commands.join(" | ")
    };
    let mut out = String::new();
    let mut open = 0;
    for _ in 0..1 + random.usize(..6) {
        let (left, right) =
            (pick(random, &["<<", "<< ", "<<- "], 0), pick(random, &[">>", " >>", " ->>"], 0));
        let inner = match random.u8(..14) {
            0..5 => pipe(random),
            5 => format!("$x := {}", pipe(random)),
            6 => format!("$x = {}", pipe(random)),
            7 => format!("if {}", pipe(random)),
            8 => format!("with {}", pipe(random)),
            9 => format!("range {}", pipe(random)),
            10 => format!("range $i, $x := {}", pipe(random)),
            11 => "else".into(),
            12 => pick(random, &["break", "continue", "else if 1", "else with 0", "/* x */"], 0).into(),
            _ => "end".into(),
        };
        open += i32::from(inner.starts_with("if") || inner.starts_with("with") || inner.starts_with("range"));
        open -= i32::from(inner == "end");
        out += &format!("{}{left}{inner}{right}", pick(random, &["", " ", "t\n ", "x "], 0));
    }
    if random.u8(..8) > 0 {
        out += &"<<end>>".repeat(usize::try_from(open).unwrap_or(0));
    }
    out
}

#[test]
fn random_templates_do_what_go_does() {
    let seed = std::env::var("FLYBALL_PEER_SEED").ok().map_or(1, |seed| seed.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let cases: Vec<String> = (0..20_000).map(|_| random_template(&mut random)).collect();
    let Some(answers) = ask(&["templates"], &json!(cases)) else {
        aloud("SKIPPED: random templates: there is nobody to compare with");
        return;
    };
    let (mut differences, mut texts) = (Vec::new(), 0);
    for (template, answer) in cases.iter().zip(answers.as_array().unwrap()) {
        let theirs = answer.get("error").is_none().then(|| answer["query"].as_str().unwrap_or_default());
        let ours = Template::parse(template).and_then(|template| template.render(&root()));
        // The name of Go's own type, where a text complains of it, is nobody's business.
        if theirs.is_some_and(|text| text.contains("main.arguments=")) {
            continue;
        }
        texts += usize::from(theirs.is_some());
        if ours.as_deref().ok() != theirs {
            let reason = answer["error"].as_str().unwrap_or_default();
            differences.push(format!("{template:?}\n  ours {ours:?}\n  Go   {theirs:?} {reason}"));
        }
    }
    let shown = differences[..differences.len().min(20)].join("\n");
    assert!(differences.is_empty(), "{} of {}:\n{shown}", differences.len(), cases.len());
    println!("{} templates compared, {texts} of them make a text", cases.len());
    assert!(texts > 2000, "only {texts} make a text");
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
            let names = names(request);
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

/// Configurations written by hand, by name.
fn configs() -> BTreeMap<String, String> {
    let mut configs = BTreeMap::new();
    for entry in std::fs::read_dir(file("configs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        configs.insert(name.trim_end_matches(".yaml").to_owned(), read(&format!("configs/{name}")));
    }
    configs
}

/// Upstream's rows of configurations; none for one that it refuses.
fn ask_upstream(
    requests: &Json,
    configs: &BTreeMap<String, String>,
) -> Option<BTreeMap<String, Option<Vec<Row>>>> {
    let mut input = requests.clone();
    input["configs"] = json!(configs);
    let answers = ask(&[], &input)?;
    let rows = |name: &String| {
        (name.clone(), answers[name].get("error").is_none().then(|| answered(&answers[name])))
    };
    Some(configs.keys().map(rows).collect())
}

/// Upstream's rows of the configurations written by hand.
fn recorded_or_asked(
    requests: &Json,
    configs: &BTreeMap<String, String>,
) -> BTreeMap<String, Option<Vec<Row>>> {
    let Some(rows) = ask_upstream(requests, configs) else {
        let recorded: BTreeMap<String, Option<Vec<Row>>> =
            serde_json::from_str(&read("upstream.json")).unwrap();
        assert!(recorded.keys().eq(configs.keys()), "the record is of other configurations");
        return recorded;
    };
    let line = |(name, rows): (&String, &Option<Vec<Row>>)| {
        let rows: Vec<String> = rows.iter().flatten().map(|row| json!(row).to_string()).collect();
        format!("{}: [\n{}\n]", json!(name), rows.join(",\n"))
    };
    record("upstream.json", &rows.iter().map(line).collect::<Vec<_>>(), ("{", "}"));
    rows
}

fn answered(answer: &Json) -> Vec<Row> {
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
    if let Some(usage) = answer["usage"].as_array() {
        let queries = usage.iter().map(|query| query.get("query").and_then(Json::as_str).map(str::to_owned));
        rows.push(("usage".into(), 0, String::new(), String::new(), String::new(), true, queries.collect()));
    }
    rows
}

/// Our queries of usage, in the order of upstream's.
fn usage_row(usage: &UsageRules, requests: &[Json]) -> Row {
    let plans = |of_nodes: bool| {
        let plan = move |request: &Json| {
            let names = names(request);
            let namespace = text(&request["namespace"]);
            // Upstream never asks for pods without a namespace, but its packages answer.
            if of_nodes { usage.nodes(&names) } else { usage.pods(namespace, &names) }.unwrap()
        };
        requests.iter().map(plan).collect::<Vec<_>>()
    };
    let (pods, nodes) = (plans(false), plans(true));
    let queries = [&pods, &nodes]
        .iter()
        .flat_map(|plans| {
            let cpu = plans.iter().map(|plan| Some(plan.cpu.promql.clone()));
            cpu.chain(plans.iter().map(|plan| Some(plan.memory.promql.clone())))
        })
        .collect();
    ("usage".into(), 0, String::new(), String::new(), String::new(), true, queries)
}

fn names(request: &Json) -> Vec<String> {
    request["names"].as_array().unwrap().iter().map(|name| text(name).to_owned()).collect()
}

/// What both sides are asked about.
struct Setting {
    input: Json,
    kinds: Arc<Kinds>,
    series: Vec<SeriesShape>,
}

impl Setting {
    fn read() -> Setting {
        let input = json("requests.json");
        let series = input["series"].as_array().unwrap().iter().map(shape).collect();
        Setting { kinds: kinds(&input), series, input }
    }

    fn requests(&self) -> &[Json] {
        self.input["requests"].as_array().unwrap()
    }

    /// Our rows; none for a configuration that we refuse.
    fn ours(&self, config: &str) -> Option<Vec<Row>> {
        let config = config::parse(config).ok()?;
        let rules = RuleSet::compile(&config, &self.kinds).ok()?;
        let mut ours = Vec::new();
        for (external, list) in [(false, &rules.custom), (true, &rules.external)] {
            for (index, rule) in list.iter().enumerate() {
                let of = |shape| rows(external, index, rule, shape, self.requests(), &self.kinds);
                ours.extend(self.series.iter().flat_map(of));
            }
        }
        ours.extend(rules.resource.map(|usage| usage_row(&usage, self.requests())));
        Some(ours)
    }

    /// Rows in one order, without what no request of the API reaches: a metric without a name, an object in no namespace
    /// of a resource that has namespaces. Series of one name and the same labels are the same rows.
    fn settled(&self, mut rows: Vec<Row>) -> Vec<Row> {
        let without_namespace: Vec<bool> =
            self.requests().iter().map(|request| text(&request["namespace"]).is_empty()).collect();
        rows.retain(|row| !row.3.is_empty() || row.0 == "usage");
        for row in rows.iter_mut().filter(|row| row.5 && row.0 != "external") {
            // Of usage the first two rounds are of pods, the others of nodes.
            let rounds = row.6.chunks_mut(without_namespace.len()).take(2);
            for (query, unreachable) in rounds.flat_map(|round| round.iter_mut().zip(&without_namespace)) {
                if *unreachable {
                    *query = None;
                }
            }
        }
        rows.sort();
        rows.dedup();
        rows
    }

    /// Compares all rows; tells how many queries.
    fn compare(&self, name: &str, config: &str, theirs: Option<Vec<Row>>) -> usize {
        let ours = self.ours(config).map(|rows| self.settled(rows));
        let theirs = theirs.map(|rows| self.settled(rows));
        assert_eq!(ours.is_some(), theirs.is_some(), "{name}: who takes it?\n{config}");
        let (ours, theirs) = (ours.unwrap_or_default(), theirs.unwrap_or_default());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{name}\n{config}");
        }
        assert_eq!(ours.len(), theirs.len(), "{name}\n{config}");
        ours.iter().map(|row| row.6.len()).sum()
    }
}

fn shape(row: &Json) -> SeriesShape {
    SeriesShape::new(text(&row["name"]), row["labels"].as_object().unwrap().keys().map(String::as_str))
}

#[test]
fn rules_do_what_upstreams_do() {
    let setting = Setting::read();
    let configs = configs();
    assert!(configs.len() >= 25, "{} configurations", configs.len());
    let theirs = recorded_or_asked(&setting.input, &configs);
    let compared: usize =
        theirs.into_iter().map(|(name, theirs)| setting.compare(&name, &configs[&name], theirs)).sum();
    assert!(compared > 1000, "only {compared} queries were compared");
}

/// One of several, by chance; the last `faulty` ones seldom.
fn pick<'a>(random: &mut fastrand::Rng, of: &[&'a str], faulty: usize) -> &'a str {
    let count = if random.u8(..16) > 0 { of.len() - faulty } else { of.len() };
    of[random.usize(..count)]
}

/// A rule by chance; some are refused.
fn random_rule(random: &mut fastrand::Rng) -> String {
    let filters = [
        "is: '^container_'",
        "is: 'total'",
        "isNot: '_bucket$'",
        "isNot: '^(go|node)_'",
        "is: '.'",
        "is: '['",
    ];
    let names = [
        "{}",
        "{as: same}",
        "{matches: '^(.*)_total$'}",
        "{matches: '^([a-z]+)_(.*)$', as: '$2'}",
        "{matches: '^([a-z]+)_(.*)$', as: '${2}_of_$1'}",
        "{matches: '^(?P<first>[a-z]+)_.*$', as: 'x$first'}",
        "{matches: '_(requests|bytes)_', as: '$1$$$0$9'}",
        "{matches: '(a)|(b)'}",
        "{matches: '(a'}",
    ];
    // Upstream learns the labels of namespaces that a template's inverse does not find by the first query that needs them,
    // so a template with `if` is compared in the configurations written by hand alone.
    let templates = [
        "<<.Resource>>",
        "kube_<<.Resource>>",
        "<<.Resource>>_name",
        "k8s_<<.Group>>_<<.Resource>>",
        "<<.Group>>_<<.Resource>>",
        "<<.Group>>",
        "<<.Resource",
    ];
    let overrides = [
        "namespace: {resource: namespace}",
        "pod: {resource: pods}",
        "service: {resource: Service}",
        "deployment: {group: apps, resource: deployment}",
        "ingress: {group: networking, resource: ingress}",
        "brand: {group: cheese.io, resource: brands}",
        "node: {resource: node}",
    ];
    let queries = [
        "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
        "<<.Series>><<.GroupBySlice>><<.LabelValuesByName>>",
        "<<range $k, $v := .LabelValuesByName>><<$k>>=~\"<<$v>>\";<<end>>",
        "<<index .LabelValuesByName \"namespace\">>/<<index .LabelValuesByName \"pod\">>",
        "<<with .GroupBy>><<.>><<else>>none<<end>>",
        "<<if gt (len .LabelMatchers) 30>>long<<else>>short <<.LabelMatchers>><<end>>",
        "<<index .GroupBySlice 0>>",
        "<<printf \"%s|%q|%5d\" .Series .GroupBySlice (len .Series)>>",
        "<<if .GroupBy>><<end>>",
        "<<.LabelMatchers | printf \"x{%s}\">>",
        "<<end>>",
    ];
    let mut rule = "- seriesQuery: 'x'\n".to_owned();
    let filters: Vec<String> =
        (0..random.usize(..3)).map(|_| format!("{{{}}}", pick(random, &filters, 1))).collect();
    rule += &format!("  seriesFilters: [{}]\n", filters.join(","));
    rule += &format!("  name: {}\n", pick(random, &names, 2));
    rule += &format!("  metricsQuery: '{}'\n", pick(random, &queries, 1));
    rule += "  resources:\n";
    if random.bool() {
        rule += &format!("    template: '{}'\n", pick(random, &templates, 2));
    }
    let chosen: Vec<&str> = overrides.iter().filter(|_| random.u8(..3) == 0).copied().collect();
    let faulty = if random.u8(..32) == 0 { ", other: {resource: thing}" } else { "" };
    rule += &format!("    overrides: {{{}{faulty}}}\n", chosen.join(", "));
    if random.u8(..4) == 0 {
        rule += &format!("    namespaced: {}\n", random.bool());
    }
    rule
}

#[test]
fn random_rules_do_what_upstreams_do() {
    let setting = Setting::read();
    let seed = std::env::var("FLYBALL_PEER_SEED").ok().map_or(1, |seed| seed.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let configs: BTreeMap<String, String> = (0..300)
        .map(|index| {
            let list = |random: &mut fastrand::Rng| {
                (0..random.usize(..3)).map(|_| random_rule(random)).collect::<String>()
            };
            let (custom, external) = (list(&mut random), list(&mut random));
            (format!("seed {seed}, {index}"), format!("rules:\n{custom}externalRules:\n{external}"))
        })
        .collect();
    let Some(theirs) = ask_upstream(&setting.input, &configs) else {
        aloud("SKIPPED: random rules: there is nobody to compare with");
        return;
    };
    let refused = theirs.values().filter(|rows| rows.is_none()).count();
    let compared: usize =
        theirs.into_iter().map(|(name, theirs)| setting.compare(&name, &configs[&name], theirs)).sum();
    println!("{compared} queries of {} configurations compared, {refused} refused", configs.len());
    assert!(compared > 10_000 && refused > 10, "{compared} queries, {refused} refused");
}
