//! The sources behind the one API, in order: each is asked for the metrics it knows; the first that knows one answers.
//!
//! * [`Queried`]: a backend with rules, or with metrics made from what is scraped, or both;
//! * [`Proxied`]: another server of the metrics APIs, KEDA's for example.
//!
//! One that fails answers its own metrics with an error; the others go on.

mod file;
mod listing;
mod proxied;
mod queried;
#[cfg(test)]
mod tests;
mod unwritten;

use std::sync::Arc;

use regex::RegexSet;

pub use file::{ProxiedSettings, SourceKind, SourceSettings, SourcesError, parse};
pub use listing::{Listing, RuleState};
pub use proxied::{Group, Listed, Proxied, Sender};
pub use queried::{Looks, Queried, QueriedParts, SourceError};
pub use unwritten::external_without_rules;

/// A source.
#[derive(Clone)]
pub enum Source {
    /// Asked in PromQL.
    Queried(Arc<Queried>),
    /// Asked as we are asked.
    Proxied(Arc<Proxied>),
}

impl Source {
    /// What it is called.
    pub fn name(&self) -> &str {
        match self {
            Source::Queried(source) => source.name(),
            Source::Proxied(source) => source.name(),
        }
    }
}

/// Names of metrics that a source may be asked for.
#[derive(Debug, Clone, Default)]
pub struct Names(Option<RegexSet>);

impl Names {
    /// Names that match one of these expressions as a whole; none given: all names.
    ///
    /// # Errors
    /// What is no expression.
    pub fn new(expressions: &[String]) -> Result<Names, regex::Error> {
        if expressions.is_empty() {
            return Ok(Names(None));
        }
        for expression in expressions {
            // Alone first: an unbalanced one must not become valid by what stands around it.
            regex::Regex::new(expression)?;
        }
        RegexSet::new(expressions.iter().map(|text| format!("^(?:{text})$"))).map(|set| Names(Some(set)))
    }

    /// Whether the source may be asked for it.
    pub fn hold(&self, metric: &str) -> bool {
        self.0.as_ref().is_none_or(|set| set.is_match(metric))
    }
}
