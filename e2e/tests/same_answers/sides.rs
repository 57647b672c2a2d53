//! Both programs over the same kubelets.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flyball_apiserver::{CaBundle, CertificateAuthority, Issued};
use flyball_benches::kubelets::demand::{Amount, Demand};
use flyball_benches::kubelets::pod::{Running, SimulatedPod};
use flyball_benches::kubelets::{Config, Sampling, Simulation};
use flyball_e2e::plane::{Version, control_plane, upstream_metrics_server};
use flyball_e2e::{Finished, MINUTE, Program, SHORT, eventually, flyball_binary, has_program, run, skipped};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::api::{Api, World};
use super::ask::{Answer, Question, ask};
use super::odd;

const NODES: usize = 2;
/// Enough for a list above the size from which answers are compressed.
const MANY_PODS: usize = 700;
/// Upstream's shortest resolution, and the longest time-out it takes with it.
const FLAGS: [&str; 4] = [
    "--metric-resolution=10s",
    "--kubelet-request-timeout=9s",
    "--kubelet-use-node-status-port",
    "--kubelet-preferred-address-types=InternalIP",
];

/// Certificates of those who ask.
pub struct People {
    folder: PathBuf,
    pub clients: CertificateAuthority,
}

impl People {
    pub fn make(folder: &Path) -> (People, Value) {
        let clients = CertificateAuthority::new("clients").expect("an authority");
        let (proxies, others) = (
            CertificateAuthority::new("proxies").expect("an authority"),
            CertificateAuthority::new("others").expect("an authority"),
        );
        let people = People { folder: folder.to_owned(), clients };
        let client =
            |name: &str, groups: &[&str]| people.clients.issue_client(name, groups).expect("a certificate");
        let week = Duration::from_secs(7 * 24 * 3600);
        let expired = people
            .clients
            .issue_client_for("admin", &["system:masters"], SystemTime::now() - 2 * week, week)
            .expect("a certificate");
        for (name, issued) in [
            ("admin", client("admin", &["system:masters"])),
            ("reader", client("reader", &["g"])),
            ("stranger", client("stranger", &[])),
            ("undecided", client("undecided", &[])),
            ("expired", expired),
            ("other-ca", others.issue_client("admin", &["system:masters"]).expect("a certificate")),
            ("front-proxy", proxies.issue_client("front-proxy-client", &[]).expect("a certificate")),
            ("wrong-proxy", proxies.issue_client("somebody", &[]).expect("a certificate")),
        ] {
            people.write(name, &issued);
        }
        let authentication = json!({
            "kind": "ConfigMap", "apiVersion": "v1",
            "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system", "resourceVersion": "1"},
            "data": {
                "client-ca-file": people.clients.certificate_pem(),
                "requestheader-client-ca-file": proxies.certificate_pem(),
                "requestheader-allowed-names": "[\"front-proxy-client\"]",
                "requestheader-username-headers": "[\"X-Remote-User\"]",
                "requestheader-group-headers": "[\"X-Remote-Group\"]",
                "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
                "requestheader-uid-headers": "[\"X-Remote-Uid\"]",
            },
        });
        (people, authentication)
    }

    fn write(&self, name: &str, issued: &Issued) {
        let both = format!("{}\n{}", issued.certificate_pem, issued.key_pem);
        for (ending, text) in [("pem", &both), ("crt", &issued.certificate_pem), ("key", &issued.key_pem)] {
            let mut options = std::fs::File::options();
            let path = self.folder.join(format!("{name}.{ending}"));
            let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
            std::io::Write::write_all(&mut file.expect("a file"), text.as_bytes()).expect("it is written");
        }
    }

    /// Certificate and key of one of them, in one file.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }

    /// The files of the certificate and of the key.
    fn files(&self, name: &str) -> (PathBuf, PathBuf) {
        (self.folder.join(format!("{name}.crt")), self.folder.join(format!("{name}.key")))
    }

    pub fn bundle(&self) -> CaBundle {
        CaBundle::from_pem(&self.clients.certificate_pem(), "clients").expect("a bundle")
    }
}

/// One metrics server, and the API server that it is behind.
pub struct Side {
    address: SocketAddr,
    admin: PathBuf,
    kubeconfig: PathBuf,
    /// The metrics server's own.
    own: PathBuf,
    home: PathBuf,
    program: Program,
}

impl Side {
    pub fn ask(&self, question: &Question) -> Answer {
        ask(self.address, question, &self.admin)
    }

    /// What kubectl prints: standard output, standard error and exit code.
    pub fn kubectl(&self, program: &Path, arguments: &[&str]) -> (String, String, Option<i32>) {
        let mut command = Command::new(program);
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig).env("HOME", &self.home);
        let finished = run(command, "", SHORT);
        (finished.stdout, finished.stderr, finished.status.and_then(|status| status.code()))
    }

    fn wait_until_ready(&self) {
        let ready = Question::get("/readyz");
        let look = || {
            let answer = self.ask(&ready);
            if answer.code == "200" { Ok(()) } else { Err(format!("{answer:?}")) }
        };
        eventually(2 * MINUTE, "the metrics server is ready", || self.program.state(), look);
    }
}

