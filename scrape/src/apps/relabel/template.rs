//! Replacements: text with `$1`, `${1}`, `$name`, `${name}` and `$$`, as Go's regexp package expands them. Pure.

use regex::Captures;

/// A replacement that was taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Number(usize),
    Name(String),
}

/// Go reads no larger numbers of groups.
const NUMBER_MAX: usize = 100_000_000;

impl Template {
    pub(super) fn new(text: &str) -> Template {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            plain.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                plain.push('$');
                rest = after;
            } else if let Some((piece, after)) = reference(rest) {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(piece);
                rest = after;
            } else {
                // What is no reference stands for itself.
                plain.push('$');
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Template { text: text.to_owned(), pieces }
    }

    /// The text as it was given.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn expand(&self, captures: &Captures<'_>) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                // A group that is not there, or took no part, is nothing.
                Piece::Number(number) => {
                    out.push_str(captures.get(*number).map_or("", |group| group.as_str()))
                }
                Piece::Name(name) => out.push_str(captures.name(name).map_or("", |group| group.as_str())),
            }
        }
        out
    }
}

/// What stands behind a `$`, and what follows it.
fn reference(text: &str) -> Option<(Piece, &str)> {
    let (inner, braced) = text.strip_prefix('{').map_or((text, false), |inner| (inner, true));
    let end = inner.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(inner.len());
    let (name, mut rest) = inner.split_at(end);
    if name.is_empty() {
        return None;
    }
    if braced {
        rest = rest.strip_prefix('}')?;
    }
    let digits = name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    let number = name.parse().ok().filter(|number| digits && *number < NUMBER_MAX);
    Some((number.map_or_else(|| Piece::Name(name.to_owned()), Piece::Number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_as_go() {
        let regex = regex::Regex::new("^(a)(?P<named>b)?(c)$").unwrap();
        let captures = regex.captures("ac").unwrap();
        for (template, expected) in [
            ("", ""),
            ("x", "x"),
            ("$1-$3", "a-c"),
            ("$1_$3", "c"), // the name is as long as it can be: there is no group "1_"
            ("${1}_${3}", "a_c"),
            ("$0", "ac"),
            ("[$named][${named}]", "[][]"),
            ("$9${9}$nobody", ""),
            ("$01", ""),
            ("$$1", "$1"),
            ("$", "$"),
            ("$-", "$-"),
            ("${1", "${1"),
            ("${}", "${}"),
            ("${1-}", "${1-}"),
            ("a$", "a$"),
        ] {
            assert_eq!(Template::new(template).expand(&captures), expected, "{template}");
        }
    }
}
