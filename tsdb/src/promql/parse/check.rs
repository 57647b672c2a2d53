//! What the grammar does not tell: depth, types, numbers of arguments.

use super::{MAX_DEPTH, strings};
use crate::promql::ParseError;
use crate::promql::ast::{AggregateOp, BinaryOp, Card, Expr, Matching, Node, Selector, Type};
use crate::promql::functions::{Arity, Function};
use crate::promql::lex::{Kind, Token};
use crate::promql::pattern;
use crate::promql::print::quote;
use crate::series::{METRIC_NAME, MatchOp, Matcher};

/// Refuses what would nest deeper than [`MAX_DEPTH`], before anything recursive sees it: every open bracket and every
/// operator since it opened may be one level.
pub(super) fn depth(text: &str, tokens: &[Token<'_>]) -> Result<(), ParseError> {
    let mut open: Vec<usize> = vec![0];
    let mut total = 0_usize;
    for token in tokens {
        let levels = match (token.kind, token.text) {
            (Kind::Mark, "(" | "[" | "{") => {
                open.push(0);
                1
            }
            (Kind::Mark, ")" | "]" | "}") => {
                let closed = if open.len() > 1 { open.pop().unwrap_or(0) } else { 0 };
                total -= closed;
                0
            }
            (Kind::Mark, ",") => {
                let since = open.last_mut().map(std::mem::take).unwrap_or(0);
                // The bracket itself stays open.
                let bracket = usize::from(open.len() > 1 && since > 0);
                total -= since - bracket;
                if let Some(last) = open.last_mut() {
                    *last = bracket;
                }
                0
            }
            (Kind::Mark, _) => 1,
            (Kind::Word, word) => usize::from(["and", "or", "unless", "atan2"].contains(&word)),
            _ => 0,
        };
        if let Some(last) = open.last_mut() {
            *last += levels;
        }
        total += levels;
        if total > MAX_DEPTH {
            let message = format!("the query nests more than {MAX_DEPTH} levels deep");
            return Err(ParseError::at(text, token.span.start, message));
        }
    }
    Ok(())
}

/// Checks a whole tree.
pub(super) fn types(text: &str, tokens: &[Token<'_>], expr: &Expr) -> Result<(), ParseError> {
    Check { text, tokens }.expr(expr)
}

struct Check<'a> {
    text: &'a str,
    tokens: &'a [Token<'a>],
}

