//! History beside the metrics server: what the flags say of it, what it tells of the targets, its start and its end.

#![allow(clippy::disallowed_methods, reason = "a program: makes the folder and starts tasks")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use flyball_adapter::backends::Types;
use flyball_adapter::{OwnSeries, ScrapeInterval};
use flyball_apiserver::own_metrics::OwnMetrics;
use flyball_apiserver::{Advice, Part};
use flyball_model::batch::Sink;
use flyball_model::exposition::MetricType;
use flyball_model::time::rfc3339_micros;
use flyball_scrape::apps::reload::Known;
use flyball_scrape::apps::{self, ActiveTarget, ConfigView, Described, TargetsView};
use flyball_scrape::{Resolution, Target, Targets, Transport, interval};
use flyball_tsdb::api::facts::{self, BookVisitor, Dropped, DroppedTarget, Health, Metadata};
use flyball_tsdb::api::serve::Limits;
use flyball_tsdb::ingest::labels::{NODE_JOB, node_target};
use flyball_tsdb::ingest::{NodeSink, NodeStatus};
use flyball_tsdb::promql::engine::Options;
use flyball_tsdb::server::{About, Configuration, History, Scraped, Setup};
use flyball_tsdb::store::Settings;
use futures_util::future::BoxFuture;
use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::apps::AppsSetup;
use super::milliseconds;
use crate::flags::{HistoryArgs, OnFull, write_span};

/// A query has to be over so long before its request is.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// Most threads that one query may take, on machines with more processors.
const QUERY_THREADS_MAX: usize = 4;

/// How often a store that could not hear which nodes there are is told again.
const TELL_AGAIN: Duration = Duration::from_secs(5);

/// Everything that history is started with.
pub struct HistorySetup {
    dir: PathBuf,
    store: Settings,
    flush_interval: Duration,
    scrape_interval: Duration,
    options: Options,
    limits: Limits,
    apps: AppsSetup,
    flags: BTreeMap<String, String>,
    retention: String,
    /// How nodes are asked, for those who look.
    scrape_timeout: Duration,
    /// The longest time between two samples of a series.
    longest_interval: ScrapeInterval,
    schemes: Schemes,
}

/// `http` or `https`, by who answers for a node.
#[derive(Debug, Clone, Copy)]
struct Schemes {
    kubelet: &'static str,
    collector: &'static str,
}

impl HistorySetup {
    /// What the flags say. The folder is made, so that a wrong one is told at once.
    ///
    /// # Errors
    /// The folder cannot be made, or what is wrong with the file of scrape configurations.
    pub fn of_flags(
        args: &HistoryArgs,
        request_timeout: Duration,
        scrape: &flyball_scrape::Config,
    ) -> anyhow::Result<HistorySetup> {
        let mut folder = fs::DirBuilder::new();
        folder.recursive(true).mode(0o750).create(&args.path).with_context(|| {
            format!("--storage.tsdb.path: the folder {} cannot be made", args.path.display())
        })?;
        let apps = AppsSetup::read(args.config_file.as_deref(), args.scrape_interval)?;
        let of_nodes = match scrape.resolution {
            Resolution::Automatic { .. } => interval::KUBELET_INTERVAL,
            Resolution::Fixed(interval) => interval,
        };
        let longest_interval = apps.longest_interval(of_nodes.max(args.scrape_interval));
        let store = Settings {
            series_per_source: args.max_series_per_target,
            series_total: args.max_series,
            retention_ms: args.keeps().map(milliseconds),
            retention_bytes: (args.retention_size > 0).then_some(args.retention_size),
            on_full: match args.on_full {
                OnFull::Stop => flyball_tsdb::store::OnFull::Stop,
                OnFull::DropOldest => flyball_tsdb::store::OnFull::DropOldest,
            },
            ..Settings::default()
        };
        let longest = request_timeout.saturating_sub(ANSWER_TIME).max(request_timeout / 2);
        let scheme = |transport: &Transport| match transport {
            Transport::Plain => "http",
            Transport::Tls(_) => "https",
        };
        Ok(HistorySetup {
            dir: args.path.clone(),
            store,
            flush_interval: args.flush_interval,
            scrape_interval: args.scrape_interval,
            options: Options {
                lookback_ms: milliseconds(args.query_lookback_delta),
                max_samples: args.query_max_samples,
                threads: std::thread::available_parallelism().map_or(1, usize::from).min(QUERY_THREADS_MAX),
                ..Options::default()
            },
            limits: Limits {
                concurrent: args.query_max_concurrency.into(),
                timeout: args.query_timeout.min(longest),
                ..Limits::default()
            },
            apps,
            flags: args.shown(),
            retention: args.retention(),
            scrape_timeout: scrape.request_timeout,
            longest_interval,
            schemes: Schemes {
                kubelet: scheme(&scrape.kubelet.transport),
                collector: scheme(&scrape.collector.transport),
            },
        })
    }

