//! The parser's tree becomes ours, with the slots put back.

use promql_parser::label as theirs_label;
use promql_parser::parser as theirs;

use super::slots::Slots;
use crate::promql::ParseError;
use crate::promql::ast::{AggregateOp, At, BinaryOp, Card, Expr, Grouping, Matching, Node, Selector, When};
use crate::promql::duration::DurationExpr;
use crate::promql::functions;
use crate::series::{METRIC_NAME, MatchOp, Matcher};

/// Converts a tree. Places are filled in later.
pub(super) fn convert(text: &str, expr: &theirs::Expr, slots: &Slots) -> Result<Expr, ParseError> {
    Converter { text, slots }.expr(expr)
}

struct Converter<'a> {
    text: &'a str,
    slots: &'a Slots,
}

impl Converter<'_> {
    fn fail<T>(&self, message: impl std::fmt::Display) -> Result<T, ParseError> {
        Err(ParseError::at(self.text, 0, message))
    }

    fn expr(&self, expr: &theirs::Expr) -> Result<Expr, ParseError> {
        let node = match expr {
            theirs::Expr::NumberLiteral(number) => Node::Number(number.val),
            theirs::Expr::StringLiteral(text) => Node::Text(self.slot_text(&text.val)?),
            theirs::Expr::Paren(paren) => Node::Paren(self.boxed(&paren.expr)?),
            theirs::Expr::Unary(unary) => Node::Negate(self.boxed(&unary.expr)?),
            theirs::Expr::VectorSelector(selector) => Node::Selector(self.selector(selector)?),
            theirs::Expr::MatrixSelector(matrix) => {
                Node::Range { selector: self.selector(&matrix.vs)?, range: self.duration(matrix.range)? }
            }
            theirs::Expr::Subquery(subquery) => Node::Subquery {
                expr: self.boxed(&subquery.expr)?,
                range: self.duration(subquery.range)?,
                step: subquery.step.map(|step| self.duration(step)).transpose()?,
                when: self.when(subquery.offset.as_ref(), subquery.at.as_ref())?,
            },
            theirs::Expr::Call(call) => self.call(call)?,
            theirs::Expr::Aggregate(aggregate) => self.aggregate(aggregate)?,
            theirs::Expr::Binary(binary) => self.binary(binary)?,
            theirs::Expr::Extension(_) => return self.fail("extensions are not supported"),
        };
        Ok(Expr { node, span: 0..0 })
    }

    fn boxed(&self, expr: &theirs::Expr) -> Result<Box<Expr>, ParseError> {
        Ok(Box::new(self.expr(expr)?))
    }

    /// The text that a number in the tree stands for.
    fn slot_text(&self, number: &str) -> Result<String, ParseError> {
        match number.parse::<usize>().ok().and_then(|number| self.slots.texts.get(number.wrapping_sub(1))) {
            Some(slot) => Ok(slot.value.clone()),
            None => self.fail(format!("unexpected text {number:?}")),
        }
    }

    /// A label's name, which is a text when it was quoted.
    fn label_name(&self, name: &str) -> Result<String, ParseError> {
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            self.slot_text(name)
        } else {
            Ok(name.into())
        }
    }

    fn label_names(&self, labels: &theirs_label::Labels) -> Result<Vec<String>, ParseError> {
        labels.labels.iter().map(|name| self.label_name(name)).collect()
    }

    fn duration(&self, slot: std::time::Duration) -> Result<DurationExpr, ParseError> {
        let index = usize::try_from(slot.as_millis()).unwrap_or(0).wrapping_sub(1);
        match self.slots.durations.get(index) {
            Some(expr) => Ok(expr.clone()),
            None => self.fail("unexpected duration"),
        }
    }

    fn when(
        &self,
        offset: Option<&theirs::Offset>,
        at: Option<&theirs::AtModifier>,
    ) -> Result<When, ParseError> {
        let offset = match offset {
            Some(theirs::Offset::Pos(slot) | theirs::Offset::Neg(slot)) => Some(self.duration(*slot)?),
            None => None,
        };
        let at = match at {
            None => None,
            Some(theirs::AtModifier::Start) => Some(At::Start),
            Some(theirs::AtModifier::End) => Some(At::End),
            Some(theirs::AtModifier::At(time)) => {
                let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                let index = usize::try_from(since.as_secs()).unwrap_or(0).wrapping_sub(1);
                match self.slots.times_ms.get(index) {
                    Some(millis) => Some(At::Time(*millis)),
                    None => return self.fail("unexpected time in @"),
                }
            }
        };
        Ok(When { offset, at })
    }

    fn selector(&self, selector: &theirs::VectorSelector) -> Result<Selector, ParseError> {
        if !selector.matchers.or_matchers.is_empty() {
            return self.fail("unexpected \"or\" in label matching");
        }
        let mut matchers = Vec::with_capacity(selector.matchers.matchers.len() + 1);
        for matcher in &selector.matchers.matchers {
            let index = matcher.value.parse::<usize>().unwrap_or(0).wrapping_sub(1);
            let Some(slot) = self.slots.texts.get(index) else {
                return self.fail(format!("unexpected matcher {matcher}"));
            };
            if matches!(slot.op, MatchOp::Matches | MatchOp::NotMatches)
                && let Err(reason) = crate::promql::pattern::compile(&slot.value)
            {
                return Err(ParseError::at(self.text, slot.at, regex_message(&slot.value, &reason)));
            }
            matchers.push(Matcher {
                name: self.label_name(&matcher.name)?,
                op: slot.op,
                value: slot.value.clone(),
            });
        }
        if let Some(name) = &selector.name {
            matchers.push(Matcher { name: METRIC_NAME.into(), op: MatchOp::Equal, value: name.clone() });
        }
        let when = self.when(selector.offset.as_ref(), selector.at.as_ref())?;
        Ok(Selector { name: selector.name.clone(), matchers, when })
    }

    fn call(&self, call: &theirs::Call) -> Result<Node, ParseError> {
        let Some(function) = functions::find(call.func.name) else {
            return self.fail(format!("unknown function with name {:?}", call.func.name));
        };
        let args = call.args.args.iter().map(|arg| self.expr(arg)).collect::<Result<_, _>>()?;
        Ok(Node::Call { function, args })
    }

    fn aggregate(&self, aggregate: &theirs::AggregateExpr) -> Result<Node, ParseError> {
        let name = aggregate.op.to_string();
        let Some((_, op)) = AggregateOp::ALL.iter().find(|(known, _)| *known == name) else {
            return self.fail(format!("unknown aggregation {name:?}"));
        };
        let grouping = match &aggregate.modifier {
            None => Grouping::default(),
            Some(theirs::LabelModifier::Include(labels)) => {
                Grouping { labels: self.label_names(labels)?, without: false }
            }
            Some(theirs::LabelModifier::Exclude(labels)) => {
                Grouping { labels: self.label_names(labels)?, without: true }
            }
        };
        Ok(Node::Aggregate {
            op: *op,
            param: aggregate.param.as_ref().map(|param| self.boxed(param)).transpose()?,
            expr: self.boxed(&aggregate.expr)?,
            grouping,
        })
    }

    fn binary(&self, binary: &theirs::BinaryExpr) -> Result<Node, ParseError> {
        let name = binary.op.to_string();
        let Some((_, op)) = BinaryOp::ALL.iter().find(|(known, _)| *known == name) else {
            return self.fail(format!("unknown operator {name:?}"));
        };
        let mut matching = Matching::default();
        let mut to_bool = false;
        if let Some(modifier) = &binary.modifier {
            to_bool = modifier.return_bool;
            if modifier.fill_values != theirs::VectorMatchFillValues::default() {
                return self.fail("fill modifiers are not supported");
            }
            match &modifier.matching {
                Some(theirs::LabelModifier::Include(labels)) => {
                    (matching.on, matching.labels) = (true, self.label_names(labels)?);
                }
                Some(theirs::LabelModifier::Exclude(labels)) => matching.labels = self.label_names(labels)?,
                None => {}
            }
            match &modifier.card {
                theirs::VectorMatchCardinality::ManyToOne(include) => {
                    (matching.card, matching.include) = (Card::ManyToOne, self.label_names(include)?);
                }
                theirs::VectorMatchCardinality::OneToMany(include) => {
                    (matching.card, matching.include) = (Card::OneToMany, self.label_names(include)?);
                }
                theirs::VectorMatchCardinality::OneToOne | theirs::VectorMatchCardinality::ManyToMany => {}
            }
        }
        if op.is_set() && matching.card == Card::OneToOne {
            matching.card = Card::ManyToMany;
        }
        Ok(Node::Binary {
            op: *op,
            left: self.boxed(&binary.lhs)?,
            right: self.boxed(&binary.rhs)?,
            to_bool,
            matching,
        })
    }
}

/// What is wrong with a regular expression, in Go's words where the reason is a frequent one.
fn regex_message(pattern: &str, reason: &str) -> String {
    let what = match reason.rsplit(": ").next().unwrap_or_default() {
        "unclosed group" => "missing closing )",
        "unopened group" => "unexpected )",
        other => other,
    };
    format!("error parsing regexp: {what}: `{pattern}`")
}
