//! The table of messages and fields, read once from `schema.txt`.

use std::collections::HashMap;
use std::sync::OnceLock;

const TEXT: &str = include_str!("schema.txt");

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Int,
    Bool,
    Text,
    Bytes,
    /// A message with one repeated text, a plain list in JSON.
    Texts,
    Time,
    MicroTime,
    Duration,
    Quantity,
    IntOrString,
    /// A message whose only field is JSON text.
    Json,
    Message(&'static str),
}

/// How often a field occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    List,
    Map,
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// JSON name; `None` when its members stand in the parent.
    pub(super) name: Option<&'static str>,
    pub(super) shape: Shape,
    pub(super) kind: Type,
    /// A zero on the wire is a zero that was given, not Go's way to say nothing.
    pub(super) keeps_zero: bool,
}

/// A message's fields by number.
pub(super) type Fields = HashMap<u32, Field>;

/// The message of this name, for example `apps/v1.Deployment`.
pub(super) fn message(name: &str) -> Option<&'static Fields> {
    static MESSAGES: OnceLock<HashMap<&'static str, Fields>> = OnceLock::new();
    MESSAGES.get_or_init(|| read(TEXT)).get(name)
}

fn read(text: &'static str) -> HashMap<&'static str, Fields> {
    let mut messages: HashMap<&'static str, Fields> = HashMap::new();
    let mut current = "";
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix(' ') {
            None => current = line,
            Some(field) => {
                if let Some((number, field)) = read_field(field) {
                    messages.entry(current).or_default().insert(number, field);
                }
            }
        }
    }
    messages
}

fn read_field(line: &'static str) -> Option<(u32, Field)> {
    let mut words = line.split(' ');
    let number = words.next()?.parse().ok()?;
    let name = Some(words.next()?).filter(|name| *name != "+");
    let kind = words.next()?;
    let (kind, keeps_zero) = kind.strip_suffix('!').map_or((kind, false), |kind| (kind, true));
    let (shape, kind) = match (kind.strip_prefix("[]"), kind.strip_prefix("{}")) {
        (Some(kind), _) => (Shape::List, kind),
        (_, Some(kind)) => (Shape::Map, kind),
        _ => (Shape::One, kind),
    };
    Some((number, Field { name, shape, kind: read_type(kind), keeps_zero }))
}

fn read_type(text: &'static str) -> Type {
    match text {
        "int" => Type::Int,
        "bool" => Type::Bool,
        "str" => Type::Text,
        "bytes" => Type::Bytes,
        "strs" => Type::Texts,
        "time" => Type::Time,
        "time6" => Type::MicroTime,
        "duration" => Type::Duration,
        "quantity" => Type::Quantity,
        "intorstring" => Type::IntOrString,
        "json" => Type::Json,
        name => Type::Message(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_named_is_described() {
        let messages = read(TEXT);
        for (name, fields) in &messages {
            for field in fields.values() {
                if let Type::Message(wanted) = field.kind {
                    // A message without fields has no line of its own below its name.
                    let known = messages.contains_key(wanted) || TEXT.lines().any(|line| line == wanted);
                    assert!(known, "{name} names {wanted}");
                }
            }
        }
        assert!(messages.len() > 200);
    }
}
