//! Requests to the API server. One module per kind of request; texts of failures are those users know from upstream.

mod checkpoints;
mod custom_metrics;
mod discovery;
mod events;
mod resource_metrics;
mod scale;
mod status;

pub(crate) use checkpoints::Checkpoints;
pub(crate) use custom_metrics::CustomMetrics;
pub(crate) use discovery::{Discovery, Mapping};
pub(crate) use events::{Events, Subject};
pub(crate) use resource_metrics::{Answer, ResourceMetrics, Sample};
pub(crate) use scale::{ScaleObject, Scales};
pub(crate) use status::Statuses;

use crate::error::ApiError;
use http::{Method, Request};
use kube::Client;
use serde_json::Value;
use std::time::Duration;

/// One request may take this long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Name under which writes appear in `managedFields`.
const FIELD_MANAGER: &str = "flyball-hpa";

/// Body of a write.
enum Payload<'a> {
    None,
    Json(&'a Value),
    MergePatch(&'a Value),
}

/// The client, with time-outs and plain errors.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
}

impl Api {
    pub(crate) fn new(client: Client) -> Self {
        Api { client }
    }

    async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.send(Method::GET, path, Payload::None).await
    }

    async fn put(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.send(Method::PUT, &with_manager(path), Payload::Json(body)).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.send(Method::POST, &with_manager(path), Payload::Json(body)).await
    }

    async fn merge_patch(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.send(Method::PATCH, &with_manager(path), Payload::MergePatch(body)).await
    }

    async fn send(&self, method: Method, path: &str, payload: Payload<'_>) -> Result<Value, ApiError> {
        let (content_type, body) = match payload {
            Payload::None => (None, Vec::new()),
            Payload::Json(value) => (Some("application/json"), value.to_string().into_bytes()),
            Payload::MergePatch(value) => {
                (Some("application/merge-patch+json"), value.to_string().into_bytes())
            }
        };
        let mut request = Request::builder().method(method).uri(path).header("accept", "application/json");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let request = request.body(body).map_err(|error| ApiError { code: 0, message: error.to_string() })?;
        match tokio::time::timeout(REQUEST_TIMEOUT, self.client.request::<Value>(request)).await {
            Ok(answer) => answer.map_err(plain_error),
            Err(_) => Err(ApiError {
                code: 0,
                message: format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()),
            }),
        }
    }
}

fn with_manager(path: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}fieldManager={FIELD_MANAGER}")
}

fn plain_error(error: kube::Error) -> ApiError {
    match error {
        kube::Error::Api(status) => ApiError { code: status.code, message: status.message.clone() },
        other => ApiError { code: 0, message: other.to_string() },
    }
}

/// What client-go says when the server's answer carries no message of its own.
fn generic_message(error: ApiError, verb: &str, resource: &str) -> ApiError {
    let is_plain = error.message.is_empty() || error.message.contains("404 page not found");
    let message = match error.code {
        404 if is_plain => format!("the server could not find the requested resource ({verb} {resource})"),
        503 if is_plain => {
            format!("the server is currently unable to handle the request ({verb} {resource})")
        }
        _ => return error,
    };
    ApiError { message, ..error }
}

/// Percent-encodes a path segment or a query value.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~*".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn query_values_are_encoded() {
        assert_eq!(super::encode("app in (a,b),x=y"), "app%20in%20%28a%2Cb%29%2Cx%3Dy");
    }
}
