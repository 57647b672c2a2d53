//! Why a text is no query, in the words and at the place of Prometheus. Pure.
//!
//! Only texts that were refused are read here, once more and for nothing but the reason; so nothing that is said here decides
//! what a query is. Where the reason is not found the first reader's is used. Recursion is bounded by
//! [`super::check::depth`], which goes before.

mod expression;
mod selector;

use super::shown::shown;
use crate::promql::ParseError;
use crate::promql::ast::Type;
use crate::promql::lex::{Kind, Token};

/// The reason, if it is found.
pub(super) fn why(text: &str, tokens: &[Token<'_>]) -> Option<ParseError> {
    let mut reader = Reader { text, tokens, at: 0, open: 0, later: None };
    let fault = match reader.expression() {
        Ok(_) if reader.at < tokens.len() => Some(reader.unexpected("", "")),
        // What stands where it may is looked at when all does.
        Ok(_) => reader.later.take().map(Stop::Fault),
        Err(stop) => Some(stop),
    };
    match fault? {
        Stop::Fault((byte, message)) => Some(ParseError::at(text, byte, message)),
        Stop::Unknown => None,
    }
}

/// A selector alone: the first token behind it.
pub(super) fn after_selector<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t Token<'a>> {
    let mut rest = tokens;
    if let [first, more @ ..] = rest
        && first.kind == Kind::Word
    {
        rest = more;
    }
    if rest.first().is_some_and(|token| token.is("{")) {
        // Braces that are never closed are told by the grammar.
        let end = rest.iter().position(|token| token.is("}"))?;
        rest = &rest[end + 1..];
    }
    rest.first()
}

/// Where, and why.
type Fault = (usize, String);

enum Stop {
    Fault(Fault),
    /// Something that is not looked at here.
    Unknown,
}

type Step<T> = Result<T, Stop>;

/// What an expression yields and where it begins.
#[derive(Clone, Copy)]
struct Seen {
    yields: Type,
    start: usize,
}

struct Reader<'t, 'a> {
    text: &'a str,
    tokens: &'t [Token<'a>],
    at: usize,
    /// Open parentheses.
    open: usize,
    /// The first thing that is wrong although it stands where it may.
    later: Option<Fault>,
}

impl<'t, 'a> Reader<'t, 'a> {
    fn token(&self) -> Option<&'t Token<'a>> {
        self.tokens.get(self.at)
    }

    fn is(&self, mark: &str) -> bool {
        self.token().is_some_and(|token| token.is(mark))
    }

    fn is_word(&self, word: &str) -> bool {
        self.token().is_some_and(|token| token.is_word(word))
    }

    fn is_kind(&self, kinds: &[Kind]) -> bool {
        self.token().is_some_and(|token| kinds.contains(&token.kind))
    }

    fn take(&mut self, mark: &str) -> bool {
        let there = self.is(mark);
        self.at += usize::from(there);
        there
    }

    fn place(&self) -> usize {
        self.token().map_or(self.text.len(), |token| token.span.start)
    }

    fn fault<T>(&self, byte: usize, message: impl Into<String>) -> Step<T> {
        Err(Stop::Fault((byte, message.into())))
    }

    fn note(&mut self, byte: usize, message: String) {
        self.later.get_or_insert((byte, message));
    }

    /// The present token cannot stand here.
    fn unexpected(&self, context: &str, expected: &str) -> Stop {
        let place = self.place();
        match self.token() {
            None if self.open > 0 => return Stop::Fault((place, "unclosed left parenthesis".to_owned())),
            // These are told by Prometheus' lexer, which is one further.
            Some(token) if token.is(")") && self.open == 0 => {
                return Stop::Fault((place + 1, "unexpected right parenthesis ')'".to_owned()));
            }
            Some(token) if token.is("}") => {
                return Stop::Fault((place, "unexpected character: '}'".to_owned()));
            }
            Some(token) if token.is("]") || token.is(":") => return Stop::Unknown,
            _ => {}
        }
        self.met(context, expected)
    }

    fn met(&self, context: &str, expected: &str) -> Stop {
        self.met_as(&shown(self.token()), context, expected)
    }

    fn met_as(&self, what: &str, context: &str, expected: &str) -> Stop {
        let mut message = format!("unexpected {what}");
        for (word, what) in [(" in ", context), (", expected ", expected)] {
            if !what.is_empty() {
                message.push_str(word);
                message.push_str(what);
            }
        }
        Stop::Fault((self.place(), message))
    }
}
