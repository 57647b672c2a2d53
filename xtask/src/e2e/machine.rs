//! What this machine has of what the suite needs.

use std::path::Path;
use std::process::Command;

/// What was found.
#[derive(Debug)]
pub struct Machine {
    root: bool,
    /// Why Go cannot be used.
    no_go: Option<String>,
    ip: bool,
    /// The first thing missing for real pods.
    no_containers: Option<&'static str>,
}

impl Machine {
    /// Looks for programs and rights.
    pub fn look() -> Self {
        let containers = [
            (has("containerd") && has("ctr"), "no containerd (Debian: apt-get install containerd)"),
            (has("runc"), "no runc (Debian: apt-get install runc)"),
            (
                ["/usr/lib/cni/bridge", "/opt/cni/bin/bridge"].iter().any(|path| Path::new(path).is_file()),
                "no CNI plugins (Debian: apt-get install containernetworking-plugins)",
            ),
            (has("busybox"), "no busybox (Debian: apt-get install busybox-static)"),
            (has("unshare") && has("nsenter"), "no unshare and nsenter (Debian: apt-get install util-linux)"),
        ];
        Self {
            root: is_root(),
            no_go: no_go(),
            ip: has("ip"),
            no_containers: containers.into_iter().find(|(found, _)| !found).map(|(_, why)| why),
        }
    }

    /// Why nothing can be built with Go.
    pub fn no_go(&self) -> Option<&str> {
        self.no_go.as_deref()
    }

    /// Why no control plane of our own can run.
    pub fn no_control_plane(&self) -> Option<&str> {
        if !self.root {
            return Some("a control plane of our own needs root, for addresses on the loopback device");
        }
        if !self.ip {
            return Some("no `ip` in PATH (Debian: apt-get install iproute2)");
        }
        self.no_go()
    }

    /// Why no real pods can run.
    pub fn no_containers(&self) -> Option<&'static str> {
        self.no_containers
    }
}

/// Oldest minor release of Go 1 that fetches the release a module asks for.
const OLDEST_GO_MINOR: u32 = 21;

fn no_go() -> Option<String> {
    if !has("go") {
        return Some("no `go` in PATH (https://go.dev/dl)".to_owned());
    }
    let output = Command::new("go").args(["env", "GOVERSION"]).output().ok()?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let minor = go_minor(&version)?;
    (minor < OLDEST_GO_MINOR)
        .then(|| format!("{version} is older than go1.{OLDEST_GO_MINOR}, which fetches newer ones itself (https://go.dev/dl)"))
}

/// `26` of `go1.26.8`; `None` when it is no release.
fn go_minor(version: &str) -> Option<u32> {
    version.strip_prefix("go1.")?.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

/// Whether PATH has this program.
fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::go_minor;

    #[test]
    fn releases_of_go_are_compared_by_their_minor_number() {
        assert_eq!(go_minor("go1.26.8"), Some(26));
        assert_eq!(go_minor("go1.19"), Some(19));
        assert_eq!(go_minor("go1.27rc1"), Some(27));
        assert_eq!(go_minor("devel go1.28-abc"), None);
    }
}
