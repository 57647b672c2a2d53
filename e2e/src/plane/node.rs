//! The real node of a plane: containerd and a kubelet in a mount namespace of their own.
//!
//! There, /var/lib, /var/log and /run/containerd are folders of the plane, so that both keep their usual paths and
//! neither meets an installed one; their mounts end with the namespace. Pods are on a bridge of this machine, and in
//! /kubepods.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::plane::address::Addresses;
use crate::plane::archive::PAUSE_IMAGE;
use crate::plane::pki::Pki;
use crate::plane::tools::cni_folder;
use crate::poll::{SHORT, eventually};
use crate::program::Program;
use crate::run::{Finished, run};

/// Name of the node.
pub const NODE: &str = "node-1";

/// Folder that containerd's programs expect.
const RUN: &str = "/run/containerd";

/// Folders a node writes to: path on the node, name in the plane's folder.
const FOLDERS: [(&str, &str); 3] = [("/var/lib", "var-lib"), ("/var/log", "var-log"), (RUN, "run")];

/// Settings of the kernel that a kubelet or the bridge plugin changes, put back afterwards.
const SETTINGS: [&str; 7] = [
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/panic_on_oops",
    "/proc/sys/kernel/keys/root_maxkeys",
    "/proc/sys/kernel/keys/root_maxbytes",
];

/// Longest run of `ctr`.
const CTR_LIMIT: Duration = Duration::from_secs(120);

/// A node's files and its mount namespace.
#[derive(Debug)]
pub(super) struct NodeSpace {
    folder: PathBuf,
    holder: Program,
}

impl NodeSpace {
    /// Makes the namespace, and configuration in the plane's folder.
    ///
    /// # Panics
    /// When a file cannot be written or the namespace cannot be made.
    pub fn create(
        plane: &Path,
        addresses: &Addresses,
        pki: &Pki,
        mark: impl Fn(&mut Command) -> &mut Command,
    ) -> Self {
        let folder = plane.join("node");
        std::fs::create_dir_all(&folder).expect("the node's folder is made");
        remember_settings(plane);
        make_run_folder(plane);
        for (_, name) in FOLDERS {
            std::fs::create_dir_all(folder.join(name)).expect("a folder of the node is made");
        }
        write(&folder.join("containerd.toml"), &containerd_config(&folder));
        std::fs::create_dir_all(folder.join("cni")).expect("the network's folder is made");
        write(&folder.join("cni/10-plane.conflist"), &network_config(addresses).to_string());
        pki.store("kubelet-server", &pki.server(&[NODE], &[addresses.kubelet().into()]));
        write(&folder.join("kubelet.json"), &kubelet_config(addresses.kubelet(), pki).to_string());

        let binds = FOLDERS.map(|(path, name)| format!("mount --bind {}/{name} {path}", folder.display()));
        // Shared, as on a machine with systemd: mounts of hosts' folders into pods may ask for propagation.
        let script =
            format!("{} && mount --make-rshared / && echo made && exec sleep 1000000000", binds.join(" && "));
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]);
        mark(&mut command);
        let mut holder = Program::start(command, &folder.join("namespace.log"));
        holder
            .wait_line(SHORT, |line| (line == "made").then_some(()))
            .unwrap_or_else(|error| panic!("the node's mount namespace: {error}"));
        Self { folder, holder }
    }

    /// A command that runs on the node.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.pid())).arg("--").arg(program);
        command
    }

    /// containerd.
    pub fn containerd(&self) -> Command {
        let mut command = self.command(Path::new("containerd"));
        command.arg("--config").arg(self.folder.join("containerd.toml"));
        command
    }

    /// The kubelet, from `program`.
    pub fn kubelet(&self, program: &Path, kubeconfig: &str, address: Ipv4Addr) -> Command {
        let mut command = self.command(program);
        command.arg(format!("--config={}", self.folder.join("kubelet.json").display())).args([
            format!("--kubeconfig={kubeconfig}"),
            format!("--hostname-override={NODE}"),
            format!("--node-ip={address}"),
        ]);
        command
    }

    /// Runs containerd's own client in the namespace of Kubernetes' images and containers.
    #[must_use]
    pub fn ctr(&self, arguments: &[&str]) -> Finished {
        let mut command = self.command(Path::new("ctr"));
        command.args(["--namespace", "k8s.io"]).args(arguments);
        run(command, "", CTR_LIMIT)
    }

    /// Waits until containerd answers.
    pub fn containerd_ready(&self, state: impl FnOnce() -> String) {
        eventually(SHORT, "containerd answers", state, || {
            let finished = self.ctr(&["version"]);
            if finished.success() { Ok(()) } else { Err(finished.to_string()) }
        });
    }

    /// Imports an image archive under the names it holds.
    ///
    /// # Panics
    /// When containerd refuses it.
    pub fn load(&self, archive: &Path) {
        let archive = archive.to_str().expect("a path of plain characters");
        let finished = self.ctr(&["images", "import", archive]);
        assert!(finished.success(), "the image is not imported: {finished}");
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// For the guardian, which puts them back.
fn remember_settings(plane: &Path) {
    let lines = SETTINGS.iter().filter_map(|path| {
        let value = std::fs::read_to_string(path).ok()?;
        Some(format!("{path} {}\n", value.trim()))
    });
    write(&plane.join("settings"), &lines.collect::<String>());
}

/// The one folder of the machine that may have to be made; the guardian removes it again.
fn make_run_folder(plane: &Path) {
    let made = !Path::new(RUN).exists();
    write(&plane.join("folders"), if made { RUN } else { "" });
    std::fs::create_dir_all(RUN).expect("containerd's folder is made");
}

fn containerd_config(folder: &Path) -> String {
    let cni = cni_folder().expect("the plugins were looked for").display();
    let configuration = folder.join("cni");
    let configuration = configuration.display();
    format!(
        r#"version = 2
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Network namespaces end with the mount namespace of the node.
  netns_mounts_under_state_dir = true
  # Not every machine lets root lower the score of a process below its own.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{configuration}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"#
    )
}

fn network_config(addresses: &Addresses) -> Value {
    let name = format!("flyball-{}", addresses.number());
    json!({
        "cniVersion": "0.4.0",
        "name": name,
        "plugins": [{
            "type": "bridge",
            "bridge": name,
            "isGateway": true,
            "ipMasq": false,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": addresses.pods()}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

/// The kubelet's settings: defaults, but for addresses, cgroup v1, and nothing that depends on how full the machine is.
fn kubelet_config(address: Ipv4Addr, pki: &Pki) -> Value {
    let full = ["memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available"];
    let never: serde_json::Map<_, _> =
        full.map(|signal| (signal.to_owned(), json!("0%"))).into_iter().collect();
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": address,
        "healthzPort": 0,
        "readOnlyPort": 0,
        "containerRuntimeEndpoint": format!("unix://{RUN}/containerd.sock"),
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": false,
        "evictionHard": never,
        "imageGCHighThresholdPercent": 100,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": pki.path("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": pki.path("kubelet-server.crt"),
        "tlsPrivateKeyFile": pki.path("kubelet-server.key"),
    })
}
