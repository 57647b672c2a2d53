//! A rule that can be used: expressions and templates compiled, resources resolved.

use std::collections::BTreeSet;
use std::sync::Arc;

use flyball_tsdb::promql;
use flyball_tsdb::series::Matcher;
use regex::Regex;

use super::labels::LabelMap;
use super::resource::UsageRules;
use super::shared::Findings;
use super::{expression, query};
use crate::config::{Config, ConfigError, DiscoveryRule, Text};
use crate::kinds::Kinds;
use crate::template::Template;

/// One rule.
#[derive(Debug)]
pub struct Rule {
    line: u64,
    source: Option<String>,
    series_query: String,
    matchers: Vec<Matcher>,
    filters: Vec<NameFilter>,
    name_matches: Regex,
    name_as: String,
    pub(super) query_text: String,
    pub(super) query: Template,
    pub(super) labels: LabelMap,
    pub(super) namespaced: bool,
    /// About its queries.
    pub(super) findings: Findings,
}

/// A condition on the name of a series.
#[derive(Debug)]
pub struct NameFilter {
    /// As written.
    pub text: String,
    /// `is`, not `isNot`.
    pub positive: bool,
    regex: Regex,
}

impl NameFilter {
    fn admits(&self, name: &str) -> bool {
        self.regex.is_match(name) == self.positive
    }
}

impl std::fmt::Display for NameFilter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", if self.positive { "is" } else { "isNot" }, self.text)
    }
}

impl Rule {
    /// Compiles a rule.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(rule: &DiscoveryRule, kinds: &Arc<Kinds>) -> Result<Rule, Vec<ConfigError>> {
        let mut faults = Faults::default();
        let matchers = faults.keep(rule.series_query.line, selector(&rule.series_query));
        let filters = filters(rule, &mut faults);
        let matches = &rule.name_matches;
        let pattern = if matches.value.is_empty() { ".*" } else { &matches.value };
        let name_matches = faults.keep(matches.line, named("name.matches", expression::compile(pattern)));
        let name_as = name_matches
            .as_ref()
            .and_then(|regex| faults.keep(matches.line, replacement(&rule.name_as, regex.captures_len())));
        let query = faults.keep(rule.metrics_query.line, metrics_query(&rule.metrics_query));
        let labels = LabelMap::compile(&rule.resources, kinds).map_err(|errors| faults.0.extend(errors)).ok();
        match (matchers, name_matches, name_as, query, labels) {
            (Some(matchers), Some(name_matches), Some(name_as), Some(query), Some(labels))
                if faults.0.is_empty() =>
            {
                Ok(Rule {
                    line: rule.line,
                    source: rule.source.as_ref().map(|source| source.value.clone()),
                    series_query: rule.series_query.value.clone(),
                    matchers,
                    filters,
                    name_matches,
                    name_as,
                    query_text: rule.metrics_query.value.clone(),
                    query,
                    labels,
                    namespaced: rule.resources.namespaced.unwrap_or(true),
                    findings: Findings::default(),
                })
            }
            _ => Err(faults.0),
        }
    }

    /// A rule made without a file, for series of one kind whose objects stand under the same labels.
    pub(crate) fn automatic(query_text: &str, query: Template, labels: LabelMap) -> Rule {
        Rule {
            line: 0,
            source: None,
            series_query: String::new(),
            matchers: Vec::new(),
            filters: Vec::new(),
            name_matches: expression::compile(".*").expect("an expression without anything special"),
            name_as: "$0".into(),
            query_text: query_text.to_owned(),
            query,
            labels,
            namespaced: true,
            findings: Findings::default(),
        }
    }

    /// Line of the file on which it begins; 0 for a rule made automatically.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Name of the backend, when the rule says one.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// What to ask the backend for, as a `match[]` parameter.
    pub fn series_query(&self) -> &str {
        &self.series_query
    }

    /// The same, for the own store.
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// `metricsQuery`, as written.
    pub fn query_text(&self) -> &str {
        &self.query_text
    }

    /// The first condition that a series' name fails; `name.matches` counts as the last one.
    pub fn refuses(&self, name: &str) -> Option<&NameFilter> {
        self.filters.iter().find(|filter| !filter.admits(name))
    }

    /// Name in the API of a series, when it passes the conditions; it may be empty, which no API can serve.
    pub fn metric_name(&self, series: &str) -> Option<String> {
        if self.refuses(series).is_some() { None } else { self.unfiltered_name(series) }
    }

    /// The name that a series would have if no condition kept it out.
    pub(crate) fn unfiltered_name(&self, series: &str) -> Option<String> {
        let captures = self.name_matches.captures(series)?;
        Some(expression::expand(&self.name_as, &captures))
    }

    /// What a label of a series stands for.
    pub fn meaning(&self, label: &str) -> super::LabelMeaning {
        self.labels.meaning(label)
    }

    /// The resources that labels name, and whether the objects are in namespaces.
    pub fn resources(&self, labels: &BTreeSet<String>) -> (BTreeSet<crate::kinds::GroupResource>, bool) {
        self.labels.resources(labels)
    }
}

