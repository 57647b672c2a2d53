//! The adapter put together: sources, configuration, cluster, API; and the process around it.
#![allow(
    clippy::disallowed_methods,
    reason = "an edge: reads the clock and the configuration file, starts tasks"
)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flyball_apiserver::discovery::{Discovery, Group};
use flyball_apiserver::openapi::OpenApi;
use flyball_apiserver::own_metrics::{OwnMetrics, ServerMetrics};
use flyball_apiserver::probes::{Probe, Probes};
use flyball_apiserver::standard::Standard;
use flyball_apiserver::{ApiserverError, DelegationMetrics, Handler, Live, Part, Server, delegation, serve};
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api;
use crate::cluster::Cluster;
use crate::config::{self, Config, ConfigError};
use crate::own_metrics::AdapterMetrics;
use crate::settings::{ServerSettings, Settings};
use crate::sources::Source;
use crate::state::{Around, Backends, State, assemble, backends};

/// How often the configuration file is looked at.
const CONFIG_INTERVAL: Duration = Duration::from_secs(5);
/// Changes of what exists are published together when they come close together.
const PUBLISH_PAUSE: Duration = Duration::from_millis(200);

/// Unix time in milliseconds.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Why the adapter cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// The configuration file.
    #[error("{file}: {}", .errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Config {
        /// Its name.
        file: String,
        /// Everything that is wrong with it.
        errors: Vec<ConfigError>,
    },
    /// The configuration file cannot be read.
    #[error("{file}: {reason}")]
    File {
        /// Its name.
        file: String,
        /// Why.
        reason: String,
    },
    /// The sources.
    #[error("{0}")]
    Sources(String),
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

/// The adapter.
pub struct Adapter {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) metrics: AdapterMetrics,
    state: Arc<Live<State>>,
    backends: Backends,
    /// The text that the state was made from; `None` without a file.
    config: Mutex<Option<String>>,
    groups: watch::Sender<Arc<Vec<Group>>>,
    changed: Arc<Notify>,
    own: OwnMetrics,
    stopping: AtomicBool,
}

impl Adapter {
    /// An adapter that has looked at nothing yet. Its metrics go to `own`. The configuration is read with the kinds that
    /// `cluster` knows.
    ///
    /// # Errors
    /// The configuration or the sources cannot be used.
    pub fn new(
        settings: Settings,
        cluster: Arc<Cluster>,
        own: OwnMetrics,
    ) -> Result<Arc<Adapter>, AdapterError> {
        Adapter::with_clock(settings, cluster, own, Arc::new(unix_ms))
    }

    /// The same with the caller's clock.
    ///
    /// # Errors
    /// As above.
    pub fn with_clock(
        settings: Settings,
        cluster: Arc<Cluster>,
        own: OwnMetrics,
        clock: Clock,
    ) -> Result<Arc<Adapter>, AdapterError> {
        let metrics = AdapterMetrics::register(&own);
        let backends = backends(&settings).map_err(AdapterError::Sources)?;
        let backends = metrics.measured(backends);
        let text = settings.config.as_deref().map(read).transpose()?;
        let around = Around { settings: &settings, backends: &backends, clock: &clock };
        let file = || settings.config.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let parsed = text.as_deref().map(config::parse).transpose().map_err(|error| vec![error]);
        let state = parsed
            .and_then(|parsed| assemble(&around, parsed.as_ref(), &cluster.kinds()))
            .map_err(|errors| AdapterError::Config { file: file(), errors })?;
        let groups = watch::Sender::new(Arc::new(api::groups(&state)));
        Ok(Arc::new(Adapter {
            state: Live::new(state),
            config: Mutex::new(text),
            changed: Arc::default(),
            stopping: AtomicBool::new(false),
            settings,
            clock,
            cluster,
            metrics,
            backends,
            groups,
            own,
        }))
    }

    /// What is served now.
    pub fn state(&self) -> Arc<State> {
        self.state.get()
    }

    /// What is known of the cluster.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// The groups with the metrics that exist, now and whenever they change.
    pub fn groups(&self) -> watch::Receiver<Arc<Vec<Group>>> {
        self.groups.subscribe()
    }

    /// Answers requests for resources of our groups, [`api::GROUPS`].
    pub fn handler(self: &Arc<Self>) -> Arc<dyn Handler> {
        Arc::new(api::Api(self.clone()))
    }

    /// What answers beside another server's own group, on its port.
    pub fn part(self: &Arc<Self>) -> Part {
        Part {
            groups: self.groups(),
            documents: api::documents(),
            answers: api::GROUPS
                .iter()
                .filter(|group| self.answers(group))
                .map(|group| (*group).to_owned())
                .collect(),
            paths: Vec::new(),
            permission: None,
            handler: self.handler(),
        }
    }

