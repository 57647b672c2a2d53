//! Tokens of PromQL with their places in the text.
//!
//! The grammar is promql-parser's; these tokens are for what it does not tell or does not know: where an expression stands
//! (annotations name it), duration expressions, Go's string escapes, and how deep a query nests, before anything recursive
//! sees it. A colon belongs to a name outside of square brackets and separates range and step inside of them.

use std::ops::Range;

use super::ParseError;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or a keyword.
    Word,
    /// `5`, `0x1f`, `1e3`.
    Number,
    /// `5m`, `1h30m`.
    Duration,
    /// A quoted text, quotes included.
    Text,
    /// An operator or a bracket.
    Mark,
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    pub span: Range<usize>,
}

impl Token<'_> {
    /// Whether this is the given operator or bracket.
    pub fn is(&self, mark: &str) -> bool {
        self.kind == Kind::Mark && self.text == mark
    }

    /// Whether this is the given keyword, in any case.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }
}

/// Operators of two characters; everything else is one character long.
const LONG_MARKS: [&str; 6] = ["==", "!=", "=~", "!~", "<=", ">="];
const SHORT_MARKS: &str = "+-*/%^=<>(){}[],:@";

/// Cuts a text into tokens; comments and white space are left out.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token<'_>>, ParseError> {
    let mut out = Vec::new();
    let mut at = 0;
    let mut brackets = 0_usize;
    while let Some(next) = text[at..].chars().next() {
        if next.is_whitespace() {
            at += next.len_utf8();
            continue;
        }
        if next == '#' {
            at += text[at..].find('\n').unwrap_or(text.len() - at);
            continue;
        }
        let (kind, length) = one(text, at, brackets > 0)?;
        let token = Token { kind, text: &text[at..at + length], span: at..at + length };
        match token.text {
            "[" => brackets += 1,
            "]" => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        out.push(token);
        at += length;
    }
    Ok(out)
}

/// Kind and length of the token at a place.
fn one(text: &str, at: usize, in_brackets: bool) -> Result<(Kind, usize), ParseError> {
    let rest = &text[at..];
    let bytes = rest.as_bytes();
    let first = bytes[0];
    if matches!(first, b'"' | b'\'' | b'`') {
        return Ok((Kind::Text, quoted_length(text, at)?));
    }
    if first.is_ascii_digit() || (first == b'.' && bytes.get(1).is_some_and(u8::is_ascii_digit)) {
        return number_or_duration(text, at);
    }
    let colon = |byte: u8| byte == b':' && !in_brackets;
    if first.is_ascii_alphabetic() || first == b'_' || colon(first) {
        let length = bytes
            .iter()
            .position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_' || colon(*byte)))
            .unwrap_or(bytes.len());
        return Ok((Kind::Word, length));
    }
    if let Some(mark) = LONG_MARKS.iter().find(|mark| rest.starts_with(**mark)) {
        return Ok((Kind::Mark, mark.len()));
    }
    let character = rest.chars().next().unwrap_or_default();
    if SHORT_MARKS.contains(character) {
        return Ok((Kind::Mark, 1));
    }
    if character == '!' {
        let next = rest[1..].chars().next().map_or("U+FFFFFFFFFFFFFFFF".into(), |next| format!("{next:?}"));
        return Err(ParseError::at(text, at, format!("unexpected character after '!': {next}")));
    }
    Err(ParseError::at(text, at, format!("unexpected character: {character:?}")))
}

/// Length of a quoted text with its quotes.
fn quoted_length(text: &str, at: usize) -> Result<usize, ParseError> {
    let bytes = &text.as_bytes()[at..];
    let quote = bytes[0];
    let mut index = 1;
    while let Some(byte) = bytes.get(index) {
        match byte {
            b'\\' if quote != b'`' => index += 2,
            b'\n' if quote != b'`' => break,
            byte if *byte == quote => return Ok(index + 1),
            _ => index += 1,
        }
    }
    let what = if quote == b'`' { "unterminated raw string" } else { "unterminated quoted string" };
    Err(ParseError::at(text, at, what))
}

