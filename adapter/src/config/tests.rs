use std::sync::Arc;

use super::*;
use crate::kinds::Kinds;
use crate::rules::RuleSet;
use crate::schedule::Schedules;

/// All complaints about a file, each with its line.
fn complaints(text: &str) -> Vec<String> {
    let config = match parse(text) {
        Ok(config) => config,
        Err(error) => return vec![error.to_string()],
    };
    let rules = RuleSet::compile(&config, &Arc::new(Kinds::builtin())).err().unwrap_or_default();
    let schedules = Schedules::compile(&config).err().unwrap_or_default();
    rules.into_iter().chain(schedules).map(|error| error.to_string()).collect()
}

fn check(text: &str, expected: &[&str]) {
    let complaints = complaints(text);
    assert_eq!(complaints.len(), expected.len(), "{text}\n{complaints:#?}");
    for (complaint, expected) in complaints.iter().zip(expected) {
        assert!(complaint.starts_with(expected), "{text}\n  said {complaint}\n  not  {expected}");
    }
}

const GOOD: &str = "
rules:
- seriesQuery: 'x{namespace!=\"\"}'
  resources: {template: <<.Resource>>}
  metricsQuery: sum(<<.Series>>)
";

#[test]
fn good_and_empty_files() {
    for text in [GOOD, "", "# nothing\n", "---\n", "rules:\n", "rules: []\nexternalRules: null\n", "{}"] {
        check(text, &[]);
    }
    let nulls =
        "rules:\n- {seriesQuery: x, seriesFilters: null, resources: null, name: null, metricsQuery: y}";
    check(nulls, &[]);
}

#[test]
fn what_is_no_configuration() {
    check("rules: [", &["line 1: "]);
    check("rules: 3", &["line 1: "]);
    check("\n\nroles: []", &["line 3: unknown field"]);
    check(&GOOD.replace("metricsQuery", "metricQuery"), &["line 5: unknown field"]);
    check(&GOOD.replace("template:", "templates:"), &["line 4: unknown field"]);
    check(&format!("{GOOD}  metricsQuery: again\n"), &["line 6: duplicate"]);
    check(&" ".repeat(MAX_FILE_BYTES + 1), &["line 1: the file has"]);
    let many = format!("rules:\n{}", "- {seriesQuery: x, metricsQuery: y}\n".repeat(MAX_RULES + 1));
    check(&many, &["line 1002: rules has 1001 rules, more than the 1000 allowed"]);
}

#[test]
fn what_a_rule_may_not_say() {
    check(&GOOD.replace("'x{namespace!=\"\"}'", "'x{'"), &["line 3: seriesQuery: "]);
    check(&GOOD.replace("'x{namespace!=\"\"}'", "'{namespace=\"\"}'"), &["line 3: seriesQuery: "]);
    check(&GOOD.replace("'x{namespace!=\"\"}'", "sum(x)"), &["line 3: seriesQuery: "]);
    check(&GOOD.replace("'x{namespace!=\"\"}'", "''"), &["line 3: seriesQuery is missing"]);
    check(
        &GOOD.replace("sum(<<.Series>>)", "sum(<<.Serie>>)"),
        &["line 5: metricsQuery: there is no field .Serie; a query has .Series, "],
    );
    check(&GOOD.replace("sum(<<.Series>>)", "sum(<<.Series)"), &["line 5: metricsQuery: template: "]);
    check(&GOOD.replace("sum(<<.Series>>)", "\"\""), &["line 5: metricsQuery is missing"]);
    check(
        &GOOD.replace("<<.Resource>>", "<<.Group>>"),
        &["line 4: resources.template: it must have <<.Resource>> in it"],
    );
    check(
        &GOOD.replace("<<.Resource>>", "<<.Nope>>"),
        &["line 4: resources.template: template: there is no field .Nope"],
    );
    check(
        "rules:\n- seriesQuery: x\n  metricsQuery: y\n  resources:\n    overrides:\n      a: {resource: pod}\n      b: {group: x.io, resource: thing}\n",
        &["line 7: resources.overrides.b: the cluster has no resource \"thing.x.io\""],
    );
    let named = |name: &str| format!("{GOOD}  seriesFilters:\n  {name}\n");
    check(&named("- {}"), &["line 7: seriesFilters[0]: one of is and isNot is needed"]);
    check(
        &named("- {is: a, isNot: b}"),
        &["line 7: seriesFilters[0]: only one of is and isNot may be given"],
    );
    check(&named("- {is: 'a('}"), &["line 7: seriesFilters[0]: invalid regular expression"]);
    check(
        &format!("{GOOD}  name:\n    matches: '(a)(b)'\n"),
        &["line 7: name.as is needed, because name.matches has 2 groups"],
    );
    check(
        &format!("{GOOD}  name:\n    matches: '(a'\n"),
        &["line 7: name.matches: invalid regular expression"],
    );
}

