//! Settings. Flags of these names live in the command line crate; their defaults are stated here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flyball_apiserver::delegated::ANSWER_LIFETIME;
use flyball_apiserver::delegation::Flags;
use flyball_apiserver::standard::VersionInfo;
use flyball_apiserver::{Advice, AllowedPaths, Authorizer, Limits, Part, ServingTls, TlsChoice};
use flyball_model::selector::LabelSelector;

use crate::peers::Peers;
use crate::store::StoreSettings;
use crate::surroundings::Surroundings;

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
    /// `--cert-dir`: the pair `apiserver.crt` and `apiserver.key` of this folder, made and written if it is not there.
    /// Where the folder cannot be used, the certificate stays in memory and the log says so.
    Folder(PathBuf),
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
    /// Client for TokenReviews and the authentication ConfigMap (`--authentication-kubeconfig`). Default: the server's.
    pub authentication_client: Option<kube::Client>,
    /// Client for SubjectAccessReviews (`--authorization-kubeconfig`). Default: the server's.
    pub authorization_client: Option<kube::Client>,
    /// How long answers of the cluster about who and what is allowed are believed. Default: upstream's 10 s each.
    pub believed: Believed,
    /// How long requests are still taken after the order to stop, while `/readyz` already fails
    /// (`--shutdown-delay-duration`). Default: not at all.
    pub shutdown_delay: Duration,
    /// Least time that a watch lasts unless its client asks for less (`--min-request-timeout`). Default: 30 minutes.
    pub min_watch_time: Duration,
    /// TLS versions, suites and key exchanges.
    pub tls: TlsChoice,
    /// Whether HTTP/2 is offered (`--disable-http2-serving` turns it off). Default: yes.
    pub http2: bool,
    /// Further certificates by the name asked for (`--tls-sni-cert-key`): names, certificate file, key file. Without
    /// names those in the certificate count.
    pub sni: Vec<(Vec<String>, PathBuf, PathBuf)>,
    /// The other replicas, whose points are taken over at the start. Default: none.
    pub peers: Option<Peers>,
    /// What of the cluster around is looked after. Default: nothing.
    pub surroundings: Option<Surroundings>,
    /// Holds what is wrong around the server; shown in `/readyz?verbose`.
    pub advice: Advice,
    /// Limits of the server.
    pub limits: Limits,
    /// What `/version` says.
    pub version: VersionInfo,
    /// What else answers on the same port. Default: nothing.
    pub beside: Vec<Part>,
}

/// Lifetimes of remembered answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Believed {
    /// Of TokenReviews (`--authentication-token-webhook-cache-ttl`).
    pub tokens: Duration,
    /// Of permissions (`--authorization-webhook-cache-authorized-ttl`).
    pub allowed: Duration,
    /// Of refusals (`--authorization-webhook-cache-unauthorized-ttl`).
    pub denied: Duration,
}

impl Default for Believed {
    fn default() -> Believed {
        Believed { tokens: ANSWER_LIFETIME, allowed: ANSWER_LIFETIME, denied: ANSWER_LIFETIME }
    }
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
            authentication_client: None,
            authorization_client: None,
            believed: Believed::default(),
            shutdown_delay: Duration::ZERO,
            min_watch_time: Duration::from_secs(1800),
            tls: TlsChoice::default(),
            http2: true,
            sni: Vec::new(),
            peers: None,
            surroundings: None,
            advice: Advice::new(),
            limits: Limits::default(),
            version: VersionInfo::new(1, 34, ""),
            beside: Vec::new(),
        }
    }
}
