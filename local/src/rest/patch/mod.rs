//! The three kinds of patch. Pure: an object and a patch in, the patched object or a refusal out.

mod merge_keys;
mod strategic;

use flyball_apiserver::status::Status;
use http::HeaderMap;
use serde_json::Value;

use crate::registry::errors;

/// Operations of one JSON patch; upstream's limit.
const MAX_JSON_PATCH_OPERATIONS: usize = 10_000;

/// Media types of the patches served, as discovery and error messages list them.
pub(crate) const MEDIA_TYPES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];

/// A patch whose kind is known.
pub(super) enum Patch {
    /// RFC 6902.
    Json(json_patch::Patch),
    /// RFC 7386.
    Merge(Value),
    /// Kubernetes' own: lists are merged by key.
    Strategic(Value),
}

impl Patch {
    /// Reads a patch. 415 for a media type that is not served, 400 for a body that is not such a patch.
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Status> {
        let media_type =
            headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let media_type = media_type.split(';').next().unwrap_or("").trim();
        match media_type {
            "application/json-patch+json" => {
                let patch: json_patch::Patch = serde_json::from_slice(body).map_err(malformed)?;
                if patch.0.len() > MAX_JSON_PATCH_OPERATIONS {
                    let message = format!(
                        "The allowed maximum operations in a JSON patch is {MAX_JSON_PATCH_OPERATIONS}, got {}",
                        patch.0.len()
                    );
                    return Err(Status::failure(413, "RequestEntityTooLarge", message));
                }
                Ok(Self::Json(patch))
            }
            "application/merge-patch+json" => {
                serde_json::from_slice(body).map_err(malformed).map(Self::Merge)
            }
            "application/strategic-merge-patch+json" => {
                serde_json::from_slice(body).map_err(malformed).map(Self::Strategic)
            }
            "application/apply-patch+yaml" => Err(Status::failure(
                415,
                "UnsupportedMediaType",
                "server-side apply is not served by this one-machine cluster: use kubectl apply without --server-side",
            )),
            _ => Err(Status::unsupported_media_type(&MEDIA_TYPES)),
        }
    }

    /// The patched object. `kind` decides how lists are merged.
    pub(super) fn apply(&self, kind: &str, object: &Value) -> Result<Value, Status> {
        let mut patched = object.clone();
        match self {
            Self::Json(patch) => json_patch::patch(&mut patched, patch).map_err(|error| {
                let message =
                    format!("the server rejected our request due to an error in our request: {error}");
                Status::failure(422, "Invalid", message)
            })?,
            Self::Merge(patch) => json_patch::merge(&mut patched, patch),
            Self::Strategic(patch) => {
                strategic::merge(kind, &mut patched, patch).map_err(errors::bad_request)?
            }
        }
        Ok(patched)
    }
}

fn malformed(error: serde_json::Error) -> Status {
    errors::bad_request(format!("error decoding patch: {error}"))
}
