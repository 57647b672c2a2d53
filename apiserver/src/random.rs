//! Random identifiers, from the TLS provider's generator.

use std::sync::LazyLock;

use rustls::crypto::SecureRandom;

static GENERATOR: LazyLock<&'static dyn SecureRandom> =
    LazyLock::new(|| rustls::crypto::ring::default_provider().secure_random);

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A random UUID (version 4), for `Audit-Id`.
pub(crate) fn uuid() -> String {
    let mut bytes = [0u8; 16];
    // The generator fails only if the system has no entropy source; the id is then the nil UUID with version bits,
    // which is harmless: it names a log line, it guards nothing.
    let _ = GENERATOR.fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]].map(char::from));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_form_of_a_uuid_and_differ() {
        let (one, another) = (uuid(), uuid());
        assert_ne!(one, another);
        let parts: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert!(
            one.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
        );
        assert_eq!(&one[14..15], "4");
        assert!(matches!(&one[19..20], "8" | "9" | "a" | "b"), "{one}");
    }
}
