//! The endpoints: those of a kubelet, the machine's `/metrics/node`, own metrics and probes, and below `/stats` what only
//! Flyball has ([`history`](crate::history), [`explain`]).
//!
//! Requests get the last finished sweep with its true times; none of them makes a sweep. The machine's own numbers are
//! read when they are asked for (see [`crate::node_exporter`]). Who may ask is decided as a
//! kubelet decides: `/metrics…` is `get nodes/metrics` on the node's own name. Probes are open to all.

use crate::agent::Agent;
use crate::config::Config;
use crate::cost::Stage;
use crate::disk::places::Places as DiskPlaces;
use crate::disk::{self, DiskMeter};
use crate::error::CollectorError;
use crate::history::Recorder;
use crate::machine::MachineFacts;
use crate::name_source::Clients;
use crate::names::Names;
use crate::node_exporter::{NodeEndpoint, Places};
use crate::own::SweepMetrics;
use crate::runtime_store::{self, LatestStore};
use crate::sample::Sweep;
use crate::summary::Extent;
use crate::sweeper::Source;
use crate::{explain, name_source};
use bodies::{Body, Facts, Large, answer, gzip, takes_gzip};
use flyball_apiserver::own_metrics::{OwnMetrics, ServerMetrics};
use flyball_apiserver::probes::{Probe, Probes};
use flyball_apiserver::{
    Advice, Attributes, Authenticators, Authorizer, Decision, Delegated, DelegatedTokens, DenyAnonymous,
    Handler, Limits, LiveAuthenticators, Request, Response, Server, ServingTls, User, certs, delegation,
    full, serve,
};
use flyball_model::exposition::Format;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Header by which scrapers know a Flyball collector, and how often its values are new.
pub const SWEEP_INTERVAL_HEADER: &str = "flyball-sweep-interval-ms";
/// The kubelet's endpoint.
pub const RESOURCE_PATH: &str = "/metrics/resource";
/// The kubelet's endpoint for everything cAdvisor knows.
pub const CADVISOR_PATH: &str = "/metrics/cadvisor";
/// The kubelet's summary.
pub const SUMMARY_PATH: &str = "/stats/summary";
/// Bodies of what Flyball alone has below `/stats` that are made at once; each may take tens of megabytes. Further requests
/// wait.
const BODIES_AT_ONCE: usize = 2;
/// Bodies of [`CADVISOR_PATH`] and [`SUMMARY_PATH`] that are sent at once; each takes some kilobytes per group until the client has
/// it: what is known of it and its labels, or its text. Further requests wait.
const SENT_AT_ONCE: usize = 16;
/// The machine under node_exporter's names.
pub const NODE_PATH: &str = "/metrics/node";

/// How long answers of the cluster are believed: a kubelet's times (`authentication.webhook.cacheTTL`,
/// `authorization.webhook.cache…TTL`), so that scraping goes on while the API server restarts.
const TOKEN_BELIEVED: Duration = Duration::from_secs(120);
const ALLOWED_BELIEVED: Duration = Duration::from_secs(300);
const DENIED_BELIEVED: Duration = Duration::from_secs(30);

/// Certificate of the server, and who may ask it.
#[derive(Clone)]
pub struct Security {
    /// The serving certificate.
    pub tls: ServingTls,
    /// Who may be who.
    pub authenticators: Arc<LiveAuthenticators>,
    /// Who may do what; asked with a kubelet's attributes.
    pub authorizer: Arc<dyn Authorizer>,
    /// Whether the serving certificate is the one that scrapers expect. Not ready until then, so that the scraper stays
    /// with the kubelet instead of failing.
    pub certificate_ready: CertificateReady,
    /// What is wrong around the collector; shown in `/readyz?verbose`.
    pub advice: Advice,
    /// Whether the cluster's CA of clients is followed, which takes a watch of one ConfigMap at the API server.
    pub follows_client_ca: bool,
}

/// Asked by each readiness probe.
pub type CertificateReady = Arc<dyn Fn() -> bool + Send + Sync>;

impl Security {
    /// As an aggregated server has it: tokens and permissions are checked by the cluster, its CA of clients is taken
    /// from ConfigMap `kube-system/extension-apiserver-authentication` and followed.
    pub async fn delegated(
        client: kube::Client,
        tls: ServingTls,
        shutdown: CancellationToken,
    ) -> Result<Security, CollectorError> {
        let advice = Advice::new();
        let flags = delegation::Flags {
            advice: Some(advice.clone()),
            tokens: Some(Arc::new(DelegatedTokens::new(client.clone()).with_lifetime(TOKEN_BELIEVED))),
            anonymous: true,
            tolerate_lookup_failure: true,
            ..delegation::Flags::default()
        };
        let authenticators =
            delegation::start(client.clone(), flags, shutdown).await.map_err(security_error)?;
        let authorizer = Arc::new(Delegated::new(client).with_lifetimes(ALLOWED_BELIEVED, DENIED_BELIEVED));
        let certificate_ready: CertificateReady = Arc::new(|| true);
        Ok(Security { tls, authenticators, authorizer, certificate_ready, advice, follows_client_ca: true })
    }

