//! A control plane with hollow nodes, a loop of HPAs and a metrics server, the last two ours or upstream's.

use std::net::SocketAddr;
use std::path::PathBuf;

use flyball_benches::kubelets::{Config, Sampling, Simulation};
use flyball_e2e::plane::{Needs, Part, Plane, Version};
use flyball_e2e::{Kubectl, Program};
use serde_json::{Value, json};

use super::cases::{self, Case, NAMESPACE};
use super::metrics::{By, MetricsServer, install};
use super::seen::{self, Seen};

/// Hollow nodes of a stage.
const NODES: usize = 3;
/// Port of the kubelets.
const KUBELET_PORT: u16 = 10250;
/// Same for both loops of HPAs, under the same names: the waits of a cluster in production are long.
const HPA_FLAGS: [&str; 2] =
    ["--horizontal-pod-autoscaler-sync-period=5s", "--horizontal-pod-autoscaler-downscale-stabilization=5s"];

/// Conditions that upstream's loop of the older release does not know; ours is that of the current one.
const NEWER_CONDITIONS: [&str; 1] = ["ScaledToZero"];

/// See the module.
pub struct Stage {
    version: Version,
    /// Whose loop of HPAs is in it.
    pub hpa: By,
    pub plane: Plane,
    pub simulation: Simulation,
    pub cases: Vec<Case>,
    authority: PathBuf,
    metrics_server: Option<MetricsServer>,
    hpa_program: Option<Program>,
}

impl Stage {
    /// Starts everything but a metrics server. `None`, said aloud, where that cannot be.
    pub fn start(version: Version, hpa: By) -> Option<Self> {
        let needs = Needs::light().version(version);
        let plane = Plane::alone(if hpa == By::Upstream { needs.hpa_loop() } else { needs.no_hpa_loop() })?;
        install(&plane, "metrics-server");
        let simulation = simulation(&plane);
        let authority = plane.folder().join("kubelets.crt");
        std::fs::write(&authority, simulation.authority_pem().unwrap_or_default())
            .expect("a file is written");
        let program = start_loop(&plane, hpa);
        let cases = cases::all();
        Some(Self {
            version,
            hpa,
            plane,
            simulation,
            cases,
            authority,
            metrics_server: None,
            hpa_program: program,
        })
    }

    /// kubectl for the namespace of the cases.
    pub fn kubectl(&self) -> Kubectl {
        self.plane.admin().in_namespace(NAMESPACE)
    }

    /// All HPAs at this moment, with the conditions that both loops of this release know.
    pub fn seen(&self) -> Seen {
        let mut seen = seen::hpas(&self.kubectl());
        if self.version == Version::Oldest {
            let conditions = seen.values_mut().filter_map(|hpa| hpa["conditions"].as_array_mut());
            conditions
                .for_each(|all| all.retain(|one| !NEWER_CONDITIONS.iter().any(|newer| one[0] == **newer)));
        }
        seen
    }

    /// Makes the workloads and their HPAs.
    pub fn populate(&self) {
        let kubectl = self.plane.namespace(NAMESPACE);
        let objects: Vec<Value> = self.cases.iter().flat_map(Case::objects).collect();
        kubectl.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}));
    }

    /// Sets every load of a step.
    pub fn load(&self, step: usize) {
        for case in &self.cases {
            let load = case.loads[step];
            if let Some(cpu) = load.cpu {
                self.simulation.set_load_cpu(NAMESPACE, case.name, cpu).expect("an amount");
            }
            if let Some(memory) = load.memory {
                self.simulation.set_load_memory(NAMESPACE, case.name, memory).expect("an amount");
            }
        }
    }

    /// The objects of the cases and what the programs said, for messages.
    pub fn state(&self) -> String {
        let hpa = self.hpa_program.as_ref().map(Program::state);
        let metrics_server = self.metrics_server.as_ref().map(MetricsServer::state);
        let programs = [hpa, metrics_server].into_iter().flatten().collect::<Vec<_>>().join("\n");
        format!("{}\n{programs}", self.kubectl().state())
    }

    /// Whether there is a metrics server.
    pub fn has_metrics_server(&self) -> bool {
        self.metrics_server.is_some()
    }

    /// Starts a metrics server in place of the one before, which then ends.
    pub fn serve_metrics(&mut self, by: By) {
        let authority = format!("--kubelet-certificate-authority={}", self.authority.display());
        let server = MetricsServer::start(&self.plane, by, &[&authority, "--kubelet-use-node-status-port"]);
        if self.has_metrics_server() {
            server.take_over(&self.plane);
        } else {
            server.serve(&self.plane);
        }
        self.metrics_server = Some(server);
    }
}

/// Starts our loop of HPAs, or upstream's anew with the flags of this suite.
pub fn start_loop(plane: &Plane, hpa: By) -> Option<Program> {
    match hpa {
        By::Upstream => {
            plane.set_flags(Part::ControllerManager, &HPA_FLAGS);
            plane.restart(Part::ControllerManager);
            None
        }
        By::Ours => {
            install(plane, "hpa-replace");
            // Not on every address: another of these may run on this machine.
            let address = format!("--bind-address={}", plane.address());
            let mut arguments = vec!["hpa", "--mode=replace", &address];
            arguments.extend(HPA_FLAGS);
            Some(plane.run_as("flyball-system", "flyball-hpa", &arguments))
        }
    }
}

fn simulation(plane: &Plane) -> Simulation {
    let addresses = (0..NODES).map(|_| SocketAddr::from((plane.address(), KUBELET_PORT)));
    let mut config = Config::new("hollow", addresses);
    config.kubeconfig = Some(plane.admin_kubeconfig().to_owned());
    // Every scrape sees the moment it is made at, so that both metrics servers see a change equally fast.
    config.sampling = Sampling::Continuous;
    Simulation::start(config)
        .unwrap_or_else(|error| panic!("the simulation does not start: {error}\n{}", plane.state()))
}
