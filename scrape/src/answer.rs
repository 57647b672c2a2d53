//! Body bytes to samples. Pure.

use flyball_model::exposition::Format;
use flyball_model::samples::Samples;

use crate::gzip::{self, GzipError};
use crate::http1::Framing;
use crate::spare;

/// Most bytes read of one answer, before and after decompression. A node of 500 pods answers with less than 1 MB.
pub const BODY_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// Why a body holds no samples.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Over the limit after decompression.
    #[error("it is too large")]
    TooLarge,
    /// A reason in words.
    #[error("{0}")]
    Unreadable(String),
}

/// Undoes `Content-Encoding`. Only gzip was offered.
pub fn decode(body: Vec<u8>, encoding: Option<&str>) -> Result<Vec<u8>, AnswerError> {
    decode_limited(body, encoding, BODY_LIMIT_BYTES)
}

/// The same with another limit.
pub fn decode_limited(
    body: Vec<u8>,
    encoding: Option<&str>,
    limit_bytes: usize,
) -> Result<Vec<u8>, AnswerError> {
    match encoding.unwrap_or("identity") {
        "identity" | "" => Ok(body),
        "gzip" => gzip::unpack(&body, limit_bytes).map_err(|error| match error {
            GzipError::TooLarge => AnswerError::TooLarge,
            broken => AnswerError::Unreadable(broken.to_string()),
        }),
        other => Err(AnswerError::Unreadable(format!("unknown content encoding {other:?}"))),
    }
}

/// Reads all samples. The body is taken whole or not at all. A last line without an end is one where the body's end was told;
/// where it came with the end of the connection, it may be the beginning of a line.
pub fn parse(body: Vec<u8>, content_type: Option<&str>, framing: Framing) -> Result<Samples, AnswerError> {
    let text = String::from_utf8(body).map_err(|error| {
        AnswerError::Unreadable(format!("byte {} is not UTF-8", error.utf8_error().valid_up_to()))
    })?;
    let format = content_type.and_then(Format::from_content_type).unwrap_or(Format::Text004);
    if framing == Framing::Close && !text.is_empty() && !text.ends_with('\n') {
        return Err(AnswerError::Unreadable("it ends within a line, so it was cut off".to_owned()));
    }
    let samples = Samples::read_in(text, format, spare::room());
    let samples = samples.map_err(|error| AnswerError::Unreadable(error.to_string()))?;
    if samples.is_empty() {
        return Err(AnswerError::Unreadable("it holds no samples".to_owned()));
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Option<&str> = Some("text/plain; version=0.0.4; charset=utf-8");
    const TOLD: Framing = Framing::Chunked;

    #[test]
    fn parses_what_a_kubelet_says() {
        let body = b"# HELP node_cpu_usage_seconds_total x\n# TYPE node_cpu_usage_seconds_total counter\n\
            node_cpu_usage_seconds_total 12.5 1700000000123\n";
        let samples = parse(body.to_vec(), TEXT, TOLD).unwrap();
        assert_eq!(samples.len(), 1);
        let sample = samples.iter().next().unwrap();
        assert_eq!(sample.name, "node_cpu_usage_seconds_total");
        assert_eq!(sample.value, 12.5);
        assert_eq!(sample.timestamp_ms, Some(1_700_000_000_123));
    }

    #[test]
    fn refuses_what_is_no_answer() {
        for (id, body, expected) in [
            ("empty", &b""[..], "it holds no samples"),
            ("only comments", b"# a\n", "it holds no samples"),
            ("not UTF-8", b"a 1\n\xff\n", "byte 4 is not UTF-8"),
        ] {
            assert_eq!(parse(body.to_vec(), TEXT, TOLD).unwrap_err().to_string(), expected, "{id}");
        }
        let html = parse(b"<html><body>hello</body></html>\n".to_vec(), Some("text/html"), TOLD)
            .unwrap_err()
            .to_string();
        assert!(html.starts_with("line 1: "), "{html}");
        let late = parse(b"a 1\nb 2\nc oops\n".to_vec(), TEXT, TOLD).unwrap_err().to_string();
        assert!(late.starts_with("line 3: "), "{late}");
    }

    #[test]
    fn the_last_line_needs_no_end_where_the_body_has_one() {
        let parse = |framing| parse(b"a 1\nb 2".to_vec(), TEXT, framing);
        for told in [Framing::Length(7), Framing::Chunked] {
            assert_eq!(
                parse(told).unwrap().iter().map(|sample| sample.value).collect::<Vec<_>>(),
                [1.0, 2.0]
            );
        }
        let cut = parse(Framing::Close).unwrap_err().to_string();
        assert_eq!(cut, "it ends within a line, so it was cut off");
    }

    #[test]
    fn gzip_is_limited() {
        use std::io::Write as _;
        let pack = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(decode(pack(b"a 1\n"), Some("gzip")).unwrap(), b"a 1\n");
        assert_eq!(decode([pack(b"a 1\n"), pack(b"b 2\n")].concat(), Some("gzip")).unwrap(), b"a 1\nb 2\n");
        assert_eq!(decode(pack(&vec![b'a'; BODY_LIMIT_BYTES + 1]), Some("gzip")), Err(AnswerError::TooLarge));
        assert!(decode(vec![1, 2, 3], Some("gzip")).is_err());
        assert!(decode(vec![], Some("br")).is_err());
    }

    use proptest::prelude::*;

    /// Text that is nearly an answer.
    fn nearly() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("container_cpu_usage_seconds_total"),
            Just("{container=\"c\",namespace=\"n\",pod=\"p\"}"),
            Just("{pod=\"p\\\"\\n\\\\\",}"),
            Just("{"),
            Just("\""),
            Just("\\"),
            Just(" "),
            Just("1.5e+06"),
            Just("NaN"),
            Just("-Inf"),
            Just("9223372036854775807"),
            Just("-1"),
            Just("\r\n"),
            Just("\n"),
            Just("\n"),
            Just("# TYPE a counter\n"),
            Just("# EOF\n"),
            Just("é"),
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// Whatever comes: nothing panics, and what is read owns up to its labels.
        #[test]
        fn any_body(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in nearly()) {
            let _ = decode(bytes.clone(), Some("gzip"));
            let _ = parse(bytes, None, TOLD);
            for content_type in [None, Some("application/openmetrics-text; version=1.0.0")] {
                if let Ok(samples) = parse(text.clone().into_bytes(), content_type, TOLD) {
                    prop_assert!(samples.iter().all(|sample| sample.to_sample().is_ok()));
                }
            }
        }

        /// The same samples in any order of lines are the same samples.
        #[test]
        fn lines_in_any_order(values in proptest::collection::vec(0_u32..1000, 1..20), seed: u64) {
            let mut lines: Vec<String> =
                values.iter().enumerate().map(|(n, value)| format!("m{{n=\"{n}\"}} {value} 5\n")).collect();
            let sorted = |lines: &[String]| {
                let samples = parse(lines.concat().into_bytes(), None, TOLD).unwrap();
                let mut shown: Vec<String> = samples.iter().map(|sample| format!("{sample:?}")).collect();
                shown.sort();
                shown
            };
            let before = sorted(&lines);
            let count = lines.len() as u64;
            for at in 0..lines.len() {
                lines.swap(at, (seed.rotate_left(at as u32) % count) as usize);
            }
            prop_assert_eq!(sorted(&lines), before);
        }
    }
}
