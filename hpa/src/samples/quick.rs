//! PodMetrics in the one form in which nearly all come: compact JSON, strings without escapes, no member twice. Pure.
//!
//! Promise: gives what serde would give, or nothing; then serde reads the text. Five times as fast, which counts where each of
//! many pods has a new sample every second.

use super::wire::{Container, Metadata, Pairs, Text, WirePod};
use flyball_model::quantity::Quantity;
use memchr::memchr2;
use std::borrow::Cow;

/// Values in values that are skipped.
const MAX_DEPTH: usize = 16;

/// The object that is the whole text.
pub(super) fn object(text: &[u8]) -> Option<WirePod<'_>> {
    let mut reader = Reader::new(text)?;
    let pod = reader.pod()?;
    reader.is_at_end().then_some(pod)
}

/// Type and object of an event that is the whole line.
pub(super) fn event(line: &[u8]) -> Option<(&str, WirePod<'_>)> {
    let mut reader = Reader::new(line)?;
    reader.token(br#"{"type":"#)?;
    let kind = reader.string()?;
    reader.token(br#","object":"#)?;
    let pod = reader.pod()?;
    reader.token(b"}")?;
    reader.is_at_end().then_some((kind, pod))
}

/// A position in a text.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// `None`: it holds control characters, which are white space or faults, or it is no text.
    fn new(text: &'a [u8]) -> Option<Self> {
        let is_plain = text.iter().fold(true, |plain, byte| plain & (*byte >= b' '));
        Some(Reader { text: std::str::from_utf8(text).ok().filter(|_| is_plain)?, at: 0 })
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn token(&mut self, token: &[u8]) -> Option<()> {
        let is_next = self.rest().starts_with(token);
        self.at += token.len();
        is_next.then_some(())
    }

    fn next_is(&mut self, byte: u8) -> bool {
        let is_next = self.rest().first() == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn string(&mut self) -> Option<&'a str> {
        self.token(b"\"")?;
        let length = memchr2(b'"', b'\\', self.rest())?;
        let from = self.at;
        self.at += length;
        self.token(b"\"")?;
        self.text.get(from..from + length)
    }

    fn cow(&mut self) -> Option<Text<'a>> {
        self.string().map(|text| Text(Cow::Borrowed(text)))
    }

    /// Every member of an object, by its name.
    fn members(&mut self, mut take: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.token(b"{")?;
        if self.next_is(b'}') {
            return Some(());
        }
        loop {
            let name = self.string()?;
            self.token(b":")?;
            take(self, name)?;
            if !self.next_is(b',') {
                return self.token(b"}");
            }
        }
    }

    /// Every element of an array.
    fn elements(&mut self, mut take: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.token(b"[")?;
        if self.next_is(b']') {
            return Some(());
        }
        loop {
            take(self)?;
            if !self.next_is(b',') {
                return self.token(b"]");
            }
        }
    }

    /// A value that is not looked at. Numbers, which are rare, are left to serde.
    fn skip(&mut self, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match self.rest().first()? {
            b'"' => self.string().map(drop),
            b'{' => self.members(|reader, _| reader.skip(depth)),
            b'[' => self.elements(|reader| reader.skip(depth)),
            b't' => self.token(b"true"),
            b'f' => self.token(b"false"),
            b'n' => self.token(b"null"),
            _ => None,
        }
    }

    fn pod(&mut self) -> Option<WirePod<'a>> {
        let (mut metadata, mut timestamp, mut window, mut containers) = (None, None, None, None);
        self.members(|reader, name| match name {
            "metadata" => once(&mut metadata, reader.metadata()?),
            "timestamp" => once(&mut timestamp, reader.cow()?),
            "window" => once(&mut window, reader.cow()?),
            "containers" => once(&mut containers, reader.containers()?),
            _ => reader.skip(MAX_DEPTH),
        })?;
        Some(WirePod {
            metadata: metadata.unwrap_or_default(),
            timestamp,
            window,
            containers: containers.unwrap_or_default(),
        })
    }

    fn metadata(&mut self) -> Option<Metadata<'a>> {
        let (mut name, mut namespace, mut labels) = (None, None, None);
        self.members(|reader, member| match member {
            "name" => once(&mut name, reader.cow()?),
            "namespace" => once(&mut namespace, reader.cow()?),
            "labels" => once(&mut labels, reader.labels()?),
            _ => reader.skip(MAX_DEPTH),
        })?;
        Some(Metadata { name: name.unwrap_or_default(), namespace: namespace.unwrap_or_default(), labels })
    }

    fn labels(&mut self) -> Option<Pairs<Text<'a>, Text<'a>>> {
        let mut pairs = Vec::new();
        self.members(|reader, name| {
            pairs.push((Text(Cow::Borrowed(name)), reader.cow()?));
            Some(())
        })?;
        Some(Pairs(pairs))
    }

    fn containers(&mut self) -> Option<Vec<Container<'a>>> {
        let mut containers = Vec::with_capacity(1);
        self.elements(|reader| {
            containers.push(reader.container()?);
            Some(())
        })?;
        Some(containers)
    }

    fn container(&mut self) -> Option<Container<'a>> {
        let (mut name, mut usage) = (None, None);
        self.members(|reader, member| match member {
            "name" => once(&mut name, reader.cow()?),
            "usage" => once(&mut usage, reader.usage()?),
            _ => reader.skip(MAX_DEPTH),
        })?;
        Some(Container { name: name.unwrap_or_default(), usage: usage.unwrap_or_default() })
    }

    fn usage(&mut self) -> Option<Pairs<Text<'a>, Quantity>> {
        let mut pairs = Vec::with_capacity(2);
        self.members(|reader, name| {
            pairs.push((Text(Cow::Borrowed(name)), reader.string()?.trim().parse().ok()?));
            Some(())
        })?;
        Some(Pairs(pairs))
    }
}

