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
/// Range of the rates that are made without a rule.
pub const RATE_WINDOW: Duration = Duration::from_secs(120);
/// Most metrics that discovery lists of one API; the others answer all the same.
pub const DISCOVERY_LIMIT: usize = 10_000;

/// The process's own store.
#[derive(Clone)]
pub struct OwnSeries {
    /// The series.
    pub series: Arc<dyn SeriesSource>,
    /// What their targets say they are.
    pub types: TypesOfMetrics,
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
