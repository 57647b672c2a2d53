//! The one-machine cluster with all parts around it: what `local` runs and `demo` plays on.
//!
//! The cluster itself (API server, controllers, processes) comes from `flyball_local`; the collector, the metrics
//! server with its scrape loop and history (what `flyball server` runs) and the autoscaler are the real parts, each with
//! an identity, a certificate and an address of its own, talking to one another over TLS as they would in a cluster.

#![allow(clippy::disallowed_methods, reason = "a composition: it starts and stops the parts' tasks")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use flyball_apiserver::own_metrics::ClientMetrics;
use flyball_apiserver::standard::VersionInfo;
use flyball_apiserver::{Generic, Serving, ServingTls};
use flyball_collector::SourceChoice;
use flyball_collector::name_source::Clients;
use flyball_hpa::Observation;
use flyball_local::cluster::{Accounting, Cluster, ClusterConfig, PartNames};
use flyball_metrics_server::StoreSettings;
use flyball_scrape::discover::Discovery;
use flyball_scrape::node::KubeletAddress;
use flyball_scrape::tls::{TlsSettings, Trust};
use flyball_scrape::{Endpoint, Token, Transport};
use kube::Client;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::flags::LocalArgs;
use crate::parts::{API_VERSION, AdapterBeside, HistorySetup, MetricsServerSetup, listen};

/// Set in the environment of the program that already runs in a scope of its own.
const IN_SCOPE: &str = "FLYBALL_IN_SCOPE";

/// `flyball local`: runs until `shutdown`.
pub async fn run(args: LocalArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let machine = OneMachine::start(&args.dir, args.listen, args.images, None).await?;
    println!("measured from: {}", machine.source());
    println!("kubeconfig: {}", machine.kubeconfig().display());
    let failed = tokio::select! {
        () = shutdown.cancelled() => None,
        part = machine.first_failure() => Some(part),
    };
    machine.stop().await;
    match failed {
        None => Ok(()),
        Some(error) => Err(error),
    }
}

/// A running one-machine cluster.
pub struct OneMachine {
    cluster: Cluster,
    client: Client,
    parts: TaskTracker,
    stop: CancellationToken,
    failures: tokio::sync::Mutex<mpsc::Receiver<anyhow::Error>>,
}

impl OneMachine {
    /// Starts everything and returns when the API server answers and the metrics group is registered. `observer` is
    /// told of every decision of the autoscaler.
    ///
    /// # Errors
    /// One sentence that names what is in the way: the folder, the address, the permission.
    pub async fn start(
        dir: &Path,
        listen_on: SocketAddr,
        images: Vec<(String, Vec<String>)>,
        observer: Option<mpsc::Sender<Observation>>,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let config = ClusterConfig {
            dir: dir.to_owned(),
            listen: listen_on,
            images: images.into_iter().collect(),
            burn_command: vec![program.to_string_lossy().into_owned(), "burn".to_owned()],
            commit: env!("FLYBALL_COMMIT"),
        };
        let cluster = Cluster::start(config).await?;
        let client = cluster.admin_client()?;
        let (sender, failures) = mpsc::channel(4);
        let machine = Self {
            cluster,
            client,
            parts: TaskTracker::new(),
            stop: CancellationToken::new(),
            failures: tokio::sync::Mutex::new(failures),
        };
        match machine.start_parts(&sender, observer).await {
            Ok(()) => Ok(machine),
            Err(error) => {
                machine.stop().await;
                Err(error)
            }
        }
    }