    /// Without a cluster to ask: probes are open, everything else is refused.
    pub fn closed(tls: ServingTls) -> Security {
        let authenticators = Authenticators { anonymous: true, ..Authenticators::default() };
        Security {
            tls,
            authenticators: LiveAuthenticators::new(authenticators),
            authorizer: Arc::new(DenyAnonymous::default()),
            certificate_ready: Arc::new(|| true),
            advice: Advice::new(),
            follows_client_ca: false,
        }
    }
}

/// Sweeps and serves until `shutdown`, then drains. Makes a certificate of its own, and lets the cluster decide who
/// may ask; see [`run_with`] for other choices.
pub async fn run(
    config: Config,
    client: Option<kube::Client>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), CollectorError> {
    let tls = own_tls(&config.node_name, &listener)?;
    let security = match &client {
        Some(client) => Security::delegated(client.clone(), tls, shutdown.clone()).await?,
        None => Security::closed(tls),
    };
    let clients = Clients { api: client, kubelet: None };
    run_with(config, clients, listener, security, shutdown).await
}

/// A self-signed certificate for the node's name and the listener's address, as a kubelet makes one when it is given
/// none.
///
/// # Errors
/// The name cannot stand in a certificate.
pub fn own_tls(node_name: &str, listener: &TcpListener) -> Result<ServingTls, CollectorError> {
    let addresses: Vec<_> = listener.local_addr().map(|address| address.ip()).into_iter().collect();
    let issued = certs::self_signed(&[node_name, "localhost"], &addresses).map_err(security_error)?;
    Ok(ServingTls::new(issued.resolver().map_err(security_error)?))
}

/// As [`run`], with the caller's certificate and rules.
pub async fn run_with(
    config: Config,
    clients: Clients,
    listener: TcpListener,
    security: Security,
    shutdown: CancellationToken,
) -> Result<(), CollectorError> {
    let address =
        listener.local_addr().map_or_else(|_| "its address".to_owned(), |address| address.to_string());
    let collector = Collector::start(&config)?;
    let names = collector.names();
    let metrics = collector.metrics.clone();
    metrics.follows_client_ca(security.follows_client_ca);
    let server = Arc::new(Server {
        tls: security.tls,
        authenticators: security.authenticators,
        authorizer: Arc::new(NodeAuthorizer::new(security.authorizer, &config.node_name)),
        handler: Arc::new(collector.handler_with(security.certificate_ready, security.advice.clone())),
        limits: Limits::default(),
        metrics: ServerMetrics::register(&collector.own),
    });
    let stop = shutdown.clone();
    let watching = async {
        let (sources, mut observer) = (&config.names, metrics);
        let following = name_source::follow(sources, &clients, &config.node_name, &names, &mut observer);
        stop.run_until_cancelled(following).await;
    };
    let (stop, store) = (shutdown.clone(), collector.store.clone());
    let storing = async {
        if config.disk.is_some() {
            stop.run_until_cancelled(runtime_store::follow(&config.names, &store)).await;
        }
    };
    tracing::info!(address, source = %collector.agent.source(), node = config.node_name, "collector serves");
    let (served, (), ()) = tokio::join!(serve(listener, server, shutdown), watching, storing);
    served.map_err(|source| CollectorError::Serve { address, source })
}

fn security_error(error: impl std::fmt::Display) -> CollectorError {
    CollectorError::Invalid { setting: "security", reason: format!("could not be set up: {error}") }
}

/// A sweeping collector, for those who serve or show it themselves.
pub struct Collector {
    /// The sweeping thread.
    pub agent: Arc<Agent>,
    /// Own metrics.
    pub own: OwnMetrics,
    metrics: SweepMetrics,
    names: Arc<Names>,
    store: Arc<LatestStore>,
    interval: Duration,
    facts: Arc<Facts>,
    node: NodeEndpoint,
    recorder: Arc<Recorder>,
}

