//! JSON values as YAML, character by character as Kubernetes' Go programs write them: keys in natural order, sequences at
//! their key's own indentation, texts without quotes wherever a YAML 1.1 reader takes them for a text. Pure.

use std::cmp::Ordering;

use serde_json::{Map, Value};

/// The document, with a line break at its end.
pub(crate) fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_map(&mut out, map, 0, false),
        Value::Array(items) if !items.is_empty() => write_items(&mut out, items, 0),
        scalar => {
            out.push_str(&inline(scalar, Place { column: 0, indent: 0 }));
            out.push('\n');
        }
    }
    out
}

/// `begun`: the first key stands behind the dash of a sequence.
fn write_map(out: &mut String, map: &Map<String, Value>, indent: usize, mut begun: bool) {
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort_by(|a, b| natural(a, b));
    for key in keys {
        if !std::mem::take(&mut begun) {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        let key_text = text(key, Place { column: usize::MAX, indent });
        let column = indent + key_text.chars().count() + 2;
        out.push_str(&key_text);
        out.push(':');
        match &map[key] {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                write_map(out, inner, indent + 2, false);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                write_items(out, items, indent);
            }
            scalar => {
                out.push(' ');
                out.push_str(&inline(scalar, Place { column, indent: indent + 2 }));
                out.push('\n');
            }
        }
    }
}

fn write_items(out: &mut String, items: &[Value], indent: usize) {
    for item in items {
        out.extend(std::iter::repeat_n(' ', indent));
        out.push('-');
        match item {
            Value::Object(map) if !map.is_empty() => {
                out.push(' ');
                write_map(out, map, indent + 2, true);
            }
            Value::Array(inner) if !inner.is_empty() => {
                // The first inner dash stands behind the outer one.
                let mut lines = String::new();
                write_items(&mut lines, inner, indent + 2);
                out.push(' ');
                out.push_str(lines.trim_start());
            }
            scalar => {
                out.push(' ');
                out.push_str(&inline(scalar, Place { column: indent + 2, indent: indent + 2 }));
                out.push('\n');
            }
        }
    }
}

/// What stands on the line of its key.
fn inline(value: &Value, place: Place) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(value) => text(value, place),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
    }
}

/// Where a text begins, and where the lines stand that it goes on with.
#[derive(Clone, Copy)]
struct Place {
    /// A key, which is never broken, is at the highest number.
    column: usize,
    indent: usize,
}

/// Breaks lines at single spaces behind this column.
const LINE_WIDTH: usize = 80;

fn text(text: &str, place: Place) -> String {
    let printable = text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{feff}');
    let spaced = text.starts_with(' ') || text.ends_with(' ');
    match text {
        _ if !printable || spaced && text.contains('\n') => double_quoted(text),
        _ if text.contains('\n') => literal(text, place.indent),
        _ if means_something_else(text) => double_quoted(text),
        _ if spaced || is_syntax(text) => {
            let place = Place { column: place.column.saturating_add(1), ..place };
            format!("'{}'", folded(&text.replace('\'', "''"), place))
        }
        _ => folded(text, place),
    }
}

/// The text on several lines if it is long.
fn folded(text: &str, place: Place) -> String {
    if place.column == usize::MAX {
        return text.to_owned();
    }
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut column) = (String::new(), place.column);
    for (at, c) in chars.iter().enumerate() {
        let inside = at > 0 && at + 1 < chars.len();
        let single = *c == ' ' && inside && chars[at - 1] != ' ' && chars[at + 1] != ' ';
        if single && column > LINE_WIDTH {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', place.indent));
            column = place.indent;
        } else {
            out.push(*c);
            column += 1;
        }
    }
    out
}

