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

/// A number or a duration; which of the two shows in the letter behind the digits.
fn number_or_duration(text: &str, at: usize) -> Result<(Kind, usize), ParseError> {
    let bytes = &text.as_bytes()[at..];
    let word = |from: usize, allowed: fn(&u8) -> bool| {
        bytes[from..].iter().position(|byte| !allowed(byte)).map_or(bytes.len(), |length| from + length)
    };
    if bytes[0] == b'0' && matches!(bytes.get(1), Some(b'x' | b'X')) {
        return Ok((Kind::Number, word(2, |byte| byte.is_ascii_hexdigit() || *byte == b'_')));
    }
    let digits = word(0, |byte| byte.is_ascii_digit() || *byte == b'_');
    if matches!(bytes.get(digits), Some(b's' | b'm' | b'h' | b'd' | b'w' | b'y')) {
        return Ok((Kind::Duration, word(digits, u8::is_ascii_alphanumeric)));
    }
    let mut end = word(0, |byte| byte.is_ascii_digit() || matches!(byte, b'_' | b'.'));
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = word(end + 1 + sign, |byte| byte.is_ascii_digit() || *byte == b'_');
    }
    if bytes.get(end).is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_') {
        let bad = word(end, |byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        return Err(ParseError::at(
            text,
            at,
            format!("bad number or duration syntax: {:?}", &text[at..at + bad]),
        ));
    }
    Ok((Kind::Number, end))
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
    fn broken_tokens_are_named_with_their_place() {
        assert_eq!(
            tokens("a + \"b").unwrap_err().to_string(),
            "1:5: parse error: unterminated quoted string"
        );
        assert_eq!(tokens("a\n + ~").unwrap_err().to_string(), "2:4: parse error: unexpected character: '~'");
        assert_eq!(
            tokens("1k").unwrap_err().to_string(),
            "1:1: parse error: bad number or duration syntax: \"1k\""
        );
    }
}
