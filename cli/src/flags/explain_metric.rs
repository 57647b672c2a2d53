//! Flags of `flyball explain-metric`.

use std::path::PathBuf;

use clap::Args;

use super::{ClusterArgs, Output};

/// Flags of `explain-metric`.
#[derive(Debug, Args)]
pub struct ExplainMetricArgs {
    /// Name of the metric, as in /metrics/resource, /metrics/cadvisor or /metrics/node, or of a field of /stats/summary, such as
    /// cpu.usageNanoCores.
    pub metric: String,
    /// How to reach the API server; the namespace is that of the pod.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The pod; without it the value of the node itself.
    #[arg(short, long, value_name = "POD")]
    pub pod: Option<String>,
    /// The container of the pod; without it the pod's own value.
    #[arg(short, long, requires = "pod", value_name = "CONTAINER")]
    pub container: Option<String>,
    /// The control group, as label `id` has it: for what has no name, or is no pod's.
    #[arg(long, conflicts_with = "pod", value_name = "PATH")]
    pub id: Option<String>,
    /// The node; without it that of the pod.
    #[arg(long, required_unless_present_any = ["pod", "address"], value_name = "NODE")]
    pub node: Option<String>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    pub output: Output,
    /// Namespace of the collectors.
    #[arg(long, default_value = "flyball-collector", value_name = "NAMESPACE")]
    pub collector_namespace: String,
    /// Ask the collector at this address, whatever the node, with the credentials of the kubeconfig or of --token-file.
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,
    /// File with the bearer token for --address.
    #[arg(long, requires = "address", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// CA of the certificate at --address, PEM.
    #[arg(long, requires = "address", value_name = "FILE")]
    pub certificate_authority: Option<PathBuf>,
    /// Name expected in the certificate at --address.
    #[arg(long, requires = "address", value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// Do not check the certificate at --address. Whoever answers there gets the credentials.
    #[arg(long, requires = "address")]
    pub insecure_skip_tls_verify: bool,
}