/// Everything that runs.
pub struct Sides {
    pub ours: Side,
    pub theirs: Side,
    pub people: People,
    /// File with the authority of the kubelets' certificates.
    authority: PathBuf,
    _simulation: Simulation,
    _runtime: Runtime,
    _folder: TempDir,
}

impl Sides {
    /// `None`, said aloud, where something is missing.
    pub fn start() -> Option<Sides> {
        let upstream = upstream()?;
        let folder = tempfile::Builder::new().prefix("flyball-same-").tempdir().expect("a folder");
        let (people, authentication) = People::make(folder.path());
        let simulation = simulation();
        let world = Arc::new(world(&simulation, authentication));
        let authority = folder.path().join("kubelets.crt");
        std::fs::write(&authority, simulation.authority_pem().unwrap_or_default()).expect("a file");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let start = |name: &str, program: &Path, first: &[&str]| {
            let api = runtime.block_on(Api::start(world.clone(), &people, CancellationToken::new()));
            side(name, program, first, &people, folder.path(), &authority, &api, &runtime)
        };
        let theirs = start("theirs", &upstream, &[]);
        let ours = start("ours", flyball_binary(), &["metrics-server"]);
        theirs.wait_until_ready();
        ours.wait_until_ready();
        Some(Sides {
            ours,
            theirs,
            people,
            authority,
            _simulation: simulation,
            _runtime: runtime,
            _folder: folder,
        })
    }

    /// `flyball doctor kubelets` with the metrics server's credentials, and with or without the kubelets' authority.
    pub fn doctor(&self, knows_authority: bool) -> Finished {
        let mut command = Command::new(flyball_binary());
        command.args(["doctor", "kubelets", "--kubelet-use-node-status-port", "--kubeconfig"]);
        command.arg(&self.ours.own).env("HOME", &self.ours.home);
        if knows_authority {
            command.arg("--kubelet-certificate-authority").arg(&self.authority);
        }
        run(command, "", SHORT)
    }
}

/// Both programs over odd kubelets.
pub struct OddSides {
    pub ours: Side,
    pub theirs: Side,
    stop: CancellationToken,
    _runtime: Runtime,
    _folder: TempDir,
}

impl OddSides {
    /// `None`, said aloud, where something is missing.
    pub fn start() -> Option<OddSides> {
        let upstream = upstream()?;
        let folder = tempfile::Builder::new().prefix("flyball-odd-").tempdir().expect("a folder");
        let (people, authentication) = People::make(folder.path());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (authority, stop) = (folder.path().join("kubelets.crt"), CancellationToken::new());
        let world = Arc::new(runtime.block_on(odd::start(&authority, authentication, &stop)));
        let start = |name: &str, program: &Path, first: &[&str]| {
            let api = runtime.block_on(Api::start(world.clone(), &people, stop.clone()));
            side(name, program, first, &people, folder.path(), &authority, &api, &runtime)
        };
        let theirs = start("theirs", &upstream, &[]);
        let ours = start("ours", flyball_binary(), &["metrics-server"]);
        theirs.wait_until_ready();
        ours.wait_until_ready();
        Some(OddSides { ours, theirs, stop, _runtime: runtime, _folder: folder })
    }
}

impl Drop for OddSides {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Upstream's program, where everything is there that these tests need.
fn upstream() -> Option<PathBuf> {
    let Some(upstream) = upstream_metrics_server() else {
        skipped("upstream's metrics-server is not built: `cargo xtask e2e` builds it with Go");
        return None;
    };
    if !has_program("curl") {
        skipped("no curl in PATH");
        return None;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    Some(upstream)
}

#[allow(clippy::too_many_arguments, reason = "the parts of one stage")]
fn side(
    name: &str,
    program: &Path,
    first: &[&str],
    people: &People,
    folder: &Path,
    authority: &Path,
    api: &Api,
    runtime: &Runtime,
) -> Side {
    let home = folder.join(name);
    std::fs::create_dir_all(&home).expect("a folder");
    let write = |file: &str, user: Value| {
        let path = home.join(file);
        std::fs::write(&path, kubeconfig(api.address, &people.clients, &user).to_string()).expect("a file");
        path
    };
    let own = write("own.json", json!({"token": name}));
    let admin = people.file("admin");
    let (certificate, key) = people.files("admin");
    let kubeconfig = write("admin.json", json!({"client-certificate": certificate, "client-key": key}));
    let address = free_address();
    let mut command = Command::new(program);
    command.args(first).args(FLAGS).args([
        format!("--kubeconfig={}", own.display()),
        format!("--authentication-kubeconfig={}", own.display()),
        format!("--authorization-kubeconfig={}", own.display()),
        format!("--kubelet-certificate-authority={}", authority.display()),
        format!("--cert-dir={}", home.display()),
        format!("--bind-address={}", address.ip()),
        format!("--secure-port={}", address.port()),
    ]);
    command.env("HOME", &home).env_remove("KUBECONFIG").env_remove("FLYBALL_LOG");
    let program = Program::start(command, &home.join("log"));
    let mut config = kube::Config::new(format!("https://{address}").parse().expect("a URL"));
    config.accept_invalid_certs = true;
    let (certificate, key) = people.files("front-proxy");
    config.auth_info.client_certificate = Some(certificate.display().to_string());
    config.auth_info.client_key = Some(key.display().to_string());
    let entered = runtime.enter();
    let client = kube::Client::try_from(config).expect("a client");
    drop(entered);
    assert!(api.backend.set(client).is_ok(), "one backend each");
    Side { address, admin, kubeconfig, own, home, program }
}

fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

fn kubeconfig(api: SocketAddr, authority: &CertificateAuthority, user: &Value) -> Value {
    use base64::Engine as _;
    let authority = base64::prelude::BASE64_STANDARD.encode(authority.certificate_pem());
    let cluster = json!({"server": format!("https://{api}"), "certificate-authority-data": authority});
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    })
}

