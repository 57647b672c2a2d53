//! The kinds of a cluster, as far as a metric needs them: names in singular and plural, group, version, scope.
//!
//! What Kubernetes itself serves is known from the start, so that rules compile without asking a cluster; what
//! discovery adds (custom resources) is put beside. A kind given by [`Kinds::with`] wins over a built-in one.

use std::fmt;

/// A resource of a group, by its plural name: `pods`, `deployments.apps`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupResource {
    /// Empty for the core group.
    pub group: String,
    /// Plural, lower case.
    pub resource: String,
}

impl GroupResource {
    /// From its parts.
    pub fn new(group: &str, resource: &str) -> GroupResource {
        GroupResource { group: group.into(), resource: resource.into() }
    }

    /// From the form of a URL: `pods`, `deployments.apps`.
    pub fn parse(text: &str) -> GroupResource {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        GroupResource::new(group, resource)
    }
}

impl fmt::Display for GroupResource {
    /// `pods`, `deployments.apps`
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            out.write_str(&self.resource)
        } else {
            write!(out, "{}.{}", self.resource, self.group)
        }
    }
}

/// One kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// Empty for the core group.
    pub group: String,
    /// The preferred version.
    pub version: String,
    /// `Pod`
    pub kind: String,
    /// `pods`
    pub plural: String,
    /// `pod`
    pub singular: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

impl Kind {
    /// Its group and plural.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(&self.group, &self.plural)
    }

    /// `v1`, `apps/v1`
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// Most kinds that are kept of what discovery says.
pub const MAX_KINDS: usize = 10_000;

/// A group as it can stand in a label's name: dots and dashes as underscores.
pub fn label_group(group: &str) -> String {
    group.replace(['.', '-'], "_")
}

/// All kinds that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinds(Vec<Kind>);

/// Group, version, kind, plural, in a namespace or not; the singular is the kind in lower case.
const BUILTIN: &[(&str, &str, &str, &str, bool)] = &[
    ("", "v1", "Pod", "pods", true),
    ("", "v1", "Namespace", "namespaces", false),
    ("", "v1", "Node", "nodes", false),
    ("", "v1", "Service", "services", true),
    ("", "v1", "PersistentVolume", "persistentvolumes", false),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("", "v1", "ConfigMap", "configmaps", true),
    ("", "v1", "Endpoints", "endpoints", true),
    ("", "v1", "Event", "events", true),
    ("", "v1", "LimitRange", "limitranges", true),
    ("", "v1", "PodTemplate", "podtemplates", true),
    ("", "v1", "ReplicationController", "replicationcontrollers", true),
    ("", "v1", "ResourceQuota", "resourcequotas", true),
    ("", "v1", "Secret", "secrets", true),
    ("", "v1", "ServiceAccount", "serviceaccounts", true),
    ("apps", "v1", "Deployment", "deployments", true),
    ("apps", "v1", "ReplicaSet", "replicasets", true),
    ("apps", "v1", "StatefulSet", "statefulsets", true),
    ("apps", "v1", "DaemonSet", "daemonsets", true),
    ("apps", "v1", "ControllerRevision", "controllerrevisions", true),
    ("batch", "v1", "Job", "jobs", true),
    ("batch", "v1", "CronJob", "cronjobs", true),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", true),
    ("networking.k8s.io", "v1", "IngressClass", "ingressclasses", false),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", true),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", false),
    ("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", false),
    ("storage.k8s.io", "v1", "CSIDriver", "csidrivers", false),
    ("storage.k8s.io", "v1", "CSINode", "csinodes", false),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", true),
    ("coordination.k8s.io", "v1", "Lease", "leases", true),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", true),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", true),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", false),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", false),
    ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", false),
    ("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", false),
    ("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", false),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false),
    ("apiregistration.k8s.io", "v1", "APIService", "apiservices", false),
    (
        "admissionregistration.k8s.io",
        "v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        false,
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        false,
    ),
];

impl Kinds {
    /// What Kubernetes itself serves.
    pub fn builtin() -> Kinds {
        let kind = |&(group, version, kind, plural, namespaced): &(&str, &str, &str, &str, bool)| Kind {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            plural: plural.into(),
            singular: kind.to_lowercase(),
            namespaced,
        };
        Kinds(BUILTIN.iter().map(kind).collect())
    }

    /// Adds what discovery found, in its order of preference; at most [`MAX_KINDS`] in all are kept.
    #[must_use]
    pub fn with(self, found: impl IntoIterator<Item = Kind>) -> Kinds {
        let mut all: Vec<Kind> = Vec::new();
        for kind in found.into_iter().chain(self.0) {
            let known = |have: &Kind| have.group == kind.group && have.plural == kind.plural;
            if all.len() < MAX_KINDS && !all.iter().any(known) {
                all.push(kind);
            }
        }
        Kinds(all)
    }

    /// The kind with this plural or singular name, in any case. An empty group stands for the core group, else for the
    /// first group that has such a kind; a group may be given by its first part (`networking` for `networking.k8s.io`).
    pub fn find(&self, group: &str, resource: &str) -> Option<&Kind> {
        let named = |kind: &&Kind| {
            kind.plural.eq_ignore_ascii_case(resource) || kind.singular.eq_ignore_ascii_case(resource)
        };
        if group.is_empty() {
            let core = self.0.iter().find(|kind| kind.group.is_empty() && named(kind));
            return core.or_else(|| self.0.iter().find(named));
        }
        let exact = self.0.iter().find(|kind| kind.group == group && named(kind));
        let begins = |kind: &&Kind| kind.group.starts_with(group);
        exact.or_else(|| self.0.iter().find(|kind| begins(kind) && named(kind)))
    }

    /// The kind of a resource.
    pub fn of(&self, resource: &GroupResource) -> Option<&Kind> {
        self.find(&resource.group, &resource.resource)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Kind> {
        self.0.iter()
    }
}
