//! What all trials share: an API server that logs refusals, hollow nodes, metrics of every type, and users who ask.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flyball_benches::kubelets::{Certificates, Config, Sampling, Simulation};
use flyball_e2e::plane::Plane;
use flyball_e2e::{Kubectl, MINUTE};
use serde_json::{Value, json};

use super::audit;
use super::custom_metrics;
use super::history;
use super::objects;
use super::pods::Groups;
use super::subject::Subject;
use super::trial::{Situation, Trial};
use crate::behaviour::direct::Caller;
use crate::shipped::{Overlay, installer, of_kind};

/// Namespace of what is no trial's own.
pub const COMMON: &str = "permissions";

/// A service account and a certificate's user of this name may read `/metrics` and the metrics API.
pub const READER: &str = "permissions-reader";

/// A hollow node, and a real collector that stands in for the kubelet of a second one.
pub const HOLLOW_NODE: &str = "permissions-0";
pub const COLLECTED_NODE: &str = "permissions-1";

/// How often nodes report; they count as lost after half a minute more.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// Prometheus' usual port.
const HISTORY_PORT: u16 = 9090;

/// First port that is handed out.
const FIRST_PORT: u16 = 20_000;

/// See the module.
pub struct Scene<'a> {
    pub plane: &'a Plane,
    pub address: Ipv4Addr,
    reader: Caller,
    reader_by_certificate: Caller,
    reader_by_proxy: Caller,
    administrator: Caller,
    port: AtomicU16,
    /// Where a Prometheus answers.
    pub history: SocketAddr,
    nodes: Mutex<Vec<Simulation>>,
    groups: Mutex<Groups>,
    programs: Vec<(String, Trial)>,
}

impl<'a> Scene<'a> {
    /// Prepares everything; a collector and a metrics server of these are there for the others.
    pub fn set(plane: &'a Plane, subjects: &[Subject]) -> Self {
        audit::keep(plane);
        let _ = plane.namespace(COMMON);
        let own_kind = Overlay::named("hpa-own-kind").objects(&installer(plane));
        for definition in of_kind(&own_kind, "CustomResourceDefinition") {
            installer(plane).apply(definition);
        }
        installer(plane).apply(&json!({"apiVersion": "v1", "kind": "List", "items": common_objects()}));
        let pki = plane.pki();
        let token = plane.token_of(COMMON, READER, &[]);
        let as_reader = |caller: Caller| caller.header("X-Remote-User", READER);
        let mut scene = Self {
            plane,
            address: plane.address(),
            reader: Caller::default().token(&token),
            reader_by_certificate: Caller::default().certificate(&pki.client(READER, &[])),
            reader_by_proxy: as_reader(Caller::default().certificate(pki.front_proxy())),
            administrator: Caller::default().certificate(&pki.client("permissions", &["system:masters"])),
            port: AtomicU16::new(FIRST_PORT),
            history: SocketAddr::from((plane.address(), HISTORY_PORT)),
            nodes: Mutex::new(vec![hollow(plane, "permissions", 2)]),
            groups: Mutex::default(),
            programs: Vec::new(),
        };
        history::serve(scene.history);
        let port = scene.free_port();
        let issued = plane.pki().server(&["custom-metrics"], &[scene.address.into()]);
        custom_metrics::serve(SocketAddr::from((scene.address, port)), &issued);
        scene.serve_api("custom.metrics.k8s.io", &["v1beta2"], "custom-metrics", port);
        for node in objects::POD_NODES {
            let name = if node == COLLECTED_NODE { "early" } else { "early-hollow" };
            scene.kubectl().apply(&objects::pod(name, node));
        }
        scene.groups().add(&scene, "early");
        for (index, subject) in subjects.iter().enumerate() {
            scene.start(subject, index);
        }
        scene
    }

    /// Starts a program with everything granted, for the others.
    fn start(&mut self, subject: &Subject, index: usize) {
        let mut trial = Trial::new(self, 0, index, Situation::Ordinary, None);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": trial.objects(subject)});
        self.kubectl().apply(&list);
        trial.start(self, subject);
        match subject.part.as_str() {
            "collector" => self.stand_in(trial.port),
            "hpa" => self.serve_api("decisions.flyball.io", &["v1"], "decisions", trial.port),
            _ => self.serve_api("metrics.k8s.io", &["v1beta1", "v1"], "metrics", trial.port),
        }
        self.programs.push((subject.part.clone(), trial));
    }

    /// Makes a collector the kubelet of [`COLLECTED_NODE`], where nothing else is put.
    fn stand_in(&self, port: u16) {
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": self.address}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }});
        let (kubectl, status) = (self.kubectl(), status.to_string());
        kubectl.ok(&["cordon", COLLECTED_NODE]);
        kubectl.ok(&[
            "patch",
            "node",
            COLLECTED_NODE,
            "--subresource=status",
            "--type=merge",
            "--patch",
            &status,
        ]);
    }

