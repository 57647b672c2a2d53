//! Flags of `flyball adapter`: prometheus-adapter's names and meanings, and a few of our own.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Subcommand, ValueEnum};

use super::generic_server::{DelegationArgs, LimitArgs, ServingArgs};
use super::upstream::go_bool;
use super::{ClusterFlags, Output, parse_duration};

/// Flags of `adapter`.
#[derive(Debug, Args)]
pub struct AdapterArgs {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<AdapterCommand>,
    /// How to reach the API server.
    #[command(flatten)]
    pub cluster: ClusterFlags,
    /// Where values come from.
    #[command(flatten)]
    pub backend: BackendArgs,
    /// Which metrics are made of them.
    #[command(flatten)]
    pub rules: RuleArgs,
    /// Connections.
    #[command(flatten)]
    pub serving: ServingArgs,
    /// Offer HTTP/1.1 only, as --disable-http2-serving.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_value = "false", default_missing_value = "true",
          require_equals = true, value_parser = go_bool, help_heading = "Serving")]
    pub disable_http2: bool,
    /// Identities and permissions.
    #[command(flatten)]
    pub delegation: DelegationArgs,
    /// Limits and logging.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Kubeconfig for lists of objects. Unset: as --kubeconfig.
    #[arg(long, value_name = "FILE", hide = true)]
    pub lister_kubeconfig: Option<PathBuf>,
    /// Upstream's pace of its own client; there is no such brake here.
    #[arg(long, value_name = "N", hide = true)]
    pub client_qps: Option<f64>,
    /// As above.
    #[arg(long, value_name = "N", hide = true)]
    pub client_burst: Option<u32>,
    /// How often upstream asks which kinds there are; here unknown kinds are asked for when they are needed.
    #[arg(long, value_name = "DURATION", hide = true)]
    pub discovery_interval: Option<String>,
}

/// How queries are sent to Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrometheusVerb {
    /// In the address, while it is not too long for that.
    #[value(name = "GET")]
    Get,
    /// As a form.
    #[value(name = "POST")]
    Post,
}

/// Where values come from.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Backend")]
pub struct BackendArgs {
    /// Address of the Prometheus-compatible server, with the path its API is behind if there is one. Unset: https://localhost
    /// for the server; list, explain and check ask the history of the cluster (`flyball server`) through the API server.
    #[arg(long, global = true, value_name = "URL")]
    pub prometheus_url: Option<String>,
    /// Kubeconfig whose credentials and CA are used for Prometheus; its address is not.
    #[arg(long, global = true, value_name = "FILE")]
    pub prometheus_auth_config: Option<PathBuf>,
    /// Use the token and the CA of the pod's service account for Prometheus.
    #[arg(long, global = true, action = ArgAction::Set, num_args = 0..=1, default_value = "false",
          default_missing_value = "true", require_equals = true, value_parser = go_bool)]
    pub prometheus_auth_incluster: bool,
    /// CA of Prometheus' certificate, PEM; read again when it changes. Unset: the system's.
    #[arg(long, global = true, value_name = "FILE")]
    pub prometheus_ca_file: Option<PathBuf>,
    /// Client certificate shown to Prometheus, PEM; read again when it changes.
    #[arg(long, global = true, value_name = "FILE")]
    pub prometheus_client_tls_cert_file: Option<PathBuf>,
    /// Key of that certificate, PEM.
    #[arg(long, global = true, value_name = "FILE")]
    pub prometheus_client_tls_key_file: Option<PathBuf>,
    /// File with the bearer token shown to Prometheus; read again and again.
    #[arg(long, global = true, value_name = "FILE")]
    pub prometheus_token_file: Option<PathBuf>,
    /// Header to send with every question, for example X-Scope-OrgID=team. May be given again.
    #[arg(long, global = true, value_name = "NAME=VALUE")]
    pub prometheus_header: Vec<String>,
    /// How queries are sent.
    #[arg(long, global = true, value_enum, default_value = "GET", value_name = "VERB")]
    pub prometheus_verb: PrometheusVerb,
    /// Connections to Prometheus at a time; further questions wait within their time-out.
    #[arg(long, global = true, default_value_t = 16, value_name = "N")]
    pub prometheus_max_connections: u32,
    /// Time for one question.
    #[arg(long, global = true, default_value = "10s", value_parser = parse_duration, value_name = "DURATION")]
    pub prometheus_timeout: Duration,
    /// How often Prometheus has new values: answers are kept so long.
    #[arg(long, global = true, default_value = "15s", value_parser = parse_duration, value_name = "DURATION")]
    pub prometheus_scrape_interval: Duration,
}