#[derive(Default)]
struct Faults(Vec<ConfigError>);

impl Faults {
    fn keep<T>(&mut self, line: u64, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.0.push(ConfigError { line, message })).ok()
    }
}

fn named<T>(field: &str, result: Result<T, String>) -> Result<T, String> {
    result.map_err(|reason| format!("{field}: {reason}"))
}

fn selector(text: &Text) -> Result<Vec<Matcher>, String> {
    if text.value.trim().is_empty() {
        return Err("seriesQuery is missing".into());
    }
    let selector = promql::parse::parse_selector(&text.value);
    named("seriesQuery", selector.map(|selector| selector.matchers).map_err(|error| error.to_string()))
}

/// `seriesFilters`, and `name.matches` as the last of them.
fn filters(rule: &DiscoveryRule, faults: &mut Faults) -> Vec<NameFilter> {
    let mut filters = Vec::new();
    for (index, filter) in rule.series_filters.iter().enumerate() {
        let (text, positive) = match (filter.is.as_str(), filter.is_not.as_str()) {
            ("", "") => {
                let fault = format!("seriesFilters[{index}]: one of is and isNot is needed");
                faults.0.push(ConfigError { line: filter.line, message: fault });
                continue;
            }
            (is, "") => (is, true),
            ("", is_not) => (is_not, false),
            _ => {
                let fault = format!("seriesFilters[{index}]: only one of is and isNot may be given");
                faults.0.push(ConfigError { line: filter.line, message: fault });
                continue;
            }
        };
        let regex = named(&format!("seriesFilters[{index}]"), expression::compile(text));
        if let Some(regex) = faults.keep(filter.line, regex) {
            filters.push(NameFilter { text: text.to_owned(), positive, regex });
        }
    }
    // A bad expression is told of by the caller.
    let matches = &rule.name_matches.value;
    if let (false, Ok(regex)) = (matches.is_empty(), expression::compile(matches)) {
        filters.push(NameFilter { text: matches.clone(), positive: true, regex });
    }
    filters
}

/// `name.as`, or the whole name, or the only group.
fn replacement(name_as: &Text, groups: usize) -> Result<String, String> {
    match (name_as.value.as_str(), groups) {
        ("", 1) => Ok("$0".into()),
        ("", 2) => Ok("$1".into()),
        ("", groups) => Err(format!("name.as is needed, because name.matches has {} groups", groups - 1)),
        (given, _) => Ok(given.to_owned()),
    }
}

/// A template for a query: read, and asking for nothing that is not there.
pub(super) fn metrics_query(text: &Text) -> Result<Template, String> {
    if text.value.is_empty() {
        return Err("metricsQuery is missing".into());
    }
    named("metricsQuery", query_template(&text.value))
}

pub(super) fn query_template(text: &str) -> Result<Template, String> {
    let template = Template::parse(text).map_err(|error| error.to_string())?;
    match template.root_fields().into_iter().find(|field| !query::FIELDS.contains(field)) {
        Some(unknown) => {
            Err(format!("there is no field .{unknown}; a query has .{}", query::FIELDS.join(", .")))
        }
        None => Ok(template),
    }
}

/// All rules of a file.
#[derive(Debug, Default, Clone)]
pub struct RuleSet {
    /// Custom metrics.
    pub custom: Vec<Arc<Rule>>,
    /// External metrics.
    pub external: Vec<Arc<Rule>>,
    /// Resource metrics, when the file has rules for them.
    pub resource: Option<Arc<UsageRules>>,
}

impl RuleSet {
    /// Compiles the rules of a file.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line.
    pub fn compile(config: &Config, kinds: &Arc<Kinds>) -> Result<RuleSet, Vec<ConfigError>> {
        match RuleSet::compile_each(config, kinds) {
            (rules, errors) if errors.is_empty() => Ok(rules),
            (_, errors) => Err(errors),
        }
    }

    /// The rules that can be used, and what is wrong with the others, by line.
    pub fn compile_each(config: &Config, kinds: &Arc<Kinds>) -> (RuleSet, Vec<ConfigError>) {
        let mut errors = Vec::new();
        let mut list = |rules: &[DiscoveryRule]| {
            let mut good = Vec::new();
            for rule in rules {
                match Rule::compile(rule, kinds) {
                    Ok(rule) => good.push(Arc::new(rule)),
                    Err(faults) => errors.extend(faults),
                }
            }
            good
        };
        let (custom, external) = (list(&config.rules), list(&config.external_rules));
        let resource = config.resource_rules.as_ref().and_then(|rules| {
            UsageRules::compile(rules, kinds).map_err(|faults| errors.extend(faults)).ok().map(Arc::new)
        });
        errors.sort_by_key(|error| error.line);
        (RuleSet { custom, external, resource }, errors)
    }
}
