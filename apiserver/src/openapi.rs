//! OpenAPI documents: the v3 index with hashes, the documents behind it, and a v2 derived from them.
//!
//! v2 also comes as protobuf, the only form kubectl asks for when v3 does not know a kind. That form has no schemas:
//! kubectl then validates nothing itself and goes on to say that there is no such kind.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value, json};

mod common;
mod swagger;

pub use common::{common_documents, discovery_schemas, resource_list_operation, unresolved};

use crate::body::{empty, full};
use crate::discovery::hash;
use crate::negotiation::{Offer, accepts, negotiate};
use crate::query::Query;
use crate::request::Response;
use crate::status::Status;

/// The documents of a server. Made once; answering copies bytes.
#[derive(Debug)]
pub struct OpenApi {
    index: Document,
    documents: BTreeMap<String, Document>,
    v2: Document,
    v2_protobuf: Document,
}

/// The media type a client asks for v2 as protobuf with.
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/// The one it is answered with: upstream's differs in one character, as `@` is no part of a media type.
const V2_PROTOBUF_ANSWER: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

#[derive(Debug)]
struct Document {
    bytes: Bytes,
    hash: String,
    content_type: &'static str,
}

impl Document {
    fn of(value: &Value) -> Self {
        Self::new(value.to_string().into_bytes(), "application/json")
    }

    fn new(bytes: Vec<u8>, content_type: &'static str) -> Self {
        Self { hash: hash(&bytes), bytes: bytes.into(), content_type }
    }

    fn respond(&self, headers: &HeaderMap) -> Response {
        let etag =
            HeaderValue::from_str(&format!("\"{}\"", self.hash)).unwrap_or(HeaderValue::from_static("\"\""));
        let same = headers.get(header::IF_NONE_MATCH) == Some(&etag);
        let mut response = http::Response::new(if same { empty() } else { full(self.bytes.clone()) });
        *response.status_mut() = if same { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        let to = response.headers_mut();
        to.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        to.insert(header::ETAG, etag);
        to.insert(header::VARY, HeaderValue::from_static("Accept-Encoding, Accept"));
        response
    }
}

impl OpenApi {
    /// `documents` maps keys such as `apis/metrics.k8s.io/v1` to OpenAPI 3.0 documents.
    pub fn new(title: &str, documents: BTreeMap<String, Value>) -> Self {
        debug_assert_eq!(unresolved(&documents), [""; 0], "{title}");
        let v2 = Document::of(&swagger::swagger(title, documents.values()));
        let documents: BTreeMap<String, Document> =
            documents.iter().map(|(key, value)| (key.clone(), Document::of(value))).collect();
        let paths: Map<String, Value> = documents
            .iter()
            .map(|(key, document)| {
                let url = format!("/openapi/v3/{key}?hash={}", document.hash);
                (key.clone(), json!({ "serverRelativeURL": url }))
            })
            .collect();
        let v2_protobuf = Document::new(protobuf_without_schemas(title), V2_PROTOBUF_ANSWER);
        Self { index: Document::of(&json!({ "paths": paths })), documents, v2, v2_protobuf }
    }

    /// Paths for the index.
    pub fn paths(&self) -> Vec<String> {
        vec!["/openapi/v2".into(), "/openapi/v3".into(), "/openapi/v3/".into()]
    }

