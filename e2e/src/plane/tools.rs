//! The programs and rights a plane needs on this machine.

use std::path::{Path, PathBuf};

use crate::plane::{Needs, Version};
use crate::skip::{has_program, is_root};

/// Where Debian keeps the CNI plugins, and where their own releases do.
const CNI_FOLDERS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// The CNI plugins a node uses.
const CNI_PLUGINS: [&str; 3] = ["bridge", "host-local", "loopback"];

/// The program that is etcd and all of Kubernetes: `FLYBALL_E2E_CONTROLPLANE` or
/// `FLYBALL_E2E_CONTROLPLANE_OLDEST`, else what `cargo xtask e2e` built.
#[must_use]
pub fn control_plane(version: Version) -> Option<PathBuf> {
    match version {
        Version::Current => built("FLYBALL_E2E_CONTROLPLANE", "current"),
        Version::Oldest => built("FLYBALL_E2E_CONTROLPLANE_OLDEST", "oldest"),
    }
}

/// Upstream's metrics-server: `FLYBALL_E2E_METRICS_SERVER`, else what `cargo xtask e2e` built.
#[must_use]
pub fn upstream_metrics_server() -> Option<PathBuf> {
    built("FLYBALL_E2E_METRICS_SERVER", "metrics-server")
}

/// A program that is compared with: the one that `variable` names, else what `cargo xtask e2e` built as `name`.
#[must_use]
pub fn peer(variable: &str, name: &str) -> Option<PathBuf> {
    built(variable, name)
}

fn built(variable: &str, name: &str) -> Option<PathBuf> {
    let built = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/controlplane")).join(name);
    let path = std::env::var_os(variable).map_or(built, PathBuf::from);
    std::fs::canonicalize(path).ok()
}

/// The OCI archive with the image of `flyball`, named by `FLYBALL_E2E_IMAGE`.
#[must_use]
pub fn flyball_image() -> Option<PathBuf> {
    std::fs::canonicalize(std::env::var_os("FLYBALL_E2E_IMAGE")?).ok()
}

/// The folder with the CNI plugins.
#[must_use]
pub fn cni_folder() -> Option<&'static Path> {
    let complete = |folder: &&Path| CNI_PLUGINS.iter().all(|plugin| folder.join(plugin).is_file());
    CNI_FOLDERS.map(Path::new).into_iter().find(complete)
}

/// Why this machine cannot start a plane with these needs, and how to mend it.
#[must_use]
pub fn missing(needs: &Needs) -> Option<String> {
    if control_plane(needs.version).is_none() {
        return Some(match needs.version {
            Version::Current => "no control plane is built: `cargo xtask e2e` builds it with Go".to_owned(),
            Version::Oldest => {
                "the older control plane is not built: `cargo xtask e2e --full` builds it with Go".to_owned()
            }
        });
    }
    if !is_root() {
        return Some("a control plane needs root: it adds addresses to the loopback device".to_owned());
    }
    if !has_program("ip") {
        return Some("no program `ip` (Debian: apt-get install iproute2)".to_owned());
    }
    if needs.containers { missing_for_containers() } else { None }
}

fn missing_for_containers() -> Option<String> {
    let programs = [("containerd", "containerd"), ("ctr", "containerd"), ("runc", "runc")];
    if let Some((program, package)) = programs.into_iter().find(|(program, _)| !has_program(program)) {
        return Some(format!("no program `{program}` for real pods (Debian: apt-get install {package})"));
    }
    if cni_folder().is_none() {
        return Some("no CNI plugins (Debian: apt-get install containernetworking-plugins)".to_owned());
    }
    if busybox().is_none() {
        return Some(
            "no static busybox to make images of (Debian: apt-get install busybox-static)".to_owned(),
        );
    }
    let group = other_pods()?;
    Some(format!("{} exists: another kubelet runs here, or ran and left it", group.display()))
}

/// The statically linked busybox that the images of a node are made of.
pub(super) fn busybox() -> Option<&'static Path> {
    // A dynamic one names its loader in the first page.
    let is_static = |path: &&Path| {
        std::fs::read(path).is_ok_and(|bytes| {
            let first = &bytes[..bytes.len().min(4096)];
            !first.windows(8).any(|window| window == b"ld-linux")
        })
    };
    ["/bin/busybox", "/usr/bin/busybox"].map(Path::new).into_iter().find(is_static)
}

/// The control group of some kubelet's pods: it is at the top of a hierarchy. Those of `flyball local`, and of benches,
/// are below a group of their own.
fn other_pods() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let names = ["kubepods", "kubepods.slice"];
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (point, kind) = (words.next()?, words.next()?);
            matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(point))
        })
        .flat_map(|tree| names.map(|name| tree.join(name)))
        .find(|group| group.is_dir())
}
