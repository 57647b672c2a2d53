//! From text to [`super::Config`]: the keys as they are written, and where.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{
    Config, ConfigError, ConfiguredResource, DiscoveryRule, Located, MAX_FILE_BYTES, MAX_RULES,
    ResourceMapping, ResourceRule, ResourceRules, SeriesFilter, Text,
};
use crate::schedule::ScheduleConfig;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(default)]
    rules: Option<Vec<Spanned<Rule>>>,
    #[serde(default)]
    external_rules: Option<Vec<Spanned<Rule>>>,
    #[serde(default)]
    resource_rules: Option<Spanned<Resources>>,
    #[serde(default)]
    schedules: Option<Vec<Spanned<ScheduleConfig>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    series_query: Option<Spanned<String>>,
    series_filters: Option<Vec<Spanned<Filter>>>,
    resources: Option<Spanned<Mapping>>,
    name: Option<Name>,
    metrics_query: Option<Spanned<String>>,
    source: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Filter {
    is: Option<String>,
    is_not: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Name {
    matches: Option<Spanned<String>>,
    r#as: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    template: Option<Spanned<String>>,
    overrides: Option<BTreeMap<String, Spanned<Target>>>,
    namespaced: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    group: Option<String>,
    resource: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resources {
    cpu: Option<Spanned<Usage>>,
    memory: Option<Spanned<Usage>>,
    window: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Usage {
    container_query: Option<Spanned<String>>,
    node_query: Option<Spanned<String>>,
    resources: Option<Spanned<Mapping>>,
    container_label: Option<String>,
}

/// Reads a file.
///
/// # Errors
/// What is no YAML, an unknown or repeated key, a value of the wrong type, too much of something: with the line.
pub fn parse(text: &str) -> Result<Config, ConfigError> {
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file has {} bytes, more than the {MAX_FILE_BYTES} allowed", text.len());
        return Err(ConfigError { line: 1, message });
    }
    // A file of comments alone is the empty configuration, as upstream reads it.
    let file: Option<File> = serde_saphyr::from_str(text).map_err(|error| refusal(&error))?;
    let Some(file) = file else { return Ok(Config::default()) };
    let limited = |rules: Option<Vec<Spanned<Rule>>>, key: &str| match rules.unwrap_or_default() {
        rules if rules.len() > MAX_RULES => Err(ConfigError {
            line: rules[MAX_RULES].referenced.line().max(1),
            message: format!("{key} has {} rules, more than the {MAX_RULES} allowed", rules.len()),
        }),
        rules => Ok(rules.into_iter().map(rule).collect()),
    };
    Ok(Config {
        rules: limited(file.rules, "rules")?,
        external_rules: limited(file.external_rules, "externalRules")?,
        resource_rules: file.resource_rules.map(resource_rules).transpose()?,
        schedules: file.schedules.unwrap_or_default().into_iter().map(Located::from).collect(),
    })
}

/// The reader's message without its picture of the text, for it is repeated in logs.
fn refusal(error: &serde_saphyr::Error) -> ConfigError {
    let line = error.location().map_or(1, |location| location.line().max(1));
    let plain = error.without_snippet().to_string();
    let mut message = plain.lines().next().unwrap_or_default().trim();
    if let Some((head, _)) = message.split_once(" at line ") {
        message = head;
    }
    ConfigError { line, message: message.to_owned() }
}

fn rule(spanned: Spanned<Rule>) -> DiscoveryRule {
    let line = spanned.referenced.line().max(1);
    let rule = spanned.value;
    let name = rule.name.unwrap_or_default();
    DiscoveryRule {
        line,
        series_query: text(rule.series_query, line),
        series_filters: rule.series_filters.unwrap_or_default().into_iter().map(filter).collect(),
        resources: mapping(rule.resources, line),
        name_matches: text(name.matches, line),
        name_as: text(name.r#as, line),
        metrics_query: text(rule.metrics_query, line),
        source: rule.source.map(|source| text(Some(source), line)),
    }
}

fn text(spanned: Option<Spanned<String>>, rule_line: u64) -> Text {
    match spanned {
        Some(spanned) => Text { line: spanned.referenced.line().max(1), value: spanned.value },
        None => Text { line: rule_line, value: String::new() },
    }
}

fn filter(spanned: Spanned<Filter>) -> SeriesFilter {
    SeriesFilter {
        line: spanned.referenced.line().max(1),
        is: spanned.value.is.unwrap_or_default(),
        is_not: spanned.value.is_not.unwrap_or_default(),
    }
}

fn mapping(spanned: Option<Spanned<Mapping>>, rule_line: u64) -> ResourceMapping {
    let Some(spanned) = spanned else {
        return ResourceMapping { line: rule_line, ..ResourceMapping::default() };
    };
    let line = spanned.referenced.line().max(1);
    let overrides = spanned.value.overrides.unwrap_or_default().into_iter().map(|(label, target)| {
        let resource = ConfiguredResource {
            line: target.referenced.line().max(1),
            group: target.value.group.unwrap_or_default(),
            resource: target.value.resource.unwrap_or_default(),
        };
        (label, resource)
    });
    ResourceMapping {
        line,
        template: text(spanned.value.template, line),
        overrides: overrides.collect(),
        namespaced: spanned.value.namespaced,
    }
}

fn resource_rules(spanned: Spanned<Resources>) -> Result<ResourceRules, ConfigError> {
    let line = spanned.referenced.line().max(1);
    let resources = spanned.value;
    let window_ms = match resources.window {
        None => 0,
        Some(window) => prometheus_duration_ms(&window.value).ok_or_else(|| ConfigError {
            line: window.referenced.line().max(1),
            message: format!("window: not a valid duration string: {:?}", window.value),
        })?,
    };
    Ok(ResourceRules { cpu: usage(resources.cpu, line), memory: usage(resources.memory, line), window_ms })
}

/// Faults of a resource without rules are said of the line of both.
fn usage(spanned: Option<Spanned<Usage>>, rules_line: u64) -> ResourceRule {
    let (line, usage) = match spanned {
        Some(spanned) => (spanned.referenced.line().max(1), spanned.value),
        None => (rules_line, Usage::default()),
    };
    ResourceRule {
        line,
        container_query: text(usage.container_query, line),
        node_query: text(usage.node_query, line),
        resources: mapping(usage.resources, line),
        container_label: usage.container_label.unwrap_or_default(),
    }
}

/// Milliseconds of a duration as Prometheus' files have it: `5m`, `1h30m`, `0`; units from large to small, each once.
pub(crate) fn prometheus_duration_ms(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut total, mut next) = (text, 0u64, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: u64 = rest[..digits].parse().ok()?;
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let name = &rest[digits..digits + letters];
        let unit = UNITS.iter().position(|(unit, _)| *unit == name)?;
        if unit < next {
            return None;
        }
        next = unit + 1;
        total = total.checked_add(count.checked_mul(UNITS[unit].1)?)?;
        rest = &rest[digits + letters..];
    }
    (!text.is_empty()).then_some(total)
}