impl Check<'_> {
    fn fail(&self, expr: &Expr, message: impl std::fmt::Display) -> Result<(), ParseError> {
        Err(ParseError::at(self.text, expr.span.start, message))
    }

    fn expect(&self, expr: &Expr, expected: Type, context: &str) -> Result<(), ParseError> {
        self.expr(expr)?;
        let actual = expr.value_type();
        if actual == expected {
            return Ok(());
        }
        let (expected, actual) = (expected.documented(), actual.documented());
        self.fail(expr, format!("expected type {expected} in {context}, got {actual}"))
    }

    fn expr(&self, expr: &Expr) -> Result<(), ParseError> {
        match &expr.node {
            Node::Number(_) | Node::Text(_) => Ok(()),
            Node::Selector(selector) | Node::Range { selector, .. } => self.selector(expr, selector),
            Node::Paren(inner) => self.expr(inner),
            Node::Negate(inner) => {
                self.expr(inner)?;
                match inner.value_type() {
                    Type::Scalar | Type::Vector => Ok(()),
                    other => self.fail(expr, format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {:?}",
                        other.documented()
                    )),
                }
            }
            Node::Subquery { expr: inner, .. } => {
                self.expr(inner)?;
                match inner.value_type() {
                    Type::Vector => Ok(()),
                    other => self.fail(
                        expr,
                        format!(
                            "subquery is only allowed on instant vector, got {} instead",
                            other.documented()
                        ),
                    ),
                }
            }
            Node::Call { function, args } => self.call(expr, function, args),
            Node::Aggregate { op, param, expr: inner, grouping } => {
                self.labels(expr, grouping.labels.iter())?;
                self.expect(inner, Type::Vector, "aggregation expression")?;
                match param {
                    Some(param) if *op == AggregateOp::CountValues => {
                        self.expect(param, Type::Text, "aggregation parameter")
                    }
                    Some(param) => self.expect(param, Type::Scalar, "aggregation parameter"),
                    None => Ok(()),
                }
            }
            Node::Binary { op, left, right, to_bool, matching } => {
                self.binary(expr, *op, left, right, *to_bool, matching)
            }
        }
    }

    /// Fails at the operator behind an operand.
    fn fail_at_operator(&self, left: &Expr, message: impl std::fmt::Display) -> Result<(), ParseError> {
        let behind = self.tokens.partition_point(|token| token.span.start < left.span.end);
        let at = self.tokens.get(behind).map_or(left.span.end, |token| token.span.start);
        Err(ParseError::at(self.text, at, message))
    }

    fn labels<'a>(&self, expr: &Expr, mut names: impl Iterator<Item = &'a String>) -> Result<(), ParseError> {
        if let Some(name) = names.find(|name| !strings::is_name(name)) {
            return self.fail(expr, format!("invalid label name for grouping: {}", quote(name)));
        }
        Ok(())
    }

    fn selector(&self, expr: &Expr, selector: &Selector) -> Result<(), ParseError> {
        let is_name = |matcher: &&Matcher| matcher.name == METRIC_NAME;
        if let Some(name) = &selector.name {
            let inside = &selector.matchers[..selector.matchers.len() - 1];
            if let Some(second) = inside.iter().find(is_name) {
                let message = format!("metric name must not be set twice: {name:?} or {:?}", second.value);
                return self.fail(expr, message);
            }
            return Ok(());
        }
        if !selector.matchers.iter().any(|matcher| !matches_empty(matcher)) {
            return self.fail(expr, "vector selector must contain at least one non-empty matcher");
        }
        Ok(())
    }

    fn call(&self, expr: &Expr, function: &Function, args: &[Expr]) -> Result<(), ParseError> {
        let (listed, given, name) = (function.args.len(), args.len(), function.name);
        let message = match function.arity {
            Arity::Fixed if given != listed => format!("expected {listed} argument(s) in call to {name:?}"),
            Arity::LastOptional | Arity::LastRepeated if given + 1 < listed => {
                format!("expected at least {} argument(s) in call to {name:?}", listed - 1)
            }
            Arity::LastOptional if given > listed => {
                format!("expected at most {listed} argument(s) in call to {name:?}")
            }
            _ => String::new(),
        };
        if !message.is_empty() {
            return self.fail(expr, format!("{message}, got {given}"));
        }
        for (index, arg) in args.iter().enumerate() {
            let expected = function.args[index.min(listed - 1)];
            self.expect(arg, expected, &format!("call to function {name:?}"))?;
        }
        Ok(())
    }

    fn binary(
        &self,
        expr: &Expr,
        op: BinaryOp,
        left: &Expr,
        right: &Expr,
        to_bool: bool,
        matching: &Matching,
    ) -> Result<(), ParseError> {
        self.expr(left)?;
        self.expr(right)?;
        let types = (left.value_type(), right.value_type());
        let scalars = types == (Type::Scalar, Type::Scalar);
        if to_bool && !op.compares() {
            return self.fail_at_operator(left, "bool modifier can only be used on comparison operators");
        }
        if op.compares() && !to_bool && scalars {
            return self.fail_at_operator(left, "comparisons between scalars must use BOOL modifier");
        }
        if let Some(label) =
            matching.labels.iter().find(|label| matching.on && matching.include.contains(label))
        {
            let message = format!("label {label:?} must not occur in ON and GROUP clause at once");
            return self.fail_at_operator(left, message);
        }
        for (side, kind) in [(left, types.0), (right, types.1)] {
            if !matches!(kind, Type::Scalar | Type::Vector) {
                return self
                    .fail(side, "binary expression must contain only scalar and instant vector types");
            }
        }
        let vectors = types == (Type::Vector, Type::Vector);
        if !vectors && !matching.labels.is_empty() {
            return self.fail(expr, "vector matching only allowed between instant vectors");
        }
        if !vectors && op.is_set() {
            let message = format!("set operator {:?} not allowed in binary scalar expression", op.name());
            return self.fail(expr, message);
        }
        if op.is_set() && matching.card != Card::ManyToMany {
            return self.fail(expr, format!("no grouping allowed for {:?} operation", op.name()));
        }
        self.labels(expr, matching.labels.iter().chain(&matching.include))
    }
}

/// Whether an absent label would match.
fn matches_empty(matcher: &Matcher) -> bool {
    match matcher.op {
        MatchOp::Equal => matcher.value.is_empty(),
        MatchOp::NotEqual => !matcher.value.is_empty(),
        MatchOp::Matches => pattern::compile(&matcher.value).is_ok_and(|regex| regex.is_match("")),
        MatchOp::NotMatches => pattern::compile(&matcher.value).is_ok_and(|regex| !regex.is_match("")),
    }
}