    /// History in this folder, with what the flags would have by default.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn in_folder(dir: &Path, scrape: &flyball_scrape::Config) -> anyhow::Result<HistorySetup> {
        let limits = flyball_apiserver::Limits::default();
        let args = HistoryArgs { path: dir.to_owned(), ..HistoryArgs::default() };
        HistorySetup::of_flags(&args, limits.request, scrape)
    }

    /// Starts it over these nodes, and the scraping of applications into it.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(
        self,
        nodes: &watch::Receiver<Targets>,
        around: &Surrounded<'_>,
        stop: &CancellationToken,
    ) -> anyhow::Result<RunningHistory> {
        let (interval, timeout) = (write_span(self.scrape_interval), write_span(self.scrape_timeout));
        let (schemes, flags, retention) = (self.schemes, self.flags, self.retention);
        let config = self.apps.config();
        let setup = Setup {
            dir: self.dir,
            store: self.store,
            flush_interval: self.flush_interval,
            scrape_interval: self.scrape_interval,
            options: self.options,
            limits: self.limits,
            advice: around.advice.clone(),
        };
        let view = TargetsView::default();
        let about = |sink: &Arc<NodeSink>| {
            let (nodes, sink, apps) = (nodes.clone(), sink.clone(), view.clone());
            let scraped = AllTargets { nodes, sink, apps, config, schemes, interval, timeout };
            About { scraped: Arc::new(scraped), flags, retention }
        };
        let history = History::start(setup, about, around.own).context("history cannot be started")?;
        around.tasks.spawn(follow(nodes.clone(), history.sink(), stop.clone()));
        let apps = view.clone();
        self.apps.start(around.client.clone(), history.appender(), view, around, stop)?;
        Ok(RunningHistory { history, apps, longest_interval: self.longest_interval })
    }
}

/// What history finds in its process.
pub(super) struct Surrounded<'a> {
    /// Client of the API server.
    pub(super) client: &'a Client,
    /// Where metrics are registered.
    pub(super) own: &'a OwnMetrics,
    /// Where findings are shown.
    pub(super) advice: &'a Advice,
    /// Where tasks belong to.
    pub(super) tasks: &'a TaskTracker,
}

/// History that runs.
pub(super) struct RunningHistory {
    history: History,
    apps: TargetsView,
    longest_interval: ScrapeInterval,
}

impl RunningHistory {
    pub(super) fn part(&self) -> Part {
        self.history.part()
    }

    /// What the store holds, for who asks in this process.
    pub(super) fn series(&self) -> OwnSeries {
        let apps = self.apps.clone();
        OwnSeries {
            series: Arc::new(self.history.appender()),
            types: Arc::new(move || types(&apps)),
            scrape_interval: self.longest_interval.clone(),
        }
    }

    pub(super) fn sink(&self) -> Arc<dyn Sink> {
        self.history.sink()
    }

    /// Takes what is queued into the store and ends.
    pub(super) async fn stop(self) {
        // Waits for the disk.
        if tokio::task::spawn_blocking(move || drop(self)).await.is_err() {
            tracing::error!("history did not end well");
        }
    }
}

/// The types of all metrics, of nodes and of applications; one that targets disagree about has none.
fn types(apps: &TargetsView) -> Types {
    let mut all: Types = flyball_collector::resource::metrics()
        .into_iter()
        .map(|row| (row.name.to_owned(), row.kind))
        .collect();
    for (name, entries) in apps.metadata() {
        let mut kinds = entries.iter().map(|entry| entry.kind);
        if let Some(first) = kinds.next().filter(|kind| *kind != MetricType::Untyped)
            && kinds.all(|kind| kind == first)
        {
            all.entry(name).or_insert(first);
        }
    }
    all
}

/// A type as Prometheus' metadata name it.
fn kind_name(kind: MetricType) -> &'static str {
    match kind {
        MetricType::Counter => "counter",
        MetricType::Gauge => "gauge",
        MetricType::Histogram => "histogram",
        MetricType::Summary => "summary",
        MetricType::Untyped => "unknown",
        MetricType::Info => "info",
        MetricType::StateSet => "stateset",
        MetricType::GaugeHistogram => "gaugehistogram",
    }
}

/// Tells the store which nodes there are.
async fn follow(mut targets: watch::Receiver<Targets>, sink: Arc<NodeSink>, stop: CancellationToken) {
    loop {
        let names: BTreeSet<String> = targets.borrow_and_update().keys().cloned().collect();
        let told = sink.retain(&names);
        tokio::select! {
            () = stop.cancelled() => return,
            changed = targets.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(TELL_AGAIN), if !told => {}
        }
    }
}

/// Everything that is scraped: the nodes' endpoints, and applications.
struct AllTargets {
    nodes: watch::Receiver<Targets>,
    sink: Arc<NodeSink>,
    apps: TargetsView,
    config: ConfigView,
    schemes: Schemes,
    interval: String,
    timeout: String,
}

