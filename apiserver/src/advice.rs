//! What is wrong with the surroundings of a program, and how to mend it: told once per change in the log, and as long
//! as it lasts in `/readyz?verbose`.
//!
//! Advice never makes a probe fail. What stops a program from answering fails its own check; advice says why, and what
//! to do about it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many topics are kept; what comes beyond them is logged only.
const TOPICS_LIMIT: usize = 64;
/// Longest text of one topic, in bytes; longer ones are cut.
const TEXT_LIMIT_BYTES: usize = 1024;

/// The open findings by topic. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Advice(Arc<Mutex<BTreeMap<String, String>>>);

impl Advice {
    /// Nothing is wrong.
    pub fn new() -> Self {
        Self::default()
    }

    /// States the finding of a topic, or with `None` that there is none any more. The log gets a line only when that
    /// is news.
    pub fn set(&self, topic: &str, finding: Option<String>) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match finding.map(cut) {
            Some(finding) if open.get(topic) == Some(&finding) => {}
            Some(finding) => {
                tracing::warn!(topic, "{finding}");
                if open.len() < TOPICS_LIMIT || open.contains_key(topic) {
                    open.insert(topic.to_owned(), finding);
                }
            }
            None => {
                if let Some(was) = open.remove(topic) {
                    tracing::info!(topic, was, "mended");
                }
            }
        }
    }

    /// States the finding of a topic that somebody else logs.
    pub fn show(&self, topic: &str, finding: Option<String>) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match finding.map(cut) {
            Some(finding) if open.len() < TOPICS_LIMIT || open.contains_key(topic) => {
                open.insert(topic.to_owned(), finding);
            }
            Some(_) => {}
            None => drop(open.remove(topic)),
        }
    }

    /// All open findings, by topic.
    pub fn all(&self) -> Vec<(String, String)> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().map(|(topic, finding)| (topic.clone(), finding.clone())).collect()
    }

    /// The open finding of one topic.
    pub fn of(&self, topic: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(topic).cloned()
    }
}

/// One line, not too long: findings may quote what others sent.
fn cut(text: String) -> String {
    let line: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    match line.char_indices().find(|(at, _)| *at >= TEXT_LIMIT_BYTES) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_come_and_go() {
        let advice = Advice::new();
        advice.set("b", Some("two\nlines".to_owned()));
        advice.set("a", Some("x".repeat(2 * TEXT_LIMIT_BYTES)));
        let all = advice.all();
        assert_eq!((all[0].0.as_str(), all[1].1.as_str()), ("a", "two lines"));
        assert!(all[0].1.len() < TEXT_LIMIT_BYTES + 4);
        advice.clone().set("a", None);
        assert_eq!((advice.of("a"), advice.all().len()), (None, 1));
        for topic in 0..2 * TOPICS_LIMIT {
            advice.set(&topic.to_string(), Some("many".to_owned()));
        }
        assert_eq!(advice.all().len(), TOPICS_LIMIT);
    }
}
