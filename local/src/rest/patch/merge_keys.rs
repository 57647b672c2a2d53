//! By which member the lists of the served kinds are merged: upstream's `patchMergeKey` and `patchStrategy` tags.

/// How a strategic merge patch treats a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListRule {
    /// Entries are maps, told apart by this member.
    ByKey(&'static str),
    /// Entries are plain values; the list is a set that keeps its order.
    Set,
    /// The new list replaces the old one.
    Replace,
}

/// The rule for the list under `field`, found anywhere in an object of `kind`. Names are enough: in the served kinds no two
/// lists of one name differ in rule, except `ports`.
pub(super) fn rule(kind: &str, field: &str) -> ListRule {
    use ListRule::{ByKey, Replace, Set};
    match (kind, field) {
        ("Service", "ports") => ByKey("port"),
        ("EndpointSlice", "ports") => Replace,
        (_, "ports") => ByKey("containerPort"),
        ("Node", "addresses" | "conditions") | (_, "conditions") => ByKey("type"),
        ("Node", "taints") => ByKey("key"),
        ("ServiceAccount", "secrets") => ByKey("name"),
        (_, "containers" | "initContainers" | "ephemeralContainers") => ByKey("name"),
        (_, "env" | "volumes" | "imagePullSecrets") => ByKey("name"),
        (_, "volumeMounts") => ByKey("mountPath"),
        (_, "volumeDevices") => ByKey("devicePath"),
        (_, "hostAliases" | "podIPs" | "hostIPs") => ByKey("ip"),
        (_, "topologySpreadConstraints") => ByKey("topologyKey"),
        (_, "resourceClaims") => ByKey("name"),
        (_, "ownerReferences") => ByKey("uid"),
        ("Namespace", "finalizers") => Set,
        (_, "finalizers" | "podCIDRs") => Set,
        _ => Replace,
    }
}
