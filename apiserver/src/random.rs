//! Random identifiers, from the TLS provider's generator.

/// A random UUID (version 4), for `Audit-Id`.
pub(crate) fn uuid() -> String {
    let mut bytes = [0u8; 16];
    // The generator fails only if the system has no entropy source; the id is then the nil UUID with version bits,
    // which is harmless: it names a log line, it guards nothing.
    let _ = rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