fn literal(text: &str, indent: usize) -> String {
    let chomping = match (text.ends_with('\n'), text.ends_with("\n\n")) {
        (_, true) => "+",
        (true, false) => "",
        (false, _) => "-",
    };
    let mut out = format!("|{chomping}");
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', indent));
            out.push_str(line);
        }
    }
    out
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x100 && c.is_control() => out.push_str(&format!("\\x{:02X}", c as u32)),
            '\u{feff}' => out.push_str("\\uFEFF"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether characters of the text would be taken for YAML's own.
fn is_syntax(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some(first) = bytes.first() else { return false };
    let followed_by_space = |at: usize| bytes.get(at + 1).is_none_or(|next| *next == b' ');
    let begins = match first {
        b'#' | b',' | b'[' | b']' | b'{' | b'}' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\'' | b'"' | b'%'
        | b'@' | b'`' => true,
        b'-' | b'?' => followed_by_space(0),
        _ => text.starts_with("---") || text.starts_with("..."),
    };
    let within = bytes.iter().enumerate().any(|(at, byte)| match byte {
        b':' => followed_by_space(at),
        b'#' => at > 0 && bytes[at - 1] == b' ',
        _ => false,
    });
    begins || within
}

/// Words that YAML 1.1 reads as another type.
const WORDS: [&str; 38] = [
    "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON",
    "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", ".nan", ".NaN", ".NAN",
    ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "<<",
];

/// Whether a reader would take the bare text for a word, number or time.
fn means_something_else(text: &str) -> bool {
    let number = text.replace('_', "");
    let starts_like_number = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    WORDS.contains(&text)
        || ["-.Inf", "-.INF"].contains(&text)
        || starts_like_number
            && (is_integer(&number) || is_float(&number) || is_base_60(text) || is_time(text))
}

/// Go's `ParseInt` and `ParseUint` with base 0.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (digits, radix) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (&digits[2..], 16),
        Some("0b") => (&digits[2..], 2),
        Some("0o") => (&digits[2..], 8),
        _ if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        _ => (digits, 10),
    };
    !digits.starts_with(['+', '-']) && u64::from_str_radix(digits, radix).is_ok()
}

fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let some = !whole.is_empty() || !fraction.is_empty();
    some && digits(whole) && digits(fraction) && exponent.is_none_or(|text| !text.is_empty() && digits(text))
}