/// kubectl in PATH, and those of the oldest and the newest control plane where they are built.
pub fn kubectls() -> Vec<PathBuf> {
    let mut all = Vec::new();
    if has_program("kubectl") {
        all.push("kubectl".into());
    }
    all.extend([Version::Oldest, Version::Current].into_iter().filter_map(kubectl_of));
    if all.is_empty() {
        skipped("no kubectl in PATH (Debian: apt-get install kubernetes-client)");
    }
    all
}

/// The control plane's program is kubectl too, by the name it is called.
fn kubectl_of(version: Version) -> Option<PathBuf> {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("a folder"));
    let place = folder.path().join(format!("{version:?}"));
    std::fs::create_dir_all(&place).ok()?;
    let link = place.join("kubectl");
    let _ = std::os::unix::fs::symlink(control_plane(version)?, &link);
    Some(link)
}

fn simulation() -> Simulation {
    let addresses = (0..NODES).map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let mut config = Config::new("sim", addresses);
    config.sampling = Sampling::Every { period: Duration::from_secs(10), spread: false };
    let simulation = Simulation::start(config).expect("kubelets start");
    for pod in pods() {
        simulation.place(pod);
    }
    simulation
}

fn pods() -> Vec<SimulatedPod> {
    let hour_ago = UNIX_EPOCH.elapsed().expect("a clock").as_millis() as i64 - 3_600_000;
    let pod = |namespace: &str, name: &str, node: &str, containers: &[&str], cpu: &str, memory: &str| {
        SimulatedPod {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            node: node.to_owned(),
            app: name.to_owned(),
            containers: containers
                .iter()
                .map(|name| Running { name: (*name).to_owned(), started_ms: hour_ago })
                .collect(),
            takes_load: false,
            own: Demand {
                cpu: Some(Amount::cpu(cpu).expect("an amount")),
                memory: Some(Amount::memory(memory).expect("an amount")),
            },
            load: Demand::default(),
        }
    };
    let mut all = vec![
        pod("shop", "web-0", "sim-0", &["main"], "250m", "100Mi"),
        pod("shop", "web-1", "sim-1", &["main", "side"], "1500m", "3Gi"),
        pod("shop", "web-1-a", "sim-1", &["main"], "1m", "1000001"),
        pod("shop", "db", "sim-0", &["main"], "33333333n", "12345Ki"),
        pod("a", "z", "sim-0", &["c"], "2", "1025"),
        pod("a-b", "z", "sim-1", &["c"], "1u", "1023"),
    ];
    all.extend((0..MANY_PODS).map(|index| {
        pod("many", &format!("p-{index:04}"), "sim-1", &["c"], &format!("{}u", index + 1), "20124Ki")
    }));
    all
}

fn world(simulation: &Simulation, authentication: Value) -> World {
    let nodes = simulation.nodes().into_iter().enumerate().map(|(index, (name, address))| {
        let zone = ["a", "b"][index % 2];
        let room = json!({"cpu": "8", "memory": "16Gi"});
        json!({
            "kind": "Node", "apiVersion": "v1",
            "metadata": {"name": name, "resourceVersion": "1", "labels": {"zone": zone, "kubernetes.io/os": "linux"}},
            "status": {
                "capacity": room, "allocatable": room,
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": address.ip().to_string()}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": address.port()}},
            },
        })
    });
    let object = |namespace: &str, name: &str, node: &str, phase: &str| {
        let labels = match name {
            "db" => json!({"app": "db", "tier": "1", "html": "a-b_c.d"}),
            "z" => Value::Null,
            _ => json!({"app": "web"}),
        };
        json!({
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": name, "namespace": namespace, "resourceVersion": "1", "labels": labels,
                "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": node, "containers": []},
            "status": {"phase": phase},
        })
    };
    let mut all: Vec<Value> =
        pods().iter().map(|pod| object(&pod.namespace, &pod.name, &pod.node, "Running")).collect();
    // Running as the API server says, and not known to its kubelet.
    all.push(object("shop", "unseen", "sim-0", "Running"));
    World { nodes: nodes.collect(), pods: all, authentication }
}
