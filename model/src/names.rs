//! Kubernetes' rules for names, label keys and label values, with apimachinery's messages.
//!
//! Each function returns the messages upstream would attach to the field; an empty list means the text is valid.

/// Longest DNS-1123 label, bytes.
pub const DNS1123_LABEL_MAX: usize = 63;
/// Longest DNS-1123 subdomain, bytes.
pub const DNS1123_SUBDOMAIN_MAX: usize = 253;
/// Longest label value and longest name part of a label key, bytes.
pub const LABEL_VALUE_MAX: usize = 63;

const DNS1123_LABEL_MESSAGE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const DNS1123_SUBDOMAIN_MESSAGE: &str = r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_KEY_MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE_MESSAGE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Of keys and values of labels upstream counts bytes, and of names characters, which are the same in all that is valid.
fn too_long(max: usize, unit: &str) -> String {
    format!("must be no more than {max} {unit}")
}

/// Text of the form: first and last byte `edge`, the rest `edge` or one of `inner`.
fn edged(text: &str, edge: impl Fn(u8) -> bool, inner: &[u8]) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            edge(*first) && edge(*last) && bytes.iter().all(|byte| edge(*byte) || inner.contains(byte))
        }
        _ => false,
    }
}

fn lower_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_dns_label(text: &str) -> bool {
    edged(text, lower_alphanumeric, b"-")
}

/// DNS-1123 label: at most 63 bytes of `[a-z0-9-]`.
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if text.len() > DNS1123_LABEL_MAX {
        messages.push(too_long(DNS1123_LABEL_MAX, "characters"));
    }
    if !is_dns_label(text) {
        let dotted = text.split('.').all(is_dns_label);
        messages.push(if dotted { "must not contain dots".into() } else { DNS1123_LABEL_MESSAGE.into() });
    }
    messages
}

/// DNS-1123 subdomain: labels joined by dots, at most 253 bytes.
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    subdomain(text, "characters")
}

fn subdomain(text: &str, unit: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if text.len() > DNS1123_SUBDOMAIN_MAX {
        messages.push(too_long(DNS1123_SUBDOMAIN_MAX, unit));
    }
    if !text.split('.').all(is_dns_label) {
        messages.push(DNS1123_SUBDOMAIN_MESSAGE.into());
    }
    messages
}

/// Label key, also called qualified name: an optional DNS subdomain and `/`, then a name of at most 63 bytes.
pub fn label_key(text: &str) -> Vec<String> {
    let mut messages = Vec::new();
    let mut parts = text.split('/');
    let name = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => name,
        (Some(""), Some(name), None) => {
            messages.push("prefix part must be non-empty".into());
            name
        }
        (Some(prefix), Some(name), None) => {
            messages.extend(
                subdomain(prefix, "bytes").into_iter().map(|message| format!("prefix part {message}")),
            );
            name
        }
        _ => {
            return vec![format!(
                "a valid label key {LABEL_KEY_MESSAGE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        messages.push("name part must be non-empty".into());
    } else if name.len() > LABEL_VALUE_MAX {
        messages.push(format!("name part {}", too_long(LABEL_VALUE_MAX, "bytes")));
    }
    if !edged(name, |byte| byte.is_ascii_alphanumeric(), b"-_.") {
        messages.push(format!("name part {LABEL_KEY_MESSAGE}"));
    }
    messages
}

/// Label value: empty, or at most 63 bytes of `[A-Za-z0-9_.-]` that start and end with a letter or digit.
pub fn label_value(text: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if text.len() > LABEL_VALUE_MAX {
        messages.push(too_long(LABEL_VALUE_MAX, "bytes"));
    }
    if !text.is_empty() && !edged(text, |byte| byte.is_ascii_alphanumeric(), b"-_.") {
        messages.push(LABEL_VALUE_MESSAGE.into());
    }
    messages
}

/// A name that can stand as one segment of a URL path: not `.` or `..`, without `/` and `%`.
pub fn path_segment(text: &str) -> Vec<String> {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"]
        .iter()
        .filter(|bad| text.contains(**bad))
        .map(|bad| format!("may not contain '{bad}'"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: fn(&str) -> Vec<String>, valid: &[&str], invalid: &[&str]) {
        for text in valid {
            assert_eq!(rule(text), Vec::<String>::new(), "{text:?}");
        }
        for text in invalid {
            assert!(!rule(text).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn dns_names() {
        let long = "a".repeat(64);
        check(dns1123_label, &["a", "a-1", "0"], &["", "A", "-a", "a-", "a.b", "a_b", &long]);
        check(dns1123_subdomain, &["a", "a.b", "1.a-b", &long], &["", ".a", "a..b", "a.", "A.b", "a b"]);
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(dns1123_label(&long), ["must be no more than 63 characters"]);
    }

    #[test]
    fn label_keys_and_values() {
        let long = "a".repeat(64);
        check(
            label_key,
            &["app", "a.b/c", "kubernetes.io/os", "A_b-c.d"],
            &["", "/a", "a/", "a/b/c", "A/b", "-a", &long],
        );
        check(label_value, &["", "a", "1.2-3_4"], &["-", "a-", "a b", &long, "ä"]);
    }

    #[test]
    fn path_segments() {
        check(path_segment, &["", "a:b", "Deployment"], &[".", "..", "a/b", "a%b"]);
        assert_eq!(path_segment("a/b%"), ["may not contain '/'", "may not contain '%'"]);
    }
}
