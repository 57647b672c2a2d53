//! Names of cgroup folders to what they stand for.
//!
//! Follows the kubelet's container manager (cgroupfs and systemd drivers) and the leaf names of containerd, CRI-O,
//! docker, podman and nerdctl. A folder whose name is not understood is left alone, never guessed.

use std::fmt;

/// Length of a container id: SHA-256 in lower-case hexadecimal.
const CONTAINER_ID_LENGTH: usize = 64;
/// Length of a pod UID as the API prints it.
const UUID_LENGTH: usize = 36;
/// Length of a static pod's UID: an MD5 in hexadecimal.
const STATIC_UID_LENGTH: usize = 32;

/// Quality of service class, as the folder tree tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// Pods directly in the kubepods folder.
    Guaranteed,
    /// Pods in the `burstable` folder.
    Burstable,
    /// Pods in the `besteffort` folder.
    BestEffort,
}

impl fmt::Display for Qos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Qos::Guaranteed => "Guaranteed",
            Qos::Burstable => "Burstable",
            Qos::BestEffort => "BestEffort",
        })
    }
}

/// A group that is neither a pod's nor a container's, and is shown all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemGroup {
    /// Everything that a kubelet's pods use.
    Pods,
    /// The pods of one class.
    Class(Qos),
    /// The kubelet's own service.
    Kubelet,
    /// The container runtime's own service.
    Runtime,
}

/// Services of a node, where systemd puts them.
pub const SERVICES: [(&str, SystemGroup); 5] = [
    ("system.slice/kubelet.service", SystemGroup::Kubelet),
    ("system.slice/containerd.service", SystemGroup::Runtime),
    ("system.slice/crio.service", SystemGroup::Runtime),
    ("system.slice/docker.service", SystemGroup::Runtime),
    ("system.slice/cri-docker.service", SystemGroup::Runtime),
];

impl SystemGroup {
    /// Its name among the summary's system containers, if it has one.
    pub fn summary_name(self) -> Option<&'static str> {
        match self {
            SystemGroup::Pods => Some("pods"),
            SystemGroup::Class(_) => None,
            SystemGroup::Kubelet => Some("kubelet"),
            SystemGroup::Runtime => Some("runtime"),
        }
    }
}

/// What a folder below the kubepods folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// UID of the pod with dashes, or 32 hexadecimal digits for a static pod.
    pub pod_uid: String,
    /// Class of the pod.
    pub qos: Qos,
    /// The container; `None` for the pod's own folder.
    pub container_id: Option<String>,
}

/// Whether a folder of this name holds the pods of a kubelet: `kubepods`, `kubepods.slice`,
/// `kubelet-kubepods.slice`.
pub fn is_kubepods(name: &str) -> bool {
    name == "kubepods" || name.strip_suffix(".slice").is_some_and(|stem| last_piece(stem) == "kubepods")
}

/// The class whose folder this is: `burstable`, `kubepods-besteffort.slice`; `None` for any other folder.
pub fn qos_folder(name: &str) -> Option<Qos> {
    let piece = match name.strip_suffix(".slice") {
        Some(stem) => last_piece(stem),
        None => name,
    };
    match piece {
        "burstable" => Some(Qos::Burstable),
        "besteffort" => Some(Qos::BestEffort),
        _ => None,
    }
}

/// The UID in the name of a pod's folder: `pod<uid>` or `kubepods-burstable-pod<uid>.slice`, the UID being 36
/// characters (systemd writes `_` for `-`) or, for static pods, 32 hexadecimal digits.
pub fn pod_uid(name: &str) -> Option<String> {
    let stem = name.strip_suffix(".slice").unwrap_or(name);
    let start = match stem.rfind("-pod") {
        Some(dash) => dash + "-pod".len(),
        None if stem.starts_with("pod") => "pod".len(),
        None => return None,
    };
    // A UID with dashes can itself hold "-pod" only if it were no UID, so the last one is the right one.
    let uid = &stem[start..];
    if uid.len() == STATIC_UID_LENGTH && uid.bytes().all(is_hex) {
        return Some(uid.to_owned());
    }
    is_uuid(uid).then(|| uid.replace('_', "-"))
}

