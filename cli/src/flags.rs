//! Every flag of the program, in one place: parsing, help and completion come from these definitions.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::burn::BurnArgs;

/// Version with the commit it was built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("FLYBALL_COMMIT"), ")");

/// A Kubernetes metrics pipeline and autoscaler.
#[derive(Debug, Parser)]
#[command(
    name = "flyball",
    version = VERSION,
    about = "A Kubernetes metrics pipeline and autoscaler for Linux",
    long_about = "Flyball measures every container, serves the measurements on metrics.k8s.io, and scales workloads \
                  from them. Start with `flyball demo`: no cluster is needed.",
    after_help = "Examples:\n  \
        flyball demo                      watch an HPA scale a real workload under real load, on this machine\n  \
        flyball local --dir ~/flyball     a one-machine cluster to use with kubectl\n  \
        flyball top pods -A               what every pod uses"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How log lines on standard error look.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// What to log: a level (error, warn, info, debug, trace) or tracing directives such as `flyball_hpa=debug`.
    #[arg(long, global = true, env = "FLYBALL_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

/// The parts and the compositions of them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Scale a real workload out and in under real load, on this machine, in about 90 seconds
    #[command(
        after_help = "Examples:\n  flyball demo\n  flyball demo --seconds 180 --keep\n\nExits 0 only if the \
        workload really was scaled out and back in."
    )]
    Demo(DemoArgs),
    /// Run a one-machine cluster for kubectl, until stopped
    #[command(after_help = "Examples:\n  flyball local --dir ~/flyball\n  \
        flyball local --dir ~/flyball --map example.com/web=\"python3 -m http.server\"\n  \
        kubectl --kubeconfig ~/flyball/kubeconfig apply -f deploy/examples/burn.yaml\n\n\
        Workloads are commands of this machine in their own control groups, not images: use image flyball.io/host \
        with a command, flyball.io/burn (the example server), or an image named by --map.")]
    Local(LocalArgs),
    /// Measure the containers of this node and serve them as a kubelet does
    #[command(after_help = "Example:\n  flyball collector --node-name \"$NODE_NAME\"")]
    Collector(CollectorArgs),
    /// Serve metrics.k8s.io from the node endpoints: a drop-in for metrics-server
    #[command(
        name = "metrics-server",
        after_help = "Example:\n  \
        flyball metrics-server --kubeconfig ~/.kube/config --kubelet-insecure-tls --secure-port 4443"
    )]
    MetricsServer(MetricsServerArgs),
    /// Scale workloads by their HorizontalPodAutoscalers
    #[command(after_help = "Example:\n  flyball hpa --kubeconfig ~/.kube/config --mode shadow")]
    Hpa(HpaArgs),
    /// Print what nodes or pods use, like kubectl top
    #[command(after_help = "Examples:\n  flyball top nodes\n  flyball top pods -A --sort-by cpu\n  \
        flyball top pods -n shop -l app=cart --containers")]
    Top(TopArgs),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  source <(flyball completion bash)")]
    Completion {
        /// The shell to print the script for.
        shell: clap_complete::Shell,
    },
    /// The example workload: burns a known amount of CPU per HTTP request
    #[command(hide = true)]
    Burn(BurnArgs),
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line an entry.
    Text,
    /// One JSON object a line.
    Json,
}

/// Flags of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Length of the load wave, in seconds (30 to 3600).
    #[arg(long, default_value_t = 78, value_parser = clap::value_parser!(u64).range(30..=3600), value_name = "SECONDS")]
    pub seconds: u64,
    /// Leave the cluster running after the summary, until Ctrl-C.
    #[arg(long)]
    pub keep: bool,
}

/// Flags of `local`.
#[derive(Debug, Args)]
pub struct LocalArgs {
    /// Folder that holds the cluster: objects, logs, kubeconfig. Made if missing.
    #[arg(long, default_value = "flyball-local", value_name = "DIR")]
    pub dir: PathBuf,
    /// Where the API server listens. Port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:6443", value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// Run COMMAND (words split as a shell does) for containers whose image is IMAGE. May be given again.
    #[arg(long = "map", value_parser = parse_map, value_name = "IMAGE=COMMAND")]
    pub images: Vec<(String, Vec<String>)>,
}

/// How to reach a cluster, as kubectl takes it.
#[derive(Debug, Clone, Default, Args)]
pub struct ClusterArgs {
    /// Kubeconfig file. Without it: KUBECONFIG, then ~/.kube/config, then the pod's service account.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace; without it the context's.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}

/// Serving certificate flags, upstream's names.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsArgs {
    /// Serving certificate chain, PEM; re-read when it changes. Without it a self-signed one is made.
    #[arg(long, requires = "tls_private_key_file", value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// Private key of the serving certificate, PEM.
    #[arg(long, requires = "tls_cert_file", value_name = "FILE")]
    pub tls_private_key_file: Option<PathBuf>,
}

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

