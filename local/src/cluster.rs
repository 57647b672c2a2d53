//! The cluster put together: one folder, one loopback network, one API server, and everything behind it.
//!
//! Start: open the folder (one instance each), claim a network, read or make the keys, listen, run controllers and
//! processes, register the metrics group, write the kubeconfig. Stop: in reverse; workloads first, so that their last
//! status is stored. A failure on the way undoes what was done; each is one sentence that says what to change.
//!
//! The cluster runs no collector, metrics server or autoscaler: it gives each an address on its network, an identity
//! and a certificate, and whoever composes the program starts them.

#![allow(
    clippy::disallowed_methods,
    reason = "a composition: binds sockets, makes the folder, starts and stops tasks"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyball_apiserver::certs::Issued;
use flyball_apiserver::own_metrics::OwnMetrics;
use flyball_apiserver::probes::Probes;
use flyball_apiserver::{ApiserverError, serve};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{AuthError, Identity, kubeconfig, tokens::Tokens};
use crate::controllers::{self, ControllersConfig, Machine, NodeConfig};
use crate::net::{self, Addresses, ClaimError, NetConfig, Network};
use crate::registry::clock;
use crate::registry::{Part, Registry, Resource, Status, StoreError, kinds};
use crate::rest::logs::LogSource;
use crate::rest::{ApiServer, ApiServerParts};
use crate::runtime::{Access, Images, Runtime, RuntimeConfig, RuntimeError, cgroup_access};

/// Pods the node takes.
const MAX_PODS: u32 = 110;
/// Port of the collector on the node's address, as in a cluster.
const COLLECTOR_PORT: u16 = 4194;
/// Port of the metrics server on the node's address.
const METRICS_SERVER_PORT: u16 = 4443;
/// Port of the autoscaler on the node's address.
const HPA_PORT: u16 = 8443;
/// Variables of this process that containers get too.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];
/// How long the tokens of the parts are valid: they are issued anew at each start.
const TOKEN_LIFETIME_MS: i64 = 365 * 24 * 3_600_000;

/// Names of the parts that run around the cluster.
#[derive(Debug)]
pub struct PartNames;

impl PartNames {
    /// Namespace of their service accounts.
    pub const NAMESPACE: &str = "kube-system";
    /// Service account of the collector.
    pub const COLLECTOR: &str = "flyball-collector";
    /// Service account, and Service, of the metrics server.
    pub const METRICS_SERVER: &str = "metrics-server";
    /// Name the aggregator asks the metrics server's certificate for.
    pub const METRICS_SERVER_HOST: &str = "metrics-server.kube-system.svc";
    /// Service account of the autoscaler.
    pub const HPA: &str = "flyball-hpa";
}

/// What a cluster is made from.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// The folder that holds it; made if missing.
    pub dir: PathBuf,
    /// Where the API server listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Commands by image, as `--map` gives them.
    pub images: BTreeMap<String, Vec<String>>,
    /// Command of `flyball.io/burn`.
    pub burn_command: Vec<String>,
    /// Commit of the build, for `/version`.
    pub commit: &'static str,
}

/// Why a cluster cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The folder cannot be made or found.
    #[error("cannot use the folder {dir}: {source}")]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another one with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The objects cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys cannot be read or made.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// No network is free.
    #[error(transparent)]
    Network(#[from] ClaimError),
    /// Processes cannot be run.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A certificate cannot be made or read.
    #[error(transparent)]
    Certificate(#[from] ApiserverError),
    /// An object of the cluster itself is refused.
    #[error("cannot write {what}: {reason}")]
    Object {
        /// Kind and name.
        what: String,
        /// The API's answer.
        reason: String,
    },
    /// A client cannot be set up.
    #[error("cannot set up a client of the API server: {0}")]
    Client(String),
}

/// Where measurements come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accounting {
    /// Control groups below `root`, with limits enforced.
    ControlGroups {
        /// Relative to the mount points.
        root: String,
        /// `v1` or `v2`, for people.
        version: &'static str,
    },
    /// Processes, from /proc; limits are not enforced.
    Processes {
        /// The folder that lists them.
        folder: PathBuf,
    },
}

impl fmt::Display for Accounting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ControlGroups { root, version } => write!(f, "control groups ({version}) below {root}"),
            Self::Processes { .. } => f.write_str(
                "processes in /proc (control groups cannot be made here, so limits are not enforced)",
            ),
        }
    }
}

