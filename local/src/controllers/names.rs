//! The `pod-template-hash` of a pod template.

use serde_json::Value;

/// Upstream's alphabet for generated text: no vowels and no look-alikes, so that no words appear.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// FNV-1a over the template's JSON text, its digits written in the safe alphabet.
///
/// `collisions` is the Deployment's `status.collisionCount`: it changes the hash after a name was found taken.
pub fn template_hash(template: &Value, collisions: i64) -> String {
    let mut hash: u32 = 0x811c_9dc5;
    let mut feed = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    };
    feed(template.to_string().as_bytes());
    if collisions > 0 {
        feed(&collisions.to_le_bytes());
    }
    let safe = |digit: u8| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()]);
    hash.to_string().bytes().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hash_follows_template_and_collisions() {
        let first = template_hash(&json!({"spec": {"a": 1}}), 0);
        assert_eq!(first, template_hash(&json!({"spec": {"a": 1}}), 0));
        assert_ne!(first, template_hash(&json!({"spec": {"a": 2}}), 0));
        assert_ne!(first, template_hash(&json!({"spec": {"a": 1}}), 1));
    }
}
