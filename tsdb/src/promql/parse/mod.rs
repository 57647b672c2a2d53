//! From a text to a checked tree.
//!
//! Promise: what [`parse`] returns is well typed, no deeper than [`MAX_DEPTH`], and knows its places in the text. The steps:
//! cut into tokens; take durations, times and quoted texts out into slots ([`slots`]); let promql-parser read what is left,
//! which is grammar alone; turn its tree into ours and put the slots back ([`convert`]); find the place of each expression
//! ([`spans`]); check types and arguments ([`check`]). Why a text is refused is looked for in the text itself ([`explain`], [`types`]).

mod check;
mod convert;
mod explain;
mod slots;
mod spans;
pub(crate) mod strings;
mod types;

use super::ast::Expr;
use super::lex;

/// Longest query, in bytes. A selector that lists ten thousand pods has about half of it.
pub const MAX_QUERY_BYTES: usize = 1 << 20;

/// Deepest nesting: parentheses, calls and chained operators together. Everything that recurses over a tree relies on it.
pub const MAX_DEPTH: usize = 250;

/// Why a text is no query; worded as Prometheus words it, with line and column where they are known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

impl ParseError {
    /// An error at a byte of the text.
    pub(crate) fn at(text: &str, byte: usize, message: impl std::fmt::Display) -> ParseError {
        ParseError(format!("{}: parse error: {message}", position(text, byte)))
    }
}

/// Line and column of a byte, both from 1.
pub(crate) fn position(text: &str, byte: usize) -> String {
    let before = &text.as_bytes()[..byte.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    format!("{line}:{column}")
}

/// Reads a query.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    if text.len() > MAX_QUERY_BYTES {
        return Err(ParseError(format!(
            "parse error: the query has {} bytes, more than the {MAX_QUERY_BYTES} allowed",
            text.len()
        )));
    }
    let tokens = lex::tokens(text)?;
    if tokens.is_empty() {
        return Err(ParseError("unknown position: parse error: no expression found in input".into()));
    }
    check::depth(text, &tokens)?;
    let read = slots::take_out(text, &tokens).and_then(|slots| {
        let parsed = promql_parser::parser::parse(&slots.text).map_err(|message| {
            let message = clean(&message);
            ParseError::at(text, slots::place(text, &tokens, &message), message)
        })?;
        Ok((slots, parsed))
    });
    // Who reads the grammar knows nothing of the text as it was written.
    let why = |error| explain::syntax(text, &tokens).or_else(|| types::fault(text, &tokens)).unwrap_or(error);
    let (slots, parsed) = read.map_err(why)?;
    let mut expr = convert::convert(text, &parsed, &slots)?;
    spans::locate(&tokens, &mut expr);
    check::types(text, &tokens, &expr)?;
    types::plus(text, &tokens).map_or(Ok(expr), Err)
}

/// A selector alone, as `match[]` parameters have it.
///
/// # Errors
/// What is wrong with it, or that it is something else.
pub fn parse_selector(text: &str) -> Result<super::ast::Selector, ParseError> {
    let tokens = lex::tokens(text)?;
    if tokens.is_empty() {
        return Err(ParseError("unknown position: parse error: unexpected end of input".into()));
    }
    if let Some(extra) = explain::after_selector(&tokens) {
        let message = format!("unexpected {}", explain::describe(extra));
        return Err(ParseError::at(text, extra.span.start, message));
    }
    match parse(text)?.node {
        super::ast::Node::Selector(selector) if selector.when == super::ast::When::default() => Ok(selector),
        _ => Err(ParseError::at(text, 0, "expected a metric selector without modifiers")),
    }
}

/// The parser's message in the words of Prometheus.
fn clean(message: &str) -> String {
    let mut text = message.replace("invalid promql query", "unexpected end of input or token");
    if !text.starts_with("unexpected ") {
        text = text.replace('\'', "\"");
        for (theirs, documented) in [("vector", "instant vector"), ("matrix", "range vector")] {
            for before in ["type ", "got "] {
                text = text.replace(&format!("{before}{theirs}"), &format!("{before}{documented}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
