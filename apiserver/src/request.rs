//! The request a handler gets, and the handler.

use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::attributes::{self, Attributes};
use crate::body::{Body, LimitedBody};
use crate::negotiation::{self, Accepted, Offer};
use crate::query::Query;
use crate::status::Status;
use crate::user::User;

/// The response of a handler.
pub type Response = http::Response<Body>;

/// A request that passed authentication, impersonation and authorization. Identity headers and
/// `Authorization` are gone from `parts.headers`: who asks is `user` alone.
#[derive(Debug)]
pub struct Request {
    /// Method, URI, headers and extensions (the peer's `SocketAddr` is among the extensions).
    pub parts: http::request::Parts,
    /// Who asks, after impersonation.
    pub user: User,
    /// The body, limited to the server's `body_limit_bytes`.
    pub body: LimitedBody,
    /// What is asked for, as the authorizer saw it. Route requests for resources by this and not by the path, so
    /// that what is answered is what was authorized.
    pub attributes: Attributes,
}

impl Request {
    /// Builds a request; the attributes follow from method, path and query.
    pub fn new(parts: http::request::Parts, user: User, body: LimitedBody) -> Self {
        let query = Query::parse(parts.uri.query().unwrap_or(""));
        let attributes = attributes::of(&parts.method, parts.uri.path(), &query);
        Self { parts, user, body, attributes }
    }

    /// The method.
    pub fn method(&self) -> &http::Method {
        &self.parts.method
    }

    /// The path as it was sent (still percent-encoded).
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// The decoded query.
    pub fn query(&self) -> Query {
        Query::parse(self.parts.uri.query().unwrap_or(""))
    }

    /// What remains needed to answer once the body is taken.
    pub fn respond(&self) -> Responder {
        Responder { headers: self.parts.headers.clone(), query: self.query() }
    }
}

/// Writes objects and errors in the form the client asked for. Cheap to keep beside a consumed request.
#[derive(Clone, Debug)]
pub struct Responder {
    headers: http::HeaderMap,
    query: Query,
}

impl Responder {
    /// Builds a responder from the parts that decide the form.
    pub fn new(headers: http::HeaderMap, query: Query) -> Self {
        Self { headers, query }
    }

    /// Chooses among the offered forms.
    ///
    /// # Errors
    /// 406 when the client accepts none of them.
    pub fn negotiate(&self, offer: Offer) -> Result<Accepted, Status> {
        negotiation::negotiate(&self.headers, &self.query, offer)
    }

    /// Answers with an object and no views (JSON or YAML).
    pub fn object<T: Serialize>(&self, code: http::StatusCode, object: &T) -> Response {
        match self.negotiate(Offer::OBJECT) {
            Ok(accepted) => accepted.write(code, object),
            Err(status) => self.status(&status),
        }
    }

    /// Answers with a failure (or a success without an object).
    pub fn status(&self, status: &Status) -> Response {
        status.to_response(&self.headers, &self.query)
    }
}

/// Answers requests. Implementations must not block the thread. The future is dropped when the client goes away or
/// the request's time is over, so work that has to finish belongs into a task of its own.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. A panic becomes a 500 and does not reach other requests.
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response>;
}

impl<H: Handler + ?Sized> Handler for std::sync::Arc<H> {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        (**self).handle(request)
    }
}
