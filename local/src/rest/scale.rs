//! The `scale` sub-resource of Deployments and ReplicaSets: autoscaling/v1 Scale over `spec.replicas`.

use flyball_apiserver::request::Response;
use flyball_apiserver::status::Status;
use flyball_model::field_error::FieldError;
use flyball_model::selector::LabelSelector;
use http::StatusCode;
use serde_json::{Value, json};

use super::call::Call;
use super::decode;
use super::patch::Patch;
use crate::registry::{Part, Registry, errors, json, strict};

pub(super) fn get(registry: &Registry, call: &Call) -> Result<Response, Status> {
    let object = registry.get(call.served.resource, call.namespace(), call.name());
    let object = object.ok_or_else(|| errors::not_found(call.served.resource, call.name()))?;
    Ok(call.responder.object(StatusCode::OK, &scale_of(&object)))
}

/// PUT (without `patch`) and PATCH.
pub(super) async fn write(registry: &Registry, mut call: Call, is_patch: bool) -> Result<Response, Status> {
    let dry_run = decode::dry_run(&call.query, "UpdateOptions")?;
    let body = call.body().await?;
    let patch = if is_patch { Some(Patch::read(&call.headers, &body)?) } else { None };
    let given = if is_patch { Value::Null } else { decode::parse(&call.headers, &body)? };
    let resource = call.served.resource;
    let updated =
        registry.try_modify(resource, call.namespace(), call.name(), Part::Spec, dry_run, |old| {
            let scale = match &patch {
                Some(patch) => patch.apply("Scale", &scale_of(old))?,
                None => given,
            };
            with_scale(&call, old, &scale)
        })?;
    registry.durable().await?;
    Ok(call.responder.object(StatusCode::OK, &scale_of(&updated)))
}

fn with_scale(call: &Call, old: &Value, scale: &Value) -> Result<Value, Status> {
    strict::check("autoscaling", "v1", "Scale", scale).map_err(|why| {
        errors::bad_request(format!("Scale in version \"v1\" cannot be handled as a Scale: {why}"))
    })?;
    let replicas = json::int(scale, "/spec/replicas").unwrap_or(0);
    if replicas < 0 {
        let fault = FieldError::invalid("spec.replicas", replicas, "must be greater than or equal to 0");
        return Err(Status::invalid("autoscaling", "Scale", call.name(), &[fault]));
    }
    let mut new = old.clone();
    new["spec"]["replicas"] = replicas.into();
    for member in ["resourceVersion", "uid"] {
        let stated = json::text(scale, &format!("/metadata/{member}"));
        if !stated.is_empty() {
            new["metadata"][member] = stated.into();
        }
    }
    Ok(new)
}

fn scale_of(object: &Value) -> Value {
    let selector = object.pointer("/spec/selector").and_then(|value| LabelSelector::from_json(value).ok());
    let metadata = &object["metadata"];
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {"replicas": json::int(object, "/spec/replicas").unwrap_or(0)},
        "status": {
            "replicas": json::int(object, "/status/replicas").unwrap_or(0),
            "selector": selector.map(|selector| selector.to_string()).unwrap_or_default(),
        },
    })
}
