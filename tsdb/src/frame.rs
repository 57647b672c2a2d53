//! What stands around everything that is kept: a version and a checksum over key and value.
//!
//! Promise: a value that was changed, cut, or stands under another key is [`Broken`], never read. Bytes: version (1), CRC-32
//! (IEEE, little-endian, over key, version and body), body.

/// Version of nearly every value.
pub(crate) const VERSION: u8 = 1;

/// Version of the description of a block whose chunks share times, so that programs that know nothing of it refuse the block.
pub(crate) const VERSION_SHARED_TIMES: u8 = 2;

/// What this program reads.
const KNOWN: std::ops::RangeInclusive<u8> = VERSION..=VERSION_SHARED_TIMES;

/// Bytes before the body.
pub(crate) const HEADER_BYTES: usize = 5;

/// Why a value cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The checksum is not that of the bytes.
    Checksum,
    /// Written by a newer program.
    Newer(u8),
}

fn checksum(key: &[u8], version: u8, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(&[version]);
    hasher.update(body);
    hasher.finalize()
}

/// The value to keep under `key`.
pub(crate) fn close(key: &[u8], body: &[u8]) -> Vec<u8> {
    close_as(VERSION, key, body)
}

/// The same with another version than most values have.
pub(crate) fn close_as(version: u8, key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEADER_BYTES + body.len());
    value.push(version);
    value.extend_from_slice(&checksum(key, version, body).to_le_bytes());
    value.extend_from_slice(body);
    value
}

/// The body of a value that was kept under `key`.
pub(crate) fn open<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], Broken> {
    let (header, body) = value.split_at_checked(HEADER_BYTES).ok_or(Broken::Checksum)?;
    let wanted = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
    if checksum(key, header[0], body) != wanted {
        return Err(Broken::Checksum);
    }
    if KNOWN.contains(&header[0]) { Ok(body) } else { Err(Broken::Newer(header[0])) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_values_and_keys_are_told() {
        let value = close(b"key", b"body");
        assert_eq!(open(b"key", &value), Ok(&b"body"[..]));
        assert_eq!(open(b"kez", &value), Err(Broken::Checksum));
        for at in 0..value.len() {
            let mut changed = value.clone();
            changed[at] ^= 1;
            assert_eq!(open(b"key", &changed), Err(Broken::Checksum), "byte {at}");
            assert_eq!(open(b"key", &value[..at]), Err(Broken::Checksum), "cut at {at}");
        }
        assert_eq!(open(b"key", &close_as(2, b"key", b"body")), Ok(&b"body"[..]));
        for version in [0, 3] {
            let other = close_as(version, b"key", b"body");
            assert_eq!(open(b"key", &other), Err(Broken::Newer(version)));
        }
    }
}
