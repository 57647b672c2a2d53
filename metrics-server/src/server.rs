//! The server put together: store, caches, API, probes; and the process around it.
#![allow(
    clippy::disallowed_methods,
    reason = "an edge: reads the clock for requests and starts the watching tasks"
)]

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flyball_apiserver::discovery::Discovery;
use flyball_apiserver::openapi::OpenApi;
use flyball_apiserver::own_metrics::{OwnMetrics, ServerMetrics};
use flyball_apiserver::probes::{Probe, Probes};
use flyball_apiserver::standard::Standard;
use flyball_apiserver::{
    Advice, AnyOf, ApiserverError, AskedAs, Authorizer, Beside, DelegationMetrics, Handler, Live, Request,
    Response, Server, Status, TokenVerifier, delegation, serve,
};
use futures_util::future::BoxFuture;
use http::Method;
use kube::Client;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::changes::{Load, Versions};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::own_metrics::ServedMetrics;
use crate::store::Store;
use crate::whereabouts::Whereabouts;
use crate::{GROUP, group, openapi, peers, watch};

/// How often the failing nodes are counted for `/readyz?verbose`.
const NODES_INTERVAL: Duration = Duration::from_secs(5);

/// Unix time in milliseconds.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Why the server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum MetricsServerError {
    /// Certificates, authentication settings.
    #[error(transparent)]
    Apiserver(#[from] ApiserverError),
    /// The listener.
    #[error("cannot serve on {address}: {source}")]
    Serve {
        /// Where it listens.
        address: String,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// The resource metrics API: a handler for the group's resources. Clone the `Arc`, not the server.
pub struct MetricsServer {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) store: Arc<Store>,
    pub(crate) metrics: ServedMetrics,
    pub(crate) versions: Versions,
    pub(crate) watches: Load,
    pub(crate) whereabouts: Whereabouts,
    own: OwnMetrics,
    /// The order to stop has come.
    stopping: AtomicBool,
}

impl std::fmt::Debug for MetricsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsServer").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl MetricsServer {
    /// A server that has seen nothing yet. Its metrics go to `own`, which `/metrics` shows.
    pub fn new(config: Config, own: OwnMetrics) -> Arc<MetricsServer> {
        MetricsServer::with_clock(config, own, Arc::new(unix_ms))
    }

    /// The same with the caller's clock.
    pub fn with_clock(config: Config, own: OwnMetrics, clock: Clock) -> Arc<MetricsServer> {
        let store = Arc::new(Store::new(config.store));
        let metrics = ServedMetrics::register(&own, &store, clock.clone());
        let stopping = AtomicBool::new(false);
        Arc::new(MetricsServer {
            config,
            versions: Versions::new(clock()),
            clock,
            cluster: Arc::default(),
            store,
            metrics,
            watches: Load::default(),
            whereabouts: Whereabouts::default(),
            own,
            stopping,
        })
    }

    /// Where batches go.
    pub fn store(&self) -> Arc<Store> {
        self.store.clone()
    }

    /// Which nodes and pods are known. [`run`] fills it from watches; who embeds the server may fill it otherwise.
    pub fn cluster(&self) -> Arc<Cluster> {
        self.cluster.clone()
    }

    /// The registry behind `/metrics`.
    pub fn own_metrics(&self) -> OwnMetrics {
        self.own.clone()
    }

    /// Upstream's checks under upstream's names. Those of upstream's internals have nothing to fail here.
    pub fn probes(self: &Arc<Self>) -> Probes {
        let all = [Probe::Health, Probe::Live, Probe::Ready];
        let check = |look: fn(&MetricsServer) -> Result<(), String>| {
            let server = self.clone();
            move || look(&server)
        };
        let mut probes = Probes::new();
        for name in
            ["log", "poststarthook/max-in-flight-filter", "poststarthook/storage-object-count-tracker-hook"]
        {
            probes.add(&all, name, || Ok(()));
        }
        probes.add(&[Probe::Live], "metric-collection-timely", check(MetricsServer::collection_timely));
        probes.add(&[Probe::Ready], "metric-storage-ready", check(MetricsServer::storage_ready));
        probes.add(&[Probe::Ready], "metric-informer-sync", check(MetricsServer::caches_ready));
        // A restart would not help a server that waits for the API server, so liveness does not fail on it.
        probes.add(&[Probe::Health, Probe::Live], "metadata-informer-sync", || Ok(()));
        probes.add(&[Probe::Ready], "metadata-informer-sync", check(MetricsServer::caches_ready));
        let server = self.clone();
        probes.add(&[Probe::Ready], "shutdown", move || match server.stopping.load(Ordering::Acquire) {
            true => Err("process is shutting down".to_owned()),
            false => Ok(()),
        });
        let advice = self.config.advice.clone();
        probes.with_advice(advice)
    }

    /// How long a watch lasts whose client does not say so: as upstream's servers spread them, between one and two
    /// times the least time.
    pub(crate) fn watch_time(&self) -> Duration {
        let random = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
        self.config.min_watch_time.mul_f64(1.0 + random)
    }

    fn collection_timely(&self) -> Result<(), String> {
        let limit_ms = i64::try_from(self.config.collection_limit.as_millis()).unwrap_or(i64::MAX);
        match self.store.last_batch_ms() {
            Some(last_ms) if !self.cluster.is_empty() && (self.clock)() - last_ms > limit_ms => {
                Err(format!("no scrape has ended in the last {} s", ((self.clock)() - last_ms) / 1000))
            }
            _ => Ok(()),
        }
    }

    fn caches_ready(&self) -> Result<(), String> {
        self.cluster.waiting_for().map_or(Ok(()), |what| Err(format!("waiting for {what}")))
    }

    /// Upstream since v0.9: usage of a node and of a pod. A cluster without nodes, or without pods, waits for neither.
    fn storage_ready(&self) -> Result<(), String> {
        if self.cluster.is_empty() {
            return self.caches_ready();
        }
        let now_ms = (self.clock)();
        if let Some(reason) = self.store.why_nothing(now_ms) {
            return Err(reason);
        }
        if !self.cluster.has_no_pods() && !self.store.any_pod(now_ms) {
            return Err("no pod has usage yet".to_owned());
        }
        Ok(())
    }

    /// The handler with the paths that all servers share. `address` is `host:port` for discovery; the host may be empty.
    pub fn handler(self: &Arc<Self>, address: &str) -> Arc<dyn Handler> {
        self.handler_with(Live::new(self.discovery(address)))
    }

    /// What we and the parts beside us serve now.
    fn discovery(&self, address: &str) -> Discovery {
        let mut groups = vec![group()];
        for part in &self.config.beside {
            groups.extend(part.groups.borrow().iter().cloned());
        }
        Discovery::new(&groups, address)
    }

    fn handler_with(self: &Arc<Self>, discovery: Arc<Live<Discovery>>) -> Arc<dyn Handler> {
        let parts = self.config.beside.clone();
        let mut documents = openapi::documents();
        let mut answered = vec![GROUP.to_owned()];
        let mut paths = vec![peers::PATH.to_owned()];
        for part in &parts {
            // Each part's documents have those that every server has; ours are as good.
            for (key, document) in &part.documents {
                documents.entry(key.clone()).or_insert_with(|| document.clone());
            }
            answered.extend(part.answers.iter().cloned());
            paths.extend(part.paths.iter().cloned());
        }
        Arc::new(Standard {
            discovery,
            openapi: Live::new(OpenApi::new(openapi::TITLE, documents)),
            version: self.config.version.clone(),
            probes: self.probes(),
            metrics: self.own.clone(),
            inner_groups: Some(answered),
            inner_paths: paths,
            inner: Arc::new(Beside { parts, own: Arc::new(Api(self.clone())) }),
        })
    }
}

