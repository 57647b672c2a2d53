//! Flags of `flyball collector`.

use std::path::PathBuf;

use clap::Args;

use super::{ClusterArgs, TlsArgs};

/// Flags of `collector`.
#[derive(Debug, Args)]
pub struct CollectorArgs {
    /// How to reach the API server.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Serving certificate.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Name of this node's Node object.
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    pub node_name: Option<String>,
    /// Address to serve on.
    #[arg(long, default_value = "0.0.0.0", value_name = "ADDR")]
    pub bind_address: std::net::IpAddr,
    /// Port to serve on.
    #[arg(long, default_value_t = 4194, value_name = "PORT")]
    pub secure_port: u16,
    /// Control group below which the pods' groups stand, as the kubelet's --cgroup-root.
    #[arg(long, default_value = "/", value_name = "PATH")]
    pub cgroup_root: PathBuf,
    /// Where this machine's /proc is mounted.
    #[arg(long, default_value = "/proc", value_name = "PATH")]
    pub proc_root: PathBuf,
}
