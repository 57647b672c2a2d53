//! Parts that answer on a server's port beside its own group: their groups in its discovery, their handlers behind its
//! authentication, authorization and limits. So several parts are one process with one certificate and one port.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::watch;

use crate::attributes::Attributes;
use crate::authorization::{Authorizer, Decision};
use crate::discovery::Group;
use crate::request::{Handler, Request, Response};
use crate::user::User;

/// Another permission than the one that follows from the path; `None` where the path's own is right.
pub type Permission = fn(&Attributes) -> Option<Attributes>;

/// A part that answers beside others.
#[derive(Clone)]
pub struct Part {
    /// Its groups, for discovery, and whenever they change: see [`Part::fixed`] for those that do not.
    pub groups: watch::Receiver<Arc<Vec<Group>>>,
    /// Its OpenAPI documents, by their key in the index.
    pub documents: BTreeMap<String, Value>,
    /// The groups whose requests it gets, known resources or not; the empty name stands for paths of the core group.
    pub answers: Vec<String>,
    /// Its plain paths; a pattern ending in `*` stands for all paths it begins.
    pub paths: Vec<String>,
    /// Which of its requests are asked for under another permission.
    pub permission: Option<Permission>,
    /// What it answers.
    pub handler: Arc<dyn Handler>,
}

impl Part {
    /// Groups that never change.
    #[must_use]
    pub fn fixed(groups: Vec<Group>) -> watch::Receiver<Arc<Vec<Group>>> {
        watch::channel(Arc::new(groups)).1
    }

    fn wants(&self, request: &Request) -> bool {
        if request.attributes.resource_request {
            return self.answers.contains(&request.attributes.group);
        }
        self.paths.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => request.path().starts_with(prefix),
            None => request.path() == pattern,
        })
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part")
            .field("answers", &self.answers)
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

/// A handler, and the parts beside it. The first part that wants a request gets it.
pub struct Beside {
    /// The parts.
    pub parts: Vec<Part>,
    /// Gets what no part wants.
    pub own: Arc<dyn Handler>,
}

impl Handler for Beside {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        match self.parts.iter().find(|part| part.wants(&request)) {
            Some(part) => part.handler.handle(request),
            None => self.own.handle(request),
        }
    }
}

/// Asks for the permissions that the parts name.
pub struct AskedAs {
    permissions: Vec<Permission>,
    inner: Arc<dyn Authorizer>,
}

impl AskedAs {
    /// The permissions of these parts, decided by `inner`.
    pub fn new(parts: &[Part], inner: Arc<dyn Authorizer>) -> AskedAs {
        AskedAs { permissions: parts.iter().filter_map(|part| part.permission).collect(), inner }
    }
}

impl Authorizer for AskedAs {
    fn authorize<'a>(
        &'a self,
        user: &'a User,
        attributes: &'a Attributes,
    ) -> BoxFuture<'a, Result<Decision, String>> {
        let Some(asked) = self.permissions.iter().find_map(|permission| permission(attributes)) else {
            return self.inner.authorize(user, attributes);
        };
        Box::pin(async move {
            let decision = self.inner.authorize(user, &asked).await?;
            Ok(match decision {
                // The refusal names the path; what a role has to allow is something else.
                Decision::Deny { reason } => {
                    let needed = format!("it is asked for as: {}", asked.refusal(user));
                    let reasons = [needed, reason].into_iter().filter(|text| !text.is_empty());
                    Decision::Deny { reason: reasons.collect::<Vec<_>>().join("; ") }
                }
                allowed => allowed,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorization::AllowedPaths;
    use crate::body::{LimitedBody, full};

    struct Says(&'static str);

    impl Handler for Says {
        fn handle<'a>(&'a self, _: Request) -> BoxFuture<'a, Response> {
            Box::pin(std::future::ready(http::Response::builder().status(self.0).body(full("")).unwrap()))
        }
    }

    /// Allows one resource of one group.
    struct Only(&'static str);

    impl Authorizer for Only {
        fn authorize<'a>(
            &'a self,
            _: &'a User,
            attributes: &'a Attributes,
        ) -> BoxFuture<'a, Result<Decision, String>> {
            let same = attributes.group == self.0 && attributes.resource_request;
            let decision = if same { Decision::Allow } else { Decision::deny() };
            Box::pin(std::future::ready(Ok(decision)))
        }
    }

    fn part() -> Part {
        Part {
            groups: Part::fixed(Vec::new()),
            documents: BTreeMap::new(),
            answers: vec!["other.example".to_owned()],
            paths: vec!["/other/*".to_owned()],
            permission: Some(|attributes| {
                let door = attributes.path.starts_with("/other/");
                door.then(|| Attributes::resource("get", "other.example", "things", "", ""))
            }),
            handler: Arc::new(Says("202")),
        }
    }

    #[tokio::test]
    async fn requests_go_to_whom_they_are_for() {
        let beside = Beside { parts: vec![part()], own: Arc::new(Says("200")) };
        for (path, expected) in [
            ("/apis/other.example/v1/things", 202),
            ("/apis/own.example/v1/things", 200),
            ("/other/x", 202),
            ("/otherwise", 200),
        ] {
            let (parts, ()) = http::Request::builder().uri(path).body(()).unwrap().into_parts();
            let request = Request::new(parts, User::default(), LimitedBody::from_bytes(""));
            assert_eq!(beside.handle(request).await.status(), expected, "{path}");
        }
    }

    #[tokio::test]
    async fn a_part_is_asked_for_under_its_own_permission() {
        let user = User::new("u", ["g"]);
        let asked = AskedAs::new(&[part()], Arc::new(Only("other.example")));
        let decide = |path: &'static str| {
            let (asked, user) = (&asked, &user);
            async move { asked.authorize(user, &Attributes::path("get", path)).await.unwrap() }
        };
        assert_eq!(decide("/other/x").await, Decision::Allow);
        assert_eq!(decide("/metrics").await, Decision::deny());
        let refusing = AskedAs::new(&[part()], Arc::new(Only("nobody.example")));
        let Decision::Deny { reason } =
            refusing.authorize(&user, &Attributes::path("get", "/other/x")).await.unwrap()
        else {
            panic!("allowed")
        };
        assert!(reason.contains(r#"get resource "things" in API group "other.example""#), "{reason}");
        assert!(!AllowedPaths::default().allow(&Attributes::path("get", "/other/x")));
    }
}
