//! Text and actions; actions cut into tokens.

use super::TemplateError;

const OPEN: &str = "<<";
const CLOSE: &str = ">>";

/// What stands between two actions, or one action.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    /// As it is.
    Text(String),
    /// Between the delimiters.
    Action(Vec<Token>),
}

/// A word of an action.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    /// Whether white space stands before it: `$x.Y` is one operand, `$x .Y` are two.
    pub spaced: bool,
    /// Lines before it in the template.
    pub line: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Word(String),
    /// Without its dot.
    Field(String),
    Dot,
    /// With its dollar sign.
    Variable(String),
    Text(String),
    Int(i64),
    Float(f64),
    Open,
    Close,
    Pipe,
    Comma,
    Declare,
    Assign,
}

/// Cuts a template into parts.
pub(super) fn lex(template: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let (mut rest, mut line, mut trim) = (template, 0, false);
    loop {
        let end = rest.find(OPEN).unwrap_or(rest.len());
        let mut text = &rest[..end];
        let after = rest.get(end + OPEN.len()..);
        let dashed = after.is_some_and(|after| after.starts_with('-') && after[1..].starts_with(is_space));
        if trim {
            text = text.trim_start_matches(is_space);
        }
        if dashed {
            text = text.trim_end_matches(is_space);
        }
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        line += lines(&rest[..end]);
        let Some(after) = after else { return Ok(parts) };
        let inner = if dashed { &after[1..] } else { after };
        let action = Action { text: inner, at: 0, line };
        let (tokens, length, trims) = action.read(dashed)?;
        if let Some(tokens) = tokens {
            parts.push(Part::Action(tokens));
        }
        line += lines(&inner[..length]);
        rest = &inner[length..];
        trim = trims;
    }
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

struct Action<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl Action<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn error(&self, message: impl Into<String>) -> TemplateError {
        TemplateError::at(self.line + lines(&self.text[..self.at]), message)
    }

    /// Length of the closing delimiter that stands here, and whether it trims.
    fn closing(&self, spaced: bool) -> Option<(usize, bool)> {
        if spaced && self.rest().strip_prefix('-').is_some_and(|rest| rest.starts_with(CLOSE)) {
            return Some((1 + CLOSE.len(), true));
        }
        self.rest().starts_with(CLOSE).then_some((CLOSE.len(), false))
    }

    fn skip_space(&mut self) -> bool {
        let before = self.at;
        self.at += self.rest().len() - self.rest().trim_start_matches(is_space).len();
        self.at > before
    }

    /// The tokens (none for a comment), the length with the delimiter, whether the text after it is trimmed.
    fn read(mut self, dashed: bool) -> Result<(Option<Vec<Token>>, usize, bool), TemplateError> {
        let mut spaced = self.skip_space();
        // A comment follows the delimiter at once; the space after a dash belongs to the delimiter.
        if self.rest().starts_with("/*") && (dashed || !spaced) {
            let Some(end) = self.rest().find("*/") else { return Err(self.error("unclosed comment")) };
            self.at += end + 2;
            // Space may stand only before a dash.
            let end = self.at;
            spaced = self.skip_space();
            let closing = self.closing(spaced).filter(|(_, trims)| *trims || self.at == end);
            let Some((length, trims)) = closing else {
                return Err(self.error("comment ends before closing delimiter"));
            };
            return Ok((None, self.at + length, trims));
        }
        let mut tokens = Vec::new();
        loop {
            if let Some((length, trims)) = self.closing(spaced) {
                return Ok((Some(tokens), self.at + length, trims));
            }
            if self.rest().is_empty() {
                return Err(self.error("unclosed action"));
            }
            let line = self.line + lines(&self.text[..self.at]);
            let kind = self.token()?;
            tokens.push(Token { kind, spaced, line });
            spaced = self.skip_space();
        }
    }

    fn token(&mut self) -> Result<Kind, TemplateError> {
        let rest = self.rest();
        let first = rest.chars().next().unwrap_or(' ');
        let simple = [
            (":=", Kind::Declare),
            ("=", Kind::Assign),
            ("|", Kind::Pipe),
            (",", Kind::Comma),
            ("(", Kind::Open),
            (")", Kind::Close),
        ];
        for (text, kind) in simple {
            if rest.starts_with(text) {
                self.at += text.len();
                return Ok(kind);
            }
        }
        match first {
            '"' | '\'' | '`' => self.quoted(first),
            '$' => {
                let length = 1 + word_length(&rest[1..]);
                let name = rest[..length].to_owned();
                self.at += length;
                Ok(Kind::Variable(name))
            }
            '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let length = word_length(&rest[1..]);
                let name = rest[1..1 + length].to_owned();
                self.at += 1 + length;
                Ok(if name.is_empty() { Kind::Dot } else { Kind::Field(name) })
            }
            '0'..='9' | '+' | '-' | '.' => self.number(),
            c if c.is_alphabetic() || c == '_' => {
                let length = word_length(rest);
                let word = rest[..length].to_owned();
                self.at += length;
                Ok(Kind::Word(word))
            }
            c => Err(self.error(format!("unrecognized character in action: {c:?}"))),
        }
    }

    fn number(&mut self) -> Result<Kind, TemplateError> {
        let rest = self.rest();
        let exponent_sign = |index: usize| {
            let before = rest[..index].chars().next_back();
            matches!(before, Some('e' | 'E')) && !rest.starts_with("0x") && !rest.starts_with("0X")
        };
        let end = rest
            .char_indices()
            .find(|(index, c)| {
                let sign = matches!(c, '+' | '-') && (*index == 0 || exponent_sign(*index));
                !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || sign)
            })
            .map_or(rest.len(), |(index, _)| index);
        let text = &rest[..end];
        let Some(kind) = number(text) else { return Err(self.error(format!("bad number syntax: {text:?}"))) };
        self.at += end;
        Ok(kind)
    }

    fn quoted(&mut self, quote: char) -> Result<Kind, TemplateError> {
        let inner = &self.rest()[1..];
        if quote == '`' {
            let Some(end) = inner.find('`') else { return Err(self.error("unterminated raw quoted string")) };
            let text = inner[..end].to_owned();
            self.at += end + 2;
            return Ok(Kind::Text(text));
        }
        let mut out = Vec::new();
        let mut chars = inner.char_indices();
        while let Some((index, c)) = chars.next() {
            match c {
                '\n' => break,
                c if c == quote => {
                    let text = String::from_utf8_lossy(&out).into_owned();
                    self.at += index + 2;
                    return if quote == '"' { Ok(Kind::Text(text)) } else { self.character(&text) };
                }
                '\\' => {
                    let Some(used) = unescape(&inner[index + 1..], &mut out) else {
                        return Err(self.error("invalid escape in a quoted string"));
                    };
                    let end = index + 1 + used;
                    while chars.clone().next().is_some_and(|(next, _)| next < end) {
                        chars.next();
                    }
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Err(self.error("unterminated quoted string"))
    }

    /// A character constant is its number, as in Go.
    fn character(&self, text: &str) -> Result<Kind, TemplateError> {
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) => Ok(Kind::Int(i64::from(u32::from(c)))),
            _ => Err(self.error("malformed character constant")),
        }
    }
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}

