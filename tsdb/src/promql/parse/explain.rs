//! Why a text is no query, in Prometheus' words.
//!
//! promql-parser tells that a text is none; people know what Prometheus says of it, and where. This walks over the tokens by
//! the grammar and stops where Prometheus' parser stops. It is asked only about texts that were refused, so that a mistake here
//! costs a message and no query.

use super::slots;
use crate::promql::ParseError;
use crate::promql::duration;
use crate::promql::functions;
use crate::promql::lex::{Kind, Token};
use crate::promql::print::quote;

/// What is wrong with the syntax of a text; `None` if that is not what is wrong.
pub(super) fn syntax(text: &str, tokens: &[Token<'_>]) -> Option<ParseError> {
    let mut walk = Walk { text, tokens, at: 0, parens: 0, in_brackets: false, context: "" };
    walk.expr().and_then(|()| if walk.at < tokens.len() { walk.unexpected("") } else { Ok(()) }).err()
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

/// What may stand where a modifier follows.
#[derive(PartialEq)]
enum Form {
    Selector,
    Ranged,
    Other,
}

/// An expression without operators.
struct Operand {
    start: usize,
    form: Form,
    offset: bool,
    fixed: bool,
}

const AGGREGATIONS: [&str; 14] = [
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "count_values",
    "quantile",
    "limitk",
    "limit_ratio",
];
const WITH_PARAMETER: [&str; 6] = ["topk", "bottomk", "count_values", "quantile", "limitk", "limit_ratio"];
pub(super) const WORD_OPERATORS: [&str; 4] = ["and", "or", "unless", "atan2"];
/// Keywords that no metric can be called by, without quotes.
pub(super) const KEYWORDS: [&str; 5] = ["on", "ignoring", "group_left", "group_right", "bool"];
pub(super) const MARK_OPERATORS: [&str; 12] =
    ["+", "-", "*", "/", "%", "^", "==", "!=", "<", "<=", ">", ">="];
pub(super) const MATCHES: [&str; 5] = ["=", "!=", "=~", "!~", "=="];

struct Walk<'a> {
    text: &'a str,
    tokens: &'a [Token<'a>],
    at: usize,
    /// Parentheses that are open.
    parens: usize,
    in_brackets: bool,
    /// The part of the grammar, around this place, that would say what is wrong.
    context: &'static str,
}

type Walked<T> = Result<T, ParseError>;

impl<'a> Walk<'a> {
    fn peek(&self) -> Option<&'a Token<'a>> {
        self.tokens.get(self.at)
    }

    fn is(&self, mark: &str) -> bool {
        self.peek().is_some_and(|token| token.is(mark))
    }

    fn is_any(&self, words: &[&str]) -> bool {
        self.peek().is_some_and(|token| words.iter().any(|word| token.is_word(word)))
    }

    fn start(&self) -> usize {
        self.peek().map_or(self.text.len(), |token| token.span.start)
    }

    fn fail<T>(&self, byte: usize, message: impl std::fmt::Display) -> Walked<T> {
        Err(ParseError::at(self.text, byte, message))
    }

    /// Takes a token if it is this mark.
    fn take(&mut self, mark: &str) -> bool {
        let is = self.is(mark);
        if is {
            self.at += 1;
            match mark {
                "(" => self.parens += 1,
                ")" => self.parens -= 1,
                _ => {}
            }
        }
        is
    }

    /// What stands here is not what the grammar wants; `expected` names what it does want.
    fn unexpected<T>(&self, expected: &str) -> Walked<T> {
        self.unexpected_in(self.context, expected)
    }

    fn unexpected_in<T>(&self, context: &str, expected: &str) -> Walked<T> {
        let found = match self.peek() {
            None if self.parens > 0 => return self.fail(self.text.len(), "unclosed left parenthesis"),
            None if self.in_brackets => return self.fail(self.text.len(), "unclosed left bracket"),
            None => "end of input".to_owned(),
            Some(token) => match (token.kind, token.text) {
                (Kind::Mark, ")") if self.parens == 0 => {
                    return self.fail(token.span.end, "unexpected right parenthesis ')'");
                }
                (Kind::Mark, "]") if !self.in_brackets => {
                    return self.fail(token.span.start, "unexpected right bracket ']'");
                }
                // In braces this is never asked of their end.
                (Kind::Mark, "}") => {
                    return self.fail(token.span.start, "unexpected character: '}'");
                }
                (Kind::Mark, "=~" | "!~") => {
                    let message = format!("unexpected character after '{}': '~'", &token.text[..1]);
                    return self.fail(token.span.start, message);
                }
                _ => describe(token),
            },
        };
        let context = if context.is_empty() { String::new() } else { format!(" in {context}") };
        let expected = if expected.is_empty() { String::new() } else { format!(", expected {expected}") };
        self.fail(self.start(), format!("unexpected {found}{context}{expected}"))
    }

