//! Applications beside the nodes: which are scraped, and the way of their samples into the store.

#![allow(clippy::disallowed_methods, reason = "a program: it starts tasks")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use flyball_apiserver::own_metrics::OwnMetrics;
use flyball_model::labels::Labels;
use flyball_scrape::apps::{self, AppSink, Appended, Config, Refused, TargetsView};
use flyball_tsdb::ingest::SeriesRef;
use flyball_tsdb::server::Appender;
use flyball_tsdb::store::Incoming;
use kube::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Which applications are scraped.
pub(super) struct AppsSetup(Config);

impl AppsSetup {
    /// The jobs of a file, or pods that ask for it by annotations, at this interval.
    ///
    /// # Errors
    /// The file cannot be read, or what is wrong with it.
    pub(super) fn read(file: Option<&Path>, interval: Duration) -> anyhow::Result<AppsSetup> {
        let config = match file {
            Some(file) => Config::load(file).context("--config.file")?,
            None => Config::annotated_pods(interval).context("--scrape-interval")?,
        };
        Ok(AppsSetup(config))
    }

    /// The configuration as text, for those who ask.
    pub(super) fn shown(&self) -> &str {
        &self.0.shown
    }

    /// Scrapes until `stop`.
    pub(super) fn start(
        self,
        client: Client,
        appender: Appender,
        view: TargetsView,
        own: &OwnMetrics,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) {
        if self.0.jobs.is_empty() {
            return;
        }
        let metrics = Arc::new(apps::Metrics::default());
        metrics.register(&mut own.registry());
        let user_agent = concat!("flyball/", env!("CARGO_PKG_VERSION")).to_owned();
        let settings = apps::Settings { jobs: self.0.jobs, user_agent };
        tasks.spawn(apps::run(settings, Some(client), Arc::new(StoreSink(appender)), view, metrics, stop));
    }
}

/// The store as those who scrape applications know it.
struct StoreSink(Appender);

impl AppSink for StoreSink {
    type Series = SeriesRef;
    type Sample = Incoming;

    fn resolve(&self, labels: &Labels, source: &str) -> Result<SeriesRef, Refused> {
        let store = self.0.store().map_err(Refused)?;
        store.series_ref(labels, source).map_err(|error| Refused(error.to_string()))
    }

    fn sample(series: SeriesRef, timestamp_ms: i64, value: f64) -> Incoming {
        Incoming { series, timestamp_ms, value }
    }

    fn append(&self, now_ms: i64, samples: &[Incoming]) -> Result<Appended, String> {
        let report = self.0.store()?.append(now_ms, samples).map_err(|error| error.to_string())?;
        Ok(Appended {
            conflicts: report.conflicts,
            too_old: report.too_old,
            too_new: report.too_new,
            gone: report.gone,
        })
    }
}
