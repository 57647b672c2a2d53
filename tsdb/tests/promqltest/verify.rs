//! Compares what came with what was expected.

use std::sync::Arc;

use flyball_tsdb::promql::annotations::{Annotations, Level};
use flyball_tsdb::promql::engine::{ResultSeries, Value};
use flyball_tsdb::promql::pattern;
use flyball_tsdb::series::Point;

use super::load::Item;
use super::script::{Expected, Message, Subject, When};

/// Relative difference that counts as equal.
const TOLERANCE: f64 = 1e-6;

/// A query failed: was that expected, and with that message?
pub fn failed(expected: &Expected, error: &str) -> Result<(), String> {
    if !expected.fail {
        return Err(format!("failed: {error}"));
    }
    let wanted = expected.messages.iter().filter(|(subject, _)| *subject == Subject::Fail);
    for (_, message) in wanted {
        let fits = match message {
            // Errors of parsing carry their place; the message is what follows.
            Message::Exact(text) => error == text || error.ends_with(&format!("parse error: {text}")),
            Message::Pattern(text) => pattern::compile(&format!(".*(?:{text}).*"))?.is_match(error),
        };
        if !fits {
            return Err(format!("failed with another message: {error}"));
        }
    }
    Ok(())
}

/// Warnings and infos are there, not there, and say what they shall.
pub fn annotations(expected: &Expected, annotations: &Annotations) -> Result<(), String> {
    for (level, subject, some, none) in [
        (Level::Warning, Subject::Warn, expected.warn, expected.no_warn),
        (Level::Info, Subject::Info, expected.info, expected.no_info),
    ] {
        let texts = annotations.texts(level);
        if some && texts.is_empty() {
            return Err(format!("expected an annotation ({level:?})"));
        }
        if none && !texts.is_empty() {
            return Err(format!("unexpected annotations: {texts:?}"));
        }
        let wanted: Vec<&Message> = expected
            .messages
            .iter()
            .filter(|(about, _)| *about == subject)
            .map(|(_, message)| message)
            .collect();
        let fits = |message: &Message, text: &str| match message {
            Message::Exact(wanted) => wanted == text,
            Message::Pattern(wanted) => {
                pattern::compile(&format!(".*(?:{wanted}).*")).is_ok_and(|regex| regex.is_match(text))
            }
        };
        if wanted.is_empty() {
            continue;
        }
        if !wanted.iter().all(|message| texts.iter().any(|text| fits(message, text)))
            || !texts.iter().all(|text| wanted.iter().any(|message| fits(message, text)))
        {
            return Err(format!("annotations differ: {texts:?}"));
        }
    }
    Ok(())
}

/// The values that a range query has at one of its steps.
pub fn at(value: &Value, time_ms: i64, scalar: bool) -> Value {
    let Value::Matrix(series) = value else { return value.clone() };
    let mut found = Vec::new();
    for one in series {
        let there = one.points.iter().find(|point| point.timestamp_ms == time_ms);
        if let Some(point) = there {
            found.push(ResultSeries { labels: Arc::clone(&one.labels), points: vec![*point] });
        }
    }
    match &found[..] {
        [only] if scalar => Value::Scalar(only.points[0]),
        _ => Value::Vector(found),
    }
}

/// An instant query's result.
pub fn vector(expected: &Expected, value: &Value) -> Result<(), String> {
    match value {
        Value::Scalar(point) => match expected.scalar {
            Some(Item::Value(wanted)) if almost_equal(wanted, point.value) => Ok(()),
            Some(wanted) => Err(format!("expected {wanted:?}, got {}", point.value)),
            None => Err(format!("expected no scalar, got {}", point.value)),
        },
        Value::Vector(found) => {
            if expected.scalar.is_some() {
                return Err(format!("expected a scalar, got {found:?}"));
            }
            let first = |items: &[Item]| items.first().copied().unwrap_or(Item::Missing);
            compare(expected, found, |items, series| same_item(first(items), series.points[0].value))
        }
        other => Err(format!("unexpected kind of result: {other:?}")),
    }
}

/// A range query's result.
pub fn matrix(expected: &Expected, when: When, value: &Value) -> Result<(), String> {
    let (Value::Matrix(found), When::Range { start_ms, step_ms, .. }) = (value, when) else {
        return Err(format!("unexpected kind of result: {value:?}"));
    };
    if found.windows(2).any(|pair| pair[0].labels >= pair[1].labels) {
        return Err("the result is not sorted".into());
    }
    compare(expected, found, |items, series| {
        let wanted: Vec<(i64, Item)> = items
            .iter()
            .enumerate()
            .filter(|(_, item)| **item != Item::Missing)
            .map(|(index, item)| (start_ms + step_ms * index as i64, *item))
            .collect();
        wanted.len() == series.points.len()
            && wanted.iter().zip(&series.points).all(|((at, item), Point { timestamp_ms, value })| {
                at == timestamp_ms && same_item(*item, *value)
            })
    })
}

fn compare(
    expected: &Expected,
    found: &[ResultSeries],
    same: impl Fn(&[Item], &ResultSeries) -> bool,
) -> Result<(), String> {
    for (place, series) in found.iter().enumerate() {
        let wanted = expected.lines.iter().position(|line| line.labels == series.labels);
        let Some(index) = wanted else {
            return Err(format!("unexpected series {:?} {:?}", series.labels, series.points));
        };
        if expected.ordered && index != place {
            return Err(format!("{:?} is at place {place} instead of {index}", series.labels));
        }
        let items = &expected.lines[index].items;
        if !same(items, series) {
            return Err(format!("{:?}: expected {items:?}, got {:?}", series.labels, series.points));
        }
    }
    match expected.lines.iter().find(|line| !found.iter().any(|series| series.labels == line.labels)) {
        Some(line) => Err(format!("missing series {:?} {:?}", line.labels, line.items)),
        None => Ok(()),
    }
}

fn same_item(item: Item, value: f64) -> bool {
    matches!(item, Item::Value(wanted) if almost_equal(wanted, value))
}

fn almost_equal(left: f64, right: f64) -> bool {
    if left == right || (left.is_nan() && right.is_nan()) {
        return true;
    }
    let (sum, difference) = (left.abs() + right.abs(), (left - right).abs());
    if left == 0.0 || right == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}
