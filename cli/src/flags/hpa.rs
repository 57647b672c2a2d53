//! Flags of `flyball hpa`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{ClusterArgs, TlsArgs, parse_duration};

/// Flags of `hpa`; kube-controller-manager's names and meanings where it has them.
#[derive(Debug, Args)]
pub struct HpaArgs {
    /// How to reach the API server.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Serving certificate.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Address to serve on.
    #[arg(long, default_value = "0.0.0.0", value_name = "ADDR")]
    pub bind_address: std::net::IpAddr,
    /// Port to serve on.
    #[arg(long, default_value_t = 8443, value_name = "PORT")]
    pub secure_port: u16,
    /// `replace` scales; `shadow` decides and writes nothing.
    #[arg(long, value_enum, default_value_t = Mode::Replace, value_name = "MODE")]
    pub mode: Mode,
    /// `upstream`: decide every sync period and forget history on restart, as the built-in controller does.
    #[arg(long, value_enum, value_name = "WHOSE")]
    pub compat: Option<Compat>,
    /// Namespace of the history checkpoints.
    #[arg(long, env = "POD_NAMESPACE", default_value = "kube-system", value_name = "NAMESPACE")]
    pub checkpoint_namespace: String,
    /// HPAs evaluated at once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000), value_name = "N")]
    pub concurrent_horizontal_pod_autoscaler_syncs: u16,
    /// Longest time between two evaluations of an HPA.
    #[arg(long, default_value = "15s", value_parser = parse_duration, value_name = "DURATION")]
    pub horizontal_pod_autoscaler_sync_period: Duration,
    /// How far usage may be from its target without scaling, as a share.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    pub horizontal_pod_autoscaler_tolerance: f64,
    /// Time after a pod's start in which its CPU samples count only while it is Ready.
    #[arg(long, default_value = "5m", value_parser = parse_duration, value_name = "DURATION")]
    pub horizontal_pod_autoscaler_cpu_initialization_period: Duration,
    /// Time after a pod's start in which a change to not Ready counts as its first start.
    #[arg(long, default_value = "30s", value_parser = parse_duration, value_name = "DURATION")]
    pub horizontal_pod_autoscaler_initial_readiness_delay: Duration,
    /// Time over which the highest recommendation holds back scaling down.
    #[arg(long, default_value = "5m", value_parser = parse_duration, value_name = "DURATION")]
    pub horizontal_pod_autoscaler_downscale_stabilization: Duration,
}

/// What the autoscaler may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Decide and scale.
    Replace,
    /// Decide and write nothing.
    Shadow,
}

/// Whose timing the autoscaler follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compat {
    /// The built-in controller's.
    Upstream,
}
