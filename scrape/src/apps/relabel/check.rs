//! From what a file says to a rule that holds together. Pure.

use super::template::Template;
use super::{Action, Rule, compile};

/// What a file says; the default is Prometheus'.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// `action`
    pub action: Action,
    /// `source_labels`
    pub source_labels: Option<Vec<String>>,
    /// `separator`
    pub separator: String,
    /// `regex`
    pub regex: Option<String>,
    /// `modulus`
    pub modulus: u64,
    /// `target_label`
    pub target_label: String,
    /// `replacement`
    pub replacement: String,
}

const SEPARATOR: &str = ";";
const REGEX: &str = "(.*)";
const REPLACEMENT: &str = "$1";

impl Default for Draft {
    fn default() -> Draft {
        Draft {
            action: Action::Replace,
            source_labels: None,
            separator: SEPARATOR.to_owned(),
            regex: None,
            modulus: 0,
            target_label: String::new(),
            replacement: REPLACEMENT.to_owned(),
        }
    }
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct RuleError {
    /// The field at fault.
    pub field: &'static str,
    /// Why.
    pub reason: String,
}

fn wrong(field: &'static str, reason: impl Into<String>) -> RuleError {
    RuleError { field, reason: reason.into() }
}

impl Draft {
    /// Checks that the fields fit the action, by Prometheus' rules.
    ///
    /// # Errors
    /// The field that does not.
    pub fn check(self) -> Result<Rule, RuleError> {
        use Action::{
            DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase, Replace, Uppercase,
        };
        let name = self.action.name();
        if self.action == HashMod && self.modulus == 0 {
            return Err(wrong("modulus", "the action hashmod needs one that is not 0"));
        }
        let needs_target =
            matches!(self.action, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual);
        if needs_target && self.target_label.is_empty() {
            return Err(wrong("target_label", format!("the action {name} needs one")));
        }
        if matches!(self.action, Lowercase | Uppercase) && self.replacement != REPLACEMENT {
            return Err(wrong("replacement", format!("the action {name} takes none")));
        }
        if self.action == LabelMap && self.replacement.is_empty() {
            return Err(wrong("replacement", "the action labelmap needs one"));
        }
        if matches!(self.action, KeepEqual | DropEqual) {
            self.allow_only(&["source_labels", "target_label"])?;
        }
        if matches!(self.action, LabelDrop | LabelKeep) {
            self.allow_only(&["regex"])?;
        }
        let regex =
            compile(self.regex.as_deref().unwrap_or(REGEX)).map_err(|reason| wrong("regex", reason))?;
        Ok(Rule {
            action: self.action,
            source_labels: self.source_labels.unwrap_or_default(),
            separator: self.separator,
            regex,
            modulus: self.modulus,
            target: Template::new(&self.target_label),
            replacement: Template::new(&self.replacement),
        })
    }

    /// Some actions take nothing but a few fields.
    fn allow_only(&self, allowed: &[&str]) -> Result<(), RuleError> {
        let given = [
            ("source_labels", self.source_labels.is_some()),
            ("separator", self.separator != SEPARATOR),
            ("regex", self.regex.is_some()),
            ("modulus", self.modulus != 0),
            ("target_label", !self.target_label.is_empty()),
            ("replacement", self.replacement != REPLACEMENT),
        ];
        match given.into_iter().find(|(field, given)| *given && !allowed.contains(field)) {
            Some((field, _)) => {
                let (name, only) = (self.action.name(), allowed.join(" and "));
                Err(wrong(field, format!("the action {name} takes only {only}")))
            }
            None => Ok(()),
        }
    }
}
