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

mod accounting;
mod clients;
mod error;
mod parts;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flyball_apiserver::own_metrics::OwnMetrics;
use flyball_apiserver::probes::Probes;
use flyball_apiserver::serve;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use accounting::{Accounting, needs_delegation};
pub use error::LocalError;
pub use parts::PartNames;

use crate::auth::{Identity, kubeconfig};
use crate::controllers::{self, ControllersConfig, Machine, NodeConfig};
use crate::net::{self, Addresses, NetConfig, Network};
use crate::registry::Registry;
use crate::rest::logs::LogSource;
use crate::rest::{ApiServer, ApiServerParts};
use crate::runtime::{Images, Runtime, RuntimeConfig};

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
        let accounting = accounting::accounting(&dir);
        let machine = Machine::read();
        let node_name = machine.node_name();
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

    /// Where the history of this cluster is kept.
    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.dir.join("history")
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
}

/// Makes the folder, private to its owner, and finds its full path.
fn folder(dir: &Path) -> Result<PathBuf, LocalError> {
    let failed = |source| LocalError::Folder { dir: dir.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    dir.canonicalize().map_err(failed)
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
        node_name: machine.node_name(),
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
