//! A control plane of our own: its processes, each of which can be stopped and started.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use crate::kubectl::Kubectl;
use crate::plane::Needs;
use crate::plane::address::Addresses;
use crate::plane::archive::busybox_archives;
use crate::plane::guardian::Guardian;
use crate::plane::node::{NODE, NodeSpace};
use crate::plane::part::{self, Part};
use crate::plane::pki::Pki;
use crate::plane::tools::control_plane;
use crate::plane::users::{Cluster, by_certificate};
use crate::poll::{MINUTE, eventually};
use crate::program::{Program, log_tail};

/// Longest time of a part to end by itself.
const STOP_LIMIT: Duration = Duration::from_secs(40);

/// Programs in the one file that the Go module builds.
const PROGRAMS: [&str; 6] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl"];

/// A control plane of our own, and its node if it has one.
#[derive(Debug)]
pub(super) struct Own {
    folder: PathBuf,
    kubectl: Kubectl,
    state: Mutex<State>,
    cluster: Cluster,
    pub addresses: Addresses,
    pub pki: Pki,
    node: Option<NodeSpace>,
}

#[derive(Debug, Default)]
struct State {
    running: BTreeMap<Part, Program>,
    extra: BTreeMap<Part, Vec<String>>,
    hpa_loop: bool,
}

impl Own {
    /// Makes keys, configuration and the programs' links; starts nothing yet.
    pub fn create(needs: &Needs, guardian: &Guardian) -> Self {
        let folder = guardian.folder().to_owned();
        for name in ["bin", "home", "logs", "users"] {
            std::fs::create_dir_all(folder.join(name)).expect("a folder of the plane is made");
        }
        let program = control_plane(needs.version).expect("the control plane was looked for");
        for name in PROGRAMS {
            symlink(&program, folder.join("bin").join(name)).expect("the program is linked");
        }
        let addresses = Addresses::claim();
        std::fs::write(folder.join("number"), addresses.number().to_string()).expect("the number is stored");
        let pki = Pki::create(&folder.join("pki"), &addresses.of_api_server());
        let url = format!("https://{}:443", addresses.api_server());
        let cluster = Cluster::own(&url, &pki.authority().certificate_pem());
        let state = Mutex::new(State { hpa_loop: needs.hpa_loop == Some(true), ..State::default() });
        let admin = pki.client("admin", &["system:masters"]);
        let admin = cluster.write_kubeconfig(&folder.join("users/admin"), &by_certificate(&admin), "default");
        let kubectl = Kubectl::new(&admin, &folder.join("home"), &folder.join("logs/kube-apiserver"))
            .with_program(&folder.join("bin/kubectl"));
        let node = needs
            .containers
            .then(|| NodeSpace::create(&folder, &addresses, &pki, |command| guardian.mark(command)));
        Self { folder, kubectl, state, cluster, addresses, pki, node }
    }

    /// Starts everything and waits until it can be used.
    pub fn start(&self, guardian: &Guardian) {
        self.launch(Part::Etcd, guardian);
        self.launch(Part::ApiServer, guardian);
        if self.node.is_some() {
            self.launch(Part::Containerd, guardian);
        }
        self.ready(Part::ApiServer);
        self.launch(Part::ControllerManager, guardian);
        self.launch(Part::Scheduler, guardian);
        if let Some(node) = &self.node {
            self.ready(Part::Containerd);
            for archive in busybox_archives(&self.folder.join("node")) {
                node.load(&archive);
            }
            self.launch(Part::Kubelet, guardian);
            self.ready(Part::Kubelet);
        }
        self.ready(Part::ControllerManager);
    }

