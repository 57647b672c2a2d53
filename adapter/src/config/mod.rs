//! prometheus-adapter's configuration file, complete, and Flyball's own keys beside it.
//!
//! The shape is upstream's: `rules`, `externalRules`, `resourceRules`. Our own: `schedules` (see [`crate::schedule`]) and,
//! in a rule, `source`: the name of the backend that is asked for it. Like upstream's reader, this one refuses unknown
//! keys; every error names line and column. What a rule means is checked when it is compiled ([`crate::rules`]).

mod read;

use std::collections::BTreeMap;

pub use read::parse;
pub(crate) use read::prometheus_duration_ms;
use serde_saphyr::Spanned;
use thiserror::Error;

use crate::schedule::ScheduleConfig;

/// Longest file that is read, bytes.
pub const MAX_FILE_BYTES: usize = 4 << 20;
/// Most rules of one list.
pub const MAX_RULES: usize = 1000;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {message}")]
pub struct ConfigError {
    /// Counted from 1; 1 too when the whole file is meant.
    pub line: u64,
    /// One sentence.
    pub message: String,
}

/// A text and the line it stands on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// The text; empty when the key is absent.
    pub value: String,
    /// Counted from 1; that of the rule when the key is absent.
    pub line: u64,
}

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// Custom metrics.
    pub rules: Vec<DiscoveryRule>,
    /// External metrics.
    pub external_rules: Vec<DiscoveryRule>,
    /// Resource metrics.
    pub resource_rules: Option<ResourceRules>,
    /// External metrics from a calendar.
    pub schedules: Vec<Located<ScheduleConfig>>,
}

/// Something and the line on which it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// What.
    pub value: T,
    /// Counted from 1.
    pub line: u64,
}

impl<T> From<Spanned<T>> for Located<T> {
    fn from(spanned: Spanned<T>) -> Located<T> {
        Located { line: spanned.referenced.line().max(1), value: spanned.value }
    }
}

/// How series become metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiscoveryRule {
    /// Where the rule begins.
    pub line: u64,
    /// Selector of the series.
    pub series_query: Text,
    /// Conditions on the name of the series.
    pub series_filters: Vec<SeriesFilter>,
    /// Which labels name objects.
    pub resources: ResourceMapping,
    /// `name.matches`
    pub name_matches: Text,
    /// `name.as`
    pub name_as: Text,
    /// Template of the query.
    pub metrics_query: Text,
    /// Name of the backend; the first one when absent.
    pub source: Option<Text>,
}

/// One of `is` and `isNot`; both as given, because exactly one is demanded when the rule is compiled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesFilter {
    /// Where the filter begins.
    pub line: u64,
    /// The name must match.
    pub is: String,
    /// The name must not match.
    pub is_not: String,
}

/// Which labels name objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceMapping {
    /// Where the mapping begins.
    pub line: u64,
    /// Template from resource to label.
    pub template: Text,
    /// Label to resource.
    pub overrides: BTreeMap<String, ConfiguredResource>,
    /// Whether the query of an external metric is confined to the namespace of the request; yes when absent.
    pub namespaced: Option<bool>,
}

/// A resource as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfiguredResource {
    /// Where it stands.
    pub line: u64,
    /// Empty when absent.
    pub group: String,
    /// Singular or plural.
    pub resource: String,
}

/// Queries of metrics.k8s.io.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceRules {
    /// Cores.
    pub cpu: ResourceRule,
    /// Bytes.
    pub memory: ResourceRule,
    /// Reported window, milliseconds; 0 when absent.
    pub window_ms: u64,
}

/// Queries of one resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceRule {
    /// Where it begins.
    pub line: u64,
    /// Of containers.
    pub container_query: Text,
    /// Of nodes.
    pub node_query: Text,
    /// Which labels name pods, namespaces, nodes.
    pub resources: ResourceMapping,
    /// Label that names the container.
    pub container_label: String,
}

#[cfg(test)]
mod tests;
