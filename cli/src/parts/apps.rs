//! Applications beside the nodes: which are scraped, and the way of their samples into the store.

#![allow(clippy::disallowed_methods, reason = "a program: it starts tasks")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use flyball_adapter::ScrapeInterval;
use flyball_model::labels::Labels;
use flyball_scrape::apps::{self, AppSink, Appended, Config, ConfigView, Job, Refused, Reload, TargetsView};
use flyball_tsdb::ingest::SeriesRef;
use flyball_tsdb::server::Appender;
use flyball_tsdb::store::Incoming;
use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::history::Surrounded;
use crate::signals;

/// Which applications are scraped.
pub(super) struct AppsSetup {
    jobs: watch::Receiver<Vec<Job>>,
    config: ConfigView,
    /// Reads the file again, if there is one.
    reload: Option<Reload>,
}

impl AppsSetup {
    /// The jobs of a file, or pods that ask for it by annotations, at this interval.
    ///
    /// # Errors
    /// The file cannot be read, or what is wrong with it.
    pub(super) fn read(file: Option<&Path>, interval: Duration) -> anyhow::Result<AppsSetup> {
        if let Some(file) = file {
            let config = Config::load(file).context("--config.file")?;
            let (reload, config, jobs) = Reload::new(file.to_owned(), config);
            return Ok(AppsSetup { jobs, config, reload: Some(reload) });
        }
        let config = Config::annotated_pods(interval).context("--scrape-interval")?;
        let view = ConfigView::new(&config.shown);
        Ok(AppsSetup { jobs: watch::channel(config.jobs).1, config: view, reload: None })
    }

    /// The longest time between two scrapes of one application as the jobs are now, and at least this one.
    pub(super) fn longest_interval(&self, at_least: Duration) -> ScrapeInterval {
        let jobs = self.jobs.clone();
        Arc::new(move || jobs.borrow().iter().map(|job| job.interval).max().unwrap_or_default().max(at_least))
    }

    /// The configuration, for those who ask.
    pub(super) fn config(&self) -> ConfigView {
        self.config.clone()
    }

    /// Scrapes until `stop`.
    pub(super) fn start(
        self,
        client: Client,
        appender: Appender,
        view: TargetsView,
        around: &Surrounded<'_>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let metrics = Arc::new(apps::Metrics::default());
        metrics.register(&mut around.own.registry());
        self.config.register(&mut around.own.registry());
        if let Some(reload) = self.reload {
            around.tasks.spawn(reload.follow(signals::hangups(stop)?, stop.clone()));
        }
        let user_agent = concat!("flyball/", env!("CARGO_PKG_VERSION")).to_owned();
        let settings = apps::Settings { jobs: self.jobs, user_agent };
        let sink = Arc::new(StoreSink(appender));
        around.tasks.spawn(apps::run(settings, Some(client), sink, view, metrics, stop.clone()));
        Ok(())
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
