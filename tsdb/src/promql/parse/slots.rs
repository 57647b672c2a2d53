//! Durations, times and quoted texts, taken out before the grammar is read.
//!
//! In the text for promql-parser each of them is replaced by its number: the fourth duration by `4ms`, the fourth text by
//! `"4"`, and every matcher by `=`. So the grammar never sees an escape, a regular expression or a duration expression, and
//! what stands in the tree leads back to what was written. A label's name cannot begin with a digit, so a number where a
//! name belongs is a quoted one.

use crate::promql::ParseError;
use crate::promql::duration::{self, DurationExpr};
use crate::promql::lex::{Kind, Token};
use crate::promql::print::quote;
use crate::series::MatchOp;

/// A quoted text, and how it is compared when it is a matcher's value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TextSlot {
    pub value: String,
    pub op: MatchOp,
    /// Where it stands; of a matcher's value where the label stands.
    pub at: usize,
}

/// What was taken out.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// What is left for the grammar.
    pub text: String,
    pub durations: Vec<DurationExpr>,
    pub times_ms: Vec<i64>,
    pub texts: Vec<TextSlot>,
}

impl Slots {
    fn push(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(text);
    }

    fn push_duration(&mut self, expr: DurationExpr) {
        self.durations.push(expr);
        self.push(&format!("{}ms", self.durations.len()));
    }
}

/// Replaces what the grammar shall not see.
pub(super) fn take_out(text: &str, tokens: &[Token<'_>]) -> Result<Slots, ParseError> {
    let mut slots = Slots::default();
    let mut at = 0;
    let mut braces = 0_usize;
    let mut op = MatchOp::Equal;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.text {
            "{" if token.kind == Kind::Mark => braces += 1,
            "}" if token.kind == Kind::Mark => braces = braces.saturating_sub(1),
            "or" if braces > 0 && token.kind == Kind::Word && follows_value(tokens, at - 1) => {
                return Err(ParseError::at(text, token.span.start, "unexpected \"or\" in label matching"));
            }
            _ => {}
        }
        if token.kind == Kind::Text {
            let value = super::strings::unquote(token.text)
                .map_err(|reason| ParseError::at(text, token.span.start, reason))?;
            let compared = braces > 0 && at >= 3 && match_op(&tokens[at - 2]).is_some();
            let begins = if compared { &tokens[at - 3] } else { token };
            slots.texts.push(TextSlot { value, op, at: begins.span.start });
            slots.push(&format!("\"{}\"", slots.texts.len()));
            op = MatchOp::Equal;
        } else if braces > 0 && match_op(token).is_some() {
            op = match_op(token).unwrap_or(MatchOp::Equal);
            slots.push("=");
        } else if token.is("[") {
            slots.push("[");
            at = range(text, tokens, at, &mut slots)?;
        } else if token.is_word("offset") && starts_offset(tokens, at) {
            slots.push("offset");
            let (expr, behind) = offset(text, tokens, at)?;
            slots.push_duration(expr);
            at = behind;
        } else if token.is("@") {
            slots.push("@");
            at = time(text, tokens, at, &mut slots)?;
        } else if matches!(token.kind, Kind::Number | Kind::Duration) && braces == 0 {
            slots.push(&number(text, token)?);
        } else {
            slots.push(token.text);
        }
    }
    Ok(slots)
}

/// A number, or a duration in seconds, in the one spelling that every reader of numbers knows.
fn number(text: &str, token: &Token<'_>) -> Result<String, ParseError> {
    let fail = |reason: String| Err(ParseError::at(text, token.span.start, reason));
    let value = match token.kind {
        Kind::Duration => match duration::parse_millis(token.text) {
            Ok(millis) => Some(millis as f64 / 1000.0),
            Err(reason) => return fail(reason),
        },
        _ => crate::promql::number::parse(token.text),
    };
    let wrong = match value {
        Some(value) if value.is_finite() => return Ok(format!("{value:?}")),
        Some(_) => "value out of range",
        None => "invalid syntax",
    };
    fail(format!("error parsing number: strconv.ParseFloat: parsing {}: {wrong}", quote(token.text)))
}

/// Where the parser's message (in our words) shall point to. It tells no place itself, so what it speaks of is looked for, as
/// far as that is one of a kind; else it is the last token.
pub(super) fn place(text: &str, tokens: &[Token<'_>], message: &str) -> usize {
    let quoted = |before: &str| {
        let (_, behind) = message.split_once(before)?;
        behind.strip_prefix('"')?.split_once('"').map(|(name, _)| name)
    };
    let start = |at: usize| tokens.get(at).map(|token| token.span.start);
    let called = |name: &str| {
        tokens
            .windows(2)
            .position(|pair| pair[0].text == name && pair[0].kind == Kind::Word && pair[1].is("("))
    };
    let comparison = |token: &Token<'_>| {
        token.kind == Kind::Mark && ["==", "!=", "<", "<=", ">", ">="].contains(&token.text)
    };
    let found = if let Some(name) = quoted("in call to function ") {
        // Its first argument.
        called(name).and_then(|at| start(at + 2))
    } else if let Some(name) = quoted("in call to ").or_else(|| quoted("unknown function with name ")) {
        called(name).and_then(start)
    } else if message.starts_with("comparisons between scalars") {
        tokens.iter().position(comparison).and_then(start)
    } else if message.starts_with("set operator") || message.starts_with("binary expression must contain") {
        start(0)
    } else if message.starts_with("vector selector must contain") {
        // The braces, or the name before them.
        let braces = tokens.iter().position(|token| token.is("{"));
        let named = |at: &usize| tokens[*at - 1].kind == Kind::Word;
        braces.map(|at| Some(at).filter(|at| *at > 0).filter(named).map_or(at, |at| at - 1)).and_then(start)
    } else if message.starts_with("unclosed") || message.starts_with("unexpected end of input inside") {
        Some(text.len())
    } else {
        None
    };
    found.or_else(|| tokens.last().map(|token| token.span.start)).unwrap_or(text.len())
}