/// Whether control groups cannot be made from here but could be in a delegated scope of the user's systemd.
#[must_use]
pub fn needs_delegation() -> bool {
    cgroup_access(&format!("flyball-probe-{}", std::process::id())) == Access::NeedsDelegation
}

/// A running cluster. [`Cluster::stop`] ends it in order; dropping it, as a panic does, kills its workloads.
pub struct Cluster {
    dir: PathBuf,
    node_name: String,
    address: SocketAddr,
    network: Network,
    accounting: Accounting,
    identity: Arc<Identity>,
    registry: Registry,
    runtime: Option<Runtime>,
    tasks: TaskTracker,
    stop_controllers: CancellationToken,
    stop_server: CancellationToken,
}

impl Cluster {
    /// Starts a cluster.
    ///
    /// # Errors
    /// See [`LocalError`].
    pub async fn start(config: ClusterConfig) -> Result<Self, LocalError> {
        let dir = folder(&config.dir)?;
        let registry = Registry::open(&dir)?;
        let network = Network::claim(&dir.to_string_lossy())?;
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|source| LocalError::Listen { address: config.listen, source })?;
        let address =
            listener.local_addr().map_err(|source| LocalError::Listen { address: config.listen, source })?;
        let identity = Arc::new(Identity::open(&dir, address.ip())?);
        let accounting = accounting(&dir);
        let machine = Machine::read();
        let node_name = machine.hostname.clone();
        // Before any pod runs: restored pods read the Services' addresses from their environment.
        net::prepare(&registry, &NetConfig { services: network.services(), api_server: address });
        let runtime = start_runtime(&config, &dir, &registry, &network, &accounting, &machine, address)?;
        let logs: Arc<dyn LogSource> = Arc::new(runtime.logs());
        let cluster = Self {
            node_name,
            address,
            accounting,
            identity,
            registry,
            tasks: TaskTracker::new(),
            stop_controllers: CancellationToken::new(),
            stop_server: CancellationToken::new(),
            runtime: Some(runtime),
            network,
            dir,
        };
        match cluster.begin(listener, logs, &config, machine) {
            Ok(()) => Ok(cluster),
            Err(error) => {
                cluster.stop().await;
                Err(error)
            }
        }
    }

    fn begin(
        &self,
        listener: TcpListener,
        logs: Arc<dyn LogSource>,
        config: &ClusterConfig,
        machine: Machine,
    ) -> Result<(), LocalError> {
        self.serve(listener, logs, config.commit)?;
        let node = NodeConfig {
            name: self.node_name.clone(),
            address: IpAddr::V4(self.network.node_address()),
            kubelet_port: Some(COLLECTOR_PORT),
            max_pods: MAX_PODS,
            machine,
            version: concat!("v", env!("CARGO_PKG_VERSION"), "-flyball").to_owned(),
        };
        let net = NetConfig { services: self.network.services(), api_server: self.address };
        let stop = self.stop_controllers.clone();
        self.tasks.spawn(net::run(self.registry.clone(), net, stop.clone()));
        self.tasks.spawn(controllers::run(self.registry.clone(), ControllersConfig { node }, stop));
        self.register_parts()?;
        kubeconfig::write(&self.kubeconfig(), &self.identity, self.address)?;
        Ok(())
    }

    fn serve(&self, listener: TcpListener, logs: Arc<dyn LogSource>, commit: &str) -> Result<(), LocalError> {
        let metrics = OwnMetrics::new();
        let server = ApiServer::new(ApiServerParts {
            registry: self.registry.clone(),
            identity: self.identity.clone(),
            logs,
            address: self.address,
            probes: Probes::new(),
            metrics: metrics.clone(),
            commit: commit.to_owned(),
        })?;
        let served = server.server(&metrics)?;
        let stop = self.stop_server.clone();
        self.tasks.spawn({
            let stop = stop.clone();
            async move { server.run(stop).await }
        });
        self.tasks.spawn(async move {
            if let Err(error) = serve(listener, served, stop).await {
                tracing::error!(%error, "the API server ended");
            }
        });
        Ok(())
    }

    /// The parts' service accounts, and the metrics group behind the metrics server's address.
    fn register_parts(&self) -> Result<(), LocalError> {
        let namespace = PartNames::NAMESPACE;
        for name in [PartNames::COLLECTOR, PartNames::METRICS_SERVER, PartNames::HPA] {
            self.ensure(&kinds::SERVICEACCOUNTS, namespace, name, json!({}))?;
        }
        let name = PartNames::METRICS_SERVER;
        let ports =
            json!([{"name": "https", "port": 443, "targetPort": METRICS_SERVER_PORT, "protocol": "TCP"}]);
        self.ensure(&kinds::SERVICES, namespace, name, json!({"spec": {"ports": ports}}))?;
        let slice = json!({
            "metadata": {"labels": {
                "kubernetes.io/service-name": name,
                "endpointslice.kubernetes.io/managed-by": "flyball-local",
            }},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [self.network.node_address()], "conditions": {"ready": true}}],
            "ports": [{"name": "https", "port": METRICS_SERVER_PORT, "protocol": "TCP"}],
        });
        self.ensure(&kinds::ENDPOINTSLICES, namespace, name, slice)?;
        for version in ["v1", "v1beta1"] {
            let spec = json!({
                "group": "metrics.k8s.io",
                "version": version,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "service": {"namespace": namespace, "name": name, "port": 443},
                "caBundle": STANDARD.encode(self.identity.ca.certificate_pem()),
            });
            self.ensure(
                &kinds::APISERVICES,
                "",
                &format!("{version}.metrics.k8s.io"),
                json!({"spec": spec}),
            )?;
        }
        Ok(())
    }

    /// Creates the object, or brings the fields of `wanted` up to date where it exists.
    fn ensure(
        &self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        wanted: Value,
    ) -> Result<(), LocalError> {
        let refused = |status: Status| LocalError::Object {
            what: format!("{} {name}", resource.kind),
            reason: status.to_string(),
        };
        if self.registry.get(resource, namespace, name).is_none() {
            let mut object = wanted;
            object["metadata"]["name"] = json!(name);
            return self.registry.create(resource, namespace, object).map(drop).map_err(refused);
        }
        let written = self.registry.modify(resource, namespace, name, Part::Spec, |object| {
            merge(object, &wanted);
        });
        written.map(drop).map_err(refused)
    }

    /// Stops the workloads, the controllers and the API server, and closes the objects.
    pub async fn stop(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown().await;
        }
        self.stop_controllers.cancel();
        self.stop_server.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let registry = self.registry.clone();
        if tokio::task::spawn_blocking(move || registry.close()).await.is_err() {
            tracing::error!("closing the objects failed");
        }
    }

    /// `DIR/kubeconfig`: the administrator's, mode 0600.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// Name of the Node object.
    #[must_use]
    pub fn node_name(&self) -> &str {
        &self.node_name
    }

    /// Where measurements come from.
    #[must_use]
    pub fn accounting(&self) -> &Accounting {
        &self.accounting
    }

    /// Where the collector has to listen.
    #[must_use]
    pub fn collector_address(&self) -> SocketAddr {
        self.node_socket(COLLECTOR_PORT)
    }

    /// Where the metrics server has to listen.
    #[must_use]
    pub fn metrics_server_address(&self) -> SocketAddr {
        self.node_socket(METRICS_SERVER_PORT)
    }

    /// Where the autoscaler has to listen.
    #[must_use]
    pub fn hpa_address(&self) -> SocketAddr {
        self.node_socket(HPA_PORT)
    }

    fn node_socket(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.network.node_address(), port))
    }

    /// A serving certificate of the cluster's authority for these names and the node's address.
    ///
    /// # Errors
    /// A name that cannot stand in a certificate.
    pub fn issue_serving(&self, names: &[&str]) -> Result<Issued, LocalError> {
        Ok(self.identity.ca.issue_server(names, &[IpAddr::V4(self.network.node_address())])?)
    }

    /// The certificates that vouch for this cluster.
    ///
    /// # Errors
    /// The stored certificate cannot be read.
    pub fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, LocalError> {
        let pem = self.identity.ca.certificate_pem();
        CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| LocalError::Client(error.to_string()))
    }

    /// A client with the administrator's rights.
    ///
    /// # Errors
    /// The client cannot be set up.
    pub fn admin_client(&self) -> Result<kube::Client, LocalError> {
        let mut config = self.client_config()?;
        config.auth_info.client_certificate_data =
            Some(STANDARD.encode(&self.identity.admin.certificate_pem));
        config.auth_info.client_key_data = Some(STANDARD.encode(&self.identity.admin.key_pem).into());
        client(config)
    }

    /// A client that is the service account `name` of the parts' namespace.
    ///
    /// # Errors
    /// The account is missing, or the client cannot be set up.
    pub fn service_account_client(&self, name: &str) -> Result<kube::Client, LocalError> {
        let mut config = self.client_config()?;
        config.auth_info.token = Some(self.service_account_token(name)?.into());
        client(config)
    }

    /// A token of the service account `name` of the parts' namespace.
    ///
    /// # Errors
    /// The account is missing.
    pub fn service_account_token(&self, name: &str) -> Result<String, LocalError> {
        let namespace = PartNames::NAMESPACE;
        let account = self.registry.get(&kinds::SERVICEACCOUNTS, namespace, name);
        let uid =
            account.as_ref().and_then(|account| account.pointer("/metadata/uid")).and_then(Value::as_str);
        let uid = uid.ok_or_else(|| LocalError::Client(format!("the service account {name} is missing")))?;
        let tokens = Tokens::new(self.identity.token_key, self.registry.clone());
        Ok(tokens.issue(namespace, name, uid, &[], clock::now_ms() + TOKEN_LIFETIME_MS))
    }

    fn client_config(&self) -> Result<kube::Config, LocalError> {
        let url = kubeconfig::server_url(self.address);
        let url = url.parse().map_err(|error| LocalError::Client(format!("{url}: {error}")))?;
        let mut config = kube::Config::new(url);
        // A part decides by itself when to ask again; the library would hold a 503 back for minutes.
        config.default_retry = false;
        config.root_cert = Some(self.authorities()?.into_iter().map(|der| der.to_vec()).collect());
        Ok(config)
    }
}

