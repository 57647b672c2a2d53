//! What the API tells about the process around the store; whoever runs it knows.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Serialize;

/// Is shown a target's labels, and what the target says about its metrics by their names.
pub type BookVisitor<'a> =
    dyn FnMut(&BTreeMap<String, String>, &BTreeMap<String, Metadata>) -> ControlFlow<()> + 'a;

/// Facts about the process.
pub trait Facts: Send + Sync {
    /// Everything that is scraped.
    fn targets(&self) -> Vec<Target>;

    /// What relabelling dropped, with the count of every job.
    fn dropped(&self) -> Dropped;

    /// What the targets say about their metrics, by name.
    fn metadata(&self) -> BTreeMap<String, Vec<Metadata>>;

    /// Each target with its labels and what it says about its metrics, until the visitor has enough.
    fn each_book(&self, visit: &mut BookVisitor<'_>);

    /// The process itself.
    fn runtime(&self) -> Runtime;

    /// Flags with their values.
    fn flags(&self) -> BTreeMap<String, String>;

    /// The scrape configuration, as YAML.
    fn config(&self) -> String;

    /// Chunks that the store holds in memory, if it counts them.
    fn chunks(&self) -> Option<u64>;
}

/// Of a store without a process around it.
#[derive(Debug, Clone, Copy)]
pub struct NoFacts;

impl Facts for NoFacts {
    fn targets(&self) -> Vec<Target> {
        Vec::new()
    }

    fn dropped(&self) -> Dropped {
        Dropped::default()
    }

    fn metadata(&self) -> BTreeMap<String, Vec<Metadata>> {
        BTreeMap::new()
    }

    fn each_book(&self, _: &mut BookVisitor<'_>) {}

    fn runtime(&self) -> Runtime {
        Runtime {
            start_time: String::new(),
            folder: String::new(),
            hostname: String::new(),
            server_time: String::new(),
            reload_config_success: true,
            last_config_time: String::new(),
            corruption_count: 0,
            threads: 1,
            processors: 1,
            storage_retention: String::new(),
        }
    }

    fn flags(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn config(&self) -> String {
        String::new()
    }

    fn chunks(&self) -> Option<u64> {
        None
    }
}

/// A target of scraping.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Labels before relabelling.
    pub discovered_labels: BTreeMap<String, String>,
    /// Labels of its series.
    pub labels: BTreeMap<String, String>,
    /// The job.
    pub scrape_pool: String,
    /// What is fetched.
    pub scrape_url: String,
    /// The same, from elsewhere.
    pub global_url: String,
    /// Why the last scrape failed; empty if it did not.
    pub last_error: String,
    /// When the last scrape began, RFC 3339.
    pub last_scrape: String,
    /// Seconds the last scrape took.
    pub last_scrape_duration: f64,
    /// `up`, `down` or `unknown`.
    pub health: Health,
    /// Between two scrapes, as a duration.
    pub scrape_interval: String,
    /// Longest time of one, as a duration.
    pub scrape_timeout: String,
}

/// Targets that relabelling dropped.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dropped {
    /// Those that are remembered.
    pub targets: Vec<DroppedTarget>,
    /// How many there are, by job.
    pub counts: BTreeMap<String, usize>,
}

/// A target that relabelling dropped.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DroppedTarget {
    /// Labels before relabelling.
    pub discovered_labels: BTreeMap<String, String>,
    /// The job.
    pub scrape_pool: String,
}

/// Whether the last scrape worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It did.
    Up,
    /// It did not.
    Down,
    /// There was none yet.
    Unknown,
}

/// What a target says about a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// `counter`, `gauge`, …, `unknown`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it means.
    pub help: String,
    /// Its unit, often empty.
    pub unit: String,
}

/// The process.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Runtime {
    /// RFC 3339.
    pub start_time: String,
    /// The working directory.
    #[serde(rename = "CWD")]
    pub folder: String,
    /// Name of the machine.
    pub hostname: String,
    /// RFC 3339.
    pub server_time: String,
    /// Whether the configuration was read.
    pub reload_config_success: bool,
    /// RFC 3339.
    pub last_config_time: String,
    /// Corruptions met in the store.
    pub corruption_count: u64,
    /// Threads, where Prometheus counts goroutines.
    #[serde(rename = "goroutineCount")]
    pub threads: usize,
    /// Processors in use.
    #[serde(rename = "GOMAXPROCS")]
    pub processors: usize,
    /// How long and how much is kept, as text.
    pub storage_retention: String,
}
