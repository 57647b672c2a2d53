//! What a request passes between the socket and the handler.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::Shared;
use super::tracked::{Activity, Mark, Tracked};
use super::unread::Unread;
use crate::attributes::{self, Attributes};
use crate::authentication::{PeerCertificates, impersonation};
use crate::authorization::{Decision, is_master};
use crate::body::{LimitedBody, empty, full};
use crate::query::Query;
use crate::request::{Request, Response};
use crate::status::{Status, Unserved};
use crate::user::User;

/// What all requests of a connection share.
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    pub(super) certificates: PeerCertificates,
    /// When the client's own certificate ends, in seconds since 1970.
    pub(super) certificate_ends_seconds: Option<i64>,
    pub(super) http2: bool,
    pub(super) activity: Arc<Activity>,
}

impl Connection {
    #[allow(clippy::disallowed_methods, reason = "certificates end by the clock")]
    fn certificate_remains_seconds(&self) -> Option<f64> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(self.certificate_ends_seconds? as f64 - now.as_secs_f64())
    }
}

static AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// Answers one request; never fails and never panics.
pub(super) async fn answer(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    request: http::Request<Incoming>,
) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query().unwrap_or(""));
    let attributes = attributes::of(&parts.method, parts.uri.path(), &query);
    let audit_id = audit_id(&parts.headers);
    let (original_headers, is_head) = (parts.headers.clone(), parts.method == Method::HEAD);
    let long_running = attributes.is_long_running();
    let limits = &shared.server.limits;
    let mark = connection.activity.begin((!long_running).then(|| started + limits.request + limits.send));
    let body = LimitedBody::new(Unread::new(body), shared.server.limits.body_bytes);

    let work = pass(&shared, &connection, &attributes, Request::new(parts, User::default(), body), &mark);
    let work = AssertUnwindSafe(work).catch_unwind();
    let outcome = if long_running {
        Some(work.await)
    } else {
        tokio::time::timeout(shared.server.limits.request, work).await.ok()
    };
    let mut served = false;
    let mut response = match outcome {
        Some(Ok(Ok(response))) => {
            served = response.extensions().get::<Unserved>().is_none();
            response
        }
        Some(Ok(Err(refusal))) => refusal.into_response(&original_headers, &query),
        Some(Err(panic)) => {
            tracing::error!(path = attributes.path, panic = panic_text(&panic), "handler panicked");
            Status::internal("the handler panicked").to_response(&original_headers, &query)
        }
        None => Status::timeout("request did not complete within the allotted timeout")
            .to_response(&original_headers, &query),
    };

    let headers = response.headers_mut();
    headers.entry(&AUDIT_ID).or_insert(audit_id);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
    let size = shared.server.metrics.answered(&attributes, served, response.status(), started.elapsed());
    if is_head {
        response = without_body(response);
    }
    let ends = long_running.then(|| shared.shutdown.clone());
    response.map(|body| Tracked::new(body, mark, size, ends).boxed_unsync())
}

/// How a request can end before the handler.
enum Refusal {
    /// A `Status` in the negotiated encoding.
    Status(Status),
    /// The same, of the filter that upstream has say `nosniff`.
    Impersonation(Status),
    /// Plain text, where upstream writes plain text.
    Text(StatusCode, String),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl Refusal {
    fn into_response(self, headers: &http::HeaderMap, query: &Query) -> Response {
        match self {
            Self::Status(status) => status.to_response(headers, query),
            Self::Impersonation(status) => {
                let mut response = status.to_response(headers, query);
                let nosniff = HeaderValue::from_static("nosniff");
                response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
                response
            }
            Self::Text(code, text) => plain(code, &text),
        }
    }
}

/// Plain text as Go's `http.Error` writes it.
pub(crate) fn plain(code: StatusCode, text: &str) -> Response {
    let mut response = http::Response::new(full(format!("{text}\n")));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if code == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

async fn pass(
    shared: &Shared,
    connection: &Connection,
    attributes: &Attributes,
    mut request: Request,
    mark: &Mark,
) -> Result<Response, Refusal> {
    let server = &shared.server;
    let headers = &mut request.parts.headers;
    let authenticators = server.authenticators.get();
    let began = Instant::now();
    let identified = authenticators.authenticate(headers, &connection.certificates).await;
    let (callers, took) = (&server.metrics.callers, began.elapsed());
    match &identified {
        Ok(user) => callers.authenticated(&user.name, connection.certificate_remains_seconds(), took),
        Err(refused) => callers.not_authenticated(!refused.0.is_empty(), took),
    }
    if connection.http2 && !identified.as_ref().is_ok_and(|user| !user.is_anonymous()) {
        // An unknown client gets one request per HTTP/2 connection: rapid stream resets cost it a handshake each.
        connection.activity.close.cancel();
    }
    let user = identified.map_err(|refused| {
        tracing::debug!(peer = %connection.peer, reasons = ?refused.0, "not authenticated");
        Status::unauthorized()
    })?;
    let user = impersonation::apply(user, headers, server.authorizer.as_ref()).await;
    let user = user.map_err(Refusal::Impersonation)?;
    if let Some(permit) = in_flight(shared, &user, attributes)? {
        mark.hold(permit);
    }
    authorize(shared, &user, attributes, &request.parts.uri).await?;
    request.user = user;
    request.parts.extensions.insert(connection.peer);
    Ok(server.handler.handle(request).await)
}

/// A place in the in-flight limit; long-running requests and `system:masters` need none.
fn in_flight(
    shared: &Shared,
    user: &User,
    attributes: &Attributes,
) -> Result<Option<tokio::sync::OwnedSemaphorePermit>, Refusal> {
    if attributes.is_long_running() || is_master(user) {
        return Ok(None);
    }
    let places = if attributes.is_read_only() { &shared.reads } else { &shared.writes };
    match places.clone().try_acquire_owned() {
        Ok(permit) => Ok(Some(permit)),
        Err(_) => {
            let text = "Too many requests, please try again later.".to_owned();
            Err(Refusal::Text(StatusCode::TOO_MANY_REQUESTS, text))
        }
    }
}

async fn authorize(
    shared: &Shared,
    user: &User,
    attributes: &Attributes,
    uri: &http::Uri,
) -> Result<(), Refusal> {
    let began = Instant::now();
    let decision = shared.server.authorizer.authorize(user, attributes).await;
    shared.server.metrics.callers.authorized(&decision, began.elapsed());
    match decision {
        Ok(Decision::Allow) => Ok(()),
        Ok(Decision::Deny { reason }) => Err(impersonation::refused(user, attributes, &reason).into()),
        Err(error) => {
            let target = uri.path_and_query().map_or("/", |target| target.as_str());
            tracing::warn!(user = user.name, path = target, error, "authorization call failed");
            let text = format!("Internal Server Error: {target:?}: {error}");
            Err(Refusal::Text(StatusCode::INTERNAL_SERVER_ERROR, text))
        }
    }
}

/// The client's audit id, else a new one.
fn audit_id(headers: &http::HeaderMap) -> HeaderValue {
    let given = headers.get(&AUDIT_ID).filter(|value| !value.is_empty()).cloned();
    given.unwrap_or_else(|| {
        HeaderValue::from_str(&crate::random::uuid()).unwrap_or(HeaderValue::from_static("-"))
    })
}

fn without_body(mut response: Response) -> Response {
    if let Some(bytes) = response.body().size_hint().exact() {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    response.map(|_| empty())
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}
