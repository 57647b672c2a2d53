//! YAML as a tree that remembers its lines. Pure.
//!
//! Scalars keep their text, so that a field decides itself what `010` or `yes` means, as Prometheus' reader does. Anchors,
//! aliases and merge keys (`<<`) work; a key that comes twice is an error. Limits: [`NODES_MAX`] nodes after aliases are
//! resolved, and the parser's own depth of nesting.

use std::collections::HashMap;
use std::ops::Range;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::fields::Fault;

/// Most nodes of a file, those that aliases repeat counted each time.
pub const NODES_MAX: usize = 1_000_000;

/// A piece of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Where it begins, from 1.
    pub(super) line: u64,
    /// Where it stands in the text.
    pub(super) bytes: Range<usize>,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// Text, and whether it stands without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// Keys with their lines, each once, in the order of the file.
    Map(Vec<(String, u64, Node)>),
}

/// Reads a file of one document; an empty one is null.
pub(super) fn read(text: &str) -> Result<Node, Fault> {
    let mut reader = Reader { events: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut document = None;
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
            _ if document.is_some() => {
                return Err(fault(line(&span), "there is more than one document in the file"));
            }
            event => document = Some(reader.node(event, &span)?),
        }
    }
    Ok(document.unwrap_or(Node { line: 1, bytes: 0..0, value: Value::Null }))
}

struct Reader<'input> {
    events: Parser<'input, serde_saphyr::granit_parser::StrInput<'input>>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

fn line(span: &Span) -> u64 {
    span.start.line() as u64
}

/// A parser of a text knows where in it each node stands.
fn bytes(span: &Span) -> Range<usize> {
    let at = |marker: &serde_saphyr::granit_parser::Marker| marker.byte_offset().unwrap_or_default();
    at(&span.start)..at(&span.end)
}

fn fault(line: u64, reason: impl Into<String>) -> Fault {
    Fault { line, field: String::new(), reason: reason.into() }
}

impl<'input> Reader<'input> {
    /// The next event that is no comment.
    fn next(&mut self) -> Result<Option<(Event<'input>, Span)>, Fault> {
        loop {
            return match self.events.next() {
                None => Ok(None),
                Some(Ok((Event::Comment(..) | Event::Anchor(..), _))) => continue,
                Some(Ok(event)) => Ok(Some(event)),
                Some(Err(error)) => Err(of_scan(&error)),
            };
        }
    }

    fn inner(&mut self, line: u64) -> Result<(Event<'input>, Span), Fault> {
        self.next()?.ok_or_else(|| fault(line, "the file ends in the middle"))
    }

    fn count(&mut self, more: usize, line: u64) -> Result<(), Fault> {
        self.nodes += more;
        if self.nodes > NODES_MAX {
            return Err(fault(line, format!("more than {NODES_MAX} nodes")));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'input>, span: &Span) -> Result<Node, Fault> {
        let line = line(span);
        let before = self.nodes;
        self.count(1, line)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.as_ref().map_or("", |tag| tag.suffix());
                if tag == "binary" {
                    return Err(fault(line, "bytes that are no text cannot be used"));
                }
                let plain = style == ScalarStyle::Plain && tag != "str";
                (scalar(text.into_owned(), plain), anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.list(line)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(line)?, anchor),
            Event::Alias(anchor) => {
                let Some((node, nodes)) = self.anchors.get(&anchor).cloned() else {
                    return Err(fault(line, "an alias stands inside of what it names"));
                };
                self.count(nodes, line)?;
                return Ok(Node { line, ..node });
            }
            _ => return Err(fault(line, "a value was expected")),
        };
        let node = Node { line, bytes: bytes(span), value };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn list(&mut self, line: u64) -> Result<Value, Fault> {
        let mut items = Vec::new();
        loop {
            match self.inner(line)? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, &span)?),
            }
        }
    }

    fn map(&mut self, line: u64) -> Result<Value, Fault> {
        let mut entries: Vec<(String, u64, Node)> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.inner(line)?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, &span)?;
            let Value::Scalar { text, plain } = key.value else {
                return Err(fault(key.line, "a key is no plain text"));
            };
            let (event, span) = self.inner(line)?;
            let value = self.node(event, &span)?;
            if plain && text == "<<" {
                merged.push(value);
            } else if let Some((_, first, _)) = entries.iter().find(|(have, ..)| *have == text) {
                return Err(fault(key.line, format!("key {text:?} was there already, in line {first}")));
            } else {
                entries.push((text, key.line, value));
            }
        }
        for value in merged {
            merge(&mut entries, value)?;
        }
        Ok(Value::Map(entries))
    }
}

