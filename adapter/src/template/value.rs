//! Values of a template, and how Go prints them.

use std::collections::BTreeMap;

/// What a template works on.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `nil`, or what a map does not hold.
    Nil,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `float64`
    Float(f64),
    /// `string`
    Text(String),
    /// `[]string`
    List(Vec<Value>),
    /// `map[string]string`
    Map(BTreeMap<String, String>),
    /// A structure with fields.
    Struct(Vec<(&'static str, Value)>),
    /// A structure that prints as this text; its methods stand among the fields.
    Named(String, Vec<(&'static str, Value)>),
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    /// A list of texts.
    pub fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> Value {
        Value::List(texts.into_iter().map(Value::text).collect())
    }

    /// Go's name of its type, for messages.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::List(_) => "[]string",
            Value::Map(_) => "map[string]string",
            Value::Struct(_) | Value::Named(..) => "struct",
        }
    }

    /// Whether `if` takes it for true: not the zero value, and not empty.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Struct(_) | Value::Named(..) => true,
        }
    }

    /// As `%v` prints it.
    pub(super) fn print(&self) -> String {
        let joined = |parts: Vec<String>| parts.join(" ");
        match self {
            Value::Nil => "<no value>".into(),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => super::printf::general(*value, None),
            Value::Text(text) | Value::Named(text, _) => text.clone(),
            Value::List(list) => format!("[{}]", joined(list.iter().map(Value::print).collect())),
            Value::Map(map) => {
                format!("map[{}]", joined(map.iter().map(|(key, value)| format!("{key}:{value}")).collect()))
            }
            Value::Struct(fields) => {
                format!("{{{}}}", joined(fields.iter().map(|(_, value)| value.print()).collect()))
            }
        }
    }
}