    /// Leads the API server to a port of [`Scene::address`] for a group, and waits until it goes there.
    fn serve_api(&self, group: &str, versions: &[&str], service: &str, port: u16) {
        let target = SocketAddr::from((self.address, port));
        self.plane.serve_group(COMMON, service, 443, target);
        let kubectl = self.kubectl();
        for version in versions {
            let name = format!("{version}.{group}");
            kubectl.apply(&json!({
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name},
                "spec": {
                    "group": group, "version": version, "insecureSkipTLSVerify": true,
                    "groupPriorityMinimum": 100, "versionPriority": 100,
                    "service": {"namespace": COMMON, "name": service, "port": 443},
                },
            }));
            let condition = "jsonpath={.status.conditions[?(@.type=='Available')].status}";
            kubectl.eventually_prints(MINUTE, &["get", "apiservice", &name, "--output", condition], "True");
        }
    }

    /// Adds what is to be noticed by all programs of a batch: a pod, and where nodes are looked at, a node.
    pub fn add_late(&self, part: &str, name: &str) {
        match part {
            "metrics-server" | "server" => {
                let node = hollow(self.plane, name, 1);
                self.nodes.lock().unwrap_or_else(PoisonError::into_inner).push(node);
                self.kubectl().apply(&objects::pod(name, HOLLOW_NODE));
            }
            "adapter" => drop(self.kubectl().apply(&objects::pod(name, HOLLOW_NODE))),
            "collector" => {
                self.kubectl().apply(&objects::pod(name, COLLECTED_NODE));
                self.groups().add(self, name);
            }
            _ => {}
        }
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// kubectl that takes namespaces from the objects.
    pub fn kubectl(&self) -> Kubectl {
        installer(self.plane)
    }

    /// A port at [`Scene::address`] that nobody else has.
    pub fn free_port(&self) -> u16 {
        self.port.fetch_add(1, Ordering::Relaxed)
    }

    /// Where the API server listens.
    pub fn api_server(&self) -> SocketAddr {
        let address = self.plane.url().trim_start_matches("https://");
        address.parse().unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    /// Where a program with everything granted listens.
    pub fn program(&self, part: &str) -> SocketAddr {
        let (_, trial) = self.programs.iter().find(|(known, _)| known == part).expect("it was started");
        SocketAddr::from((self.address, trial.port))
    }

    /// Namespace of that program and of what it works on.
    pub fn namespace_of(&self, part: &str) -> &str {
        let (_, trial) = self.programs.iter().find(|(known, _)| known == part).expect("it was started");
        &trial.namespace
    }

    /// An object, or a list, as the API server has it.
    ///
    /// # Errors
    /// It is not there, or nobody answers.
    pub fn object(&self, path: &str) -> Result<Value, String> {
        let answer = self.administrator.get(self.api_server(), path)?;
        let body = unchunked(&answer.body);
        let value: Value = serde_json::from_str(&body).map_err(|error| format!("{path}: {error}: {body}"))?;
        if answer.status == 200 {
            Ok(value)
        } else {
            Err(format!("{path}: {}: {}", answer.status, value["message"]))
        }
    }

    /// What a program of ours answers [`READER`], who comes with a token.
    ///
    /// # Errors
    /// It refuses, or does not answer.
    pub fn read(&self, port: u16, path: &str) -> Result<String, String> {
        self.ask(&self.reader, port, path)
    }

    /// As [`Scene::read`] by a client certificate.
    ///
    /// # Errors
    /// As there.
    pub fn read_by_certificate(&self, port: u16, path: &str) -> Result<String, String> {
        self.ask(&self.reader_by_certificate, port, path)
    }

    /// As [`Scene::read`] by way of the API server's aggregator.
    ///
    /// # Errors
    /// As there.
    pub fn read_by_proxy(&self, port: u16, path: &str) -> Result<String, String> {
        self.ask(&self.reader_by_proxy, port, path)
    }

    fn ask(&self, caller: &Caller, port: u16, path: &str) -> Result<String, String> {
        let answer = caller.get(SocketAddr::from((self.address, port)), path)?;
        let body = unchunked(&answer.body);
        if answer.status == 200 { Ok(body) } else { Err(format!("{path}: {}: {body}", answer.status)) }
    }
}

fn hollow(plane: &Plane, prefix: &str, nodes: usize) -> Simulation {
    let addresses = std::iter::repeat_with(|| SocketAddr::from((plane.address(), 10250))).take(nodes);
    let mut config = Config::new(prefix, addresses);
    let authority = plane.pki().authority();
    config.kubeconfig = Some(plane.admin_kubeconfig().to_owned());
    config.certificates = Certificates::Authority {
        certificate_pem: authority.certificate_pem(),
        key_pem: authority.key_pem(),
    };
    config.sampling = Sampling::Continuous;
    // Every thirtieth time the whole status is reported, which would undo [`Scene::stand_in`].
    config.heartbeat = HEARTBEAT;
    Simulation::start(config).unwrap_or_else(|error| panic!("{error}"))
}

/// The body of an answer that came in chunks.
fn unchunked(body: &str) -> String {
    let mut whole = String::new();
    let mut rest = body;
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size, 16) else { break };
        let Some(chunk) = after.get(..size) else { break };
        whole.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    if whole.is_empty() { body.to_owned() } else { whole }
}

/// The API of external metrics, made of custom resources: a metric is a resource, and its values are the items of a list.
fn external_metrics() -> Value {
    let (group, plural) = ("external.metrics.k8s.io", "orders");
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": "Order"},
            "versions": [
                {"name": "v1beta1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}},
            ],
        },
    })
}

fn common_objects() -> Vec<Value> {
    let metadata = json!({"name": READER});
    let subjects = json!([
        {"kind": "ServiceAccount", "name": READER, "namespace": COMMON},
        {"kind": "User", "name": READER, "apiGroup": "rbac.authorization.k8s.io"},
    ]);
    let rules = json!([
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
        {"apiGroups": ["metrics.k8s.io"], "resources": ["nodes", "pods"], "verbs": ["get", "list"]},
        {"apiGroups": ["custom.metrics.k8s.io"], "resources": ["*"], "verbs": ["get"]},
    ]);
    let role_ref = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": READER});
    let mut all = objects::of_every_kind();
    all.extend([
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": READER, "namespace": COMMON}}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": metadata, "subjects": subjects, "roleRef": role_ref,
        }),
        external_metrics(),
    ]);
    all
}
