//! The text of a file as it may be shown: what is secret in it is not. Pure.

use std::ops::Range;

use super::yaml::{Node, Value};

/// What stands in the place of a secret, as Prometheus shows it.
const MASK: &str = "<secret>";
/// Fields whose texts, or lists of texts, are secret.
const SECRET_FIELDS: [&str; 6] =
    ["password", "credentials", "bearer_token", "key", "secrets", "client_secret"];

/// The text without its secrets.
pub(super) fn masked(text: &str, root: &Node) -> String {
    let mut ranges = Vec::new();
    secrets(root, false, &mut ranges);
    // Aliases show a secret where it is defined, perhaps more than once.
    ranges.sort_by_key(|range| range.start);
    ranges.dedup();
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for range in ranges {
        let Some(before) = text.get(from..range.start) else { continue };
        out.push_str(before);
        out.push_str(MASK);
        from = range.end;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

fn secrets(node: &Node, is_secret: bool, ranges: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Scalar { .. } if is_secret => ranges.push(node.bytes.clone()),
        Value::Scalar { .. } | Value::Null => {}
        Value::List(items) => items.iter().for_each(|item| secrets(item, is_secret, ranges)),
        Value::Map(entries) => {
            for (key, _, value) in entries {
                secrets(value, SECRET_FIELDS.contains(&key.as_str()), ranges);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for (text, expected) in [
            ("a: 1 # password: x\n", "a: 1 # password: x\n"),
            (
                "basic_auth:\n  username: u\n  password: pw # c\n",
                "basic_auth:\n  username: u\n  password: <secret> # c\n",
            ),
            ("{password: 'p ''w', credentials: \"x\"}\n", "{password: <secret>, credentials: <secret>}\n"),
            ("a: &t {bearer_token: é}\nb: *t\nc: 2\n", "a: &t {bearer_token: <secret>}\nb: *t\nc: 2\n"),
            (
                "http_headers: {X: {secrets: [a, b], values: [c]}}\n",
                "http_headers: {X: {secrets: [<secret>, <secret>], values: [c]}}\n",
            ),
            ("password_file: /p\n", "password_file: /p\n"),
        ] {
            assert_eq!(masked(text, &yaml::read(text).unwrap()), expected);
        }
        let block = "key: |\n  -----BEGIN\n  secret\n  -----END\nca: x\n";
        let shown = masked(block, &yaml::read(block).unwrap());
        assert!(
            !shown.contains("BEGIN") && !shown.contains("secret\n  ---") && shown.contains("ca: x"),
            "{shown}"
        );
    }
}
