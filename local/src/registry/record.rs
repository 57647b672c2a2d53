//! The stored form of one object: JSON cut into pieces of at most [`PIECE_BYTES`], each with its own checksum.
//!
//! ```text
//! key    <plural>.<group> 00 <namespace> 00 <name> 00 <piece number, u16 big-endian>
//! value  <first 8 bytes of SHA-256 of the rest> <number of pieces, u16 big-endian> <JSON bytes>
//! ```
//!
//! Pieces are small because sled keeps values above a few KiB in files of their own, which a `kill -9` orphans for ever.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::kinds::{self, Resource};
use super::store::Key;

/// JSON bytes per piece.
pub(super) const PIECE_BYTES: usize = 6 * 1024;

const CHECKSUM_BYTES: usize = 8;
const HEADER_BYTES: usize = CHECKSUM_BYTES + 2;
const PIECE_NUMBER_BYTES: usize = 2;

/// The part of the key that all pieces of an object share.
pub(super) fn prefix(resource: &Resource, (namespace, name): &Key) -> Vec<u8> {
    format!("{}.{}\0{namespace}\0{name}\0", resource.plural, resource.group).into_bytes()
}

/// The key of one piece.
pub(super) fn piece_key(prefix: &[u8], piece: u16) -> Vec<u8> {
    [prefix, &piece.to_be_bytes()].concat()
}

/// The values of an object's pieces, in order. Never empty.
pub(super) fn encode(object: &Value) -> Vec<Vec<u8>> {
    let json = object.to_string().into_bytes();
    let pieces: Vec<&[u8]> = json.chunks(PIECE_BYTES).collect();
    let count = u16::try_from(pieces.len()).unwrap_or(u16::MAX);
    pieces.into_iter().map(|piece| seal(count, piece)).collect()
}

fn seal(count: u16, piece: &[u8]) -> Vec<u8> {
    let mut value = vec![0; CHECKSUM_BYTES];
    value.extend_from_slice(&count.to_be_bytes());
    value.extend_from_slice(piece);
    let checksum = Sha256::digest(&value[CHECKSUM_BYTES..]);
    value[..CHECKSUM_BYTES].copy_from_slice(&checksum[..CHECKSUM_BYTES]);
    value
}

fn unseal(value: &[u8]) -> Option<(u16, &[u8])> {
    let body = value.get(CHECKSUM_BYTES..)?;
    if Sha256::digest(body)[..CHECKSUM_BYTES] != value[..CHECKSUM_BYTES] {
        return None;
    }
    let count = u16::from_be_bytes(body.get(..2)?.try_into().ok()?);
    Some((count, &value[HEADER_BYTES..]))
}

/// Puts pieces, read in key order, back together. An object with a bad or missing piece is one entry in `broken`,
/// never the end of the reading.
#[derive(Default)]
pub(super) struct Assembly {
    prefix: Vec<u8>,
    json: Vec<u8>,
    missing: u16,
    next: u16,
    damaged: bool,
    /// Objects read whole.
    pub(super) objects: Vec<(&'static Resource, Value)>,
    /// What could not be read, by printable key.
    pub(super) broken: Vec<String>,
}

impl Assembly {
    /// Takes the next piece.
    pub(super) fn piece(&mut self, key: &[u8], value: &[u8]) {
        let split = key.len().saturating_sub(PIECE_NUMBER_BYTES);
        let (prefix, number) = key.split_at(split);
        if prefix != self.prefix {
            self.finish();
            self.prefix = prefix.to_vec();
        }
        let number = number.try_into().map(u16::from_be_bytes).unwrap_or(u16::MAX);
        match unseal(value) {
            Some((count, bytes)) if number == self.next => {
                self.json.extend_from_slice(bytes);
                self.next += 1;
                self.missing = count.saturating_sub(self.next);
            }
            _ => self.damaged = true,
        }
    }

    /// Ends the object whose pieces came last.
    pub(super) fn finish(&mut self) {
        let prefix = std::mem::take(&mut self.prefix);
        let json = std::mem::take(&mut self.json);
        let whole = !std::mem::take(&mut self.damaged) && self.missing == 0;
        (self.missing, self.next) = (0, 0);
        if prefix.is_empty() {
            return;
        }
        match resource_of(&prefix).zip(serde_json::from_slice(&json).ok()) {
            Some(object) if whole => self.objects.push(object),
            _ => self.broken.push(String::from_utf8_lossy(&prefix).replace('\0', "/")),
        }
    }
}

fn resource_of(prefix: &[u8]) -> Option<&'static Resource> {
    let text = std::str::from_utf8(prefix).ok()?;
    let (plural, group) = text.split('\0').next()?.split_once('.')?;
    kinds::by_plural(group, plural)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key() -> Key {
        ("default".to_owned(), "web".to_owned())
    }

    fn read(pieces: &[(Vec<u8>, Vec<u8>)]) -> Assembly {
        let mut assembly = Assembly::default();
        for (key, value) in pieces {
            assembly.piece(key, value);
        }
        assembly.finish();
        assembly
    }

    fn pieces(object: &Value) -> Vec<(Vec<u8>, Vec<u8>)> {
        let prefix = prefix(&kinds::DEPLOYMENTS, &key());
        (0..).zip(encode(object)).map(|(number, value)| (piece_key(&prefix, number), value)).collect()
    }

    #[test]
    fn large_objects_come_back_whole() {
        for size in [0, 1, PIECE_BYTES, 3 * PIECE_BYTES + 7] {
            let object = json!({"data": "x".repeat(size)});
            let read = read(&pieces(&object));
            assert_eq!(read.objects, vec![(&kinds::DEPLOYMENTS, object)]);
            assert!(read.broken.is_empty());
        }
    }

    #[test]
    fn damage_costs_one_object() {
        let object = json!({"data": "x".repeat(2 * PIECE_BYTES)});
        let mut flipped = pieces(&object);
        flipped[1].1[100] ^= 1;
        let mut cut = pieces(&object);
        cut.pop();
        let mut gap = pieces(&object);
        gap.remove(1);
        for damaged in [flipped, cut, gap] {
            let read = read(&damaged);
            assert!(read.objects.is_empty());
            assert_eq!(read.broken, vec!["deployments.apps/default/web/".to_owned()]);
        }
    }
}
