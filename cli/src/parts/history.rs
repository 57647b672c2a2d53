//! History beside the metrics server: what the flags say of it, what it is told of the targets, its start and its end.

#![allow(clippy::disallowed_methods, reason = "a program: makes the folder and starts tasks")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use flyball_adapter::OwnSeries;
use flyball_adapter::backends::Types;
use flyball_apiserver::own_metrics::OwnMetrics;
use flyball_apiserver::{Advice, Part};
use flyball_model::batch::Sink;
use flyball_model::exposition::MetricType;
use flyball_model::time::rfc3339_seconds;
use flyball_scrape::{Target, Targets, Transport};
use flyball_tsdb::api::facts::{self, Dropped, Health, Metadata};
use flyball_tsdb::api::serve::Limits;
use flyball_tsdb::ingest::labels::{NODE_JOB, node_target};
use flyball_tsdb::ingest::{NodeSink, NodeStatus};
use flyball_tsdb::promql::engine::Options;
use flyball_tsdb::server::{About, History, Scraped, Setup};
use flyball_tsdb::store::Settings;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::milliseconds;
use crate::flags::{HistoryArgs, OnFull, write_span};

/// A query has to be over so long before its request is.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// How often a store that could not hear which nodes there are is told again.
const TELL_AGAIN: Duration = Duration::from_secs(5);

/// Everything that history is started with.
pub struct HistorySetup {
    dir: PathBuf,
    store: Settings,
    scrape_interval: Duration,
    options: Options,
    limits: Limits,
    flags: BTreeMap<String, String>,
    retention: String,
    /// How nodes are asked, for those who look.
    scrape_timeout: Duration,
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
    /// The folder cannot be made.
    pub fn of_flags(
        args: &HistoryArgs,
        request_timeout: Duration,
        scrape: &flyball_scrape::Config,
    ) -> anyhow::Result<HistorySetup> {
        let mut folder = fs::DirBuilder::new();
        folder.recursive(true).mode(0o750).create(&args.path).with_context(|| {
            format!("--storage.tsdb.path: the folder {} cannot be made", args.path.display())
        })?;
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
            scrape_interval: args.scrape_interval,
            options: Options {
                lookback_ms: milliseconds(args.query_lookback_delta),
                max_samples: args.query_max_samples,
                ..Options::default()
            },
            limits: Limits {
                concurrent: args.query_max_concurrency.into(),
                timeout: args.query_timeout.min(longest),
                ..Limits::default()
            },
            flags: args.shown(),
            retention: args.retention(),
            scrape_timeout: scrape.request_timeout,
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

    /// Starts it over these targets.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(
        self,
        targets: &watch::Receiver<Targets>,
        own: &OwnMetrics,
        advice: &Advice,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> anyhow::Result<RunningHistory> {
        let (interval, timeout) = (write_span(self.scrape_interval), write_span(self.scrape_timeout));
        let (schemes, flags, retention) = (self.schemes, self.flags, self.retention);
        let setup = Setup {
            dir: self.dir,
            store: self.store,
            scrape_interval: self.scrape_interval,
            options: self.options,
            limits: self.limits,
            advice: advice.clone(),
        };
        let of_nodes = targets.clone();
        let about = |sink: &Arc<NodeSink>| {
            let nodes = NodeTargets { targets: of_nodes, sink: sink.clone(), schemes, interval, timeout };
            About { scraped: Arc::new(nodes), flags, config: "scrape_configs: []\n".to_owned(), retention }
        };
        let history = History::start(setup, about, own).context("history cannot be started")?;
        tasks.spawn(follow(targets.clone(), history.sink(), stop.clone()));
        Ok(RunningHistory(history))
    }
}

/// History that runs.
pub(super) struct RunningHistory(History);

impl RunningHistory {
    pub(super) fn part(&self) -> Part {
        self.0.part()
    }

    /// What the store holds, for who asks in this process.
    pub(super) fn series(&self) -> OwnSeries {
        // The same table as for those who ask for metadata; it does not change.
        let types: Types = flyball_collector::resource::metrics()
            .into_iter()
            .map(|row| (row.name.to_owned(), row.kind))
            .collect();
        OwnSeries { series: Arc::new(self.0.appender()), types: Arc::new(move || types.clone()) }
    }

    pub(super) fn sink(&self) -> Arc<dyn Sink> {
        self.0.sink()
    }

    /// Takes what is queued into the store and ends.
    pub(super) async fn stop(self) {
        // Waits for the disk.
        if tokio::task::spawn_blocking(move || drop(self)).await.is_err() {
            tracing::error!("history did not end well");
        }
    }
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

/// The nodes' endpoints as targets.
struct NodeTargets {
    targets: watch::Receiver<Targets>,
    sink: Arc<NodeSink>,
    schemes: Schemes,
    interval: String,
    timeout: String,
}

impl NodeTargets {
    fn target(&self, target: &Target, status: Option<&NodeStatus>) -> facts::Target {
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
        let owned = |pairs: &[(&str, String)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
        };
        let failure = status.and_then(|status| status.failure.clone());
        facts::Target {
            discovered_labels: owned(&discovered),
            labels: owned(&node_target(&target.node)),
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
                Some(status) => rfc3339_seconds(status.started_ms),
                // Go's zero time.
                None => "0001-01-01T00:00:00Z".to_owned(),
            },
            last_scrape_duration: status.map_or(0.0, |status| status.took_ms as f64 / 1e3),
            scrape_interval: self.interval.clone(),
            scrape_timeout: self.timeout.clone(),
        }
    }
}

impl Scraped for NodeTargets {
    fn targets(&self) -> Vec<facts::Target> {
        let statuses = self.sink.statuses();
        let targets = self.targets.borrow().clone();
        targets.values().map(|target| self.target(target, statuses.get(&target.node))).collect()
    }

    fn dropped(&self) -> Dropped {
        Dropped::default()
    }

    /// The endpoint is a kubelet's, or a collector's that says the same.
    fn metadata(&self) -> BTreeMap<String, Vec<Metadata>> {
        let rows = flyball_collector::resource::metrics();
        rows.into_iter()
            .map(|row| {
                let entry = Metadata {
                    kind: kind_name(row.kind).to_owned(),
                    help: row.help.to_owned(),
                    unit: String::new(),
                };
                (row.name.to_owned(), vec![entry])
            })
            .collect()
    }
}