impl Collector {
    /// Opens the source and starts sweeping.
    pub fn start(config: &Config) -> Result<Collector, CollectorError> {
        let names = Arc::new(Names::default());
        let own = OwnMetrics::new();
        let sweeper = crate::sweeper::Sweeper::new(config, names.clone())?;
        let metrics = SweepMetrics::register(&own, sweeper.source());
        let store = Arc::new(LatestStore::default());
        let disk = match (&config.disk, sweeper.source()) {
            (Some(settings), Source::Cgroups(_)) => {
                let places = DiskPlaces::new(settings.clone(), &config.proc_root, sweeper.groups_root());
                let walked = metrics.clone();
                let sources = disk::Sources { names: names.clone(), store: store.clone() };
                let observe = move |round: &disk::Walked| walked.observe_walk(round);
                let meter = DiskMeter::start(sweeper.latest(), sources, places, observe);
                Some(meter.map_err(|error| CollectorError::Thread {
                    reason: format!("of disk use could not be started: {error}"),
                })?)
            }
            _ => None,
        };
        let places = Places::find(&config.proc_root, &config.sys_root, &config.root, &config.node_name);
        let files = explain::Files {
            plan: sweeper.plan().clone(),
            source: sweeper.source(),
            proc_root: config.proc_root.clone(),
            machine: places.clone(),
        };
        let (observed, kept) = (metrics.clone(), metrics.clone());
        let recorder = Arc::new(Recorder::new(names.clone()));
        let recording = recorder.clone();
        let record = move |sweep: &Sweep| kept.observe_history(&recording.record(sweep));
        let agent =
            Arc::new(Agent::start(sweeper, config.interval, record, move |done| observed.observe(done))?);
        let facts = Arc::new(Facts {
            node_name: config.node_name.clone(),
            machine: MachineFacts::new(&config.proc_root, &config.sys_root),
            selection: config.selection.clone(),
            disk,
            files,
            proc_root: config.proc_root.clone(),
            metrics: metrics.clone(),
            order: Mutex::default(),
        });
        let read = metrics.clone();
        let node = NodeEndpoint::new(places, gzip, move |cost| read.observe_cost(Stage::Node, cost));
        let interval = config.interval;
        Ok(Collector { agent, own, metrics, names, store, interval, facts, node, recorder })
    }

    /// The table to fill with names, see [`name_source::follow`].
    pub fn names(&self) -> Arc<Names> {
        self.names.clone()
    }

    /// What answers requests.
    pub fn handler(&self) -> CollectorHandler {
        self.handler_with(Arc::new(|| true), Advice::new())
    }

    fn handler_with(&self, certificate_ready: CertificateReady, advice: Advice) -> CollectorHandler {
        let mut probes = Probes::new();
        let agent = self.agent.clone();
        probes.add(&[Probe::Health, Probe::Live], "sweep-loop", move || agent.check_live());
        let agent = self.agent.clone();
        probes.add(&[Probe::Ready], "first-sweep", move || agent.check_ready());
        probes.add(&[Probe::Ready], "serving-certificate", move || match certificate_ready() {
            true => Ok(()),
            false => {
                Err("the files of --tls-cert-file and --tls-private-key-file are not there yet".to_owned())
            }
        });
        CollectorHandler {
            agent: self.agent.clone(),
            own: self.own.clone(),
            metrics: self.metrics.clone(),
            probes: probes.with_advice(advice),
            interval: self.interval,
            interval_ms: HeaderValue::from(u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX)),
            facts: self.facts.clone(),
            recorder: self.recorder.clone(),
            bodies: Arc::new(Semaphore::new(BODIES_AT_ONCE)),
            sent: Arc::new(Semaphore::new(SENT_AT_ONCE)),
            node: self.node.clone(),
        }
    }
}

/// Answers the collector's paths.
pub struct CollectorHandler {
    agent: Arc<Agent>,
    own: OwnMetrics,
    metrics: SweepMetrics,
    probes: Probes,
    interval: Duration,
    interval_ms: HeaderValue,
    facts: Arc<Facts>,
    recorder: Arc<Recorder>,
    bodies: Arc<Semaphore>,
    sent: Arc<Semaphore>,
    node: NodeEndpoint,
}

impl CollectorHandler {
    fn respond(&self, request: &Request) -> Response {
        let path = request.path();
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n");
        }
        if let Some(response) = self.probes.respond(path, &request.query()) {
            return response;
        }
        match path {
            RESOURCE_PATH => self.resource(&request.parts.headers),
            "/metrics" => self.own_metrics(&request.parts.headers),
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }

    fn own_metrics(&self, headers: &HeaderMap) -> Response {
        let format = Format::from_accept(text_of(headers, header::ACCEPT));
        match self.own.body(format) {
            Some(body) => answer(Body::new(body, takes_gzip(headers)), format.content_type()),
            None => text(StatusCode::INTERNAL_SERVER_ERROR, "500 own metrics could not be written\n"),
        }
    }

