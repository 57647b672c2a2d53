//! The paths every server has: index, discovery, OpenAPI, version, probes and own metrics, in front of a handler
//! for the rest.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode, header};
use serde::Serialize;

use crate::body::full;
use crate::discovery::Discovery;
use crate::live::Live;
use crate::negotiation::{Offer, check_type};
use crate::openapi::OpenApi;
use crate::own_metrics::OwnMetrics;
use crate::probes::Probes;
use crate::request::{Handler, Request, Response};
use crate::status::{Status, Unserved};

/// What `/version` says. Kubectl parses `gitVersion` and the two numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionInfo {
    /// Major version of the API the server speaks like.
    pub major: String,
    /// Minor version.
    pub minor: String,
    emulation_major: String,
    emulation_minor: String,
    min_compatibility_major: String,
    min_compatibility_minor: String,
    /// For example `v1.34.0-flyball.0.1.0`.
    pub git_version: String,
    /// Commit of the build; empty if unknown.
    pub git_commit: String,
    git_tree_state: String,
    /// RFC 3339 time of the build; upstream's zero time if unknown.
    pub build_date: String,
    go_version: String,
    compiler: String,
    platform: String,
}

impl VersionInfo {
    /// A version `v<major>.<minor>.0-flyball.<our version>`.
    pub fn new(major: u32, minor: u32, commit: &str) -> Self {
        let (major, minor) = (major.to_string(), minor.to_string());
        Self {
            emulation_major: major.clone(),
            emulation_minor: minor.clone(),
            min_compatibility_major: major.clone(),
            min_compatibility_minor: minor.clone(),
            git_version: format!("v{major}.{minor}.0-flyball.{}", env!("CARGO_PKG_VERSION")),
            git_commit: commit.to_owned(),
            git_tree_state: String::new(),
            build_date: "1970-01-01T00:00:00Z".to_owned(),
            go_version: "none".to_owned(),
            compiler: "rustc".to_owned(),
            platform: format!("{}/{}", std::env::consts::OS, go_architecture()),
            major,
            minor,
        }
    }
}

fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The common paths, and `inner` for everything else.
///
/// `inner` gets every request for a resource, known or not (it answers [`Status::unknown_resource`] itself), and
/// the plain paths listed in `inner_paths`. Any other path is answered with 404: below a served group with the Status of an
/// unknown resource, else with the index.
pub struct Standard {
    /// Discovery, replaceable while running.
    pub discovery: Arc<Live<Discovery>>,
    /// OpenAPI documents, replaceable while running.
    pub openapi: Arc<Live<OpenApi>>,
    /// `/version`.
    pub version: VersionInfo,
    /// `/healthz`, `/livez`, `/readyz`.
    pub probes: Probes,
    /// `/metrics`.
    pub metrics: OwnMetrics,
    /// Plain paths of `inner`; a pattern ending in `*` stands for all paths it begins.
    pub inner_paths: Vec<String>,
    /// Groups whose resources `inner` answers for, known or not. A path of another group is one that does not exist.
    /// `None`: all groups.
    pub inner_groups: Option<Vec<String>>,
    /// The server's own resources and paths.
    pub inner: Arc<dyn Handler>,
}

impl Standard {
    fn common(&self, request: &Request) -> Option<Response> {
        let (method, path, headers) = (request.method(), request.path(), &request.parts.headers);
        let query = request.query();
        if request.attributes.resource_request {
            let group = &request.attributes.group;
            let ours = self.inner_groups.as_ref().is_none_or(|groups| groups.contains(group));
            return (!ours).then(|| self.index(StatusCode::NOT_FOUND));
        }
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let found = self.discovery.get().respond(method, path, headers, &query);
        let found = found.or_else(|| self.openapi.get().respond(method, path, headers, &query));
        let plain = || match path.trim_end_matches('/') {
            "" => Some(self.index(StatusCode::OK)),
            "/version" => Some(self.version(request)),
            "/metrics" => Some(self.metrics.respond(headers)),
            _ => self.probes.respond(path, &query),
        };
        match found.or_else(plain) {
            Some(_) if !reads => Some(Status::method_not_allowed().to_response(headers, &query)),
            Some(response) => Some(response),
            None if self.is_inner(path) => None,
            // A version that is not served is unknown as a resource is.
            None if self.discovery.get().is_below_a_group(path) => {
                Some(Status::unknown_resource().to_response(headers, &query))
            }
            None => Some(self.index(StatusCode::NOT_FOUND)),
        }
    }

    fn version(&self, request: &Request) -> Response {
        let respond = request.respond();
        match (request.method(), check_type(&request.parts.headers, Offer::JSON_ONLY)) {
            (&Method::GET, Ok(())) => raw_json(StatusCode::OK, &self.version),
            (&Method::GET, Err(refusal)) => respond.status(&refusal),
            _ => respond.status(&Status::method_not_allowed()),
        }
    }

    fn is_inner(&self, path: &str) -> bool {
        self.inner_paths.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == pattern,
        })
    }

    /// The sorted list of paths: the answer to `/`, and the body of a 404 for an unknown path.
    fn index(&self, code: StatusCode) -> Response {
        #[derive(Serialize)]
        struct Paths {
            paths: Vec<String>,
        }
        let mut paths = self.discovery.get().paths();
        paths.extend(self.openapi.get().paths());
        paths.extend(self.probes.paths());
        paths.extend(["/metrics".to_owned(), "/version".to_owned()]);
        paths.extend(self.inner_paths.iter().map(|pattern| pattern.trim_end_matches('*').to_owned()));
        paths.sort_unstable();
        paths.dedup();
        let mut response = raw_json(code, &Paths { paths });
        if code == StatusCode::NOT_FOUND {
            response.extensions_mut().insert(Unserved);
        }
        response
    }
}

/// Indented JSON whatever the client accepts, as upstream writes these bodies.
fn raw_json<T: Serialize>(code: StatusCode, object: &T) -> Response {
    let mut response = http::Response::new(full(serde_json::to_vec_pretty(object).unwrap_or_default()));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl Handler for Standard {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        match self.common(&request) {
            Some(response) => Box::pin(std::future::ready(response)),
            None => self.inner.handle(request),
        }
    }
}

impl std::fmt::Debug for Standard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Standard").field("inner_paths", &self.inner_paths).finish_non_exhaustive()
    }
}
