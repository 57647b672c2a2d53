//! The JSON of Prometheus' HTTP API, read without holding what is not asked for. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use flyball_model::exposition::MetricType;
use flyball_model::labels::Labels;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Answer, Found, Types};
use crate::rules::Sample;

/// Name of the metric among the labels.
const METRIC_NAME: &str = "__name__";

/// `{"status":"success","data":…,"warnings":[…]}`, or an error with its type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope<T> {
    /// `success` or `error`.
    pub status: String,
    /// What was asked for. Not `#[serde(default)]`: an Option is absent without it, and T needs no default.
    pub data: Option<T>,
    /// Prometheus' word for the kind of error.
    #[serde(default)]
    pub error_type: String,
    /// What is wrong.
    #[serde(default)]
    pub error: String,
    /// What the answer lacks, and the like.
    #[serde(default)]
    pub warnings: Option<Vec<String>>,
}

impl<T> Envelope<T> {
    /// Whether it says so.
    pub fn is_success(&self) -> bool {
        self.status == "success"
    }
}

/// `data` of a query.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryData {
    result_type: String,
    result: Vec<Element>,
}

/// An element of `result`: of a vector a series, of a scalar its time or its value.
#[derive(Debug)]
enum Element {
    Series(Series),
    Number(f64),
    Text(String),
}

#[derive(Debug, Default)]
struct Series {
    labels: Vec<(String, String)>,
    value: Option<(f64, String)>,
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Element, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Element;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a series, a time or a value")
            }

            fn visit_f64<E>(self, number: f64) -> Result<Element, E> {
                Ok(Element::Number(number))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Element, E> {
                Ok(Element::Number(number as f64))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Element, E> {
                Ok(Element::Number(number as f64))
            }

            fn visit_str<E>(self, text: &str) -> Result<Element, E> {
                Ok(Element::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Element, A::Error> {
                let mut series = Series::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "metric" => series.labels = map.next_value::<Pairs>()?.0,
                        "value" => series.value = Some(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Element::Series(series))
            }
        }
        from.deserialize_any(Any)
    }
}

/// The pairs of an object of text, in its order.
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Pairs, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of text")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(4));
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_map(Object)
    }
}

impl QueryData {
    /// The answer.
    ///
    /// # Errors
    /// What is not as the API documents it.
    pub fn answer(self, warnings: Vec<String>) -> Result<Answer, String> {
        match self.result_type.as_str() {
            "vector" => {
                let samples = self.result.into_iter().filter_map(sample);
                Ok(Answer::Vector { samples: samples.collect::<Result<_, _>>()?, warnings })
            }
            "scalar" => match self.result.as_slice() {
                [Element::Number(seconds), Element::Text(value)] => {
                    Ok(Answer::Scalar { value: number(value)?, timestamp_ms: milliseconds(*seconds)? })
                }
                _ => Err("a scalar that is no pair of a time and a value".to_owned()),
            },
            other => {
                Err(format!("the query yields a {other}; it has to yield an instant vector or a scalar"))
            }
        }
    }
}

/// A sample of a vector; `None` for one that is a native histogram, which has no single value.
fn sample(element: Element) -> Option<Result<Sample, String>> {
    let Element::Series(series) = element else {
        return Some(Err("a vector with an element that is no series".to_owned()));
    };
    let (seconds, value) = series.value?;
    Some(match (number(&value), milliseconds(seconds), Labels::from_pairs(series.labels)) {
        (Ok(value), Ok(timestamp_ms), Ok(labels)) => {
            Ok(Sample { labels: Arc::new(labels), value, timestamp_ms })
        }
        (Err(reason), ..) | (_, Err(reason), _) => Err(reason),
        (.., Err(error)) => Err(error.to_string()),
    })
}

/// Rust reads what Go writes: `NaN`, `+Inf`, `-Inf`, exponents.
fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("{text:?} as a value"))
}

fn milliseconds(seconds: f64) -> Result<i64, String> {
    const LIMIT_SECONDS: f64 = 9e12;
    match seconds.abs() < LIMIT_SECONDS {
        true => Ok((seconds * 1000.0).round() as i64),
        false => Err(format!("{seconds} as a time")),
    }
}

/// `data` of `/api/v1/series`, folded while it is read: names of metrics and labels, and how many series there were.
#[derive(Debug, Default)]
pub struct SeriesData {
    /// What their series are called.
    pub found: Found,
    /// How many series.
    pub count: usize,
}

impl<'de> Deserialize<'de> for SeriesData {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<SeriesData, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = SeriesData;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of label sets")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<SeriesData, A::Error> {
                let mut all = SeriesData::default();
                while let Some(OneSeries { metric, labels }) = list.next_element()? {
                    all.count += 1;
                    if metric.is_empty() {
                        continue;
                    }
                    let known = all.found.entry(metric).or_default();
                    for label in labels {
                        if !known.contains(&*label) {
                            known.insert(label.into_owned());
                        }
                    }
                }
                Ok(all)
            }
        }
        from.deserialize_seq(List)
    }
}

