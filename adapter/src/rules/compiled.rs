//! A rule that can be used: expressions and templates compiled, resources resolved.

use std::sync::Arc;

use flyball_tsdb::series::Matcher;

use crate::config::{Config, ConfigError};
use crate::kinds::Kinds;

/// One rule.
#[derive(Debug)]
pub struct Rule {}

impl Rule {
    /// Line of the file on which it begins; 0 for a rule made automatically.
    pub fn line(&self) -> u64 {
        unimplemented!()
    }

    /// Name of the backend, when the rule says one.
    pub fn source(&self) -> Option<&str> {
        unimplemented!()
    }

    /// What to ask the backend for, as a `match[]` parameter.
    pub fn series_query(&self) -> &str {
        unimplemented!()
    }

    /// The same, for the own store.
    pub fn matchers(&self) -> &[Matcher] {
        unimplemented!()
    }
}

/// All rules of a file.
#[derive(Debug, Default, Clone)]
pub struct RuleSet {
    /// Custom metrics.
    pub custom: Vec<Arc<Rule>>,
    /// External metrics.
    pub external: Vec<Arc<Rule>>,
}

impl RuleSet {
    /// Compiles the rules of a file.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line.
    pub fn compile(_config: &Config, _kinds: &Arc<Kinds>) -> Result<RuleSet, Vec<ConfigError>> {
        unimplemented!()
    }
}
