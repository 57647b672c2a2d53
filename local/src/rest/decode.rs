//! Bodies of requests: from bytes to an object that fits its kind, with what the client should be told about it.

use bytes::Bytes;
use flyball_apiserver::query::Query;
use flyball_apiserver::status::Status;
use flyball_model::field_error::FieldError;
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

use super::protobuf;
use super::served::Served;
use crate::registry::rules::quantities;
use crate::registry::{errors, strict};

/// What happens to fields nobody knows (`?fieldValidation=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

impl FieldValidation {
    /// Warn is upstream's default.
    pub(super) fn of(query: &Query) -> Result<Self, Status> {
        match query.first("fieldValidation").unwrap_or("") {
            "Ignore" => Ok(Self::Ignore),
            "" | "Warn" => Ok(Self::Warn),
            "Strict" => Ok(Self::Strict),
            other => Err(errors::bad_request(format!(
                "fieldValidation: Unsupported value: {other:?}: supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }
}

/// Whether the request asks to change nothing (`?dryRun=All`); `options` is the kind of its options.
pub(super) fn dry_run(query: &Query, options: &str) -> Result<bool, Status> {
    let mut values = query.all("dryRun").filter(|value| !value.is_empty());
    match values.next() {
        None => Ok(false),
        Some("All") => Ok(true),
        Some(other) => {
            let fault = FieldError::not_supported("dryRun", other, &["All"]);
            Err(Status::invalid("meta.k8s.io", options, "", &[fault]))
        }
    }
}

/// Parses a body by its media type: JSON, YAML or protobuf.
pub(super) fn parse(headers: &HeaderMap, body: &Bytes) -> Result<Value, Status> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    match media_type.split(';').next().unwrap_or("").trim() {
        "" | "application/json" | "*/*" => serde_json::from_slice(body)
            .map_err(|error| errors::bad_request(format!("the body is not JSON: {error}"))),
        "application/yaml" => {
            let text = std::str::from_utf8(body).unwrap_or("");
            serde_saphyr::from_str(text)
                .map_err(|error| errors::bad_request(format!("the body is not YAML: {error}")))
        }
        protobuf::MEDIA_TYPE => protobuf::decode(body)
            .map_err(|error| errors::bad_request(format!("the body is not Kubernetes protobuf: {error}"))),
        _ => Err(Status::unsupported_media_type(&[
            "application/json",
            "application/yaml",
            protobuf::MEDIA_TYPE,
        ])),
    }
}

/// Checks that an object is of the served kind and version and fits its type. Returns the warnings for the client.
pub(super) fn check(
    served: &Served,
    object: &mut Value,
    validation: FieldValidation,
) -> Result<Vec<String>, Status> {
    let kind = served.resource.kind;
    let version = served.version;
    let (given_kind, given_version) = (text(object, "kind"), text(object, "apiVersion"));
    if (!given_kind.is_empty() && given_kind != kind)
        || (!given_version.is_empty() && given_version != served.api_version())
    {
        let message = format!(
            "{given_kind} in version \"{given_version}\" cannot be handled as a {kind}: the object provided is \
             unrecognized (must be of type {kind} in {})",
            served.api_version()
        );
        return Err(errors::bad_request(message));
    }
    quantities::canonical(served.resource, object);
    let refuse = |why: String| {
        errors::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
    };
    let unknown = strict::check(served.group, version, kind, object).map_err(refuse)?;
    report(unknown, validation).map_err(refuse)
}

/// Unknown fields as an error or as warnings, as the client chose.
pub(super) fn report(unknown: Vec<String>, validation: FieldValidation) -> Result<Vec<String>, String> {
    let texts: Vec<String> = unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect();
    match validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Warn => Ok(texts),
        FieldValidation::Strict if texts.is_empty() => Ok(texts),
        FieldValidation::Strict => Err(format!("strict decoding error: {}", texts.join(", "))),
    }
}

/// Adds `Warning` headers (RFC 7234, code 299), which kubectl prints.
pub(super) fn warn(headers: &mut HeaderMap, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            headers.append(header::WARNING, value);
        }
    }
}

fn text<'a>(object: &'a Value, member: &str) -> &'a str {
    object.get(member).and_then(Value::as_str).unwrap_or("")
}
