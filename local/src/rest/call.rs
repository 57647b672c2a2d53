//! One request for a kind this server stores, taken apart.

use flyball_apiserver::Attributes;
use flyball_apiserver::body::{BODY_LIMIT_BYTES, LimitedBody};
use flyball_apiserver::query::Query;
use flyball_apiserver::request::{Request, Responder};
use flyball_apiserver::status::Status;
use http::HeaderMap;

use super::served::Served;

/// What the handlers of objects need of a request.
pub(super) struct Call {
    pub(super) served: Served,
    pub(super) attributes: Attributes,
    pub(super) query: Query,
    pub(super) headers: HeaderMap,
    pub(super) responder: Responder,
    body: LimitedBody,
}

impl Call {
    pub(super) fn new(request: Request, served: Served) -> Self {
        Self {
            served,
            query: request.query(),
            responder: request.respond(),
            attributes: request.attributes,
            headers: request.parts.headers,
            body: request.body,
        }
    }

    /// The namespace objects are stored under: empty for cluster-scoped kinds.
    pub(super) fn namespace(&self) -> &str {
        if self.served.resource.namespaced { &self.attributes.namespace } else { "" }
    }

    /// The namespace a list is limited to, `None` for all.
    pub(super) fn scope(&self) -> Option<&str> {
        Some(self.namespace()).filter(|namespace| !namespace.is_empty())
    }

    pub(super) fn name(&self) -> &str {
        &self.attributes.name
    }

    /// The body, taken out of the call.
    pub(super) async fn body(&mut self) -> Result<bytes::Bytes, Status> {
        let body = std::mem::replace(&mut self.body, LimitedBody::from_bytes(bytes::Bytes::new()));
        body.collect(BODY_LIMIT_BYTES).await
    }
}
