//! A list of objects, cut into its objects while it arrives: `{"metadata":{…},"items":[{…},{…}]}`.

use super::Unreadable;
use serde::Deserialize;

/// One object may take this many bytes.
const MAX_PIECE: usize = 1024 * 1024;
/// Depth of a member of the list, and of one of its items.
const MEMBER: usize = 1;
const ITEM: usize = 2;

/// What a list is made of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// The list's own metadata.
    Metadata(&'a [u8]),
    /// One of its items.
    Item(&'a [u8]),
}

/// From where a watch goes on, and with what the next part of the list is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ListMeta {
    pub(crate) resource_version: Option<String>,
    #[serde(rename = "continue")]
    pub(crate) continue_token: Option<String>,
}

/// Cuts one list.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// Bytes that belong to no finished piece yet.
    buffer: Vec<u8>,
    /// So many of them were looked at.
    looked: usize,
    /// Open objects and arrays.
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Begin of the string or of the piece that is open.
    string_at: usize,
    piece_at: Option<usize>,
    /// The member of the list that is being read.
    member: Member,
    ended: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Member {
    Metadata,
    Items,
    #[default]
    Other,
}

impl Pieces {
    /// Takes the next bytes and hands on the pieces that they end.
    ///
    /// # Errors
    ///
    /// A piece that is too long, or `take`'s.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(Piece<'_>) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        self.buffer.extend_from_slice(bytes);
        let mut at = self.looked;
        while let Some(&byte) = self.buffer.get(at) {
            if self.in_string {
                at = self.string(at);
                continue;
            }
            match byte {
                b'"' => (self.in_string, self.string_at) = (true, at + 1),
                b'{' | b'[' => {
                    let is_piece = match self.member {
                        Member::Metadata => self.depth == MEMBER,
                        Member::Items => self.depth == ITEM,
                        Member::Other => false,
                    };
                    if is_piece && byte == b'{' {
                        self.piece_at = Some(at);
                    }
                    self.depth += 1;
                }
                b'}' | b']' => {
                    self.depth =
                        self.depth.checked_sub(1).ok_or_else(|| Unreadable("unexpected end".into()))?;
                    self.ended = self.depth == 0;
                    let is_end = self.depth == if self.member == Member::Items { ITEM } else { MEMBER };
                    if let Some(from) = self.piece_at.filter(|_| is_end) {
                        let piece = &self.buffer[from..=at];
                        take(match self.member {
                            Member::Items => Piece::Item(piece),
                            _ => Piece::Metadata(piece),
                        })?;
                        self.piece_at = None;
                    }
                }
                _ => {}
            }
            at += 1;
        }
        self.looked = at;
        self.drop_what_was_read()
    }

    /// Goes on in a string; gives where to look next.
    fn string(&mut self, at: usize) -> usize {
        if std::mem::take(&mut self.escaped) {
            return at + 1;
        }
        match self.buffer[at] {
            b'\\' => self.escaped = true,
            b'"' => {
                self.in_string = false;
                if self.depth == MEMBER {
                    self.member = match &self.buffer[self.string_at..at] {
                        b"metadata" => Member::Metadata,
                        b"items" => Member::Items,
                        _ => Member::Other,
                    };
                }
            }
            _ => {
                let rest = &self.buffer[at..];
                let next = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'));
                return at + next.unwrap_or(rest.len());
            }
        }
        at + 1
    }

    fn drop_what_was_read(&mut self) -> Result<(), Unreadable> {
        let open_string = self.in_string.then_some(self.string_at);
        let keep_from = [self.piece_at, open_string].into_iter().flatten().min().unwrap_or(self.looked);
        self.buffer.drain(..keep_from);
        self.looked -= keep_from;
        self.piece_at = self.piece_at.map(|at| at - keep_from);
        self.string_at = self.string_at.saturating_sub(keep_from);
        if self.buffer.len() > MAX_PIECE {
            return Err(Unreadable(format!("an object of more than {MAX_PIECE} bytes")));
        }
        Ok(())
    }

    /// Whether the list came to its end.
    pub(crate) fn is_complete(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a list is cut into when it comes in chunks of this size.
    fn cut(text: &str, chunk: usize) -> (Vec<String>, bool) {
        let (mut pieces, mut found) = (Pieces::default(), Vec::new());
        for bytes in text.as_bytes().chunks(chunk) {
            let fed = pieces.feed(bytes, |piece| {
                found.push(match piece {
                    Piece::Item(item) => String::from_utf8(item.to_vec()).unwrap(),
                    Piece::Metadata(text) => format!("meta {}", String::from_utf8(text.to_vec()).unwrap()),
                });
                Ok(())
            });
            fed.unwrap();
        }
        (found, pieces.is_complete())
    }

    #[test]
    fn a_list_is_cut_into_its_items_however_it_arrives() {
        let text = r#" {"kind":"PodMetricsList","apiVersion":"v1", "metadata":{"continue":"a\"}b","resourceVersion":"7"},
            "items" : [ {"a":[1,{"b":"]}"}],"metadata":{"name":"x\\"}} , {"items":[{}]},{}], "extra":[{"no":1}] } "#;
        let expected = [
            r#"meta {"continue":"a\"}b","resourceVersion":"7"}"#,
            r#"{"a":[1,{"b":"]}"}],"metadata":{"name":"x\\"}}"#,
            r#"{"items":[{}]}"#,
            "{}",
        ];
        for chunk in [1, 2, 3, 7, 64, 10_000] {
            let (found, complete) = cut(text, chunk);
            assert!(found == expected && complete, "{chunk}: {found:?}");
        }
        assert!(!cut(&text[..text.len() - 3], 10).1, "broken off");
    }

    #[test]
    fn what_is_no_list_has_no_items() {
        for text in ["{}", r#"{"items":null,"metadata":{}}"#, r#"[{"a":1}]"#, r#"{"kind":"items","x":[{}]}"#]
        {
            let (found, _) = cut(text, 5);
            assert!(found.iter().all(|piece| piece == "meta {}"), "{text}: {found:?}");
        }
        assert!(Pieces::default().feed(b"]", |_| Ok(())).is_err());
    }

    #[test]
    fn an_endless_item_is_refused() {
        let mut pieces = Pieces::default();
        pieces.feed(br#"{"items":[{"a":""#, |_| Ok(())).unwrap();
        let endless = vec![b'x'; MAX_PIECE + 1];
        assert!(pieces.feed(&endless, |_| Ok(())).is_err());
    }

    #[test]
    fn metadata_of_a_list() {
        let read = |text: &str| serde_json::from_str::<ListMeta>(text).unwrap();
        assert_eq!(read("{}"), ListMeta::default());
        let meta = read(r#"{"resourceVersion":"7","continue":"x","remainingItemCount":3}"#);
        assert_eq!(
            (meta.resource_version.as_deref(), meta.continue_token.as_deref()),
            (Some("7"), Some("x"))
        );
    }
}