struct OneSeries<'de> {
    metric: String,
    labels: Vec<Cow<'de, str>>,
}

/// A name that is borrowed where its text has no escapes.
#[derive(Deserialize)]
struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

impl<'de> Deserialize<'de> for OneSeries<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<OneSeries<'de>, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = OneSeries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a label set")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OneSeries<'de>, A::Error> {
                let mut series = OneSeries { metric: String::new(), labels: Vec::new() };
                while let Some(Name(name)) = map.next_key()? {
                    if name == METRIC_NAME {
                        series.metric = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                        series.labels.push(name);
                    }
                }
                Ok(series)
            }
        }
        from.deserialize_map(Object)
    }
}

/// An entry of `/api/v1/metadata`.
#[derive(Debug, Deserialize)]
pub struct OneMetadata {
    #[serde(rename = "type", default)]
    kind: String,
}

/// The one type that all targets agree on; a metric about which they disagree has none.
pub fn types(data: BTreeMap<String, Vec<OneMetadata>>) -> Types {
    let agreed = |entries: &[OneMetadata]| {
        let mut kinds = entries.iter().map(|entry| type_of_word(&entry.kind));
        let first = kinds.next()??;
        kinds.all(|kind| kind == Some(first)).then_some(first)
    };
    data.into_iter().filter_map(|(name, entries)| Some((name, agreed(&entries)?))).collect()
}

/// A type by its word in Prometheus' API; `None` for a word that says nothing.
fn type_of_word(word: &str) -> Option<MetricType> {
    Some(match word {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "gaugehistogram" => MetricType::GaugeHistogram,
        "summary" => MetricType::Summary,
        "info" => MetricType::Info,
        "stateset" => MetricType::StateSet,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Answer, String> {
        let envelope: Envelope<QueryData> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        envelope.data.ok_or("no data")?.answer(Vec::new())
    }

    #[test]
    fn vectors_and_scalars() {
        let text = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"pod":"b","a":"x"},"value":[1435781451.781,"1.5"]},
            {"metric":{},"value":[10,"+Inf"]},
            {"metric":{"h":"native"},"histogram":[1,{"count":"1"}]}]}}"#;
        let Ok(Answer::Vector { samples, .. }) = query(text) else { panic!("no vector") };
        assert_eq!(samples.len(), 2);
        assert_eq!((samples[0].labels.get("pod"), samples[0].value), (Some("b"), 1.5));
        assert_eq!((samples[0].timestamp_ms, samples[1].timestamp_ms), (1_435_781_451_781, 10_000));
        assert_eq!(samples[1].value, f64::INFINITY);
        let scalar = query(r#"{"status":"success","data":{"resultType":"scalar","result":[4,"NaN"]}}"#);
        assert!(matches!(scalar, Ok(Answer::Scalar { value, timestamp_ms: 4000 }) if value.is_nan()));
    }

    #[test]
    fn what_is_no_answer_says_why() {
        for (data, why) in [
            (r#"{"resultType":"matrix","result":[]}"#, "matrix"),
            (r#"{"resultType":"scalar","result":[1]}"#, "pair"),
            (r#"{"resultType":"vector","result":[1]}"#, "no series"),
            (r#"{"resultType":"vector","result":[{"metric":{},"value":[1,"x"]}]}"#, "\"x\""),
            (r#"{"resultType":"vector","result":[{"metric":{},"value":[1e300,"1"]}]}"#, "as a time"),
            (r#"{"resultType":"vector","result":[{"metric":{"a":1},"value":[1,"1"]}]}"#, "string"),
            (r#"{"resultType":"vector","result":[{"metric":{"a":"1","a":"2"},"value":[1,"1"]}]}"#, "twice"),
            (r#"{"resultType":"vector"}"#, "result"),
        ] {
            let error = query(&format!(r#"{{"status":"success","data":{data}}}"#)).unwrap_err();
            assert!(error.contains(why), "{data}: {error}");
        }
    }

    #[test]
    fn series_become_names() {
        let text =
            r#"[{"__name__":"a","pod":"1"},{"__name__":"a","node":"2"},{"x":"unnamed"},{"__name__":"b"}]"#;
        let data: SeriesData = serde_json::from_str(text).unwrap();
        let names: Vec<(&str, Vec<&str>)> = data
            .found
            .iter()
            .map(|(name, labels)| (name.as_str(), labels.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!((data.count, names), (4, vec![("a", vec!["node", "pod"]), ("b", vec![])]));
    }

    #[test]
    fn targets_that_disagree_leave_the_type_open() {
        let text = r#"{"a":[{"type":"counter","help":"","unit":""}],"b":[{"type":"gauge"},{"type":"counter"}],"c":[]}"#;
        let kinds = types(serde_json::from_str(text).unwrap());
        assert_eq!(kinds, Types::from([("a".to_owned(), MetricType::Counter)]));
    }
}
