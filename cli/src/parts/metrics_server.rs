//! The metrics server with its scrape loops as a program.

#![allow(clippy::disallowed_methods, reason = "a program: it binds sockets, reads files and starts tasks")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use flyball_adapter::Adapter;
use flyball_apiserver::certs::secret::KeptSecret;
use flyball_apiserver::own_metrics::{ClientMetrics, OwnMetrics};
use flyball_apiserver::standard::VersionInfo;
use flyball_metrics_server::peers::Peers;
use flyball_metrics_server::surroundings::{COLLECTOR_NAME, ServiceName, Surroundings};
use flyball_metrics_server::{MetricsServer, StoreSettings};
use flyball_model::batch::Sink;
use flyball_model::selector::LabelSelector;
use flyball_scrape::discover::{self, Discovery};
use flyball_scrape::node::KubeletAddress;
use flyball_scrape::tls::{ClientIdentity, LiveRoots, NameCheck, TlsSettings, Trust};
use flyball_scrape::{Endpoint, Metrics, Resolution, Targets, Token, Transport, interval};
use kube::Client;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::history::{HistorySetup, RunningHistory, Surrounded};
use super::{API_VERSION, AdapterBeside, generic_server, milliseconds};
use crate::flags::{KubeletArgs, MetricsServerArgs};
use crate::query;

/// Upstream's shortest resolution is 10 s, for kubelets sample no faster; collectors do.
const MIN_RESOLUTION: Duration = Duration::from_secs(1);
/// Where a pod finds the cluster's CA, and its token.
const POD_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Runs the metrics server with its scrape loops.
pub async fn metrics_server(args: MetricsServerArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    setup(args).await?.run(shutdown).await
}

/// What the flags say, checked.
pub(super) async fn setup(args: MetricsServerArgs) -> anyhow::Result<MetricsServerSetup> {
    let kube = query::config(&args.cluster).await?;
    let node_selector = LabelSelector::parse(&args.node_selector)
        .with_context(|| format!("--node-selector {:?} is not a label selector", args.node_selector))?;
    let (scrape, collector_certificate) = scrape_settings(&args, &kube)?;
    let resolution = match scrape.resolution {
        Resolution::Fixed(resolution) => resolution,
        Resolution::Automatic { .. } => interval::KUBELET_INTERVAL,
    };
    let mut config = flyball_metrics_server::Config {
        store: StoreSettings::new(milliseconds(resolution), args.usage_window.map(milliseconds)),
        node_selector: node_selector.clone(),
        // One and a half rounds, as upstream, and the time one attempt may take.
        collection_limit: resolution.mul_f64(1.5) + scrape.request_timeout,
        version: VersionInfo::new(API_VERSION.0, API_VERSION.1, env!("FLYBALL_COMMIT")),
        min_watch_time: Duration::from_secs(args.limits.min_request_timeout.into()),
        peers: args.peers.zip(args.peer_token_file).map(|(address, token)| Peers {
            address,
            token,
            authority: args.peer_certificate_authority,
        }),
        surroundings: Some(Surroundings {
            own_service: args.own_service.map(|own| ServiceName { namespace: own.namespace, name: own.name }),
            collector_certificate,
        }),
        ..flyball_metrics_server::Config::default()
    };
    generic_server::serving(&args.serving, &mut config.server)?;
    generic_server::delegation(&args.delegation, &mut config.server).await?;
    generic_server::limits(&args.limits, &mut config.server);
    let calls = ClientMetrics::default();
    Ok(MetricsServerSetup {
        client: calls.client(kube)?,
        calls,
        listener: generic_server::listen(&args.serving)?,
        discovery: Discovery { node_selector, kubelet: kubelet_address(&args.kubelets) },
        scrape,
        config,
        history: None,
        adapter: None,
    })
}

/// A Secret to keep, and who is told of the authorities in it.
type CollectorCertificate = Option<(KeptSecret, flyball_metrics_server::surroundings::Trust)>;

/// Who the nodes are believed to be by the flags, and how often they are asked.
fn scrape_settings(
    args: &MetricsServerArgs,
    kube: &kube::Config,
) -> anyhow::Result<(flyball_scrape::Config, CollectorCertificate)> {
    let kubelet = kubelet_endpoint(&args.kubelets, kube)?;
    let mut collector = kubelet.clone();
    let mut kept = None;
    if let Some(secret) = &args.collector_certificate_secret {
        let live = LiveRoots::new(&format!("Secret {}/{}", secret.namespace, secret.name));
        let name = NameCheck::Fixed(COLLECTOR_NAME.to_owned());
        collector.transport =
            Transport::Tls(TlsSettings { trust: Trust::Live(live.clone()), name, identity: None });
        let secret = KeptSecret {
            namespace: secret.namespace.clone(),
            name: secret.name.clone(),
            server_name: COLLECTOR_NAME.to_owned(),
        };
        kept = Some((secret, Arc::new(move |roots| live.set(roots)) as _));
    }
    let mut config = flyball_scrape::Config::new(kubelet, collector);
    config.request_timeout = args.kubelets.kubelet_request_timeout;
    if let Some(resolution) = args.metric_resolution {
        if resolution < MIN_RESOLUTION {
            bail!("--metric-resolution {resolution:?} is below the shortest possible, {MIN_RESOLUTION:?}");
        }
        // Upstream's rule: a scrape must be over before the next one is due.
        if resolution.mul_f64(0.9) < args.kubelets.kubelet_request_timeout {
            config.request_timeout = resolution.mul_f64(0.9);
            tracing::warn!(
                "--kubelet-request-timeout {:?} does not fit --metric-resolution {resolution:?}; using {:?}",
                args.kubelets.kubelet_request_timeout,
                config.request_timeout
            );
        }
        config.resolution = Resolution::Fixed(resolution);
    }
    Ok((config, kept))
}

