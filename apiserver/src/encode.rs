//! Writing an object in the negotiated form.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::body::full;
use crate::negotiation::{Accepted, Encoding};
use crate::request::Response;
use crate::status::Status;

/// Bodies above this size are compressed for clients that take gzip (upstream's `defaultGzipThresholdBytes`).
pub const GZIP_THRESHOLD_BYTES: usize = 128 * 1024;

impl Accepted {
    /// Encodes an object: JSON ends with a newline unless it is indented, as Go's encoder leaves it.
    ///
    /// # Errors
    /// 500 naming what the serializer said.
    pub fn encode<T: Serialize>(&self, object: &T) -> Result<Vec<u8>, Status> {
        match self.encoding {
            Encoding::Json if self.pretty => {
                serde_json::to_vec_pretty(object).map(escaped_for_html).map_err(Status::internal)
            }
            Encoding::Json => {
                let mut bytes = escaped_for_html(serde_json::to_vec(object).map_err(Status::internal)?);
                bytes.push(b'\n');
                Ok(bytes)
            }
            Encoding::Yaml => {
                let value = serde_json::to_value(object).map_err(Status::internal)?;
                Ok(crate::yaml::write(&value).into_bytes())
            }
            Encoding::Protobuf => Err(Status::internal("the object has no protobuf form")),
        }
    }

    /// The response that carries an object.
    pub fn write<T: Serialize>(&self, code: StatusCode, object: &T) -> Response {
        match self.encode(object) {
            Ok(bytes) => self.write_bytes(code, bytes),
            Err(status) => status.raw_response(),
        }
    }

    /// The response that carries bytes already in the negotiated encoding. Compression runs on the calling
    /// thread, about 4 ms per MiB at level 1.
    pub fn write_bytes(&self, code: StatusCode, bytes: impl Into<Bytes>) -> Response {
        let bytes = bytes.into();
        let mut response = http::Response::new(full(Bytes::new()));
        *response.status_mut() = code;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.encoding.media_type()));
        let compressed = self.gzip && bytes.len() > GZIP_THRESHOLD_BYTES;
        if compressed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        *response.body_mut() = full(if compressed { gzip(&bytes) } else { bytes });
        response
    }
}

/// Go escapes what means something to HTML; outside of texts these characters do not occur in JSON.
pub fn escaped_for_html(json: Vec<u8>) -> Vec<u8> {
    let special = |byte: &u8| matches!(byte, b'<' | b'>' | b'&');
    if !json.iter().any(special) {
        return json;
    }
    let mut out = Vec::with_capacity(json.len() + 64);
    for byte in json {
        match byte {
            b'<' => out.extend_from_slice(b"\\u003c"),
            b'>' => out.extend_from_slice(b"\\u003e"),
            b'&' => out.extend_from_slice(b"\\u0026"),
            other => out.push(other),
        }
    }
    out
}

/// Gzip at level 1. Writing into memory cannot fail, so a failure can only be a bug of the encoder.
pub fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::new(1));
    let finished = encoder.write_all(bytes).and_then(|()| encoder.finish());
    debug_assert!(finished.is_ok(), "gzip into memory failed");
    finished.unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::negotiation::View;
    use http_body_util::BodyExt;

    fn accepted(gzip: bool) -> Accepted {
        Accepted { encoding: Encoding::Json, view: View::Object, pretty: false, gzip }
    }

    #[tokio::test]
    async fn only_bodies_above_the_threshold_are_compressed() {
        for (size, takes_gzip, compressed) in [
            (GZIP_THRESHOLD_BYTES, true, false),
            (GZIP_THRESHOLD_BYTES + 1, true, true),
            (GZIP_THRESHOLD_BYTES + 1, false, false),
        ] {
            let response = accepted(takes_gzip).write_bytes(StatusCode::OK, vec![b'x'; size]);
            assert_eq!(response.headers().contains_key(header::CONTENT_ENCODING), compressed, "{size}");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.len() < size, compressed, "{size}");
        }
    }

    #[test]
    fn the_three_texts() {
        let object = serde_json::json!({"a": [1]});
        let json = accepted(false);
        assert_eq!(json.encode(&object).unwrap(), b"{\"a\":[1]}\n");
        let html = serde_json::json!("<a & b>");
        assert_eq!(json.encode(&html).unwrap(), b"\"\\u003ca \\u0026 b\\u003e\"\n");
        let pretty = Accepted { pretty: true, ..json };
        assert_eq!(pretty.encode(&object).unwrap(), b"{\n  \"a\": [\n    1\n  ]\n}");
        let yaml = Accepted { encoding: Encoding::Yaml, ..json };
        let text = String::from_utf8(yaml.encode(&object).unwrap()).unwrap();
        let back: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!((back, text.ends_with('\n')), (object, true), "{text}");
    }
}