/// The id in the name of a container's folder: the 64 hexadecimal digits of `<id>`, `cri-containerd-<id>.scope`,
/// `crio-<id>`, `docker-<id>.scope`, `libpod-<id>.scope`, `nerdctl-<id>.scope`. Monitors (`crio-conmon-…`) and mount
/// units are not containers.
pub fn container_id(name: &str) -> Option<&str> {
    if name.ends_with(".mount") || name.contains("conmon-") {
        return None;
    }
    let mut run_start = 0;
    for (at, byte) in name.bytes().chain(std::iter::once(b'/')).enumerate() {
        if !is_hex(byte) {
            if at - run_start == CONTAINER_ID_LENGTH {
                return Some(&name[run_start..at]);
            }
            run_start = at + 1;
        }
    }
    None
}

/// What a whole path says: the pod, its class, and the container when the path goes that deep. The same for cgroupfs
/// and systemd layouts, at the top of the tree or nested (kind). `None` outside of kubepods folders.
pub fn identify(path: &str) -> Option<Identity> {
    let elements: Vec<&str> = path.split('/').filter(|element| !element.is_empty()).collect();
    let (at, uid) =
        elements.iter().enumerate().rev().find_map(|(at, element)| pod_uid(element).map(|uid| (at, uid)))?;
    let above = at.checked_sub(1).map(|above| elements[above])?;
    let qos = match qos_folder(above) {
        Some(qos) => {
            at.checked_sub(2).filter(|kubepods| is_kubepods(elements[*kubepods]))?;
            qos
        }
        None if is_kubepods(above) => Qos::Guaranteed,
        None => return None,
    };
    let container_id = match elements.get(at + 1) {
        Some(leaf) => Some(container_id(leaf)?.to_owned()),
        None => None,
    };
    Some(Identity { pod_uid: uid, qos, container_id })
}

/// Where the systemd driver puts a `--cgroup-root`: `/kubelet` becomes `kubelet.slice`, `/a-b/c` becomes
/// `a_b.slice/a_b-c.slice`. Relative, without a leading slash; empty for `/`.
pub fn systemd_path(cgroup_root: &str) -> String {
    let mut joined = String::new();
    let mut path = String::new();
    for element in cgroup_root.split('/').filter(|element| !element.is_empty()) {
        if !joined.is_empty() {
            joined.push('-');
            path.push('/');
        }
        joined.push_str(&element.replace('-', "_"));
        path.push_str(&joined);
        path.push_str(".slice");
    }
    path
}

