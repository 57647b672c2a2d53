//! Which volumes of a pod a kubelet measures, and how.
//!
//! A kubelet mounts a pod's volumes below `<kubelet>/pods/<uid>/volumes/<plugin>/<name>`, those of CSI drivers in a folder
//! `mount` below that. What it makes and fills itself (`emptyDir`, `configMap`, `secret`, `projected`, downward API) is added
//! up by a walk; of all others the file system is asked. Volumes without a folder there have no figure, here as there: host
//! paths, block devices, images.
//!
//! `<name>` is the volume's name in the pod, but that of the `PersistentVolume` where a claim stands between them; which claim
//! that is only the pod's spec can tell, and only where it leaves no choice (see [`claimed`]).

use crate::names::PodVolume;

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

/// The volume of a pod's spec whose claim a folder stands for. `asked`: all the pod's folders whose file systems are asked,
/// which have the names of volumes of the spec, or of `PersistentVolume`s. Where several claims may be meant it is none.
pub fn claimed<'s>(folder: &str, asked: &[&str], spec: &'s [PodVolume]) -> Option<&'s PodVolume> {
    let is_direct = |name: &str| spec.iter().any(|volume| volume.name == name && volume.claim.is_none());
    let mut bound = asked.iter().filter(|name| !is_direct(name));
    let mut claims = spec.iter().filter(|volume| volume.claim.is_some());
    match (bound.next(), bound.next(), claims.next(), claims.next()) {
        (Some(only), None, Some(claim), None) if *only == folder => Some(claim),
        _ => None,
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

    #[test]
    fn a_claim_is_named_where_there_is_no_choice() {
        let volume = |name: &str, claim: Option<&str>| PodVolume {
            name: name.to_owned(),
            claim: claim.map(str::to_owned),
        };
        let data = volume("data", Some("web-data"));
        let spec = [data.clone(), volume("tmp", None), volume("share", None)];
        assert_eq!(claimed("pvc-1", &["pvc-1", "share"], &spec), Some(&data));
        assert_eq!(claimed("share", &["pvc-1", "share"], &spec), None, "in the spec itself");
        assert_eq!(claimed("pvc-1", &["pvc-1", "pvc-2"], &spec), None, "one of them is left over");
        let two = [data, volume("more", Some("web-more"))];
        assert_eq!(claimed("pvc-1", &["pvc-1"], &two), None, "the other may be without a folder");
        assert_eq!(claimed("pvc-1", &["pvc-1"], &[]), None);
    }
}
