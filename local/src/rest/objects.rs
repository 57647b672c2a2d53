//! Reading, creating, changing and deleting objects over HTTP.

use std::sync::Arc;

use flyball_apiserver::request::Response;
use flyball_apiserver::status::Status;
use flyball_model::field_error::FieldError;
use http::StatusCode;
use serde_json::{Map, Value};

use super::call::Call;
use super::decode::{self, FieldValidation};
use super::options;
use super::output::Output;
use super::paging::Page;
use super::patch::Patch;
use super::selectors::Selection;
use crate::registry::{DeleteOptions, Part, Propagation, Registry, errors, json, kinds, strict};

pub(super) fn get(registry: &Registry, call: &Call) -> Result<Response, Status> {
    let output = Output::of(&call.responder, &call.query, call.served)?;
    let object = registry.get(call.served.resource, call.namespace(), call.name());
    let object = object.ok_or_else(|| errors::not_found(call.served.resource, call.name()))?;
    output.object(StatusCode::OK, &object)
}

pub(super) fn list(registry: &Registry, call: &Call) -> Result<Response, Status> {
    let output = Output::of(&call.responder, &call.query, call.served)?;
    let selection = Selection::of(call.served.resource, &call.query)?;
    let page = Page::of(&call.query)?;
    let listing = registry.list(call.served.resource, call.scope());
    options::check_list(&call.query, listing.resource_version)?;
    let mut items = listing.items;
    if !selection.is_everything() {
        items.retain(|object| selection.matches(object));
    }
    let mut metadata = Map::new();
    let items = page.cut(items, listing.resource_version, selection.is_everything(), &mut metadata);
    output.list(&metadata, &items)
}

pub(super) async fn create(registry: &Registry, mut call: Call) -> Result<Response, Status> {
    let output = Output::of(&call.responder, &call.query, call.served)?;
    let validation = FieldValidation::of(&call.query)?;
    let dry_run = decode::dry_run(&call.query, "CreateOptions")?;
    let body = call.body().await?;
    let mut object = decode::parse(&call.headers, &body)?;
    let warnings = decode::check(&call.served, &mut object, validation)?;
    let object = call.served.store(object)?;
    let created = registry.create_with(call.served.resource, call.namespace(), object, dry_run)?;
    registry.durable().await?;
    let mut response = output.object(StatusCode::CREATED, &created)?;
    decode::warn(response.headers_mut(), &warnings);
    Ok(response)
}

pub(super) async fn update(registry: &Registry, mut call: Call, part: Part) -> Result<Response, Status> {
    let output = Output::of(&call.responder, &call.query, call.served)?;
    let validation = FieldValidation::of(&call.query)?;
    let dry_run = decode::dry_run(&call.query, "UpdateOptions")?;
    let body = call.body().await?;
    let mut object = decode::parse(&call.headers, &body)?;
    let warnings = decode::check(&call.served, &mut object, validation)?;
    let object = call.served.store(object)?;
    let (resource, namespace, name) = (call.served.resource, call.namespace(), call.name());
    let updated = registry.try_modify(resource, namespace, name, part, dry_run, move |_| Ok(object))?;
    registry.durable().await?;
    let mut response = output.object(StatusCode::OK, &updated)?;
    decode::warn(response.headers_mut(), &warnings);
    Ok(response)
}

pub(super) async fn patch(registry: &Registry, mut call: Call, part: Part) -> Result<Response, Status> {
    let output = Output::of(&call.responder, &call.query, call.served)?;
    let validation = FieldValidation::of(&call.query)?;
    let dry_run = decode::dry_run(&call.query, "PatchOptions")?;
    let body = call.body().await?;
    let patch = Patch::read(&call.headers, &body)?;
    let served = call.served;
    let mut warnings = Vec::new();
    let (resource, namespace, name) = (served.resource, call.namespace(), call.name());
    let patched = registry.try_modify(resource, namespace, name, part, dry_run, |old| {
        let shown = served.show(old)?;
        let mut new = patch.apply(resource.kind, &shown)?;
        warnings = check_patched(&call, &shown, &mut new, validation)?;
        served.store(new)
    })?;
    registry.durable().await?;
    let mut response = output.object(StatusCode::OK, &patched)?;
    decode::warn(response.headers_mut(), &warnings);
    Ok(response)
}

