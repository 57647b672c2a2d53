//! What a check found: values shown by Flyball, each beside what was really consumed.

use std::fmt::{Debug, Display};
use std::ops::RangeInclusive;

use crate::console;

/// Comparisons of one check, printed as they are made.
#[derive(Debug, Default)]
pub struct Evidence {
    wrong: Vec<String>,
}

impl Evidence {
    /// Comparisons that did not hold.
    pub fn wrong(&self) -> &[String] {
        &self.wrong
    }

    /// `shown` is at most `slack` away from `consumed`.
    pub fn near(&mut self, what: &str, shown: impl Into<Option<u64>>, consumed: u64, slack: u64) {
        let shown = shown.into();
        let right = shown.is_some_and(|shown| shown.abs_diff(consumed) <= slack);
        let shown = shown.map_or_else(|| "nothing".to_owned(), grouped);
        let text = format!("{what}: shown {shown}, consumed {} (± {})", grouped(consumed), grouped(slack));
        self.note(right, &text);
    }

    /// `shown` lies between two true values, taken before and after it.
    pub fn between(&mut self, what: &str, shown: impl Into<Option<u64>>, range: RangeInclusive<u64>) {
        let shown = shown.into();
        let right = shown.is_some_and(|shown| range.contains(&shown));
        let shown = shown.map_or_else(|| "nothing".to_owned(), grouped);
        let (low, high) = (grouped(*range.start()), grouped(*range.end()));
        self.note(right, &format!("{what}: shown {shown}, truly {low} to {high}"));
    }

    /// `shown` is `expected`.
    pub fn equal<T: PartialEq + Debug>(&mut self, what: &str, shown: T, expected: T) {
        let right = shown == expected;
        self.note(right, &format!("{what}: shown {shown:?}, truly {expected:?}"));
    }

    /// Something that is simply so, with what was seen of it.
    pub fn holds(&mut self, what: &str, right: bool, seen: impl Display) {
        self.note(right, &format!("{what}: {seen}"));
    }

    fn note(&mut self, right: bool, text: &str) {
        console::say(&format!("{} {text}", if right { "   " } else { "!!!" }));
        if !right {
            self.wrong.push(text.to_owned());
        }
    }
}

/// `1234567` as `1_234_567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_hold_is_kept() {
        let mut evidence = Evidence::default();
        evidence.near("a", 105, 100, 5);
        evidence.between("b", Some(7), 7..=9);
        evidence.equal("c", "v2", "v2");
        assert_eq!(evidence.wrong().len(), 0);
        evidence.near("d", None, 0, 10);
        evidence.between("e", 10, 7..=9);
        evidence.equal("f", 1, 2);
        evidence.holds("g", false, "seen");
        assert_eq!(evidence.wrong().len(), 4);
        assert!(evidence.wrong()[0].starts_with("d: shown nothing"));
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1_234_567");
        assert_eq!(grouped(123), "123");
    }
}
