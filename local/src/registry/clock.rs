//! The registry's clock and its source of random names: the one place here that asks the machine for either.
#![allow(clippy::disallowed_methods, reason = "edge: the wall clock stamps objects")]

use std::time::{SystemTime, UNIX_EPOCH};

use flyball_model::time::{rfc3339_micros, rfc3339_seconds};

/// Letters of generated names: upstream's set, which cannot spell words.
const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Length of the random part that `generateName` adds.
const NAME_SUFFIX_LETTERS: usize = 5;

/// Unix milliseconds.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Now as `metav1.Time`: RFC 3339 in whole seconds.
pub fn now_text() -> String {
    rfc3339_seconds(now_ms())
}

/// Now as `metav1.MicroTime`: RFC 3339 in microseconds.
pub fn now_micros_text() -> String {
    rfc3339_micros(now_ms().saturating_mul(1000))
}

/// Random bytes from the process's one cryptographic provider.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let filled = rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes);
    assert!(filled.is_ok(), "the kernel's random source answers");
    bytes
}

/// A random (version 4) UUID as text.
pub(crate) fn uuid() -> String {
    let mut bytes = random::<16>();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The random end of a generated name.
pub(crate) fn name_suffix() -> String {
    random::<NAME_SUFFIX_LETTERS>()
        .iter()
        .map(|byte| char::from(NAME_LETTERS[usize::from(*byte) % NAME_LETTERS.len()]))
        .collect()
}
