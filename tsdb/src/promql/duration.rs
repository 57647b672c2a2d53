//! Durations: literals (`1h30m`), expressions of them (`[2*5m+step()]`), and how they are written.

use super::ParseError;
use super::lex::{Kind, Token};

/// A duration that may depend on the step of the query.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationExpr {
    /// Seconds, and whether they were written with a unit.
    Literal(f64),
    /// The step of the query, `step()`.
    Step,
    /// `-x`
    Negate(Box<DurationExpr>),
    /// `a op b` with one of `+ - * / % ^`.
    Binary(Box<DurationExpr>, char, Box<DurationExpr>),
    /// `(x)`
    Paren(Box<DurationExpr>),
}

/// Where a duration stands, which decides what it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// A range or a step: more than zero.
    Positive,
    /// An offset: anything.
    Any,
}

impl DurationExpr {
    /// Milliseconds, for a query with a step of `step_ms`.
    ///
    /// # Errors
    /// Division by zero, a range or step that is not positive, more than 64 bits of nanoseconds.
    pub fn millis(&self, step_ms: i64, sign: Sign) -> Result<i64, String> {
        let seconds = self.seconds(step_ms)?;
        if sign == Sign::Positive && (seconds <= 0.0 || seconds.is_nan()) {
            return Err("duration must be greater than 0".into());
        }
        // Prometheus reads a literal exactly, and cuts off what a computed duration has below a millisecond.
        let exact = match self {
            DurationExpr::Negate(inner) => matches!(**inner, DurationExpr::Literal(_)),
            other => matches!(other, DurationExpr::Literal(_)),
        };
        // Prometheus counts nanoseconds in 64 bits.
        if seconds.is_nan() || seconds.abs() > 9_223_372_036.0 {
            return Err("duration out of range".into());
        }
        let millis = if exact { (seconds * 1000.0).round() } else { seconds * 1000.0 };
        Ok(millis as i64)
    }

    fn seconds(&self, step_ms: i64) -> Result<f64, String> {
        Ok(match self {
            DurationExpr::Literal(seconds) => *seconds,
            DurationExpr::Step => step_ms as f64 / 1000.0,
            DurationExpr::Negate(inner) => -inner.seconds(step_ms)?,
            DurationExpr::Paren(inner) => inner.seconds(step_ms)?,
            DurationExpr::Binary(left, operator, right) => {
                let (left, right) = (left.seconds(step_ms)?, right.seconds(step_ms)?);
                match operator {
                    '+' => left + right,
                    '-' => left - right,
                    '*' => left * right,
                    '/' if right == 0.0 => return Err("division by zero".into()),
                    '/' => left / right,
                    '%' if right == 0.0 => return Err("modulo by zero".into()),
                    '%' => left % right,
                    _ => left.powf(right),
                }
            }
        })
    }
}

/// How it would be written in a query.
impl std::fmt::Display for DurationExpr {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DurationExpr::Literal(seconds) => match write_millis((seconds * 1000.0).round() as i64) {
                text if *seconds >= 0.0 => out.write_str(&text),
                text => write!(out, "-{text}"),
            },
            DurationExpr::Step => out.write_str("step()"),
            DurationExpr::Negate(inner) => write!(out, "-{inner}"),
            DurationExpr::Paren(inner) => write!(out, "({inner})"),
            DurationExpr::Binary(left, operator, right) => write!(out, "{left} {operator} {right}"),
        }
    }
}

/// Units from the largest, with their milliseconds. A year has 365 days.
const UNITS: [(&str, i64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// `1h30m` in milliseconds: units in falling order, each at most once.
///
/// # Errors
/// Anything else.
pub fn parse_millis(text: &str) -> Result<i64, String> {
    let bad = || format!("not a valid duration string: {text:?}");
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err("empty duration string".into());
    }
    let mut rest = text;
    let mut total: i64 = 0;
    let mut allowed = 0;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit()).ok_or_else(bad)?;
        let number: i64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let letters = rest.find(|character: char| character.is_ascii_digit()).unwrap_or(rest.len());
        let index = UNITS.iter().position(|(unit, _)| *unit == &rest[..letters]).ok_or_else(bad)?;
        if index < allowed {
            return Err(bad());
        }
        allowed = index + 1;
        rest = &rest[letters..];
        total = number
            .checked_mul(UNITS[index].1)
            .and_then(|millis| total.checked_add(millis))
            .filter(|millis| *millis <= i64::MAX / 1_000_000)
            .ok_or("duration out of range")?;
    }
    Ok(total)
}

/// The shortest exact text of a duration's size, as Prometheus writes it: weeks and years only when nothing is left over.
pub fn write_millis(millis: i64) -> String {
    if millis == 0 {
        return "0s".into();
    }
    let mut left = millis.unsigned_abs();
    let mut out = String::new();
    for (unit, size) in UNITS {
        let size = size.unsigned_abs();
        let exact_only = matches!(unit, "y" | "w");
        if (exact_only && !left.is_multiple_of(size)) || left < size {
            continue;
        }
        out.push_str(&format!("{}{unit}", left / size));
        left %= size;
    }
    out
}