/// Adds what is not there yet.
fn merge(entries: &mut Vec<(String, u64, Node)>, value: Node) -> Result<(), Fault> {
    match value.value {
        Value::Map(more) => {
            for (key, line, node) in more {
                if entries.iter().all(|(have, ..)| *have != key) {
                    entries.push((key, line, node));
                }
            }
            Ok(())
        }
        Value::List(maps) => maps.into_iter().try_for_each(|one| merge(entries, one)),
        _ => Err(fault(value.line, "<< takes a mapping")),
    }
}

fn scalar(text: String, plain: bool) -> Value {
    if plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") {
        return Value::Null;
    }
    Value::Scalar { text, plain }
}

fn of_scan(error: &ScanError) -> Fault {
    fault(error.marker().line() as u64, format!("this is no YAML: {}", error.info()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &Node) -> String {
        match &node.value {
            Value::Null => "null".to_owned(),
            Value::Scalar { text, plain: true } => text.clone(),
            Value::Scalar { text, plain: false } => format!("{text:?}"),
            Value::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
            Value::Map(entries) => {
                let all: Vec<String> = entries
                    .iter()
                    .map(|(key, line, value)| format!("{key}@{line}:{}", shown(value)))
                    .collect();
                format!("{{{}}}", all.join(" "))
            }
        }
    }

    #[test]
    fn trees_know_their_lines() {
        for (text, expected) in [
            ("", "null"),
            ("# nothing\n---\n", "null"),
            ("a: 1\nb: [x, 'y', ~]\n\nc:\n  d: 010 # no\n", "{a@1:1 b@2:[x \"y\" null] c@4:{d@5:010}}"),
            (
                "a: &x {k: 1, l: 2}\nb: {<<: *x, k: 3}\nc: *x\n",
                "{a@1:{k@1:1 l@1:2} b@2:{k@2:3 l@1:2} c@3:{k@1:1 l@1:2}}",
            ),
            ("a: !!str 1\nb: !!str\n", "{a@1:\"1\" b@2:\"\"}"),
            ("a: |\n  two\n  lines\n", "{a@1:\"two\\nlines\\n\"}"),
        ] {
            assert_eq!(shown(&read(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_tree_has_a_line() {
        for (text, line, reason) in [
            ("a: 1\nb: 2\na: 3\n", 3, "key \"a\" was there already, in line 1"),
            ("a: [1\n", 1, "this is no YAML"),
            ("a: 1\n---\nb: 2\n", 3, "more than one document"),
            ("a: *nobody\n", 1, "this is no YAML"),
            ("a: &x [*x]\n", 1, "an alias stands inside"),
            ("[a]: 1\n", 1, "a key is no plain text"),
            ("a: {<<: 1}\n", 1, "<< takes a mapping"),
            ("a: 1\nb: !!binary \"/w==\"\n", 2, "bytes that are no text"),
        ] {
            let fault = read(text).unwrap_err();
            assert!(fault.reason.contains(reason), "{text}: {}", fault.reason);
            assert_eq!(fault.line, line, "{text}: {}", fault.reason);
        }
    }

    #[test]
    fn aliases_are_counted() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let alias = format!("*a{}", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 10].join(", ")));
        }
        assert!(read(&text).unwrap_err().reason.contains("more than 1000000 nodes"));
    }
}
