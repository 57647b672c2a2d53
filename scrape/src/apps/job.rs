//! What a job is: which targets, how they are asked, and what their answers may hold. Values only.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use flyball_model::exposition::Format;
use flyball_model::labels::Labels;

use super::relabel::Rule;
use crate::tls::Versions;

/// Most bytes of an answer where the job does not say: Prometheus has no limit then.
pub const BODY_BYTES_DEFAULT: usize = 256 << 20;
/// Most bytes of an answer that a job can allow.
pub const BODY_BYTES_MAX: usize = flyball_model::samples::MAX_TEXT_BYTES;
/// Most dropped targets of a job that are remembered, whatever it says: Prometheus has no limit.
pub const DROPPED_TARGETS_DEFAULT: usize = 1000;

/// A job, with everything that `global` gives it already in it.
#[derive(Debug, Clone)]
pub struct Job {
    /// Value of the label `job`.
    pub name: String,
    /// Between two scrapes of a target.
    pub interval: Duration,
    /// Longest time of one; never longer than the interval.
    pub timeout: Duration,
    /// `http` or `https`.
    pub scheme: String,
    /// What is fetched.
    pub metrics_path: String,
    /// Parameters of the query.
    pub params: BTreeMap<String, Vec<String>>,
    /// Labels that a target exposes win over its own.
    pub honor_labels: bool,
    /// Times that a target exposes count.
    pub honor_timestamps: bool,
    /// Series with times of their own get staleness markers too.
    pub track_timestamps_staleness: bool,
    /// gzip is offered.
    pub compression: bool,
    /// Formats that are offered, the best first.
    pub protocols: Vec<Protocol>,
    /// The format of an answer that does not say.
    pub fallback: Option<Protocol>,
    /// Only names of the old kind are taken.
    pub legacy_names: bool,
    /// How names of the new kind are asked for: `allow-utf-8`, `underscores`, `dots` or `values`.
    pub escaping: &'static str,
    /// How targets are spoken to.
    pub access: HttpAccess,
    /// What answers and the list of targets may hold.
    pub limits: Limits,
    /// Makes targets of what is discovered.
    pub relabel: Vec<Rule>,
    /// Further series tell about each scrape.
    pub extra_metrics: bool,
    /// Applied to every series.
    pub metric_relabel: Vec<Rule>,
    /// Where targets come from.
    pub discovery: Vec<Discovery>,
}

/// A format of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `OpenMetricsText1.0.0`
    OpenMetrics1,
    /// `OpenMetricsText0.0.1`
    OpenMetrics0,
    /// `PrometheusText1.0.0`
    Text1,
    /// `PrometheusText0.0.4`
    Text0,
}

impl Protocol {
    /// All, the best first, with their names in the file and their media types.
    pub const ALL: [(Protocol, &'static str, &'static str); 4] = [
        (Protocol::OpenMetrics1, "OpenMetricsText1.0.0", "application/openmetrics-text;version=1.0.0"),
        (Protocol::OpenMetrics0, "OpenMetricsText0.0.1", "application/openmetrics-text;version=0.0.1"),
        (Protocol::Text1, "PrometheusText1.0.0", "text/plain;version=1.0.0"),
        (Protocol::Text0, "PrometheusText0.0.4", "text/plain;version=0.0.4"),
    ];

    /// By its name in the file.
    pub fn from_name(name: &str) -> Option<Protocol> {
        Protocol::ALL.into_iter().find(|(_, known, _)| *known == name).map(|(protocol, ..)| protocol)
    }

    /// How its texts are read.
    pub fn format(self) -> Format {
        match self {
            Protocol::OpenMetrics1 | Protocol::OpenMetrics0 => Format::OpenMetrics10,
            Protocol::Text1 | Protocol::Text0 => Format::Text004,
        }
    }
}

/// Limits; where there is none, there is no limit but those of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of an answer, unpacked.
    pub body_bytes: usize,
    /// Most samples of an answer, after relabelling.
    pub samples: Option<NonZeroUsize>,
    /// Most labels of a series, its name among them.
    pub labels: Option<NonZeroUsize>,
    /// Longest name of a label, bytes.
    pub label_name_bytes: Option<NonZeroUsize>,
    /// Longest value of a label, bytes.
    pub label_value_bytes: Option<NonZeroUsize>,
    /// Most targets of the job; beyond, none is scraped.
    pub targets: Option<NonZeroUsize>,
    /// Most dropped targets that are remembered for those who ask.
    pub dropped_targets: usize,
}

/// How targets are spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAccess {
    /// Who we are.
    pub authorization: Authorization,
    /// TLS.
    pub tls: Tls,
    /// Redirects are followed.
    pub follow_redirects: bool,
    /// More headers.
    pub headers: Vec<(String, Secret)>,
}

/// A text, or the file that holds it.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The text itself.
    Text(String),
    /// Read again from time to time.
    File(PathBuf),
}

/// Who we are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Authorization {
    /// Nobody.
    #[default]
    None,
    /// User and password.
    Basic {
        /// User.
        username: Secret,
        /// Password.
        password: Secret,
    },
    /// Another scheme, mostly `Bearer`.
    Scheme {
        /// Its name.
        scheme: String,
        /// What follows it.
        credentials: Secret,
    },
}

/// `tls_config`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Which authorities are believed; the system's where there is none.
    pub authority: Option<Secret>,
    /// Certificate and key to show.
    pub identity: Option<(Secret, Secret)>,
    /// The name that the certificate must be for, instead of the dialled one.
    pub server_name: Option<String>,
    /// Any certificate will do.
    pub insecure: bool,
    /// Which versions are spoken.
    pub versions: Versions,
}

/// Where targets come from.
#[derive(Debug, Clone)]
pub enum Discovery {
    /// `static_configs`
    Static(Vec<StaticGroup>),
    /// One of `kubernetes_sd_configs`.
    Kubernetes(Kubernetes),
}

/// One of `static_configs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticGroup {
    /// Addresses.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: Labels,
}

/// One of `kubernetes_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubernetes {
    /// What becomes a target.
    pub role: Role,
    /// Where; nothing means everywhere.
    pub namespaces: Vec<String>,
    /// Our own namespace too.
    pub own_namespace: bool,
    /// Which objects are looked at.
    pub selectors: Vec<(Kind, Selector)>,
    /// Labels of the node are attached.
    pub attach_node: bool,
}

/// Which objects of a kind are looked at, as the API server takes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// By labels.
    pub label: String,
    /// By fields.
    pub field: String,
}

/// What becomes a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Ports of pods.
    Pod,
    /// The kubelet of each node.
    Node,
    /// Addresses of services.
    Endpoints,
}

/// A kind of object that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Pod
    Pod,
    /// Node
    Node,
    /// Service
    Service,
    /// Endpoints
    Endpoints,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Secret::Text(_) => f.write_str("<secret>"),
            Secret::File(path) => write!(f, "{path:?}"),
        }
    }
}
