//! The wire forms of discovery, with upstream's order of fields.

use serde::Serialize;

use super::describe::{Group, Resource, Subresource, Version};

mod protobuf;

pub(super) use protobuf::ToProtobuf;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServerAddress {
    #[serde(rename = "clientCIDR")]
    client_cidr: &'static str,
    server_address: String,
}

fn addresses(server_address: &str) -> Vec<ServerAddress> {
    vec![ServerAddress { client_cidr: "0.0.0.0/0", server_address: server_address.to_owned() }]
}

/// `/api`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiVersions {
    kind: &'static str,
    versions: Vec<String>,
    #[serde(rename = "serverAddressByClientCIDRs")]
    addresses: Vec<ServerAddress>,
}

impl ApiVersions {
    pub(super) fn of(core: &Group, server_address: &str) -> Self {
        let versions = core.versions.iter().map(|version| version.version.clone()).collect();
        Self { kind: "APIVersions", versions, addresses: addresses(server_address) }
    }
}

/// `/apis`.
#[derive(Serialize)]
pub(super) struct ApiGroupList {
    kind: &'static str,
    groups: Vec<ApiGroup>,
}

impl ApiGroupList {
    pub(super) fn of(groups: &[&Group], server_address: &str) -> Self {
        let groups = groups
            .iter()
            .map(|group| ApiGroup { addresses: Some(addresses(server_address)), ..ApiGroup::of(group) });
        Self { kind: "APIGroupList", groups: groups.collect() }
    }
}

/// `/apis/<group>`, and an entry of `/apis`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiGroup {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<&'static str>,
    name: String,
    versions: Vec<GroupVersion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_version: Option<GroupVersion>,
    #[serde(rename = "serverAddressByClientCIDRs", skip_serializing_if = "Option::is_none")]
    addresses: Option<Vec<ServerAddress>>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupVersion {
    group_version: String,
    version: String,
}

impl ApiGroup {
    fn of(group: &Group) -> Self {
        let versions: Vec<GroupVersion> = group
            .versions
            .iter()
            .map(|version| GroupVersion {
                group_version: group.group_version(version),
                version: version.version.clone(),
            })
            .collect();
        Self {
            kind: None,
            api_version: None,
            name: group.name.clone(),
            preferred_version: versions.first().cloned(),
            versions,
            addresses: None,
        }
    }

    pub(super) fn top_level(group: &Group) -> Self {
        Self { kind: Some("APIGroup"), api_version: Some("v1"), ..Self::of(group) }
    }
}

/// `/apis/<group>/<version>` and `/api/<version>`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiResourceList {
    kind: &'static str,
    api_version: &'static str,
    group_version: String,
    resources: Vec<ApiResource>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiResource {
    name: String,
    singular_name: String,
    namespaced: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    kind: String,
    verbs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    short_names: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    categories: Vec<String>,
}

impl ApiResourceList {
    pub(super) fn of(group: &Group, version: &Version) -> Self {
        let resources = version.resources.iter().flat_map(|resource| {
            let subresources = resource.subresources.iter().map(|sub| ApiResource::of_sub(resource, sub));
            std::iter::once(ApiResource::of(resource)).chain(subresources)
        });
        Self {
            kind: "APIResourceList",
            api_version: "v1",
            group_version: group.group_version(version),
            resources: resources.collect(),
        }
    }
}

impl ApiResource {
    fn of(resource: &Resource) -> Self {
        Self {
            name: resource.name.clone(),
            singular_name: resource.singular.clone(),
            namespaced: resource.namespaced,
            group: String::new(),
            version: String::new(),
            kind: resource.kind.clone(),
            verbs: resource.verbs.clone(),
            short_names: resource.short_names.clone(),
            categories: resource.categories.clone(),
        }
    }

    fn of_sub(resource: &Resource, sub: &Subresource) -> Self {
        Self {
            name: format!("{}/{}", resource.name, sub.name),
            singular_name: String::new(),
            namespaced: resource.namespaced,
            group: sub.group.clone(),
            version: sub.version.clone(),
            kind: sub.kind.clone(),
            verbs: sub.verbs.clone(),
            short_names: Vec::new(),
            categories: Vec::new(),
        }
    }
}

/// The aggregated form (`apidiscovery.k8s.io/v2`).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DiscoveryList {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    items: Vec<GroupDiscovery>,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct GroupDiscovery {
    metadata: GroupMetadata,
    versions: Vec<VersionDiscovery>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupMetadata {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    creation_timestamp: Option<&'static str>,
}

#[derive(Serialize)]
struct VersionDiscovery {
    version: String,
    freshness: &'static str,
    resources: Vec<ResourceDiscovery>,
}

#[derive(Serialize)]
struct Kind {
    group: String,
    version: String,
    kind: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceDiscovery {
    resource: String,
    response_kind: Kind,
    scope: &'static str,
    singular_resource: String,
    verbs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    short_names: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    categories: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subresources: Vec<SubresourceDiscovery>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SubresourceDiscovery {
    subresource: String,
    response_kind: Kind,
    verbs: Vec<String>,
}

impl DiscoveryList {
    pub(super) fn of(groups: &[&Group]) -> Self {
        let items = groups.iter().map(|group| GroupDiscovery {
            metadata: GroupMetadata { name: group.name.clone(), creation_timestamp: None },
            versions: group.versions.iter().map(|version| VersionDiscovery::of(group, version)).collect(),
        });
        Self {
            kind: "APIGroupDiscoveryList",
            api_version: "apidiscovery.k8s.io/v2",
            metadata: Empty {},
            items: items.collect(),
        }
    }
}

impl VersionDiscovery {
    fn of(group: &Group, version: &Version) -> Self {
        let kind = |kind: &str| Kind {
            group: group.name.clone(),
            version: version.version.clone(),
            kind: kind.to_owned(),
        };
        let resources = version.resources.iter().map(|resource| ResourceDiscovery {
            resource: resource.name.clone(),
            response_kind: kind(&resource.kind),
            scope: if resource.namespaced { "Namespaced" } else { "Cluster" },
            singular_resource: resource.singular.clone(),
            verbs: resource.verbs.clone(),
            short_names: resource.short_names.clone(),
            categories: resource.categories.clone(),
            subresources: resource
                .subresources
                .iter()
                .map(|sub| SubresourceDiscovery {
                    subresource: sub.name.clone(),
                    response_kind: if sub.version.is_empty() {
                        kind(&sub.kind)
                    } else {
                        Kind {
                            group: sub.group.clone(),
                            version: sub.version.clone(),
                            kind: sub.kind.clone(),
                        }
                    },
                    verbs: sub.verbs.clone(),
                })
                .collect(),
        });
        Self { version: version.version.clone(), freshness: "Current", resources: resources.collect() }
    }
}
