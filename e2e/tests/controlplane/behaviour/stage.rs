//! Simulated nodes and our programs beside a control plane, with the rights that `deploy/` gives them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use flyball_benches::kubelets::{Config, Sampling, Simulation};
use flyball_e2e::plane::Plane;
use flyball_e2e::{Kubectl, MINUTE, Program, eventually, flyball_binary};
use serde_json::json;

use super::direct::{Answer, Caller};
use super::manifests::Manifests;
use crate::shipped::SYSTEM;

/// Port of every kubelet.
const KUBELET_PORT: u16 = 10250;

/// Ports of our programs, as shipped.
const METRICS_PORT: u16 = 4443;
const HPA_PORT: u16 = 8443;
const COLLECTOR_PORT: u16 = 4194;

/// Name of the metrics server's Service, Deployment and service account.
pub const METRICS_SERVER: &str = "flyball-metrics-server";

/// Name of the autoscaler's, and of its Lease.
pub const HPA: &str = "flyball-hpa";

/// Name of the collector's, and its namespace.
pub const COLLECTOR: &str = "flyball-collector";

/// Both versions of the API.
pub const API_SERVICES: [&str; 2] = ["v1beta1.metrics.k8s.io", "v1.metrics.k8s.io"];

/// A program of ours that serves.
#[derive(Debug)]
pub struct Server {
    pub program: Program,
    pub address: SocketAddr,
}

impl Server {
    /// A `GET` by someone without credentials.
    pub fn anonymous(&self, path: &str) -> Result<Answer, String> {
        Caller::default().get(self.address, path)
    }

    /// Waits until it says that it is ready.
    #[track_caller]
    pub fn ready(self) -> Self {
        eventually(
            MINUTE,
            "the program is ready",
            || self.program.state(),
            || {
                let answer = self.anonymous("/readyz?verbose")?;
                if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
            },
        );
        self
    }

    /// Waits until the end of its log holds `text`.
    #[track_caller]
    pub fn says(&self, limit: Duration, text: &str) {
        eventually(limit, &format!("the program says {text:?}"), String::new, || {
            let state = self.program.state();
            if state.contains(text) { Ok(()) } else { Err(state) }
        });
    }

    /// Waits until the end of its log holds `text` after the last `earlier`.
    #[track_caller]
    pub fn says_after(&self, limit: Duration, earlier: &str, text: &str) {
        eventually(limit, &format!("the program says {text:?} after {earlier:?}"), String::new, || {
            let state = self.program.state();
            if state.rfind(text) > state.rfind(earlier) { Ok(()) } else { Err(state) }
        });
    }

    /// Fails if it has ended.
    #[track_caller]
    pub fn still_runs(&mut self) {
        let ended = self.program.wait(Duration::ZERO);
        assert!(ended.is_none(), "it ended: {}", self.program.state());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.program.state());
        }
    }
}

/// Simulated nodes, and the objects of an overlay. Dropping it removes both.
pub struct Stage<'a> {
    pub plane: &'a Plane,
    pub sim: Simulation,
    pub shipped: Manifests,
    kubelet_authority: PathBuf,
    places: Mutex<Vec<String>>,
}

impl<'a> Stage<'a> {
    /// So many nodes, `node-0` and so on, and everything that the overlay `everything` ships.
    pub fn set(plane: &'a Plane, nodes: usize) -> Self {
        let shipped = Manifests::of_overlay(plane, "everything");
        shipped.apply(plane);
        let addresses = (0..nodes).map(|_| SocketAddr::from((plane.address(), KUBELET_PORT)));
        let mut config = Config::new("node", addresses);
        config.kubeconfig = Some(plane.admin_kubeconfig().to_owned());
        config.sampling = Sampling::Continuous;
        let sim = Simulation::start(config).expect("the simulation starts");
        let kubelet_authority = plane.folder().join("kubelet-ca.crt");
        let authority = sim.authority_pem().expect("the kubelets have an authority");
        std::fs::write(&kubelet_authority, authority).expect("the authority is written");
        Self { plane, sim, shipped, kubelet_authority, places: Mutex::default() }
    }