    /// The kubeconfig of the administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.cluster.kubeconfig()
    }

    /// A client with the administrator's rights.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where the measurements come from, in words.
    #[must_use]
    pub fn source(&self) -> String {
        self.cluster.accounting().to_string()
    }

    /// The first part that ends by itself, with the reason. Pends while all run.
    pub async fn first_failure(&self) -> anyhow::Error {
        match self.failures.lock().await.recv().await {
            Some(error) => error,
            None => anyhow::anyhow!("all parts have ended"),
        }
    }

    /// Stops the parts, then the workloads, then the API server; removes what was made outside the folder.
    pub async fn stop(self) {
        self.stop.cancel();
        self.parts.close();
        self.parts.wait().await;
        self.cluster.stop().await;
    }

    async fn start_parts(
        &self,
        failures: &mpsc::Sender<anyhow::Error>,
        observer: Option<mpsc::Sender<Observation>>,
    ) -> anyhow::Result<()> {
        let parts: [(&'static str, futures_util::future::BoxFuture<'static, anyhow::Result<()>>); 3] = [
            ("collector", Box::pin(self.collector().await?)),
            ("metrics-server", Box::pin(self.metrics_server().await?)),
            ("hpa", Box::pin(self.hpa(observer).await?)),
        ];
        for (name, part) in parts {
            let (failures, stop) = (failures.clone(), self.stop.clone());
            self.parts.spawn(async move {
                // In a task of its own, so that a panic becomes an error too.
                let outcome = tokio::spawn(part).await.unwrap_or_else(|panic| Err(panic.into()));
                if !stop.is_cancelled() {
                    let error = outcome.err().unwrap_or_else(|| anyhow::anyhow!("it ended by itself"));
                    // The receiver is gone only when everything is being stopped.
                    let _ = failures.send(error.context(format!("the {name} stopped"))).await;
                }
            });
        }
        Ok(())
    }

    fn serving(&self, names: &[&str]) -> anyhow::Result<ServingTls> {
        let issued = self.cluster.issue_serving(names)?;
        Ok(ServingTls::new(issued.resolver()?))
    }

    async fn collector(&self) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send + use<>> {
        let mut config = flyball_collector::Config::new(self.cluster.node_name());
        match self.cluster.accounting() {
            Accounting::ControlGroups { root, .. } => {
                config.source = SourceChoice::Detect;
                config.cgroup_root.clone_from(root);
            }
            Accounting::Processes { folder } => config.source = SourceChoice::Processes(folder.clone()),
        }
        let client = self.cluster.service_account_client(PartNames::COLLECTOR)?;
        let listener = listen(self.cluster.collector_address()).await?;
        let tls = self.serving(&[self.cluster.node_name()])?;
        let stop = self.stop.clone();
        let security = flyball_collector::Security::delegated(client.clone(), tls, stop.clone()).await?;
        let clients = Clients { api: Some(client), kubelet: None };
        Ok(async move { Ok(flyball_collector::run_with(config, clients, listener, security, stop).await?) })
    }

    async fn metrics_server(
        &self,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send + use<>> {
        let trust = Trust::Roots(self.cluster.authorities()?);
        let token = Token::Fixed(self.cluster.service_account_token(PartNames::METRICS_SERVER)?);
        let endpoint = Endpoint { transport: Transport::Tls(TlsSettings::new(trust)), token };
        let scrape = flyball_scrape::Config::new(endpoint.clone(), endpoint);
        let history = HistorySetup::in_folder(&self.cluster.history(), &scrape)?;
        let setup = MetricsServerSetup {
            client: self.cluster.service_account_client(PartNames::METRICS_SERVER)?,
            calls: ClientMetrics::default(),
            listener: listen(self.cluster.metrics_server_address()).await?,
            discovery: Discovery {
                kubelet: KubeletAddress { use_node_status_port: true, ..KubeletAddress::default() },
                ..Discovery::default()
            },
            scrape,
            history: Some(history),
            adapter: Some(AdapterBeside::default()),
            config: flyball_metrics_server::Config {
                store: StoreSettings::default(),
                server: Generic {
                    serving: Serving::Given(self.serving(&[PartNames::METRICS_SERVER_HOST])?),
                    ..Generic::default()
                },
                version: VersionInfo::new(API_VERSION.0, API_VERSION.1, env!("FLYBALL_COMMIT")),
                ..flyball_metrics_server::Config::default()
            },
        };
        Ok(setup.run(self.stop.clone()))
    }

    async fn hpa(
        &self,
        observer: Option<mpsc::Sender<Observation>>,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send + use<>> {
        let client = self.cluster.service_account_client(PartNames::HPA)?;
        let listener = listen(self.cluster.hpa_address()).await?;
        let config = flyball_hpa::Config {
            namespace: Some(PartNames::NAMESPACE.to_owned()),
            tls: Some(self.serving(&[PartNames::HPA_HOST])?),
            observer,
            ..flyball_hpa::Config::default()
        };
        let stop = self.stop.clone();
        Ok(async move { Ok(flyball_hpa::run(client, config, Some(listener), stop).await?) })
    }
}

/// Runs this program again in a delegated scope of the user's systemd, where control groups may be made, if they may
/// not be made here. Returns where that is not needed or not possible; does not return where it worked.
///
/// # Errors
/// The program could not be started again although a scope could be made.
pub fn enter_delegated_scope() -> anyhow::Result<()> {
    if std::env::var_os(IN_SCOPE).is_some() || !flyball_local::cluster::needs_delegation() {
        return Ok(());
    }
    let scope = ["--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes"];
    let possible = Command::new("systemd-run")
        .args(scope)
        .arg("true")
        .output()
        .is_ok_and(|output| output.status.success());
    if !possible {
        return Ok(());
    }
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let error = std::os::unix::process::CommandExt::exec(
        Command::new("systemd-run")
            .args(scope)
            .arg(program)
            .args(std::env::args_os().skip(1))
            .env(IN_SCOPE, "1"),
    );
    Err(error).context("cannot run again in a delegated scope")
}
