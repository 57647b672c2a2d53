//! Which volumes of a pod a kubelet measures, and how.
//!
//! A kubelet mounts a pod's volumes below `<kubelet>/pods/<uid>/volumes/<plugin>/<name>`, those of CSI drivers in a folder
//! `mount` below that. What it makes and fills itself (`emptyDir`, `configMap`, `secret`, `projected`, downward API) is added
//! up by a walk; of all others the file system is asked. Volumes without a folder there have no figure, here as there: host
//! paths, block devices, images.
//!
//! `<name>` is the volume's name in the pod, but that of the `PersistentVolume` where a claim stands between them: see
//! [`super::claims`].

/// How the use of a volume is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Its files are added up.
    Walk(Lasting),
    /// Its file system is asked, in this folder below that of its name.
    Ask(&'static str),
}

/// Whether what is in it counts as the pod's ephemeral storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// It does.
    Ephemeral,
    /// It does unless it is in memory.
    EphemeralOnDisk,
    /// It does not: it is in memory, or the kubelet does not count it.
    Apart,
}

const WALKED: [(&str, Lasting); 6] = [
    ("kubernetes.io~configmap", Lasting::Ephemeral),
    ("kubernetes.io~downward-api", Lasting::Apart),
    ("kubernetes.io~empty-dir", Lasting::EphemeralOnDisk),
    ("kubernetes.io~git-repo", Lasting::Ephemeral),
    ("kubernetes.io~projected", Lasting::Apart),
    ("kubernetes.io~secret", Lasting::Apart),
];

/// By the folder of the volume's plugin.
pub fn method(plugin: &str) -> Method {
    match WALKED.into_iter().find(|(walked, _)| *walked == plugin) {
        Some((_, lasting)) => Method::Walk(lasting),
        None if plugin == "kubernetes.io~csi" => Method::Ask("mount"),
        None => Method::Ask(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kubelet_fills_is_walked_and_counted_as_it_counts() {
        let cases = [
            ("kubernetes.io~empty-dir", Method::Walk(Lasting::EphemeralOnDisk)),
            ("kubernetes.io~configmap", Method::Walk(Lasting::Ephemeral)),
            ("kubernetes.io~projected", Method::Walk(Lasting::Apart)),
            ("kubernetes.io~csi", Method::Ask("mount")),
            ("kubernetes.io~nfs", Method::Ask("")),
            ("kubernetes.io~local-volume", Method::Ask("")),
            ("vendor~flex", Method::Ask("")),
        ];
        for (plugin, expected) in cases {
            assert_eq!(method(plugin), expected, "{plugin}");
        }
    }
}
