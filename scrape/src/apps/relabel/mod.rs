//! Relabelling, as Prometheus does it. Pure.
//!
//! Promise: for the same rules and labels the same labels come out, or the same "dropped". Regular expressions are anchored
//! at both ends and a dot matches every character; an absent label is an empty one, and a label that is set to nothing is
//! removed.

mod check;
mod template;

use flyball_model::pattern;
use md5::{Digest as _, Md5};
use regex::Regex;

use super::labelset::LabelSet;
pub use check::{Draft, RuleError};
use template::Template;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Sets the target label to the replacement if the expression matches.
    Replace,
    /// Drops what does not match.
    Keep,
    /// Drops what matches.
    Drop,
    /// Drops what does not equal the target label.
    KeepEqual,
    /// Drops what equals the target label.
    DropEqual,
    /// Sets the target label to a hash of the source.
    HashMod,
    /// Copies labels whose names match to names made of the replacement.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Sets the target label to the source in lower case.
    Lowercase,
    /// Sets the target label to the source in upper case.
    Uppercase,
}

impl Action {
    /// All, with the names they have in the file.
    pub const ALL: [(Action, &'static str); 11] = [
        (Action::Replace, "replace"),
        (Action::Keep, "keep"),
        (Action::Drop, "drop"),
        (Action::KeepEqual, "keepequal"),
        (Action::DropEqual, "dropequal"),
        (Action::HashMod, "hashmod"),
        (Action::LabelMap, "labelmap"),
        (Action::LabelDrop, "labeldrop"),
        (Action::LabelKeep, "labelkeep"),
        (Action::Lowercase, "lowercase"),
        (Action::Uppercase, "uppercase"),
    ];

    /// By its name, in any case.
    pub fn from_name(name: &str) -> Option<Action> {
        let found = Action::ALL.into_iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
        found.map(|(action, _)| action)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Action::ALL.into_iter().find(|(action, _)| *action == self).map_or("", |(_, name)| name)
    }
}

/// A rule that was checked; made by [`Draft::check`].
#[derive(Debug, Clone)]
pub struct Rule {
    action: Action,
    source_labels: Vec<String>,
    separator: String,
    regex: Regex,
    modulus: u64,
    target: Template,
    replacement: Template,
}

/// Applies rules in order; `false` as soon as one drops the labels, which are then of no use.
#[must_use]
pub fn apply(rules: &[Rule], labels: &mut LabelSet) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

impl Rule {
    fn apply(&self, labels: &mut LabelSet) -> bool {
        match self.action {
            Action::Drop => !self.regex.is_match(&self.source(labels)),
            Action::Keep => self.regex.is_match(&self.source(labels)),
            Action::DropEqual => labels.get(self.target.text()) != self.source(labels),
            Action::KeepEqual => labels.get(self.target.text()) == self.source(labels),
            _ => {
                self.change(labels);
                true
            }
        }
    }

    fn change(&self, labels: &mut LabelSet) {
        match self.action {
            Action::Replace => self.replace(labels),
            Action::HashMod => {
                let hash = Md5::digest(self.source(labels).as_bytes());
                let last: [u8; 8] = std::array::from_fn(|index| hash[8 + index]);
                let rest = u64::from_be_bytes(last) % self.modulus;
                labels.set(self.target.text(), rest.to_string());
            }
            Action::LabelMap => {
                let mapped: Vec<(String, String)> = labels
                    .iter()
                    .filter_map(|(name, value)| {
                        let captures = self.regex.captures(name)?;
                        Some((self.replacement.expand(&captures), value.to_owned()))
                    })
                    .collect();
                mapped
                    .into_iter()
                    .filter(|(name, _)| !name.is_empty())
                    .for_each(|(name, value)| labels.set(name, value));
            }
            Action::LabelDrop => labels.retain(|name| !self.regex.is_match(name)),
            Action::LabelKeep => labels.retain(|name| self.regex.is_match(name)),
            Action::Lowercase => {
                let value = self.source(labels).chars().map(lower).collect::<String>();
                labels.set(self.target.text(), value);
            }
            Action::Uppercase => {
                let value = self.source(labels).chars().map(upper).collect::<String>();
                labels.set(self.target.text(), value);
            }
            Action::Keep | Action::Drop | Action::KeepEqual | Action::DropEqual => {}
        }
    }

    fn replace(&self, labels: &mut LabelSet) {
        let source = self.source(labels);
        let Some(captures) = self.regex.captures(&source) else { return };
        let target = self.target.expand(&captures);
        if !target.is_empty() {
            labels.set(target, self.replacement.expand(&captures));
        }
    }

    fn source(&self, labels: &LabelSet) -> String {
        let mut joined = String::new();
        for (index, name) in self.source_labels.iter().enumerate() {
            if index > 0 {
                joined.push_str(&self.separator);
            }
            joined.push_str(labels.get(name));
        }
        joined
    }
}

/// Go's strings.ToLower goes character by character.
fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// A character that needs several in upper case has no simple one.
fn upper(c: char) -> char {
    let mut all = c.to_uppercase();
    match (all.next(), all.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

fn compile(expression: &str) -> Result<Regex, String> {
    pattern::compile(expression)
}

#[cfg(test)]
mod tests;
