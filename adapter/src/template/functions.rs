//! Go's built-in functions, except `call`.

use std::cmp::Ordering;

use super::Value;
use super::printf;

const NAMES: &[&str] = &[
    "and", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf",
    "println", "slice", "urlquery",
];

/// The function's name, when there is such a function.
pub(super) fn named(name: &str) -> Option<&'static str> {
    NAMES.binary_search(&name).ok().map(|index| NAMES[index])
}

/// What the function gives; `and` and `or` are evaluated elsewhere, for they need not look at every argument.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    match (name, arguments) {
        ("not", [value]) => Ok(Value::Bool(!value.is_true())),
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            for other in others {
                if equal(first, other)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        ("eq", _) => Err("missing argument for comparison".into()),
        ("ne", [a, b]) => Ok(Value::Bool(!equal(a, b)?)),
        ("lt", [a, b]) => Ok(Value::Bool(order(a, b)? == Some(Ordering::Less))),
        ("le", [a, b]) => Ok(Value::Bool(matches!(order(a, b)?, Some(Ordering::Less | Ordering::Equal)))),
        ("gt", [a, b]) => Ok(Value::Bool(order(a, b)? == Some(Ordering::Greater))),
        ("ge", [a, b]) => Ok(Value::Bool(matches!(order(a, b)?, Some(Ordering::Greater | Ordering::Equal)))),
        ("len", [value]) => length(value).map(|length| Value::Int(length as i64)),
        ("index", [Value::Nil, ..]) => Err("index of untyped nil".into()),
        ("index", [value, keys @ ..]) => keys.iter().try_fold(value.clone(), |value, key| index(&value, key)),
        ("slice", [value, bounds @ ..]) => slice(value, bounds),
        ("print", values) => Ok(Value::Text(printf::print(values))),
        ("println", values) => {
            let parts: Vec<String> = values.iter().map(printf::shown).collect();
            Ok(Value::Text(format!("{}\n", parts.join(" "))))
        }
        ("printf", [Value::Text(format), values @ ..]) => Ok(Value::Text(printf::printf(format, values))),
        ("printf", [other, ..]) => {
            Err(format!("wrong type for value; expected string; got {}", other.type_name()))
        }
        ("html", values) => Ok(Value::Text(escaped(values, html))),
        ("js", values) => Ok(Value::Text(escaped(values, js))),
        ("urlquery", values) => Ok(Value::Text(url_query(&printable(values)))),
        (_, arguments) => Err(format!("wrong number of args: {}", arguments.len())),
    }
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Nil, _) | (_, Value::Nil) => Ok(a == b),
        (a, b)
            if [a, b]
                .iter()
                .any(|value| matches!(value, Value::List(_) | Value::Map(_) | Value::Struct(_))) =>
        {
            Err("non-comparable type".into())
        }
        _ if a.type_name() != b.type_name() => Err("incompatible types for comparison".into()),
        _ => Ok(a == b),
    }
}

/// `None` when one is NaN.
fn order(a: &Value, b: &Value) -> Result<Option<Ordering>, String> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        _ if a.type_name() != b.type_name() => Err("incompatible types for comparison".into()),
        _ => Err("invalid type for comparison".into()),
    }
}

fn length(value: &Value) -> Result<usize, String> {
    match value {
        Value::Text(text) => Ok(text.len()),
        Value::List(list) => Ok(list.len()),
        Value::Map(map) => Ok(map.len()),
        other => Err(format!("len of type {}", other.type_name())),
    }
}

fn index(value: &Value, key: &Value) -> Result<Value, String> {
    let position = |length: usize| match key {
        Value::Int(index) => usize::try_from(*index)
            .ok()
            .filter(|index| *index < length)
            .ok_or_else(|| format!("index out of range: {index}")),
        other => Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    match value {
        // What is not in the map is the empty text, for the map's values are texts.
        Value::Map(map) => match key {
            Value::Text(key) => Ok(Value::Text(map.get(key).cloned().unwrap_or_default())),
            other => Err(format!("value has type {}; should be string", other.type_name())),
        },
        Value::List(list) => Ok(list[position(list.len())?].clone()),
        Value::Text(text) => Ok(Value::Int(i64::from(text.as_bytes()[position(text.len())?]))),
        other => Err(format!("can't index item of type {}", other.type_name())),
    }
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let length = match value {
        Value::Text(_) | Value::List(_) => length(value)?,
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    if bounds.len() > 2 {
        return Err(format!("too many slice indexes: {}", bounds.len()));
    }
    let mut range = [0, length];
    for (bound, slot) in bounds.iter().zip(&mut range) {
        *slot = match bound {
            Value::Int(index) => usize::try_from(*index)
                .ok()
                .filter(|index| *index <= length)
                .ok_or_else(|| format!("index out of range: {index}"))?,
            other => return Err(format!("cannot index slice/array with type {}", other.type_name())),
        };
    }
    let [from, to] = range;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match value {
        Value::List(list) => Value::List(list[from..to].to_vec()),
        Value::Text(text) => Value::Text(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned()),
        _ => Value::Nil,
    })
}

/// What is escaped: absent values as a text prints them, not as `print` does.
fn printable(values: &[Value]) -> String {
    let shown = |value: &Value| if *value == Value::Nil { Value::Text(value.print()) } else { value.clone() };
    printf::print(&values.iter().map(shown).collect::<Vec<_>>())
}

fn escaped(values: &[Value], escape: fn(char) -> Option<String>) -> String {
    let mut out = String::new();
    for character in printable(values).chars() {
        match escape(character) {
            Some(escaped) => out.push_str(&escaped),
            None => out.push(character),
        }
    }
    out
}

fn html(character: char) -> Option<String> {
    let escaped = match character {
        '"' => "&#34;",
        '\'' => "&#39;",
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '\0' => "\u{fffd}",
        _ => return None,
    };
    Some(escaped.into())
}

fn js(character: char) -> Option<String> {
    match character {
        '\\' => Some("\\\\".into()),
        '\'' => Some("\\'".into()),
        '"' => Some("\\\"".into()),
        '<' | '>' | '&' | '=' => Some(format!("\\u{:04X}", u32::from(character))),
        character if character.is_control() => Some(format!("\\u{:04X}", u32::from(character))),
        _ => None,
    }
}

fn url_query(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
