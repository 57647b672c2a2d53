//! What the manifests grant, taken apart: one verb on one resource, and where the rule names objects, one object.

use flyball_e2e::Kubectl;
use serde_json::{Value, json};

use crate::shipped::{list, text};

/// One thing that a role allows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// API group; empty for the core group, and for a path.
    pub group: String,
    /// Resource with its subresource, or a path such as `/metrics`.
    pub resource: String,
    /// For example `get`.
    pub verb: String,
    /// The one object; `None` for all.
    pub name: Option<String>,
}

impl std::fmt::Display for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { group, resource, verb, name } = self;
        write!(f, "{verb} {resource}")?;
        if !group.is_empty() {
            write!(f, " of {group}")?;
        }
        name.as_ref().map_or(Ok(()), |name| write!(f, " named {name}"))
    }
}

impl Grant {
    /// A rule with this and nothing else.
    pub fn rule(&self) -> Value {
        if self.resource.starts_with('/') {
            return json!({"nonResourceURLs": [self.resource], "verbs": [self.verb]});
        }
        let mut rule = json!({"apiGroups": [self.group], "resources": [self.resource], "verbs": [self.verb]});
        if let Some(name) = &self.name {
            rule["resourceNames"] = json!([name]);
        }
        rule
    }

    /// Whether it only reads.
    pub fn reads(&self) -> bool {
        matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// All that a role allows.
pub fn of_role(role: &Value) -> Vec<Grant> {
    let mut grants: Vec<_> = list(role, "/rules").flat_map(of_rule).collect();
    grants.sort_unstable();
    grants
}

fn of_rule(rule: &Value) -> Vec<Grant> {
    let texts = |pointer: &str| -> Vec<String> {
        list(rule, pointer).map(|text| text.as_str().expect("rules are made of texts").to_owned()).collect()
    };
    let names = texts("/resourceNames");
    let names: Vec<_> = if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
    let mut grants = Vec::new();
    for verb in texts("/verbs") {
        for path in texts("/nonResourceURLs") {
            let (group, verb) = (String::new(), verb.clone());
            grants.push(Grant { group, resource: path, verb, name: None });
        }
        for group in texts("/apiGroups") {
            for resource in texts("/resources") {
                for name in names.clone() {
                    let (group, resource, verb) = (group.clone(), resource.clone(), verb.clone());
                    grants.push(Grant { group, resource, verb, name });
                }
            }
        }
    }
    grants
}

/// A role that is bound to an account.
#[derive(Debug, Clone)]
pub struct Bound {
    /// Kind and name of the role.
    pub kind: String,
    pub name: String,
    /// Namespace of the binding; `None` for all of the cluster.
    pub namespace: Option<String>,
    /// What it allows.
    pub grants: Vec<Grant>,
    /// Whether the manifests bring the role themselves; others are Kubernetes' own.
    pub shipped: bool,
}

/// What `objects` bind to a service account.
pub fn bound_to(objects: &[Value], account: &str, namespace: &str, kubectl: &Kubectl) -> Vec<Bound> {
    let ours = |binding: &&Value| {
        list(binding, "/subjects")
            .any(|subject| subject["name"] == account && subject["namespace"] == namespace)
    };
    objects.iter().filter(ours).map(|binding| bound(objects, binding, kubectl)).collect()
}

fn bound(objects: &[Value], binding: &Value, kubectl: &Kubectl) -> Bound {
    let (kind, name) = (text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
    let namespace = binding["metadata"]["namespace"].as_str();
    let is_it = |role: &&Value| {
        let same_place = kind == "ClusterRole" || role["metadata"]["namespace"].as_str() == namespace;
        role["kind"] == kind && role["metadata"]["name"] == name && same_place
    };
    let shipped = objects.iter().find(is_it);
    let role = match shipped {
        Some(role) => role.clone(),
        None => kubectl.in_namespace(namespace.unwrap_or_default()).json(&["get", kind, name]),
    };
    Bound {
        kind: kind.to_owned(),
        name: name.to_owned(),
        namespace: namespace.map(str::to_owned),
        grants: of_role(&role),
        shipped: shipped.is_some(),
    }
}

/// Shipped ClusterRoles that no binding names: they are for users.
pub fn for_users(objects: &[Value]) -> Vec<(&str, Vec<Grant>)> {
    let is_bound = |name: &str| objects.iter().any(|binding| binding["roleRef"]["name"] == name);
    objects
        .iter()
        .filter(|object| object["kind"] == "ClusterRole")
        .map(|role| (text(role, "/metadata/name"), of_role(role)))
        .filter(|(name, _)| !is_bound(name))
        .collect()
}
