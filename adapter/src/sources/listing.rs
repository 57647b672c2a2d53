//! What one look at a backend found: its catalogue, and what became of each rule.

use crate::rules::Catalogue;

/// What became of a rule at the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleState {
    /// Its line in the file; 0 for what is made automatically.
    pub line: u64,
    /// Its selector.
    pub series_query: String,
    /// How many metrics have series that it selects, or why that could not be asked.
    pub found: Result<usize, String>,
}

/// One look.
#[derive(Debug, Clone)]
pub struct Listing {
    /// What exists.
    pub catalogue: Catalogue,
    /// What became of the rules, in their order: of custom metrics, of external ones, automatic ones.
    pub rules: Vec<RuleState>,
    /// When, Unix milliseconds; 0 before the first look.
    pub at_ms: i64,
}

impl Listing {
    /// Why a part of it may be missing; `None` when all questions were answered.
    pub fn failure(&self) -> Option<String> {
        let failed = self.rules.iter().filter(|rule| rule.found.is_err()).count();
        let first = self.rules.iter().find_map(|rule| Some((rule, rule.found.as_ref().err()?)))?;
        let (rule, reason) = first;
        let which = match rule.line {
            0 => "metrics made from what is scraped".to_owned(),
            line => format!("the rule of line {line}"),
        };
        Some(match failed {
            1 => format!("{which}: {reason}"),
            more => format!("{which} and {} more: {reason}", more - 1),
        })
    }
}
