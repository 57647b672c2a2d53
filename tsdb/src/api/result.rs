//! The answer of a query as JSON, piece by piece, so that a result of millions of samples is never a text as well. Pure.
//!
//! Promise: all pieces in a row are the answer as Prometheus writes it. A series is let go as soon as it is written.

use flyball_apiserver::pieces::Pieces;

use super::json;
use crate::promql::engine::{ResultSeries, Value};

/// How long a piece is, about.
const PIECE_BYTES: usize = 32 << 10;

/// A result that is not written yet, or in part.
#[derive(Debug)]
pub struct ResultText {
    /// What stands before the next series.
    head: String,
    series: std::vec::IntoIter<ResultSeries>,
    /// The series that is begun, and which of its points comes next.
    begun: Option<(ResultSeries, usize)>,
    is_vector: bool,
    /// What stands behind the last.
    tail: String,
}

impl ResultText {
    /// An answer of this value; `tail` stands between it and the end.
    pub(super) fn new(value: Value, tail: String) -> ResultText {
        let mut head = String::from(r#"{"status":"success","data":{"#);
        let (kind, series) = match value {
            Value::Vector(series) => ("vector", series),
            Value::Matrix(series) => ("matrix", series),
            single => {
                json::single(&mut head, &single);
                head.push_str(&tail);
                return ResultText {
                    head,
                    series: Vec::new().into_iter(),
                    begun: None,
                    is_vector: false,
                    tail: String::new(),
                };
            }
        };
        head.push_str(&format!(r#""resultType":"{kind}","result":["#));
        let is_vector = kind == "vector";
        ResultText { head, series: series.into_iter(), begun: None, is_vector, tail: format!("]{tail}") }
    }

    /// What is left of it, at once.
    pub(super) fn whole(mut self, out: &mut Vec<u8>) {
        while self.next(out) {}
    }

    /// Writes points of the series that is begun until it ends or the piece is long enough; whether it ended.
    fn points(&mut self, out: &mut String, room: usize) -> bool {
        let Some((series, next)) = &mut self.begun else { return true };
        while let Some(point) = series.points.get(*next) {
            if out.len() >= room {
                return false;
            }
            if *next > 0 {
                out.push(',');
            }
            json::point(out, *point);
            *next += 1;
        }
        true
    }

    fn begin(&mut self, out: &mut String, series: ResultSeries) {
        out.push_str(r#"{"metric":"#);
        json::labels(out, &series.labels);
        if self.is_vector {
            out.push_str(r#","value":"#);
            if let Some(first) = series.points.first() {
                json::point(out, *first);
            }
            out.push('}');
        } else {
            out.push_str(r#","values":["#);
            self.begun = Some((series, 0));
        }
    }
}

impl Pieces for ResultText {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        let mut text = std::mem::take(&mut self.head);
        loop {
            if self.begun.is_some() {
                if !self.points(&mut text, PIECE_BYTES) {
                    break;
                }
                self.begun = None;
                text.push_str("]}");
            } else if let Some(series) = self.series.next() {
                self.begin(&mut text, series);
            } else {
                text.push_str(&self.tail);
                out.extend_from_slice(text.as_bytes());
                return false;
            }
            // Between two series.
            if self.begun.is_none() && self.series.len() > 0 {
                text.push(',');
            }
            if text.len() >= PIECE_BYTES {
                break;
            }
        }
        out.extend_from_slice(text.as_bytes());
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flyball_model::labels::Labels;

    use super::*;
    use crate::series::Point;

    fn series(name: &str, points: i64) -> ResultSeries {
        let labels = Arc::new(Labels::from_pairs([("__name__", name)]).unwrap());
        let points =
            (0..points).map(|at| Point { timestamp_ms: at * 1000, value: at as f64 / 8.0 }).collect();
        ResultSeries { labels, points }
    }

    fn pieces(value: Value) -> Vec<String> {
        let mut text = ResultText::new(value, "},\"infos\":[]}".to_owned());
        let mut all = Vec::new();
        loop {
            let mut out = Vec::new();
            let more = text.next(&mut out);
            all.push(String::from_utf8(out).unwrap());
            if !more {
                return all;
            }
        }
    }

    #[test]
    fn pieces_are_short_and_together_the_answer() {
        for counts in [&[][..], &[0], &[3], &[1, 0, 2], &[9000], &[1, 20_000, 1], &[2000; 7]] {
            let all: Vec<ResultSeries> = counts.iter().map(|points| series("x", *points)).collect();
            let pieces = pieces(Value::Matrix(all.clone()));
            assert!(pieces.iter().all(|piece| piece.len() < 2 * PIECE_BYTES), "{counts:?}");
            let total: i64 = counts.iter().sum();
            assert_eq!(pieces.len() > 1, total > 2000, "{counts:?}: {} pieces", pieces.len());
            let answer: serde_json::Value = serde_json::from_str(&pieces.concat()).unwrap();
            let result = answer["data"]["result"].as_array().unwrap();
            let read: Vec<usize> =
                result.iter().map(|series| series["values"].as_array().unwrap().len()).collect();
            assert_eq!(read, counts.iter().map(|points| *points as usize).collect::<Vec<_>>());
            assert_eq!(answer["infos"], serde_json::json!([]));
        }
        let vector: Vec<ResultSeries> = (0..2000).map(|at| series(&format!("x{at}"), 1)).collect();
        let pieces = pieces(Value::Vector(vector));
        assert!(pieces.len() > 2 && pieces.iter().all(|piece| piece.len() < 2 * PIECE_BYTES));
        let answer: serde_json::Value = serde_json::from_str(&pieces.concat()).unwrap();
        assert_eq!(answer["data"]["result"].as_array().unwrap().len(), 2000);
        assert_eq!(answer["data"]["result"][7]["value"], serde_json::json!([0, "0"]));
    }

    #[test]
    fn what_is_no_series_is_one_piece() {
        let point = Point { timestamp_ms: 500, value: 1.0 };
        assert_eq!(
            pieces(Value::Scalar(point)),
            [r#"{"status":"success","data":{"resultType":"scalar","result":[0.5,"1"]},"infos":[]}"#]
        );
        assert_eq!(
            pieces(Value::Text(1000, "a".to_owned())),
            [r#"{"status":"success","data":{"resultType":"string","result":[1,"a"]},"infos":[]}"#]
        );
    }
}
