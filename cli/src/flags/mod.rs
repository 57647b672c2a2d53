//! Every flag of the program, in one place: parsing, help and completion come from these definitions.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::burn::BurnArgs;

mod adapter;
mod collector;
mod doctor;
mod explain;
mod explain_metric;
mod generic_server;
mod history;
mod hpa;
mod kubelets;
mod metrics_server;
pub mod upstream;

pub use adapter::{
    AdapterArgs, AdapterCommand, BackendArgs, CheckRulesArgs, ExplainAdapterArgs, ListArgs, PrometheusVerb,
    RuleArgs,
};
pub use collector::CollectorArgs;
pub use doctor::{DoctorArgs, DoctorCommand, DoctorKubeletsArgs};
pub use explain::{ExplainArgs, LintArgs};
pub use explain_metric::ExplainMetricArgs;
pub use generic_server::{DelegationArgs, LimitArgs, ServingArgs};
pub use history::{
    CheckArgs, HistoryArgs, OnFull, QueryArgs, QueryOutput, ServerArgs, SnapshotArgs, TsdbArgs, TsdbCommand,
    write_span,
};
pub use hpa::{Compat, HpaArgs, LeaderElectionArgs, Mode, ResourceLock, SwitchArgs};
pub use kubelets::KubeletArgs;
pub use metrics_server::MetricsServerArgs;

/// Version with the commit it was built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("FLYBALL_COMMIT"), ")");

/// What is logged unless asked otherwise. What fails in a request or a watch of the API server comes back as an error
/// and is told once; the client's own lines would double it.
pub const DEFAULT_LOG: &str = "info,kube_client=off,kube_runtime=off";

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
        version = VERSION,
        args_override_self = true,
        after_help = "Example:\n  \
        flyball metrics-server --kubeconfig ~/.kube/config --kubelet-insecure-tls --secure-port 4443\n\n\
        All flags of upstream's metrics-server are accepted; those that mean nothing here are named in one line of the \
        log."
    )]
    MetricsServer(Box<MetricsServerArgs>),
    /// Serve custom.metrics.k8s.io and external.metrics.k8s.io from a Prometheus: a drop-in for prometheus-adapter
    #[command(
        version = VERSION,
        args_override_self = true,
        after_help = "Examples:\n  \
        flyball adapter --prometheus-url http://prometheus.monitoring:9090\n  \
        flyball adapter --config config.yaml --prometheus-url https://thanos --prometheus-token-file token\n  \
        flyball adapter list pods --prometheus-url http://localhost:9090\n  \
        flyball adapter check config.yaml --prometheus-url http://localhost:9090\n  \
        flyball adapter explain http_requests_per_second -n shop --prometheus-url http://localhost:9090\n\n\
        Without --config every counter becomes a rate, every gauge its value and every histogram its quantiles."
    )]
    Adapter(Box<AdapterArgs>),
    /// Serve metrics.k8s.io and keep its history: metrics-server, store and queries in one process
    #[command(
        version = VERSION,
        args_override_self = true,
        after_help = "Example:\n  \
        flyball server --kubeconfig ~/.kube/config --storage.tsdb.path /var/lib/flyball\n\n\
        Takes all flags of metrics-server, and Prometheus' flags of the store and of queries. Serves Prometheus' HTTP API at \
        /api/v1 (a Prometheus data source for Grafana) and, through the API server, as API group history.flyball.io, which \
        `flyball query` asks."
    )]
    Server(Box<ServerArgs>),
    /// Scale workloads by their HorizontalPodAutoscalers
    #[command(after_help = "Example:\n  flyball hpa --kubeconfig ~/.kube/config --mode shadow")]
    Hpa(HpaArgs),
    /// Show every number behind the last decision about an autoscaler, and what would change it
    #[command(after_help = "Examples:\n  flyball explain hpa/web -n shop\n  \
        flyball explain hpa/web -o json     the whole trace\n\n\
        Needs `flyball hpa` in the cluster, and permission to get decisions of API group decisions.flyball.io, which \
        `kubectl get decisions` asks as well.")]
    Explain(ExplainArgs),
    /// Find the usual mistakes in HorizontalPodAutoscalers, in manifests or in a cluster
    #[command(after_help = "Examples:\n  flyball lint -f hpa.yaml -f deployment.yaml\n  \
        kubectl kustomize overlays/prod | flyball lint -f -\n  flyball lint -n shop\n  flyball lint -A -o json\n\n\
        Prints one line a finding and exits 1 if there are any. From files only what is in them is known: give the \
        workload beside its autoscaler.")]
    Lint(LintArgs),
    /// Print what nodes or pods use, like kubectl top
    #[command(after_help = "Examples:\n  flyball top nodes\n  flyball top pods -A --sort-by cpu\n  \
        flyball top pods -n shop -l app=cart --containers")]
    Top(TopArgs),
    /// Ask the history in PromQL
    #[command(
        after_help = "Examples:\n  flyball query 'sum by (namespace) (rate(container_cpu_usage_seconds_total[2m]))'\n  \
        flyball query 'container_memory_working_set_bytes{pod=\"cart-0\"}' --since 1h -o chart\n  \
        flyball query up --start 2026-01-02T03:00:00Z --end 2026-01-02T04:00:00Z --step 1m -o csv\n  \
        flyball query -n shop 'sum(container_memory_working_set_bytes)'\n\n\
        Needs `flyball server` in the cluster, and permission to list (and create) query and query_range of API group \
        history.flyball.io; in one namespace with -n, else in the cluster."
    )]
    Query(QueryArgs),
    /// Look after a store of history
    #[command(after_help = "Examples:\n  flyball tsdb check ~/flyball/history\n  flyball tsdb snapshot")]
    Tsdb(TsdbArgs),
    /// Show where a value comes from: files, lines, formula, two readings
    #[command(
        name = "explain-metric",
        after_help = "Examples:\n  \
        flyball explain-metric container_memory_working_set_bytes -n shop --pod cart-0 --container app\n  \
        flyball explain-metric node_cpu_usage_seconds_total --node node1 -o json\n  \
        flyball explain-metric container_memory_rss --node node1 --id /system.slice/kubelet.service\n  \
        flyball explain-metric container_cpu_cfs_throttled_periods_total -n shop --pod cart-0 \
        --address 10.0.0.7:4194 --token-file token --certificate-authority ca.crt\n\n\
        Needs permission to list pods and create pods/portforward in the collectors' namespace, and to get nodes/stats."
    )]
    ExplainMetric(Box<ExplainMetricArgs>),
    /// Look for what is wrong, and print what mends it
    #[command(after_help = "Examples:\n  flyball doctor kubelets\n  \
        flyball doctor kubelets node1 --kubelet-preferred-address-types=InternalIP\n  \
        flyball doctor kubelets -l kubernetes.io/os=linux -o json")]
    Doctor(Box<DoctorArgs>),
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

