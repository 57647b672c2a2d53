//! The metrics server of a plane, ours or upstream's, behind the same Service with the rights of the same account: those
//! of the overlay `metrics-server`, which has upstream's names.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use flyball_e2e::plane::Plane;
use flyball_e2e::{MINUTE, Program, SHORT, eventually, run, skipped};
use serde_json::json;

use crate::shipped::{Overlay, installer};

/// Namespace of the Service and the account.
const NAMESPACE: &str = "kube-system";
/// Name of both.
const NAME: &str = "metrics-server";
/// Port that both programs serve on.
const PORT: u16 = 4443;
/// Same for both: upstream's shortest resolution, and the time-out that it wants with it.
const FLAGS: [&str; 3] = [
    "--metric-resolution=10s",
    "--kubelet-request-timeout=9s",
    "--kubelet-preferred-address-types=InternalIP",
];
/// Kinds of `deploy/` that are not applied: what they would start runs as processes.
const PROCESSES: [&str; 5] =
    ["Deployment", "DaemonSet", "PodDisruptionBudget", "NetworkPolicy", "ResourceQuota"];

/// Who does a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Flyball.
    Ours,
    /// Kubernetes' own program.
    Upstream,
}

/// Upstream's program: `FLYBALL_E2E_METRICS_SERVER`, else what `cargo xtask e2e` built. `None`, said aloud, without.
pub fn upstream_program() -> Option<PathBuf> {
    let built = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/controlplane/metrics-server"));
    let path = std::env::var_os("FLYBALL_E2E_METRICS_SERVER").map_or(built.to_owned(), PathBuf::from);
    let found = std::fs::canonicalize(path).ok();
    if found.is_none() {
        skipped("upstream's metrics-server is not built: `cargo xtask e2e` builds it with Go");
    }
    found
}

/// Applies an overlay of `deploy/` without what it would start.
pub fn install(plane: &Plane, overlay: &str) {
    let kubectl = installer(plane);
    let mut objects = Overlay::named(overlay).objects(&kubectl);
    objects.retain(|object| !PROCESSES.iter().any(|kind| object["kind"] == **kind));
    // Nobody serves decisions here, and an API group that nobody serves breaks the deletion of namespaces.
    objects.retain(|object| object["spec"]["group"] != "decisions.flyball.io");
    // A namespace before what is in it.
    objects.sort_by_key(|object| object["kind"] != "Namespace");
    kubectl.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}));
}

/// A metrics server that has data.
pub struct MetricsServer {
    address: Ipv4Addr,
    program: Program,
}

impl MetricsServer {
    /// Starts one with these flags about its nodes, and waits until it is ready.
    pub fn start(plane: &Plane, by: By, flags: &[&str]) -> Self {
        let address = plane.address();
        let program = match by {
            By::Ours => ours(plane, address, flags),
            By::Upstream => upstream(plane, address, flags),
        };
        let url = format!("https://{address}:{PORT}/readyz");
        eventually(
            MINUTE,
            "the metrics server is ready",
            || program.state(),
            || {
                let mut command = Command::new("curl");
                command.args([
                    "--silent",
                    "--insecure",
                    "--max-time",
                    "5",
                    "--write-out",
                    "\n%{http_code}",
                    &url,
                ]);
                let finished = run(command, "", SHORT);
                if finished.stdout.ends_with("\n200") { Ok(()) } else { Err(finished.to_string()) }
            },
        );
        Self { address, program }
    }

    /// What it said, for messages.
    pub fn state(&self) -> String {
        self.program.state()
    }

    /// Puts it behind the Service for the first time.
    pub fn serve(&self, plane: &Plane) {
        plane.serve_group(NAMESPACE, NAME, 443, SocketAddr::from((self.address, PORT)));
    }

    /// Puts it behind the Service in place of the one before, in one write, so that there is always one.
    pub fn take_over(&self, plane: &Plane) {
        let kubectl = plane.admin().in_namespace(NAMESPACE);
        let selector = format!("--selector=kubernetes.io/service-name={NAME}");
        let found = kubectl.json(&["get", "endpointslices", &selector]);
        let slice = found["items"][0]["metadata"]["name"].as_str().expect("the Service has an EndpointSlice");
        let endpoints = json!({"endpoints": [{"addresses": [self.address], "conditions": {"ready": true}}]});
        kubectl.ok(&["patch", "endpointslice", slice, "--type=merge", "--patch", &endpoints.to_string()]);
    }
}

fn ours(plane: &Plane, address: Ipv4Addr, flags: &[&str]) -> Program {
    let place = [format!("--bind-address={address}"), format!("--secure-port={PORT}")];
    let mut arguments = vec!["metrics-server", "--own-service=kube-system/metrics-server"];
    arguments.extend(place.iter().map(String::as_str).chain(FLAGS).chain(flags.iter().copied()));
    plane.run_as(NAMESPACE, NAME, &arguments)
}

fn upstream(plane: &Plane, address: Ipv4Addr, flags: &[&str]) -> Program {
    let program = upstream_program().expect("looked for before");
    let kubeconfig = plane.kubeconfig_of(NAMESPACE, NAME);
    let kubeconfig = kubeconfig.display();
    let place = [
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        format!("--cert-dir={}", plane.folder().join(NAME).display()),
        format!("--bind-address={address}"),
        format!("--secure-port={PORT}"),
    ];
    let arguments: Vec<&str> =
        place.iter().map(String::as_str).chain(FLAGS).chain(flags.iter().copied()).collect();
    plane.run_program(&program, NAMESPACE, NAME, &arguments, &[])
}