fn number(text: &str) -> Option<Kind> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let based = |prefix: &str, radix: u32| {
        let body = lower.strip_prefix(prefix)?.replace('_', "");
        i64::from_str_radix(&body, radix).ok()
    };
    let integer = match () {
        () if lower.starts_with("0x") => based("0x", 16),
        () if lower.starts_with("0b") => based("0b", 2),
        () if lower.starts_with("0o") => based("0o", 8),
        () if lower.len() > 1
            && lower.starts_with('0')
            && lower.bytes().all(|b| b.is_ascii_digit() || b == b'_') =>
        {
            based("0", 8)
        }
        () => lower.replace('_', "").parse().ok(),
    };
    if let Some(integer) = integer {
        return Some(Kind::Int(sign * integer));
    }
    let plain =
        lower.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'+' | b'-' | b'_'));
    let float: f64 = lower.replace('_', "").parse().ok().filter(|_| plain)?;
    Some(Kind::Float(float * sign as f64))
}

/// Appends what an escape means; returns how many bytes after the backslash it takes.
fn unescape(rest: &str, out: &mut Vec<u8>) -> Option<usize> {
    let simple = |byte: u8, out: &mut Vec<u8>| {
        out.push(byte);
        Some(1)
    };
    let digits = |from: usize, count: usize, radix: u32| {
        u32::from_str_radix(rest.get(from..from + count)?, radix).ok()
    };
    match rest.chars().next()? {
        'n' => simple(b'\n', out),
        't' => simple(b'\t', out),
        'r' => simple(b'\r', out),
        'a' => simple(7, out),
        'b' => simple(8, out),
        'f' => simple(12, out),
        'v' => simple(11, out),
        c @ ('\\' | '"' | '\'') => simple(c as u8, out),
        'x' => {
            out.push(u8::try_from(digits(1, 2, 16)?).ok()?);
            Some(3)
        }
        '0'..='7' => {
            out.push(u8::try_from(digits(0, 3, 8)?).ok()?);
            Some(3)
        }
        letter @ ('u' | 'U') => {
            let count = if letter == 'u' { 4 } else { 8 };
            let character = char::from_u32(digits(1, count, 16)?)?;
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            Some(1 + count)
        }
        _ => None,
    }
}
