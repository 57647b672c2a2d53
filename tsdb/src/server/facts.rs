//! What the API tells about the process.
#![allow(clippy::disallowed_methods, reason = "edge: looks at this process and at the clock")]

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Weak};

use flyball_model::time::rfc3339_seconds;
use futures_util::future::BoxFuture;

use super::Shared;
use crate::api::facts::{BookVisitor, Dropped, Facts, Metadata, Runtime, Target};
use crate::store::now_ms;

/// What whoever scrapes knows.
pub trait Scraped: Send + Sync {
    /// Everything that is scraped.
    fn targets(&self) -> Vec<Target>;

    /// What relabelling dropped.
    fn dropped(&self) -> Dropped;

    /// What the targets say about their metrics, by name.
    fn metadata(&self) -> BTreeMap<String, Vec<Metadata>>;

    /// Each target with its labels and what it says about its metrics, until the visitor has enough.
    fn each_book(&self, visit: &mut BookVisitor<'_>);

    /// The configuration of scraping.
    fn configuration(&self) -> Configuration;

    /// Has the configuration read again; what is wrong with it, or that there is no file to read.
    fn reload(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// The configuration that holds.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// As YAML.
    pub text: String,
    /// Whether its file, as it was last seen, is what holds.
    pub is_current: bool,
    /// Since when it holds, Unix milliseconds.
    pub loaded_ms: i64,
}

/// How the process was started, for those who ask.
pub struct About {
    /// Who scrapes.
    pub scraped: Arc<dyn Scraped>,
    /// Flags with their values.
    pub flags: BTreeMap<String, String>,
    /// How long and how much is kept, in words.
    pub retention: String,
}

/// The facts of a running server.
pub(super) struct ProcessFacts {
    pub(super) about: Arc<About>,
    pub(super) started_ms: i64,
    pub(super) shared: Weak<Shared>,
}

impl Facts for ProcessFacts {
    fn targets(&self) -> Vec<Target> {
        self.about.scraped.targets()
    }

    fn dropped(&self) -> Dropped {
        self.about.scraped.dropped()
    }

    fn metadata(&self) -> BTreeMap<String, Vec<Metadata>> {
        self.about.scraped.metadata()
    }

    fn each_book(&self, visit: &mut BookVisitor<'_>) {
        self.about.scraped.each_book(visit);
    }

    fn runtime(&self) -> Runtime {
        let damage =
            self.shared.upgrade().and_then(|shared| shared.store()).map(|store| store.damage().len());
        let configuration = self.about.scraped.configuration();
        Runtime {
            start_time: rfc3339_seconds(self.started_ms),
            folder: std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default(),
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            server_time: rfc3339_seconds(now_ms()),
            reload_config_success: configuration.is_current,
            last_config_time: rfc3339_seconds(configuration.loaded_ms),
            corruption_count: damage.unwrap_or(0) as u64,
            threads: fs::read_dir("/proc/self/task").map_or(0, Iterator::count),
            processors: std::thread::available_parallelism().map_or(1, Into::into),
            storage_retention: self.about.retention.clone(),
        }
    }

    fn flags(&self) -> BTreeMap<String, String> {
        self.about.flags.clone()
    }

    fn config(&self) -> String {
        self.about.scraped.configuration().text
    }

    fn chunks(&self) -> Option<u64> {
        None
    }
}
