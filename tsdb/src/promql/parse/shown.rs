//! Tokens as Prometheus' errors name them. Pure.

use crate::promql::ast::AggregateOp;
use crate::promql::lex::{Kind, Token};

/// Words that are operators.
const OPERATORS: [&str; 4] = ["and", "or", "unless", "atan2"];
/// Words that are no names in an error.
const KEYWORDS: [&str; 11] = [
    "offset",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "start",
    "end",
    "step",
];
/// Of other texts so much is shown, characters.
const SHOWN_CHARS: usize = 10;

/// What was met instead of what could stand there; `None` is the end.
pub(super) fn shown(token: Option<&Token<'_>>) -> String {
    let Some(token) = token else { return "end of input".to_owned() };
    let text = token.text;
    match token.kind {
        Kind::Word if is_operator(token) => format!("<op:{text}>"),
        Kind::Word if aggregation(token).is_some() => format!("<aggr:{text}>"),
        Kind::Word if KEYWORDS.iter().any(|word| token.is_word(word)) => format!("<{text}>"),
        Kind::Word if text.contains(':') => format!("metric identifier {text:?}"),
        Kind::Word => format!("identifier {text:?}"),
        Kind::Number => format!("number {}", cut(text)),
        Kind::Duration => format!("duration {}", cut(text)),
        Kind::Text => format!("string {}", cut(text)),
        Kind::Mark if "=(){}[],:".contains(text) => format!("{text:?}"),
        Kind::Mark => format!("<op:{text}>"),
    }
}

fn cut(text: &str) -> String {
    if text.len() <= SHOWN_CHARS {
        return format!("{text:?}");
    }
    format!("{:?}...", text.chars().take(SHOWN_CHARS).collect::<String>())
}

/// Whether a word stands between two operands.
pub(super) fn is_operator(token: &Token<'_>) -> bool {
    OPERATORS.iter().any(|word| token.is_word(word))
}

/// The aggregation that a word names.
pub(super) fn aggregation(token: &Token<'_>) -> Option<AggregateOp> {
    AggregateOp::ALL.into_iter().find(|(name, _)| token.is_word(name)).map(|(_, op)| op)
}
