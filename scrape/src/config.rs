//! Settings of scraping. Values only: files named here are read by the edge modules.

use std::path::PathBuf;
use std::time::Duration;

use crate::tls::TlsSettings;

/// How often targets are asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Resolution {
    /// Each second from collectors while that stays within the budget, then less often, 15 s at most; 15 s from kubelets.
    Automatic {
        /// CPU that scraping may take, in cores.
        cpu_budget_cores: f64,
    },
    /// `--metric-resolution`.
    Fixed(Duration),
}

/// Where the bearer token comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Token {
    /// No Authorization header.
    #[default]
    None,
    /// This text.
    Fixed(String),
    /// A file that is read again from time to time, because projected tokens are renewed.
    File(PathBuf),
}

/// How a target is spoken to.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Plain HTTP without credentials: `--deprecated-kubelet-completely-insecure`.
    Plain,
    /// HTTPS.
    Tls(TlsSettings),
}

/// Transport and credentials for one kind of target.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Plain or TLS.
    pub transport: Transport,
    /// Bearer token; never sent over plain HTTP.
    pub token: Token,
}

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// How often.
    pub resolution: Resolution,
    /// Limit for one attempt from dialling to the last byte: `--kubelet-request-timeout`, 10 s.
    pub request_timeout: Duration,
    /// How kubelets are spoken to.
    pub kubelet: Endpoint,
    /// How collectors are spoken to.
    pub collector: Endpoint,
    /// User-Agent header.
    pub user_agent: String,
}

/// A tenth of a core.
pub const DEFAULT_CPU_BUDGET_CORES: f64 = 0.1;
/// Upstream's `--kubelet-request-timeout`.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

impl Config {
    /// Automatic resolution and upstream's time-out over these endpoints.
    pub fn new(kubelet: Endpoint, collector: Endpoint) -> Config {
        Config {
            resolution: Resolution::Automatic { cpu_budget_cores: DEFAULT_CPU_BUDGET_CORES },
            request_timeout: DEFAULT_REQUEST_TIMEOUT,
            kubelet,
            collector,
            user_agent: concat!("flyball/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}