    /// Whether a group's requests are ours.
    fn answers(&self, group: &str) -> bool {
        self.settings.usage || group != api::USAGE
    }

    /// Adds our check: every source that is asked in PromQL has been looked at, whatever came of it.
    pub fn add_probes(self: &Arc<Self>, probes: &mut Probes) {
        let adapter = self.clone();
        probes.add(&[Probe::Ready], "metrics-listed", move || {
            let state = adapter.state();
            let waiting = state.sources.iter().find_map(|source| match source {
                Source::Queried(source) if !source.has_looked() => Some(source.name().to_owned()),
                _ => None,
            });
            waiting.map_or(Ok(()), |name| Err(format!("source {name} has not been looked at yet")))
        });
    }

    /// Looks at every source once, for programs that ask and end.
    pub async fn look_once(&self) {
        let state = self.state();
        let looks = state.sources.iter().map(|source| async move {
            match source {
                Source::Queried(source) => source.look().await,
                Source::Proxied(source) => source.look().await,
            }
        });
        futures_util::future::join_all(looks).await;
        self.publish();
    }

    /// Follows cluster, sources and configuration file until `stop`.
    pub async fn work(self: Arc<Self>, client: Client, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        tasks.spawn(self.cluster.clone().follow(client, stop.clone()));
        tasks.spawn(stop.clone().run_until_cancelled_owned(self.clone().publish_changes()));
        self.generations(&stop).await;
        tasks.close();
        tasks.wait().await;
    }

    /// Runs one generation of sources after the other.
    async fn generations(&self, stop: &CancellationToken) {
        let mut kinds = self.cluster.kinds_changed();
        kinds.mark_unchanged();
        while !stop.is_cancelled() {
            let (tasks, end) = (TaskTracker::new(), stop.child_token());
            for source in &self.state().sources {
                match source {
                    Source::Queried(source) => {
                        tasks.spawn(source.clone().follow(self.changed.clone(), end.clone()));
                    }
                    Source::Proxied(source) => {
                        tasks.spawn(source.clone().follow(self.changed.clone(), end.clone()));
                    }
                }
            }
            let next = stop.run_until_cancelled(self.next_state(&mut kinds)).await;
            end.cancel();
            tasks.close();
            tasks.wait().await;
            if let Some(next) = next {
                self.state.set(next);
            }
        }
    }

    /// How long it may take now until a series of the own store has another sample.
    fn own_interval(&self) -> Option<Duration> {
        self.settings.own.as_ref().map(|own| (own.scrape_interval)())
    }

    /// Waits for another configuration, other kinds or another time between scrapes of the own store that work, and looks at
    /// the sources with them.
    async fn next_state(&self, kinds: &mut watch::Receiver<Arc<crate::kinds::Kinds>>) -> State {
        let interval = self.own_interval();
        loop {
            let other_kinds = tokio::select! {
                changed = kinds.changed() => changed.is_ok(),
                () = tokio::time::sleep(CONFIG_INTERVAL) => false,
            };
            let other_surroundings = other_kinds || self.own_interval() != interval;
            let Some(path) = &self.settings.config else {
                if other_surroundings && let Ok(state) = self.assembled(None) {
                    return looked_at(state).await;
                }
                continue;
            };
            let text = match read(path) {
                Ok(text) => text,
                Err(error) => {
                    self.tell(Some(format!("{error}; the one in force stays")));
                    continue;
                }
            };
            let same = self.config.lock().unwrap_or_else(PoisonError::into_inner).as_deref() == Some(&text);
            if same && !other_surroundings {
                self.tell(None);
                continue;
            }
            let parsed = config::parse(&text).map_err(|error| vec![error]);
            match parsed.and_then(|config| self.assembled(Some(&config))) {
                Ok(state) => {
                    self.tell(None);
                    tracing::info!(file = %path.display(), "configuration in force");
                    *self.config.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                    return looked_at(state).await;
                }
                Err(errors) => {
                    let error = AdapterError::Config { file: path.display().to_string(), errors };
                    self.tell(Some(format!("{error}; the one in force stays")));
                }
            }
        }
    }

    fn tell(&self, finding: Option<String>) {
        self.settings.advice.set("configuration", finding);
    }

    fn assembled(&self, config: Option<&Config>) -> Result<State, Vec<ConfigError>> {
        let around = Around { settings: &self.settings, backends: &self.backends, clock: &self.clock };
        assemble(&around, config, &self.cluster.kinds())
    }

    async fn publish_changes(self: Arc<Self>) {
        loop {
            self.changed.notified().await;
            tokio::time::sleep(PUBLISH_PAUSE).await;
            self.publish();
        }
    }

