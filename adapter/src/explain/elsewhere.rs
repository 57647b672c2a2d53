//! The way of a metric that no rule makes: one from a calendar, and one of another metrics server.

use flyball_model::selector::LabelSelector;
use serde_json::Value;

use super::path::{Explanation, quantity};
use super::some;
use crate::schedule::Scheduled;

/// Explains a metric from a calendar; `schedules` are those of its name.
pub fn explain_scheduled(schedules: &[Scheduled], namespace: &str, selector: &LabelSelector) -> Explanation {
    let mut explanation = Explanation::default();
    explanation.step(
        true,
        "a schedule gives the metric",
        schedules.iter().map(ToString::to_string).collect(),
    );
    let open: Vec<&Scheduled> = schedules.iter().filter(|one| one.is_for(namespace)).collect();
    let line = match open.is_empty() {
        true => format!("none of them is for namespace {namespace}"),
        false => format!("{} of {} for namespace {namespace}", open.len(), schedules.len()),
    };
    if !explanation.step(!open.is_empty(), "the namespace may ask", vec![line]) {
        return explanation;
    }
    let chosen: Vec<&&Scheduled> = open.iter().filter(|one| selector.matches_map(&one.labels)).collect();
    let lines: Vec<String> =
        chosen.iter().map(|one| format!("line {}: {}", one.line, quantity(one.milli))).collect();
    if !explanation.step(!chosen.is_empty(), "the selector picks one", lines) {
        return explanation;
    }
    let sum: i128 = chosen.iter().map(|one| i128::from(one.milli)).sum();
    let sum = quantity(i64::try_from(sum).unwrap_or(i64::MAX));
    explanation.step(
        true,
        "what the autoscaler sees",
        vec![format!("the sum of {} values: {sum}", chosen.len())],
    );
    explanation
}

/// Explains a metric of another server by the answer to a request like the autoscaler's: its list of values, `None` where it has
/// no such metric, or why it does not answer.
pub fn explain_proxied(path: &str, listed: bool, answer: &Result<Option<Value>, String>) -> Explanation {
    let mut explanation = Explanation::default();
    let listed =
        if listed { "it lists the metric" } else { "it does not list the metric, and is asked all the same" };
    let asked = vec![listed.to_owned(), format!("asked: {path}")];
    explanation.step(true, "another metrics server may have it", asked);
    let title = "the other server answers";
    let list = match answer {
        Ok(Some(list)) => list,
        Ok(None) => {
            explanation.step(false, title, vec!["it has no such metric".to_owned()]);
            return explanation;
        }
        Err(reason) => {
            explanation.step(false, title, vec![reason.clone()]);
            return explanation;
        }
    };
    let items: Vec<String> = list["items"].as_array().into_iter().flatten().map(item).collect();
    let line = match items.len() {
        0 => "no values".to_owned(),
        count => format!("{count} values"),
    };
    if explanation.step(!items.is_empty(), title, vec![line]) {
        explanation.step(true, "what the autoscaler sees", vec![some(&items)]);
    }
    explanation
}

/// A value, with the object or the labels it is of.
fn item(item: &Value) -> String {
    let value = item["value"].as_str().unwrap_or_default();
    match (item["describedObject"]["name"].as_str(), &item["metricLabels"]) {
        (Some(name), _) => format!("{name}: {value}"),
        (None, Value::Object(labels)) if !labels.is_empty() => {
            let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{{{}}}: {value}", pairs.join(","))
        }
        _ => value.to_owned(),
    }
}