/// Which metrics are made of what the backends have.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Custom and external metrics")]
pub struct RuleArgs {
    /// File that lists the sources, in order: the own store (of `flyball server`), Prometheus-compatible servers, other
    /// metrics servers. Unset: one source.
    #[arg(long, global = true, value_name = "FILE")]
    pub sources: Option<PathBuf>,
    /// prometheus-adapter's configuration file; read again when it changes. Unset: metrics are made from what is scraped.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How often to look which metrics there are. A request for an unknown one looks at once.
    #[arg(long, global = true, default_value = "10m", value_parser = parse_duration, value_name = "DURATION")]
    pub metrics_relist_interval: Duration,
    /// How old the last sample of a metric may be. Unset: as --metrics-relist-interval.
    #[arg(long, global = true, value_parser = parse_duration, value_name = "DURATION")]
    pub metrics_max_age: Option<Duration>,
    /// Answer 0 for NaN, as upstream does, and for infinities. Unset: an object without a number has no value.
    #[arg(long, global = true, action = ArgAction::Set, num_args = 0..=1, default_value = "false",
          default_missing_value = "true", require_equals = true, value_parser = go_bool)]
    pub nan_is_zero: bool,
}

/// What else the adapter does.
#[derive(Debug, Subcommand)]
pub enum AdapterCommand {
    /// Print which metrics there are, of which objects, by which query
    List(ListArgs),
    /// Check a configuration file, and print what each of its rules matches now
    Check(CheckRulesArgs),
    /// Walk the way of one metric: rule, label, query, answer, what the autoscaler sees
    Explain(ExplainAdapterArgs),
}

/// Flags of `adapter list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only metrics of this resource, for example pods; `external` for external metrics.
    pub resource: Option<String>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    pub output: Output,
    /// Print no heading.
    #[arg(long)]
    pub no_headers: bool,
}

/// Flags of `adapter check`.
#[derive(Debug, Args)]
pub struct CheckRulesArgs {
    /// The configuration file.
    pub file: PathBuf,
    /// Do not ask the backend: only read the file.
    #[arg(long)]
    pub offline: bool,
}

/// Flags of `adapter explain`.
#[derive(Debug, Args)]
pub struct ExplainAdapterArgs {
    /// Name of the metric in the API.
    pub metric: String,
    /// Of which objects, for example services or deployments.apps; `external` for an external metric. Unset: those that
    /// have it, pods first.
    #[arg(long, value_name = "RESOURCE")]
    pub resource: Option<String>,
    /// Of this object alone.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Of objects with these labels.
    #[arg(short = 'l', long, default_value = "", value_name = "SELECTOR")]
    pub selector: String,
    /// Of series with these labels, as an HPA's metric.selector says it.
    #[arg(long, default_value = "", value_name = "SELECTOR")]
    pub metric_selector: String,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::flags::{Cli, Command};

    fn parse(arguments: &[&str]) -> Result<AdapterArgs, clap::Error> {
        let cli = Cli::try_parse_from(["flyball", "adapter"].iter().chain(arguments))?;
        match cli.command {
            Command::Adapter(args) => Ok(*args),
            other => panic!("another command: {other:?}"),
        }
    }

    /// The arguments of upstream's published manifests, and of its chart.
    #[test]
    fn upstreams_arguments_work_unchanged() {
        let args = parse(&[
            "--cert-dir=/var/run/serving-cert",
            "--config=/etc/adapter/config.yaml",
            "--metrics-relist-interval=1m",
            "--prometheus-url=https://prometheus.monitoring.svc:9090/",
            "--secure-port=6443",
            "--tls-cipher-suites=TLS_AES_128_GCM_SHA256",
            "--prometheus-auth-config=/etc/prometheus-config/prometheus-config.yaml",
            "--logtostderr=true",
            "--v=4",
            "--lister-kubeconfig=/x",
            "--client-qps=50",
            "--client-burst=100",
            "--discovery-interval=10m",
            "--disable-http2",
        ])
        .expect("upstream's flags");
        assert_eq!(args.backend.prometheus_url.as_deref(), Some("https://prometheus.monitoring.svc:9090/"));
        assert_eq!(args.rules.metrics_relist_interval, Duration::from_secs(60));
        assert!(args.disable_http2 && args.command.is_none());
        assert_eq!(args.limits.ignored.0, ["--logtostderr"]);
    }

    #[test]
    fn headers_and_verbs() {
        let args = parse(&["--prometheus-header=a=b", "--prometheus-header=c=d=e", "--prometheus-verb=POST"])
            .expect("flags");
        assert_eq!(args.backend.prometheus_header, ["a=b", "c=d=e"]);
        assert_eq!(args.backend.prometheus_verb, PrometheusVerb::Post);
        assert!(parse(&["--prometheus-verb=PUT"]).is_err());
    }

    #[test]
    fn the_backend_may_be_named_behind_the_command() {
        let args = parse(&["explain", "m", "-n", "shop", "--prometheus-url=http://p"]).expect("flags");
        assert_eq!(args.backend.prometheus_url.as_deref(), Some("http://p"));
        assert_eq!(args.cluster.namespace.as_deref(), Some("shop"));
        assert!(matches!(args.command, Some(AdapterCommand::Explain(_))));
    }
}
