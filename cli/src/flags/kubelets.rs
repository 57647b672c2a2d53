//! Flags about kubelets: upstream metrics-server's names and meanings, for all commands that ask kubelets.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::parse_duration;
use super::upstream::go_bool;

/// Where kubelets are, and how they are spoken to.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kubelets")]
pub struct KubeletArgs {
    /// Port of the kubelets.
    #[arg(long, default_value_t = 10250, value_name = "PORT")]
    pub kubelet_port: u16,
    /// Use the port in the Node's status instead of --kubelet-port.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_value = "false", default_missing_value = "true",
          require_equals = true, value_parser = go_bool)]
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
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_value = "false", default_missing_value = "true",
          require_equals = true, value_parser = go_bool)]
    pub kubelet_insecure_tls: bool,
    /// Speak plain HTTP to the kubelets and show no credentials.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_value = "false", default_missing_value = "true",
          require_equals = true, value_parser = go_bool)]
    pub deprecated_kubelet_completely_insecure: bool,
    /// CA bundle that the kubelets' certificates are verified against.
    #[arg(long, value_name = "FILE")]
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// Client certificate shown to the kubelets, PEM. Without it the kubeconfig's, if that names files.
    #[arg(long, requires = "kubelet_client_key", value_name = "FILE")]
    pub kubelet_client_certificate: Option<PathBuf>,
    /// Private key of that certificate, PEM.
    #[arg(long, requires = "kubelet_client_certificate", value_name = "FILE")]
    pub kubelet_client_key: Option<PathBuf>,
}