impl Cli {
    /// What to log: `--log`, else what upstream's `-v` of the part stands for.
    pub fn log_filter(&self) -> Option<String> {
        let by_verbosity = |verbosity: i32| match verbosity {
            ..4 => DEFAULT_LOG,
            4..8 => "debug,kube_client=off,kube_runtime=off,hyper=info,h2=info,rustls=info,tower=info",
            8.. => "trace",
        };
        let verbosity = match &self.command {
            Command::MetricsServer(args) => args.limits.verbosity,
            Command::Adapter(args) => args.limits.verbosity,
            Command::Server(args) => args.metrics_server.limits.verbosity,
            _ => None,
        };
        self.log.clone().or_else(|| verbosity.map(|verbosity| by_verbosity(verbosity).to_owned()))
    }

    /// How log lines look: upstream's `--logging-format` of the part, else `--log-format`.
    pub fn log_form(&self) -> LogFormat {
        match &self.command {
            Command::MetricsServer(args) => args.limits.logging_format.unwrap_or(self.log_format),
            Command::Adapter(args) => args.limits.logging_format.unwrap_or(self.log_format),
            Command::Server(args) => args.metrics_server.limits.logging_format.unwrap_or(self.log_format),
            _ => self.log_format,
        }
    }
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
        assert!(args.kubelets.kubelet_insecure_tls && args.kubelets.kubelet_use_node_status_port);
        assert_eq!(args.metric_resolution, Some(Duration::from_secs(15)));
        assert_eq!(args.kubelets.kubelet_preferred_address_types, ["InternalIP", "Hostname"]);
    }

    #[test]
    fn cluster_flags_may_stand_behind_the_resource() {
        let cli = Cli::try_parse_from(["flyball", "top", "pods", "-n", "shop", "-o", "json"]).expect("flags");
        let Command::Top(args) = cli.command else { panic!("another command") };
        assert_eq!((args.cluster.namespace.as_deref(), args.output), (Some("shop"), Output::Json));
    }
}
