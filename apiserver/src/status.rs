//! `v1.Status`: the body of every failure, with the texts of upstream's `apimachinery/pkg/api/errors`.
//!
//! Clients match on `code` and `reason`; people and tests match on `message`, so both are upstream's. The
//! order of fields is upstream's too.

use flyball_model::field_error::FieldError;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::body::full;
use crate::negotiation::{self, Encoding, Offer};
use crate::protobuf::{self, Message};
use crate::query::Query;
use crate::request::Response;

/// A Kubernetes `Status`. Build it with one of the constructors; write it with [`Status::to_response`] or
/// [`Responder::status`](crate::request::Responder::status).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    #[serde(default)]
    kind: StatusKind,
    #[serde(default)]
    api_version: StatusVersion,
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default)]
    status: Outcome,
    /// One sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// One word for programs, for example `NotFound`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What the status is about. Boxed, so that `Result<_, Status>` stays small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Details>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    code: u16,
}

/// Marks responses to requests for what the server does not have at all: no resource, no path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unserved;

/// Marks an answer as one about what the server may not have. For groups whose resources have names of others' choosing:
/// own metrics keep no names of an answer that is marked, so that nobody can fill them with invented ones.
#[must_use]
pub fn unserved(mut response: Response) -> Response {
    response.extensions_mut().insert(Unserved);
    response
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum StatusKind {
    #[default]
    Status,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum StatusVersion {
    #[default]
    #[serde(rename = "v1")]
    V1,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Outcome {
    Success,
    #[default]
    Failure,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ListMeta {}

/// `StatusDetails`: the object a status is about. Empty fields are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Its kind or, for most errors, its resource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its UID.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Single faults, for 422.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// Seconds after which a client may try again; 0 = nothing said.
    #[serde(skip_serializing_if = "is_zero_seconds")]
    pub retry_after_seconds: u32,
}

/// `StatusCause`: one fault inside an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// Fault class, for example `FieldValueInvalid`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What is wrong, without the field.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Path of the field.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

fn is_zero(code: &u16) -> bool {
    *code == 0
}

fn is_zero_seconds(seconds: &u32) -> bool {
    *seconds == 0
}

/// `resource.group`, or the resource alone for the core group, as Go's `GroupResource.String`.
pub(crate) fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

fn details(group: &str, kind: &str, name: &str) -> Details {
    Details { name: name.into(), group: group.into(), kind: kind.into(), ..Details::default() }
}

impl Status {
    /// A failure with this code, reason and message, without details.
    pub fn failure(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self {
            kind: StatusKind::Status,
            api_version: StatusVersion::V1,
            metadata: ListMeta {},
            status: Outcome::Failure,
            message: message.into(),
            reason: reason.into(),
            details: None,
            code,
        }
    }

    /// The answer to a successful deletion.
    pub fn success(group: &str, kind: &str, name: &str, uid: &str) -> Self {
        let details = Details { uid: uid.into(), ..details(group, kind, name) };
        Self { status: Outcome::Success, ..Self::failure(0, "", "") }.with_details(details)
    }

    /// Sets the details.
    pub fn with_details(mut self, details: Details) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// Whether this is a success.
    pub fn is_success(&self) -> bool {
        self.status == Outcome::Success
    }

    /// The HTTP code; 200 for a success.
    pub fn code(&self) -> u16 {
        if self.code == 0 { 200 } else { self.code }
    }

    /// 404: no such object. `group` is empty for the core group.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {name:?} not found", qualified(group, resource));
        Self::failure(404, "NotFound", message).with_details(details(group, resource, name))
    }

    /// 404: no such resource, version or sub-path.
    pub fn unknown_resource() -> Self {
        let message = "the server could not find the requested resource";
        Self::failure(404, "NotFound", message).with_details(Details::default())
    }

    /// 409: an object of that name exists.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", qualified(group, resource));
        Self::failure(409, "AlreadyExists", message).with_details(details(group, resource, name))
    }

    /// 409: the object changed meanwhile, or a precondition failed.
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} {name:?}: {why}", qualified(group, resource));
        Self::failure(409, "Conflict", message).with_details(details(group, resource, name))
    }

    /// 422: the object breaks validation rules; one cause per fault.
    pub fn invalid(group: &str, kind: &str, name: &str, faults: &[FieldError]) -> Self {
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let about = format!("{} {name:?} is invalid", qualified(group, kind));
        let message = match texts.as_slice() {
            [] => about,
            [one] => format!("{about}: {one}"),
            many => format!("{about}: [{}]", many.join(", ")),
        };
        let causes = faults.iter().zip(&texts).map(|(fault, text)| Cause {
            reason: fault.reason().to_string(),
            message: text.strip_prefix(&format!("{}: ", fault.path)).unwrap_or(text).to_owned(),
            field: fault.path.clone(),
        });
        let details = Details { causes: causes.collect(), ..details(group, kind, name) };
        Self::failure(422, "Invalid", message).with_details(details)
    }

    /// 403: `why` says who cannot do what (see [`Attributes::refusal`](crate::attributes::Attributes::refusal)).
    /// With an empty resource the request was for a path.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message = match (resource, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{} is forbidden: {why}", qualified(group, resource)),
            _ => format!("{} {name:?} is forbidden: {why}", qualified(group, resource)),
        };
        Self::failure(403, "Forbidden", message).with_details(details(group, resource, name))
    }

    /// 401: credentials are missing or wrong; says no more than that.
    pub fn unauthorized() -> Self {
        Self::failure(401, "Unauthorized", "Unauthorized")
    }

    /// 410 `Expired`: the resource version is too old to continue from.
    pub fn gone(message: impl Into<String>) -> Self {
        Self::failure(410, "Expired", message)
    }

    /// 400 with the parser's text.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", message)
    }

    /// 405 for a method the path does not have.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::failure(405, "MethodNotAllowed", message).with_details(Details::default())
    }

    /// 405 for a verb (for example `watch`) that the resource does not support.
    pub fn verb_not_supported(group: &str, resource: &str, verb: &str) -> Self {
        let kind = qualified(group, resource);
        Self::failure(
            405,
            "MethodNotAllowed",
            format!("{verb} is not supported on resources of kind {kind:?}"),
        )
        .with_details(details(group, resource, ""))
    }

    /// 406 for a view the endpoint does not have.
    pub fn not_acceptable(message: impl Into<String>) -> Self {
        Self::failure(406, "NotAcceptable", message)
    }

    /// 413 with the limit that was passed.
    pub fn too_large(limit_bytes: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit_bytes}");
        Self::failure(413, "RequestEntityTooLarge", message)
    }

    /// 415 listing what is accepted.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::failure(415, "UnsupportedMediaType", message)
    }

    /// 429: the client may try again after `retry_after_seconds`.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        let details = Details { retry_after_seconds, ..Details::default() };
        Self::failure(429, "TooManyRequests", message).with_details(details)
    }

    /// 500 with upstream's prefix.
    pub fn internal(error: impl std::fmt::Display) -> Self {
        let cause = Cause { message: error.to_string(), ..Cause::default() };
        let details = Details { causes: vec![cause], ..Details::default() };
        Self::failure(500, "InternalError", format!("Internal error occurred: {error}")).with_details(details)
    }

    /// 503 with the reason, for example "no node has been scraped twice yet".
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::failure(503, "ServiceUnavailable", message)
    }

    /// 504: the request took longer than the server allows.
    pub fn timeout(message: &str) -> Self {
        Self::failure(504, "Timeout", format!("Timeout: {message}")).with_details(Details::default())
    }

    /// Writes the status in the form the request's headers ask for. A client that accepts nothing we offer
    /// still gets the status, as indented JSON: the failure must not hide behind a 406.
    pub fn to_response(&self, headers: &HeaderMap, query: &Query) -> Response {
        let code = StatusCode::from_u16(self.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match negotiation::negotiate(headers, query, Offer::OBJECT.with_protobuf()) {
            Ok(accepted) if accepted.encoding == Encoding::Protobuf => {
                accepted.write_bytes(code, self.to_protobuf())
            }
            Ok(accepted) => accepted.write(code, self),
            Err(_) => self.raw_response(),
        };
        if self.code == 404 && *self == Self::unknown_resource() {
            response.extensions_mut().insert(Unserved);
        }
        self.set_headers(response.headers_mut());
        response
    }

    /// The status as a protobuf document.
    pub fn to_protobuf(&self) -> Vec<u8> {
        let outcome = match self.status {
            Outcome::Success => "Success",
            Outcome::Failure => "Failure",
        };
        let mut message = Message::new()
            .message(1, &protobuf::list_meta())
            .bytes(2, outcome)
            .bytes(3, &self.message)
            .bytes(4, &self.reason);
        if let Some(details) = &self.details {
            let causes = details.causes.iter().map(|cause| {
                Message::new().bytes(1, &cause.reason).bytes(2, &cause.message).bytes(3, &cause.field)
            });
            let details = Message::new()
                .bytes(1, &details.name)
                .bytes(2, &details.group)
                .bytes(3, &details.kind)
                .messages(4, causes)
                .int(5, details.retry_after_seconds.into())
                .bytes(6, &details.uid);
            message = message.message(5, &details);
        }
        protobuf::document("v1", "Status", &message.int(6, self.code.into()))
    }

    /// Writes the status as indented JSON, where no request is at hand.
    pub fn raw_response(&self) -> Response {
        let text = crate::encode::escaped_for_html(serde_json::to_vec_pretty(self).unwrap_or_default());
        let mut response = http::Response::new(full(text));
        *response.status_mut() =
            StatusCode::from_u16(self.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.set_headers(response.headers_mut());
        response
    }

    fn set_headers(&self, headers: &mut HeaderMap) {
        if self.code == 403 {
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        let seconds = self.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        if seconds > 0 {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests;
