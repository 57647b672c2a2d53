//! Body bytes to samples. Pure.

use std::io::Read as _;

use flate2::read::GzDecoder;
use flyball_model::exposition::{Event, Format, Reader};
use flyball_model::sample::Sample;

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
    match encoding.unwrap_or("identity") {
        "identity" | "" => Ok(body),
        "gzip" => gunzip(&body),
        other => Err(AnswerError::Unreadable(format!("unknown content encoding {other:?}"))),
    }
}

fn gunzip(body: &[u8]) -> Result<Vec<u8>, AnswerError> {
    let mut text = Vec::new();
    let limit = BODY_LIMIT_BYTES as u64 + 1;
    let read = GzDecoder::new(body).take(limit).read_to_end(&mut text);
    read.map_err(|error| AnswerError::Unreadable(format!("broken gzip: {error}")))?;
    if text.len() > BODY_LIMIT_BYTES { Err(AnswerError::TooLarge) } else { Ok(text) }
}

/// Reads all samples. The body is taken whole or not at all.
pub fn parse(body: &[u8], content_type: Option<&str>) -> Result<Vec<Sample>, AnswerError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| AnswerError::Unreadable(format!("byte {} is not UTF-8", error.valid_up_to())))?;
    let format = content_type.and_then(Format::from_content_type).unwrap_or(Format::Text004);
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(AnswerError::Unreadable("it ends within a line, so it was cut off".to_owned()));
    }
    let mut samples = Vec::new();
    for event in Reader::new(text, format) {
        if let Event::Sample(sample) = event.map_err(|error| unreadable(error.line, &error.reason))? {
            let owned = sample.to_owned();
            samples.push(owned.map_err(|error| AnswerError::Unreadable(error.to_string()))?);
        }
    }
    if samples.is_empty() {
        return Err(AnswerError::Unreadable("it holds no samples".to_owned()));
    }
    Ok(samples)
}

fn unreadable(line: usize, reason: &impl std::fmt::Display) -> AnswerError {
    AnswerError::Unreadable(format!("line {line}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Option<&str> = Some("text/plain; version=0.0.4; charset=utf-8");

    #[test]
    fn parses_what_a_kubelet_says() {
        let body = b"# HELP node_cpu_usage_seconds_total x\n# TYPE node_cpu_usage_seconds_total counter\n\
            node_cpu_usage_seconds_total 12.5 1700000000123\n";
        let samples = parse(body, TEXT).unwrap();
        assert_eq!(samples.len(), 1);
        assert_eq!(samples[0].name, "node_cpu_usage_seconds_total");
        assert_eq!(samples[0].value, 12.5);
        assert_eq!(samples[0].timestamp_ms, Some(1_700_000_000_123));
    }

    #[test]
    fn refuses_what_is_no_answer() {
        for (id, body, expected) in [
            ("empty", &b""[..], "it holds no samples"),
            ("only comments", b"# a\n", "it holds no samples"),
            ("cut off", b"a 1\nb 2", "it ends within a line, so it was cut off"),
            ("not UTF-8", b"a 1\n\xff\n", "byte 4 is not UTF-8"),
        ] {
            assert_eq!(parse(body, TEXT).unwrap_err().to_string(), expected, "{id}");
        }
        let html = parse(b"<html><body>hello</body></html>\n", Some("text/html")).unwrap_err().to_string();
        assert!(html.starts_with("line 1: "), "{html}");
        let late = parse(b"a 1\nb 2\nc oops\n", TEXT).unwrap_err().to_string();
        assert!(late.starts_with("line 3: "), "{late}");
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
        assert_eq!(decode(pack(&vec![b'a'; BODY_LIMIT_BYTES + 1]), Some("gzip")), Err(AnswerError::TooLarge));
        assert!(decode(vec![1, 2, 3], Some("gzip")).is_err());
        assert!(decode(vec![], Some("br")).is_err());
    }
}
