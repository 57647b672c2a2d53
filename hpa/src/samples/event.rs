//! A watch of metrics: one event a line.

use super::{Unreadable, WirePod, quick};
use serde::Deserialize;

/// One event may take this many bytes.
const MAX_LINE: usize = 1024 * 1024;

/// What a watch tells.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A pod has these metrics now.
    Set(WirePod<'a>),
    /// It has none any more.
    Gone(WirePod<'a>),
    /// Nothing.
    Bookmark,
    /// The watch ends: code and message.
    Error(u16, String),
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: WirePod<'a>,
}

#[derive(Deserialize)]
struct ErrorLine {
    object: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
}

impl Event<'_> {
    /// Reads a line.
    ///
    /// # Errors
    ///
    /// It is no event of pods.
    pub(crate) fn read(line: &[u8]) -> Result<Event<'_>, Unreadable> {
        let (kind, object) = match quick::event(line) {
            Some(read) => read,
            None => {
                let Line { kind, object } = serde_json::from_slice(line)?;
                (kind, object)
            }
        };
        match kind {
            "ADDED" | "MODIFIED" => Ok(Event::Set(object)),
            "DELETED" => Ok(Event::Gone(object)),
            "BOOKMARK" => Ok(Event::Bookmark),
            "ERROR" => {
                let ErrorLine { object } = serde_json::from_slice(line)?;
                Ok(Event::Error(object.code, object.message))
            }
            other => Err(Unreadable(format!("an event of type {other:?}"))),
        }
    }
}

/// Lines out of bytes as they arrive.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<u8>);

impl Lines {
    /// Takes the next bytes and hands on the lines that they end.
    ///
    /// # Errors
    ///
    /// A line that is too long, or `take`'s.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            rest = &after[1..];
            if self.0.is_empty() {
                take(line)?;
            } else {
                self.0.extend_from_slice(line);
                let line = std::mem::take(&mut self.0);
                take(&line)?;
            }
        }
        self.0.extend_from_slice(rest);
        if self.0.len() > MAX_LINE {
            return Err(Unreadable(format!("an event of more than {MAX_LINE} bytes")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_however_they_arrive() {
        for chunk in [1, 2, 3, 100] {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for bytes in b"one\ntwo\n\nthree\nrest".chunks(chunk) {
                let fed = lines.feed(bytes, |line| {
                    found.push(String::from_utf8(line.to_vec()).unwrap());
                    Ok(())
                });
                fed.unwrap();
            }
            assert_eq!(found, ["one", "two", "", "three"], "{chunk}");
        }
        assert!(Lines::default().feed(&vec![b'x'; MAX_LINE + 1], |_| Ok(())).is_err());
    }

    #[test]
    fn events_are_read() {
        let pod = r#"{"kind":"PodMetrics","metadata":{"name":"a","namespace":"ns","resourceVersion":"9"}}"#;
        let read = |kind: &str, object: &str| {
            let line = format!(r#"{{"type":"{kind}","object":{object}}}"#);
            match Event::read(line.as_bytes()) {
                Ok(Event::Set(pod)) => format!("set {}", pod.name()),
                Ok(Event::Gone(pod)) => format!("gone {}", pod.name()),
                Ok(Event::Bookmark) => "bookmark".to_owned(),
                Ok(Event::Error(code, message)) => format!("{code} {message}"),
                Err(Unreadable(text)) => text,
            }
        };
        assert_eq!(read("ADDED", pod), "set a");
        assert_eq!(read("MODIFIED", pod), "set a");
        assert_eq!(read("DELETED", pod), "gone a");
        assert_eq!(read("BOOKMARK", pod), "bookmark");
        assert_eq!(read("ERROR", r#"{"kind":"Status","code":410,"message":"too old"}"#), "410 too old");
        assert_eq!(read("ODD", pod), "an event of type \"ODD\"");
        assert!(read("ADDED", "7").contains("invalid type"));
    }
}