    fn resource(&self, headers: &HeaderMap) -> Response {
        self.agent.scraper_asked();
        self.metrics.scraped();
        let format = Format::from_accept(text_of(headers, header::ACCEPT));
        let body = self.facts.resource(&self.agent.latest().get(), format);
        let mut response = answer(Body::new(body, takes_gzip(headers)), format.content_type());
        response.headers_mut().insert(SWEEP_INTERVAL_HEADER, self.interval_ms.clone());
        response
    }

    /// What goes before the first piece takes milliseconds, so that happens beside the threads that serve.
    async fn large(&self, wanted: Large, headers: &HeaderMap) -> Response {
        let sweep = self.agent.latest().get();
        if sweep.sequence == 0 && matches!(wanted, Large::Summary(_)) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "503 the first sweep is not finished\n");
        }
        let (facts, gzip) = (self.facts.clone(), takes_gzip(headers));
        let Ok(place) = self.sent.clone().acquire_owned().await else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "503 stopping\n");
        };
        match tokio::task::spawn_blocking(move || facts.begin(wanted, &sweep, gzip, place)).await {
            Ok(body) => answer(body, wanted.content_type()),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "500 the body could not be made\n"),
        }
    }

    async fn node(&self, headers: &HeaderMap) -> Response {
        let format = Format::from_accept(text_of(headers, header::ACCEPT));
        match self.node.body(format, takes_gzip(headers)).await {
            Some(body) => answer(Body::made(body.bytes, body.gzip), format.content_type()),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "503 the machine could not be read\n"),
        }
    }
}

impl Handler for CollectorHandler {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Box::pin(std::future::ready(self.respond(&request)));
        }
        match request.path() {
            NODE_PATH => Box::pin(async move { self.node(&request.parts.headers).await }),
            CADVISOR_PATH => {
                let format = Format::from_accept(text_of(&request.parts.headers, header::ACCEPT));
                Box::pin(async move { self.large(Large::Cadvisor(format), &request.parts.headers).await })
            }
            SUMMARY_PATH => {
                let only = request.query().flag("only_cpu_and_memory");
                let extent = if only { Extent::CpuAndMemory } else { Extent::All };
                Box::pin(async move { self.large(Large::Summary(extent), &request.parts.headers).await })
            }
            path => match stats::Wanted::of(path) {
                Some(wanted) => Box::pin(self.stats(wanted, request.query())),
                None => Box::pin(std::future::ready(self.respond(&request))),
            },
        }
    }
}

/// Asks another authorizer with the attributes a kubelet would ask with: every path but the probes is a subresource of
/// the node (kubernetes/kubernetes `pkg/kubelet/server/auth.go`).
pub struct NodeAuthorizer {
    inner: Arc<dyn Authorizer>,
    node_name: String,
}

impl NodeAuthorizer {
    /// For a node.
    pub fn new(inner: Arc<dyn Authorizer>, node_name: &str) -> NodeAuthorizer {
        NodeAuthorizer { inner, node_name: node_name.to_owned() }
    }

    /// What a kubelet would ask about this request. Questions about resources, such as impersonation, stay as they are.
    pub fn attributes(&self, asked: &Attributes) -> Attributes {
        let below = |root: &str| {
            asked.path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if asked.resource_request || ["/healthz", "/livez", "/readyz"].into_iter().any(below) {
            return asked.clone();
        }
        let subresource = match () {
            () if below("/stats") => "stats",
            () if below("/metrics") => "metrics",
            () => "proxy",
        };
        let verb = match asked.verb.as_str() {
            "post" => "create",
            "put" => "update",
            "head" => "get",
            verb => verb,
        };
        Attributes {
            path: asked.path.clone(),
            version: "v1".to_owned(),
            subresource: subresource.to_owned(),
            ..Attributes::resource(verb, "", "nodes", "", &self.node_name)
        }
    }
}

impl Authorizer for NodeAuthorizer {
    fn authorize<'a>(
        &'a self,
        user: &'a User,
        attributes: &'a Attributes,
    ) -> BoxFuture<'a, Result<Decision, String>> {
        Box::pin(async move { self.inner.authorize(user, &self.attributes(attributes)).await })
    }
}

fn text(code: StatusCode, body: &'static str) -> Response {
    let mut response = http::Response::new(full(body));
    *response.status_mut() = code;
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

fn text_of(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

pub use bodies::accepts_gzip;

mod bodies;
mod stats;
#[cfg(test)]
mod tests;