    fn expr(&mut self) -> Walked<()> {
        self.operand()?;
        while self.operator() {
            self.matching()?;
            self.operand()?;
        }
        Ok(())
    }

    fn operator(&mut self) -> bool {
        let mark =
            self.peek().is_some_and(|token| token.kind == Kind::Mark && MARK_OPERATORS.contains(&token.text));
        let is = mark || self.is_any(&WORD_OPERATORS);
        self.at += usize::from(is);
        is
    }

    /// `bool on (…) group_left (…)` behind an operator.
    fn matching(&mut self) -> Walked<()> {
        self.at += usize::from(self.is_any(&["bool"]));
        if self.is_any(&["on", "ignoring"]) {
            self.at += 1;
            self.labels()?;
            if self.is_any(&["group_left", "group_right"]) {
                self.at += 1;
                if self.is("(") {
                    self.labels()?;
                }
            }
        }
        Ok(())
    }

    fn operand(&mut self) -> Walked<()> {
        while self.take("+") || self.take("-") {}
        let start = self.start();
        let form = self.primary()?;
        let mut operand = Operand { start, form, offset: false, fixed: false };
        loop {
            if self.is("[") {
                self.range(&mut operand)?;
            } else if self.is_any(&["offset"]) {
                self.offset(&mut operand)?;
            } else if self.is("@") {
                self.fixed(&mut operand)?;
            } else {
                return Ok(());
            }
        }
    }

    fn primary(&mut self) -> Walked<Form> {
        let Some(token) = self.peek() else { return self.unexpected("") };
        match token.kind {
            Kind::Number | Kind::Duration | Kind::Text => self.at += 1,
            Kind::Word => return self.word(token),
            Kind::Mark if token.text == "{" => {
                self.matchers()?;
                return Ok(Form::Selector);
            }
            Kind::Mark if self.take("(") => {
                self.expr()?;
                if !self.take(")") {
                    return self.unexpected("");
                }
            }
            Kind::Mark => return self.unexpected(""),
        }
        Ok(Form::Other)
    }

    fn word(&mut self, token: &Token<'_>) -> Walked<Form> {
        let word = token.text.to_ascii_lowercase();
        let next = self.tokens.get(self.at + 1);
        let opens = next.is_some_and(|next| next.is("("));
        if ["inf", "nan"].contains(&word.as_str()) {
            self.at += 1;
            return Ok(Form::Other);
        }
        if KEYWORDS.contains(&word.as_str()) || word == "atan2" {
            return self.unexpected("");
        }
        let groups = next.is_some_and(|next| next.is_word("by") || next.is_word("without"));
        if AGGREGATIONS.contains(&word.as_str()) && (opens || groups) {
            self.aggregate(&word)?;
            return Ok(Form::Other);
        }
        let keyword = WORD_OPERATORS.contains(&word.as_str())
            || ["by", "without", "offset", "start", "end"].contains(&word.as_str());
        self.at += 1;
        if opens && !keyword && !word.contains(':') {
            self.arguments()?;
            if functions::find(token.text).is_none() {
                let message = format!("unknown function with name {}", quote(token.text));
                return self.fail(token.span.start, message);
            }
            return Ok(Form::Other);
        }
        if self.is("{") {
            self.matchers()?;
        }
        Ok(Form::Selector)
    }

