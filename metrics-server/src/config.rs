//! Settings. Flags of these names live in the command line crate; their defaults are stated here.

use std::time::Duration;

use flyball_apiserver::standard::VersionInfo;
use flyball_apiserver::{Advice, Generic, Part};
use flyball_model::selector::LabelSelector;

use crate::peers::Peers;
use crate::store::StoreSettings;
use crate::surroundings::Surroundings;

/// `--secure-port`.
pub const DEFAULT_PORT: u16 = 4443;

/// All settings.
#[derive(Clone)]
pub struct Config {
    /// How usage is computed, and how long values outlive a failing node.
    pub store: StoreSettings,
    /// `--node-selector`: lists show only these nodes. Default: all.
    pub node_selector: LabelSelector,
    /// How long nothing may come from the scrape loops before the server counts as stuck (`/livez`). Default: one and a
    /// half resolutions and a request time-out, 32.5 s.
    pub collection_limit: Duration,
    /// How it serves, whom it believes, whom it lets in.
    pub server: Generic,
    /// Least time that a watch lasts unless its client asks for less (`--min-request-timeout`). Default: 30 minutes.
    pub min_watch_time: Duration,
    /// The other replicas, whose points are taken over at the start. Default: none.
    pub peers: Option<Peers>,
    /// What of the cluster around is looked after. Default: nothing.
    pub surroundings: Option<Surroundings>,
    /// Holds what is wrong around the server; shown in `/readyz?verbose`.
    pub advice: Advice,
    /// What `/version` says.
    pub version: VersionInfo,
    /// What else answers on the same port. Default: nothing.
    pub beside: Vec<Part>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            store: StoreSettings::default(),
            node_selector: LabelSelector::everything(),
            collection_limit: Duration::from_millis(32_500),
            server: Generic::default(),
            min_watch_time: Duration::from_secs(1800),
            peers: None,
            surroundings: None,
            advice: Advice::new(),
            version: VersionInfo::new(1, 34, ""),
            beside: Vec::new(),
        }
    }
}
