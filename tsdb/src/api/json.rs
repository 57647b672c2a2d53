//! JSON as Prometheus writes it: results by hand, for their numbers are texts and there are millions of them.

use flyball_model::labels::Labels;

use super::Data;
use super::error::ApiError;
use crate::promql::engine::Value;
use crate::promql::number::write_json;
use crate::series::Point;

/// The body of a success.
pub(super) fn success(data: &Data) -> Vec<u8> {
    let mut out = String::with_capacity(data.json.len() + 64);
    out.push_str(r#"{"status":"success","data":"#);
    out.push_str(&data.json);
    remarks(&mut out, &data.warnings, &data.infos);
    out.push('}');
    out.into_bytes()
}

/// Warnings and infos, where there are any.
pub(super) fn remarks(out: &mut String, warnings: &[String], infos: &[String]) {
    for (name, texts) in [("warnings", warnings), ("infos", infos)] {
        if !texts.is_empty() {
            out.push_str(&format!(",\"{name}\":"));
            list(out, texts, |out, text| escaped_for_html(out, text));
        }
    }
}

/// The body of a failure.
pub(super) fn failure(error: &ApiError) -> Vec<u8> {
    let mut out = format!(r#"{{"status":"error","errorType":"{}","error":"#, error.name());
    escaped_for_html(&mut out, &error.message);
    out.push('}');
    out.into_bytes()
}

/// A list of texts.
pub(super) fn texts(texts: &[String]) -> String {
    let mut out = String::new();
    list(&mut out, texts, |out, text| escaped_for_html(out, text));
    out
}

/// `[a,b]`
pub(super) fn list<T>(out: &mut String, items: &[T], write: impl Fn(&mut String, &T)) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

/// `"resultType":…,"result":…` of what has no series.
pub(super) fn single(out: &mut String, value: &Value) {
    match value {
        Value::Scalar(at) => {
            out.push_str(r#""resultType":"scalar","result":["#);
            seconds(out, at.timestamp_ms);
            out.push_str(",\"");
            out.push_str(&write_json(at.value));
            out.push_str("\"]");
        }
        Value::Text(time_ms, content) => {
            out.push_str(r#""resultType":"string","result":["#);
            seconds(out, *time_ms);
            out.push(',');
            text(out, content);
            out.push(']');
        }
        Value::Vector(_) | Value::Matrix(_) => {}
    }
}

/// `{"name":"value"}`
pub(super) fn labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        text(out, name);
        out.push(':');
        text(out, value);
    }
    out.push('}');
}

/// `[1.5,"2"]`
pub(super) fn point(out: &mut String, Point { timestamp_ms, value }: Point) {
    out.push('[');
    time(out, timestamp_ms);
    out.push_str(",\"");
    out.push_str(&write_json(value));
    out.push_str("\"]");
}

/// Seconds of what is no series: as a number is written.
fn seconds(out: &mut String, millis: i64) {
    out.push_str(&write_json(millis as f64 / 1000.0));
}

/// Seconds; three decimals when there is a fraction.
fn time(out: &mut String, millis: i64) {
    use std::fmt::Write as _;
    let size = millis.unsigned_abs();
    if millis < 0 {
        out.push('-');
    }
    // Writing into a text cannot fail.
    let _ = write!(out, "{}", size / 1000);
    if !size.is_multiple_of(1000) {
        let _ = write!(out, ".{:03}", size % 1000);
    }
}

/// A text as JSON.
fn text(out: &mut String, text: &str) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
        return;
    }
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// A text as JSON, safe inside of HTML, as Go writes it by default.
pub(super) fn escaped_for_html(out: &mut String, content: &str) {
    let mut plain = String::new();
    text(&mut plain, content);
    for character in plain.chars() {
        match character {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            character => out.push(character),
        }
    }
}
