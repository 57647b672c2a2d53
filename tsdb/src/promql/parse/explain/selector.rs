//! What stands in braces and in brackets, and what moves a selector in time.

use super::super::shown::shown;
use super::super::strings::unquote;
use super::{Reader, Step, Stop};
use crate::promql::ast::Type;
use crate::promql::lex::{Kind, Token};

const DURATION: &str = "number, duration, step(), or range()";
/// What errors call the inside of braces.
const MATCHING: &str = "label matching";

impl Reader<'_, '_> {
    /// `{a="b", "c"}` behind a name or alone.
    pub(super) fn braces(&mut self, name: Option<&Token<'_>>) -> Step<()> {
        let start = name.map_or(self.place(), |name| name.span.start);
        let mut named = name.map(|name| name.text.to_owned());
        self.at += 1;
        while !self.take("}") {
            let item = self.token().filter(|token| matches!(token.kind, Kind::Word | Kind::Text));
            let Some(item) = item else { return Err(self.in_braces("identifier or \"}\"")) };
            self.at += 1;
            let compared = self.token().filter(|token| token.kind == Kind::Mark && is_comparison(token));
            let quoted = |token: &Token<'_>| unquote(token.text).unwrap_or_default();
            let (mut name_is, is_text) = (None, item.kind == Kind::Text);
            if let Some(comparison) = compared {
                if comparison.text == "==" {
                    let message = format!("unexpected \"=\" in {MATCHING}, expected string");
                    return self.fault(comparison.span.start + 1, message);
                }
                self.at += 1;
                let value = self.token().filter(|token| token.kind == Kind::Text);
                let Some(value) = value else { return Err(self.in_braces("string")) };
                let is_name = if is_text { quoted(item) == "__name__" } else { item.text == "__name__" };
                if is_name {
                    name_is = Some(quoted(value));
                }
                self.at += 1;
            } else if is_text {
                name_is = Some(quoted(item));
            } else {
                return Err(self.in_braces("label matching operator"));
            }
            if let Some(second) = name_is {
                match &named {
                    Some(first) if name.is_some() => {
                        let message = format!("metric name must not be set twice: {first:?} or {second:?}");
                        self.note(start, message);
                    }
                    _ => named = Some(second),
                }
            }
            if !self.take(",") && !self.is("}") {
                return Err(self.in_braces("\",\" or \"}\""));
            }
        }
        Ok(())
    }

    /// The present token cannot stand here, in braces.
    fn in_braces(&self, expected: &str) -> Stop {
        let Some(token) = self.token() else {
            return Stop::Fault((self.text.len(), "unexpected end of input inside braces".to_owned()));
        };
        let may_stand = match token.kind {
            Kind::Word | Kind::Text => true,
            Kind::Number | Kind::Duration => false,
            Kind::Mark => token.is(",") || token.is("}") || is_comparison(token),
        };
        if may_stand {
            // No word is a keyword here.
            let what = if token.kind == Kind::Word {
                format!("identifier {:?}", token.text)
            } else {
                shown(Some(token))
            };
            return self.met_as(&what, MATCHING, expected);
        }
        let first = token.text.chars().next().unwrap_or_default();
        Stop::Fault((token.span.start, format!("unexpected character inside braces: {first:?}")))
    }

    /// `[5m]`, `offset 5m`, `@ 5`
    pub(super) fn postfix(&mut self, start: usize, yields: Type, mut is_selector: bool) -> Step<Type> {
        let mut yields = yields;
        let (mut moved, mut pinned) = (false, false);
        loop {
            let place = self.place();
            if self.take("[") {
                let is_subquery = self.brackets()?;
                if !is_subquery && !is_selector {
                    return self.fault(place, "ranges only allowed for vector selectors");
                }
                if !is_subquery && (moved || pinned) {
                    let which = if moved { "offset" } else { "@" };
                    return self.fault(place, format!("no {which} modifiers allowed before range"));
                }
                (yields, is_selector, moved, pinned) = (Type::Matrix, false, false, false);
            } else if self.is_word("offset") {
                self.at += 1;
                self.sign();
                if self.is("(") || self.is_word("step") || self.is_word("range") {
                    return Err(Stop::Unknown);
                }
                if !self.is_kind(&[Kind::Number, Kind::Duration]) {
                    return Err(self.unexpected("offset", DURATION));
                }
                self.at += 1;
                if moved {
                    return self.fault(start, "offset may not be set multiple times");
                }
                moved = true;
            } else if self.take("@") {
                self.sign();
                self.time()?;
                if pinned {
                    return self.fault(start, "@ <timestamp> may not be set multiple times");
                }
                pinned = true;
            } else {
                return Ok(yields);
            }
        }
    }

    fn sign(&mut self) {
        if self.is("-") || self.is("+") {
            self.at += 1;
        }
    }

    fn time(&mut self) -> Step<()> {
        if self.is_word("start") || self.is_word("end") {
            self.at += 1;
            if self.take("(") && self.take(")") {
                return Ok(());
            }
            return Err(self.unexpected("@", "timestamp"));
        }
        let is_time = self.is_kind(&[Kind::Number, Kind::Duration]) || self.token().is_some_and(is_number);
        if !is_time {
            return Err(self.unexpected("@", "timestamp"));
        }
        self.at += 1;
        Ok(())
    }

    /// Behind an opening bracket to the closing one; whether it is a subquery's. Durations that are computed are not read.
    fn brackets(&mut self) -> Step<bool> {
        if self.token().is_none() {
            return self.fault(self.text.len(), "unexpected end of input in duration expression");
        }
        let is_subquery = self.one_duration()? && self.take(":");
        if is_subquery && self.is_kind(&[Kind::Number, Kind::Duration]) {
            self.one_duration()?;
        }
        if self.take("]") {
            return Ok(is_subquery);
        }
        match self.token() {
            None => self.fault(self.text.len(), "unclosed left bracket"),
            Some(_) => Err(Stop::Unknown),
        }
    }

    fn one_duration(&mut self) -> Step<bool> {
        let there = self.is_kind(&[Kind::Number, Kind::Duration]);
        self.at += usize::from(there);
        if there { Ok(true) } else { Err(Stop::Unknown) }
    }
}

pub(super) fn is_number(token: &Token<'_>) -> bool {
    token.is_word("inf") || token.is_word("nan")
}

fn is_comparison(token: &Token<'_>) -> bool {
    ["=", "==", "!=", "=~", "!~"].contains(&token.text)
}
