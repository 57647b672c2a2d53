//! Our programs beside a plane: processes with the rights of their service accounts, and Services that lead to them.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;

use serde_json::json;

use crate::binary::flyball_binary;
use crate::plane::{Control, Plane, given, tools};
use crate::program::Program;

/// Name of the image in `deploy/`.
const IMAGE: &str = concat!("flyball.io/flyball:", env!("CARGO_PKG_VERSION"));

/// Label by which EndpointSlices belong to a Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

impl Plane {
    /// Starts `flyball ARGUMENTS` with the rights of a service account, and as its pods are told who they are.
    ///
    /// # Panics
    /// When there is no such account, or the program cannot be started.
    #[must_use]
    pub fn run_as(&self, namespace: &str, service_account: &str, arguments: &[&str]) -> Program {
        self.run_as_with(namespace, service_account, arguments, &[])
    }

    /// [`Plane::run_as`] with more environment variables.
    ///
    /// # Panics
    /// As [`Plane::run_as`].
    #[must_use]
    pub fn run_as_with(
        &self,
        namespace: &str,
        service_account: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Program {
        self.run_program(flyball_binary(), namespace, service_account, arguments, environment)
    }

    /// [`Plane::run_as_with`] of another program.
    ///
    /// # Panics
    /// As [`Plane::run_as`].
    #[must_use]
    pub fn run_program(
        &self,
        program: &Path,
        namespace: &str,
        service_account: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Program {
        let kubeconfig = self.kubeconfig_of(namespace, service_account);
        let number = self.programs.fetch_add(1, Ordering::Relaxed);
        let name = format!("{service_account}-{number}");
        let home = self.folder().join("home");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("KUBECONFIG", &kubeconfig)
            .env("HOME", &home)
            .env("POD_NAMESPACE", namespace)
            .env("POD_NAME", &name)
            .env_remove("FLYBALL_LOG")
            .envs(environment.iter().copied());
        self.guardian.mark(&mut command);
        Program::start(command, &self.folder().join("logs").join(name))
    }

    /// Makes the Service `name` lead to a process: see [`Plane::serve_group_many`].
    ///
    /// # Panics
    /// As there.
    pub fn serve_group(&self, namespace: &str, name: &str, port: u16, target: SocketAddr) {
        self.serve_group_many(namespace, name, port, &[target]);
    }

    /// Makes port `port` of the Service `name` lead to processes, all listening on one port number: a selector is taken
    /// from it, and its endpoints are these. Nothing else of a Service that exists is changed.
    ///
    /// # Panics
    /// When the cluster refuses, or the targets' port numbers differ.
    pub fn serve_group_many(&self, namespace: &str, name: &str, port: u16, targets: &[SocketAddr]) {
        let kubectl = self.admin().in_namespace(namespace);
        let target_port = targets.first().map(SocketAddr::port);
        assert!(
            targets.iter().all(|target| Some(target.port()) == target_port),
            "{targets:?} differ in port"
        );
        let found = kubectl.ok(&["get", "service", name, "--ignore-not-found", "--output", "name"]);
        if found.trim().is_empty() {
            kubectl.apply(&json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"ports": [{"name": "https", "port": port}]},
            }));
        } else {
            kubectl.ok(&[
                "patch",
                "service",
                name,
                "--type=merge",
                "--patch",
                r#"{"spec":{"selector":null}}"#,
            ]);
        }
        let service = kubectl.json(&["get", "service", name]);
        let ports = service["spec"]["ports"].as_array();
        let ours = ports.into_iter().flatten().find(|known| known["port"] == port);
        let port_name = ours.unwrap_or_else(|| panic!("Service {name} has no port {port}"))["name"].clone();
        // Those of its former selector; and Endpoints would be mirrored.
        let label = format!("{SERVICE_LABEL}={name}");
        kubectl.ok(&["delete", "endpoints", name, "--ignore-not-found"]);
        kubectl.ok(&["delete", "endpointslices", "--selector", &label, "--ignore-not-found"]);
        let endpoints: Vec<_> = targets
            .iter()
            .map(|target| json!({"addresses": [target.ip()], "conditions": {"ready": true}}))
            .collect();
        let kind =
            if targets.iter().any(|target| matches!(target.ip(), IpAddr::V6(_))) { "IPv6" } else { "IPv4" };
        kubectl.apply(&json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": format!("{name}-e2e"), "labels": {SERVICE_LABEL: name}},
            "addressType": kind,
            "endpoints": endpoints,
            "ports": [{"name": port_name.as_str().unwrap_or_default(), "port": target_port, "protocol": "TCP"}],
        }));
    }

    /// Loads an OCI archive into the node.
    ///
    /// # Panics
    /// When there is no node of ours, or it refuses.
    pub fn load_image(&self, archive: &Path) {
        self.own().node().expect("the plane has a node: say Needs::containers").load(archive);
    }

    /// Runs containerd's own client on the node.
    ///
    /// # Panics
    /// When there is no node of ours.
    #[must_use]
    pub fn ctr(&self, arguments: &[&str]) -> crate::Finished {
        self.own().node().expect("the plane has a node: say Needs::containers").ctr(arguments)
    }

    /// Loads the image of `flyball` into a node of ours, if there are both.
    pub(super) fn load_flyball(&self) {
        let Control::Own(own) = &self.control else { return };
        if let (Some(node), Some(archive)) = (own.node(), tools::flyball_image()) {
            node.load(&archive);
        }
    }

    /// Name of the image of `flyball` that the nodes can run; `None` when none was built or named.
    #[must_use]
    pub fn image(&self) -> Option<String> {
        match &self.control {
            Control::Own(own) => {
                (own.node().is_some() && tools::flyball_image().is_some()).then(|| IMAGE.to_owned())
            }
            Control::Given(_) => given::image_name(),
        }
    }
}