impl AllTargets {
    fn node(&self, target: &Target, status: Option<&NodeStatus>) -> facts::Target {
        let scheme = match target.kind {
            flyball_scrape::Kind::Kubelet => self.schemes.kubelet,
            flyball_scrape::Kind::Collector => self.schemes.collector,
        };
        let url = format!("{scheme}://{}{}", target.authority(), target.path);
        let discovered = [
            ("__address__", target.authority()),
            ("__meta_kubernetes_node_name", target.node.clone()),
            ("__metrics_path__", target.path.clone()),
            ("__scheme__", scheme.to_owned()),
            ("__scrape_interval__", self.interval.clone()),
            ("__scrape_timeout__", self.timeout.clone()),
            ("job", NODE_JOB.to_owned()),
        ];
        let of_pairs = |pairs: &[(&str, String)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
        };
        let failure = status.and_then(|status| status.failure.clone());
        facts::Target {
            discovered_labels: of_pairs(&discovered),
            labels: of_pairs(&node_target(&target.node)),
            scrape_pool: NODE_JOB.to_owned(),
            scrape_url: url.clone(),
            global_url: url,
            health: match status {
                None => Health::Unknown,
                Some(_) if failure.is_some() => Health::Down,
                Some(_) => Health::Up,
            },
            last_error: failure.unwrap_or_default(),
            last_scrape: match status {
                Some(status) => moment(status.started_ms),
                None => NEVER.to_owned(),
            },
            last_scrape_duration: status.map_or(0.0, |status| status.took_ms as f64 / 1e3),
            scrape_interval: self.interval.clone(),
            scrape_timeout: self.timeout.clone(),
        }
    }
}

impl Scraped for AllTargets {
    fn targets(&self) -> Vec<facts::Target> {
        let statuses = self.sink.statuses();
        let nodes = self.nodes.borrow().clone();
        let nodes = nodes.values().map(|target| self.node(target, statuses.get(&target.node)));
        nodes.chain(self.apps.active().into_iter().map(application)).collect()
    }

    fn dropped(&self) -> Dropped {
        let targets = self.apps.dropped().into_iter().map(|target| DroppedTarget {
            discovered_labels: owned(target.discovered.iter()),
            scrape_pool: target.pool,
        });
        let mut counts = self.apps.dropped_counts();
        counts.entry(NODE_JOB.to_owned()).or_default();
        Dropped { targets: targets.collect(), counts }
    }

    /// Nodes do not say it again with each answer: a kubelet's endpoint, and a collector's, always means the same.
    fn metadata(&self) -> BTreeMap<String, Vec<Metadata>> {
        let rows = flyball_collector::resource::metrics().into_iter();
        let mut all: BTreeMap<String, Vec<Metadata>> =
            rows.map(|row| (row.name.to_owned(), vec![described(row.kind, row.help, "")])).collect();
        for (name, entries) in self.apps.metadata() {
            let known = all.entry(name).or_default();
            for entry in entries {
                let entry = described(entry.kind, &entry.help, &entry.unit);
                if !known.contains(&entry) {
                    known.push(entry);
                }
            }
        }
        all
    }

    fn each_book(&self, visit: &mut BookVisitor<'_>) {
        let known = flyball_collector::resource::metrics().into_iter();
        let of_nodes: BTreeMap<String, Metadata> =
            known.map(|row| (row.name.to_owned(), described(row.kind, row.help, ""))).collect();
        for node in self.nodes.borrow().clone().into_keys() {
            let labels = node_target(&node);
            let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            if visit(&labels, &of_nodes).is_break() {
                return;
            }
        }
        for (labels, book) in self.apps.books() {
            let entry = |(name, says): (&String, &Described<String>)| {
                (name.clone(), described(says.kind, &says.help, &says.unit))
            };
            if visit(&owned(labels.iter()), &book.iter().map(entry).collect()).is_break() {
                return;
            }
        }
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(self.config.reload())
    }

    fn configuration(&self) -> Configuration {
        let Known { shown, is_current, loaded_ms } = self.config.known();
        Configuration { text: shown, is_current, loaded_ms }
    }
}

fn described(kind: MetricType, help: &str, unit: &str) -> Metadata {
    Metadata { kind: kind_name(kind).to_owned(), help: help.to_owned(), unit: unit.to_owned() }
}

/// An application as a target.
fn application(target: ActiveTarget) -> facts::Target {
    facts::Target {
        discovered_labels: owned(target.discovered.iter()),
        labels: owned(target.labels.iter()),
        scrape_pool: target.pool,
        scrape_url: target.url.clone(),
        global_url: target.url,
        last_error: target.last.error,
        last_scrape: target.last.started_ms.map_or_else(|| NEVER.to_owned(), moment),
        last_scrape_duration: target.last.duration.as_secs_f64(),
        health: match target.last.health {
            apps::Health::Unknown => Health::Unknown,
            apps::Health::Up => Health::Up,
            apps::Health::Down => Health::Down,
        },
        scrape_interval: write_span(target.interval),
        scrape_timeout: write_span(target.timeout),
    }
}

fn owned<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A time with its fraction.
fn moment(unix_ms: i64) -> String {
    rfc3339_micros(unix_ms.saturating_mul(1000))
}

/// Go's zero time.
const NEVER: &str = "0001-01-01T00:00:00Z";
