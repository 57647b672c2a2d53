//! Reading a mapping field by field: what is left over is unknown, and every fault knows its field and line. Pure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::units;
use super::yaml::{Node, Value};

/// What is wrong, and where; the file's name is added by whoever knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: u64,
    pub(super) field: String,
    pub(super) reason: String,
}

pub(super) type Read<T> = Result<T, Fault>;

/// A value with its place.
#[derive(Debug, Clone)]
pub(super) struct Item<'a> {
    node: &'a Node,
    line: u64,
    path: String,
}

/// The fields of a mapping that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    line: u64,
    path: String,
    left: Vec<(&'a str, u64, &'a Node)>,
}

impl<'a> Item<'a> {
    /// The whole file.
    pub(super) fn root(node: &'a Node) -> Item<'a> {
        Item { node, line: node.line, path: String::new() }
    }

    pub(super) fn fault(&self, reason: impl Into<String>) -> Fault {
        Fault { line: self.line, field: self.path.clone(), reason: reason.into() }
    }

    pub(super) fn is_null(&self) -> bool {
        self.node.value == Value::Null
    }

    /// Text, whatever it looks like; null is empty.
    pub(super) fn text(&self) -> Read<String> {
        match &self.node.value {
            Value::Scalar { text, .. } => Ok(text.clone()),
            Value::Null => Ok(String::new()),
            _ => Err(self.fault("a text was expected")),
        }
    }

    /// A word without quotes, for what is no text.
    fn word(&self, what: &str) -> Read<&'a str> {
        match &self.node.value {
            Value::Scalar { text, plain: true } => Ok(text),
            _ => Err(self.fault(format!("{what} was expected"))),
        }
    }

    pub(super) fn boolean(&self) -> Read<bool> {
        match self.word("true or false")? {
            "true" | "True" | "TRUE" | "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Ok(true),
            "false" | "False" | "FALSE" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Ok(false),
            other => Err(self.fault(format!("true or false was expected, not {other:?}"))),
        }
    }

    pub(super) fn number(&self) -> Read<u64> {
        let word = self.word("a number")?;
        units::parse_number(word)
            .ok_or_else(|| self.fault(format!("a number that is not negative was expected, not {word:?}")))
    }

    pub(super) fn duration(&self) -> Read<Duration> {
        units::parse_duration(&self.text()?).map_err(|reason| self.fault(reason))
    }

    pub(super) fn bytes(&self) -> Read<u64> {
        units::parse_bytes(&self.text()?).map_err(|reason| self.fault(reason))
    }

    /// A path; one that is relative starts at `folder`.
    pub(super) fn file(&self, folder: &Path) -> Read<PathBuf> {
        let text = self.text()?;
        if text.is_empty() { Err(self.fault("a file was expected")) } else { Ok(folder.join(text)) }
    }

    /// Items of a list; null is an empty one.
    pub(super) fn items(&self) -> Read<Vec<Item<'a>>> {
        match &self.node.value {
            Value::List(nodes) => {
                let item = |(index, node): (usize, &'a Node)| Item {
                    node,
                    line: node.line,
                    path: format!("{}[{index}]", self.path),
                };
                Ok(nodes.iter().enumerate().map(item).collect())
            }
            Value::Null => Ok(Vec::new()),
            _ => Err(self.fault("a list was expected")),
        }
    }

    pub(super) fn texts(&self) -> Read<Vec<String>> {
        self.items()?.iter().map(Item::text).collect()
    }

    /// Keys and values of a mapping with free keys; null is an empty one.
    pub(super) fn entries(&self) -> Read<Vec<(&'a str, Item<'a>)>> {
        let fields = self.fields()?;
        let entry = |(key, line, node): (&'a str, u64, &'a Node)| {
            (key, Item { node, line, path: join(&fields.path, key) })
        };
        Ok(fields.left.into_iter().map(entry).collect())
    }

    /// Fields of a mapping; null has none.
    pub(super) fn fields(&self) -> Read<Fields<'a>> {
        let left = match &self.node.value {
            Value::Map(entries) => {
                entries.iter().map(|(key, line, node)| (key.as_str(), *line, node)).collect()
            }
            Value::Null => Vec::new(),
            _ => return Err(self.fault("a mapping was expected")),
        };
        Ok(Fields { line: self.line, path: self.path.clone(), left })
    }
}

fn is_hollow(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::Scalar { .. } => false,
        Value::List(items) => items.iter().all(is_hollow),
        Value::Map(entries) => entries.iter().all(|(.., value)| is_hollow(value)),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl<'a> Fields<'a> {
    /// Takes a field.
    pub(super) fn take(&mut self, key: &str) -> Option<Item<'a>> {
        let at = self.left.iter().position(|(have, ..)| *have == key)?;
        let (key, line, node) = self.left.remove(at);
        Some(Item { node, line, path: join(&self.path, key) })
    }

    /// Takes a field unless it is null.
    pub(super) fn given(&mut self, key: &str) -> Option<Item<'a>> {
        self.take(key).filter(|item| !item.is_null())
    }

    /// What a field says, if it is there and not null.
    pub(super) fn read<T>(&mut self, key: &str, read: impl FnOnce(&Item<'a>) -> Read<T>) -> Read<Option<T>> {
        self.given(key).map(|item| read(&item)).transpose()
    }

    /// A field that has to be there, and not be empty.
    pub(super) fn required(&mut self, key: &str) -> Read<String> {
        match self.take(key) {
            Some(item) if item.text()?.is_empty() => Err(item.fault("it is empty")),
            Some(item) => item.text(),
            None => Err(self.fault(key, "it is missing")),
        }
    }

    pub(super) fn fault(&self, key: &str, reason: impl Into<String>) -> Fault {
        Fault { line: self.line, field: join(&self.path, key), reason: reason.into() }
    }

    /// A field that Prometheus has and we do not: an error unless it says nothing.
    pub(super) fn refuse(&mut self, key: &str, instead: &str) -> Read<()> {
        let Some(item) = self.given(key) else { return Ok(()) };
        let says_nothing = match &item.node.value {
            Value::Null => true,
            Value::Scalar { text, plain } => text.is_empty() || (*plain && text == "false"),
            Value::List(items) => items.is_empty(),
            Value::Map(entries) => entries.is_empty(),
        };
        if says_nothing { Ok(()) } else { Err(item.fault(format!("it is not supported{instead}"))) }
    }

    /// The same, where mappings and lists that lead to nothing say nothing either.
    pub(super) fn refuse_unless_hollow(&mut self, key: &str, instead: &str) -> Read<()> {
        if self.left.iter().any(|(have, _, node)| *have == key && is_hollow(node)) {
            self.take(key);
        }
        self.refuse(key, instead)
    }

    /// A field that changes nothing here; what it says is read all the same.
    pub(super) fn ignore<T>(&mut self, key: &str, read: impl FnOnce(&Item<'a>) -> Read<T>) -> Read<()> {
        self.read(key, read).map(|_| ())
    }

    /// Nothing may be left.
    pub(super) fn finish(self) -> Read<()> {
        match self.left.first() {
            None => Ok(()),
            Some((key, line, _)) => Err(Fault {
                line: *line,
                field: join(&self.path, key),
                reason: "there is no such field".to_owned(),
            }),
        }
    }
}
