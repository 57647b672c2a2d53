//! Kubernetes' protobuf encoding, by hand: the few messages that a server of small objects writes.
//!
//! Like the Go generator, scalars are written even when they are empty (readers do not care, byte-equal answers do),
//! map entries in key order, and absent messages not at all.

use std::collections::BTreeMap;

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// The four bytes that begin every document.
const MAGIC: [u8; 4] = *b"k8s\0";
const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

/// A message that is being written, field by field in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    /// No fields yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A string or bytes field, also when empty.
    #[must_use]
    pub fn bytes(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.varint(field << 3 | LENGTH_DELIMITED);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// A string field that is left out when absent.
    #[must_use]
    pub fn bytes_if(self, field: u64, bytes: Option<impl AsRef<[u8]>>) -> Self {
        match bytes {
            Some(bytes) => self.bytes(field, bytes),
            None => self,
        }
    }

    /// An integer field, also when zero.
    #[must_use]
    pub fn int(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3 | VARINT);
        // Two's complement, as int32 and int64 are written.
        self.varint(value.cast_unsigned());
        self
    }

    /// A message field.
    #[must_use]
    pub fn message(self, field: u64, message: &Message) -> Self {
        self.bytes(field, &message.0)
    }

    /// A repeated message field.
    #[must_use]
    pub fn messages(self, field: u64, all: impl IntoIterator<Item = Message>) -> Self {
        all.into_iter().fold(self, |so_far, message| so_far.message(field, &message))
    }

    /// A map from strings to strings.
    #[must_use]
    pub fn map(self, field: u64, map: &BTreeMap<String, String>) -> Self {
        self.messages(field, map.iter().map(|(key, value)| Message::new().bytes(1, key).bytes(2, value)))
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// A document: `runtime.Unknown` with the object and its type behind the magic bytes.
pub fn document(api_version: &str, kind: &str, object: &Message) -> Vec<u8> {
    let kind = Message::new().bytes(1, api_version).bytes(2, kind);
    let unknown = Message::new().message(1, &kind).message(2, object).bytes(3, "").bytes(4, "");
    [MAGIC.as_slice(), &unknown.into_bytes()].concat()
}

/// `meta.v1.Time` in whole seconds since 1970.
pub fn time(seconds: i64) -> Message {
    Message::new().int(1, seconds).int(2, 0)
}

/// `meta.v1.ListMeta` without anything in it.
pub fn list_meta() -> Message {
    list_meta_of("", "", None)
}

/// `meta.v1.ListMeta` of a list that is served in pieces.
pub fn list_meta_of(resource_version: &str, continue_token: &str, remaining: Option<i64>) -> Message {
    let message = Message::new().bytes(1, "").bytes(2, resource_version).bytes(3, continue_token);
    match remaining {
        Some(remaining) => message.int(4, remaining),
        None => message,
    }
}

/// One event of a watch: the `WatchEvent` with a whole document in it, behind its length (32 bits, highest byte first).
pub fn watch_frame(kind: &str, document: &[u8]) -> Vec<u8> {
    let raw = Message::new().bytes(1, document);
    let event = Message::new().bytes(1, kind).message(2, &raw).into_bytes();
    let length = u32::try_from(event.len()).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), &event].concat()
}

/// `meta.v1.ObjectMeta` with what computed objects have.
pub fn object_meta(
    name: &str,
    namespace: &str,
    resource_version: &str,
    created_seconds: Option<i64>,
    labels: &BTreeMap<String, String>,
) -> Message {
    let empty = |message: Message, field| message.bytes(field, "");
    let start = Message::new().bytes(1, name).bytes(2, "").bytes(3, namespace);
    let meta = [4, 5].into_iter().fold(start, empty).bytes(6, resource_version).int(7, 0);
    // An absent creation time is an empty message, as Go's zero time is.
    let created = created_seconds.map_or_else(Message::new, time);
    meta.message(8, &created).map(11, labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<char> = text.chars().filter(|letter| !letter.is_whitespace()).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
            .collect()
    }

    #[test]
    fn an_empty_list_as_upstream_writes_it() {
        let list = Message::new().message(1, &list_meta());
        assert_eq!(
            document("metrics.k8s.io/v1beta1", "NodeMetricsList", &list),
            hex("6b3873000a290a166d6574726963732e6b38732e696f2f76316265746131120f4e6f64654d6574726963734c697374
                 12080a060a0012001a001a002200")
        );
    }

    #[test]
    fn a_status_as_upstream_writes_it() {
        assert_eq!(
            Status::not_found("", "node", "nope").to_protobuf(),
            hex("6b3873000a0c0a027631120653746174757312490a060a0012001a0012074661696c7572651a156e6f646520226e6f7065
                 22206e6f7420666f756e6422084e6f74466f756e642a120a046e6f706512001a046e6f6465280032003094031a002200")
        );
    }

    #[test]
    fn numbers() {
        assert_eq!(Message::new().int(1, 300).into_bytes(), [8, 0xac, 2]);
        assert_eq!(Message::new().int(1, -1).into_bytes().len(), 11);
    }
}
