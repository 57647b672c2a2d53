//! Labels that every object gives. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::labelset::LabelSet;

/// What all labels of discovery in Kubernetes begin with.
pub(super) const PREFIX: &str = "__meta_kubernetes_";
/// Namespace of the object.
pub(super) const NAMESPACE: &str = "__meta_kubernetes_namespace";
/// Value of a label that says that another one is there.
const PRESENT: &str = "true";

/// `PREFIX` and a name.
pub(super) fn name(rest: &str) -> String {
    format!("{PREFIX}{rest}")
}

/// Name, labels and annotations of an object, under the name of its role.
pub(super) fn of_object(set: &mut LabelSet, metadata: &ObjectMeta, role: &str) {
    set.set(name(&format!("{role}_name")), metadata.name.clone().unwrap_or_default());
    for (what, pairs) in [("label", &metadata.labels), ("annotation", &metadata.annotations)] {
        for (key, value) in pairs.iter().flatten() {
            let key = sanitized(key);
            set.set(name(&format!("{role}_{what}_{key}")), value.clone());
            set.set(name(&format!("{role}_{what}present_{key}")), PRESENT);
        }
    }
}

/// What may not stand in the name of a label becomes `_`.
pub(super) fn sanitized(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// Host and port, the host in brackets if it needs them.
pub(super) fn host_port(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
