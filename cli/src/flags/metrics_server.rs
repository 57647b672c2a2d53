//! Flags of `flyball metrics-server`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{ClusterArgs, TlsArgs, parse_duration};

/// Flags of `metrics-server`; upstream's names and meanings.
#[derive(Debug, Args)]
pub struct MetricsServerArgs {
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
    #[arg(long, default_value_t = 4443, value_name = "PORT")]
    pub secure_port: u16,
    /// Time between two scrapes of a node. Unset: automatic, 1 s from Flyball collectors, 15 s from kubelets.
    #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
    pub metric_resolution: Option<Duration>,
    /// Window that usage is computed over. Unset: as long as the use is level, short after a step.
    #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
    pub usage_window: Option<Duration>,
    /// Port of the kubelets.
    #[arg(long, default_value_t = 10250, value_name = "PORT")]
    pub kubelet_port: u16,
    /// Use the port in the Node's status instead of --kubelet-port.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub kubelet_use_node_status_port: bool,
    /// Kinds of node address to try, in order.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "InternalIP,ExternalIP,Hostname",
        value_name = "TYPES"
    )]
    pub kubelet_preferred_address_types: Vec<String>,
    /// Time-out of one scrape.
    #[arg(long, default_value = "10s", value_parser = parse_duration, value_name = "DURATION")]
    pub kubelet_request_timeout: Duration,
    /// Do not verify the certificates of the kubelets.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true,
          conflicts_with = "kubelet_certificate_authority")]
    pub kubelet_insecure_tls: bool,
    /// CA bundle that the kubelets' certificates are verified against.
    #[arg(long, value_name = "FILE")]
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// Client certificate shown to the kubelets, PEM. Without it the kubeconfig's, if that names files.
    #[arg(long, requires = "kubelet_client_key", value_name = "FILE")]
    pub kubelet_client_certificate: Option<PathBuf>,
    /// Private key of that certificate, PEM.
    #[arg(long, requires = "kubelet_client_certificate", value_name = "FILE")]
    pub kubelet_client_key: Option<PathBuf>,
    /// Scrape only the nodes that match this label selector.
    #[arg(short = 'l', long, default_value = "", value_name = "SELECTOR")]
    pub node_selector: String,
}