    /// A namespace for workloads.
    pub fn place(&self, name: &str) -> Kubectl {
        self.places.lock().expect("no test panics here").push(name.to_owned());
        self.plane.namespace(name)
    }

    /// Where a program is to listen, and all its arguments.
    fn arguments(
        &self,
        shipped: &Manifests,
        name: &str,
        port: u16,
        extra: &[&str],
    ) -> (SocketAddr, Vec<String>) {
        let address = SocketAddr::from((self.plane.address(), port));
        let mut others = vec![format!("--bind-address={}", address.ip())];
        others.extend(extra.iter().map(|&argument| argument.to_owned()));
        (address, shipped.arguments(name, &others))
    }

    fn start(
        &self,
        shipped: &Manifests,
        name: &str,
        port: u16,
        extra: &[&str],
        environment: &[(&str, &str)],
    ) -> Server {
        let namespace = if name == COLLECTOR { COLLECTOR } else { shipped.namespace() };
        let (address, arguments) = self.arguments(shipped, name, port, extra);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let program = self.plane.run_as_with(namespace, name, &arguments, environment);
        Server { program, address }
    }

    /// A metrics server and an autoscaler that start when something else was done, such as stopping the API server that
    /// has to give them their tokens first.
    pub fn started_when(&self, done: impl FnOnce()) -> [Server; 2] {
        let gate = self.plane.folder().join("gate");
        let _ = std::fs::remove_file(&gate);
        let script = format!("while ! [ -e '{}' ]; do sleep 0.1; done; exec \"$@\"", gate.display());
        let authority = self.trust();
        let servers = [
            (METRICS_SERVER, METRICS_PORT, [authority.as_str(), "--metric-resolution=1s"]),
            (HPA, HPA_PORT, ["--mode=replace", "--leader-elect=true"]),
        ]
        .map(|(name, port, extra)| {
            let (address, arguments) = self.arguments(&self.shipped, name, port, &extra);
            let binary = flyball_binary().display().to_string();
            let mut words = vec!["-c", &script, "sh", &binary];
            words.extend(arguments.iter().map(String::as_str));
            let program = self.plane.run_program(Path::new("/bin/sh"), SYSTEM, name, &words, &[]);
            Server { program, address }
        });
        done();
        std::fs::write(&gate, "").expect("the gate is opened");
        servers
    }

    /// The flag by which a metrics server trusts the simulated kubelets.
    fn trust(&self) -> String {
        format!("--kubelet-certificate-authority={}", self.kubelet_authority.display())
    }

    /// Starts a metrics server as shipped, with further or other flags; it trusts the simulated kubelets.
    pub fn metrics_server(&self, extra: &[&str], environment: &[(&str, &str)]) -> Server {
        let authority = self.trust();
        let extra = [&[authority.as_str()], extra].concat();
        self.start(&self.shipped, METRICS_SERVER, METRICS_PORT, &extra, environment)
    }

    /// A metrics server that has data soon, behind its Service and its APIServices.
    pub fn metrics(&self) -> Server {
        let server = self.metrics_server(&["--metric-resolution=1s"], &[]);
        self.serve(&[&server]);
        self.eventually_available();
        server.ready()
    }

    /// Leads the Service of the metrics server to these, and the API server to the Service.
    pub fn serve(&self, servers: &[&Server]) {
        let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
        self.plane.serve_group_many(SYSTEM, METRICS_SERVER, 443, &addresses);
        self.shipped.apply_api_services(self.plane);
    }

    /// Leads the Service to others than before, without a moment in which it leads nowhere.
    pub fn lead_to(&self, servers: &[&Server]) {
        let endpoint =
            |server: &&Server| json!({"addresses": [server.address.ip()], "conditions": {"ready": true}});
        let endpoints: Vec<_> = servers.iter().map(endpoint).collect();
        let patch = json!({"endpoints": endpoints}).to_string();
        let slice = format!("endpointslice/{METRICS_SERVER}-e2e");
        self.plane.admin().in_namespace(SYSTEM).ok(&["patch", &slice, "--type=merge", "--patch", &patch]);
    }