fn last_piece(stem: &str) -> &str {
    stem.rsplit('-').next().unwrap_or(stem)
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn is_uuid(text: &str) -> bool {
    text.len() == UUID_LENGTH
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => matches!(byte, b'-' | b'_'),
            _ => is_hex(byte.to_ascii_lowercase()),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UID: &str = "2fc932ce-fdcc-454b-97bd-aadfdeb4c340";
    const UID_: &str = "2fc932ce_fdcc_454b_97bd_aadfdeb4c340";
    const STATIC: &str = "0123456789abcdef0123456789abcdef";
    const ID: &str = "b1946ac92492d2347c6235b4d2611184b1946ac92492d2347c6235b4d2611184";

    fn check(path: &str, expected: Option<(&str, Qos, Option<&str>)>) {
        let expected = expected.map(|(uid, qos, id)| Identity {
            pod_uid: uid.to_owned(),
            qos,
            container_id: id.map(str::to_owned),
        });
        assert_eq!(identify(path), expected, "{path}");
    }

    #[test]
    fn paths_of_both_drivers() {
        check(&format!("/kubepods/burstable/pod{UID}/{ID}"), Some((UID, Qos::Burstable, Some(ID))));
        check(&format!("/kubepods/besteffort/pod{UID}"), Some((UID, Qos::BestEffort, None)));
        check(&format!("/kubepods/pod{UID}/{ID}"), Some((UID, Qos::Guaranteed, Some(ID))));
        check(&format!("/kubepods/pod{STATIC}/{ID}"), Some((STATIC, Qos::Guaranteed, Some(ID))));
        check(
            &format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice/cri-containerd-{ID}.scope"
            ),
            Some((UID, Qos::Burstable, Some(ID))),
        );
        check(
            &format!("/kubepods.slice/kubepods-pod{STATIC}.slice/crio-{ID}.scope"),
            Some((STATIC, Qos::Guaranteed, Some(ID))),
        );
        check(
            &format!(
                "/system.slice/docker-{ID}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{UID_}.slice"
            ),
            Some((UID, Qos::BestEffort, None)),
        );
        check(
            &format!("/docker/{ID}/kubelet/kubepods/pod{UID}/{ID}"),
            Some((UID, Qos::Guaranteed, Some(ID))),
        );
        check(&format!("/docker/{ID}"), None);
        check(&format!("/other/pod{UID}"), None);
        check(&format!("/burstable/pod{UID}"), None);
        check(&format!("pod{UID}"), None);
        check(&format!("/kubepods/pod{UID}/notes"), None);
        check("/", None);
        check("", None);
    }

    #[test]
    fn leaf_names_of_the_runtimes() {
        for leaf in [
            ID.to_owned(),
            format!("cri-containerd-{ID}.scope"),
            format!("crio-{ID}.scope"),
            format!("crio-{ID}"),
            format!("docker-{ID}.scope"),
            format!("libpod-{ID}.scope"),
            format!("nerdctl-{ID}.scope"),
        ] {
            assert_eq!(container_id(&leaf), Some(ID), "{leaf}");
        }
        for other in [
            format!("crio-conmon-{ID}.scope"),
            format!("libpod-conmon-{ID}.scope"),
            format!("run-containerd-{ID}.mount"),
            format!("{ID}0"),
            "init.scope".to_owned(),
            "kubelet.service".to_owned(),
            String::new(),
        ] {
            assert_eq!(container_id(&other), None, "{other}");
        }
    }

    #[test]
    fn pod_folders() {
        assert_eq!(pod_uid(&format!("pod{UID}")).as_deref(), Some(UID));
        assert_eq!(pod_uid(&format!("kubelet-kubepods-pod{UID_}.slice")).as_deref(), Some(UID));
        assert_eq!(pod_uid("pod"), None);
        assert_eq!(pod_uid("kubepods"), None);
        assert_eq!(pod_uid("podman-1234.scope"), None);
    }

    #[test]
    fn folders_above_pods() {
        for name in ["kubepods", "kubepods.slice", "kubelet-kubepods.slice"] {
            assert!(is_kubepods(name), "{name}");
        }
        for name in ["kubepods-burstable.slice", "kubepodsx", "system.slice", "my-kubepods"] {
            assert!(!is_kubepods(name), "{name}");
        }
        assert_eq!(qos_folder("kubelet-kubepods-burstable.slice"), Some(Qos::Burstable));
        assert_eq!(qos_folder("besteffort"), Some(Qos::BestEffort));
        assert_eq!(qos_folder("kubepods.slice"), None);
    }

    #[test]
    fn systemd_paths() {
        assert_eq!(systemd_path("/"), "");
        assert_eq!(systemd_path("/kubelet"), "kubelet.slice");
        assert_eq!(systemd_path("/a-b/c"), "a_b.slice/a_b-c.slice");
    }

    proptest! {
        #[test]
        fn no_name_panics(name in "\\PC{0,120}") {
            let _ = (identify(&name), pod_uid(&name), container_id(&name), qos_folder(&name), is_kubepods(&name));
            let _ = systemd_path(&name);
        }

        #[test]
        fn no_near_miss_panics(name in "(/?(kube)?-?pods?[0-9a-f_-]{0,70}(\\.slice|\\.scope)?){0,4}") {
            let _ = identify(&name);
        }
    }
}
