//! Whether a user may do what a request asks for.

use futures_util::future::BoxFuture;

use crate::attributes::Attributes;
use crate::user::{AUTHENTICATED, MASTERS, User};

/// What an authorizer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Allow,
    /// 403; the reason, possibly empty, is shown to the client.
    Deny {
        /// For example RBAC's explanation.
        reason: String,
    },
}

impl Decision {
    /// A refusal without a reason.
    pub fn deny() -> Self {
        Self::Deny { reason: String::new() }
    }
}

/// Decides about requests.
pub trait Authorizer: Send + Sync + 'static {
    /// `Err`: nobody could decide; the request gets a 500 with this text.
    fn authorize<'a>(
        &'a self,
        user: &'a User,
        attributes: &'a Attributes,
    ) -> BoxFuture<'a, Result<Decision, String>>;
}

/// Paths anybody may get unless told otherwise: the probes.
pub const ALWAYS_ALLOW_PATHS: [&str; 3] = ["/healthz", "/readyz", "/livez"];

/// Patterns of paths that need no permission: a path, or a prefix followed by `*`. A leading slash is optional,
/// as upstream's flag takes them.
#[derive(Clone, Debug)]
pub struct AllowedPaths(Vec<String>);

impl AllowedPaths {
    /// Reads the patterns of `--authorization-always-allow-paths`.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        let trimmed = patterns.into_iter().map(|pattern| pattern.trim_start_matches('/').to_owned());
        Self(trimmed.collect())
    }

    /// Whether the request is for such a path. Requests for resources never are.
    pub fn allow(&self, attributes: &Attributes) -> bool {
        let path = attributes.path.trim_start_matches('/');
        !attributes.resource_request
            && self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => path == pattern,
            })
    }
}

impl Default for AllowedPaths {
    fn default() -> Self {
        Self::new(ALWAYS_ALLOW_PATHS)
    }
}

/// Whether the request reads discovery or OpenAPI, which the built-in role `system:discovery` opens to every
/// authenticated user. Answering that here keeps discovery alive while the cluster's API server is slow: a
/// group whose discovery hangs breaks discovery for every client of the cluster.
pub(crate) fn is_open_discovery(user: &User, attributes: &Attributes) -> bool {
    const EXACT: [&str; 5] = ["/api", "/apis", "/openapi", "/version", "/version/"];
    const PREFIX: [&str; 3] = ["/api/", "/apis/", "/openapi/"];
    let path = attributes.path.as_str();
    user.is_in(AUTHENTICATED)
        && !attributes.resource_request
        && attributes.verb == "get"
        && (EXACT.contains(&path) || PREFIX.iter().any(|prefix| path.starts_with(prefix)))
}

/// Every authenticated identity is an administrator; anonymous requests reach the probes only. For a cluster
/// with a single owner.
#[derive(Clone, Debug, Default)]
pub struct DenyAnonymous {
    /// Paths open to all.
    pub always_allow: AllowedPaths,
}

impl Authorizer for DenyAnonymous {
    fn authorize<'a>(
        &'a self,
        user: &'a User,
        attributes: &'a Attributes,
    ) -> BoxFuture<'a, Result<Decision, String>> {
        let allowed = !user.is_anonymous() || self.always_allow.allow(attributes);
        Box::pin(std::future::ready(Ok(if allowed { Decision::Allow } else { Decision::deny() })))
    }
}

/// Whether upstream lets the user through without asking.
pub(crate) fn is_master(user: &User) -> bool {
    user.is_in(MASTERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_paths_are_exact_or_prefixes() {
        let paths = AllowedPaths::new(["/healthz", "metrics", "/debug/*"]);
        for (path, expected) in [
            ("/healthz", true),
            ("/healthz/ping", false),
            ("/metrics", true),
            ("/debug/x", true),
            ("/debug", false),
            ("/", false),
        ] {
            assert_eq!(paths.allow(&Attributes::path("get", path)), expected, "{path}");
        }
        let everything = AllowedPaths::new(["*"]);
        assert!(!everything.allow(&Attributes::resource("get", "", "pods", "", "")));
    }

    #[test]
    fn discovery_is_open_to_authenticated_users_only() {
        let known = User::new("u", [AUTHENTICATED]);
        for (verb, path, expected) in [
            ("get", "/apis", true),
            ("get", "/apis/metrics.k8s.io/v1", true),
            ("get", "/openapi/v3", true),
            ("get", "/version", true),
            ("get", "/metrics", false),
            ("get", "/apisx", false),
            ("post", "/apis", false),
        ] {
            let attributes = Attributes::path(verb, path);
            assert_eq!(is_open_discovery(&known, &attributes), expected, "{verb} {path}");
            assert!(!is_open_discovery(&User::anonymous(), &attributes));
        }
        let resource =
            Attributes { path: "/apis/g/v/r".into(), ..Attributes::resource("get", "g", "r", "", "") };
        assert!(!is_open_discovery(&known, &resource));
    }
}