/// Which of a node's addresses its kubelet is asked at.
pub(crate) fn kubelet_address(args: &KubeletArgs) -> KubeletAddress {
    KubeletAddress {
        preferred_types: args.kubelet_preferred_address_types.clone(),
        port: args.kubelet_port,
        use_node_status_port: args.kubelet_use_node_status_port,
    }
}

/// How kubelets are spoken to.
pub(crate) fn kubelet_endpoint(args: &KubeletArgs, kube: &kube::Config) -> anyhow::Result<Endpoint> {
    if args.kubelet_insecure_tls && args.kubelet_certificate_authority.is_some() {
        bail!("--kubelet-insecure-tls and --kubelet-certificate-authority exclude one another");
    }
    if args.deprecated_kubelet_completely_insecure {
        return Ok(Endpoint { transport: Transport::Plain, token: Token::None });
    }
    let token = token_of(kube);
    let in_pod = token == Token::File(POD_TOKEN.into());
    let trust = match &args.kubelet_certificate_authority {
        Some(file) => Trust::File(file.clone()),
        None if args.kubelet_insecure_tls => Trust::Insecure,
        None if in_pod => Trust::File(POD_CA.into()),
        None => Trust::Roots(
            kube.root_cert.iter().flatten().map(|der| CertificateDer::from(der.clone())).collect(),
        ),
    };
    let identity = kubelet_identity(args, kube);
    if identity.is_none() && token == Token::None {
        tracing::warn!(
            "no credentials for the kubelets: give --kubelet-client-certificate, or a kubeconfig with a token"
        );
    }
    let tls = TlsSettings { identity, ..TlsSettings::new(trust) };
    Ok(Endpoint { transport: Transport::Tls(tls), token })
}

/// The client certificate of the flags, else the one whose files the kubeconfig names.
fn kubelet_identity(args: &KubeletArgs, kube: &kube::Config) -> Option<ClientIdentity> {
    let flags = args.kubelet_client_certificate.clone().zip(args.kubelet_client_key.clone());
    let path = |name: &Option<String>| name.as_ref().map(PathBuf::from);
    let named = path(&kube.auth_info.client_certificate).zip(path(&kube.auth_info.client_key));
    let (certificate, key) = flags.or(named)?;
    Some(ClientIdentity { certificate, key })
}

/// The token of the kubeconfig, or of the pod's service account: the library has both in one place.
fn token_of(kube: &kube::Config) -> Token {
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
    /// Where its calls are counted.
    pub calls: ClientMetrics,
    /// Where to serve.
    pub listener: TcpListener,
    /// How nodes are found.
    pub discovery: Discovery,
    /// How nodes are asked.
    pub scrape: flyball_scrape::Config,
    /// How the API is served.
    pub config: flyball_metrics_server::Config,
    /// The store and the queries, where history is kept: `server` and `local`.
    pub history: Option<HistorySetup>,
    /// Custom and external metrics out of history; without history there are none.
    pub adapter: Option<AdapterBeside>,
}

impl MetricsServerSetup {
    /// Discovers, scrapes and serves until `shutdown`. Everything that answers beside the metrics server on its port, and
    /// everybody who wants the nodes' batches, is put together here.
    ///
    /// # Errors
    /// The certificate or the cluster's authentication settings cannot be used; the listener fails.
    pub async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let own = OwnMetrics::new();
        let metrics = Arc::new(match self.scrape.resolution {
            Resolution::Fixed(resolution) => Metrics::of_resolution(resolution),
            Resolution::Automatic { .. } => Metrics::default(),
        });
        metrics.register(&mut own.registry());
        self.calls.register(&own);
        let (sender, targets) = watch::channel(Targets::default());
        let stop = shutdown.child_token();
        let tasks = TaskTracker::new();
        let history = match self.history {
            Some(setup) => {
                let surroundings = Surrounded {
                    client: &self.client,
                    own: &own,
                    advice: &self.config.advice,
                    tasks: &tasks,
                };
                Some(setup.start(&targets, &surroundings, &stop)?)
            }
            None => None,
        };
        let adapter = match (self.adapter, &history) {
            (Some(adapter), Some(history)) => {
                let advice = &self.config.advice;
                Some(adapter.start(history.series(), &self.client, &own, advice).await?)
            }
            _ => None,
        };
        // Parts that answer beside metrics.k8s.io: history, and the adapter's groups.
        self.config.beside.extend(history.iter().map(RunningHistory::part));
        self.config.beside.extend(adapter.iter().map(Adapter::part));
        let server = MetricsServer::new(self.config, own);
        let mut sinks: Vec<Arc<dyn Sink>> = vec![server.store()];
        sinks.extend(history.iter().map(RunningHistory::sink));
        if let Some(adapter) = adapter {
            tasks.spawn(adapter.work(self.client.clone(), stop.clone()));
        }
        tasks.spawn(discover::follow(self.client.clone(), self.discovery, sender, stop.clone()));
        let scraping = flyball_scrape::run_apart(self.scrape, targets, sinks, metrics, stop.clone());
        let over = stop.clone();
        // Whatever ends the scraping ends the serving.
        let scraping = tasks.spawn(async move {
            let _over = over.drop_guard();
            scraping.await
        });
        let outcome = flyball_metrics_server::run(server, self.client, self.listener, stop.clone()).await;
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        if let Some(history) = history {
            history.stop().await;
        }
        outcome?;
        scraping.await?.context("cannot scrape")
    }
}