/// What comes twice is serde's to refuse.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const USUAL: &str = r#"{"kind":"PodMetrics","apiVersion":"metrics.k8s.io/v1beta1","metadata":{"name":"web-1","namespace":"ns","creationTimestamp":"2026-01-01T00:00:00Z","labels":{"app":"web","tier":"ü"},"ownerReferences":[{"kind":"ReplicaSet","controller":true}]},"timestamp":"2026-01-01T00:00:01Z","window":"15.002s","containers":[{"name":"app","usage":{"cpu":"60m","memory":"10Mi"}},{"name":"b","usage":{}}]}"#;

    fn serde(text: &[u8]) -> Option<String> {
        serde_json::from_slice::<WirePod>(text).ok().map(|pod| format!("{pod:?}"))
    }

    fn quick(text: &[u8]) -> Option<String> {
        object(text).map(|pod| format!("{pod:?}"))
    }

    #[test]
    fn the_usual_object_is_read() {
        for text in [USUAL, "{}", r#"{"metadata":{},"containers":[]}"#] {
            assert!(quick(text.as_bytes()).is_some(), "{text}");
            assert_eq!(quick(text.as_bytes()), serde(text.as_bytes()), "{text}");
        }
        let line = format!(r#"{{"type":"MODIFIED","object":{USUAL}}}"#);
        let (kind, pod) = event(line.as_bytes()).unwrap();
        assert_eq!((kind, Some(format!("{pod:?}"))), ("MODIFIED", serde(USUAL.as_bytes())));
    }

    #[test]
    fn what_is_unusual_is_left_to_serde() {
        for (from, to) in [
            ("web-1", r"web\u002d1"),
            (r#""60m""#, "1"),
            (r#""60m""#, "null"),
            (r#""60m""#, r#""much""#),
            (r#""15.002s""#, "null"),
            (r#""15.002s","#, r#""15s","window":"15s","#),
            (":{", ": {"),
            ("true", "7"),
            ("web-1", "web\t1"),
            ("]}", "]} "),
            ("]}", "]"),
            ("]}", "]}}"),
        ] {
            let text = USUAL.replace(from, to);
            assert_ne!(text, USUAL);
            assert_eq!(quick(text.as_bytes()), None, "{text}");
        }
        assert_eq!(event(USUAL.as_bytes()).map(drop), None);
    }

    proptest! {
        #[test]
        fn it_never_differs_from_serde(
            edits in prop::collection::vec((0..USUAL.len(), prop::sample::select(&b"\"\\{}[]:,x0 \n\x80ntf"[..]), 0..3_u8), 0..4),
        ) {
            let mut text = USUAL.as_bytes().to_vec();
            for (at, byte, how) in edits {
                let at = at.min(text.len() - 1);
                match how {
                    0 => text[at] = byte,
                    1 => text.insert(at, byte),
                    _ => drop(text.remove(at)),
                }
            }
            if let Some(read) = quick(&text) {
                prop_assert_eq!(Some(read), serde(&text));
            }
        }
    }
}