/// Reads a duration expression from tokens, from `at` on; returns it and the place behind it. `step` binds as in PromQL.
pub(crate) fn expression(
    text: &str,
    tokens: &[Token<'_>],
    at: usize,
) -> Result<(DurationExpr, usize), ParseError> {
    binary(text, tokens, at, 0)
}

fn precedence(token: &Token<'_>) -> Option<(u8, char)> {
    let operator = token.text.chars().next().filter(|_| token.kind == Kind::Mark && token.text.len() == 1)?;
    match operator {
        '+' | '-' => Some((1, operator)),
        '*' | '/' | '%' => Some((2, operator)),
        '^' => Some((4, operator)),
        _ => None,
    }
}

fn binary(
    text: &str,
    tokens: &[Token<'_>],
    at: usize,
    least: u8,
) -> Result<(DurationExpr, usize), ParseError> {
    let (mut left, mut at) = operand(text, tokens, at)?;
    while let Some((strength, operator)) = tokens.get(at).and_then(precedence) {
        if strength < least {
            break;
        }
        // The power associates to the right, all others to the left.
        let (right, behind) = binary(text, tokens, at + 1, strength + u8::from(operator != '^'))?;
        left = DurationExpr::Binary(Box::new(left), operator, Box::new(right));
        at = behind;
    }
    Ok((left, at))
}

/// A literal, `step()`, a parenthesis, or one of them with a sign.
fn operand(text: &str, tokens: &[Token<'_>], at: usize) -> Result<(DurationExpr, usize), ParseError> {
    match tokens.get(at) {
        // A sign binds tighter than a product and looser than a power.
        Some(sign) if sign.is("-") => {
            let (inner, behind) = binary(text, tokens, at + 1, 3)?;
            Ok((DurationExpr::Negate(Box::new(inner)), behind))
        }
        Some(sign) if sign.is("+") => binary(text, tokens, at + 1, 3),
        _ => operand_unsigned(text, tokens, at),
    }
}

/// A literal, `step()` or a parenthesis.
pub(crate) fn operand_unsigned(
    text: &str,
    tokens: &[Token<'_>],
    at: usize,
) -> Result<(DurationExpr, usize), ParseError> {
    let Some(token) = tokens.get(at) else {
        return Err(ParseError::at(text, text.len(), "unexpected end of input in duration"));
    };
    let fail = |what: String| Err(ParseError::at(text, token.span.start, what));
    match token.kind {
        Kind::Duration => match parse_millis(token.text) {
            Ok(millis) => Ok((DurationExpr::Literal(millis as f64 / 1000.0), at + 1)),
            Err(reason) => fail(reason),
        },
        Kind::Number => match super::number::parse(token.text) {
            Some(seconds) => Ok((DurationExpr::Literal(seconds), at + 1)),
            None => fail(format!("bad number or duration syntax: {:?}", token.text)),
        },
        Kind::Mark if token.text == "(" => {
            let (inner, behind) = binary(text, tokens, at + 1, 0)?;
            match tokens.get(behind) {
                Some(close) if close.is(")") => Ok((DurationExpr::Paren(Box::new(inner)), behind + 1)),
                _ => fail("unclosed left parenthesis".into()),
            }
        }
        Kind::Word
            if token.is_word("step")
                && tokens.get(at + 1).is_some_and(|next| next.is("("))
                && tokens.get(at + 2).is_some_and(|next| next.is(")")) =>
        {
            Ok((DurationExpr::Step, at + 3))
        }
        _ => fail(format!("unexpected {:?} in duration, expected number or duration", token.text)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::lex::tokens;
    use super::*;

    fn millis(text: &str) -> i64 {
        let tokens = tokens(text).unwrap();
        let (expr, behind) = expression(text, &tokens, 0).unwrap();
        assert_eq!(behind, tokens.len(), "{text}");
        expr.millis(15_000, Sign::Any).unwrap()
    }

    #[test]
    fn expressions_are_computed_in_seconds() {
        assert_eq!(millis("2m*(10+5)"), 1_800_000);
        assert_eq!(millis("-5m+35m"), 1_800_000);
        assert_eq!(millis("30m1s-30m1s % 1m"), 1_800_000);
        assert_eq!(millis("-2^2"), -4_000);
        assert_eq!(millis("2^3^0"), 2_000);
        assert_eq!(millis("step()*2"), 30_000);
    }

    #[test]
    fn literals_are_strict_and_written_back() {
        assert_eq!(parse_millis("1h30m"), Ok(5_400_000));
        assert!(
            parse_millis("30m1h").is_err() && parse_millis("1m1m").is_err() && parse_millis("5").is_err()
        );
        assert!(parse_millis("400y").is_err());
        for text in ["1h30m", "1w", "8d", "1d1ms", "365d", "2w"] {
            let millis = parse_millis(text).unwrap();
            assert_eq!(parse_millis(&write_millis(millis)), Ok(millis), "{text}");
        }
        assert_eq!(write_millis(86_400_000 * 365), "1y");
        assert_eq!(write_millis(-90_000), "1m30s");
    }

    #[test]
    fn literals_are_exact() {
        for millis in [1001, 1003, 2002] {
            let expr = DurationExpr::Literal(millis as f64 / 1000.0);
            assert_eq!(expr.millis(1, Sign::Positive), Ok(millis));
        }
    }

    #[test]
    fn only_offsets_may_be_negative() {
        let expr = DurationExpr::Literal(-1.0);
        assert_eq!(expr.millis(1, Sign::Any), Ok(-1000));
        assert_eq!(expr.millis(1, Sign::Positive), Err("duration must be greater than 0".into()));
    }
}
