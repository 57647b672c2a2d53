//! The query form of label selectors: `x in (foo,,baz),y,z notin (),!w,v>3`.

use super::lex::{Lexer, Token};
use super::{MAX_TEXT_BYTES, Operator, Requirement, SelectorError};
use crate::names;

fn fault<T>(message: String) -> Result<T, SelectorError> {
    Err(SelectorError(message))
}

pub(super) fn label_selector(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    if text.len() > MAX_TEXT_BYTES {
        return fault(format!("label selector of {} bytes, more than {MAX_TEXT_BYTES}", text.len()));
    }
    let mut lexer = Lexer::new(text);
    let mut requirements = Vec::new();
    loop {
        match lexer.peek() {
            (Token::Word | Token::Not, _) => {}
            (Token::End, _) => return Ok(requirements),
            (_, text) => {
                return fault(format!("found '{text}', expected: !, identifier, or 'end of string'"));
            }
        }
        let requirement = requirement(&mut lexer)
            .map_err(|error| SelectorError(format!("unable to parse requirement: {error}")))?;
        requirements.push(requirement);
        match lexer.next() {
            (Token::End, _) => return Ok(requirements),
            (Token::Comma, _) => match lexer.peek() {
                (Token::Word | Token::Not, _) => {}
                (_, text) => return fault(format!("found '{text}', expected: identifier after ','")),
            },
            (_, text) => return fault(format!("found '{text}', expected: ',' or 'end of string'")),
        }
    }
}

fn requirement(lexer: &mut Lexer<'_>) -> Result<Requirement, SelectorError> {
    let (mut token, mut key) = lexer.next();
    let negated = token == Token::Not;
    if negated {
        (token, key) = lexer.next();
    }
    if token != Token::Word {
        return fault(format!("found '{key}', expected: identifier"));
    }
    let key_faults = names::label_key(key);
    if !key_faults.is_empty() {
        return fault(format!("<nil>: Invalid value: {key:?}: {}", key_faults.join("; ")));
    }
    if negated {
        return Requirement::new(key, Operator::DoesNotExist, Vec::new());
    }
    if matches!(lexer.peek().0, Token::End | Token::Comma) {
        return Requirement::new(key, Operator::Exists, Vec::new());
    }
    let operator = match lexer.next_operator() {
        (Token::In, _) => Operator::In,
        (Token::NotIn, _) => Operator::NotIn,
        (Token::Equals, _) => Operator::Equals,
        (Token::DoubleEquals, _) => Operator::DoubleEquals,
        (Token::NotEquals, _) => Operator::NotEquals,
        (Token::Greater, _) => Operator::GreaterThan,
        (Token::Less, _) => Operator::LessThan,
        (_, text) => return fault(format!("found '{text}', expected: in, notin, =, ==, !=, gt, lt")),
    };
    let mut values = match operator {
        Operator::In | Operator::NotIn => value_set(lexer)?,
        _ => vec![exact_value(lexer)?],
    };
    values.sort_unstable();
    values.dedup();
    Requirement::new(key, operator, values)
}

/// The value after `=` and its kin; nothing there means the empty value.
fn exact_value(lexer: &mut Lexer<'_>) -> Result<String, SelectorError> {
    match lexer.peek() {
        (Token::End | Token::Comma, _) => Ok(String::new()),
        (Token::Word, text) => {
            lexer.next();
            Ok(text.to_owned())
        }
        (_, text) => fault(format!("found '{text}', expected: identifier")),
    }
}

/// `(a,b)`; an item may be empty, so `()` holds one empty value.
fn value_set(lexer: &mut Lexer<'_>) -> Result<Vec<String>, SelectorError> {
    let (token, text) = lexer.next();
    if token != Token::Open {
        return fault(format!("found '{text}' expected: '('"));
    }
    let mut values = Vec::new();
    loop {
        let (token, text) = lexer.peek();
        if token == Token::Word {
            lexer.next();
        }
        values.push(if token == Token::Word { text.to_owned() } else { String::new() });
        match lexer.next() {
            (Token::Close, _) => return Ok(values),
            (Token::Comma, _) => {}
            (_, text) if token == Token::Word => {
                return fault(format!("found '{text}', expected: ',' or ')'"));
            }
            (_, text) => return fault(format!("found '{text}', expected: ',', ')' or identifier")),
        }
    }
}