/// A number, else a duration: how far each goes and what may follow is that of Prometheus, whose message shows as much of a
/// bad one as it had read.
fn number_or_duration(text: &str, at: usize) -> Result<(Kind, usize), ParseError> {
    let bytes = &text.as_bytes()[at..];
    let mut scan = Scan { bytes, at: 0 };
    if scan.number() {
        return Ok((Kind::Number, scan.at));
    }
    if scan.duration() {
        return Ok((Kind::Duration, scan.at));
    }
    // Only what is ASCII was taken, and perhaps one character behind it.
    let mut end = at + scan.at;
    while !text.is_char_boundary(end) {
        end += 1;
    }
    let read = &text[at..end];
    Err(ParseError::at(text, at, format!("bad number or duration syntax: {}", super::print::quote(read))))
}

/// Reads bytes one by one.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn next_is(&self, set: &[u8]) -> bool {
        self.bytes.get(self.at).is_some_and(|byte| set.contains(byte))
    }

    fn take(&mut self, set: &[u8]) -> bool {
        let is = self.next_is(set);
        self.at += usize::from(is);
        is
    }

    fn take_all(&mut self, set: &[u8]) {
        while self.take(set) {}
    }

    fn of_word_follows(&self) -> bool {
        self.bytes.get(self.at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Takes a number, or as much as looks like one.
    fn number(&mut self) -> bool {
        let mut digits: &[u8] = b"0123456789";
        if self.take(b"0") && self.take(b"xX") {
            self.take(b"_");
            digits = b"0123456789abcdefABCDEF";
        }
        let is_hexadecimal = digits.len() > 10;
        self.take(b".");
        self.take(digits);
        let (mut dots, mut exponents) = (0, 0);
        loop {
            if self.take(b".") {
                dots += 1;
                if dots > 1 || is_hexadecimal || self.take(b"_.") {
                    return false;
                }
            } else if self.next_is(digits) {
                self.take_all(digits);
            } else if self.take(b"eE") {
                exponents += 1;
                if exponents > 1 {
                    return false;
                }
                self.take(b"+-");
                if self.take(b"._eE") || self.is_at_end() {
                    return false;
                }
            } else if self.take(b"_") {
                if self.take(b"._eE") || self.is_at_end() {
                    return false;
                }
            } else {
                return self.at > 0 && !self.of_word_follows();
            }
        }
    }

    /// Takes the rest of a duration whose first digits are read.
    fn duration(&mut self) -> bool {
        if !self.take(b"smhdwy") {
            return false;
        }
        self.take(b"s");
        while self.take(b"0123456789") {
            self.take_all(b"0123456789");
            if !self.take(b"smhdw") {
                return false;
            }
            self.take(b"s");
        }
        let ends = !self.of_word_follows();
        self.at += usize::from(!ends);
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        tokens(text).unwrap().into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn colons_separate_in_brackets_only() {
        assert_eq!(texts("a:b[5m:1m] @ -1e3"), ["a:b", "[", "5m", ":", "1m", "]", "@", "-", "1e3"]);
        assert_eq!(texts("x{a=~\"b]\"} # c\n!= 0x1F"), ["x", "{", "a", "=~", "\"b]\"", "}", "!=", "0x1F"]);
    }

    #[test]
    fn numbers_and_durations_end_where_prometheus_ends_them() {
        for (text, kind, length) in [
            ("1_000.5e-3]", Kind::Number, 10),
            (".5", Kind::Number, 2),
            ("5.", Kind::Number, 2),
            ("0x_fF+", Kind::Number, 5),
            ("1h30m15s500ms)", Kind::Duration, 13),
            ("1y2d", Kind::Duration, 4),
        ] {
            assert_eq!(one(text, 0, false), Ok((kind, length)), "{text}");
        }
        for (text, read) in [
            ("5m5", "5m5"),
            ("1e", "1e"),
            ("0xg", "0x"),
            ("1.2.3", "1.2."),
            ("1_", "1_"),
            ("5mx", "5mx"),
            ("1__0", "1__"),
        ] {
            let message = tokens(text).unwrap_err().to_string();
            assert!(
                message.ends_with(&format!("bad number or duration syntax: \"{read}\"")),
                "{text}: {message}"
            );
        }
    }

    #[test]
    fn broken_tokens_are_named_with_their_place() {
        assert_eq!(
            tokens("a + \"b").unwrap_err().to_string(),
            "1:5: parse error: unterminated quoted string"
        );
        assert_eq!(tokens("a\n + ~").unwrap_err().to_string(), "2:4: parse error: unexpected character: '~'");
        assert_eq!(
            tokens("1k").unwrap_err().to_string(),
            "1:1: parse error: bad number or duration syntax: \"1\""
        );
    }
}