    /// Tells whoever serves discovery what exists, when that has changed.
    fn publish(&self) {
        let now = api::groups(&self.state());
        self.groups.send_if_modified(|groups| {
            let changed = **groups != now;
            if changed {
                *groups = Arc::new(now);
            }
            changed
        });
    }
}

impl std::fmt::Debug for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adapter").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// Looks at the new sources before they take the old ones' place, so that no metric is missing for a moment.
async fn looked_at(state: State) -> State {
    let looks = state.sources.iter().map(|source| async move {
        match source {
            Source::Queried(source) => source.look().await,
            Source::Proxied(source) => source.look().await,
        }
    });
    futures_util::future::join_all(looks).await;
    state
}

fn read(path: &Path) -> Result<String, AdapterError> {
    let refuse = |reason: String| AdapterError::File { file: path.display().to_string(), reason };
    let length = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?.len();
    if length > config::MAX_FILE_BYTES as u64 {
        return Err(refuse(format!("longer than {} bytes", config::MAX_FILE_BYTES)));
    }
    std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))
}

/// Serves on `listener` until `shutdown`, with delegated authentication and authorization.
///
/// # Errors
/// The serving certificate or the cluster's authentication settings cannot be used; the listener fails.
pub async fn run(
    adapter: Arc<Adapter>,
    server: ServerSettings,
    client: Client,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), AdapterError> {
    let tasks = TaskTracker::new();
    // Whatever ends the serving ends the tasks beside it.
    let stop = CancellationToken::new();
    let delay = server.generic.shutdown_delay;
    tasks.spawn(stop_in_time(adapter.clone(), delay, shutdown, stop.clone()));
    tasks.spawn(adapter.clone().work(client.clone(), stop.clone()));
    let result = serve_until(&adapter, server, client, listener, &tasks, stop.clone()).await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    result
}

/// Passes the order to stop on, after the delay in which the server is told to be unready and still answers.
async fn stop_in_time(
    adapter: Arc<Adapter>,
    delay: Duration,
    shutdown: CancellationToken,
    stop: CancellationToken,
) {
    tokio::select! {
        () = stop.cancelled() => return,
        () = shutdown.cancelled() => {}
    }
    adapter.stopping.store(true, Ordering::Release);
    tokio::time::sleep(delay).await;
    stop.cancel();
}

async fn serve_until(
    adapter: &Arc<Adapter>,
    server: ServerSettings,
    client: Client,
    listener: TcpListener,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<(), AdapterError> {
    let generic = &server.generic;
    let tls = generic.certificate(tasks, &stop)?;
    let asked = DelegationMetrics::register(&adapter.own);
    let mut flags = generic.authentication.clone();
    flags.tokens = flags.tokens.or_else(|| Some(Arc::new(generic.tokens(&client, &asked))));
    flags.advice.get_or_insert_with(|| adapter.settings.advice.clone());
    let authenticators =
        delegation::start(generic.authentication_client(&client), flags, stop.clone()).await?;
    let address = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
    let port = address.rsplit(':').next().unwrap_or_default().to_owned();
    let served = Server {
        tls,
        authenticators,
        authorizer: generic
            .authorizer
            .clone()
            .unwrap_or_else(|| Arc::new(generic.delegated(&client, &asked))),
        handler: adapter.whole_handler(&server, &format!(":{port}"), tasks, &stop),
        limits: generic.limits,
        metrics: ServerMetrics::register(&adapter.own),
    };
    tracing::info!(address, "adapter serves");
    serve(listener, Arc::new(served), stop).await.map_err(|source| AdapterError::Serve { address, source })
}

impl Adapter {
    /// The handler with the paths that all servers share; its discovery follows what exists.
    fn whole_handler(
        self: &Arc<Self>,
        server: &ServerSettings,
        address: &str,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Arc<dyn Handler> {
        let mut groups = self.groups();
        let discovery = Live::new(Discovery::new(&groups.borrow_and_update().clone(), address));
        let (live, address) = (discovery.clone(), address.to_owned());
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            while groups.changed().await.is_ok() {
                let now = groups.borrow_and_update().clone();
                live.set(Discovery::new(&now, &address));
            }
        }));
        let mut probes = Probes::new();
        self.add_probes(&mut probes);
        let adapter = self.clone();
        probes.add(&[Probe::Ready], "shutdown", move || match adapter.stopping.load(Ordering::Acquire) {
            true => Err("process is shutting down".to_owned()),
            false => Ok(()),
        });
        Arc::new(Standard {
            discovery,
            openapi: Live::new(OpenApi::new(api::TITLE, api::documents())),
            version: server.version.clone(),
            probes: probes.with_advice(self.settings.advice.clone()),
            metrics: self.own.clone(),
            inner_groups: Some(self.part().answers),
            inner_paths: Vec::new(),
            inner: self.handler(),
        })
    }
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
