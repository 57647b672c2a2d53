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
    /// Families of /metrics/cadvisor: resource (what metrics-server reads), dashboards (what kubernetes-mixin and the usual
    /// dashboards ask for), full, or names separated by commas; docs/metrics.md lists them all.
    #[arg(long, default_value = "full", value_name = "SET|NAME,…")]
    pub metrics: flyball_collector::selection::Families,
    /// Labels left out of /metrics/cadvisor: id, image, name.
    #[arg(long, value_delimiter = ',', value_name = "LABEL,…")]
    pub drop_labels: Vec<String>,
    /// Where names of pods and containers come from, the first that answers: cri (the runtime's socket; cri=/SOCKET for an
    /// unusual one), logs (the kubelet's links in /var/log/containers, which do not tell images), kubelet (its list of pods,
    /// which needs the permission `get nodes/proxy`; kubelet=HOST:PORT for another address than 127.0.0.1:10250), api (a
    /// watch of this node's pods at the API server, which is kept only if it is asked for here).
    #[arg(long, value_delimiter = ',', default_value = "cri,logs,kubelet", value_name = "SOURCE,…")]
    pub names: Vec<flyball_collector::name_source::NameSource>,
    /// CA bundle that the kubelet's certificate is verified against; without it the cluster's.
    #[arg(long, value_name = "FILE")]
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// Do not verify the kubelet's certificate.
    #[arg(long)]
    pub kubelet_insecure_tls: bool,
    /// Measure the disk use of containers: writable layers, logs, emptyDir volumes. Needs the host's process ids and files.
    #[arg(long)]
    pub disk_usage: bool,
    /// Also read the CPU time of each CPU, which only control groups v1 have: container_cpu_usage_seconds_total of
    /// /metrics/cadvisor then has a series for each CPU in the place of the total.
    #[arg(long)]
    pub per_cpu_usage: bool,
    /// Also count the open descriptors of containers; needs the host's process ids.
    #[arg(long)]
    pub count_descriptors: bool,
    /// Also count the open sockets of containers: a system call for each descriptor. Needs the host's process ids and
    /// CAP_SYS_PTRACE with CAP_DAC_READ_SEARCH.
    #[arg(long)]
    pub count_sockets: bool,
    /// Where this machine's /proc is mounted.
    #[arg(long, default_value = "/proc", value_name = "PATH")]
    pub proc_root: PathBuf,
    /// Where this machine's /sys is mounted; for /metrics/node.
    #[arg(long, default_value = "/sys", value_name = "PATH")]
    pub sys_root: PathBuf,
    /// Where this machine's root is mounted; for the sizes of file systems in /metrics/node, and for --disk-usage.
    #[arg(long, default_value = "/", value_name = "PATH")]
    pub root: PathBuf,
}
