//! Pieces of cells that several kinds share.

use flyball_apiserver::table::Column;
use flyball_model::selector::LabelSelector;
use flyball_model::time::{parse_rfc3339_ms, short_age};
use serde_json::Value;

use crate::registry::json::{items, text};

/// What kubectl shows for something that is not there.
pub(super) const NONE: &str = "<none>";

const UNKNOWN: &str = "<unknown>";

pub(super) const NAME: Column = Column::new("Name", "name", "Name must be unique within a namespace.");
pub(super) const AGE: Column =
    Column::new("Age", "", "CreationTimestamp is the time at which the object was created.");

/// Time since a point, as kubectl writes it.
pub(super) fn since(object: &Value, pointer: &str, now_ms: i64) -> String {
    match parse_rfc3339_ms(text(object, pointer)) {
        Some(then_ms) => short_age((now_ms - then_ms).max(0) / 1000),
        None => UNKNOWN.to_owned(),
    }
}

/// Time since the object was made.
pub(super) fn age(object: &Value, now_ms: i64) -> Value {
    since(object, "/metadata/creationTimestamp", now_ms).into()
}

pub(super) fn name(object: &Value) -> Value {
    text(object, "/metadata/name").into()
}

/// A text, or `<none>`.
pub(super) fn or_none(text: &str) -> String {
    if text.is_empty() { NONE.to_owned() } else { text.to_owned() }
}

/// A number at a pointer; absent numbers of a status are 0 in Go.
pub(super) fn count(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// One member of each container, joined with commas.
pub(super) fn of_containers(pod_spec: &Value, member: &str) -> String {
    let values =
        items(pod_spec, "/containers").iter().map(|container| text(container, &format!("/{member}")));
    values.collect::<Vec<_>>().join(",")
}

/// A selector in query syntax.
pub(super) fn selector(value: Option<&Value>) -> String {
    let selector = value.and_then(|value| LabelSelector::from_json(value).ok());
    or_none(&selector.map(|selector| selector.to_string()).unwrap_or_default())
}

/// A plain label map in query syntax.
pub(super) fn label_map(value: Option<&Value>) -> String {
    let map = value.and_then(Value::as_object);
    let pairs =
        map.into_iter().flatten().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or("")));
    or_none(&pairs.collect::<Vec<_>>().join(","))
}