    /// Whether both APIServices are Available; if not, why.
    pub fn available(&self) -> Result<(), String> {
        let services = self.plane.admin().json(&[&["get", "apiservices"], &API_SERVICES[..]].concat());
        let available = |service: &serde_json::Value| {
            let conditions = service["status"]["conditions"].as_array();
            conditions.into_iter().flatten().any(|it| it["type"] == "Available" && it["status"] == "True")
        };
        let all = services["items"].as_array().is_some_and(|items| items.iter().all(available));
        if all { Ok(()) } else { Err(services.to_string()) }
    }

    /// Waits until both APIServices are Available.
    #[track_caller]
    pub fn eventually_available(&self) {
        eventually(MINUTE, "the APIServices are Available", || self.plane.state(), || self.available());
    }

    /// Starts an autoscaler as shipped, with further or other flags.
    pub fn hpa(&self, extra: &[&str]) -> Server {
        self.hpa_with(extra, &[])
    }

    /// [`Stage::hpa`] with more environment variables.
    pub fn hpa_with(&self, extra: &[&str], environment: &[(&str, &str)]) -> Server {
        self.start(&self.shipped, HPA, HPA_PORT, extra, environment)
    }

    /// [`Stage::hpa`] in a pod of this name.
    pub fn hpa_named(&self, extra: &[&str], name: &str) -> Server {
        self.hpa_with(extra, &[("POD_NAME", name)])
    }

    /// Starts an autoscaler of another install.
    pub fn hpa_of(&self, shipped: &Manifests, extra: &[&str]) -> Server {
        self.start(shipped, HPA, HPA_PORT, extra, &[])
    }

    /// Starts a collector of this machine as shipped, with its certificate in other files.
    pub fn collector(&self, node: &str, certificate: &str, key: &str) -> Server {
        let extra = [
            &format!("--node-name={node}"),
            &format!("--tls-cert-file={certificate}"),
            &format!("--tls-private-key-file={key}"),
        ];
        self.start(&self.shipped, COLLECTOR, COLLECTOR_PORT, &extra.map(String::as_str), &[])
    }

    /// Who holds the autoscaler's Lease; empty when nobody does.
    pub fn leader(&self) -> String {
        let path = "jsonpath={.spec.holderIdentity}";
        let arguments = ["get", "lease", HPA, "--ignore-not-found", "--output", path];
        self.plane.admin().in_namespace(SYSTEM).ok(&arguments).trim().to_owned()
    }

    /// Waits until another than `before` holds the Lease; returns who.
    #[track_caller]
    pub fn eventually_leads(&self, limit: Duration, before: &str) -> String {
        eventually(
            limit,
            &format!("another than {before:?} leads"),
            || self.plane.state(),
            || {
                let holder = self.leader();
                if holder.is_empty() || holder == before {
                    Err(format!("holder: {holder:?}"))
                } else {
                    Ok(holder)
                }
            },
        )
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.shipped.remove(self.plane);
        let admin = self.plane.admin();
        let kept = ["lease,configmap,hpa", "--all", "--wait=false"];
        let _ = admin.in_namespace(SYSTEM).run(&[&["delete"], &kept[..]].concat());
        for place in self.places.lock().into_iter().flat_map(|places| places.clone()) {
            let _ = admin.run(&["delete", "namespace", &place, "--ignore-not-found", "--wait=false"]);
        }
        let _ = self.sim.remove_nodes();
        // What an install of the tests needs no more; a given cluster shall keep nothing.
        if std::env::var_os("FLYBALL_E2E_KUBECONFIG").is_some() {
            let _ =
                admin.run(&["delete", "namespace", SYSTEM, COLLECTOR, "--ignore-not-found", "--wait=false"]);
        }
    }
}

/// The patch that gives a Node or Pod this status.
pub fn status(status: &serde_json::Value) -> String {
    json!({"status": status}).to_string()
}