fn follows_value(tokens: &[Token<'_>], at: usize) -> bool {
    at > 0 && tokens[at - 1].kind == Kind::Text
}

fn match_op(token: &Token<'_>) -> Option<MatchOp> {
    match token.text {
        _ if token.kind != Kind::Mark => None,
        "=" => Some(MatchOp::Equal),
        "!=" => Some(MatchOp::NotEqual),
        "=~" => Some(MatchOp::Matches),
        "!~" => Some(MatchOp::NotMatches),
        _ => None,
    }
}

/// `5m]` or `1h:5m]`, whose bracket is open already.
fn range(text: &str, tokens: &[Token<'_>], at: usize, slots: &mut Slots) -> Result<usize, ParseError> {
    let is = |at: usize, mark: &str| tokens.get(at).is_some_and(|token| token.is(mark));
    if is(at, "]") {
        return Err(ParseError::at(text, tokens[at].span.start, "missing duration in range selector"));
    }
    let (expr, mut at) = positive(text, tokens, at)?;
    slots.push_duration(expr);
    if is(at, ":") {
        slots.push(":");
        at += 1;
        if !is(at, "]") {
            let (expr, behind) = positive(text, tokens, at)?;
            slots.push_duration(expr);
            at = behind;
        }
    }
    Ok(at)
}

/// A duration that must be more than zero, as far as that can be told without a step.
fn positive(text: &str, tokens: &[Token<'_>], at: usize) -> Result<(DurationExpr, usize), ParseError> {
    let (expr, behind) = duration::expression(text, tokens, at)?;
    let seconds = match &expr {
        DurationExpr::Literal(seconds) => *seconds,
        DurationExpr::Negate(inner) => match **inner {
            DurationExpr::Literal(seconds) => -seconds,
            _ => f64::MAX,
        },
        _ => f64::MAX,
    };
    if seconds <= 0.0 {
        return Err(ParseError::at(text, tokens[at].span.start, "duration must be greater than 0"));
    }
    Ok((expr, behind))
}

/// `offset` may be a metric's or a label's name: it is the modifier only behind an expression, where a duration follows.
fn starts_offset(tokens: &[Token<'_>], at: usize) -> bool {
    let follows_expr = at >= 2 && ends_expression(tokens, at - 2);
    follows_expr && tokens.get(at).is_some_and(|token| !token.is(",") && !token.is("}"))
}

/// Whether a parenthesis closes the labels of `on (…)` and the like, behind which an operand follows.
fn closes_matching(tokens: &[Token<'_>], at: usize) -> bool {
    let Some(open) = tokens[..at].iter().rposition(|token| token.is("(") || token.is(")")) else {
        return false;
    };
    let words = ["on", "ignoring", "group_left", "group_right"];
    tokens[open].is("(") && open > 0 && words.iter().any(|word| tokens[open - 1].is_word(word))
}

/// Whether an expression may end with a token. A word that could be an operator is one where an expression ends before it.
fn ends_expression(tokens: &[Token<'_>], at: usize) -> bool {
    let token = &tokens[at];
    match token.kind {
        Kind::Mark if token.text == ")" => !closes_matching(tokens, at),
        Kind::Mark => ["]", "}"].contains(&token.text),
        Kind::Number | Kind::Duration | Kind::Text => true,
        Kind::Word => {
            let is = |words: &[&str]| words.iter().any(|word| token.is_word(word));
            if is(&["bool", "atan2", "group_left", "group_right"]) {
                return false;
            }
            !(is(&["and", "or", "unless"]) && at > 0 && ends_expression(tokens, at - 1))
        }
    }
}

/// A sign binds only what follows it; operators after an offset belong to the expression.
pub(super) fn offset(
    text: &str,
    tokens: &[Token<'_>],
    at: usize,
) -> Result<(DurationExpr, usize), ParseError> {
    let signed = tokens.get(at).filter(|token| token.is("-") || token.is("+"));
    let (expr, behind) = duration::operand_unsigned(text, tokens, at + usize::from(signed.is_some()))?;
    Ok(match signed {
        Some(sign) if sign.is("-") => (DurationExpr::Negate(Box::new(expr)), behind),
        _ => (expr, behind),
    })
}

/// A number, which moves into a slot, or `start()` and `end()`, which the grammar knows.
fn time(text: &str, tokens: &[Token<'_>], at: usize, slots: &mut Slots) -> Result<usize, ParseError> {
    let signed = tokens.get(at).filter(|token| token.is("-") || token.is("+"));
    let number_at = at + usize::from(signed.is_some());
    let Some(token) = tokens.get(number_at) else {
        return Err(ParseError::at(text, text.len(), "unexpected end of input in @, expected timestamp"));
    };
    let value = match token.kind {
        Kind::Duration => duration::parse_millis(token.text).ok().map(|millis| millis as f64 / 1000.0),
        Kind::Number | Kind::Word => crate::promql::number::parse(token.text),
        _ => None,
    };
    let Some(value) = value else { return Ok(at) };
    let seconds = if signed.is_some_and(|sign| sign.is("-")) { -value } else { value };
    let millis = seconds * 1000.0;
    if !millis.is_finite() || millis.abs() >= i64::MAX as f64 {
        let message = format!("timestamp out of bounds for @ modifier: {seconds}");
        return Err(ParseError::at(text, token.span.start, message));
    }
    slots.times_ms.push(millis.round() as i64);
    slots.push(&slots.times_ms.len().to_string());
    Ok(number_at + 1)
}
