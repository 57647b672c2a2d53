//! The answer of a query, read. Pure.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde_json::Value;

/// A series of the result.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) labels: BTreeMap<String, String>,
    /// Unix milliseconds, and the value as the API wrote it.
    pub(super) points: Vec<(i64, String)>,
}

/// The result.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) lines: Vec<Line>,
    /// Values over time, else one value each.
    pub(super) over_time: bool,
}

impl Line {
    /// The series as PromQL writes it.
    pub(super) fn name(&self) -> String {
        let metric = self.labels.get("__name__").map_or("", String::as_str);
        let rest = self.labels.iter().filter(|(name, _)| *name != "__name__");
        let pairs: Vec<String> = rest.map(|(name, value)| format!("{name}={value:?}")).collect();
        match pairs.is_empty() {
            true if !metric.is_empty() => metric.to_owned(),
            _ => format!("{metric}{{{}}}", pairs.join(", ")),
        }
    }
}

impl Answer {
    /// Names that tell the series apart: without the labels that all of them have alike.
    pub(super) fn short_names(&self) -> Vec<String> {
        let Some((first, others)) = self.lines.split_first().filter(|(_, others)| !others.is_empty()) else {
            return self.lines.iter().map(Line::name).collect();
        };
        let alike = |(name, value): (&String, &String)| {
            *name != "__name__" && others.iter().all(|line| line.labels.get(name) == Some(value))
        };
        let named = |line: &Line| {
            let labels = line.labels.iter().filter(|(name, value)| {
                !first.labels.get_key_value(*name).is_some_and(|same| same.1 == *value && alike(same))
            });
            let labels = labels.map(|(name, value)| (name.clone(), value.clone())).collect();
            Line { labels, points: Vec::new() }.name()
        };
        self.lines.iter().map(named).collect()
    }

    /// Reads an answer of `query` or `query_range`.
    pub(super) fn read(answer: &Value) -> anyhow::Result<Answer> {
        let data = &answer["data"];
        let result = &data["result"];
        let list = || result.as_array().context("the answer has no result");
        let (lines, over_time) = match data["resultType"].as_str() {
            Some("scalar" | "string") => {
                let points = vec![point(result)?];
                (vec![Line { labels: BTreeMap::new(), points }], false)
            }
            Some("vector") => {
                let one = |series: &Value| {
                    Ok(Line { points: vec![point(&series["value"])?], labels: labels(series) })
                };
                (list()?.iter().map(one).collect::<anyhow::Result<_>>()?, false)
            }
            Some("matrix") => {
                let one = |series: &Value| {
                    let points = series["values"].as_array().into_iter().flatten();
                    Ok(Line {
                        points: points.map(point).collect::<anyhow::Result<_>>()?,
                        labels: labels(series),
                    })
                };
                (list()?.iter().map(one).collect::<anyhow::Result<_>>()?, true)
            }
            other => bail!("the answer is of an unknown type {other:?}"),
        };
        Ok(Answer { lines, over_time })
    }
}

fn labels(series: &Value) -> BTreeMap<String, String> {
    let pairs = series["metric"].as_object().into_iter().flatten();
    pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned())).collect()
}

fn point(pair: &Value) -> anyhow::Result<(i64, String)> {
    let (time, value) = (pair[0].as_f64(), pair[1].as_str());
    let (time, value) = time.zip(value).with_context(|| format!("the answer has no sample in {pair}"))?;
    Ok(((time * 1000.0).round() as i64, value.to_owned()))
}

/// A value as a number; `None` for text.
pub(super) fn number(value: &str) -> Option<f64> {
    match value {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        other => other.parse().ok(),
    }
}

#[cfg(test)]
pub(super) fn answer(kind: &str, result: Value) -> Answer {
    Answer::read(&serde_json::json!({"status": "success", "data": {"resultType": kind, "result": result}}))
        .unwrap()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_types_are_read() {
        let vector =
            answer("vector", json!([{"metric": {"__name__": "x", "b": "c\"d"}, "value": [1.5, "2"]}]));
        assert_eq!(vector.lines[0].name(), r#"x{b="c\"d"}"#);
        assert_eq!(vector.lines[0].points, [(1500, "2".to_owned())]);
        let matrix = answer("matrix", json!([{"metric": {}, "values": [[1, "2"], [2, "NaN"]]}]));
        assert_eq!((matrix.lines[0].name().as_str(), matrix.lines[0].points.len()), ("{}", 2));
        assert!(matrix.over_time);
        assert_eq!(answer("scalar", json!([4, "2"])).lines[0].points, [(4000, "2".to_owned())]);
        assert_eq!(number("+Inf"), Some(f64::INFINITY));
        let alike = answer(
            "vector",
            json!([{"metric": {"__name__": "x", "job": "j", "pod": "a"}, "value": [1, "2"]},
                   {"metric": {"__name__": "x", "job": "j", "pod": "b"}, "value": [1, "2"]}]),
        );
        assert_eq!(alike.short_names(), [r#"x{pod="a"}"#, r#"x{pod="b"}"#]);
        assert_eq!(vector.short_names(), [r#"x{b="c\"d"}"#]);
        assert!(Answer::read(&json!({"data": {}})).is_err());
    }
}
