//! The metrics server with its scrape loops as a program.

#![allow(clippy::disallowed_methods, reason = "a program: it binds sockets, reads files and starts tasks")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use flyball_apiserver::own_metrics::OwnMetrics;
use flyball_apiserver::standard::VersionInfo;
use flyball_metrics_server::{MetricsServer, Serving, StoreSettings};
use flyball_model::selector::LabelSelector;
use flyball_scrape::discover::{self, Discovery};
use flyball_scrape::node::KubeletAddress;
use flyball_scrape::tls::{ClientIdentity, TlsSettings, Trust};
use flyball_scrape::{Endpoint, Metrics, Resolution, Targets, Token, Transport};
use kube::Client;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{API_VERSION, certificate, listen, milliseconds};
use crate::flags::MetricsServerArgs;
use crate::query;

/// Upstream's shortest resolution is 10 s, for kubelets sample no faster; collectors do.
const MIN_RESOLUTION: Duration = Duration::from_secs(1);
/// Where a pod finds the cluster's CA, and its token.
const POD_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Runs the metrics server with its scrape loops.
pub async fn metrics_server(args: MetricsServerArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let kube = query::config(&args.cluster).await?;
    let node_selector = LabelSelector::parse(&args.node_selector)
        .with_context(|| format!("--node-selector {:?} is not a label selector", args.node_selector))?;
    let scrape = scrape_settings(&args, &kube)?;
    let resolution_ms = match scrape.resolution {
        Resolution::Fixed(resolution) => milliseconds(resolution),
        Resolution::Automatic { .. } => StoreSettings::default().kubelet_resolution_ms,
    };
    let serving = match certificate(&args.tls, &shutdown)? {
        Some(tls) => Serving::Given(tls),
        None => Serving::SelfSigned,
    };
    let setup = MetricsServerSetup {
        client: Client::try_from(kube)?,
        listener: listen(SocketAddr::new(args.bind_address, args.secure_port)).await?,
        discovery: Discovery {
            node_selector: node_selector.clone(),
            kubelet: KubeletAddress {
                preferred_types: args.kubelet_preferred_address_types,
                port: args.kubelet_port,
                use_node_status_port: args.kubelet_use_node_status_port,
            },
        },
        scrape,
        config: flyball_metrics_server::Config {
            store: StoreSettings::new(resolution_ms, args.usage_window.map(milliseconds)),
            node_selector,
            serving,
            version: VersionInfo::new(API_VERSION.0, API_VERSION.1, env!("FLYBALL_COMMIT")),
            ..flyball_metrics_server::Config::default()
        },
    };
    setup.run(shutdown).await
}

/// Who the nodes are believed to be by the flags, and how often they are asked.
fn scrape_settings(args: &MetricsServerArgs, kube: &kube::Config) -> anyhow::Result<flyball_scrape::Config> {
    let trust = match &args.kubelet_certificate_authority {
        Some(file) => Trust::File(file.clone()),
        None if args.kubelet_insecure_tls => Trust::Insecure,
        None if Path::new(POD_CA).exists() => Trust::File(POD_CA.into()),
        None => Trust::Roots(
            kube.root_cert.iter().flatten().map(|der| CertificateDer::from(der.clone())).collect(),
        ),
    };
    let token =
        if Path::new(POD_TOKEN).exists() { Token::File(POD_TOKEN.into()) } else { kubeconfig_token(kube) };
    let identity = kubelet_identity(args, kube);
    if identity.is_none() && token == Token::None {
        tracing::warn!(
            "no credentials for the kubelets: give --kubelet-client-certificate, or a kubeconfig with a token"
        );
    }
    let tls = TlsSettings { identity, ..TlsSettings::new(trust) };
    let endpoint = Endpoint { transport: Transport::Tls(tls), token };
    let mut config = flyball_scrape::Config::new(endpoint.clone(), endpoint);
    config.request_timeout = args.kubelet_request_timeout;
    if let Some(resolution) = args.metric_resolution {
        if resolution < MIN_RESOLUTION {
            bail!("--metric-resolution {resolution:?} is below the shortest possible, {MIN_RESOLUTION:?}");
        }
        // Upstream's rule: a scrape must be over before the next one is due.
        if resolution.mul_f64(0.9) < args.kubelet_request_timeout {
            config.request_timeout = resolution.mul_f64(0.9);
            tracing::warn!(
                "--kubelet-request-timeout {:?} does not fit --metric-resolution {resolution:?}; using {:?}",
                args.kubelet_request_timeout,
                config.request_timeout
            );
        }
        config.resolution = Resolution::Fixed(resolution);
    }
    Ok(config)
}

/// The client certificate of the flags, else the one whose files the kubeconfig names.
fn kubelet_identity(args: &MetricsServerArgs, kube: &kube::Config) -> Option<ClientIdentity> {
    let flags = args.kubelet_client_certificate.clone().zip(args.kubelet_client_key.clone());
    let path = |name: &Option<String>| name.as_ref().map(PathBuf::from);
    let named = path(&kube.auth_info.client_certificate).zip(path(&kube.auth_info.client_key));
    let (certificate, key) = flags.or(named)?;
    Some(ClientIdentity { certificate, key })
}

fn kubeconfig_token(kube: &kube::Config) -> Token {
    use secrecy::ExposeSecret;
    match (&kube.auth_info.token, &kube.auth_info.token_file) {
        (_, Some(file)) => Token::File(file.into()),
        (Some(token), None) => Token::Fixed(token.expose_secret().to_owned()),
        (None, None) => Token::None,
    }
}

/// Everything a metrics server with its scrape loops needs.
pub struct MetricsServerSetup {
    /// Client of the API server.
    pub client: Client,
    /// Where to serve.
    pub listener: TcpListener,
    /// How nodes are found.
    pub discovery: Discovery,
    /// How nodes are asked.
    pub scrape: flyball_scrape::Config,
    /// How the API is served.
    pub config: flyball_metrics_server::Config,
}

impl MetricsServerSetup {
    /// Discovers, scrapes and serves until `shutdown`.
    ///
    /// # Errors
    /// The certificate or the cluster's authentication settings cannot be used; the listener fails.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let own = OwnMetrics::new();
        let metrics = Arc::new(Metrics::default());
        metrics.register(&mut own.registry());
        let server = MetricsServer::new(self.config, own);
        let (sender, targets) = watch::channel(Targets::default());
        let stop = shutdown.child_token();
        let tasks = TaskTracker::new();
        tasks.spawn(discover::follow(self.client.clone(), self.discovery, sender, stop.clone()));
        tasks.spawn(flyball_scrape::run(self.scrape, targets, vec![server.store()], metrics, stop.clone()));
        let outcome = flyball_metrics_server::run(server, self.client, self.listener, stop.clone()).await;
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        Ok(outcome?)
    }
}
