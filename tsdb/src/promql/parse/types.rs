//! What is wrong with a text of which each word stands where it may, in Prometheus' words: a type, a count of arguments, a
//! name given twice.
//!
//! promql-parser finds these too, but in a text without slots, at another place. As [`super::explain`] this reads only texts
//! that were refused, after it; where the words do not follow the grammar it says nothing.

use super::explain::{KEYWORDS, MARK_OPERATORS, MATCHES, WORD_OPERATORS};
use super::strings::unquote;
use crate::promql::ParseError;
use crate::promql::ast::{AggregateOp, Type};
use crate::promql::functions;
use crate::promql::lex::{Kind, Token};

/// What is wrong with the meaning of a text; `None` if that is not what is wrong.
pub(super) fn fault(text: &str, tokens: &[Token<'_>]) -> Option<ParseError> {
    let mut reader = Reader::of(tokens);
    reader.expression()?;
    let all = reader.at == tokens.len();
    let (byte, message) = reader.first.or(reader.later).filter(|_| all)?;
    Some(ParseError::at(text, byte, message))
}

/// A `+` before what has no sign: promql-parser leaves it out, whatever it stands before.
pub(super) fn plus(text: &str, tokens: &[Token<'_>]) -> Option<ParseError> {
    let mut reader = Reader::of(tokens);
    reader.expression()?;
    reader.plus.map(|(byte, message)| ParseError::at(text, byte, message))
}

/// Where, and why.
type Fault = (usize, String);

/// What an expression yields and where it begins.
#[derive(Clone, Copy)]
struct Seen {
    yields: Type,
    start: usize,
}

struct Reader<'t, 'a> {
    tokens: &'t [Token<'a>],
    at: usize,
    /// What Prometheus sees while it reads.
    first: Option<Fault>,
    /// What it sees when all is read.
    later: Option<Fault>,
    /// The first of these that is about a `+` with one side.
    plus: Option<Fault>,
}

impl<'t, 'a> Reader<'t, 'a> {
    fn of(tokens: &'t [Token<'a>]) -> Self {
        Reader { tokens, at: 0, first: None, later: None, plus: None }
    }

    fn token(&self) -> Option<&'t Token<'a>> {
        self.tokens.get(self.at)
    }

    fn is(&self, mark: &str) -> bool {
        self.token().is_some_and(|token| token.is(mark))
    }

    fn is_any(&self, words: &[&str]) -> bool {
        self.token().is_some_and(|token| words.iter().any(|word| token.is_word(word)))
    }

    fn take(&mut self, mark: &str) -> bool {
        let there = self.is(mark);
        self.at += usize::from(there);
        there
    }

    /// Goes behind the mark that closes what is opened here.
    fn skip(&mut self, open: &str, close: &str) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            let token = self.token()?;
            self.at += 1;
            if token.is(open) {
                depth += 1;
            } else if token.is(close) {
                depth = depth.checked_sub(1)?;
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn expression(&mut self) -> Option<Seen> {
        let mut left = self.operand()?;
        while let Some(operator) = self.token().filter(|token| is_binary(token)) {
            self.at += 1;
            let groups = self.modifiers(operator)?;
            let right = self.operand()?;
            if groups && ["and", "or", "unless"].iter().any(|set| operator.is_word(set)) {
                let message = format!("no grouping allowed for {:?} operation", operator.text);
                self.first.get_or_insert((left.start, message));
            }
            for side in [left, right] {
                if !matches!(side.yields, Type::Scalar | Type::Vector) {
                    let message = "binary expression must contain only scalar and instant vector types";
                    self.later.get_or_insert((side.start, message.to_owned()));
                }
            }
            let scalars = left.yields == Type::Scalar && right.yields == Type::Scalar;
            left.yields = if scalars { Type::Scalar } else { Type::Vector };
        }
        Some(left)
    }

    /// `bool`, `on (…)`, `group_left (…)`; whether series are grouped.
    fn modifiers(&mut self, operator: &Token<'_>) -> Option<bool> {
        if self.is_any(&["bool"]) {
            self.at += 1;
            if !["==", "!=", "<", "<=", ">", ">="].contains(&operator.text) {
                let message = "bool modifier can only be used on comparison operators".to_owned();
                self.later.get_or_insert((operator.span.start, message));
            }
        }
        if !self.is_any(&["on", "ignoring"]) {
            return Some(false);
        }
        self.at += 1;
        self.skip("(", ")")?;
        if !self.is_any(&["group_left", "group_right"]) {
            return Some(false);
        }
        self.at += 1;
        if self.is("(") {
            self.skip("(", ")")?;
        }
        Some(true)
    }

    fn operand(&mut self) -> Option<Seen> {
        let token = self.token()?;
        let start = token.span.start;
        if self.take("+") || self.take("-") {
            let inner = self.operand()?;
            if !matches!(inner.yields, Type::Scalar | Type::Vector) {
                let message = format!(
                    "unary expression only allowed on expressions of type scalar or instant vector, got {:?}",
                    inner.yields.documented()
                );
                if token.is("+") {
                    self.plus.get_or_insert((start, message.clone()));
                }
                self.later.get_or_insert((start, message));
            }
            return Some(Seen { start, ..inner });
        }
        let next_is = |mark: &str| self.tokens.get(self.at + 1).is_some_and(|next| next.is(mark));
        let yields = match token.kind {
            Kind::Mark if token.is("(") => {
                self.at += 1;
                let inner = self.expression()?;
                self.take(")").then_some(inner.yields)?
            }
            Kind::Mark if token.is("{") => self.selector(None)?,
            Kind::Mark => return None,
            Kind::Number | Kind::Duration => self.literal(Type::Scalar),
            Kind::Text => self.literal(Type::Text),
            Kind::Word if KEYWORDS.iter().any(|word| token.is_word(word)) => return None,
            Kind::Word => match aggregation(token) {
                Some(op) if next_is("(") || self.is_grouped_next() => self.aggregate(op)?,
                _ if next_is("(") => {
                    self.at += 1;
                    self.arguments()?;
                    functions::find(token.text)?.returns
                }
                _ if token.is_word("inf") || token.is_word("nan") => self.literal(Type::Scalar),
                _ => self.selector(Some(token))?,
            },
        };
        Some(Seen { yields: self.moved(yields)?, start })
    }

    fn literal(&mut self, yields: Type) -> Type {
        self.at += 1;
        yields
    }

    /// A name, and what stands in braces behind it.
    fn selector(&mut self, name: Option<&Token<'_>>) -> Option<Type> {
        self.at += usize::from(name.is_some());
        let start = self.at;
        if self.is("{") {
            self.skip("{", "}")?;
        }
        if let Some(name) = name
            && let Some(second) = second_name(&self.tokens[start..self.at])
        {
            let message = format!("metric name must not be set twice: {:?} or {second:?}", name.text);
            self.later.get_or_insert((name.span.start, message));
        }
        Some(Type::Vector)
    }

    /// `[5m]`, `offset 5m`, `@ 5`: what is there then.
    fn moved(&mut self, mut yields: Type) -> Option<Type> {
        loop {
            if self.is("[") {
                self.skip("[", "]")?;
                yields = Type::Matrix;
            } else if self.is("@") || self.is_any(&["offset"]) {
                self.at += 1;
                if self.is("-") || self.is("+") {
                    self.at += 1;
                }
                let is_call = self.is_any(&["start", "end"]);
                self.at += 1;
                if is_call {
                    self.skip("(", ")")?;
                }
            } else {
                return Some(yields);
            }
        }
    }

    fn is_grouped_next(&self) -> bool {
        let next = self.tokens.get(self.at + 1);
        next.is_some_and(|next| next.is_word("by") || next.is_word("without"))
    }

    fn grouping(&mut self) -> Option<bool> {
        let there = self.is_any(&["by", "without"]);
        if there {
            self.at += 1;
            self.skip("(", ")")?;
        }
        Some(there)
    }

    /// `(x, y)`
    fn arguments(&mut self) -> Option<Vec<Seen>> {
        let mut all = Vec::new();
        self.take("(").then_some(())?;
        if !self.is(")") {
            all.push(self.expression()?);
            while self.take(",") {
                all.push(self.expression()?);
            }
        }
        self.take(")").then_some(all)
    }

    fn aggregate(&mut self, op: AggregateOp) -> Option<Type> {
        let start = self.token()?.span.start;
        self.at += 1;
        let grouped = self.grouping()?;
        let arguments = self.arguments()?;
        if !grouped {
            self.grouping()?;
        }
        let takes_one = op.chooses() || matches!(op, AggregateOp::Quantile | AggregateOp::CountValues);
        let (expected, got) = (1 + usize::from(takes_one), arguments.len());
        if got == 0 {
            let message = "no arguments for aggregate expression provided".to_owned();
            self.first.get_or_insert((start, message));
        } else if got != expected {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {expected}, got {got}"
            );
            self.first.get_or_insert((start, message));
        }
        let parameter = if op == AggregateOp::CountValues { Type::Text } else { Type::Scalar };
        let wanted = [(Type::Vector, "expression"), (parameter, "parameter")];
        for (argument, (wanted, what)) in arguments.iter().rev().zip(wanted) {
            if argument.yields != wanted {
                let (wanted, got) = (wanted.documented(), argument.yields.documented());
                let message = format!("expected type {wanted} in aggregation {what}, got {got}");
                self.later.get_or_insert((argument.start, message));
            }
        }
        Some(Type::Vector)
    }
}

/// The aggregation that a word names.
fn aggregation(token: &Token<'_>) -> Option<AggregateOp> {
    AggregateOp::ALL.into_iter().find(|(name, _)| token.is_word(name)).map(|(_, op)| op)
}

fn is_binary(token: &Token<'_>) -> bool {
    WORD_OPERATORS.iter().any(|word| token.is_word(word))
        || (token.kind == Kind::Mark && MARK_OPERATORS.contains(&token.text))
}

/// The name that matchers in braces give: `{"a"}` or `{__name__="a"}`.
fn second_name(braces: &[Token<'_>]) -> Option<String> {
    let inside = braces.get(1..braces.len().checked_sub(1)?)?;
    inside.split(|token| token.is(",")).find_map(|matcher| match matcher {
        [name] if name.kind == Kind::Text => unquote(name.text).ok(),
        [name, comparison, value]
            if name.text == "__name__" && MATCHES.contains(&comparison.text) && value.kind == Kind::Text =>
        {
            unquote(value.text).ok()
        }
        _ => None,
    })
}
