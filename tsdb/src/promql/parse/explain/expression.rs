//! Operands, operators, calls and aggregations.

use super::super::shown::{aggregation, is_operator};
use super::selector::is_number;
use super::{Reader, Seen, Step, Stop};
use crate::promql::ast::{AggregateOp, Type};
use crate::promql::functions;
use crate::promql::lex::{Kind, Token};

/// Words that name no metric and no function.
const RESERVED: [&str; 6] = ["bool", "on", "ignoring", "group_left", "group_right", "atan2"];

impl Reader<'_, '_> {
    pub(super) fn expression(&mut self) -> Step<Seen> {
        let mut left = self.operand()?;
        while let Some(operator) = self.token().filter(|token| is_binary(token)) {
            let is_set = is_operator(operator) && !operator.is_word("atan2");
            let compares = ["==", "!=", "<", "<=", ">", ">="].contains(&operator.text);
            self.at += 1;
            let groups = self.modifiers(operator, compares)?;
            let right = self.operand()?;
            if groups && is_set {
                let message = format!("no grouping allowed for {:?} operation", operator.text);
                return self.fault(left.start, message);
            }
            for side in [left, right] {
                if !matches!(side.yields, Type::Scalar | Type::Vector) {
                    let message = "binary expression must contain only scalar and instant vector types";
                    self.note(side.start, message.to_owned());
                }
            }
            let scalars = left.yields == Type::Scalar && right.yields == Type::Scalar;
            left.yields = if scalars { Type::Scalar } else { Type::Vector };
        }
        Ok(left)
    }

    /// `bool`, `on (…)`, `group_left (…)`; whether series are grouped.
    fn modifiers(&mut self, operator: &Token<'_>, compares: bool) -> Step<bool> {
        if self.is_word("bool") {
            self.at += 1;
            if !compares {
                self.note(
                    operator.span.start,
                    "bool modifier can only be used on comparison operators".to_owned(),
                );
            }
        }
        if !self.is_word("on") && !self.is_word("ignoring") {
            return Ok(false);
        }
        self.at += 1;
        self.labels()?;
        if !self.is_word("group_left") && !self.is_word("group_right") {
            return Ok(false);
        }
        self.at += 1;
        if self.is("(") {
            self.labels()?;
        }
        Ok(true)
    }

    /// `(a, "b")`
    fn labels(&mut self) -> Step<()> {
        if !self.take("(") {
            return Err(self.unexpected("grouping opts", "\"(\""));
        }
        self.open += 1;
        while !self.is(")") {
            if !self.is_kind(&[Kind::Word, Kind::Text]) {
                return Err(self.unexpected("grouping opts", "label"));
            }
            self.at += 1;
            if !self.take(",") && !self.is(")") {
                return Err(self.unexpected("grouping opts", "\",\" or \")\""));
            }
        }
        self.open -= 1;
        self.at += 1;
        Ok(())
    }

    fn operand(&mut self) -> Step<Seen> {
        let start = self.place();
        if self.take("+") || self.take("-") {
            let inner = self.operand()?;
            if !matches!(inner.yields, Type::Scalar | Type::Vector) {
                let message = format!(
                    "unary expression only allowed on expressions of type scalar or instant vector, got {:?}",
                    inner.yields.documented()
                );
                self.note(start, message);
            }
            return Ok(Seen { start, ..inner });
        }
        let Some(token) = self.token() else { return Err(self.unexpected("", "")) };
        let next_is = |mark: &str| self.tokens.get(self.at + 1).is_some_and(|next| next.is(mark));
        let (yields, is_selector) = match token.kind {
            Kind::Mark if token.is("(") => {
                self.at += 1;
                self.open += 1;
                let inner = self.expression()?;
                self.close("")?;
                (inner.yields, false)
            }
            Kind::Mark if token.is("{") => {
                self.braces(None)?;
                (Type::Vector, true)
            }
            Kind::Mark => return Err(self.unexpected("", "")),
            Kind::Number | Kind::Duration | Kind::Text => {
                self.at += 1;
                (if token.kind == Kind::Text { Type::Text } else { Type::Scalar }, false)
            }
            Kind::Word if RESERVED.iter().any(|word| token.is_word(word)) => {
                return Err(self.unexpected("", ""));
            }
            Kind::Word => match aggregation(token) {
                Some(op) if next_is("(") || self.is_grouped_next() => (self.aggregate(op)?, false),
                _ if next_is("(") => (self.call(token)?, false),
                _ if is_number(token) => {
                    self.at += 1;
                    (Type::Scalar, false)
                }
                _ => {
                    self.at += 1;
                    if self.is("{") {
                        self.braces(Some(token))?;
                    }
                    (Type::Vector, true)
                }
            },
        };
        let yields = self.postfix(start, yields, is_selector)?;
        Ok(Seen { yields, start })
    }

    fn is_grouped_next(&self) -> bool {
        let next = self.tokens.get(self.at + 1);
        next.is_some_and(|next| next.is_word("by") || next.is_word("without"))
    }

    fn close(&mut self, context: &str) -> Step<()> {
        if !self.is(")") {
            return Err(self.unexpected(context, ""));
        }
        self.open -= 1;
        self.at += 1;
        Ok(())
    }

    /// `(x, y)`
    fn arguments(&mut self, of: &str) -> Step<Vec<Seen>> {
        if !self.take("(") {
            return Err(self.unexpected(of, ""));
        }
        self.open += 1;
        let mut all = Vec::new();
        if !self.is(")") {
            all.push(self.expression()?);
            while self.take(",") {
                if self.is(")") {
                    return Err(Stop::Unknown);
                }
                all.push(self.expression()?);
            }
        }
        self.close(of)?;
        Ok(all)
    }

    fn call(&mut self, name: &Token<'_>) -> Step<Type> {
        self.at += 1;
        self.arguments("")?;
        // A function that is not known, or has other arguments, is told by who reads queries.
        functions::find(name.text).map(|function| function.returns).ok_or(Stop::Unknown)
    }

    fn aggregate(&mut self, op: AggregateOp) -> Step<Type> {
        let start = self.place();
        self.at += 1;
        let grouped = self.is_word("by") || self.is_word("without");
        if grouped {
            self.at += 1;
            self.labels()?;
        }
        let arguments = self.arguments("aggregation")?;
        if !grouped && (self.is_word("by") || self.is_word("without")) {
            self.at += 1;
            self.labels()?;
        }
        let takes_one = op.chooses() || matches!(op, AggregateOp::Quantile | AggregateOp::CountValues);
        let (expected, got) = (1 + usize::from(takes_one), arguments.len());
        if got == 0 {
            return self.fault(start, "no arguments for aggregate expression provided");
        }
        if got != expected {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {expected}, got {got}"
            );
            return self.fault(start, message);
        }
        let parameter = if op == AggregateOp::CountValues { Type::Text } else { Type::Scalar };
        let wanted = [(Type::Vector, "expression"), (parameter, "parameter")];
        for (argument, (wanted, what)) in arguments.iter().rev().zip(wanted) {
            if argument.yields != wanted {
                let (wanted, got) = (wanted.documented(), argument.yields.documented());
                self.note(argument.start, format!("expected type {wanted} in aggregation {what}, got {got}"));
            }
        }
        Ok(Type::Vector)
    }
}

fn is_binary(token: &Token<'_>) -> bool {
    const MARKS: [&str; 12] = ["+", "-", "*", "/", "%", "^", "==", "!=", "<", "<=", ">", ">="];
    is_operator(token) || (token.kind == Kind::Mark && MARKS.contains(&token.text))
}