    /// The answer if the path is below `/openapi/`, else `None`. An unknown document is 404, where upstream
    /// answers 200 with nothing.
    pub fn respond(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        query: &Query,
    ) -> Option<Response> {
        let path = path.strip_prefix("/openapi/")?.trim_end_matches('/');
        let refuse = |status: Status| Some(status.to_response(headers, query));
        if !matches!(*method, Method::GET | Method::HEAD) {
            return refuse(Status::method_not_allowed());
        }
        if let Err(status) = negotiate(headers, query, Offer::OBJECT) {
            let protobuf = path == "v2" && accepts(headers, V2_PROTOBUF);
            return if protobuf { Some(self.v2_protobuf.respond(headers)) } else { refuse(status) };
        }
        match path {
            "v2" => Some(self.v2.respond(headers)),
            "v3" => Some(self.index.respond(headers)),
            other => match other.strip_prefix("v3/").and_then(|key| Some((key, self.documents.get(key)?))) {
                Some((key, document)) => Some(versioned(key, document, headers, query)),
                None => refuse(Status::unknown_resource()),
            },
        }
    }
}

/// A document asked for with its hash may be kept for ever; with an old hash the client is sent to the new one.
fn versioned(key: &str, document: &Document, headers: &HeaderMap, query: &Query) -> Response {
    let Some(wanted) = query.first("hash").filter(|wanted| !wanted.is_empty()) else {
        return document.respond(headers);
    };
    if wanted == document.hash {
        let mut response = document.respond(headers);
        let forever = HeaderValue::from_static("public, immutable, max-age=31536000");
        response.headers_mut().insert(header::CACHE_CONTROL, forever);
        return response;
    }
    let mut response = http::Response::new(empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let url = format!("/openapi/v3/{key}?hash={}", document.hash);
    if let Ok(location) = HeaderValue::from_str(&url) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// A Swagger 2 document in gnostic's protobuf (`openapi.v2.Document`: 1 = swagger, 2 = info with 1 = title and
/// 2 = version), with no paths and no schemas.
fn protobuf_without_schemas(title: &str) -> Vec<u8> {
    let info = [field(1, title.as_bytes()), field(2, env!("CARGO_PKG_VERSION").as_bytes())].concat();
    [field(1, b"2.0"), field(2, &info)].concat()
}

/// A length-delimited protobuf field.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    const LENGTH_DELIMITED: u8 = 2;
    let mut out = vec![number << 3 | LENGTH_DELIMITED];
    let mut length = bytes.len();
    while length > 0x7f {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn sample() -> OpenApi {
        let document = json!({"openapi": "3.0.0", "components": {"schemas": {
            "b": {"$ref": "#/components/schemas/a"}, "a": {"type": "string"}}}});
        OpenApi::new("test", BTreeMap::from([("apis/g/v1".to_owned(), document)]))
    }

    async fn get(target: &str, etag: Option<&str>) -> (Response, Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = HeaderMap::new();
        if let Some(etag) = etag {
            headers.insert(header::IF_NONE_MATCH, etag.parse().unwrap());
        }
        let response = sample().respond(&Method::GET, path, &headers, &Query::parse(query)).unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let value = serde_json::from_slice(&bytes).unwrap_or_default();
        (http::Response::from_parts(parts, empty()), value)
    }

    #[tokio::test]
    async fn the_index_leads_to_documents_that_may_be_kept() {
        let (index, body) = get("/openapi/v3", None).await;
        let url = body["paths"]["apis/g/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
        let (document, body) = get(&url, None).await;
        assert_eq!(body["openapi"], "3.0.0");
        assert!(document.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        let etag = index.headers()[header::ETAG].to_str().unwrap();
        assert_eq!(get("/openapi/v3", Some(etag)).await.0.status(), 304);
        let (moved, _) = get("/openapi/v3/apis/g/v1?hash=OLD", None).await;
        assert_eq!(
            (moved.status().as_u16(), moved.headers()[header::LOCATION].to_str().unwrap()),
            (301, url.as_str())
        );
        assert_eq!(get("/openapi/v3/apis/other/v1", None).await.0.status(), 404);
    }

    #[tokio::test]
    async fn version_2_has_the_same_schemas() {
        let (_, body) = get("/openapi/v2", None).await;
        assert_eq!(body["swagger"], "2.0");
        assert_eq!(body["definitions"]["b"]["$ref"], "#/definitions/a");
    }

    #[tokio::test]
    async fn version_2_as_protobuf_is_for_those_who_take_nothing_else() {
        for (accept, status, content_type) in [
            (V2_PROTOBUF, 200, V2_PROTOBUF_ANSWER),
            ("application/com.github.proto-openapi.spec.v2@v1.0+protobuf, */*", 200, "application/json"),
            ("application/x-unheard-of", 406, "application/json"),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            let response =
                sample().respond(&Method::GET, "/openapi/v2", &headers, &Query::default()).unwrap();
            assert_eq!(response.status(), status, "{accept}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], content_type, "{accept}");
        }
    }

    #[test]
    fn the_protobuf_document_says_version_and_title() {
        let title = "t".repeat(200);
        let bytes = protobuf_without_schemas(&title);
        let version = env!("CARGO_PKG_VERSION");
        let info_length = 1 + 2 + 200 + 2 + version.len();
        let mut expected = b"\x0a\x032.0\x12".to_vec();
        expected.extend([(info_length as u8) | 0x80, 1, 0x0a, 200 | 0x80, 1]);
        expected.extend(title.bytes());
        expected.extend([0x12, version.len() as u8]);
        expected.extend(version.bytes());
        assert_eq!(bytes, expected);
    }
}
