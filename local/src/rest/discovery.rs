//! What this server says it serves, and what stands behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use flyball_apiserver::discovery::{Discovery, Group, Resource, Subresource, Version};
use flyball_apiserver::live::Live;
use flyball_apiserver::openapi::OpenApi;
use serde_json::Value;

use super::openapi;
use super::served::{self, Served};

const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const PART_VERBS: [&str; 3] = ["get", "patch", "update"];

/// The served documents, replaced whenever an aggregated group changes.
pub(super) struct Documents {
    pub(super) discovery: Arc<Live<Discovery>>,
    pub(super) openapi: Arc<Live<OpenApi>>,
    pub(super) address: String,
}

impl Documents {
    /// Publishes our own groups and those behind us. Own groups cannot be replaced.
    ///
    /// Schemas come first: what discovery names can be asked for its schema at once.
    pub(super) fn publish(&self, behind: Vec<Group>, schemas: BTreeMap<String, Value>) {
        let mut groups = groups();
        groups.extend(behind.into_iter().filter(|group| !is_own(&group.name)));
        self.openapi.set(openapi::with(schemas));
        self.discovery.set(Discovery::new(&groups, &self.address));
    }
}

/// Whether a group is ours.
pub(super) fn is_own(group: &str) -> bool {
    served::all().any(|served| served.group == group)
        || matches!(group, "authentication.k8s.io" | "authorization.k8s.io")
}

/// Discovery of our own groups.
pub(super) fn own(address: &str) -> Discovery {
    Discovery::new(&groups(), address)
}

/// Our own groups in upstream's order.
pub(super) fn groups() -> Vec<Group> {
    let version = |group: &str, version: &str| {
        let resources = served::all().filter(|served| served.group == group && served.version == version);
        Version::new(version, resources.map(|served| describe(&served)))
    };
    let group =
        |name: &str, versions: &[&str]| Group::new(name, versions.iter().map(|text| version(name, text)));
    vec![
        group("", &["v1"]),
        group("apiregistration.k8s.io", &["v1"]),
        group("apps", &["v1"]),
        group("events.k8s.io", &["v1"]),
        Group::new(
            "authentication.k8s.io",
            [Version::new("v1", [question("tokenreviews", "tokenreview", "TokenReview")])],
        ),
        Group::new(
            "authorization.k8s.io",
            [Version::new(
                "v1",
                [
                    question(
                        "selfsubjectaccessreviews",
                        "selfsubjectaccessreview",
                        "SelfSubjectAccessReview",
                    ),
                    question("subjectaccessreviews", "subjectaccessreview", "SubjectAccessReview"),
                ],
            )],
        ),
        group("autoscaling", &["v2", "v1"]),
        group("coordination.k8s.io", &["v1"]),
        group("discovery.k8s.io", &["v1"]),
    ]
}

fn describe(served: &Served) -> Resource {
    let kind = served.resource;
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let mut resource = Resource::new(kind.plural, kind.kind, kind.namespaced, &VERBS);
    resource.singular = kind.singular.to_owned();
    resource.short_names = texts(kind.short_names);
    resource.categories = texts(kind.categories);
    if kind.has_status {
        resource.subresources.push(Subresource::new("status", kind.kind, &PART_VERBS));
    }
    if kind.has_scale {
        resource
            .subresources
            .push(Subresource::new("scale", "Scale", &PART_VERBS).of_group("autoscaling", "v1"));
    }
    match kind.kind {
        "Pod" => resource.subresources.push(Subresource::new("log", "Pod", &["get"])),
        "ServiceAccount" => resource.subresources.push(
            Subresource::new("token", "TokenRequest", &["create"]).of_group("authentication.k8s.io", "v1"),
        ),
        _ => {}
    }
    resource
}

fn question(plural: &str, singular: &str, kind: &str) -> Resource {
    let mut resource = Resource::new(plural, kind, false, &["create"]);
    resource.singular = singular.to_owned();
    resource
}
