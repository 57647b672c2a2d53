//! Starts the tasks of a simulation.

use std::path::Path;
use std::sync::Arc;

use flyball_apiserver::CertificateAuthority;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clock::now_ms;
use super::config::Config;
use super::shared::Shared;
use super::{SimulationError, hollow, serve};

/// What was started.
pub struct Started {
    pub shared: Arc<Shared>,
    pub client: Option<Client>,
    pub authority_pem: Option<String>,
}

/// Opens the listeners, registers the nodes, and starts the tasks, which end with `stop`.
pub async fn start(
    config: Config,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Started, SimulationError> {
    let authority = config.authority()?;
    let mut listeners = Vec::with_capacity(config.nodes.len());
    for (name, address) in &config.nodes {
        let listen =
            async { serve::listen(*address).await.and_then(|socket| Ok((socket.local_addr()?, socket))) };
        let refused = |source| SimulationError::Listen { node: name.clone(), address: *address, source };
        listeners.push(listen.await.map_err(refused)?);
    }
    let addresses = listeners.iter().map(|(address, _)| *address).collect();
    let shared = Arc::new(Shared::new(config, addresses, now_ms()));
    serve_all(&shared, authority.as_ref(), listeners, tasks, stop)?;
    let client = match &shared.config.kubeconfig {
        Some(path) => Some(connect(path).await?),
        None => None,
    };
    if let Some(client) = &client {
        hollow::nodes::register(client, &shared).await?;
        let beat = hollow::nodes::beat(client.clone(), shared.clone());
        let pods = hollow::pods::run(client.clone(), shared.clone(), tasks.clone());
        spawn(tasks, stop, beat);
        spawn(tasks, stop, pods);
    }
    let authority_pem = authority.map(|authority| authority.certificate_pem());
    Ok(Started { shared, client, authority_pem })
}

fn serve_all(
    shared: &Arc<Shared>,
    authority: Option<&CertificateAuthority>,
    listeners: Vec<(std::net::SocketAddr, TcpListener)>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), SimulationError> {
    for (index, (address, listener)) in listeners.into_iter().enumerate() {
        let name = &shared.config.nodes[index].0;
        let tls = shared.config.tls(authority, name, address.ip())?;
        let acceptor = TlsAcceptor::from(tls);
        tasks.spawn(serve::run(shared.clone(), index, listener, acceptor, tasks.clone(), stop.clone()));
    }
    Ok(())
}

fn spawn(tasks: &TaskTracker, stop: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
    let stop = stop.clone();
    tasks.spawn(async move { stop.run_until_cancelled(task).await });
}

async fn connect(path: &Path) -> Result<Client, SimulationError> {
    let refused =
        |reason: String| SimulationError::Cluster { what: format!("use {}", path.display()), reason };
    let file = Kubeconfig::read_from(path).map_err(|error| refused(error.to_string()))?;
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    let config = config.map_err(|error| refused(error.to_string()))?;
    Client::try_from(config).map_err(|error| refused(error.to_string()))
}