/// `190:20:30` is a number to YAML 1.1.
fn is_base_60(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or("");
    let mut rest = parts.peekable();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let sixty = |text: &str| {
        let bytes = text.as_bytes();
        matches!(bytes, [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
    };
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && rest.peek().is_some()
        && std::iter::from_fn(|| rest.next().map(|part| (part, rest.peek().is_none()))).all(|(part, last)| {
            match part.split_once('.') {
                Some((part, fraction)) => last && sixty(part) && digits(fraction),
                None => sixty(part),
            }
        })
}

/// A date, or a date and a time of day.
fn is_time(text: &str) -> bool {
    let numbers = |text: &str, separator: char, lengths: &[std::ops::RangeInclusive<usize>]| {
        let parts: Vec<&str> = text.split(separator).collect();
        parts.len() == lengths.len()
            && parts.iter().zip(lengths).all(|(part, length)| {
                length.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
            })
    };
    let is_date = |text: &str| numbers(text, '-', &[4..=4, 1..=2, 1..=2]);
    let Some((date, time)) = text.split_once(['T', 't', ' ']) else { return is_date(text) };
    let zone = time.find(['Z', '+', '-']);
    let (time, zone) = time.split_at(zone.unwrap_or(time.len()));
    let zoned = match text.contains(' ') {
        true => zone.is_empty(),
        false => zone == "Z" || zone.get(1..).is_some_and(|zone| numbers(zone, ':', &[2..=2, 2..=2])),
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    is_date(date)
        && zoned
        && numbers(clock, ':', &[1..=2, 1..=2, 1..=2])
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

/// The order of keys: letters by their code, numbers by their value, other characters before letters.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = (0..a.len().min(b.len())).find(|at| a[*at] != b[*at]) else {
        return a.len().cmp(&b.len());
    };
    let (x, y) = (a[at], b[at]);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero within a number that began before counts as a digit of it.
    let within =
        (x == '0' || y == '0') && a[..at].iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0');
    let number = |text: &[char]| {
        let digits: Vec<u64> = text[at..].iter().map_while(|c| c.to_digit(10)).map(u64::from).collect();
        let start = u64::from(within);
        (digits.iter().fold(start, |value, digit| value.wrapping_mul(10).wrapping_add(*digit)), digits.len())
    };
    number(&a).cmp(&number(&b)).then(x.cmp(&y))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_as_go_writes_them() {
        let value = json!({
            "kind": "PodMetricsList",
            "apiVersion": "metrics.k8s.io/v1",
            "metadata": {},
            "items": [
                {"metadata": {"name": "p", "labels": {"b": "1", "a.b/c": "x"}}, "timestamp": null, "containers": []},
                {"containers": [{"name": "c", "usage": {"cpu": "0", "memory": "8Gi"}}], "list": [["a", 1], 2.5]},
            ],
        });
        let expected = r#"apiVersion: metrics.k8s.io/v1
items:
- containers: []
  metadata:
    labels:
      a.b/c: x
      b: "1"
    name: p
  timestamp: null
- containers:
  - name: c
    usage:
      cpu: "0"
      memory: 8Gi
  list:
  - - a
    - 1
  - 2.5
kind: PodMetricsList
metadata: {}
"#;
        assert_eq!(write(&value), expected);
        assert_eq!(write(&json!({})), "{}\n");
    }

    #[test]
    fn texts_are_quoted_where_they_would_mean_something_else() {
        for (plain, written) in [
            ("10.02s", "10.02s"),
            ("2026-11-22T11:05:41Z", "\"2026-11-22T11:05:41Z\""),
            ("2026-11-22", "\"2026-11-22\""),
            ("2026-11-22T11:05", "2026-11-22T11:05"),
            ("100m", "100m"),
            ("1", "\"1\""),
            ("0x1f", "\"0x1f\""),
            ("08", "\"08\""),
            ("1e3", "\"1e3\""),
            ("12345e67", "\"12345e67\""),
            ("6d4cf56db6", "6d4cf56db6"),
            ("1:20", "\"1:20\""),
            ("1:60", "1:60"),
            ("", "\"\""),
            ("true", "\"true\""),
            ("n", "\"n\""),
            ("-", "'-'"),
            ("-x", "-x"),
            ("a: b", "'a: b'"),
            ("a:b", "a:b"),
            ("pods \"x\" not found", "pods \"x\" not found"),
            ("\"x\" it's", "'\"x\" it''s'"),
            ("a #b", "'a #b'"),
            ("*", "'*'"),
            ("a\nb", "|-\n  a\n  b"),
            ("a\tb", "\"a\\tb\""),
        ] {
            assert_eq!(text(plain, Place { column: 0, indent: 2 }), written, "{plain:?}");
        }
    }

    /// Recorded from upstream.
    #[test]
    fn long_texts_go_on_in_further_lines() {
        let message = "pods.metrics.k8s.io is forbidden: User \"stranger\" cannot list resource \"pods\" in API group \"metrics.k8s.io\" in the namespace \"nowhere\": no role has this";
        let expected = "message: 'pods.metrics.k8s.io is forbidden: User \"stranger\" cannot list resource \"pods\"\n  in API group \"metrics.k8s.io\" in the namespace \"nowhere\": no role has this'\n";
        assert_eq!(write(&json!({"message": message})), expected);
    }

    #[test]
    fn keys_stand_in_natural_order() {
        let mut keys = ["a10", "a2", "b", "a.b", "a/b", "a", "ab", "A", "a-b"];
        keys.sort_by(|a, b| natural(a, b));
        assert_eq!(keys, ["A", "a", "a-b", "a.b", "a/b", "a2", "a10", "ab", "b"]);
    }
}
