//! Requests to the API server. One module per kind of request; texts of failures are those users know from upstream.

mod access;
mod checkpoints;
mod custom_metrics;
mod discovery;
mod events;
mod leases;
mod probe;
mod resource_metrics;
mod scale;
mod status;
mod transport;

pub(crate) use access::Access;
pub(crate) use checkpoints::Checkpoints;
pub(crate) use custom_metrics::{CustomMetrics, PodValue, Question, Values};
pub(crate) use discovery::{Discovery, Mapping};
pub(crate) use events::{About, Events, Subject};
pub(crate) use leases::{Leases, record_of, sighting, with_record};
pub(crate) use probe::{PROBE_NAME, ProbeHpas};
pub(crate) use resource_metrics::{Answer, EMPTY, ResourceMetrics, unable};
pub(crate) use scale::{ScaleObject, Scales};
pub(crate) use status::Statuses;
pub(crate) use transport::Api;

use crate::error::ApiError;

/// Name under which writes appear in `managedFields`.
pub(crate) const FIELD_MANAGER: &str = "flyball-hpa";

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