/// Only fields this patch brought in are held against it: the stored object may know more than we do.
fn check_patched(
    call: &Call,
    old: &Value,
    new: &mut Value,
    validation: FieldValidation,
) -> Result<Vec<String>, Status> {
    let (served, kind) = (call.served, call.served.resource.kind);
    // A patch cannot turn an object into another kind; clients that try get the object's own.
    let map = json::object(new);
    map.insert("apiVersion".into(), served.api_version().into());
    map.insert("kind".into(), kind.into());
    let mut unknown = decode::check(&served, new, FieldValidation::Warn)?;
    if unknown.is_empty() {
        return Ok(unknown);
    }
    let known = strict::check(served.group, served.version, kind, old).unwrap_or_default();
    let known: Vec<String> = known.iter().map(|path| format!("unknown field \"{path}\"")).collect();
    unknown.retain(|warning| !known.contains(warning));
    match validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Strict if !unknown.is_empty() => Err(errors::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {kind}: strict decoding error: {}",
            served.version,
            unknown.join(", ")
        ))),
        _ => Ok(unknown),
    }
}

pub(super) async fn delete(registry: &Registry, mut call: Call) -> Result<Response, Status> {
    let output = Output::of(&call.responder, &call.query, call.served)?;
    let options = delete_options(&mut call).await?;
    let resource = call.served.resource;
    let deleted = registry.delete_with(resource, call.namespace(), call.name(), &options)?;
    registry.durable().await?;
    if !deleted.removed || resource == &kinds::PODS {
        return output.object(StatusCode::OK, &deleted.object);
    }
    let uid = json::uid(&deleted.object);
    Ok(call.responder.status(&Status::success(resource.group, resource.plural, call.name(), uid)))
}

pub(super) async fn delete_collection(registry: &Registry, mut call: Call) -> Result<Response, Status> {
    let output = Output::of(&call.responder, &call.query, call.served)?;
    let options = delete_options(&mut call).await?;
    let resource = call.served.resource;
    let selection = Selection::of(resource, &call.query)?;
    let mut deleted: Vec<Arc<Value>> = Vec::new();
    for object in registry.list(resource, call.scope()).items {
        if !selection.matches(&object) {
            continue;
        }
        match registry.delete_with(resource, json::namespace(&object), json::name(&object), &options) {
            Ok(outcome) => deleted.push(outcome.object),
            // Gone meanwhile is what was asked for.
            Err(status) if status.code() == 404 => {}
            Err(status) => return Err(status),
        }
    }
    registry.durable().await?;
    let mut metadata = Map::new();
    metadata.insert("resourceVersion".into(), registry.resource_version().to_string().into());
    output.list(&metadata, &deleted)
}

/// Options come in the body, in the query, or both; the body wins.
async fn delete_options(call: &mut Call) -> Result<DeleteOptions, Status> {
    let body = call.body().await?;
    let given = if body.is_empty() { Value::Null } else { decode::parse(&call.headers, &body)? };
    let query = &call.query;
    let number = |text: &str| {
        text.parse::<i64>()
            .map_err(|_| errors::bad_request(format!("gracePeriodSeconds: {text:?} is not a number")))
    };
    let from_query =
        query.first("gracePeriodSeconds").filter(|text| !text.is_empty()).map(number).transpose()?;
    let policy = match json::text(&given, "/propagationPolicy") {
        "" => query.first("propagationPolicy").unwrap_or(""),
        policy => policy,
    };
    let orphan_given = given.get("orphanDependents").is_some() || query.has("orphanDependents");
    if orphan_given && !policy.is_empty() {
        let detail = "orphanDependents and deletionPropagation cannot be both set";
        let fault = FieldError::invalid("propagationPolicy", policy, detail);
        return Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", &[fault]));
    }
    let orphan =
        given.get("orphanDependents").and_then(Value::as_bool).unwrap_or(query.flag("orphanDependents"));
    let text = |pointer: &str| Some(json::text(&given, pointer).to_owned()).filter(|text| !text.is_empty());
    let dry_run_in_body = !json::items(&given, "/dryRun").is_empty();
    Ok(DeleteOptions {
        grace_seconds: json::int(&given, "/gracePeriodSeconds").or(from_query),
        propagation: propagation(policy, orphan)?,
        uid: text("/preconditions/uid"),
        resource_version: text("/preconditions/resourceVersion"),
        dry_run: decode::dry_run(query, "DeleteOptions")? || dry_run_in_body,
    })
}

fn propagation(policy: &str, orphan: bool) -> Result<Propagation, Status> {
    match policy {
        "" if orphan => Ok(Propagation::Orphan),
        "" | "Background" => Ok(Propagation::Background),
        "Foreground" => Ok(Propagation::Foreground),
        "Orphan" => Ok(Propagation::Orphan),
        other => {
            let supported = ["Background", "Foreground", "Orphan", ""];
            let fault = FieldError::not_supported("propagationPolicy", other, &supported);
            Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", &[fault]))
        }
    }
}
