//! Settings. Flags of these names live in the command line crate; their defaults are stated here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flyball_apiserver::standard::VersionInfo;
use flyball_apiserver::{Advice, Generic};
use flyball_tsdb::series::SeriesSource;

use crate::backends::TypesOfMetrics;
use crate::rules::NonFinite;
use crate::sources::SourceSettings;

/// `--secure-port`.
pub const DEFAULT_PORT: u16 = 4443;
/// `--metrics-relist-interval`, upstream's.
pub const RELIST_INTERVAL: Duration = Duration::from_secs(600);
/// Range of the rates that are made without a rule, of a server whose scrapes we do not know.
pub const RATE_WINDOW: Duration = Duration::from_secs(120);
/// The same of a store of ours: so many scrapes, so that one may fail, but no less than this, so that few events are no noise.
const RATE_SCRAPES: u32 = 4;
const MIN_RATE_WINDOW: Duration = Duration::from_secs(60);

/// Range of the rates that are made without a rule, of a store of ours whose series are scraped at least this often: a step
/// shows in it the sooner the shorter it is.
pub fn own_rate_window(scrape_interval: Duration) -> Duration {
    scrape_interval.saturating_mul(RATE_SCRAPES).max(MIN_RATE_WINDOW)
}
/// Most metrics that discovery lists of one API; the others answer all the same.
pub const DISCOVERY_LIMIT: usize = 10_000;

/// Tells a time between scrapes that may change.
pub type ScrapeInterval = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The process's own store.
#[derive(Clone)]
pub struct OwnSeries {
    /// The series.
    pub series: Arc<dyn SeriesSource>,
    /// What their targets say they are.
    pub types: TypesOfMetrics,
    /// The longest time between two samples of one of them, as configured now.
    pub scrape_interval: ScrapeInterval,
}

/// What is served.
#[derive(Clone)]
pub struct Settings {
    /// The sources, in order. At least one.
    pub sources: Vec<SourceSettings>,
    /// The process's own store, if it has one.
    pub own: Option<OwnSeries>,
    /// prometheus-adapter's configuration file (`--config`); without it metrics are made from what is scraped.
    pub config: Option<PathBuf>,
    /// Between two looks at what metrics exist (`--metrics-relist-interval`). Default: upstream's 10 minutes. A request for
    /// an unknown metric makes a new look at once, though not many of them.
    pub relist_interval: Duration,
    /// How old a series may be (`--metrics-max-age`). Default: as [`Settings::relist_interval`].
    pub max_age: Duration,
    /// Whether `resourceRules` are served. Default: yes; not beside a metrics server, which is better at it.
    pub usage: bool,
    /// What becomes of NaN and infinities. Default: left out.
    pub non_finite: NonFinite,
    /// Holds what is wrong around the server; shown in `/readyz?verbose`.
    pub advice: Advice,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            sources: Vec::new(),
            own: None,
            config: None,
            relist_interval: RELIST_INTERVAL,
            max_age: RELIST_INTERVAL,
            usage: true,
            non_finite: NonFinite::default(),
            advice: Advice::new(),
        }
    }
}

/// How it is served, as a program of its own.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Certificate, identities, permissions, limits.
    pub generic: Generic,
    /// What `/version` says.
    pub version: VersionInfo,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_a_store_of_ours_span_four_scrapes() {
        let of = |seconds| own_rate_window(Duration::from_secs(seconds)).as_secs();
        assert_eq!([of(1), of(15), of(30), of(60)], [60, 60, 120, 240]);
    }
}
