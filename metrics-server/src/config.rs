//! Settings. Flags of these names live in the command line crate; their defaults are stated here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flyball_apiserver::delegation::Flags;
use flyball_apiserver::standard::VersionInfo;
use flyball_apiserver::{AllowedPaths, Authorizer, Limits, ServingTls};
use flyball_model::selector::LabelSelector;

use crate::store::StoreSettings;

/// `--secure-port`.
pub const DEFAULT_PORT: u16 = 4443;

/// The certificate that clients see.
#[derive(Debug, Clone, Default)]
pub enum Serving {
    /// A self-signed one for `localhost`, made at start and kept in memory.
    #[default]
    SelfSigned,
    /// `--tls-cert-file` and `--tls-private-key-file`; read again when they change.
    Files {
        /// PEM chain.
        certificate: PathBuf,
        /// PEM key.
        key: PathBuf,
    },
    /// Made by the caller, for example issued by a one-machine cluster's authority.
    Given(ServingTls),
}

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
    /// Serving certificate. Default: self-signed.
    pub serving: Serving,
    /// Authentication: what flags say beside the cluster's ConfigMap. `tokens` is filled with TokenReview when empty.
    /// Default: anonymous requests go on to authorization, and a missing ConfigMap is fatal.
    pub authentication: Flags,
    /// Authorization. Default (`None`): SubjectAccessReview.
    pub authorizer: Option<Arc<dyn Authorizer>>,
    /// `--authorization-always-allow-paths`. Default: `/healthz`, `/readyz`, `/livez`.
    pub always_allow: AllowedPaths,
    /// Limits of the server.
    pub limits: Limits,
    /// What `/version` says.
    pub version: VersionInfo,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            store: StoreSettings::default(),
            node_selector: LabelSelector::everything(),
            collection_limit: Duration::from_millis(32_500),
            serving: Serving::default(),
            authentication: Flags { anonymous: true, ..Flags::default() },
            authorizer: None,
            always_allow: AllowedPaths::default(),
            limits: Limits::default(),
            version: VersionInfo::new(1, 34, ""),
        }
    }
}
