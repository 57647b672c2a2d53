//! The refusals of the registry as Kubernetes Status values, in upstream's words.

use flyball_apiserver::status::{Cause, Details, Status};
use flyball_model::field_error::FieldError;

use super::kinds::Resource;

/// `404`: `deployments.apps "x" not found`.
pub fn not_found(resource: &Resource, name: &str) -> Status {
    Status::not_found(resource.group, resource.plural, name)
}

/// `409`: `deployments.apps "x" already exists`.
pub fn already_exists(resource: &Resource, name: &str) -> Status {
    Status::already_exists(resource.group, resource.plural, name)
}

/// `409`: the object changed under the writer.
pub fn stale(resource: &Resource, name: &str) -> Status {
    conflict(
        resource,
        name,
        "the object has been modified; please apply your changes to the latest version and try again",
    )
}

/// `409` with `Operation cannot be fulfilled on … "x": reason`.
pub fn conflict(resource: &Resource, name: &str, reason: &str) -> Status {
    Status::conflict(resource.group, resource.plural, name, reason)
}

/// `422` with one cause per field error.
pub fn invalid(resource: &Resource, name: &str, errors: Vec<FieldError>) -> Status {
    Status::invalid(resource.group, resource.kind, name, &errors)
}

/// `403`: `deployments.apps "x" is forbidden: reason`.
pub fn forbidden(resource: &Resource, name: &str, reason: &str) -> Status {
    Status::forbidden(resource.group, resource.plural, name, reason)
}

/// `400` with a message of our own.
pub fn bad_request(message: impl Into<String>) -> Status {
    Status::bad_request(message.into())
}

/// `410`: the versions asked for are no longer remembered.
pub fn expired(message: impl Into<String>) -> Status {
    Status::gone(message.into())
}

/// `504`: a version that no change has made yet; clients list anew on the cause.
pub fn from_the_future(version: u64, now: u64) -> Status {
    let cause = Cause {
        reason: "ResourceVersionTooLarge".to_owned(),
        message: "Too large resource version".to_owned(),
        ..Cause::default()
    };
    let details = Details { causes: vec![cause], retry_after_seconds: 1, ..Details::default() };
    let message = format!("Too large resource version: {version}, current: {now}");
    Status::failure(504, "Timeout", message).with_details(details)
}

/// `409`: the name is taken by an object on its way out.
pub fn being_deleted(resource: &Resource, name: &str) -> Status {
    let mut status = already_exists(resource, name);
    status.message = format!("object is being deleted: {}", status.message);
    status
}

/// `507`: the disk does not take the write. What was accepted before stays in memory and is written once it can be.
pub fn storage(message: &str) -> Status {
    Status::failure(507, "InsufficientStorage", message.to_owned())
}