    fn aggregate(&mut self, word: &str) -> Walked<()> {
        let start = self.start();
        let context = std::mem::replace(&mut self.context, "aggregation");
        self.at += 1;
        let grouped = self.is_any(&["by", "without"]);
        if grouped {
            self.at += 1;
            self.labels()?;
        }
        if !self.is("(") {
            return self.unexpected("");
        }
        let count = self.arguments()?;
        self.context = context;
        if !grouped && self.is_any(&["by", "without"]) {
            self.at += 1;
            self.labels()?;
        }
        let wanted = if WITH_PARAMETER.contains(&word) { 2 } else { 1 };
        match count {
            0 => self.fail(start, "no arguments for aggregate expression provided"),
            count if count != wanted => self.fail(
                start,
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {wanted}, got {count}"
                ),
            ),
            _ => Ok(()),
        }
    }

    /// Everything from the parenthesis that opens to its partner; answers how many there are.
    fn arguments(&mut self) -> Walked<usize> {
        self.take("(");
        let mut count = 0;
        if self.take(")") {
            return Ok(count);
        }
        loop {
            self.expr()?;
            count += 1;
            let comma = self.start();
            if self.take(",") {
                if self.at < self.tokens.len() && !self.may_begin() {
                    return self.fail(comma, "trailing commas not allowed in function call args");
                }
            } else if self.take(")") {
                return Ok(count);
            } else {
                return self.unexpected("");
            }
        }
    }

    /// Whether an expression may begin here.
    fn may_begin(&self) -> bool {
        self.peek().is_some_and(|token| match token.kind {
            Kind::Mark => ["+", "-", "(", "{"].contains(&token.text),
            Kind::Word => !KEYWORDS.iter().chain(&["atan2"]).any(|word| token.is_word(word)),
            _ => true,
        })
    }

    /// `(a, "b")` behind `by`, `on` and the like.
    fn labels(&mut self) -> Walked<()> {
        const GROUPING: &str = "grouping opts";
        if !self.take("(") {
            return self.unexpected_in(GROUPING, "\"(\"");
        }
        while !self.take(")") {
            let label = self.peek().is_some_and(|token| match token.kind {
                Kind::Word => !token.is_word("inf") && !token.is_word("nan"),
                kind => kind == Kind::Text,
            });
            if !label {
                return self.unexpected_in(GROUPING, "label");
            }
            self.at += 1;
            if !self.is(")") && !self.take(",") {
                return self.unexpected_in(GROUPING, "\",\" or \")\"");
            }
        }
        Ok(())
    }

    /// What stands inside of braces, where fewer characters mean something.
    fn in_braces(&self) -> Walked<&'a Token<'a>> {
        let Some(token) = self.peek() else {
            return self.fail(self.text.len(), "unexpected end of input inside braces");
        };
        let foreign = match token.kind {
            Kind::Text => None,
            Kind::Word => token.text.find(':'),
            Kind::Number | Kind::Duration => Some(0),
            Kind::Mark if token.text == "{" => {
                return self.fail(token.span.start, "unexpected left brace '{'");
            }
            Kind::Mark => (!MATCHES.contains(&token.text) && !matches!(token.text, "," | "}")).then_some(0),
        };
        match foreign {
            None => Ok(token),
            Some(place) => {
                let character = token.text[place..].chars().next().unwrap_or_default();
                let message = format!("unexpected character inside braces: {character:?}");
                self.fail(token.span.start + place, message)
            }
        }
    }

    fn unexpected_label<T>(&self, expected: &str) -> Walked<T> {
        let token = self.in_braces()?;
        let found = match token.kind {
            Kind::Word => format!("identifier {}", quote(token.text)),
            _ => describe(token),
        };
        let message = format!("unexpected {found} in label matching, expected {expected}");
        self.fail(token.span.start, message)
    }

    fn matchers(&mut self) -> Walked<()> {
        self.at += 1;
        while !self.in_braces()?.is("}") {
            let name = self.in_braces()?;
            if !matches!(name.kind, Kind::Word | Kind::Text) {
                return self.unexpected_label("identifier or \"}\"");
            }
            self.at += 1;
            let operator = self.in_braces()?;
            if operator.kind == Kind::Mark && MATCHES.contains(&operator.text) {
                self.at += 1;
                if operator.text == "==" {
                    let message = "unexpected \"=\" in label matching, expected string";
                    return self.fail(operator.span.start + 1, message);
                }
                if self.in_braces()?.kind != Kind::Text {
                    return self.unexpected_label("string");
                }
                self.at += 1;
            } else if name.kind == Kind::Word {
                return self.unexpected_label("label matching operator");
            }
            if !self.in_braces()?.is("}") && !self.take(",") {
                return self.unexpected_label("\",\" or \"}\"");
            }
        }
        self.at += 1;
        Ok(())
    }

    /// `[5m]`, `[1h:5m]`.
    fn range(&mut self, operand: &mut Operand) -> Walked<()> {
        const SUBQUERY: &str = "subquery selector";
        let bracket = self.start();
        self.at += 1;
        if self.peek().is_none() {
            return self.fail(self.text.len(), "unexpected end of input in duration expression");
        }
        self.in_brackets = true;
        if !self.begins_duration() {
            return match self.peek() {
                Some(token) if !token.is("]") && !token.is(",") => {
                    let character = token.text.chars().next().unwrap_or_default();
                    let message = format!("unexpected character in duration expression: {character:?}");
                    self.fail(token.span.start, message)
                }
                _ => self.unexpected_in(SUBQUERY, "number or duration"),
            };
        }
        self.duration()?;
        if self.take("]") {
            let wrong = match operand.form {
                Form::Selector if operand.offset => Some("no offset modifiers allowed before range"),
                Form::Selector if operand.fixed => Some("no @ modifiers allowed before range"),
                Form::Selector => None,
                _ => Some("ranges only allowed for vector selectors"),
            };
            if let Some(wrong) = wrong {
                return self.fail(bracket, wrong);
            }
        } else if self.take(":") {
            if !self.is("]") {
                if !self.begins_duration() {
                    return self.unexpected_in(SUBQUERY, "number or duration or \"]\"");
                }
                self.duration()?;
            }
            if self.is(":") {
                return self.fail(self.start(), "unexpected colon ':'");
            }
            if !self.take("]") {
                return self.unexpected_in(SUBQUERY, "\"]\"");
            }
        } else {
            return self.unexpected_in("subquery or range", "\":\" or \"]\"");
        }
        self.in_brackets = false;
        *operand = Operand { start: operand.start, form: Form::Ranged, offset: false, fixed: false };
        Ok(())
    }

    fn begins_duration(&self) -> bool {
        self.peek().is_some_and(|token| match token.kind {
            Kind::Number | Kind::Duration => true,
            Kind::Mark => ["+", "-", "("].contains(&token.text),
            Kind::Word => token.is_word("step"),
            Kind::Text => false,
        })
    }

    fn duration(&mut self) -> Walked<()> {
        self.at = duration::expression(self.text, self.tokens, self.at)?.1;
        Ok(())
    }

    fn offset(&mut self, operand: &mut Operand) -> Walked<()> {
        self.at += 1;
        if !self.begins_duration() {
            return self.unexpected_in("offset", "number or duration");
        }
        self.at = slots::offset(self.text, self.tokens, self.at)?.1;
        if operand.form == Form::Other {
            return self.misplaced("offset", operand);
        }
        if operand.offset {
            return self.fail(operand.start, "offset may not be set multiple times");
        }
        operand.offset = true;
        Ok(())
    }

    fn fixed(&mut self, operand: &mut Operand) -> Walked<()> {
        self.at += 1;
        if self.is_any(&["start", "end"]) {
            self.at += 1;
            if !(self.take("(") && self.take(")")) {
                return self.unexpected_in("@", "timestamp");
            }
        } else {
            self.at += usize::from(self.is("+") || self.is("-"));
            let time = self.is_any(&["inf", "nan"])
                || self.peek().is_some_and(|token| matches!(token.kind, Kind::Number | Kind::Duration));
            if !time {
                return self.unexpected_in("@", "timestamp");
            }
            self.at += 1;
        }
        if operand.form == Form::Other {
            return self.misplaced("@", operand);
        }
        if operand.fixed {
            return self.fail(operand.start, "@ <timestamp> may not be set multiple times");
        }
        operand.fixed = true;
        Ok(())
    }

    fn misplaced(&self, modifier: &str, operand: &Operand) -> Walked<()> {
        let message = format!(
            "{modifier} modifier must be preceded by an instant vector selector or range vector selector or a subquery"
        );
        self.fail(operand.start, message)
    }
}