/// Writes discovery anew whenever a part's groups change.
async fn follow_groups(server: Arc<MetricsServer>, discovery: Arc<Live<Discovery>>, address: String) {
    let mut parts: Vec<_> = server.config.beside.iter().map(|part| part.groups.clone()).collect();
    while !parts.is_empty() {
        discovery.set(server.discovery(&address));
        let changes = parts.iter_mut().map(|groups| Box::pin(groups.changed()));
        let (changed, index, _) = futures_util::future::select_all(changes).await;
        if changed.is_err() {
            // Nobody is left who could change them.
            drop(parts.swap_remove(index));
        }
    }
}

/// The handler of the group's resources.
struct Api(Arc<MetricsServer>);

impl Handler for Api {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        if request.path() == peers::PATH {
            return Box::pin(std::future::ready(match *request.method() {
                Method::GET => peers::answer(&self.0.store),
                _ => request.respond().status(&Status::method_not_allowed()),
            }));
        }
        let (respond, asked) = (request.respond(), self.0.asked(&request));
        Box::pin(async move {
            let answer = match asked {
                Ok((form, wanted)) => self.0.answer(form, wanted).await,
                Err(status) => Err(status),
            };
            answer.unwrap_or_else(|status| respond.status(&status))
        })
    }
}

/// Serves on `listener` until `shutdown`, with delegated authentication and authorization, and watches nodes and pods
/// meanwhile. Returns when everything has ended.
///
/// # Errors
/// The serving certificate or the cluster's authentication settings cannot be used; the listener fails.
pub async fn run(
    server: Arc<MetricsServer>,
    client: Client,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), MetricsServerError> {
    let tasks = TaskTracker::new();
    server.whereabouts.ask_with(client.clone());
    // Whatever ends the serving ends the tasks beside it.
    let stop = CancellationToken::new();
    tasks.spawn(stop_in_time(server.clone(), shutdown, stop.clone()));
    let watching = watch::follow(client.clone(), server.cluster(), server.store(), stop.clone());
    tasks.spawn(watching);
    let advice = server.config.advice.clone();
    if let Some(surroundings) = server.config.surroundings.clone() {
        surroundings.watch(&client, &advice, &tasks, &stop);
    }
    if let Some(peers) = server.config.peers.clone() {
        let taking = peers::take_over(server.clone(), peers, advice.clone());
        let stop = stop.clone();
        tasks.spawn(async move { stop.run_until_cancelled(taking).await });
    }
    tasks.spawn(tell_of_nodes(server.clone(), advice, stop.clone()));
    let result = serve_until(&server, client, listener, &tasks, stop.clone()).await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    result
}

