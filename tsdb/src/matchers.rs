//! Selectors made ready: regular expressions compiled once, and the ways by which an index finds what they select.
//!
//! Promise: an absent label counts as the empty value; expressions are anchored at both ends and `.` matches a line break, as
//! in Prometheus 3. [`select`] is the one algorithm, for the head and for sealed blocks.

use std::collections::HashMap;

use regex::Regex;

use crate::series::{MatchOp, Matcher, ReadError};

/// Largest compiled expression; a larger one is refused, for its size comes from a stranger.
const COMPILED_BYTES_MAX: usize = 4 << 20;

/// A matcher that can be asked.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) name: String,
    test: Test,
    negative: bool,
}

#[derive(Debug)]
enum Test {
    /// One of these texts.
    OneOf(Vec<String>),
    /// Anything at all.
    Anything,
    Expression(Regex),
}

impl Compiled {
    fn new(matcher: &Matcher) -> Result<Compiled, ReadError> {
        let negative = matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotMatches);
        let test = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => Test::OneOf(vec![matcher.value.clone()]),
            MatchOp::Matches | MatchOp::NotMatches => expression(&matcher.value)
                .map_err(|reason| ReadError::Matcher { name: matcher.name.clone(), reason })?,
        };
        Ok(Compiled { name: matcher.name.clone(), test, negative })
    }

    /// Whether a label of this value (empty when absent) is selected.
    pub(crate) fn matches(&self, value: &str) -> bool {
        let positive = match &self.test {
            Test::OneOf(texts) => texts.iter().any(|text| text == value),
            Test::Anything => true,
            Test::Expression(regex) => regex.is_match(value),
        };
        positive != self.negative
    }

    /// The few values that are selected, if they are given as texts and the empty one is not among them.
    fn texts(&self) -> Option<&[String]> {
        match &self.test {
            Test::OneOf(texts) if !self.negative && texts.iter().all(|text| !text.is_empty()) => Some(texts),
            _ => None,
        }
    }
}

/// Compiles all matchers.
pub(crate) fn compile(matchers: &[Matcher]) -> Result<Vec<Compiled>, ReadError> {
    matchers.iter().map(Compiled::new).collect()
}

/// Characters that mean something in an expression, besides the bar.
const MEANINGFUL: &str = r"\.+*?()[]{}^$";

fn expression(text: &str) -> Result<Test, String> {
    if text == ".*" {
        return Ok(Test::Anything);
    }
    if !text.contains(|letter: char| MEANINGFUL.contains(letter)) {
        return Ok(Test::OneOf(text.split('|').map(str::to_owned).collect()));
    }
    // Alone first: an unbalanced expression must not become a valid one by what stands around it.
    let build = |text: &str| regex::RegexBuilder::new(text).size_limit(COMPILED_BYTES_MAX).build();
    build(text)
        .and_then(|_| build(&format!(r"\A(?s:{text})\z")))
        .map(Test::Expression)
        .map_err(|error| format!("{text:?} is no regular expression: {error}"))
}

/// What an index of series answers; series are numbered.
pub(crate) trait Index {
    /// Why it cannot answer.
    type Error;

    /// All series, in order of their numbers.
    fn all(&self) -> Result<Vec<u32>, Self::Error>;

    /// Series with this label, in order of their numbers.
    fn with(&self, name: &str, value: &str) -> Result<Vec<u32>, Self::Error>;

    /// Series with this label at any value that `wanted` says yes to, in any order.
    fn with_any(&self, name: &str, wanted: &mut dyn FnMut(&str) -> bool) -> Result<Vec<u32>, Self::Error>;

    /// Calls `visit` with the value of one label of each series (empty when absent) and a number that is equal for equal
    /// values; keeps those series for which it says yes.
    fn retain(
        &self,
        series: &mut Vec<u32>,
        name: &str,
        visit: &mut dyn FnMut(u64, &str) -> bool,
    ) -> Result<(), Self::Error>;
}

/// Numbers of the series that satisfy all matchers, in order.
pub(crate) fn select<I: Index>(index: &I, matchers: &[Compiled]) -> Result<Vec<u32>, I::Error> {
    let mut found: Option<Vec<u32>> = None;
    let mut rest = Vec::new();
    for matcher in matchers {
        match matcher.texts() {
            Some(texts) => {
                let mut these = Vec::new();
                for text in texts {
                    these.extend(index.with(&matcher.name, text)?);
                }
                if texts.len() > 1 {
                    these.sort_unstable();
                    these.dedup();
                }
                found = Some(match found {
                    Some(found) => intersection(found, &these),
                    None => these,
                });
            }
            None => rest.push(matcher),
        }
    }
    let mut found = match found {
        Some(found) => found,
        None => match rest.iter().position(|matcher| !matcher.matches("")) {
            Some(position) => {
                let matcher = rest.swap_remove(position);
                let mut found = index.with_any(&matcher.name, &mut |value| matcher.matches(value))?;
                found.sort_unstable();
                found
            }
            None => index.all()?,
        },
    };
    for matcher in
        rest.into_iter().filter(|matcher| !matches!(matcher.test, Test::Anything) || matcher.negative)
    {
        let mut known: HashMap<u64, bool> = HashMap::new();
        index.retain(&mut found, &matcher.name, &mut |number, value| {
            *known.entry(number).or_insert_with(|| matcher.matches(value))
        })?;
    }
    Ok(found)
}

/// What is in both; both are in order. The shorter is looked up in the longer when it is much shorter.
fn intersection(mut left: Vec<u32>, right: &[u32]) -> Vec<u32> {
    const MUCH: usize = 16;
    if right.len() > left.len() * MUCH {
        left.retain(|number| right.binary_search(number).is_ok());
        return left;
    }
    let mut position = 0;
    left.retain(|number| {
        while right.get(position).is_some_and(|have| have < number) {
            position += 1;
        }
        right.get(position) == Some(number)
    });
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(op: MatchOp, value: &str) -> Result<Compiled, ReadError> {
        Compiled::new(&Matcher { name: "pod".to_owned(), op, value: value.to_owned() })
    }

    #[test]
    fn expressions_are_anchored_and_dots_match_line_breaks() {
        for (text, value, expected) in [
            ("a.c", "abc", true),
            ("a.c", "a\nc", true),
            ("a.c", "xabc", false),
            ("a.c", "abcx", false),
            ("a|b", "b", true),
            ("a|b", "ab", false),
            ("a|bc.*", "a", true),
            ("a|bc.*", "ax", false),
            (".*", "", true),
            (".+", "", false),
            ("", "", true),
            ("|x", "", true),
            ("(?i)ABC", "abc", true),
        ] {
            assert_eq!(
                compiled(MatchOp::Matches, text).unwrap().matches(value),
                expected,
                "{text} {value:?}"
            );
            assert_eq!(compiled(MatchOp::NotMatches, text).unwrap().matches(value), !expected);
        }
    }

    #[test]
    fn what_is_no_expression_is_refused_by_name() {
        for text in ["(", "a)(b", "a)|(b", "[", "(?:x{1000}){1000}{1000}"] {
            let error = compiled(MatchOp::Matches, text).unwrap_err();
            assert!(error.to_string().starts_with("matcher pod: "), "{error}");
        }
    }

    #[test]
    fn intersections() {
        assert_eq!(intersection(vec![1, 3, 5], &[3, 4, 5, 6]), [3, 5]);
        assert_eq!(intersection(vec![7], &(0..100).collect::<Vec<_>>()), [7]);
        assert_eq!(intersection(vec![], &[1]), Vec::<u32>::new());
    }
}