/// Flags of `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Nodes or pods.
    #[command(subcommand)]
    pub resource: TopResource,
    /// How to reach the API server.
    #[command(flatten)]
    pub cluster: ClusterFlags,
    /// Form of the output.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    pub output: Output,
    /// Print no heading.
    #[arg(long, global = true)]
    pub no_headers: bool,
}

/// [`ClusterArgs`] that may also stand behind the name of the resource.
#[derive(Debug, Clone, Default, Args)]
pub struct ClusterFlags {
    /// Kubeconfig file. Without it: KUBECONFIG, then ~/.kube/config, then the pod's service account.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace; without it the context's.
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}

/// What `top` shows.
#[derive(Debug, Subcommand)]
pub enum TopResource {
    /// What nodes use
    #[command(visible_aliases = ["node", "no"])]
    Nodes(NodeArgs),
    /// What pods use
    #[command(visible_aliases = ["pod", "po"])]
    Pods(PodArgs),
}

/// Flags of `top nodes`.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// Only this node.
    #[arg(conflicts_with = "selector")]
    pub name: Option<String>,
    /// Only nodes that match this label selector.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Largest first by this resource.
    #[arg(long, value_enum, value_name = "RESOURCE")]
    pub sort_by: Option<SortBy>,
}

/// Flags of `top pods`.
#[derive(Debug, Args)]
pub struct PodArgs {
    /// Only this pod.
    #[arg(conflicts_with = "selector")]
    pub name: Option<String>,
    /// Only pods that match this label selector.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Largest first by this resource.
    #[arg(long, value_enum, value_name = "RESOURCE")]
    pub sort_by: Option<SortBy>,
    /// Pods of every namespace.
    #[arg(short = 'A', long, conflicts_with = "name")]
    pub all_namespaces: bool,
    /// One line a container.
    #[arg(long)]
    pub containers: bool,
}

/// Order of `top`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortBy {
    /// By CPU.
    Cpu,
    /// By memory.
    Memory,
}

/// Form of the output of the commands that ask a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Aligned columns.
    Table,
    /// The API's JSON, indented.
    Json,
    /// The same as YAML.
    Yaml,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    flyball_model::time::parse_go_duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| format!("{text:?} is not a positive duration such as 15s, 1m30s or 500ms"))
}

/// `IMAGE=COMMAND`, the command split into words as a shell splits them.
fn parse_map(text: &str) -> Result<(String, Vec<String>), String> {
    let (image, command) =
        text.split_once('=').ok_or_else(|| format!("{text:?} is not of the form IMAGE=COMMAND"))?;
    if image.is_empty() {
        return Err(format!("{text:?} names no image before the ="));
    }
    let words = shell_words::split(command).map_err(|error| format!("{command:?}: {error}"))?;
    if words.is_empty() {
        return Err(format!("{text:?} names no command after the ="));
    }
    Ok((image.to_owned(), words))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_map_needs_image_and_command() {
        assert_eq!(
            parse_map("web=python3 -V"),
            Ok(("web".to_owned(), vec!["python3".to_owned(), "-V".to_owned()]))
        );
        for bad in ["web", "=x", "web=", "web=  ", "web='open"] {
            assert!(parse_map(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn upstream_flags_keep_their_spelling() {
        let cli = Cli::try_parse_from([
            "flyball",
            "metrics-server",
            "--kubelet-insecure-tls",
            "--kubelet-use-node-status-port=true",
            "--metric-resolution=15s",
            "--kubelet-preferred-address-types=InternalIP,Hostname",
        ])
        .expect("upstream's flags");
        let Command::MetricsServer(args) = cli.command else { panic!("another command") };
        assert!(args.kubelet_insecure_tls && args.kubelet_use_node_status_port);
        assert_eq!(args.metric_resolution, Some(Duration::from_secs(15)));
        assert_eq!(args.kubelet_preferred_address_types, ["InternalIP", "Hostname"]);
    }

    #[test]
    fn cluster_flags_may_stand_behind_the_resource() {
        let cli = Cli::try_parse_from(["flyball", "top", "pods", "-n", "shop", "-o", "json"]).expect("flags");
        let Command::Top(args) = cli.command else { panic!("another command") };
        assert_eq!((args.cluster.namespace.as_deref(), args.output), (Some("shop"), Output::Json));
    }
}
