//! What the server serves, told to clients in both forms: group by group, and aggregated.
//!
//! All documents are written once from descriptors; answering copies bytes. Discovery never waits for data, locks
//! held across waits, or other servers: a group whose discovery hangs breaks discovery for the whole cluster.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use sha2::{Digest, Sha512};

use crate::body::{empty, full};
use crate::negotiation::{Accepted, Encoding, Offer, View, negotiate};
use crate::query::Query;
use crate::request::Response;
use crate::status::Status;

mod describe;
mod documents;

pub use describe::{Group, Resource, Subresource, Version};

use documents::{ApiGroup, ApiGroupList, ApiResourceList, ApiVersions, DiscoveryList, ToProtobuf};

/// Content type of the aggregated form in JSON; clients compare it as text.
pub const AGGREGATED_CONTENT_TYPE: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const AGGREGATED_YAML: &str = "application/yaml;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const AGGREGATED_PROTOBUF: &str =
    "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The discovery documents of a set of groups.
#[derive(Debug)]
pub struct Discovery {
    legacy: Option<(Document, Aggregated)>,
    groups: (Document, Aggregated),
    by_path: BTreeMap<String, Document>,
}

/// An object in all encodings.
#[derive(Debug)]
struct Document {
    json: Bytes,
    pretty: Bytes,
    yaml: Bytes,
    protobuf: Bytes,
}

impl Document {
    fn of<T: ToProtobuf>(object: &T) -> Self {
        let accepted = Accepted { encoding: Encoding::Json, view: View::Object, pretty: false, gzip: false };
        let text = |accepted: Accepted| {
            let encoded = accepted.encode(object);
            debug_assert!(encoded.is_ok(), "discovery documents are plain data");
            Bytes::from(encoded.unwrap_or_default())
        };
        Self {
            json: text(accepted),
            pretty: text(Accepted { pretty: true, ..accepted }),
            yaml: text(Accepted { encoding: Encoding::Yaml, ..accepted }),
            protobuf: object.to_protobuf().into(),
        }
    }

    fn bytes(&self, accepted: &Accepted) -> Bytes {
        match (accepted.encoding, accepted.pretty) {
            (Encoding::Yaml, _) => self.yaml.clone(),
            (Encoding::Protobuf, _) => self.protobuf.clone(),
            (Encoding::Json, true) => self.pretty.clone(),
            (Encoding::Json, false) => self.json.clone(),
        }
    }

    fn respond(&self, headers: &HeaderMap, query: &Query, offer: Offer) -> Response {
        match negotiate(headers, query, offer) {
            Ok(accepted) => accepted.write_bytes(StatusCode::OK, self.bytes(&accepted)),
            Err(status) => status.to_response(headers, query),
        }
    }
}

/// The aggregated form of `/api` or `/apis`, with its tag, which is that of its JSON in every encoding.
#[derive(Debug)]
struct Aggregated {
    document: Document,
    etag: HeaderValue,
}

impl Aggregated {
    fn of(list: &DiscoveryList) -> Self {
        let json = serde_json::to_vec(list).unwrap_or_default();
        let etag = HeaderValue::from_str(&quoted_hash(&json)).unwrap_or(HeaderValue::from_static("\"\""));
        Self { document: Document::of(list), etag }
    }

    fn respond(&self, headers: &HeaderMap, accepted: &Accepted) -> Response {
        let same = headers.get(header::IF_NONE_MATCH) == Some(&self.etag);
        let body = if same { empty() } else { full(self.document.bytes(accepted)) };
        let mut response = http::Response::new(body);
        *response.status_mut() = if same { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        let content_type = match accepted.encoding {
            Encoding::Json => AGGREGATED_CONTENT_TYPE,
            Encoding::Yaml => AGGREGATED_YAML,
            Encoding::Protobuf => AGGREGATED_PROTOBUF,
        };
        let to = response.headers_mut();
        to.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        to.insert(header::ETAG, self.etag.clone());
        to.insert(header::VARY, HeaderValue::from_static("Accept"));
        to.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        response
    }
}

/// Upper-case hexadecimal SHA-512 of a document.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha512::digest(bytes).iter().map(|byte| format!("{byte:02X}")).collect()
}

fn quoted_hash(bytes: &[u8]) -> String {
    format!("\"{}\"", hash(bytes))
}

impl Discovery {
    /// Writes the documents. The core group is the one with an empty name; without it `/api` does not exist.
    /// `server_address` is the `host:port` (host may be empty) under which clients reach the server.
    pub fn new(groups: &[Group], server_address: &str) -> Self {
        let named: Vec<&Group> = groups.iter().filter(|group| !group.name.is_empty()).collect();
        let core = groups.iter().find(|group| group.name.is_empty());
        let mut by_path = BTreeMap::new();
        for group in &named {
            by_path.insert(format!("/apis/{}", group.name), Document::of(&ApiGroup::top_level(group)));
        }
        for group in groups {
            for version in &group.versions {
                let list = ApiResourceList::of(group, version);
                by_path.insert(format!("/{}", group.path(version)), Document::of(&list));
            }
        }
        Self {
            legacy: core.map(|core| {
                let versions = Document::of(&ApiVersions::of(core, server_address));
                (versions, Aggregated::of(&DiscoveryList::of(&[core])))
            }),
            groups: (
                Document::of(&ApiGroupList::of(&named, server_address)),
                Aggregated::of(&DiscoveryList::of(&named)),
            ),
            by_path,
        }
    }

    /// Paths of all documents, for the index.
    pub fn paths(&self) -> Vec<String> {
        let roots = self.legacy.iter().map(|_| "/api").chain(["/apis"]).map(str::to_owned);
        roots.chain(self.by_path.keys().cloned()).collect()
    }

    /// Whether a path is below that of a group that is served.
    pub fn is_below_a_group(&self, path: &str) -> bool {
        let group = path.strip_prefix("/apis/").and_then(|rest| rest.split_once('/'));
        group.is_some_and(|(group, _)| self.by_path.contains_key(&format!("/apis/{group}")))
    }

    /// The answer if the path is one of discovery's, else `None`. A trailing slash is accepted.
    pub fn respond(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        query: &Query,
    ) -> Option<Response> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let document = match path {
            "/api" => Found::Root(self.legacy.as_ref()?),
            "/apis" => Found::Root(&self.groups),
            other => Found::Single(self.by_path.get(other)?),
        };
        if *method != Method::GET {
            return Some(Status::method_not_allowed().to_response(headers, query));
        }
        Some(match document {
            Found::Single(document) => document.respond(headers, query, Offer::SINGLE_DISCOVERY),
            Found::Root((document, aggregated)) => {
                let mut response = match negotiate(headers, query, Offer::DISCOVERY) {
                    Ok(accepted) if accepted.view == View::AggregatedDiscovery => {
                        return Some(aggregated.respond(headers, &accepted));
                    }
                    _ => document.respond(headers, query, Offer::SINGLE_DISCOVERY),
                };
                response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
                response
            }
        })
    }
}

enum Found<'a> {
    Root(&'a (Document, Aggregated)),
    Single(&'a Document),
}

#[cfg(test)]
mod tests;
