//! One of `kubernetes_sd_configs`. Pure.

use std::path::Path;

use flyball_model::names;
use flyball_model::selector::{FieldSelector, LabelSelector};

use super::super::job::{Kind, Kubernetes, Role, Selector};
use super::fields::{Fields, Item, Read};
use super::http;

/// Reads it.
pub(super) fn read(item: &Item<'_>, folder: &Path) -> Read<Kubernetes> {
    let mut fields = item.fields()?;
    let role = match fields.take("role") {
        Some(field) => role(&field)?,
        None => return Err(fields.fault("role", "it is missing: pod, node or endpoints")),
    };
    for key in ["api_server", "kubeconfig_file"] {
        fields.refuse(key, ": the API server is the one that the program itself uses")?;
    }
    refuse_access(&mut fields, folder)?;
    let (namespaces, own_namespace) = fields.read("namespaces", namespaces)?.unwrap_or_default();
    let selectors = fields.read("selectors", |item| selectors(item, role))?.unwrap_or_default();
    let attach_node = fields.read("attach_metadata", attach_node)?.unwrap_or(false);
    fields.finish()?;
    Ok(Kubernetes { role, namespaces, own_namespace, selectors, attach_node })
}

fn role(item: &Item<'_>) -> Read<Role> {
    match item.text()?.as_str() {
        "pod" => Ok(Role::Pod),
        "node" => Ok(Role::Node),
        "endpoints" => Ok(Role::Endpoints),
        known @ ("service" | "endpointslice" | "ingress") => {
            Err(item.fault(format!("role {known} is not supported: pod, node and endpoints are")))
        }
        other => Err(item.fault(format!("there is no role {other:?}"))),
    }
}

/// Fields of an HTTP client only make sense with an API server of their own.
fn refuse_access(fields: &mut Fields<'_>, folder: &Path) -> Read<()> {
    for key in
        ["basic_auth", "authorization", "bearer_token", "bearer_token_file", "tls_config", "http_headers"]
    {
        fields.refuse(key, ": the API server is the one that the program itself uses")?;
    }
    http::read(fields, folder).map(|_| ())
}

fn namespaces(item: &Item<'_>) -> Read<(Vec<String>, bool)> {
    let mut fields = item.fields()?;
    let own = fields.read("own_namespace", Item::boolean)?.unwrap_or(false);
    let mut all: Vec<String> = Vec::new();
    for name in fields.read("names", |item| item.items())?.unwrap_or_default() {
        let text = name.text()?;
        if let Some(reason) = names::dns1123_label(&text).into_iter().next() {
            return Err(name.fault(format!("{text:?} is no namespace: {reason}")));
        }
        if !all.contains(&text) {
            all.push(text);
        }
    }
    fields.finish()?;
    Ok((all, own))
}

fn selectors(item: &Item<'_>, role: Role) -> Read<Vec<(Kind, Selector)>> {
    let mut all: Vec<(Kind, Selector)> = Vec::new();
    for one in item.items()? {
        let mut fields = one.fields()?;
        let kind = match fields.take("role") {
            Some(field) => kind(&field, role)?,
            None => return Err(fields.fault("role", "it is missing")),
        };
        if all.iter().any(|(have, _)| *have == kind) {
            return Err(one.fault("there is another selector of this role"));
        }
        let label = fields.read("label", |item| {
            let text = item.text()?;
            LabelSelector::parse(&text).map_err(|error| item.fault(error.to_string()))?;
            Ok(text)
        })?;
        let field = fields.read("field", |item| {
            let text = item.text()?;
            FieldSelector::parse(&text).map_err(|error| item.fault(error.to_string()))?;
            Ok(text)
        })?;
        fields.finish()?;
        all.push((kind, Selector { label: label.unwrap_or_default(), field: field.unwrap_or_default() }));
    }
    Ok(all)
}

/// Each role looks at some kinds only.
fn kind(item: &Item<'_>, role: Role) -> Read<Kind> {
    let text = item.text()?;
    let kind = match text.as_str() {
        "pod" => Some(Kind::Pod),
        "node" => Some(Kind::Node),
        "service" => Some(Kind::Service),
        "endpoints" => Some(Kind::Endpoints),
        _ => None,
    };
    let (allowed, names): (&[Kind], &str) = match role {
        Role::Pod => (&[Kind::Pod], "pod"),
        Role::Node => (&[Kind::Node], "node"),
        Role::Endpoints => (&[Kind::Pod, Kind::Service, Kind::Endpoints], "pod, service and endpoints"),
    };
    kind.filter(|kind| allowed.contains(kind))
        .ok_or_else(|| item.fault(format!("this role has selectors for {names} only, not for {text:?}")))
}

fn attach_node(item: &Item<'_>) -> Read<bool> {
    let mut fields = item.fields()?;
    let node = fields.read("node", Item::boolean)?.unwrap_or(false);
    fields.refuse("namespace", "")?;
    fields.finish()?;
    Ok(node)
}