#[test]
fn every_fault_of_a_file_is_told() {
    let text = "rules:\n- seriesQuery: 'x{'\n  metricsQuery: '<<'\n- {seriesQuery: y, metricsQuery: z, resources: {template: a}}\nresourceRules:\n  cpu: {containerQuery: a, nodeQuery: <<.X>>, resources: {template: <<.Resource>>}, containerLabel: c}\n  memory: {containerQuery: a, resources: {template: <<.Resource>>}}\n";
    check(
        text,
        &[
            "line 2: seriesQuery",
            "line 3: metricsQuery: template: unclosed action",
            "line 4: resources.template: it must",
            "line 6: resourceRules.cpu.nodeQuery: there is no field .X",
            "line 7: resourceRules.memory.nodeQuery: is missing",
            "line 7: resourceRules.memory.containerLabel is missing",
        ],
    );
    let (rules, errors) = RuleSet::compile_each(&parse(text).unwrap(), &Arc::new(Kinds::builtin()));
    assert_eq!((rules.custom.len(), rules.resource.is_some(), errors.len()), (0, false, 6));
}

#[test]
fn durations_of_prometheus() {
    for (text, ms) in [
        ("5m", Some(300_000)),
        ("1h30m", Some(5_400_000)),
        ("0", Some(0)),
        ("1y2w3d4h5m6s7ms", Some(33_019_506_007)),
    ] {
        assert_eq!(prometheus_duration_ms(text), ms, "{text}");
    }
    for text in ["", "5", "m", "1m1h", "1m1m", "-1m", "1.5m", "99999999999999999999y", "99999999999y"] {
        assert_eq!(prometheus_duration_ms(text), None, "{text}");
    }
    check("resourceRules: {window: 5}", &["line 1: window: not a valid duration string"]);
}

#[test]
fn hostile_yaml_is_refused() {
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
        + &(1..12)
            .map(|i| {
                format!(
                    "{}: &{} [{}]\n",
                    name(i),
                    name(i),
                    [format!("*{}", name(i - 1)).as_str(); 9].join(",")
                )
            })
            .collect::<String>();
    assert!(parse(&bomb).is_err());
    let deep = format!("rules: {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(parse(&deep).is_err());
}

fn name(index: u8) -> char {
    char::from(b'a' + index)
}

const EVERYTHING: &str = concat!(
    include_str!("../../testdata/configs/20-everything.yaml"),
    "schedules:\n- name: floor\n  timeZone: UTC\n  windows:\n  - {days: [Mon-Fri], from: '08:00', to: '20:00', value: 12, ramp: 30m}\n",
);

#[test]
fn every_key_at_once() {
    check(EVERYTHING, &[]);
    let config = parse(EVERYTHING).unwrap();
    assert_eq!((config.rules.len(), config.external_rules.len(), config.schedules.len()), (1, 1, 1));
    let rule = &config.rules[0];
    assert_eq!((rule.line, rule.resources.namespaced, rule.series_filters.len()), (3, Some(true), 2));
    assert_eq!((rule.name_matches.value.as_str(), rule.name_as.value.as_str()), ("^shop_(.*)$", "$1"));
    assert_eq!(rule.resources.overrides["cron"].group, "batch");
    assert_eq!(config.resource_rules.unwrap().window_ms, 90_000);
}

#[test]
fn a_resource_without_rules_is_named_with_a_line() {
    let expected = [
        "line 3: resourceRules.memory.containerQuery: is missing",
        "line 3: resourceRules.memory.nodeQuery: is missing",
        "line 3: resourceRules.memory.containerLabel is missing",
    ];
    let text = "rules: []\nresourceRules:\n  cpu:\n    containerQuery: x{<<.LabelMatchers>>}\n    \
                nodeQuery: x{<<.LabelMatchers>>}\n    containerLabel: container\n";
    let config = parse(text).unwrap();
    let errors = RuleSet::compile(&config, &Arc::new(Kinds::builtin())).err().unwrap();
    let of_memory: Vec<String> =
        errors.iter().map(ToString::to_string).filter(|error| error.contains("memory.")).collect();
    assert_eq!(of_memory, expected);
}

proptest::proptest! {
    #[test]
    fn a_damaged_file_is_refused_or_taken(at in 0..EVERYTHING.len(), length in 0usize..40, insert in "[a-z<>{}\\[\\]:.,'\"$%*&!|#() \n-]{0,12}") {
        let end = (at + length).min(EVERYTHING.len());
        let text = format!("{}{insert}{}", &EVERYTHING[..at], &EVERYTHING[end..]);
        for complaint in complaints(&text) {
            proptest::prop_assert!(complaint.starts_with("line "), "{complaint}");
        }
    }
}
