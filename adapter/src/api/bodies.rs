//! The wire forms of values, with upstream's order of fields. Pure.

use std::collections::BTreeMap;

use flyball_model::quantity::{Quantity, QuantityFormat};
use flyball_model::selector::{LabelSelector, Operator};
use flyball_model::time::rfc3339_seconds;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::route::VERSION;
use super::{CUSTOM, EXTERNAL};
use crate::kinds::Kind;
use crate::rules::{ExternalValue, ObjectValue};
use crate::schedule::ScheduleValue;

#[derive(Serialize)]
struct Empty {}

/// A list of either group.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List<T> {
    kind: &'static str,
    api_version: String,
    metadata: Empty,
    items: Vec<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectReference {
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
    api_version: String,
}

/// A value of an object, in either version.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum MetricValue {
    #[serde(rename_all = "camelCase")]
    V1beta1 {
        described_object: ObjectReference,
        metric_name: String,
        timestamp: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        window: Option<i64>,
        value: String,
        selector: Option<Value>,
    },
    #[serde(rename_all = "camelCase")]
    V1beta2 {
        described_object: ObjectReference,
        metric: MetricIdentifier,
        timestamp: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        window_seconds: Option<i64>,
        value: String,
    },
}

#[derive(Serialize)]
pub(super) struct MetricIdentifier {
    name: String,
    selector: Option<Value>,
}

/// What all values of a list have in common.
pub(super) struct Described<'a> {
    pub(super) version: &'static str,
    pub(super) kind: &'a Kind,
    pub(super) namespace: Option<&'a str>,
    pub(super) metric: &'a str,
    pub(super) selector: &'a LabelSelector,
    /// Range of the query, where it is known and ours.
    pub(super) window_seconds: Option<i64>,
}

/// Values of objects as a list.
pub(super) fn values(described: &Described<'_>, values: &[ObjectValue]) -> List<MetricValue> {
    let selector = (!described.selector.is_empty()).then(|| selector_object(described.selector));
    let items = values.iter().map(|value| one(described, value, selector.clone())).collect();
    let api_version = format!("{CUSTOM}/{}", described.version);
    List { kind: "MetricValueList", api_version, metadata: Empty {}, items }
}

fn one(described: &Described<'_>, value: &ObjectValue, selector: Option<Value>) -> MetricValue {
    let described_object = ObjectReference {
        kind: described.kind.kind.clone(),
        namespace: described.namespace.map(str::to_owned),
        name: value.name.clone(),
        // Upstream's form, which for the core group begins with a slash.
        api_version: format!("{}/{}", described.kind.group, described.kind.version),
    };
    let (timestamp, window) = (rfc3339_seconds(value.timestamp_ms), described.window_seconds);
    let (name, value) = (described.metric.to_owned(), quantity(value.milli));
    match described.version {
        "v1beta1" => {
            MetricValue::V1beta1 { described_object, metric_name: name, timestamp, window, value, selector }
        }
        _ => MetricValue::V1beta2 {
            described_object,
            metric: MetricIdentifier { name, selector },
            timestamp,
            window_seconds: window,
            value,
        },
    }
}

/// A value of an external metric.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExternalMetricValue {
    metric_name: String,
    /// `null` for a number without labels.
    metric_labels: Option<BTreeMap<String, String>>,
    timestamp: String,
    value: String,
}