/// How many characters of a token are shown.
const SHOWN: usize = 10;

/// A token in Prometheus' words.
pub(super) fn describe(token: &Token<'_>) -> String {
    let text = token.text;
    let shown = || match text.len() {
        0..=SHOWN => quote(text),
        _ => format!("{}...", quote(&text.chars().take(SHOWN).collect::<String>())),
    };
    match token.kind {
        Kind::Number => format!("number {}", shown()),
        Kind::Duration => format!("duration {}", shown()),
        Kind::Text => format!("string {}", shown()),
        Kind::Mark if MARK_OPERATORS.contains(&text) || text == "@" => format!("<op:{text}>"),
        Kind::Mark => quote(text),
        Kind::Word => {
            let word = text.to_ascii_lowercase();
            let word = word.as_str();
            if AGGREGATIONS.contains(&word) {
                format!("<aggr:{text}>")
            } else if WORD_OPERATORS.contains(&word) {
                format!("<op:{text}>")
            } else if KEYWORDS.contains(&word) || ["by", "without", "offset"].contains(&word) {
                format!("<{text}>")
            } else if ["start", "end"].contains(&word) {
                quote(text)
            } else if ["inf", "nan"].contains(&word) {
                format!("number {}", shown())
            } else if text.contains(':') {
                format!("metric identifier {}", quote(text))
            } else {
                format!("identifier {}", quote(text))
            }
        }
    }
}
