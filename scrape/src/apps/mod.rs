//! Scraping of applications: targets out of Prometheus' own `scrape_configs`, or pods that ask for it by annotation.
//!
//! ```text
//! config ─▶ Job ─▶ discovery (labels of objects) ─▶ relabel ─▶ Target ─▶ one loop each ─▶ parse ─▶ AppSink
//!                                                        └────────────▶ TargetsView (for /api/v1/targets)
//! ```
//!
//! What is promised: the series that arrive are those that Prometheus 3 would store of the same answers, with the same labels
//! and times, staleness markers and `up` among them. Nodes' own endpoints are not scraped here: [`crate::run`] does that.

mod access;
pub mod annotations;
mod bounds;
mod clock;
pub mod config;
mod discover;
mod fetch;
pub mod ingest;
pub mod job;
pub mod labelset;
mod metrics;
mod pool;
pub mod relabel;
pub mod reload;
mod run;
mod schedule;
mod scrape_loop;
mod sink;
pub mod target;
mod threads;
pub mod url;
mod view;

pub use config::{Config, ConfigError, LoadError};
pub use job::Job;
pub use metrics::{Fault, Metrics};
pub use reload::{ConfigView, Reload};
pub use run::{Settings, run};
pub use sink::{AppSink, Appended, Refused};
pub use view::{ActiveTarget, Described, DroppedTarget, Health, LastScrape, Metadata, TargetsView};

/// Bits of the NaN that marks the end of a series, as Prometheus writes it.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;