fn client(config: kube::Config) -> Result<kube::Client, LocalError> {
    kube::Client::try_from(config).map_err(|error| LocalError::Client(error.to_string()))
}

/// Copies every field of `wanted` into `object`, keeping the fields beside them.
fn merge(object: &mut Value, wanted: &Value) {
    match (object, wanted) {
        (Value::Object(object), Value::Object(wanted)) => {
            for (key, value) in wanted {
                merge(object.entry(key).or_insert(Value::Null), value);
            }
        }
        (object, wanted) => object.clone_from(wanted),
    }
}

/// Makes the folder, private to its owner, and finds its full path.
fn folder(dir: &Path) -> Result<PathBuf, LocalError> {
    let failed = |source| LocalError::Folder { dir: dir.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    dir.canonicalize().map_err(failed)
}

/// The instance's top control group is named after its folder, so that two never meet.
fn group_name(dir: &Path) -> String {
    let digest = Sha256::digest(dir.as_os_str().as_encoded_bytes());
    let hash: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    format!("flyball-{hash}")
}

fn accounting(dir: &Path) -> Accounting {
    match cgroup_access(&group_name(dir)) {
        Access::Direct { root } => {
            let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
            Accounting::ControlGroups { root, version: if unified { "v2" } else { "v1" } }
        }
        Access::NeedsDelegation | Access::None => Accounting::Processes { folder: dir.join("processes") },
    }
}

fn start_runtime(
    config: &ClusterConfig,
    dir: &Path,
    registry: &Registry,
    network: &Network,
    accounting: &Accounting,
    machine: &Machine,
    api_server: SocketAddr,
) -> Result<Runtime, LocalError> {
    let inherited =
        INHERITED.into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
    let runtime = RuntimeConfig {
        dir: dir.to_owned(),
        node_name: machine.hostname.clone(),
        node_address: IpAddr::V4(network.node_address()),
        machine: machine.clone(),
        cgroup_root: match accounting {
            Accounting::ControlGroups { root, .. } => Some(root.clone()),
            Accounting::Processes { .. } => None,
        },
        images: Images { burn_command: config.burn_command.clone(), mapped: config.images.clone() },
        inherited_environment: inherited.collect(),
        api_server,
    };
    let addresses = Arc::new(Addresses::new(network.pods()));
    Ok(Runtime::start(registry.clone(), runtime, addresses)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_what_is_not_named() {
        let mut object = json!({"spec": {"clusterIP": "127.20.128.1", "ports": [1]}});
        merge(&mut object, &json!({"spec": {"ports": [2]}, "metadata": {"labels": {"a": "b"}}}));
        assert_eq!(
            object,
            json!({"spec": {"clusterIP": "127.20.128.1", "ports": [2]}, "metadata": {"labels": {"a": "b"}}})
        );
    }

    #[test]
    fn folders_give_different_groups() {
        assert_ne!(group_name(Path::new("/a")), group_name(Path::new("/b")));
        assert!(group_name(Path::new("/a")).starts_with("flyball-"));
    }
}