    /// Where it is.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// kubectl as administrator.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// The node, if there is one.
    pub fn node(&self) -> Option<&NodeSpace> {
        self.node.as_ref()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log of a part.
    pub fn log(&self, part: Part) -> PathBuf {
        self.folder.join("logs").join(part.program())
    }

    /// Starts a part that does not run; does not wait.
    pub fn launch(&self, part: Part, guardian: &Guardian) {
        let mut state = self.state();
        assert!(!state.running.contains_key(&part), "{} runs already", part.program());
        let mut command = self.command(part, state.hpa_loop);
        command.args(state.extra.get(&part).into_iter().flatten());
        guardian.mark(&mut command);
        state.running.insert(part, Program::start(command, &self.log(part)));
    }

    /// Flags that a part gets besides its own from its next start on; a later flag wins.
    pub fn set_flags(&self, part: Part, flags: &[&str]) {
        self.state().extra.insert(part, flags.iter().map(|&flag| flag.to_owned()).collect());
    }

    /// Whether the next controller manager has the loop of HPAs.
    pub fn set_hpa_loop(&self, on: bool) {
        self.state().hpa_loop = on;
    }

    /// Ends a part by `signal` and waits for its end.
    pub fn end(&self, part: Part, signal: Signal) {
        let Some(mut program) = self.state().running.remove(&part) else { return };
        program.signal(signal);
        assert!(
            program.wait(STOP_LIMIT).is_some(),
            "{signal:?} did not end {}: {}",
            part.program(),
            program.state()
        );
    }

    /// Waits until a part works.
    pub fn ready(&self, part: Part) {
        match part {
            Part::Etcd | Part::ApiServer => {
                self.eventually("the API server is ready", &["get", "--raw", "/readyz"], "ok");
            }
            // The first thing it makes that everything else waits for.
            Part::ControllerManager => {
                self.eventually("there is a service account", &["get", "serviceaccount", "default"], "");
            }
            Part::Scheduler => {}
            Part::Containerd => self.node_space().containerd_ready(|| self.tails()),
            Part::Kubelet => {
                let path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
                self.eventually("the node is ready", &["get", "node", NODE, "--output", path], "True");
                // The node says so for a while after its kubelet ended; one that starts needs containerd until it serves.
                let healthz = format!("/api/v1/nodes/{NODE}/proxy/healthz");
                self.eventually("the kubelet answers", &["get", "--raw", &healthz], "ok");
            }
        }
    }

    fn eventually(&self, what: &str, arguments: &[&str], wanted: &str) {
        eventually(
            MINUTE,
            what,
            || self.tails(),
            || {
                let finished = self.kubectl.run(arguments);
                let found = finished.success() && finished.stdout.contains(wanted);
                self.ended().map_or(Ok(()), Err)?;
                if found { Ok(()) } else { Err(finished.to_string()) }
            },
        );
    }

    /// The first part that ended though nobody stopped it.
    fn ended(&self) -> Option<String> {
        self.state().running.iter_mut().find_map(|(part, program)| {
            program.wait(Duration::ZERO).map(|status| format!("{} ended: {status}", part.program()))
        })
    }

    /// The ends of all logs.
    pub fn tails(&self) -> String {
        let logs = Part::ALL.into_iter().filter(|&part| self.log(part).exists());
        logs.map(|part| format!("{}: {}\n", part.program(), log_tail(&self.log(part)))).collect()
    }

    fn node_space(&self) -> &NodeSpace {
        self.node.as_ref().expect("the plane has a node")
    }

    fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    fn command(&self, part: Part, hpa_loop: bool) -> Command {
        let path = |name: &str| self.folder.join(name).display().to_string();
        let flags = match part {
            Part::Etcd => part::etcd(&self.addresses, &path("etcd")),
            Part::ApiServer => part::api_server(&self.addresses, &self.pki),
            Part::ControllerManager => {
                let kubeconfig = self.kubeconfig("system:kube-controller-manager", &[]);
                part::controller_manager(&self.addresses, &self.pki, &kubeconfig, hpa_loop)
            }
            Part::Scheduler => {
                part::scheduler(&self.addresses, &self.kubeconfig("system:kube-scheduler", &[]))
            }
            Part::Containerd => return self.node_space().containerd(),
            Part::Kubelet => {
                let kubeconfig = self.kubeconfig(&format!("system:node:{NODE}"), &["system:nodes"]);
                let program = self.program(part.program());
                return self.node_space().kubelet(&program, &kubeconfig, self.addresses.kubelet());
            }
        };
        let mut command = Command::new(self.program(part.program()));
        command.args(flags);
        command
    }

    /// A kubeconfig with a client certificate for this user.
    pub fn kubeconfig(&self, user: &str, groups: &[&str]) -> String {
        let path = self.folder.join("users").join(user.replace(':', "-"));
        let user = by_certificate(&self.pki.client(user, groups));
        self.cluster.write_kubeconfig(&path, &user, "default").display().to_string()
    }
}
