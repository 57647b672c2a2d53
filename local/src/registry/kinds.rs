//! The kinds this server stores, one static per kind, and the table of all of them.
//!
//! Names, short names, categories and sub-resources are those of upstream's discovery, so `kubectl api-resources`
//! prints the same lines.

/// One stored kind. Compared by its place in [`ALL`], so two references are equal exactly when the kind is.
#[derive(Debug)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// The version objects are stored in.
    pub version: &'static str,
    /// `Deployment`.
    pub kind: &'static str,
    /// `deployments`, the path segment.
    pub plural: &'static str,
    /// `deployment`.
    pub singular: &'static str,
    /// `deploy`.
    pub short_names: &'static [&'static str],
    /// Groups of kinds kubectl knows, such as `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Whether `…/status` exists; a write to the object itself then never changes its status, and the other way round.
    pub has_status: bool,
    /// Whether `…/scale` exists.
    pub has_scale: bool,
    /// Whether `metadata.generation` counts changes of everything but metadata and status.
    pub has_generation: bool,
    /// Position in [`ALL`].
    pub index: usize,
}

impl Resource {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `deployments.apps`, or `pods` for the core group: how upstream names a resource in messages.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `Deployment.apps`, or `Pod` for the core group: how upstream names a kind in validation messages.
    pub fn qualified_kind(&self) -> String {
        if self.group.is_empty() { self.kind.to_owned() } else { format!("{}.{}", self.kind, self.group) }
    }
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl Eq for Resource {}

const PLAIN: Resource = Resource {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    singular: "",
    short_names: &[],
    categories: &[],
    namespaced: true,
    has_status: false,
    has_scale: false,
    has_generation: false,
    index: 0,
};

/// Core v1 Namespace.
pub static NAMESPACES: Resource = Resource {
    kind: "Namespace",
    plural: "namespaces",
    singular: "namespace",
    short_names: &["ns"],
    namespaced: false,
    has_status: true,
    index: 0,
    ..PLAIN
};
/// Core v1 Node.
pub static NODES: Resource = Resource {
    kind: "Node",
    plural: "nodes",
    singular: "node",
    short_names: &["no"],
    namespaced: false,
    has_status: true,
    index: 1,
    ..PLAIN
};
/// Core v1 Pod.
pub static PODS: Resource = Resource {
    kind: "Pod",
    plural: "pods",
    singular: "pod",
    short_names: &["po"],
    categories: &["all"],
    has_status: true,
    index: 2,
    ..PLAIN
};
/// Core v1 Service.
pub static SERVICES: Resource = Resource {
    kind: "Service",
    plural: "services",
    singular: "service",
    short_names: &["svc"],
    categories: &["all"],
    has_status: true,
    index: 3,
    ..PLAIN
};
/// discovery.k8s.io/v1 EndpointSlice.
pub static ENDPOINTSLICES: Resource = Resource {
    group: "discovery.k8s.io",
    kind: "EndpointSlice",
    plural: "endpointslices",
    singular: "endpointslice",
    has_generation: true,
    index: 4,
    ..PLAIN
};
/// Core v1 ConfigMap.
pub static CONFIGMAPS: Resource = Resource {
    kind: "ConfigMap",
    plural: "configmaps",
    singular: "configmap",
    short_names: &["cm"],
    index: 5,
    ..PLAIN
};
/// Core v1 Secret.
pub static SECRETS: Resource =
    Resource { kind: "Secret", plural: "secrets", singular: "secret", index: 6, ..PLAIN };
/// Core v1 ServiceAccount.
pub static SERVICEACCOUNTS: Resource = Resource {
    kind: "ServiceAccount",
    plural: "serviceaccounts",
    singular: "serviceaccount",
    short_names: &["sa"],
    index: 7,
    ..PLAIN
};
/// Core v1 Event.
pub static EVENTS: Resource =
    Resource { kind: "Event", plural: "events", singular: "event", short_names: &["ev"], index: 8, ..PLAIN };
/// coordination.k8s.io/v1 Lease.
pub static LEASES: Resource = Resource {
    group: "coordination.k8s.io",
    kind: "Lease",
    plural: "leases",
    singular: "lease",
    index: 9,
    ..PLAIN
};
/// apps/v1 Deployment.
pub static DEPLOYMENTS: Resource = Resource {
    group: "apps",
    kind: "Deployment",
    plural: "deployments",
    singular: "deployment",
    short_names: &["deploy"],
    categories: &["all"],
    has_status: true,
    has_scale: true,
    has_generation: true,
    index: 10,
    ..PLAIN
};
/// apps/v1 ReplicaSet.
pub static REPLICASETS: Resource = Resource {
    group: "apps",
    kind: "ReplicaSet",
    plural: "replicasets",
    singular: "replicaset",
    short_names: &["rs"],
    categories: &["all"],
    has_status: true,
    has_scale: true,
    has_generation: true,
    index: 11,
    ..PLAIN
};
/// autoscaling/v2 HorizontalPodAutoscaler; autoscaling/v1 is a view of it.
pub static HPAS: Resource = Resource {
    group: "autoscaling",
    version: "v2",
    kind: "HorizontalPodAutoscaler",
    plural: "horizontalpodautoscalers",
    singular: "horizontalpodautoscaler",
    short_names: &["hpa"],
    categories: &["all"],
    has_status: true,
    has_generation: true,
    index: 12,
    ..PLAIN
};
/// apiregistration.k8s.io/v1 APIService.
pub static APISERVICES: Resource = Resource {
    group: "apiregistration.k8s.io",
    kind: "APIService",
    plural: "apiservices",
    singular: "apiservice",
    categories: &["api-extensions"],
    namespaced: false,
    has_status: true,
    index: 13,
    ..PLAIN
};

/// Every stored kind, each at its `index`.
pub static ALL: [&Resource; 14] = [
    &NAMESPACES,
    &NODES,
    &PODS,
    &SERVICES,
    &ENDPOINTSLICES,
    &CONFIGMAPS,
    &SECRETS,
    &SERVICEACCOUNTS,
    &EVENTS,
    &LEASES,
    &DEPLOYMENTS,
    &REPLICASETS,
    &HPAS,
    &APISERVICES,
];

/// The kind with this group and path segment, whatever the version.
pub fn by_plural(group: &str, plural: &str) -> Option<&'static Resource> {
    ALL.iter().copied().find(|r| r.group == group && r.plural == plural)
}

/// The kind with this group and kind name, whatever the version.
pub fn by_kind(group: &str, kind: &str) -> Option<&'static Resource> {
    ALL.iter().copied().find(|r| r.group == group && r.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_stands_at_its_index() {
        for (index, resource) in ALL.iter().enumerate() {
            assert_eq!(resource.index, index, "{}", resource.kind);
        }
    }
}