/// Values of an external metric as a list. `scalar`: the answer was a number.
pub(super) fn external(metric: &str, values: &[ExternalValue], scalar: bool) -> List<ExternalMetricValue> {
    let labels = |value: &ExternalValue| {
        value.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    external_list(values.iter().map(|value| ExternalMetricValue {
        metric_name: metric.to_owned(),
        metric_labels: (!scalar).then(|| labels(value)),
        timestamp: rfc3339_seconds(value.timestamp_ms),
        value: quantity(value.milli),
    }))
}

/// What a calendar says as a list.
pub(super) fn scheduled(metric: &str, values: Vec<ScheduleValue>, now_ms: i64) -> List<ExternalMetricValue> {
    external_list(values.into_iter().map(|value| ExternalMetricValue {
        metric_name: metric.to_owned(),
        metric_labels: Some(value.labels),
        timestamp: rfc3339_seconds(now_ms),
        value: quantity(value.milli),
    }))
}

fn external_list(items: impl Iterator<Item = ExternalMetricValue>) -> List<ExternalMetricValue> {
    List {
        kind: "ExternalMetricValueList",
        api_version: format!("{EXTERNAL}/{VERSION}"),
        metadata: Empty {},
        items: items.collect(),
    }
}

fn quantity(milli: i64) -> String {
    Quantity::from_milli(milli, QuantityFormat::DecimalSi).to_string()
}

/// The object form of a selector: equalities as `matchLabels`, all else as `matchExpressions`.
fn selector_object(selector: &LabelSelector) -> Value {
    let (mut labels, mut expressions) = (Map::new(), Vec::new());
    for requirement in selector.requirements() {
        let operator = match requirement.operator() {
            Operator::Equals | Operator::DoubleEquals => {
                let value = requirement.values().first().cloned().unwrap_or_default();
                labels.insert(requirement.key().to_owned(), value.into());
                continue;
            }
            Operator::In => "In",
            Operator::NotIn | Operator::NotEquals => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            Operator::GreaterThan => "Gt",
            Operator::LessThan => "Lt",
        };
        let mut values = requirement.values().to_vec();
        values.sort_unstable();
        let mut expression = json!({"key": requirement.key(), "operator": operator});
        if !values.is_empty() {
            expression["values"] = values.into();
        }
        expressions.push(expression);
    }
    let mut object = Map::new();
    if !labels.is_empty() {
        object.insert("matchLabels".to_owned(), labels.into());
    }
    if !expressions.is_empty() {
        object.insert("matchExpressions".to_owned(), expressions.into());
    }
    object.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kinds;

    fn list(version: &'static str, selector: &str, window_seconds: Option<i64>) -> String {
        let kinds = Kinds::builtin();
        let described = Described {
            version,
            kind: kinds.find("", "pods").unwrap(),
            namespace: Some("ns"),
            metric: "m",
            selector: &LabelSelector::parse(selector).unwrap(),
            window_seconds,
        };
        let value = ObjectValue { name: "p".to_owned(), milli: 10_500, timestamp_ms: 1_500 };
        serde_json::to_string(&values(&described, &[value])).unwrap()
    }

    #[test]
    fn both_versions_have_upstreams_order() {
        assert_eq!(
            list("v1beta1", "", None),
            r#"{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta1","metadata":{},"items":[{"describedObject":{"kind":"Pod","namespace":"ns","name":"p","apiVersion":"/v1"},"metricName":"m","timestamp":"1970-01-01T00:00:01Z","value":"10500m","selector":null}]}"#
        );
        assert_eq!(
            list("v1beta2", "a=b,c in (y,x),!d,e!=f", Some(120)),
            r#"{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta2","metadata":{},"items":[{"describedObject":{"kind":"Pod","namespace":"ns","name":"p","apiVersion":"/v1"},"metric":{"name":"m","selector":{"matchExpressions":[{"key":"c","operator":"In","values":["x","y"]},{"key":"d","operator":"DoesNotExist"},{"key":"e","operator":"NotIn","values":["f"]}],"matchLabels":{"a":"b"}}},"timestamp":"1970-01-01T00:00:01Z","windowSeconds":120,"value":"10500m"}]}"#
        );
    }

    #[test]
    fn a_number_has_no_labels() {
        let value = ExternalValue { labels: Default::default(), milli: 1_000_000, timestamp_ms: 0 };
        let list =
            |scalar| serde_json::to_string(&external("m", std::slice::from_ref(&value), scalar)).unwrap();
        assert!(
            list(true).contains(r#""metricLabels":null,"timestamp":"1970-01-01T00:00:00Z","value":"1k""#)
        );
        assert!(list(false).contains(r#""metricLabels":{}"#));
    }
}