/// Passes the order to stop on, after the delay in which the server is told to be unready and still answers.
async fn stop_in_time(server: Arc<MetricsServer>, shutdown: CancellationToken, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => return,
        () = shutdown.cancelled() => {}
    }
    server.stopping.store(true, Ordering::Release);
    tokio::time::sleep(server.config.server.shutdown_delay).await;
    stop.cancel();
}

/// Keeps the failing nodes among the findings. The log has them one by one already.
async fn tell_of_nodes(server: Arc<MetricsServer>, advice: Advice, stop: CancellationToken) {
    let round = async || {
        advice.show("nodes", server.store.failing((server.clock)()));
        tokio::time::sleep(NODES_INTERVAL).await;
    };
    while stop.run_until_cancelled(round()).await.is_some() {}
}

async fn serve_until(
    server: &Arc<MetricsServer>,
    client: Client,
    listener: TcpListener,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<(), MetricsServerError> {
    let config = &server.config;
    let tls = config.server.certificate(tasks, &stop)?;
    let mut flags = config.server.authentication.clone();
    let asked = DelegationMetrics::register(&server.own);
    let tokens = || config.server.tokens(&client, &asked);
    let of_peers = config.peers.as_ref().map(|_| tokens().with_audiences(vec![peers::AUDIENCE.to_owned()]));
    flags.tokens = flags.tokens.or_else(|| {
        let mut verifiers: Vec<Arc<dyn TokenVerifier>> = vec![Arc::new(tokens())];
        verifiers.extend(of_peers.map(|tokens| Arc::new(tokens) as _));
        Some(Arc::new(AnyOf(verifiers)))
    });
    flags.advice.get_or_insert_with(|| config.advice.clone());
    let authenticators =
        delegation::start(config.server.authentication_client(&client), flags, stop.clone()).await?;
    let delegated = || -> Arc<dyn Authorizer> {
        let delegated = config.server.delegated(&client, &asked);
        match config.peers {
            Some(_) => Arc::new(peers::SameAccount::new(client.clone(), Arc::new(delegated))),
            None => Arc::new(delegated),
        }
    };
    let address = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
    let port = address.rsplit(':').next().unwrap_or_default();
    let public = format!(":{port}");
    let discovery = Live::new(server.discovery(&public));
    let following = follow_groups(server.clone(), discovery.clone(), public);
    tasks.spawn(stop.clone().run_until_cancelled_owned(following));
    let served = Server {
        tls,
        authenticators,
        authorizer: Arc::new(AskedAs::new(
            &config.beside,
            config.server.authorizer.clone().unwrap_or_else(delegated),
        )),
        handler: server.handler_with(discovery),
        limits: config.server.limits,
        metrics: ServerMetrics::register(&server.own),
    };
    tracing::info!(address, "metrics server serves");
    serve(listener, Arc::new(served), stop)
        .await
        .map_err(|source| MetricsServerError::Serve { address, source })
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
